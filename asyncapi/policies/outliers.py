"""Which of a route's targets fail when the others don't, and for how long they are left out.

The breaker of an endpoint looks at that endpoint alone, for all its models, and sends nothing while it is
open. Ejection compares: it acts on one model at one endpoint, also on failures too few for a breaker, and
only changes the order in which targets are tried.

Sources: Envoy's outlier detection (consecutive errors, ejection time that grows, a most share); gRPC A50
(success rates; the time shrinks again for each interval without ejection).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from asyncapi.config import Outliers

__all__ = ["OutlierDetector"]


class _Target:
    """State: counts of this interval, failures in a ``row``, ``times`` ejected lately and ``until`` when."""

    __slots__ = ("failed", "ok", "row", "times", "until")

    def __init__(self) -> None:
        self.ok = self.failed = self.row = self.times = 0
        self.until = float("-inf")

    @property
    def rate(self) -> float:
        return self.ok / (self.ok + self.failed)

    def forget(self) -> None:
        self.ok = self.failed = self.row = 0


class OutlierDetector:
    """The targets of one route.

    State: each target's counts, and the ``_start`` of the interval that they are of (clock seconds).

    Args:
        settings: When, and for how long.
        targets: All of them.
        on_eject: Told of every ejection: which target, why, for how many seconds.
    """

    def __init__(
        self, settings: Outliers, targets: Sequence[str], on_eject: Callable[[str, str, float], None]
    ) -> None:
        self._settings = settings
        self._targets = {target: _Target() for target in targets}
        self._most = min(max(1, int(settings.share * len(self._targets))), len(self._targets) - 1)
        self._on_eject = on_eject
        self._start: float | None = None

    def ejected(self, target: str, now: float) -> bool:
        """Whether a target is to be tried only after the others."""
        return now < self._targets[target].until

    def observe(self, target: str, good: bool, now: float) -> None:
        """Count how an attempt at a target ended. What began before an ejection is not held against it."""
        self._advance(now)
        one = self._targets[target]
        if now < one.until:
            return
        if good:
            one.ok += 1
            one.row = 0
            return
        one.failed += 1
        one.row += 1
        reason = self._reason(one, now)
        if reason and sum(now < other.until for other in self._targets.values()) < self._most:
            self._eject(target, reason, now)

    def _advance(self, now: float) -> None:
        """Begin another interval when this one is over."""
        if self._start is None:
            self._start = now
        passed = int((now - self._start) / self._settings.interval)
        if passed < 1:
            return
        for one in self._targets.values():
            one.ok = one.failed = 0
            if one.until <= self._start:
                one.times = max(0, one.times - passed)
        self._start = now

    def _reason(self, one: _Target, now: float) -> str:
        settings = self._settings
        if one.row >= settings.consecutive:
            return f"{one.row} failures in a row"
        if one.ok + one.failed < settings.minimum:
            return ""
        rates = [
            other.rate
            for other in self._targets.values()
            if other is not one and now >= other.until and other.ok + other.failed >= settings.minimum
        ]
        mean = sum(rates) / len(rates) if rates else 0.0
        if mean - one.rate <= settings.margin:
            return ""
        return f"{one.rate:.0%} succeed here, {mean:.0%} elsewhere"

    def _eject(self, target: str, reason: str, now: float) -> None:
        one, settings = self._targets[target], self._settings
        one.times += 1
        seconds = min(settings.base * one.times, settings.maximum)
        one.until = now + seconds
        one.forget()
        self._on_eject(target, reason, seconds)
