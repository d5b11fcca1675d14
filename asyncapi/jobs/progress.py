"""Where a run stands, and who is told."""

from __future__ import annotations

import math
from typing import Protocol

from asyncapi.config import Price
from asyncapi.types.usage import Usage

__all__ = ["Latencies", "Progress", "Reporter", "Saved", "SilentReporter"]


class Latencies:
    """Percentiles of any number of durations in constant memory: buckets that are 5 % wide.

    Units: seconds, from 0.1 ms to some days.
    """

    _BASE = math.log(1.05)
    _LEAST = 1e-4

    def __init__(self) -> None:
        self._counts = [0] * 440
        self._total = 0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        bucket = int(math.log(max(seconds, self._LEAST) / self._LEAST) / self._BASE)
        self._counts[min(bucket, len(self._counts) - 1)] += 1
        self._total += 1

    def percentile(self, share: float) -> float | None:
        """The duration that a ``share`` (0 to 1) of them stays below, within 5 %; None without any."""
        if not self._total:
            return None
        wanted, bucket = share * self._total, -1
        while wanted > 0 and bucket + 1 < len(self._counts):
            bucket += 1
            wanted -= self._counts[bucket]
        return self._LEAST * math.exp((bucket + 0.5) * self._BASE)


class Saved:
    """What answers that were not asked for would have taken."""

    def __init__(self) -> None:
        self.input_tokens = 0
        self.output_tokens = 0
        self.money: float | None = None

    def add(self, usage: Usage, price: Price | None) -> None:
        """Count one answer."""
        used, made = usage.input_tokens or 0, usage.output_tokens or 0
        self.input_tokens += used
        self.output_tokens += made
        if price is not None:
            read, written = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
            self.money = (self.money or 0.0) + price.cost(used, made, read, written)


class Progress:
    """The counters of a run; written by the run, read by reporters.

    ``lines`` is an upper bound of the rows until the file was read to its end, ``consumed`` how many
    were read in this pass. The other words are those of ``Summary``; ``deferred`` are the items that
    will be tried again in the next pass.
    """

    def __init__(self, *, lines: int) -> None:
        self.lines = lines
        self.consumed = 0
        self.passes = 0
        self.sent = 0
        self.succeeded = 0
        self.failed = 0
        self.deferred = 0
        self.done_before = 0
        self.bad = 0
        self.duplicates = 0
        self.repeated = 0
        self.cached = 0
        self.retries = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.saved = Saved()
        self.in_flight = 0
        self.latencies = Latencies()

    @property
    def accounted(self) -> int:
        """Rows that need nothing more."""
        return self.succeeded + self.failed + self.done_before + self.bad + self.duplicates


class Reporter(Protocol):
    """Is told how a run goes. It must not block."""

    def started(self, progress: Progress, /) -> None:
        """The run begins; ``progress`` is alive and changes from now on."""
        ...

    def tick(self) -> None:
        """Called a few times a second, also while nothing finishes."""
        ...

    def note(self, text: str, /) -> None:
        """Something that a person should read: a bad line, a healed journal, why it stops."""
        ...

    def finished(self) -> None:
        """The run ended, in whatever way."""
        ...


class SilentReporter:
    """Says nothing."""

    def started(self, progress: Progress, /) -> None:
        """The run begins."""

    def tick(self) -> None:
        """A moment passed."""

    def note(self, text: str, /) -> None:
        """Something to read."""

    def finished(self) -> None:
        """The run ended."""
