"""Drain: a process that is told to stop throws away what it has paid for, or never stops.

Over real sockets: what is under way ends, newcomers are refused, and no task, socket or warning is left.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
import warnings

import pytest

from asyncapi import ChatResponse, ClientClosedError, ConnectionLostError, StreamInterruptedError
from asyncapi.emulator import Emulator, Timing
from tests.core.worlds import read
from tests.failure_modes.worlds import MODEL, client_of, until


def _sockets() -> int:
    folder = "/proc/self/fd"
    return len(os.listdir(folder)) if os.path.isdir(folder) else 0


async def test_a_crowd_is_served_to_its_end_and_newcomers_are_refused() -> None:
    """Twenty in flight and in line when the word comes: all are answered, and the client is gone."""
    async with Emulator(timing=Timing(first_token=0.02)) as emulator:
        sockets, tasks = _sockets(), len(asyncio.all_tasks())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            client = client_of(emulator.base_urls["openai"], limit=4)
            calls = [asyncio.ensure_future(client.chat(MODEL, str(i))) for i in range(20)]
            calls.append(asyncio.ensure_future(read(client.stream(MODEL, "x"))))
            await asyncio.sleep(0.01)
            closing = asyncio.ensure_future(client.aclose(drain=10.0))
            await asyncio.sleep(0)
            with pytest.raises(ClientClosedError, match="nothing was sent"):
                await client.chat(MODEL, "late")
            await closing

            assert all(call.done() for call in calls)
            assert {type(call.result()) for call in calls} == {ChatResponse}
            assert len(emulator.records) == 21
            assert len(asyncio.all_tasks()) == tasks
            del client, calls
            gc.collect()
        await until(lambda: _sockets() <= sockets)


async def test_what_does_not_end_in_time_is_cut_and_told() -> None:
    """One in flight, one stream, two in line, and a tenth of a second to do it in."""
    async with Emulator(timing=Timing(first_token=0.03, per_token=0.2)) as emulator:
        sockets = _sockets()
        client = client_of(emulator.base_urls["openai"], limit=2)
        plain = asyncio.ensure_future(client.chat(MODEL, "x"))
        texts: list[str] = []
        streamed = asyncio.ensure_future(read(client.stream(MODEL, "x"), texts))
        waiting = [asyncio.ensure_future(client.chat(MODEL, "x")) for _ in range(2)]
        await until(lambda: bool(texts), seconds=5.0)
        began = time.monotonic()
        await client.aclose(drain=0.1)
        assert time.monotonic() - began < 0.3

        ends = await asyncio.gather(plain, streamed, *waiting, return_exceptions=True)
        assert [type(end) for end in ends] == [
            ConnectionLostError,
            StreamInterruptedError,
            ClientClosedError,
            ClientClosedError,
        ]
        assert [getattr(end, "sent", None) for end in ends[2:]] == [False, False]
        await until(lambda: emulator.aborts == 2)
        await until(lambda: _sockets() <= sockets)


async def test_closing_again_or_cancelling_closes_at_once() -> None:
    """Whoever is in a hurry decides, and nothing is left all the same."""
    async with Emulator(timing=Timing(first_token=30.0)) as emulator:
        for end in ("close", "cancel"):
            client = client_of(emulator.base_urls["openai"], limit=1)
            calls = [asyncio.ensure_future(client.chat(MODEL, "x")) for _ in range(3)]
            draining = asyncio.ensure_future(client.aclose(drain=60.0))
            await asyncio.sleep(0.05)
            began = time.monotonic()
            if end == "close":
                await client.aclose()
            else:
                draining.cancel()
            await asyncio.gather(draining, return_exceptions=True)
            assert time.monotonic() - began < 0.2
            ends = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(e) for e in ends] == [ConnectionLostError, ClientClosedError, ClientClosedError]
