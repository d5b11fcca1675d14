"""Usage statistics: plain counters, read as one frozen value.

Memory is bounded whatever callers send: of models and of tags the first ``MOST_NAMES`` are counted by
name, the rest together as "other".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from asyncapi.telemetry.counters import COUNTS, Tally, Times
from asyncapi.telemetry.values import (
    Batches,
    BreakerStatistics,
    CacheStatistics,
    Calls,
    EndpointStatistics,
    FlightStatistics,
    Hedges,
    KeyStatistics,
    Live,
    QueueStatistics,
    Statistics,
    Tokens,
)
from asyncapi.types.events import (
    BatchFlushed,
    BreakerChanged,
    CacheFailed,
    CacheHit,
    CacheMissed,
    CallFinished,
    Event,
    FlightJoined,
    FlightShared,
    HedgeEnded,
    HedgeSent,
    RetryScheduled,
    RouteEjected,
    VerdictGiven,
)

__all__ = ["Collector"]

MOST_NAMES = 200


class _Endpoint:
    """Counters of one endpoint. State: all of its slots."""

    __slots__ = (
        "batch_items",
        "batch_reasons",
        "batched",
        "batches",
        "cancelled",
        "ejections",
        "failures",
        "hedges",
        "hedges_lost",
        "hedges_tokens",
        "hedges_won",
        "held",
        "keys",
        "models",
        "opened",
        "refused",
        "retries",
        "service",
        "succeeded",
        "tags",
        "wait",
    )

    def __init__(self) -> None:
        self.succeeded = self.refused = self.cancelled = self.retries = 0
        self.batches = self.batched = self.batch_items = self.opened = self.ejections = 0
        self.hedges = self.hedges_won = self.hedges_lost = self.hedges_tokens = 0
        self.batch_reasons: dict[str, int] = {}
        self.held = Times()
        self.failures: dict[str, int] = {}
        self.keys: dict[str, Tally] = {}
        self.models: dict[str, Tally] = {}
        self.tags: dict[str, Tally] = {}
        self.wait = Times()
        self.service = Times()


_REFUSED = frozenset(
    {
        "queue_full",
        "circuit_open",
        "no_key",
        "deadline_exceeded",
        "budget_exceeded",
        "closed",
        "config",
        "refused",
    }
)


class _Before:
    """Counters of the stations before the route. State: all of its slots."""

    __slots__ = (
        "alike",
        "failures",
        "found",
        "found_money",
        "hits",
        "joined",
        "misses",
        "shared",
        "shared_money",
        "shares",
    )

    def __init__(self) -> None:
        self.alike = self.hits = self.misses = self.failures = self.joined = self.shares = 0
        self.found, self.shared = Tally(), Tally()
        self.found_money = self.shared_money = 0.0

    def cache(self) -> CacheStatistics:
        return CacheStatistics(
            hits=self.hits,
            semantic=self.alike,
            misses=self.misses,
            failures=self.failures,
            saved=self.found.tokens(),
            money=self.found_money,
        )

    def flights(self) -> FlightStatistics:
        return FlightStatistics(
            joined=self.joined, shared=self.shares, saved=self.shared.tokens(), money=self.shared_money
        )


class Collector:
    """A hook that counts.

    State: ``_endpoints``, the counters by endpoint, and those of what stands ``_before`` the route.
    """

    detail = False

    def __init__(self) -> None:
        self._endpoints: dict[str, _Endpoint] = {}
        self._before = _Before()
        self._handlers: dict[type[Event], Callable[[Any, Any], None]] = {
            CallFinished: self._call_finished,
            VerdictGiven: self._verdict_given,
            RetryScheduled: self._retry_scheduled,
            BatchFlushed: self._batch_flushed,
            BreakerChanged: self._breaker_changed,
            RouteEjected: self._route_ejected,
            CacheHit: self._cache_hit,
            CacheMissed: self._cache_missed,
            CacheFailed: self._cache_failed,
            FlightJoined: self._flight_joined,
            FlightShared: self._flight_shared,
            HedgeSent: self._hedge_sent,
            HedgeEnded: self._hedge_ended,
        }

    def on_event(self, event: Event, /) -> None:
        """Count it."""
        counters = self._endpoints.get(event.endpoint)
        if counters is None:
            counters = self._endpoints[event.endpoint] = _Endpoint()
        self._handlers[type(event)](counters, event)

    def wants(self, kind: type[Event], /) -> bool:
        """Only what is counted."""
        return kind in self._handlers

    def reset(self) -> None:
        """Count from zero."""
        self._endpoints.clear()
        self._before = _Before()

    def snapshot(self, live: Mapping[str, Live]) -> Statistics:
        """All counters as a frozen value, with what the endpoints are at this moment."""
        return Statistics(
            endpoints={
                name: _freeze(self._endpoints.get(name) or _Endpoint(), now) for name, now in live.items()
            },
            cache=self._before.cache(),
            flights=self._before.flights(),
        )

    # --- counting -----------------------------------------------------------------------------

    def _cache_hit(self, counters: _Endpoint, event: CacheHit) -> None:
        before = self._before
        before.hits += 1
        before.alike += event.similarity is not None
        before.found.add(event.usage)
        before.found_money += event.money or 0.0

    def _cache_missed(self, counters: _Endpoint, event: CacheMissed) -> None:
        self._before.misses += 1

    def _cache_failed(self, counters: _Endpoint, event: CacheFailed) -> None:
        self._before.failures += 1

    def _flight_joined(self, counters: _Endpoint, event: FlightJoined) -> None:
        self._before.joined += 1

    def _flight_shared(self, counters: _Endpoint, event: FlightShared) -> None:
        before = self._before
        before.shares += 1
        before.shared.add(event.usage)
        before.shared_money += event.money or 0.0

    def _call_finished(self, counters: _Endpoint, event: CallFinished) -> None:
        outcome = event.outcome
        model = _named(counters.models, event.model)
        tag = _named(counters.tags, event.tag) if event.tag else None
        counters.wait.add(event.queue_wait_s)
        if outcome == "ok":
            counters.succeeded += 1
            model.ok += 1
            if tag is not None:
                tag.ok += 1
            if event.usage is not None:
                model.add(event.usage)
                if event.key or event.attempts:
                    _named(counters.keys, event.key).add(event.usage)
                if tag is not None:
                    tag.add(event.usage)
        elif outcome == "cancelled":
            counters.cancelled += 1
        else:
            counters.refused += outcome in _REFUSED and not event.attempts
            counters.failures[outcome] = counters.failures.get(outcome, 0) + 1
            model.failed += 1
            if tag is not None:
                tag.failed += 1

    def _verdict_given(self, counters: _Endpoint, event: VerdictGiven) -> None:
        key = _named(counters.keys, event.key)
        key.requests += 1
        if event.verdict == "ok" or event.verdict == "slow":
            key.ok += 1
            counters.service.add(event.service_s)
        elif event.verdict == "throttled":
            key.throttled += 1
        elif event.error:
            key.failed += 1

    def _retry_scheduled(self, counters: _Endpoint, event: RetryScheduled) -> None:
        counters.retries += 1

    def _batch_flushed(self, counters: _Endpoint, event: BatchFlushed) -> None:
        counters.batches += 1
        counters.batched += event.items
        counters.batch_items += event.size
        counters.batch_reasons[event.reason] = counters.batch_reasons.get(event.reason, 0) + 1
        counters.held.add(event.waited_s)

    def _breaker_changed(self, counters: _Endpoint, event: BreakerChanged) -> None:
        counters.opened += event.new == "open"

    def _route_ejected(self, counters: _Endpoint, event: RouteEjected) -> None:
        counters.ejections += 1

    def _hedge_sent(self, counters: _Endpoint, event: HedgeSent) -> None:
        counters.hedges += 1

    def _hedge_ended(self, counters: _Endpoint, event: HedgeEnded) -> None:
        counters.hedges_won += event.won
        counters.hedges_lost += not event.won
        counters.hedges_tokens += event.input_tokens or 0


def _named(tallies: dict[str, Tally], name: str) -> Tally:
    tally = tallies.get(name)
    if tally is None:
        if len(tallies) >= MOST_NAMES:
            name = "other"
        tally = tallies.setdefault(name, Tally())
    return tally


def _freeze(counters: _Endpoint, live: Live) -> EndpointStatistics:
    failed = sum(counters.failures.values())
    totals = [sum(column) for column in zip(*(m.counts for m in counters.models.values()), strict=True)]
    return EndpointStatistics(
        backend=live.backend,
        calls=Calls(
            succeeded=counters.succeeded,
            failed=failed - counters.refused,
            refused=counters.refused,
            cancelled=counters.cancelled,
            failures=dict(counters.failures),
        ),
        requests=sum(key.requests for key in counters.keys.values()),
        retries=counters.retries,
        usage=Tokens(**dict(zip(COUNTS, totals, strict=False))),
        queue=QueueStatistics(waiting=live.waiting, size=live.queue_size, wait=counters.wait.percentiles()),
        service_time=counters.service.percentiles(),
        in_flight=live.in_flight,
        peak_in_flight=live.peak_in_flight,
        limit=live.limit,
        breaker=_breaker(counters, live),
        ejections=counters.ejections,
        hedges=Hedges(
            sent=counters.hedges,
            won=counters.hedges_won,
            lost=counters.hedges_lost,
            input_tokens=counters.hedges_tokens,
        ),
        batches=Batches(
            count=counters.batches,
            calls=counters.batched,
            items=counters.batch_items,
            reasons=dict(counters.batch_reasons),
            held=counters.held.percentiles(),
        ),
        keys=_freeze_keys(counters, live),
        models={name: tally.as_model() for name, tally in counters.models.items()},
        tags={name: tally.as_model() for name, tally in counters.tags.items()},
    )


def _breaker(counters: _Endpoint, live: Live) -> BreakerStatistics:
    calls, failed, slow = live.breaker_rates
    return BreakerStatistics(
        state=live.breaker, opened=counters.opened, calls=calls, failure_rate=failed, slow_rate=slow
    )


def _freeze_keys(counters: _Endpoint, live: Live) -> dict[str, KeyStatistics]:
    nothing = Tally()
    frozen = {}
    for name in [*live.keys, *(name for name in counters.keys if name not in live.keys)]:
        tally = counters.keys.get(name, nothing)
        in_flight, state = live.keys.get(name, (0, "removed"))
        frozen[name] = KeyStatistics(
            requests=tally.requests,
            ok=tally.ok,
            throttled=tally.throttled,
            failed=tally.failed,
            usage=tally.tokens(),
            in_flight=in_flight,
            state=state,
        )
    return frozen
