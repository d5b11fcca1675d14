"""What guards one service: grants leases, and settles them.

Everything here is synchronous: between two awaits every invariant holds by construction.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from asyncapi._core import refusals
from asyncapi._core.admission import Wait, admit
from asyncapi._core.backoff import Backoff
from asyncapi._core.batcher import Batcher
from asyncapi._core.call import Call
from asyncapi._core.deadlines import Deadlines
from asyncapi._core.hedging import HedgedStream, Hedger, Plan, hedged, with_other_key
from asyncapi._core.learning import Learner
from asyncapi._core.lease import Lease
from asyncapi._core.metering import cost, settle_tokens
from asyncapi._core.perform import attempts
from asyncapi._core.queue import CallQueue
from asyncapi._core.semaphore import Semaphore
from asyncapi._core.settling import blamed, ended, timed
from asyncapi._core.streaming import Stream
from asyncapi._core.tasks import Tasks
from asyncapi._core.worker import Worker
from asyncapi.abc import ServiceBackend, Transport
from asyncapi.config import Batch, Breaker, Hedge, OnOpen, Shed, Timeout
from asyncapi.errors import AsyncAPIError, ClientClosedError, NotSentError
from asyncapi.policies.breaker import CircuitBreaker, State
from asyncapi.policies.ejection import Ejection
from asyncapi.policies.fairness import Order
from asyncapi.policies.keys import KeyRing
from asyncapi.policies.limits import Limit
from asyncapi.policies.retry import Random, RetryBudget, RetryPolicy
from asyncapi.policies.shedding import CoDel, Throughput
from asyncapi.policies.slowness import Slowness
from asyncapi.policies.tokens import Estimates
from asyncapi.policies.verdict import IGNORED, Judgement, Verdict
from asyncapi.types.events import (
    BreakerChanged,
    Event,
    LimitGranted,
    QueueEntered,
    QueueRefused,
    VerdictGiven,
)
from asyncapi.types.requests import Priority
from asyncapi.types.responses import Response

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

__all__ = ["Endpoint", "Parts"]

_OK = Verdict.OK


class Parts(msgspec.Struct, kw_only=True):
    """What an endpoint is put together from."""

    name: str
    backend: ServiceBackend
    transport: Transport
    base_url: str
    keys: KeyRing
    limit: Limit
    order: Order
    queue_size: int
    retry: RetryPolicy
    budget: RetryBudget
    breaker: Breaker
    random: Random
    batch: Batch
    timeout: Timeout
    on_open: OnOpen
    shed: Shed
    clock: Callable[[], float]
    emit: Callable[[Event], None]
    detail: bool
    deadlines: Deadlines
    pace: AsyncLimiter | None = None
    learner: Learner | None = None
    hedge: Hedge | None = None
    hedged: bool = False


class Endpoint:
    """One service at one address.

    State: the ``queue`` and its ``_sequence``; the ``semaphore``; the ``breaker``; the ``keys``;
    ``cool_until`` (no key may go before); ``paced`` (a turn of the pace is in hand); the retry
    ``budget``; ``typical_s`` (running mean of good attempts' time); ``estimates`` of tokens;
    whether it ``weighs`` calls by them (another flow than the usual one was seen); the ``throughput``
    while calls wait, and ``codel`` for HIGH and for NORMAL;
    what the service said is ``waiting_there``, and when it was ``waiting_told``; the ``worker``; the
    ``tasks``; who waits in ``backoff``; how many ``calls`` are under way, from entry to end, and whom to
    tell when none is (``on_rest``, once it drains); ``closed``.
    """

    def __init__(self, parts: Parts) -> None:
        self.name = parts.name
        self.backend = parts.backend
        self.transport = parts.transport
        self.base_url = parts.base_url
        self.request_id_header = parts.backend.service.request_id_header
        self.waiting_there = self.waiting_told = 0.0
        self.timeout = parts.timeout
        self.on_open: OnOpen = parts.on_open
        self.clock = parts.clock
        self.emit = parts.emit
        self.deadlines = parts.deadlines
        self.detail = parts.detail
        self.keys = parts.keys
        self.retry = parts.retry
        self.budget = parts.budget
        self.pace = parts.pace
        self.learner = parts.learner
        self.plan = Plan(Hedger(parts.hedge), with_other_key) if parts.hedge is not None else None
        self.attempts = hedged if parts.hedged else attempts
        self.stream: type[Stream[Any]] = HedgedStream if parts.hedged else Stream
        self.paced = False
        self.cool_until = -math.inf
        self.typical_s = 0.0
        self.estimates = Estimates()
        self.shed = parts.shed
        self.throughput = Throughput()
        self.codel = (CoDel(), CoDel())
        self.weighs = False
        self.closed = False
        self.semaphore = Semaphore(parts.limit)
        self.breaker = CircuitBreaker(parts.breaker, self._breaker_changed, parts.random)
        self.slowness = Slowness(parts.breaker)
        self.ejection = Ejection(parts.breaker, parts.random)
        self.order = parts.order
        self.queue = CallQueue(parts.queue_size)
        self._sequence = 0
        self._foremost = {priority: self._tag_alone(priority) for priority in Priority}
        self.tasks = Tasks()
        self.backoff = Backoff()
        self.calls = 0
        self.on_rest: Callable[[], None] | None = None
        self.worker = Worker(self)
        self.batcher = Batcher(self, parts.batch)

    # --- admitting ----------------------------------------------------------------------------

    def rest(self, call: Call, now: float) -> float:
        """Seconds for which the service asked to be left alone, by every key that ``call`` may use."""
        return max(0.0, self.cool_until - now) or self.keys.rest(now, call.options.key, call.options.user)

    @property
    def idle(self) -> bool:
        """Whether nobody waits and a permit is free."""
        return self.queue.empty() and not self.semaphore.locked()

    async def acquire(self, call: Call) -> Lease:
        """A lease for ``call``, at once where nothing is in the way, else in its turn.

        Raises:
            NotSentError: Refused; which subclass says why.
        """
        now = call.entered = self.clock()
        if not call.sequence:
            self._sequence += 1
            call.sequence = self._sequence
        decision = admit(self, call, now)
        if type(decision) is Lease:
            return decision
        waiter = self._enqueue(call, decision)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                # Granted between the worker's turn and ours: nobody else can give it back.
                self.settle(waiter.result(), IGNORED)
            elif call.waiting:
                self.leave(call)
            raise

    def grant(self, call: Call, now: float) -> Lease:
        """Take everything at once; every station has said that it may be taken."""
        self.semaphore.acquire_nowait()
        permit = self.breaker.take(now)
        options = call.options
        key = self.keys.take(now, options.key, options.user, options.session, call.tokens)
        waited = now - call.entered
        call.queue_s += waited
        call.key = key.name
        if self.detail:
            self.emit(
                LimitGranted(
                    endpoint=self.name,
                    request_id=call.id,
                    key=key.name,
                    queue_wait_s=waited,
                    in_flight=self.semaphore.in_flight,
                )
            )
        lease = Lease(call, permit, key, now)
        if key.meter is not None and call.tokens is not None:
            lease.charge = key.meter.take(call.tokens, now)
        return lease

    def refused(self, call: Call, refusal: NotSentError) -> AsyncAPIError:
        """Tell that ``call`` is refused: what it ends with."""
        self.emit(
            QueueRefused(
                endpoint=self.name,
                request_id=call.id,
                error=refusal.kind,
                retry_after_s=refusal.retry_after,
            )
        )
        # A call that was sent before ends with what the service said, not with our refusal to go on.
        return call.last_error or refusal

    def _enqueue(self, call: Call, wait: Wait) -> asyncio.Future[Lease]:
        options = call.options
        if self.weighs or options.tenant or options.priority is not Priority.NORMAL:
            self.weighs = True
            call.cost = cost(call)
        tag = self.order.enter(options.tenant, options.priority, call.cost)
        if call.attempts:
            # Another attempt keeps the place that the first one had; nobody waited if that had none.
            kept = self._foremost[options.priority] if call.tag is None else call.tag
            tag = min(kept, tag)
        call.tag = tag
        call.waiter = waiter = asyncio.get_running_loop().create_future()
        self.queue.put_nowait((call.tag, call.sequence, call))
        self.worker.kick()
        if self.detail:
            self.emit(
                QueueEntered(
                    endpoint=self.name,
                    request_id=call.id,
                    priority=options.priority.name,
                    waiting=self.queue.qsize(),
                    waits_for=wait.station,
                )
            )
        return waiter

    def _tag_alone(self, priority: Priority) -> float:
        """The start tag of a call that finds nobody waiting."""
        tag = self.order.enter("", priority, 1.0)
        self.order.left("", priority, tag, 1.0)
        return tag

    def leave(self, call: Call) -> None:
        """A waiting call goes without its turn."""
        call.waiter = None
        self.queue.discard(call)
        assert call.tag is not None
        self.order.left(call.options.tenant, call.options.priority, call.tag, call.cost)
        now = self.clock()
        call.queue_s += now - call.entered
        self.worker.kick()  # the head may be another one now

    def hurry(self, call: Call, priority: Priority) -> None:
        """A call becomes more urgent; one that waits gets the place of a newcomer, if that is better."""
        old, new = call.options, msgspec.structs.replace(call.options, priority=priority)
        if call.waiting:
            assert call.tag is not None
            tag = self.order.enter(new.tenant, priority, call.cost)
            if tag >= call.tag:
                self.order.left(new.tenant, priority, tag, call.cost)
                self.queue.keep(call, priority)
                return
            self.order.left(old.tenant, old.priority, call.tag, call.cost)
            call.tag, call.options = tag, new
            self.queue.move(call)
            self.worker.kick()
        call.options = new

    def reject(self, call: Call, error: AsyncAPIError) -> None:
        """End a waiting call with an error."""
        waiter = call.waiter
        self.leave(call)
        if waiter is not None and not waiter.done():
            waiter.set_exception(call.last_error or error)

    # --- settling -----------------------------------------------------------------------------

    def settle(
        self,
        lease: Lease,
        judgement: Judgement,
        error: AsyncAPIError | None = None,
        response: Response | None = None,
    ) -> None:
        """Give everything back, exactly once, and let every policy learn from the verdict."""
        if lease.released:
            raise AssertionError(f"lease of {lease.call.id} released twice")
        lease.released = True
        now = self.clock()
        call, key, verdict = lease.call, lease.key, judgement.verdict
        learn = self.semaphore.learn
        if learn is not None and lease.sent:
            learn(ended(lease, verdict, now, error, response))
        self.semaphore.release()
        key.in_flight -= 1
        retry_after = error.retry_after if error is not None else None
        if call.tokens is not None:
            settle_tokens(lease, error, response, now)
        took = now - lease.granted
        good = verdict is _OK
        if good and took > self.slowness.notice_s:
            verdict = timed(lease, took)
        blame = verdict if good else blamed(lease, verdict, now)
        self.breaker.settle(lease.permit, blame, now, retry_after)
        if lease.sent:
            call.ended += 1
            call.service_s = took
            if good:
                key.throttles = 0
                key.ok += 1
                self.typical_s += (took - self.typical_s) * (0.1 if self.typical_s else 1.0)
            self.emit(
                VerdictGiven(
                    endpoint=self.name,
                    request_id=call.id,
                    key=key.name,
                    attempt=lease.sent,
                    verdict=verdict.value,
                    error=error.kind if error is not None else "",
                    service_s=took,
                )
            )
            if self.learner is not None:
                self.learner.settled(lease, verdict, took, retry_after, now)
        else:
            key.give_back()
        self.worker.kick()

    def _breaker_changed(self, old: State, new: State, reason: str) -> None:
        self.emit(BreakerChanged(endpoint=self.name, old=old.value, new=new.value, reason=reason))
        if new is State.OPEN or new is State.FORCED_OPEN:
            for call in self.queue.calls():
                if call.on_open == "fail":
                    self.reject(call, refusals.circuit_open(self, self.clock()))
        elif new is not State.HALF_OPEN and old is not State.CLOSED and old is not State.FORCED_CLOSED:
            self.semaphore.restart(self.clock())  # those who wait must not come all at once
            self.worker.kick()

    def reject_keyless(self) -> None:
        """A key was parked or removed: calls that have none left don't wait for it."""
        now = self.clock()
        for call in self.queue.calls():
            if self.keys.wait(now, call.options.key, call.options.user) == math.inf:
                self.reject(call, refusals.no_key(self, call, now))

    # --- closing ------------------------------------------------------------------------------

    def drain(self, on_rest: Callable[[], None]) -> None:
        """No newcomers from now on; ``on_rest`` is called when no call is under way any more."""
        self.on_rest = on_rest
        self.batcher.flush()

    async def aclose(self) -> None:
        """Refuse what waits, stop the worker and every other task."""
        self.closed = True
        self.batcher.drop(ClientClosedError("the client was closed while the call was gathered"))
        for call in self.queue.calls():
            self.reject(call, ClientClosedError("the client was closed while the call waited"))
        self.backoff.end()
        await self.tasks.aclose()
