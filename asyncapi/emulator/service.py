"""The way of one request through the emulator: read, record, fault, key, limits, answer, time, send."""

import asyncio
import random
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web

from asyncapi.emulator import delivery
from asyncapi.emulator.answers import question_digest
from asyncapi.emulator.dialects import Dialect
from asyncapi.emulator.exchange import Ask, Json, Problem, Reply, Trouble
from asyncapi.emulator.faults import PLAIN_NEIGHBOUR, Fault, FaultPlan
from asyncapi.emulator.headers import Wait, go_duration, wait_headers
from asyncapi.emulator.limits import Account, Excess, Ledger
from asyncapi.emulator.records import Records, Visit
from asyncapi.emulator.timing import Timing

OUTAGE = "outage"
"""What a record says of a request that fell into an outage."""

_REFUSALS: dict[Fault, tuple[Trouble, str]] = {
    Fault.SERVER_ERROR: (Trouble.SERVER_ERROR, "The server had an error while processing your request."),
    Fault.UNAVAILABLE: (Trouble.UNAVAILABLE, "The service is temporarily unavailable."),
    Fault.OVERLOADED: (Trouble.OVERLOADED, "Overloaded"),
    Fault.QUOTA: (
        Trouble.QUOTA,
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    Fault.REVOKED: (Trouble.UNAUTHORIZED, "Incorrect API key provided."),
}
_ID_HEADERS = ("x-request-id", "x-client-request-id")


@dataclass(slots=True)
class Arrival:
    """A request that has been read.

    ``body`` is empty where the bytes are no JSON object; ``readable`` says whether they were.
    """

    request: web.Request
    dialect: Dialect
    path: str
    raw: bytes
    body: Json
    readable: bool
    serial: int
    visit: Visit
    key: str


class Service:
    """Answers requests; the emulator configures it and keeps its clock.

    State that changes: ``plan``, ``ledger``, ``timing`` may be replaced at any time; ``revoked`` and
    ``exhausted`` hold keys; ``outage`` is the end and the kind of an outage started by hand.
    """

    def __init__(
        self,
        seed: int,
        dialects: Mapping[str, Dialect],
        records: Records,
        timing: Timing,
        plan: FaultPlan,
        ledger: Ledger,
        *,
        require_key: bool,
    ) -> None:
        self.plan, self.ledger, self.timing, self.records = plan, ledger, timing, records
        self.require_key = require_key
        self.revoked: set[str] = set()
        self.exhausted: dict[str, Trouble] = {}
        self.outage: tuple[float, Fault] = (0.0, Fault.UNAVAILABLE)
        self.closing = asyncio.Event()
        self._seed = seed
        self._dialects = dialects
        self._dice = random.Random(seed)
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._serial = 0
        self.started = time.monotonic()

    def restart_clock(self) -> None:
        """Count time from now on."""
        self.started = time.monotonic()

    def now(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request of any service."""
        path: str = request.match_info["path"]
        dialect = self._dialects.get(path.partition("/")[0])
        if dialect is None:
            return web.json_response({"error": f"no service at /{path}"}, status=404)
        arrival = await self._read(request, dialect, path)
        self.records.arrive(arrival.visit)
        try:
            return await self._serve(arrival)
        except (asyncio.CancelledError, ConnectionError):
            # A cut of our own is the last thing before a return, so it never ends here.
            arrival.visit.aborted = not self.closing.is_set()
            raise
        finally:
            self.records.finish(arrival.visit)

    async def _read(self, request: web.Request, dialect: Dialect, path: str) -> Arrival:
        raw = await request.read()
        body, readable = dialect.read(path, request.headers, raw)
        self._serial += 1
        key = dialect.key(request.headers)
        if not key and (key := dialect.key_in_query(request.query)) and not dialect.signs_urls:
            self.records.keys_in_url += 1
        visit = Visit(
            self.now(),
            dialect.name,
            "/" + path,
            key,
            next((request.headers[name] for name in _ID_HEADERS if name in request.headers), ""),
            dialect.model_in(path, body),
            question_digest(dialect.question_in(body)),
            len(raw),
        )
        if self._in_outage():
            visit.fault = OUTAGE
        else:
            visit.fault = self.plan.next(visit.path, visit.model, raw)
        return Arrival(request, dialect, path, raw, body, readable, self._serial, visit, key)

    def _in_outage(self) -> bool:
        now = self.now()
        planned = self.plan.faults.outage_at
        return now < self.outage[0] or (planned is not None and planned[0] <= now < planned[0] + planned[1])

    async def _serve(self, arrival: Arrival) -> web.StreamResponse:
        fault = self._effective_fault(arrival.visit)
        if fault is Fault.CUT_BEFORE:
            return delivery.cut(arrival.request)
        if fault is Fault.SILENCE:
            return await self._silence(arrival.request)
        account = self.ledger.account(
            arrival.dialect.name, arrival.key, self.now(), by_day=arrival.dialect.limits_by_day
        )
        refusal = self._refusal_by_fault(arrival, fault)
        if refusal is not None:
            return delivery.whole(self._finished(arrival, refusal, account))
        if account is None:
            return await self._answer(arrival, fault, None)
        account.in_flight += 1
        try:
            return await self._answer(arrival, fault, account)
        finally:
            account.in_flight -= 1

    def _effective_fault(self, visit: Visit) -> Fault | None:
        if visit.fault != OUTAGE:
            return None if visit.fault is None else Fault(visit.fault)
        by_hand = self.now() < self.outage[0]
        return self.outage[1] if by_hand else Fault(self.plan.faults.outage_kind)

    async def _silence(self, request: web.Request) -> web.StreamResponse:
        """Say nothing until the client leaves, the time is over or the emulator closes."""
        try:
            async with asyncio.timeout(self.plan.faults.silence_for):
                await self.closing.wait()
        except TimeoutError:
            pass
        return delivery.cut(request)

    def _refusal_by_fault(self, arrival: Arrival, fault: Fault | None) -> Reply | None:
        """The refusal that a fault alone causes; it takes no service time and charges no limit."""
        if fault is None:
            return None
        if fault.startswith("429_"):
            wait = wait_headers(fault.removeprefix("429_"), self.plan.faults.retry_after, _wall())
            return self._told_to_wait(arrival, Problem(Trouble.RATE_LIMITED, "Rate limit reached."), wait)
        if fault not in _REFUSALS:
            return None
        if self.plan.faults.sticky and arrival.key:
            self._remember(arrival.key, fault)
        trouble, message = _REFUSALS[fault]
        if trouble is Trouble.QUOTA and not arrival.dialect.needs_key:
            trouble = Trouble.UNAVAILABLE
        return self._refused(arrival, Problem(trouble, message))

    def _remember(self, key: str, fault: Fault) -> None:
        if fault is Fault.REVOKED:
            self.revoked.add(key)
        elif fault is Fault.QUOTA:
            self.exhausted[key] = Trouble.QUOTA

    async def _answer(
        self, arrival: Arrival, fault: Fault | None, account: Account | None
    ) -> web.StreamResponse:
        """Admit, compose, take the time that it takes, send."""
        try:
            self._admit(arrival, account)
            reply = self._charged(arrival, self._composed(arrival), account)
        except Problem as problem:
            reply = self._refused(arrival, problem)
        if reply.frames is None and fault is not None:
            fault = PLAIN_NEIGHBOUR.get(fault, fault)
            if fault is Fault.SERVER_ERROR and reply.status < 300:
                reply = self._refused(arrival, Problem(*_REFUSALS[fault]))
        self._finished(arrival, reply, account)
        if reply.status >= 300:
            return await self._send(arrival, reply, fault)
        async with self._slot(arrival.dialect.name):
            start = self.timing.start(reply.input_tokens, self._dice.random())
            if reply.frames is None:
                start += self.timing.per_token * reply.output_tokens
            if start > 0:
                await asyncio.sleep(start)
            return await self._send(arrival, reply, fault)

    def _slot(self, service: str) -> AbstractAsyncContextManager[None]:
        if self.timing.concurrency is None:
            return nullcontext()
        if service not in self._slots:
            self._slots[service] = asyncio.Semaphore(self.timing.concurrency)
        return self._slots[service]

    def _admit(self, arrival: Arrival, account: Account | None) -> None:
        """Refuse requests without a good key, and those above the number of concurrent ones."""
        dialect, key = arrival.dialect, arrival.key
        if key in self.revoked:
            raise Problem(Trouble.UNAUTHORIZED, "Incorrect API key provided.")
        if self.require_key and dialect.needs_key and not key:
            raise Problem(Trouble.UNAUTHORIZED, "You didn't provide an API key.", param="api_key")
        if key in self.exhausted and dialect.needs_key:
            raise Problem(self.exhausted[key], _REFUSALS[Fault.QUOTA][1])
        if account is not None and account.crowded:
            raise Problem(_over_limit(dialect), "Too many concurrent requests.")

    def _composed(self, arrival: Arrival) -> Reply:
        """What the dialect says, be it a refusal."""
        try:
            return self._handled(arrival)
        except Problem as problem:
            return self._refused(arrival, problem)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # Fields of types that nobody expects: the caller's fault, as it is with the real services.
            return self._refused(arrival, Problem(Trouble.INVALID, f"Invalid type in the request: {error}"))

    def _handled(self, arrival: Arrival) -> Reply:
        if len(arrival.raw) > arrival.dialect.body_limit:
            raise Problem(Trouble.BODY_TOO_LARGE, "Request body too large")
        found = arrival.dialect.find(arrival.request.method, arrival.path)
        if found is None:
            raise Problem(Trouble.NO_ROUTE, f"Unknown request URL: {arrival.request.method} /{arrival.path}")
        if not arrival.readable:
            raise Problem(Trouble.NOT_JSON, "We could not parse the JSON body of your request.")
        handler, tail = found
        request = arrival.request
        return handler(
            Ask(
                request.method,
                arrival.path,
                tail,
                request.query,
                request.headers,
                arrival.body,
                arrival.raw,
                self._seed,
                _wall(),
                arrival.serial,
                request.rel_url.raw_path,
                request.rel_url.raw_query_string,
            )
        )

    def _charged(self, arrival: Arrival, reply: Reply, account: Account | None) -> Reply:
        """The reply, or the refusal that the rate limits put in its place."""
        if account is None:
            return reply
        excess = account.charge(reply.input_tokens, reply.output_tokens, self.now())
        if excess is None:
            return reply
        problem = _excess_problem(excess, arrival.dialect)
        if excess.wait is None or problem.trouble is Trouble.BUSY:
            return self._refused(arrival, problem)
        return self._told_to_wait(
            arrival, problem, wait_headers(arrival.dialect.wait_form, excess.wait, _wall())
        )

    def _told_to_wait(self, arrival: Arrival, problem: Problem, wait: Wait) -> Reply:
        problem.wait = wait.seconds
        reply = self._refused(arrival, problem)
        if not arrival.dialect.waits_in_body:
            reply.headers.update(wait.headers)
        if wait.seconds is not None:
            arrival.visit.retry_after_until = self.now() + wait.seconds
        return reply

    def _refused(self, arrival: Arrival, problem: Problem) -> Reply:
        return arrival.dialect.refuse_at(problem, arrival.path, arrival.request.query, arrival.serial)

    def _finished(self, arrival: Arrival, reply: Reply, account: Account | None) -> Reply:
        """The reply with the headers that every one has."""
        headers = arrival.dialect.id_headers(arrival.serial)
        if account is not None:
            readings = account.readings(self.now())
            headers.update(arrival.dialect.limit_headers(readings, _wall()))
        # What was said by the refusal itself wins: a reset that a fault promises, for one.
        reply.headers = {**headers, **reply.headers}
        arrival.visit.status = reply.status
        return reply

    async def _send(self, arrival: Arrival, reply: Reply, fault: Fault | None) -> web.StreamResponse:
        request, pause = arrival.request, self.plan.faults.byte_pause
        if reply.frames is not None:
            pace = delivery.Pace(asyncio.get_running_loop().time(), self.timing.per_token)
            return await delivery.send_stream(
                request, reply, fault, pace, pause, arrival.dialect.stream_error
            )
        if fault is Fault.GARBLED:
            reply.body = delivery.garbled(reply.body)
        if fault in (Fault.CUT_BODY, Fault.CUT_AFTER, Fault.SLOW_BYTES) and request.method != "HEAD":
            return await delivery.send_plain(request, reply, fault, pause)
        return delivery.whole(reply)


def _wall() -> float:
    """Seconds since 1970: services tell clients wall-clock times."""
    return datetime.now(UTC).timestamp()


def _over_limit(dialect: Dialect) -> Trouble:
    """Who sells tokens says 429; a server of one's own says that it is full."""
    return Trouble.RATE_LIMITED if dialect.needs_key else Trouble.BUSY


def _excess_problem(excess: Excess, dialect: Dialect) -> Problem:
    dimension = "requests" if excess.dimension.startswith("requests") else "tokens"
    text = f"Rate limit reached on {excess.dimension.replace('_', ' ')} per minute: Limit {excess.limit}."
    if excess.wait is None:
        trouble = Trouble.TOO_LARGE_FOR_LIMIT if dialect.needs_key else Trouble.BUSY
        return Problem(trouble, f"Request too large. {text}", param=dimension)
    text += f" Please try again in {go_duration(excess.wait)}."
    return Problem(_over_limit(dialect), text, param=dimension)
