"""An emulator in a thread of its own, for pages that call services."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from asyncapi.backends import get_backend, known_backends
from asyncapi.emulator import Emulator, Timing
from asyncapi.types.wire import Service


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    """All services on one port. It has a loop of its own, as the blocks of a page may run theirs."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="emulator")
    thread.start()
    running = Emulator(timing=Timing(first_token=0.002, per_token=0.0001))
    try:
        asyncio.run_coroutine_threadsafe(running.start(), loop).result()
        yield running
        asyncio.run_coroutine_threadsafe(running.aclose(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def services(emulator: Emulator) -> dict[str, str]:
    """The environment that leads every service to the emulator."""
    environment = {}
    for name in known_backends():
        service: Service = get_backend(name).service  # type: ignore[attr-defined]
        if not service.url_env or name not in emulator.base_urls:
            continue
        environment[service.url_env[0]] = emulator.base_urls[name]
        if service.key_env and service.needs_key:
            environment[service.key_env[0]] = f"{name}-key"
    environment["S3_KIT_API_KEY"] = "example:emulator-secret"  # not needed, but the emulator's store asks
    return environment
