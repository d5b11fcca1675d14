"""What ``Client.statistics()`` gives: frozen values."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

__all__ = [
    "Batches",
    "BreakerStatistics",
    "CacheStatistics",
    "Calls",
    "EndpointStatistics",
    "FlightStatistics",
    "Hedges",
    "KeyStatistics",
    "Live",
    "ModelStatistics",
    "Percentiles",
    "QueueStatistics",
    "Statistics",
    "Tokens",
]


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """A distribution of times. Units: seconds; None without any. Exact to 5 %."""

    count: int = 0
    mean: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens added up; what a service did not report is not in it."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


class Calls(msgspec.Struct, frozen=True, kw_only=True):
    """How calls ended. ``refused`` were never sent; ``failures`` counts failed and refused by kind."""

    succeeded: int = 0
    failed: int = 0
    refused: int = 0
    cancelled: int = 0
    failures: Mapping[str, int] = {}

    @property
    def finished(self) -> int:
        """All of them."""
        return self.succeeded + self.failed + self.refused + self.cancelled


class KeyStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """One key: requests sent with it, how they ended, what they used, and how the key is now."""

    requests: int = 0
    ok: int = 0
    throttled: int = 0
    failed: int = 0
    usage: Tokens = Tokens()
    in_flight: int = 0
    state: str = "removed"


class ModelStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """One model (or tag): calls and tokens."""

    succeeded: int = 0
    failed: int = 0
    usage: Tokens = Tokens()


class QueueStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """The queue now, and how long calls waited in it."""

    waiting: int = 0
    size: int = 0
    wait: Percentiles = Percentiles()


class BreakerStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """The breaker now, and how often it opened by itself.

    ``state`` is "closed", "open", "half-open", or "forced-open" or "forced-closed" by an operator.
    ``failure_rate`` and ``slow_rate`` are shares of the ``calls`` in its window.
    """

    state: str = "closed"
    opened: int = 0
    calls: int = 0
    failure_rate: float = 0.0
    slow_rate: float = 0.0


class Batches(msgspec.Struct, frozen=True, kw_only=True):
    """How many batches were sent, with how many calls and ``items`` (texts, rows, keys) in them.

    ``reasons`` counts for what they went: "idle", "turn", "full", "wait", "urgent", "drain", "alone" (see
    ``BatchFlushed``). ``held`` is how long the first call of each waited for its batch to go.
    """

    count: int = 0
    calls: int = 0
    items: int = 0
    reasons: Mapping[str, int] = {}
    held: Percentiles = Percentiles()

    @property
    def saved(self) -> int:
        """How many requests fewer than if each call had gone alone, before retries and halves."""
        return self.calls - self.count

    @property
    def calls_each(self) -> float:
        """How many calls a batch had on average."""
        return self.calls / self.count if self.count else 0.0


class Hedges(msgspec.Struct, frozen=True, kw_only=True):
    """Second copies of calls: ``sent``, and how many had the first answer (``won``) or not (``lost``).

    ``input_tokens`` were sent twice, as far as the answers say how many they were; of streams they don't.
    """

    sent: int = 0
    won: int = 0
    lost: int = 0
    input_tokens: int = 0


class EndpointStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint. ``requests`` are attempts sent, ``calls`` what callers asked for, ``ejections`` how often
    a route left a model of it out.
    """

    backend: str = ""
    calls: Calls = Calls()
    requests: int = 0
    retries: int = 0
    usage: Tokens = Tokens()
    queue: QueueStatistics = QueueStatistics()
    service_time: Percentiles = Percentiles()
    in_flight: int = 0
    peak_in_flight: int = 0
    limit: int = 0
    breaker: BreakerStatistics = BreakerStatistics()
    ejections: int = 0
    hedges: Hedges = Hedges()
    batches: Batches = Batches()
    keys: Mapping[str, KeyStatistics] = {}
    models: Mapping[str, ModelStatistics] = {}
    tags: Mapping[str, ModelStatistics] = {}

    @property
    def queue_wait(self) -> Percentiles:
        """How long calls waited for their lease."""
        return self.queue.wait


class CacheStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Calls that the cache had an answer to (``hits``), or none (``misses``), and what the hits saved.

    ``semantic`` are the hits that were found by meaning. ``failures`` are those of the store, and of
    embeddings. ``money`` counts the models that have a price in the settings.
    """

    hits: int = 0
    semantic: int = 0
    misses: int = 0
    failures: int = 0
    saved: Tokens = Tokens()
    money: float = 0.0

    @property
    def hit_rate(self) -> float | None:
        """The share of hits, None before the first call."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else None


class FlightStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Calls that ``joined`` an identical one in flight, those that got its answer, and what that saved."""

    joined: int = 0
    shared: int = 0
    saved: Tokens = Tokens()
    money: float = 0.0


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """Everything counted since the client was made or ``reset_statistics`` was called.

    A call is counted once: as a hit of the ``cache``, as one that joined another in ``flights``, or at
    its endpoint.
    """

    endpoints: Mapping[str, EndpointStatistics] = {}
    cache: CacheStatistics = CacheStatistics()
    flights: FlightStatistics = FlightStatistics()


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """What an endpoint is at this moment, for the snapshot.

    ``breaker_rates``: calls in the window, shares that failed and were slow. ``keys``: name to (in flight,
    state).
    """

    backend: str
    waiting: int
    queue_size: int
    in_flight: int
    peak_in_flight: int
    limit: int
    breaker: str
    breaker_rates: tuple[int, float, float] = (0, 0.0, 0.0)
    keys: Mapping[str, tuple[int, str]]
