"""Everything that a service's row promises, called once against the emulator, through the client."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from asyncapi import Client
from asyncapi.backends import known_backends
from asyncapi.emulator import Emulator, Timing
from asyncapi.types import objects, requests

from .operations import CALLS, call_native, endpoint_of, model_of, offered, service_of


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """All services, instantly."""
    async with Emulator(timing=Timing.instant()) as running:
        yield running


@pytest.mark.parametrize(("service", "operation"), offered())
async def test_every_operation_of_every_service_is_answered(
    emulator: Emulator, service: str, operation: str
) -> None:
    """A row that lists what its backend refuses, or what nobody answers, fails here."""
    async with Client([endpoint_of(emulator, service)]) as client:
        if operation.startswith("native "):
            await call_native(client, service, operation.removeprefix("native "))
        else:
            for call in CALLS[operation]:
                await call(client, model_of(service, operation))

    assert set(emulator.counts().by_status) <= {200, 204}


@pytest.mark.parametrize("name", known_backends())
def test_rows_name_operations_that_requests_have(name: str) -> None:
    """No operation is listed, nor batched, that no request asks for."""
    kinds = [*vars(requests).values(), *vars(objects).values()]
    asked = {
        kind.operation for kind in kinds if isinstance(kind, type) and issubclass(kind, requests.Request)
    }
    service = service_of(name).service

    assert service.operations <= asked - {""}
    assert set(service.batches) <= service.operations
