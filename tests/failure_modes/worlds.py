"""A client over real sockets: to the emulator, or to a server that misbehaves below HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import asyncapi
from asyncapi import Client, Endpoint, Key
from asyncapi.emulator import Emulator

__all__ = [
    "MODEL",
    "Connection",
    "assert_all_given_back",
    "client_of",
    "head",
    "misbehaving",
    "until",
    "within",
]

MODEL = "openai:m"

#: What a server of ``misbehaving`` does with one connection.
Connection = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def client_of(
    url: str, *, keys: Sequence[str | Key] = ("sk-one",), backend: str = "openai", **settings: Any
) -> Client:
    """A client with one endpoint at this address."""
    endpoint = Endpoint(backend, base_url=url, keys=tuple(keys), **settings)
    return Client([endpoint], log=False, environment={}, seed=0)


@contextlib.asynccontextmanager
async def misbehaving(serve: Connection) -> AsyncIterator[str]:
    """A TCP server that treats each connection so; its base URL. Whatever it does ends with the block."""
    running: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await serve(reader, writer)
        finally:
            running.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def head(kind: str = "application/json", length: int | None = None) -> bytes:
    """The head of an answer; without a length its body ends with the connection."""
    size = "" if length is None else f"Content-Length: {length}\r\n"
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{size}Connection: close\r\n\r\n".encode()


async def until(condition: Callable[[], bool], seconds: float = 1.0) -> None:
    """Wait for what the other side of a socket does; not longer than that."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  the other side is a server, not an event of ours
            await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def within(client: Client, seconds: float, late: float = 0.1) -> AsyncIterator[None]:
    """Checks that the block takes so long, and at most ``late`` longer.

    Beside what the machine is late itself: with a metronome in the same loop, as tests share their cores.
    """
    client.check(MODEL)  # the transport is made and its certificates are read before the clock starts
    loop, worst = asyncio.get_running_loop(), 0.0

    async def metronome() -> None:
        nonlocal worst
        while True:
            due = loop.time() + 0.005
            await asyncio.sleep(0.005)
            worst = max(worst, loop.time() - due)

    ticking = asyncio.ensure_future(metronome())
    began = loop.time()
    try:
        yield
        took = loop.time() - began
    finally:
        ticking.cancel()
    assert seconds - 0.01 <= took < seconds + late + 2 * worst, (took, worst)


async def assert_all_given_back(client: Client, emulator: Emulator | None = None) -> None:
    """Every permit and every place is free, by what the client itself says, and work still flows."""
    for name, endpoint in client.statistics().endpoints.items():
        assert (endpoint.in_flight, endpoint.queue.waiting) == (0, 0), name
        assert [key.in_flight for key in endpoint.keys.values()] == [0] * len(endpoint.keys)
    if emulator is not None:
        together = client.statistics().endpoints["openai"].limit
        calls = (client.chat(MODEL, "still there?") for _ in range(together))
        answers = await asyncio.gather(*calls)
        assert [type(answer) for answer in answers] == [asyncapi.ChatResponse] * together
