"""What a run sees of the core, and where it interferes: the one place that knows the core's insides."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from asyncapi._core.call import Call
from asyncapi._core.endpoint import Endpoint
from asyncapi._core.lease import Lease
from asyncapi.policies.breaker import Permit, State
from asyncapi.policies.verdict import Judgement, Verdict
from asyncapi.testing.simulation.history import History, LeaseReturned, LeaseTaken

__all__ = ["Mischief", "Spy"]

T = TypeVar("T")


class Spy:
    """Watches one endpoint: notes every lease, and may strike in the turn of a grant.

    State: the ``leases`` that are out, by the lease's identity, and their count so far (``_number``); what
    the breaker was told last (``_blame``).
    """

    def __init__(self, endpoint: Endpoint, history: History, strike: Callable[[Call], None]) -> None:
        self.endpoint = endpoint
        self.leases: dict[int, tuple[int, Lease]] = {}
        self._history = history
        self._strike = strike
        self._number = 0
        worker, breaker = endpoint.worker, endpoint.breaker
        self._grant, self._settle = endpoint.grant, endpoint.settle
        self._worker_grant, self._count = worker._grant, breaker.settle
        self._blame = ""
        watched: list[tuple[object, str, Callable[..., Any]]] = [
            (endpoint, "grant", self._granting),
            (endpoint, "settle", self._settling),
            (worker, "_grant", self._handing_over),
            (breaker, "settle", self._counting),
        ]
        for thing, name, watching in watched:
            setattr(thing, name, watching)

    @property
    def name(self) -> str:
        """The endpoint's name."""
        return self.endpoint.name

    def _granting(self, call: Call, now: float) -> Lease:
        endpoint, queued = self.endpoint, call.waiter is not None
        lease = self._grant(call, now)
        self._number += 1
        self.leases[id(lease)] = (self._number, lease)
        options, permit = call.options, lease.permit
        self._history.add(
            LeaseTaken(
                endpoint.name,
                call.id,
                self._number,
                lease.key.name,
                endpoint.breaker.state.value,
                permit.generation,
                permit.probe,
                endpoint.semaphore.in_flight,
                endpoint.semaphore.limit.value,
                options.priority.name,
                options.tenant,
                call.tag if queued else None,
                call.cost,
                queued,
                not call.choosy,
                call.attempts,
            )
        )
        return lease

    def _counting(self, permit: Permit, verdict: Verdict, *more: Any) -> None:
        self._blame = verdict.value
        self._count(permit, verdict, *more)

    def _settling(self, lease: Lease, judgement: Judgement, *more: Any, **named: Any) -> None:
        endpoint = self.endpoint
        number, _ = self.leases.pop(id(lease), (0, None))
        generation, limit = endpoint.breaker.generation, endpoint.semaphore.limit.value
        self._settle(lease, judgement, *more, **named)
        self._history.add(
            LeaseReturned(
                endpoint.name,
                lease.call.id,
                number,
                self._blame,
                bool(lease.sent),
                lease.granted,
                lease.permit.generation,
                (generation, endpoint.breaker.generation),
                (limit, endpoint.semaphore.limit.value),
            )
        )

    def _handing_over(self, call: Call, now: float, *rest: Any) -> None:
        # Before or after the waiter gets its lease: both are moments in which a cancellation can meet it.
        self._strike(call)
        self._worker_grant(call, now, *rest)
        self._strike(call)

    # --- what holds between any two steps -----------------------------------------------------

    def faults(self) -> Iterator[tuple[str, str]]:
        """What does not hold now: an invariant's name and what was seen."""
        endpoint = self.endpoint
        in_flight, out = endpoint.semaphore.in_flight, len(self.leases)
        if in_flight != out:
            yield "permits_are_leases", f"{in_flight} permits are out for {out} leases"
        keys = sum(key.in_flight for key in endpoint.keys.keys)
        if keys > out or any(key.in_flight < 0 for key in endpoint.keys.keys):
            yield "permits_are_leases", f"keys count {keys} in flight for {out} leases"
        breaker = endpoint.breaker
        if breaker.probes > breaker.settings.probes or (
            breaker.probes and breaker.state is not State.HALF_OPEN
        ):
            yield (
                "probes_are_few",
                f"{breaker.probes} probes are out while the breaker is {breaker.state.value}",
            )

    def queue_faults(self) -> Iterator[tuple[str, str]]:
        """The same for what costs time to look at."""
        endpoint = self.endpoint
        queue = endpoint.queue
        calls = list(queue.calls())
        if queue.qsize() != len(calls):
            yield "the_queue_counts_right", f"it says {queue.qsize()} wait, {len(calls)} do"
        fresh = sum(not call.attempts for call in calls)
        if fresh > queue.bound:
            yield "the_queue_is_bounded", f"{fresh} newcomers wait, {queue.bound} may"

    def idle_fault(self, now: float) -> Iterator[tuple[str, str]]:
        """Whether somebody waits who could go, while nothing is about to happen."""
        endpoint = self.endpoint
        if endpoint.pace is not None or endpoint.breaker.state is not State.CLOSED or endpoint.queue.empty():
            return
        call = endpoint.queue.head()
        if call.waiter is None or call.waiter.done() or endpoint.semaphore.locked():
            return
        options = call.options
        tokens = call.tokens if endpoint.keys.metered else None
        key_s = endpoint.keys.wait(now, options.key, options.user, tokens)
        if endpoint.cool_until <= now and key_s == 0.0:
            yield "nobody_waits_for_nothing", f"{call.id} could go at {now:.6f} s, and nobody looks"

    def leftovers(self) -> Iterator[str]:
        """What is not at rest although no call is under way."""
        endpoint = self.endpoint
        queue = endpoint.queue
        counts = {
            "permits in flight": endpoint.semaphore.in_flight,
            "leases": len(self.leases),
            "calls in the queue": queue.qsize(),
            "requests in flight on keys": sum(abs(key.in_flight) for key in endpoint.keys.keys),
            "groups that gather": len(endpoint.batcher._open),
            "tasks beside the worker": max(0, len(endpoint.tasks) - 1),
            "probes": endpoint.breaker.probes,
        }
        for what, count in counts.items():
            if count:
                yield f"{endpoint.name} still has {count} {what}"


class Mischief:
    """What chaos does in the turn of a grant. State: ``over``, once all is to go well."""

    def __init__(self, strike: float, tamper: float, rng: random.Random) -> None:
        self.over = False
        self._strike, self._tamper, self._random = strike / 2, tamper / 2, rng

    def wants_strike(self) -> bool:
        """Whether to cancel the caller now. (Asked twice a grant.)"""
        return not self.over and bool(self._strike) and self._random.random() < self._strike

    def wants_tamper(self) -> bool:
        """Whether to change a key now."""
        return not self.over and bool(self._tamper) and self._random.random() < self._tamper

    def choose(self, among: Sequence[T]) -> T:
        """One of them."""
        return self._random.choice(among)
