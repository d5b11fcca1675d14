"""The circuit breaker: stop sending to a service that fails, and find out carefully when it is back.

::

                 failures in a row, or failure rate
      CLOSED ---------------------------------------> OPEN <---------------+
        ^                                              |                   |
        |                              reset time over |                   | a probe fails,
        |                                 (on a take)  v                   | or hangs too long
        +-------------------------------------------- HALF_OPEN -----------+
                       enough good probes

Every transition starts a new generation. A permit carries the generation in which it was given,
and one from an earlier generation changes nothing when it is settled: a call that was under way
before the breaker opened can neither close nor reopen it.

Sources: Finagle ``FailureAccrualFactory`` (an ignored probe gives its place back); resilience4j
``CircuitBreaker`` (failure rate over a window with a minimum number of calls).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from enum import Enum

import msgspec

from asyncapi.config import Breaker
from asyncapi.policies.rates import EPSILON_S
from asyncapi.policies.verdict import Verdict

__all__ = ["CircuitBreaker", "Permit", "State"]


class State(Enum):
    """The three states."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Permit(msgspec.Struct, frozen=True, gc=False):
    """Leave to send once, given in one generation of the breaker."""

    generation: int
    probe: bool = False


def _quiet(old: State, new: State, reason: str) -> None:
    """The default listener."""


class CircuitBreaker:
    """The state machine. It reads no clock and awaits nothing: ``now`` is given.

    State: ``state``, ``generation``, ``until`` (end of the open time), ``_opened`` (times opened
    without closing), ``_consecutive`` failures, the ``_outcomes`` window with its ``_failures``,
    the starts of the ``_probes`` that are out, and ``_successes`` of this half-open period.
    """

    def __init__(self, settings: Breaker, on_change: Callable[[State, State, str], None] = _quiet) -> None:
        self.settings = settings
        self.state = State.CLOSED
        self.generation = 0
        self.until = 0.0
        self._on_change = on_change
        self._opened = 0
        self._consecutive = 0
        self._outcomes: deque[tuple[float, bool]] = deque()
        self._failures = 0
        self._probes: list[float] = []
        self._successes = 0
        self._closed_permit = Permit(0)

    @property
    def probes(self) -> int:
        """How many probes are out."""
        return len(self._probes)

    def wait(self, now: float) -> float:
        """Seconds until ``take`` may be called, or until it is worth asking again: 0.0 is now."""
        if self.state is State.CLOSED:
            return 0.0
        if self.state is State.OPEN:
            rest = self.until - now
            return rest if rest > EPSILON_S else 0.0
        if len(self._probes) < self.settings.probes:
            return 0.0
        # A probe that hangs for longer than the service was given rest counts as failed, so that
        # a silent service can't hold the breaker half-open for as long as a call may last.
        hung_at = self._probes[0] + self._rest()
        if hung_at - now <= EPSILON_S:
            self._open(now, "a probe did not come back")
            return self.until - now
        return hung_at - now

    def take(self, now: float) -> Permit:
        """A permit, only after ``wait(now)`` returned 0.0. Ends in exactly one ``settle``."""
        if self.state is State.CLOSED:
            return self._closed_permit
        if self.state is State.OPEN:
            self._change(State.HALF_OPEN, "reset time over")
        assert len(self._probes) < self.settings.probes
        self._probes.append(now)
        return Permit(self.generation, probe=True)

    def settle(self, permit: Permit, verdict: Verdict, now: float, retry_after: float | None = None) -> None:
        """Count how an attempt ended. THROTTLED and IGNORED only give a probe's place back.

        Args:
            permit: What ``take`` gave; settled once.
            verdict: How the attempt ended.
            now: The clock, seconds.
            retry_after: What the service said, seconds: an open breaker stays open at least that long.
        """
        if permit.generation != self.generation:
            return
        # Compared by identity: looking an enum's member up in a set costs 0.4 us, twice a call.
        good = verdict is Verdict.OK
        bad = verdict is Verdict.FAILED or verdict is Verdict.SLOW
        if self.state is State.CLOSED:
            if good or bad:
                self._count(bad, now, retry_after)
            return
        self._probes.pop(0)
        if bad:
            self._open(now, "a probe failed", retry_after)
        elif good:
            self._successes += 1
            if self._successes >= self.settings.successes:
                self._close("probes succeeded")

    def force(self, state: State, now: float) -> None:
        """Put the breaker into a state by hand: OPEN for its reset time, or CLOSED."""
        if state is State.OPEN:
            self._open(now, "forced")
        elif state is State.CLOSED and self.state is not State.CLOSED:
            self._close("forced")

    def _count(self, failed: bool, now: float, retry_after: float | None) -> None:
        settings, outcomes = self.settings, self._outcomes
        outcomes.append((now, failed))
        if len(outcomes) > settings.window:
            self._failures -= outcomes.popleft()[1]
        if not failed:
            self._consecutive = 0
            return
        self._failures += 1
        self._consecutive += 1
        horizon = now - settings.window_seconds
        while outcomes[0][0] < horizon:
            self._failures -= outcomes.popleft()[1]
        if not settings.enabled:
            return
        if self._consecutive >= settings.failure_threshold:
            self._open(now, f"{self._consecutive} failures in a row", retry_after)
        elif len(outcomes) >= settings.minimum_calls and self._failures >= settings.failure_rate * len(
            outcomes
        ):
            self._open(now, f"{self._failures} of the last {len(outcomes)} calls failed", retry_after)

    def _rest(self) -> float:
        """How long the breaker stays open, or last stayed open."""
        factor: float = math.ldexp(1.0, min(max(self._opened - 1, 0), 30))
        return min(self.settings.reset_after * factor, self.settings.reset_maximum)

    def _open(self, now: float, reason: str, retry_after: float | None = None) -> None:
        self._opened += 1
        self.until = now + max(self._rest(), retry_after or 0.0)
        self._change(State.OPEN, reason)

    def _close(self, reason: str) -> None:
        self._opened = 0
        self._change(State.CLOSED, reason)

    def _change(self, new: State, reason: str) -> None:
        old, self.state = self.state, new
        self.generation += 1
        self._closed_permit = Permit(self.generation)
        self._consecutive = self._failures = self._successes = 0
        self._outcomes.clear()
        self._probes.clear()
        self._on_change(old, new, reason)
