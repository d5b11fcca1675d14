"""Several loops: "bound to a different event loop", "unclosed client session".

Clients that keep sessions or locks of a loop that has ended break in the second ``asyncio.run``, in a thread,
or when a cache lets go of them (litellm#7667, #40490; any-agent#824).
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import warnings
from collections.abc import Iterator

import pytest

from asyncapi import Client, ConfigError
from asyncapi.emulator import Emulator, Timing
from tests.failure_modes.worlds import MODEL, client_of

pytestmark = pytest.mark.slow


@pytest.fixture
def url() -> Iterator[str]:
    """The emulator in a thread of its own, so that the tests may begin and end loops as they like."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    emulator, stop = Emulator(timing=Timing.instant()), asyncio.Event()

    async def serve() -> None:
        async with emulator:
            ready.set()
            await stop.wait()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    yield emulator.base_urls["openai"]
    loop.call_soon_threadsafe(stop.set)
    thread.join()


async def _ask(url: str, number: int = 5) -> int:
    async with client_of(url, limit=2) as client:
        return len(await asyncio.gather(*(client.chat(MODEL, str(i)) for i in range(number))))


@pytest.fixture(autouse=True)
def no_warning() -> Iterator[None]:
    """Whatever is left open would be told when it is collected."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
        gc.collect()


def test_asyncio_run_as_often_as_one_likes(url: str) -> None:
    """A client a run: three in a row."""
    assert [asyncio.run(_ask(url)) for _ in range(3)] == [5, 5, 5]


def test_four_threads_with_a_loop_each(url: str) -> None:
    """Side by side, with a client each."""
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(asyncio.run(_ask(url, 20)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counts == [20] * 4


def test_a_client_that_is_used_in_a_second_loop_says_what_to_do(url: str) -> None:
    """An error of ours that names the remedy, not a RuntimeError from inside of asyncio."""
    clients: list[Client] = []

    async def first() -> None:
        clients.append(client_of(url))
        await clients[0].chat(MODEL, "x")

    async def second() -> None:
        with pytest.raises(ConfigError, match="make one for each"):
            await clients[0].chat(MODEL, "x")
        await clients[0].aclose()

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ResourceWarning
        )  # its sockets outlived their loop, as nobody closed it
        asyncio.run(first())
        asyncio.run(second())
        clients.clear()
        gc.collect()


def test_clients_that_come_and_go_in_one_loop_leave_nothing(url: str) -> None:
    """As a cache of clients makes and drops them: each closed, none warned of, no socket left."""

    async def main() -> None:
        for _ in range(10):
            async with client_of(url) as client:
                await client.chat(MODEL, "x")

    asyncio.run(main())
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    asyncio.run(main())
    after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

    assert after <= before + 2
