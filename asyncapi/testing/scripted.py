"""A transport that answers from a script: no sockets, only the running loop's clock.

::

    transport = ScriptedTransport([reply(status=429, retry_after=7), reply("hi")])
    async with Client(transport=transport) as client:
        assert (await client.chat("openai:gpt-5", "Hello")).text == "hi"
    assert transport.requests[1].time - transport.requests[0].time >= 7

With ``virtual_time`` the seven seconds cost no waiting. The same script always gives the same run.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeAlias, assert_never

import orjson
from multidict import CIMultiDict

from asyncapi.errors import AsyncAPIError, ClientClosedError, ConnectionLostError
from asyncapi.testing._scripted_bodies import chat_body, chat_events
from asyncapi.types.wire import Outgoing, WireResponse

__all__ = [
    "Fail",
    "Hang",
    "Reply",
    "Script",
    "ScriptExhaustedError",
    "ScriptedStream",
    "ScriptedTransport",
    "Sent",
    "Step",
    "fail",
    "hang",
    "reply",
    "stream",
]


class ScriptExhaustedError(AssertionError):
    """A request came for which the script has no answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its head after ``delay`` seconds, then its pieces, ``interval`` seconds apart.

    After the pieces the body ends, unless ``error`` is raised there or (``hangs``) nothing more comes.
    """

    status: int
    headers: Mapping[str, str]
    pieces: tuple[bytes, ...]
    delay: float = 0.0
    interval: float = 0.0
    error: Exception | None = None
    hangs: bool = False


@dataclass(frozen=True, slots=True)
class Hang:
    """No answer, until the request is cancelled."""


@dataclass(frozen=True, slots=True)
class Fail:
    """An exception instead of an answer, after ``delay`` seconds."""

    exception: Exception
    delay: float = 0.0


Step: TypeAlias = Reply | Hang | Fail | Exception
Script: TypeAlias = Iterable[Step] | Callable[[Outgoing], Step]


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as the transport got it. ``time`` is the loop's, in seconds."""

    time: float
    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None

    def json(self) -> Any:
        """The body as JSON, None when there is none."""
        return None if self.body is None else orjson.loads(self.body)


def reply(
    content: str | bytes | Mapping[str, Any] | Sequence[Any] | None = None,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    retry_after: float | None = None,
    delay: float = 0.0,
) -> Reply:
    """A whole answer.

    Args:
        content: Text becomes a chat answer in OpenAI's form (an error of that form when ``status`` is 400
            or more), a dict or list JSON; bytes are sent as they are.
        status: HTTP status.
        headers: Headers besides Content-Type.
        retry_after: Seconds for a Retry-After header.
        delay: Seconds until the answer.
    """
    given = CIMultiDict(headers or {})
    if retry_after is not None:
        given["Retry-After"] = f"{retry_after:g}"
    if not isinstance(content, bytes):
        given.setdefault("Content-Type", "application/json")
    body = chat_body(content, status)
    return Reply(status, given, (body,) if body else (), delay)


def stream(
    texts: Iterable[str] = (),
    *,
    raw: Iterable[bytes] | None = None,
    headers: Mapping[str, str] | None = None,
    delay: float = 0.0,
    interval: float = 0.0,
    cut_after: int | None = None,
    error: Exception | None = None,
    hang_after: int | None = None,
) -> Reply:
    """A streamed answer, one piece for each text and one for the end.

    Args:
        texts: The parts of a chat answer, sent as server-sent events in OpenAI's form.
        raw: Pieces to send as they are, instead of ``texts``.
        headers: Headers besides Content-Type.
        delay: Seconds until the answer's head and first piece.
        interval: Seconds between two pieces.
        cut_after: After this many pieces the connection is lost.
        error: Raised instead of the end, or where ``cut_after`` says.
        hang_after: After this many pieces nothing more comes.
    """
    given = CIMultiDict(headers or {})
    given.setdefault("Content-Type", "text/event-stream")
    pieces = tuple(piece for piece in raw if piece) if raw is not None else chat_events(list(texts))
    if cut_after is not None:
        pieces = pieces[:cut_after]
        error = error or ConnectionLostError("the script cut the stream", sent=True)
    if hang_after is not None:
        pieces = pieces[:hang_after]
    return Reply(200, given, pieces, delay, interval, error, hang_after is not None)


def hang() -> Hang:
    """No answer, until the request is cancelled."""
    return Hang()


def fail(exception: Exception, *, delay: float = 0.0) -> Fail:
    """An exception instead of an answer, such as ``fail(ConnectError("refused"))``."""
    return Fail(exception, delay)


