"""The network of a run: a transport whose other end are simulated services."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType

import orjson

from asyncapi.errors import AsyncAPIError, ConnectError, ConnectionLostError
from asyncapi.testing.simulation.bodies import chat_answer, embedding_answer, stream_pieces
from asyncapi.testing.simulation.history import History, RequestArrived, RequestEnded
from asyncapi.testing.simulation.scenario import Plan, PlannedCall
from asyncapi.testing.simulation.services import Answer, Asked, Site
from asyncapi.types.wire import Outgoing, WireResponse

__all__ = ["Network", "SimulatedStream"]

#: Where in a chat's body the question begins; it ends with a bar.
_MARK = b'"content":"'
_STRANGER = PlannedCall(number=-1, at=0.0)


class Network:
    """Moves requests to the sites and their answers back. One for a run.

    State: how many requests came (``number``); who is ``_waiting`` and who
    left latest, by question; the ``sites`` have their own.
    """

    def __init__(self, plan: Plan, history: History, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.sites = {name: Site(name, plan) for name in plan.services}
        self.asking: dict[str, list[PlannedCall]] = {}
        self._waiting: dict[str, dict[str, None]] = {}
        self._latest: dict[str, str] = {}
        for call in plan.calls:
            self.expect(call)
        self.number = 0
        self.history = history
        self._places: dict[str, tuple[Site, str]] = {}

    def begins(self, call: PlannedCall) -> None:
        """A caller awaits its answer from now on."""
        if call.asks is not None:
            self._waiting.setdefault(call.question, {})[f"c{call.number}"] = None

    def ends(self, call: PlannedCall) -> None:
        """It does no longer; the last of those that ask the same is remembered."""
        if call.asks is not None:
            del self._waiting[call.question][f"c{call.number}"]
            self._latest[call.question] = f"c{call.number}"

    def _who(self, question: str, calls: list[PlannedCall]) -> Iterable[str]:
        """The callers that a question is from."""
        return self._waiting.get(question) or (self._latest.get(question, f"c{calls[0].number}"),)

    def expect(self, call: PlannedCall) -> None:
        """A call that may come: services answer by what it says of itself."""
        self.asking.setdefault(call.question, []).append(call)

    async def send(self, request: Outgoing, /) -> WireResponse:
        """The whole answer."""
        exchange = self._begin(request)
        with exchange:
            answer = exchange.answer
            if answer.delay:
                await asyncio.sleep(answer.delay)
            if answer.hangs:
                await asyncio.get_running_loop().create_future()
            if answer.cut is not None:
                raise exchange.fail(answer)
            exchange.how = str(answer.status)
            return WireResponse(status=answer.status, headers=answer.headers, body=exchange.body())

    async def open(self, request: Outgoing, /) -> SimulatedStream:
        """The answer's head; its pieces follow."""
        exchange = self._begin(request)
        try:
            answer = exchange.answer
            if answer.delay:
                await asyncio.sleep(answer.delay)
            if answer.hangs and not answer.after:
                await asyncio.get_running_loop().create_future()
            if answer.cut is not None and not answer.after:
                raise exchange.fail(answer)
            return SimulatedStream(exchange)
        except BaseException:
            exchange.end()
            raise

    async def aclose(self) -> None:
        """There is nothing to close."""

    def _begin(self, request: Outgoing) -> _Exchange:
        site, kind = self._place(request.url)
        caller = request.headers["X-Request-ID"]
        asked = self._read(request, kind)
        self.number += 1
        key = request.headers["Authorization"].removeprefix("Bearer ")
        answer = site.answer(asked, key, self.clock())
        exchange = _Exchange(self, site, answer, asked)
        self.history.add(
            RequestArrived(
                site.name,
                self.number,
                caller,
                key,
                asked.kind,
                asked.calls,
                asked.questions[0],
                answer.charged,
            )
        )
        return exchange

    def _place(self, url: str) -> tuple[Site, str]:
        place = self._places.get(url)
        if place is None:
            host, _, path = url.removeprefix("https://").partition("/")
            place = self._places[url] = (self.sites[host.removesuffix(".sim")], path.rpartition("/")[2])
        return place

    def _read(self, request: Outgoing, operation: str) -> Asked:
        body = request.body or b""
        if operation == "embeddings":
            questions = orjson.loads(body)["input"]
        else:
            start = body.index(_MARK) + len(_MARK)
            questions = [body[start : body.index(b"|", start)].decode()]
        asking = [self.asking.get(question) or [_STRANGER] for question in questions]
        names = tuple(
            name
            for question, calls in zip(questions, asking, strict=True)
            for name in self._who(question, calls)
        )
        tokens = sum(calls[0].input_tokens for calls in asking)
        if operation == "embeddings":
            return Asked("embed", names, tuple(questions), tokens, 0, 0)
        call = asking[0][0]
        kind = "stream" if b'"stream":true' in body else "chat"
        out = call.output_tokens if call.max_tokens is None else min(call.output_tokens, call.max_tokens)
        return Asked(kind, names, tuple(questions), tokens, out, call.max_tokens or 0)


