"""Usage statistics: plain counters, read as one frozen value.

Memory is bounded whatever callers send: of models and of tags the first ``MOST_NAMES`` are counted by
name, the rest together as "other".
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any

from asyncapi.telemetry.values import (
    Batches,
    BreakerStatistics,
    CacheStatistics,
    Calls,
    EndpointStatistics,
    FlightStatistics,
    KeyStatistics,
    Live,
    ModelStatistics,
    Percentiles,
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
    RetryScheduled,
    RouteEjected,
    VerdictGiven,
)
from asyncapi.types.usage import Usage

__all__ = ["Collector"]

MOST_NAMES = 200
_GROWTH = 1.1
_MIDDLE = math.sqrt(_GROWTH)  # a bucket is told by its middle
#: Upper bounds of the histogram's buckets: 0.1 ms to about 3 h, each a tenth above the last (seconds).
_BOUNDS = [1e-4 * _GROWTH**i for i in range(194)]


_COUNTS = tuple(Tokens.__struct_fields__)


class _Tally:
    """Counters of one key, model or tag. State: all of its slots."""

    __slots__ = ("counts", "failed", "ok", "requests", "throttled")

    def __init__(self) -> None:
        self.requests = self.ok = self.throttled = self.failed = 0
        self.counts = [0, 0, 0, 0, 0]

    def add(self, usage: Usage) -> None:
        counts = self.counts
        counts[0] += usage.input_tokens or 0
        counts[1] += usage.output_tokens or 0
        counts[2] += usage.cache_read_tokens or 0
        counts[3] += usage.cache_write_tokens or 0
        counts[4] += usage.reasoning_tokens or 0

    def tokens(self) -> Tokens:
        return Tokens(**dict(zip(_COUNTS, self.counts, strict=True)))

    def as_model(self) -> ModelStatistics:
        return ModelStatistics(succeeded=self.ok, failed=self.failed, usage=self.tokens())


class _Times:
    """A histogram in log-spaced buckets. State: all of its slots."""

    __slots__ = ("buckets", "count", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(_BOUNDS) + 1)
        self.count = 0
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.buckets[bisect_left(_BOUNDS, seconds)] += 1
        self.count += 1
        self.total += seconds

    def percentiles(self) -> Percentiles:
        if not self.count:
            return Percentiles()
        return Percentiles(
            count=self.count,
            mean=self.total / self.count,
            p50=self._at(0.50),
            p95=self._at(0.95),
            p99=self._at(0.99),
        )

    def _at(self, share: float) -> float:
        rank = share * self.count
        place = bisect_left(list(accumulate(self.buckets)), rank)
        if place == 0:
            return 0.0  # below a tenth of a millisecond: no wait at all
        bound: float = _BOUNDS[min(place, len(_BOUNDS) - 1)]
        return bound / _MIDDLE


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
        self.batch_reasons: dict[str, int] = {}
        self.held = _Times()
        self.failures: dict[str, int] = {}
        self.keys: dict[str, _Tally] = {}
        self.models: dict[str, _Tally] = {}
        self.tags: dict[str, _Tally] = {}
        self.wait = _Times()
        self.service = _Times()


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
        self.found, self.shared = _Tally(), _Tally()
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


def _named(tallies: dict[str, _Tally], name: str) -> _Tally:
    tally = tallies.get(name)
    if tally is None:
        if len(tallies) >= MOST_NAMES:
            name = "other"
        tally = tallies.setdefault(name, _Tally())
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
        usage=Tokens(**dict(zip(_COUNTS, totals, strict=False))),
        queue=QueueStatistics(waiting=live.waiting, size=live.queue_size, wait=counters.wait.percentiles()),
        service_time=counters.service.percentiles(),
        in_flight=live.in_flight,
        peak_in_flight=live.peak_in_flight,
        limit=live.limit,
        breaker=_breaker(counters, live),
        ejections=counters.ejections,
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
    nothing = _Tally()
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
