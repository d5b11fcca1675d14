"""Stores that we did not write, asked through the client: the same operations of each.

They run where ``moto.sh``, ``seaweed.sh`` and ``rclone.sh`` have said where the servers are:

    tests/witness/moto.sh tests/witness/seaweed.sh python -m pytest -m witness tests/witness
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from .s3_operations import OPERATIONS, Store, store

pytestmark = [pytest.mark.witness, pytest.mark.slow]

#: What says where a server is. Its keys are those of the scripts.
SERVERS = {
    "moto": "WITNESS_MOTO_URL",
    "seaweed": "WITNESS_SEAWEED_URL",
    "rclone": "WITNESS_RCLONE_URL",
}
KEY = "testkey:testsecret"
#: What a server does not do, and does not refuse either.
MISSING = {
    ("rclone", "create_only_spares_what_is_there"): "it looks at no conditions",
    ("rclone", "conditions_guard_reads"): "it looks at no conditions",
    ("rclone", "large_bodies_spare_what_is_there"): "it looks at no conditions",
    ("rclone", "copies_are_made_inside_the_store"): "its copies lose their metadata",
}


@pytest.fixture(params=SERVERS)
async def at(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """Each server in turn."""
    variable = SERVERS[request.param]
    url = os.environ.get(variable)
    if not url:
        pytest.skip(f"needs {variable}: run it with tests/witness/{request.param}.sh")
    async with store(request.param, url, KEY) as opened:
        yield opened


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
async def test_a_real_store_agrees(at: Store, operation: Callable[[Store], Awaitable[None]]) -> None:
    """With what the client makes of S3."""
    if why := MISSING.get((at.server, operation.__name__)):
        pytest.skip(f"{at.server}: {why}")
    await operation(at)
