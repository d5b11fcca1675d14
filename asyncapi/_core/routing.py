"""Routes: several targets behind one name, tried in order until one answers.

Each target is a call of its own, with its own endpoint's queue, limit, breaker and retries; all of
them share one deadline. A stream moves on only before its first chunk.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import TypeVar

from asyncapi._core.streaming import Stream
from asyncapi.errors import AsyncAPIError, ConfigError
from asyncapi.policies.routing import may_move
from asyncapi.types.responses import Chunk, Response

__all__ = ["RoutedStream", "first_that_answers"]

T = TypeVar("T")
R = TypeVar("R", bound=Response)


async def first_that_answers(
    targets: Sequence[str],
    attempt: Callable[[str, bool], Awaitable[T]],
    moved: Callable[[str, str, AsyncAPIError], None],
) -> T:
    """The first target's result that is one.

    Args:
        targets: In the order in which they are tried.
        attempt: Tries one; is told whether it is the last, for which waiting is better than failing.
        moved: Told of every move, from, to and why.

    Raises:
        AsyncAPIError: The last target's error, with notes on those before it; or the first one that
            another target would share.
    """
    notes: list[str] = []
    for target, following in zip(targets, [*targets[1:], None], strict=True):
        try:
            return await attempt(target, following is None)
        except AsyncAPIError as error:
            if following is None or not may_move(error):
                for note in notes:
                    error.add_note(note)
                raise
            notes.append(f"before that, {target}: {error}")
            moved(target, following, error)
    raise AssertionError("a route has at least one target")


class RoutedStream(Stream[R]):
    """A stream whose target is found when it is entered: the first that gives a first chunk.

    State: the ``_chosen`` stream once there is one.
    """

    def __init__(
        self,
        targets: Sequence[str],
        start: Callable[[str, bool], Stream[R]],
        moved: Callable[[str, str, AsyncAPIError], None],
    ) -> None:
        self._targets = targets
        self._start = start
        self._moved = moved
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
        async def attempt(target: str, last: bool) -> Stream[R]:
            return await self._start(target, last).__aenter__()

        self._chosen = await first_that_answers(self._targets, attempt, self._moved)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inside().__aexit__(kind, error, trace)

    async def __anext__(self) -> Chunk:
        return await self._inside().__anext__()

    def _inside(self) -> Stream[R]:
        if self._chosen is None:
            raise ConfigError("a stream is read inside `async with client.stream(...) as stream:`")
        return self._chosen
