"""Early exit: a reader that leaves a stream in the middle keeps its slot, or its connection, for ever.

``break``, an exception, a generator that is closed, a stream that nobody reads (litellm#12861, #21213,
#26250).
"""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from asyncapi import Client
from asyncapi.emulator import Emulator, Timing
from tests.failure_modes.worlds import MODEL, client_of, until


async def _break(client: Client) -> None:
    async with client.stream(MODEL, "x") as stream:
        async for _ in stream:
            break


async def _raise(client: Client) -> None:
    async def reader() -> None:
        async with client.stream(MODEL, "x") as stream:
            async for _ in stream:
                raise KeyError("the reader's own")

    with pytest.raises(KeyError):
        await reader()


async def _close_the_generator(client: Client) -> None:
    async def relay() -> AsyncIterator[str]:
        async with client.stream(MODEL, "x") as stream:
            async for chunk in stream:
                yield chunk.text

    texts = relay()
    await anext(texts)
    await texts.aclose()  # type: ignore[attr-defined]


async def _never_read(client: Client) -> None:
    async with client.stream(MODEL, "x"):
        pass


async def _cancel(client: Client) -> None:
    reads = asyncio.Event()

    async def reader() -> None:
        async with client.stream(MODEL, "x") as stream:
            reads.set()
            await stream.collect()

    task = asyncio.ensure_future(reader())
    await reads.wait()
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


LEAVERS = [_break, _raise, _close_the_generator, _never_read, _cancel]


@pytest.mark.parametrize("leave", LEAVERS, ids=lambda leave: leave.__name__.strip("_"))
async def test_the_slot_is_free_at_once_and_the_connection_is_gone(
    leave: Callable[[Client], Awaitable[None]],
) -> None:
    """A limit of one: the next call is answered, and the service has seen the reader leave."""
    timing = Timing(first_token=0.01, per_token=0.05)
    async with (
        Emulator(timing=timing) as emulator,
        client_of(emulator.base_urls["openai"], limit=1) as client,
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            await leave(client)
            statistics = client.statistics().endpoints["openai"]
            assert (statistics.in_flight, statistics.calls.cancelled) == (0, 1)
            await until(lambda: emulator.aborts == 1)
            emulator.timing = Timing.instant()
            assert (await client.chat(MODEL, "y")).text
            gc.collect()


async def test_an_object_that_is_never_entered_is_no_call() -> None:
    """Nothing is sent, held, counted or warned of."""
    async with Emulator() as emulator, client_of(emulator.base_urls["openai"]) as client:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(10):
                client.stream(MODEL, "x")
            gc.collect()
        assert emulator.records == []


async def test_a_stream_read_to_its_end_gives_its_connection_back() -> None:
    """Ten streams one after another, one connection: nothing is closed that may be used again."""
    async with Emulator(timing=Timing.instant()) as emulator:
        async with client_of(emulator.base_urls["openai"], limit=1) as client:
            for _ in range(10):
                async with client.stream(MODEL, "x") as stream:
                    await stream.collect()
        assert emulator.aborts == 0
