"""Routes: several targets behind one name, tried until one answers.

Each target is a call of its own, with its own endpoint's queue, limit, breaker and retries; all of
them share one deadline. A stream moves on only before its first chunk.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Protocol, TypeVar

from asyncapi._core.streaming import Stream
from asyncapi.errors import AsyncAPIError, ConfigError
from asyncapi.policies.routing import may_move, may_wait
from asyncapi.types.responses import Chunk, Response

__all__ = ["RoutedStream", "Way", "first_that_answers"]

T = TypeVar("T")
R = TypeVar("R", bound=Response)


class Way(Protocol):
    """One request on its route."""

    @property
    def targets(self) -> Sequence[str]:
        """In the order in which they are tried."""
        ...

    def rest(self, target: str) -> float:
        """Seconds until a target that rests may be asked again; infinity if that is too late."""
        ...

    def moved(self, here: str, there: str, error: AsyncAPIError) -> None:
        """Told of every move, from, to and why."""
        ...


async def first_that_answers(way: Way, attempt: Callable[[str, bool], Awaitable[T]]) -> T:
    """The first target's result that is one.

    When none has one and some only rest, as their service asked, the first of them to be back is waited for.

    Args:
        way: Where to go.
        attempt: Tries one target; is told whether waiting there is better than failing.

    Raises:
        AsyncAPIError: The last target's error, with notes on those before it; or the first one that
            another target would share.
    """
    notes: list[str] = []
    resting: list[str] = []
    left = list(reversed(way.targets))
    waited = False
    while left:
        target = left.pop()
        waited = waited or not (left or resting)
        try:
            return await attempt(target, waited)
        except AsyncAPIError as error:
            if not waited and may_wait(error):
                resting.append(target)
            if not left and not waited:
                left = _soonest(resting, way.rest)
                waited = True
            if not left or not may_move(error):
                for note in notes:
                    error.add_note(note)
                raise
            notes.append(f"before that, {target}: {error}")
            way.moved(target, left[-1], error)
    raise AssertionError("a route has at least one target")


def _soonest(resting: Sequence[str], rest: Callable[[str], float]) -> list[str]:
    """Of those that rest the one that is back first, if that is in time."""
    rests = {target: rest(target) for target in resting}
    return [min(rests, key=rests.__getitem__)] if rests and min(rests.values()) < math.inf else []


class RoutedStream(Stream[R]):
    """A stream whose target is found when it is entered: the first that gives a first chunk.

    State: the ``_chosen`` stream once there is one.
    """

    def __init__(self, way: Way, start: Callable[[str, bool], Stream[R]]) -> None:
        self._way = way
        self._start = start
        self._chosen: Stream[R] | None = None

    @property
    def request_id(self) -> str:
        """Our id of the call, empty before the stream was entered."""
        return self._chosen.request_id if self._chosen is not None else ""

    @property
    def response(self) -> R:
        """The whole answer, once the stream was read to its end.

        Raises:
            ConfigError: It is not there yet.
        """
        return self._inside().response

    async def __aenter__(self) -> Stream[R]:
        async def attempt(target: str, patient: bool) -> Stream[R]:
            return await self._start(target, patient).__aenter__()

        self._chosen = await first_that_answers(self._way, attempt)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inside().__aexit__(kind, error, trace)

    async def __anext__(self) -> Chunk:
        return await self._inside().__anext__()

    def interrupted(self, error: AsyncAPIError) -> AsyncAPIError:
        """What a reader gets instead of ``error`` once a part of the answer is there."""
        return self._inside().interrupted(error)

    def _inside(self) -> Stream[R]:
        if self._chosen is None:
            raise ConfigError("a stream is read inside `async with client.stream(...) as stream:`")
        return self._chosen
