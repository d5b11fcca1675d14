"""The circuit breaker: stop sending to a service that fails, and find out carefully when it is back.

::

        failures in a row, failure rate, slow-call rate
      CLOSED ---------------------------------------> OPEN <---------------+
        ^                                              |                   |
        |                              reset time over |                   | a probe fails, is slow,
        |                                 (on a take)  v                   | or hangs too long
        +-------------------------------------------- HALF_OPEN -----------+
                       enough good probes

      an operator: any state -> FORCED_OPEN or FORCED_CLOSED, until reset -> CLOSED

Every transition starts a new generation. A permit carries the generation in which it was given,
and one from an earlier generation changes nothing when it is settled: a call that was under way
before the breaker opened can neither close nor reopen it.

Sources: Finagle ``FailureAccrualFactory`` (an ignored probe gives its place back); resilience4j
``CircuitBreaker`` (failure and slow-call rate over a window with a minimum number of calls, forced
states); "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 (equal jitter).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from enum import Enum

import msgspec

from asyncapi.config import Breaker
from asyncapi.policies.rates import EPSILON_S
from asyncapi.policies.retry import Random
from asyncapi.policies.verdict import Verdict

__all__ = ["CircuitBreaker", "Permit", "State"]


#: Compared by identity: looking an enum's member up costs 0.1 us, several times a call.
_OK, _SLOW, _FAILED = Verdict.OK, Verdict.SLOW, Verdict.FAILED


class State(Enum):
    """The three states that the breaker chooses, and the two that an operator forces."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"
    FORCED_OPEN = "forced-open"
    FORCED_CLOSED = "forced-closed"


class _Whole:
    """No dice: every rest is as long as it may be."""

    def random(self) -> float:
        """Always the most."""
        return 1.0


class Permit(msgspec.Struct, frozen=True, gc=False):
    """Leave to send once, given in one generation of the breaker."""

    generation: int
    probe: bool = False


def _quiet(old: State, new: State, reason: str) -> None:
    """The default listener."""


