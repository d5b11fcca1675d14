"""How loaded a key or an endpoint is: what is under way there, times how long it takes to answer.

Sources: Finagle ``PeakEwma`` (the estimate jumps to a slow answer and forgets it slowly); linkerd's load
biaser (a failure is a penalty that decays, so that failing fast is no way to look idle); Mitzenmacher,
"The Power of Two Choices in Randomized Load Balancing", 2001.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp
from typing import TypeVar

from asyncapi.policies.retry import Random

__all__ = ["Load", "lighter_of_two"]

T = TypeVar("T")

#: In this time an estimate loses all but 1/e of what it knows, and a penalty of its weight (seconds).
DECAY_S = 10.0
#: What the first failure in a row weighs; each further one twice as much, up to the most (seconds).
PENALTY_S = 5.0
MOST_PENALTY_S = 300.0
#: No headroom at all would make every load infinite, and so all of them equal.
_LEAST_HEADROOM = 0.01


class Load:
    """The load of one key or endpoint, in seconds of work: the smaller, the sooner it will answer.

    State: ``_latency``, the peak-sensitive mean as of ``_seen``; the ``_penalty`` as of ``_failed``, and the
    ``_failures`` in a row (times in clock seconds).
    """

    __slots__ = ("_failed", "_failures", "_latency", "_penalty", "_seen")

    def __init__(self) -> None:
        self._latency = self._seen = 0.0
        self._penalty = self._failed = 0.0
        self._failures = 0

    def observe(self, latency: float, now: float) -> None:
        """An answer took that long (seconds): of a stream, its first token."""
        if latency < self._latency:
            kept = exp(-(now - self._seen) / DECAY_S)
            latency += (self._latency - latency) * kept
        self._latency = latency
        self._seen = now
        self._failures = 0

    def punish(self, now: float, retry_after: float | None = None) -> None:
        """An attempt failed. After ``retry_after`` seconds half of the first penalty is left, or more."""
        penalty = PENALTY_S * 2.0 ** min(self._failures, 10)
        if retry_after is not None:
            penalty = max(penalty, PENALTY_S * 0.5 * exp(min(retry_after / DECAY_S, 10.0)))
        self._penalty = min(MOST_PENALTY_S, max(penalty, self.penalty(now)))
        self._failed = now
        self._failures += 1

    def penalty(self, now: float) -> float:
        """What is left of the penalty for failures, seconds."""
        return self._penalty and self._penalty * exp(-(now - self._failed) / DECAY_S)

    def value(self, pending: float, now: float, *, weight: float = 1.0, headroom: float = 1.0) -> float:
        """Seconds of work that one more request would wait for and be.

        Nothing known and nothing under way is 0.0: it is tried first, once. While nothing is under way,
        nothing new is learnt, so the estimate fades: what was slow is tried again.

        Args:
            pending: Requests under way and waiting.
            now: The clock, seconds.
            weight: How much it can do beside the others.
            headroom: The share that its rate limit has left, 0 to 1.
        """
        latency = self._latency
        if not pending:
            latency *= exp(-(now - self._seen) / DECAY_S)
        work = latency * (pending + 1.0) if self._latency else pending and PENALTY_S + pending
        return max(work / weight, self.penalty(now)) / max(headroom, _LEAST_HEADROOM)


def lighter_of_two(items: Sequence[T], load: Callable[[T], float], random: Random) -> T:
    """The less loaded of two that chance draws; of one or two, the least loaded.

    Always the least loaded would send every caller of one moment to the same place.

    Args:
        items: What there is to choose from, one or more; the first of equals wins.
        load: The smaller, the better; asked of at most two.
        random: Drawn from twice when there are more than two.
    """
    if len(items) > 2:
        first = int(random.random() * len(items))
        second = int(random.random() * (len(items) - 1))
        second += second >= first
        items = (items[min(first, second)], items[max(first, second)])
    return min(items, key=load)
