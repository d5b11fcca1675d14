"""Permits under a limit that may move while they are out."""

from __future__ import annotations

from collections.abc import Callable

from asyncapi.policies.limits import Ended, Limit, Ramp

__all__ = ["Semaphore"]


class Semaphore:
    """Counts what is in flight against a limit policy.

    ``asyncio.Semaphore`` can't be resized, and cancelling its waiters costs time that grows with
    their number; here nobody waits in line, since the endpoint's worker is the only one who waits.

    State: ``in_flight`` and its ``peak``. ``learn`` is who wants to be told how attempts end, None for a
    limit that learns nothing: then nothing is made to be told. While the service comes back from an
    outage, ``limit`` is a ramp over the one that was given.
    """

    learn: Callable[[Ended], None] | None

    __slots__ = ("in_flight", "learn", "limit", "peak")

    def __init__(self, limit: Limit) -> None:
        self._use(limit)
        self.in_flight = 0
        self.peak = 0

    def locked(self) -> bool:
        """Whether every permit is out."""
        return self.in_flight >= self.limit.value

    def acquire_nowait(self) -> None:
        """Take a permit, only while not ``locked``."""
        self.in_flight += 1
        if self.in_flight > self.peak:
            self.peak = self.in_flight

    def restart(self, now: float) -> None:
        """Begin small and come back in steps: after an outage nobody knows what the service bears."""
        under = self.limit.under if isinstance(self.limit, Ramp) else self.limit
        self._use(Ramp(under, now, self.in_flight))
        self.learn = self._climb

    def _climb(self, ended: Ended) -> None:
        ramp = self.limit
        assert isinstance(ramp, Ramp)
        ramp.settle(ended)
        if ramp.done:
            self._use(ramp.under)

    def _use(self, limit: Limit) -> None:
        self.limit = limit
        self.learn = limit.settle if limit.learns else None

    def release(self) -> None:
        """Give a permit back."""
        assert self.in_flight > 0, "released more permits than were taken"
        self.in_flight -= 1
