"""No key is ever told: not in events, logs, errors, URLs, nor in what anything prints of itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
import traceback
from collections.abc import Iterator

import pytest

from asyncapi import Breaker, Client, Retry
from asyncapi.backends import known_backends
from asyncapi.emulator import ALL, Emulator, Faults, Timing
from asyncapi.errors import AsyncAPIError
from asyncapi.types.events import Event

from .operations import CALLS, KEYS, call_native, endpoint_of, model_of, offered

#: An S3 key has an id, which is no secret and is sent with every signature, and a secret.
SECRETS = {name: key.partition(":")[2] or key for name, key in KEYS.items()}


class Everything:
    """A hook that wants every event."""

    detail = True

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_event(self, event: Event) -> None:
        """Keep what it shows."""
        self.seen.append(f"{event!r} {event}")


def told(error: BaseException) -> Iterator[str]:
    """All that an error says, its causes and a copy's too."""
    yield "".join(traceback.format_exception(error))
    yield f"{error!r} {error} {vars(error)} {error.args}"
    with contextlib.suppress(Exception):
        yield pickle.dumps(error).decode("latin-1")


async def attempt(client: Client, service: str, operation: str, heard: list[str]) -> None:
    """One call, whatever becomes of it."""
    try:
        if operation.startswith("native "):
            await call_native(client, service, operation.removeprefix("native "))
        else:
            for call in CALLS[operation]:
                await call(client, model_of(service, operation))
    except (AsyncAPIError, AssertionError) as error:
        heard.extend(told(error))


@pytest.mark.slow
@pytest.mark.parametrize("service", known_backends())
async def test_no_key_is_told(service: str, caplog: pytest.LogCaptureFixture) -> None:
    """Every operation under every fault, and a key that is refused."""
    caplog.set_level(logging.DEBUG)
    hook, heard = Everything(), list[str]()
    faults = Faults(0.6, ALL, seed=3, silence_for=0.01, byte_pause=0, retry_after=0.001)
    async with Emulator(timing=Timing.instant(), faults=faults) as emulator:
        endpoint = endpoint_of(
            emulator, service, retry=Retry(attempts=2, base=0, cap=0), breaker=Breaker(enabled=False)
        )
        async with Client([endpoint], hooks=[hook], timeout=5.0) as client:
            operations = [operation for name, operation in offered() if name == service]
            for _ in range(2):
                await asyncio.gather(*(attempt(client, service, o, heard) for o in operations[:12]))
            emulator.revoke(KEYS[service])
            await attempt(client, service, operations[0], heard)
            heard += [f"{thing!r} {thing}" for thing in (client, endpoint, client.statistics())]
            heard += [repr(vars(client)), repr(client.keys(service)), repr(client.keys(service).names())]
        assert emulator.keys_in_url == 0
        paths = [received.path for received in emulator.records]

    logged = [f"{record.getMessage()} {vars(record)}" for record in caplog.records]
    everything = [*hook.seen, *heard, *logged, *paths]
    assert hook.seen
    assert heard
    assert any("asyncapi.call_finished" in line and "'outcome'" in line for line in logged)
    assert [text for text in everything if SECRETS[service] in text] == []
