"""Requests per minute, by the generic cell rate algorithm.

Source: ITU-T I.371, annex A (virtual scheduling algorithm).
"""

from __future__ import annotations

__all__ = ["GCRA", "Allowance", "per_minute"]

#: Waits below this are rounding, not waiting: a timer for 1e-16 s would spin.
EPSILON_S = 1e-9


class GCRA:
    """A rate with a small burst. In any half-open window of ``w`` seconds at most
    ``burst - 1 + ceil(rate * w)`` takes, refunds aside.

    State: ``_arrival``, the theoretical arrival time of the next request (seconds).
    """

    def __init__(self, rate: float, burst: int = 1) -> None:
        self._interval = 1.0 / rate
        self._tolerance = (burst - 1) * self._interval
        self._arrival = float("-inf")

    def wait(self, now: float) -> float:
        """Seconds until ``take`` may be called, 0.0 for now."""
        wait = self._arrival - self._tolerance - now
        return wait if wait > EPSILON_S else 0.0

    def take(self, now: float) -> None:
        """Count one request, only after ``wait(now)`` returned 0.0."""
        self._arrival = max(self._arrival, now) + self._interval

    def refund(self) -> None:
        """Give one request back: it never left."""
        self._arrival -= self._interval


class Allowance:
    """What a service's headers say is left of a key's requests or tokens, as a bucket that refills like
    theirs.

    Those that were sent after the one that was answered are not in its ``remaining`` yet, so they
    are taken off here: the bucket may be thought emptier than it is, never fuller.

    State: ``_level`` at the time ``_at`` (seconds), the ``_rate`` at which it refills, and the ``_limit``
    up to which it does; none of them binds before the service has said one.
    """

    def __init__(self) -> None:
        self._level = self._limit = float("inf")
        self._at = 0.0
        self._rate = 1.0

    def told(self, remaining: float, limit: float, window: float, sent_since: int, now: float) -> None:
        """What an answer said.

        Args:
            remaining: Requests left when the service looked.
            limit: How many there are in all, 1 or more.
            window: Seconds in which ``limit`` requests come back.
            sent_since: Requests sent after the one that was answered.
            now: The clock, seconds.
        """
        self._rate = limit / window
        self._limit = limit
        self._level = min(remaining, limit) - sent_since
        self._at = now

    def wait(self, now: float, amount: float = 1.0) -> float:
        """Seconds until ``take`` may be called, 0.0 for now. More than the limit counts as the limit."""
        wait = (min(amount, self._limit) - self._now(now)) / self._rate
        return wait if wait > EPSILON_S else 0.0

    def take(self, now: float, amount: float = 1.0) -> None:
        """Count one request, or so many tokens, that are being sent."""
        self._level = self._now(now) - amount
        self._at = now

    def refund(self, amount: float = 1.0) -> None:
        """Give them back: they never left."""
        self._level += amount

    def share(self, now: float) -> float:
        """What is left of the whole, 0 to 1."""
        return max(0.0, self._now(now)) / self._limit if self._limit < float("inf") else 1.0

    def _now(self, now: float) -> float:
        return min(self._limit, self._level + (now - self._at) * self._rate)


def per_minute(limit: float) -> GCRA:
    """A rate that keeps to ``limit`` requests in every window of 60 s, with 2 % of it as burst.

    The burst is paid for by the rate, so that a window that begins with a burst keeps to the limit too.
    """
    burst = max(1, int(0.02 * limit))
    return GCRA((limit - (burst - 1)) / 60.0, burst)