class ScriptedTransport:
    """Answers requests from a script and remembers them.

    Args:
        script: The answers in turn, or a function that gives the answer to a request.
        repeat: Begin again after the last answer.
        default: The answer when the script has no more.
        keep: How many requests to remember, the latest; None for all.

    Attributes:
        total: How many requests came.
        in_flight: How many are unanswered, or have an open stream.
        peak_in_flight: The most that ``in_flight`` ever was.
        aborted: How many were cancelled, or had their stream closed before its end.
    """

    def __init__(
        self,
        script: Script = (),
        *,
        repeat: bool = False,
        default: Step | None = None,
        keep: int | None = None,
    ) -> None:
        self._decide = script if callable(script) else None
        self._steps = () if callable(script) else tuple(script)
        self._repeat = repeat
        self._default = default
        self._requests: deque[Sent] = deque(maxlen=keep)
        self._closed = False
        self.total = self.in_flight = self.peak_in_flight = self.aborted = 0

    @property
    def requests(self) -> list[Sent]:
        """The requests that came, oldest first."""
        return list(self._requests)

    async def send(self, request: Outgoing, /) -> WireResponse:
        """The whole answer that the script has for this request."""
        answer = await self.open(request)
        pieces: list[bytes] = []
        try:
            while piece := await answer.read():
                pieces.append(piece)
        finally:
            answer.close()
        return WireResponse(status=answer.status, headers=answer.headers, body=b"".join(pieces))

    async def open(self, request: Outgoing, /) -> ScriptedStream:
        """The answer that the script has for this request, to be read piece by piece.

        Raises:
            ScriptExhaustedError: It has none.
            ClientClosedError: ``aclose`` was called.
        """
        if self._closed:
            raise ClientClosedError("the transport is closed")
        step = self._next(request)
        with _InFlight(self) as flight:
            match step:
                case Reply():
                    await asyncio.sleep(step.delay)
                    return ScriptedStream(step, flight.keep())
                case Fail():
                    await asyncio.sleep(step.delay)
                    raise _fresh(step.exception)
                case Hang():
                    await asyncio.get_running_loop().create_future()
                    raise AssertionError("nothing resolves a hang")  # pragma: no cover
                case Exception():
                    await asyncio.sleep(0)
                    raise _fresh(step)
                case _:
                    assert_never(step)

    async def aclose(self) -> None:
        """Refuse further requests. Idempotent."""
        self._closed = True

    def _next(self, request: Outgoing) -> Step:
        now = asyncio.get_running_loop().time()
        self._requests.append(Sent(now, request.method, request.url, request.headers, request.body))
        turn, self.total = self.total, self.total + 1
        if self._decide is not None:
            return self._decide(request)
        if turn < len(self._steps):
            return self._steps[turn]
        if self._repeat and self._steps:
            return self._steps[turn % len(self._steps)]
        if self._default is not None:
            return self._default
        raise ScriptExhaustedError(
            f"the script of {len(self._steps)} answers has none for request {turn + 1}, "
            f"{request.method} {request.url.partition('?')[0]}; add one, or pass repeat=True or default="
        )


class ScriptedStream:
    """An open answer of a script: each ``read`` gives one piece, no sooner than it is due."""

    def __init__(self, answer: Reply, flight: _InFlight) -> None:
        self._answer = answer
        self._flight = flight
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._next = 0
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def status(self) -> int:
        """HTTP status."""
        return self._answer.status

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers, case-insensitive."""
        return self._answer.headers

    async def read(self) -> bytes:
        """The next piece when it is due, ``b""`` at the end."""
        answer, turn = self._answer, self._next
        if self._error is None:
            over = turn >= len(answer.pieces)
            await self._wait(None if over and answer.hangs else self._start + turn * answer.interval)
            if over and self._error is None:
                self._flight.end(aborted=False)
                if answer.error is None:
                    return b""
                self._error = _fresh(answer.error)
        if self._error is not None:
            raise self._error
        self._next += 1
        return answer.pieces[turn]

    def fail(self, error: AsyncAPIError, /) -> None:
        """Make the pending and every later ``read`` raise ``error``."""
        self._stop(error)

    def close(self) -> None:
        """Leave the stream; before its end that counts as aborted. Idempotent."""
        self._stop(self._error or ConnectionLostError("the stream was closed here", sent=True))

    def _stop(self, error: Exception) -> None:
        self._error = error
        self._flight.end(aborted=True)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self, due: float | None) -> None:
        """Until ``due`` by the loop's clock (None: for ever), or until the stream is stopped."""
        if due is not None and due <= self._loop.time():
            await asyncio.sleep(0)
            return
        self._waiter = self._loop.create_future()
        timer = None if due is None else self._loop.call_at(due, _wake, self._waiter)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()


class _InFlight:
    """One request's place in the counts, given back exactly once."""

    def __init__(self, transport: ScriptedTransport) -> None:
        self._transport = transport
        self._kept = False
        self._ended = False

    def __enter__(self) -> _InFlight:
        transport = self._transport
        transport.in_flight += 1
        transport.peak_in_flight = max(transport.peak_in_flight, transport.in_flight)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._kept:
            self.end(aborted=isinstance(error, asyncio.CancelledError))

    def keep(self) -> _InFlight:
        """Stay in flight beyond the with block: a stream is open."""
        self._kept = True
        return self

    def end(self, *, aborted: bool) -> None:
        """Give the place back; only the first time counts."""
        if not self._ended:
            self._ended = True
            self._transport.in_flight -= 1
            self._transport.aborted += aborted


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _fresh(error: Exception) -> Exception:
    # What raises it writes endpoint and attempts on it: a repeated step must not show the last call's.
    return copy.copy(error) if isinstance(error, AsyncAPIError) else error
