from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

import asyncapi
from asyncapi.emulator import Emulator, Timing


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(timing=Timing(first_token=0.01, per_token=0.005)) as running:
        yield running


@pytest.fixture
def make(emulator: Emulator) -> Callable[[], asyncapi.Client]:
    """A client of the emulated OpenAI."""

    def client() -> asyncapi.Client:
        endpoint = asyncapi.Endpoint(
            "openai",
            base_url=emulator.base_urls["openai"],
            keys=("sk-test",),
            limit=1,
            queue_size=0,
            retry=asyncapi.Retry(attempts=1),
        )
        return asyncapi.Client([endpoint])

    return client
