"""Many calls from a lazy source: bounded memory, results as they finish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeAlias

import msgspec

from asyncapi._core.tasks import Tasks
from asyncapi.errors import AsyncAPIError, QueueFullError
from asyncapi.types.requests import Request
from asyncapi.types.responses import Response

__all__ = ["Done", "Source", "map_calls"]

#: How long a request that found no place stays away when nothing is known of the queue, and at most (s).
ASK_AGAIN_S, LONGEST_S = 1.0, 30.0

Source: TypeAlias = Iterable[Request] | AsyncIterable[Request]


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """One request's end: its place in the source, and either a response or an error."""

    index: int
    request: Request
    response: Response | None = None
    error: AsyncAPIError | None = None


class _Gate:
    """Bounds what is under way: in all, and so that no endpoint's queue is asked for more than it holds."""

    def __init__(self, most: int, room: Callable[[Request], tuple[str, int]]) -> None:
        self._all = asyncio.Semaphore(most)
        self._room = room
        self._each: dict[str, asyncio.Semaphore] = {}

    async def enter(self, request: Request) -> asyncio.Semaphore:
        """Wait for a place in all, then for one at the request's endpoint."""
        await self._all.acquire()
        try:
            name, most = self._room(request)
        except AsyncAPIError:
            name, most = "", 1  # there is no such endpoint: the call itself will say so
        place = self._each.setdefault(name, asyncio.Semaphore(most))
        await place.acquire()
        return place

    def leave(self) -> None:
        """A result was taken by its reader."""
        self._all.release()


async def map_calls(
    source: Source,
    perform: Callable[[Request], Awaitable[Response]],
    room: Callable[[Request], tuple[str, int]],
    *,
    most: int,
) -> AsyncIterator[Done]:
    """Perform every request of the source, at most ``most`` of them read and not yet yielded.

    Args:
        source: Read one by one, as places become free.
        perform: One call.
        room: A request's endpoint and how many calls it holds, in flight and waiting.
        most: The bound.
    """
    gate, tasks = _Gate(most, room), Tasks()
    results: asyncio.Queue[Done | BaseException | int] = asyncio.Queue()  # int: how many there are

    async def one(index: int, request: Request, place: asyncio.Semaphore) -> None:
        try:
            response = await _admitted(perform, request)
            results.put_nowait(Done(index=index, request=request, response=response))
        except AsyncAPIError as error:
            results.put_nowait(Done(index=index, request=request, error=error))
        finally:
            place.release()

    async def feed() -> None:
        index = 0
        async for request in _each(source):
            place = await gate.enter(request)
            tasks.start(one(index, request, place), f"asyncapi map {index}", results.put_nowait)
            index += 1
        results.put_nowait(index)

    tasks.start(feed(), "asyncapi map source", results.put_nowait)
    yielded, count = 0, None
    try:
        while yielded != count:
            done = await results.get()
            if isinstance(done, BaseException):
                raise done
            if isinstance(done, int):
                count = done
                continue
            yielded += 1
            yield done
            gate.leave()
    finally:
        await tasks.aclose()


async def _admitted(perform: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
    """Ask again when the queue is full: others filled it, or took this one's place. That is no result."""
    while True:
        try:
            return await perform(request)
        except QueueFullError as error:
            if error.attempts:
                raise
            await asyncio.sleep(min(error.retry_after or ASK_AGAIN_S, LONGEST_S))


async def _each(source: Source) -> AsyncIterator[Request]:
    if isinstance(source, AsyncIterable):
        async for request in source:
            yield request
    else:
        for request in source:
            yield request
