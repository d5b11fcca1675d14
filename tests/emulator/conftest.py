"""An emulator without service time, and a plain HTTP client for it."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from asyncapi.emulator import Emulator, Timing

from .wire import Wire


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """All services, instantly."""
    async with Emulator(timing=Timing.instant()) as running:
        yield running


@pytest.fixture
async def wire(emulator: Emulator) -> AsyncIterator[Wire]:
    """A client of the emulator that knows nothing but HTTP."""
    async with aiohttp.ClientSession() as session:
        yield Wire(session, emulator.url)
