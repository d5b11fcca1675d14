"""Identical calls in flight share one request, and one stream goes to all its readers.

A flight is a task of its own: no caller leads it, so none can take it down. It goes on while anybody
still wants it. Each who is aboard keeps the deadline that is theirs; for the flight the latest of them
counts, and the most urgent priority.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any

from msgspec.structs import replace

from asyncapi._core.call import Call
from asyncapi._core.deadlines import Deadlines
from asyncapi._core.perform import deadline_error
from asyncapi._core.streaming import Stream
from asyncapi._core.tasks import Tasks
from asyncapi.errors import AsyncAPIError, ClientClosedError, ConnectionLostError, DeadlineExceededError
from asyncapi.types.requests import Priority
from asyncapi.types.responses import Chunk, Response

__all__ = ["Flight", "Flights"]


class Flight:
    """One request under way for all who ask the same.

    State: how many are ``aboard``; the ``chunks`` so far, kept until the end for those who come late (so
    never more than the whole answer); the ``response`` or the ``error`` once it has ``ended``; whether
    the response itself was ``taken``, so that the others get copies of what was ``packed`` before; the
    ``call`` that goes out now; the latest ``deadline`` (infinity: never; None: each call of the flight has
    its own) and the most urgent ``priority`` of all; the ``_stream`` that is read, if it is one; the
    futures of those who are ``_waiting``; the ``task``.
    """

    def __init__(self, key: Hashable, flight_id: str, deadline: float | None, priority: Priority) -> None:
        self.key = key
        self.id = flight_id
        self.aboard = 0
        self.chunks: list[Chunk] = []
        self.response: Response | None = None
        self.error: BaseException | None = None
        self.ended = False
        self.taken = False
        self.packed = b""
        self.call: Call | None = None
        self.deadline = deadline
        self.priority = priority
        self.task: asyncio.Task[None] | None = None
        self._stream: Stream[Any] | None = None
        self._waiting: dict[asyncio.Future[None], None] = {}

    @property
    def shared(self) -> bool:
        """Whether those aboard bring their deadlines along: then no call of the flight ends by its own."""
        return self.deadline is not None

    def adopt(self, call: Call) -> Call:
        """The call that goes out for the flight, or (on a route) the next one: it gets what all want."""
        self.call = call
        if self.deadline is not None:
            call.deadline = _finite(self.deadline)
        if call.options.priority != self.priority:
            call.options = replace(call.options, priority=self.priority)
        return call

    def meet(self, deadline: float | None, priority: Priority) -> None:
        """Somebody more: the flight is as patient as the most patient, as urgent as the most urgent."""
        if self.deadline is not None:
            self.deadline = max(self.deadline, math.inf if deadline is None else deadline)
            if self.call is not None:
                self.call.deadline = _finite(self.deadline)
        if priority < self.priority:
            self.priority = priority
            if self.call is not None:
                self.call.endpoint.hurry(self.call, priority)

    async def read(self, stream: Stream[Any]) -> Response:
        """The whole answer of a stream, its chunks told on as they come."""
        self._stream = stream
        async with stream:
            async for chunk in stream:
                self.chunks.append(chunk)
                self._wake()
        response: Response = stream.response
        return response

    async def news(self) -> None:
        """Until there is another chunk, or the end."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = None
        try:
            await waiter
        finally:
            self._waiting.pop(waiter, None)

    def end(self, response: Response | None, error: BaseException | None) -> None:
        """It has landed."""
        self.response, self.error, self.ended = response, error, True
        self._wake()

    def failure(self) -> BaseException:
        """The error for one of those aboard: raised twice it would carry the other's traceback."""
        assert self.error is not None
        if isinstance(self.error, AsyncAPIError):
            own: AsyncAPIError = self.error.copy()
            own.__cause__ = self.error.__cause__
            return own
        if not self.taken:
            self.taken = True
            return self.error
        own = AsyncAPIError(f"the call that was shared failed: {self.error!r}")
        own.__cause__ = self.error
        return own

    def overdue(self, total: float | None) -> AsyncAPIError:
        """What one of those aboard ends with when only its own deadline passes."""
        if self.call is None:
            return DeadlineExceededError(f"nothing was sent within {total} s")
        error = deadline_error(self.call.outer, total).copy()
        return self._stream.interrupted(error) if self._stream is not None and self.chunks else error

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)


class Flights:
    """The flights of a client.

    State: those under way, by what is asked (``_open``); the ``_tasks``.
    """

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._open: dict[Hashable, Flight] = {}
        self._tasks = Tasks()

    def __len__(self) -> int:
        return len(self._open)

    def board(
        self,
        key: Hashable,
        start: Callable[[Flight], Coroutine[Any, Any, Response]],
        deadline: float | None,
        priority: Priority,
        call_id: str,
    ) -> Flight:
        """The flight for what is asked: the one under way, or one that ``start`` begins.

        Whoever boards must ``leave``, whatever happens.
        """
        flight = self._open.get(key)
        if flight is None:
            flight = self._open[key] = Flight(key, call_id, deadline, priority)
            flight.task = self._tasks.start(self._fly(flight, start), "asyncapi flight")
            flight.task.add_done_callback(partial(self._gone, flight))
        else:
            flight.meet(deadline, priority)
        flight.aboard += 1
        return flight

    def leave(self, flight: Flight) -> None:
        """One less. The last one gone ends it, unless it has landed; who comes later needs another one."""
        flight.aboard -= 1
        if flight.aboard or flight.ended:
            return
        self._close(flight)
        assert flight.task is not None
        flight.task.cancel()

    async def arrival(self, flight: Flight, deadline: float | None, total: float | None) -> None:
        """Wait for the next chunk or the end, no longer than one's own deadline.

        Raises:
            AsyncAPIError: The deadline passed first.
        """
        try:
            with self._deadlines.within(_finite(deadline)) as limit:
                await flight.news()
        except TimeoutError as error:
            if not limit.expired:
                raise
            raise flight.overdue(total) from error

    async def aclose(self) -> None:
        """End every flight."""
        await self._tasks.aclose()

    async def _fly(self, flight: Flight, start: Callable[[Flight], Coroutine[Any, Any, Response]]) -> None:
        try:
            response = await start(flight)
        except asyncio.CancelledError:
            # An answer that came while it is being kept is an answer all the same.
            self._land(flight, flight.response, None if flight.response is not None else _closed(flight))
            raise
        except BaseException as error:  # noqa: BLE001  whatever it is, it is for those aboard
            self._land(flight, None, error)
        else:
            self._land(flight, response, None)

    def _gone(self, flight: Flight, task: asyncio.Task[None]) -> None:
        """A task that is cancelled before its first step never runs."""
        if not flight.ended:
            self._land(flight, None, _closed(flight))

    def _land(self, flight: Flight, response: Response | None, error: BaseException | None) -> None:
        self._close(flight)  # before anybody wakes: who asks again asks anew
        flight.end(response, error)

    def _close(self, flight: Flight) -> None:
        if self._open.get(flight.key) is flight:
            del self._open[flight.key]


def _finite(deadline: float | None) -> float | None:
    return None if deadline == math.inf else deadline


def _closed(flight: Flight) -> AsyncAPIError:
    """What those aboard get when the flight is cancelled from outside: the truth about what was sent."""
    if flight.call is not None and flight.call.outer.attempts:
        message = "the client was closed while the call was under way"
        return ConnectionLostError(message, sent=True, retryable=False)
    return ClientClosedError("the client was closed: nothing was sent")
