"""What statistics are counted with: tokens by name, and times in a histogram."""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import accumulate

from asyncapi.telemetry.values import ModelStatistics, Percentiles, Tokens
from asyncapi.types.usage import Usage

__all__ = ["COUNTS", "Tally", "Times"]

_GROWTH = 1.1
_MIDDLE = math.sqrt(_GROWTH)  # a bucket is told by its middle
#: Upper bounds of the histogram's buckets: 0.1 ms to about 3 h, each a tenth above the last (seconds).
_BOUNDS = [1e-4 * _GROWTH**i for i in range(194)]


COUNTS = tuple(Tokens.__struct_fields__)


class Tally:
    """Counters of one key, model or tag. State: all of its slots."""

    __slots__ = ("counts", "failed", "ok", "requests", "throttled")

    def __init__(self) -> None:
        self.requests = self.ok = self.throttled = self.failed = 0
        self.counts = [0, 0, 0, 0, 0]

    def add(self, usage: Usage) -> None:
        """Count an answer's tokens."""
        counts = self.counts
        counts[0] += usage.input_tokens or 0
        counts[1] += usage.output_tokens or 0
        counts[2] += usage.cache_read_tokens or 0
        counts[3] += usage.cache_write_tokens or 0
        counts[4] += usage.reasoning_tokens or 0

    def tokens(self) -> Tokens:
        """As a frozen value."""
        return Tokens(**dict(zip(COUNTS, self.counts, strict=True)))

    def as_model(self) -> ModelStatistics:
        """The same with how calls ended."""
        return ModelStatistics(succeeded=self.ok, failed=self.failed, usage=self.tokens())


class Times:
    """A histogram in log-spaced buckets. State: all of its slots."""

    __slots__ = ("buckets", "count", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(_BOUNDS) + 1)
        self.count = 0
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.buckets[bisect_left(_BOUNDS, seconds)] += 1
        self.count += 1
        self.total += seconds

    def percentiles(self) -> Percentiles:
        """As a frozen value."""
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