class _Exchange:
    """One request at its site; leaves it exactly once.

    State: ``how`` it ended so far, and whether it did (``_over``).
    """

    def __init__(self, network: Network, site: Site, answer: Answer, asked: Asked) -> None:
        self.answer = answer
        self.asked = asked
        self.how = "aborted"
        self._network = network
        self._site = site
        self._number = network.number
        self._over = False
        site.enter()

    def __enter__(self) -> _Exchange:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def body(self) -> bytes:
        """The answer's bytes."""
        answer, asked = self.answer, self.asked
        if answer.body is not None:
            return answer.body
        if asked.kind == "embed":
            return embedding_answer([float(q[1:]) for q in asked.questions], asked.tokens_in)
        return chat_answer(asked.questions[0], asked.tokens_in, asked.tokens_out)

    def pieces(self) -> list[bytes]:
        """The answer's bytes as they come; the last of a stream says that it is whole."""
        if self.answer.body is not None or self.asked.kind != "stream":
            return [self.body()]
        return stream_pieces(self.asked.questions[0], self.asked.tokens_in, self.asked.tokens_out)

    def fail(self, answer: Answer) -> AsyncAPIError:
        """The connection is refused, or lost."""
        self.how = "refused" if answer.cut == "refused" else "lost"
        if answer.cut == "refused":
            return ConnectError("the simulated service refuses connections")
        return ConnectionLostError("the simulated connection was lost", sent=True)

    def end(self) -> None:
        """The service is done with it."""
        if self._over:
            return
        self._over = True
        whole = self.how == "200"
        used = self.asked.tokens_in + self.asked.tokens_out if whole else 0
        network = self._network
        self._site.leave(self.answer, used, network.clock())
        network.history.add(
            RequestEnded(self._site.name, self._number, self.how, self.answer.retry_after, used)
        )


class SimulatedStream:
    """An open answer: each ``read`` gives the next piece, no sooner than it is due.

    State: the ``_next`` piece, the ``_error`` that stopped it, the ``_waiter`` of a pending read.
    """

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange
        self._answer = exchange.answer
        self._pieces = exchange.pieces()
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._next = 0
        self._error: AsyncAPIError | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def status(self) -> int:
        """HTTP status."""
        return self._answer.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers."""
        return self._answer.headers

    async def read(self) -> bytes:
        """The next piece when it is due, ``b""`` at the end."""
        answer, turn = self._answer, self._next
        if self._error is not None:
            raise self._error
        broken = answer.after is not None and turn >= answer.after
        if broken and answer.hangs:
            await self._wait(None)
        elif turn < len(self._pieces) or broken:
            await self._wait(self._start + turn * answer.interval)
        if self._error is not None:
            raise self._error
        if broken:
            self._error = self._exchange.fail(answer)
            self._exchange.end()
            raise self._error
        self._next += 1
        if turn + 1 >= len(self._pieces):
            self._exchange.how = str(answer.status)
        if turn >= len(self._pieces):
            self._exchange.end()
            return b""
        return self._pieces[turn]

    def fail(self, error: AsyncAPIError, /) -> None:
        """Make the pending and every later ``read`` raise ``error``."""
        self._stop(error)

    def close(self) -> None:
        """Leave the stream. Idempotent."""
        self._stop(self._error or ConnectionLostError("the stream was closed here", sent=True))

    def _stop(self, error: AsyncAPIError) -> None:
        self._error = error
        self._exchange.end()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self, due: float | None) -> None:
        if due is not None and due <= self._loop.time():
            return
        waiter = self._waiter = self._loop.create_future()
        timer = None if due is None else self._loop.call_at(due, _wake, waiter)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
