"""A stream that reads what a cache or a flight has: the chunks from the start, as fast as it likes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Protocol, TypeVar, cast

from asyncapi._core.call import Call
from asyncapi._core.streaming import Stream
from asyncapi.errors import ConfigError
from asyncapi.types.responses import Chunk, Response

__all__ = ["MakeStream", "Reading", "SharedStream"]

R = TypeVar("R", bound=Response)


class MakeStream(Protocol):
    """Makes the stream of a call; one that is admitted was so before the client began to close."""

    def __call__(self, call: Call, *, admitted: bool = False) -> Stream[Any]: ...


class Reading(Protocol):
    """What one stream reads from."""

    @property
    def chunks(self) -> Sequence[Chunk]:
        """Those that there are by now."""
        ...

    async def more(self) -> bool:
        """Wait for another chunk; False at the end.

        Raises:
            AsyncAPIError: What ended it, or the reader's own deadline.
        """
        ...

    def response(self) -> Response:
        """The whole answer, after the end."""
        ...

    def leave(self) -> None:
        """The reader is gone. Called once."""
        ...


class SharedStream(Stream[R]):
    """A stream whose chunks come from a ``Reading``, which is found when it is entered.

    State: the ``_reading`` once found and until it is left, how many of its chunks were ``_taken``, the
    whole ``_response`` once there, and whether it was ``_entered``.
    """

    def __init__(self, request_id: str, find: Callable[[], Awaitable[Reading]]) -> None:
        self._id = request_id
        self._find = find
        self._reading: Reading | None = None
        self._response: Response | None = None
        self._entered = False
        self._taken = 0

    @property
    def request_id(self) -> str:
        """Our id of the call."""
        return self._id

    @property
    def response(self) -> R:
        """The whole answer, once the stream was read to its end.

        Raises:
            ConfigError: It is not there yet.
        """
        if self._response is None:
            raise ConfigError("stream.response is there once the stream was read to its end")
        return cast(R, self._response)

    async def __aenter__(self) -> Stream[R]:
        if self._entered:
            raise ConfigError("a stream can be entered once: ask client.stream(...) for another one")
        self._entered = True
        reading = self._reading = await self._find()
        try:
            if not reading.chunks:
                await reading.more()
        except BaseException:
            self._leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    async def __anext__(self) -> Chunk:
        reading = self._reading
        if reading is None:
            raise self._unread()
        while self._taken >= len(reading.chunks):
            if not await reading.more():
                if self._response is None:
                    self._response = reading.response()
                raise StopAsyncIteration
        self._taken += 1
        return reading.chunks[self._taken - 1]

    def _unread(self) -> BaseException:
        if self._response is not None:
            return StopAsyncIteration()
        return ConfigError("a stream is read inside `async with client.stream(...) as stream:`")

    def _leave(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.leave()