class CircuitBreaker:
    """The state machine. It reads no clock and awaits nothing: ``now`` is given.

    State: ``state``, ``generation``, ``until`` (end of the open time), ``_opened`` (times opened
    without closing), ``_consecutive`` failures, the ``_outcomes`` window (when, and the verdict) with its
    ``_failures`` and ``_slow``, the starts of the ``_probes`` that are out, and ``_successes`` of this
    half-open period.
    """

    def __init__(
        self,
        settings: Breaker,
        on_change: Callable[[State, State, str], None] = _quiet,
        random: Random | None = None,
    ) -> None:
        self.settings = settings
        self._random = random or _Whole()
        self.state = State.CLOSED
        self.generation = 0
        self.until = 0.0
        self._on_change = on_change
        self._opened = 0
        self._consecutive = 0
        self._outcomes: deque[tuple[float, Verdict]] = deque()
        self._failures = self._slow = 0
        self._probes: list[float] = []
        self._successes = 0
        self._closed_permit = Permit(0)

    @property
    def probes(self) -> int:
        """How many probes are out."""
        return len(self._probes)

    def wait(self, now: float) -> float:
        """Seconds until ``take`` may be called, or until it is worth asking again: 0.0 is now, infinity is
        "when an operator releases it"."""
        if self.state is State.CLOSED or self.state is State.FORCED_CLOSED:
            return 0.0
        if self.state is State.FORCED_OPEN:
            return math.inf
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
        if self.state is State.CLOSED or self.state is State.FORCED_CLOSED:
            return self._closed_permit
        if self.state is State.OPEN:
            self._change(State.HALF_OPEN, "reset time over")
        assert self.state is State.HALF_OPEN
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
        if self.state is not State.HALF_OPEN:  # one of the closed ones: no permit is given while open
            if verdict is _OK or verdict is _FAILED or verdict is _SLOW:
                self._count(verdict, now, retry_after)
            return
        self._probes.pop(0)
        if verdict is _FAILED or verdict is _SLOW:
            self._open(now, "a probe failed" if verdict is _FAILED else "a probe was slow", retry_after)
        elif verdict is _OK:
            self._successes += 1
            if self._successes >= self.settings.successes:
                self._close("probes succeeded")

    def force_open(self) -> None:
        """Let nothing through until ``reset``."""
        self._force(State.FORCED_OPEN)

    def force_closed(self) -> None:
        """Let everything through until ``reset``, whatever happens; it is counted all the same."""
        self._force(State.FORCED_CLOSED)

    def reset(self) -> None:
        """Closed, with nothing remembered: whatever was forced is over."""
        self._close("reset by hand")

    def rates(self, now: float) -> tuple[int, float, float]:
        """How many calls the window holds, and the shares of them that failed and were slow."""
        horizon = now - self.settings.window_seconds
        recent = [verdict for at, verdict in self._outcomes if at >= horizon]
        count = len(recent)
        return count, recent.count(_FAILED) / (count or 1), recent.count(_SLOW) / (count or 1)

    def _count(self, verdict: Verdict, now: float, retry_after: float | None) -> None:
        settings, outcomes = self.settings, self._outcomes
        outcomes.append((now, verdict))
        if len(outcomes) > settings.window:
            if outcomes[0][1] is _OK:
                outcomes.popleft()
            else:
                self._forget()
        if verdict is _OK:
            self._consecutive = 0
            return
        if verdict is _FAILED:
            self._failures += 1
            self._consecutive += 1
        else:
            self._slow += 1  # an answer, if late: it neither lengthens a row of failures nor ends it
        horizon = now - settings.window_seconds
        while outcomes[0][0] < horizon:
            self._forget()
        reason = self._reason(verdict)
        if reason and settings.enabled and self.state is State.CLOSED:
            self._open(now, reason, retry_after)

    def _forget(self) -> None:
        """The oldest outcome leaves the window."""
        verdict = self._outcomes.popleft()[1]
        self._failures -= verdict is _FAILED
        self._slow -= verdict is _SLOW

    def _reason(self, verdict: Verdict) -> str:
        """Why this failed or slow call opens the breaker; empty if it doesn't."""
        settings, count = self.settings, len(self._outcomes)
        if verdict is _FAILED and self._consecutive >= settings.failure_threshold:
            return f"{self._consecutive} failures in a row"
        if count < settings.minimum_calls:
            return ""
        if verdict is _FAILED and self._failures >= settings.failure_rate * count:
            return f"{self._failures} of the last {count} calls failed"
        if verdict is _SLOW and self._slow >= settings.slow_rate * count:
            return f"{self._slow} of the last {count} calls were slow"
        return ""

    def _force(self, state: State) -> None:
        if self.state is not state:
            self._opened = 0
            self._change(state, "forced by hand")

    def _rest(self) -> float:
        """How long the breaker stays open at most, or last could have stayed open."""
        factor: float = math.ldexp(1.0, min(max(self._opened - 1, 0), 30))
        return min(self.settings.reset_after * factor, self.settings.reset_maximum)

    def _open(self, now: float, reason: str, retry_after: float | None = None) -> None:
        self._opened += 1
        # Equal jitter: half of the rest is certain, so that the service gets it, and half is drawn, so
        # that many processes don't all come back at once.
        rest = self._rest() * (0.5 + 0.5 * self._random.random())
        self.until = now + max(rest, retry_after or 0.0)
        self._change(State.OPEN, reason)

    def _close(self, reason: str) -> None:
        self._opened = 0
        if self.state is not State.CLOSED:
            self._change(State.CLOSED, reason)
        else:
            self._clear()

    def _change(self, new: State, reason: str) -> None:
        old, self.state = self.state, new
        self.generation += 1
        self._closed_permit = Permit(self.generation)
        self._clear()
        self._probes.clear()
        self._on_change(old, new, reason)

    def _clear(self) -> None:
        self._consecutive = self._failures = self._slow = self._successes = 0
        self._outcomes.clear()
