"""How long a batch is held for company while the service could take it at once.

A batch that has to wait for its turn gathers meanwhile and needs nothing of this.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["AdaptiveWait", "Wait"]

#: The share of the newest gap in the mean of gaps.
_NEWEST = 0.2


class Wait(Protocol):
    """Decides for calls that may travel together."""

    def arrived(self, now: float) -> None:
        """One of them came. Units: seconds."""
        ...

    def hold(self, room: int, in_flight: int) -> float:
        """Seconds to hold a batch that the service could take now.

        Args:
            room: How many more items it may have.
            in_flight: How many requests the service is working on for us.
        """
        ...


class AdaptiveWait:
    """Holds as long as it takes to fill the batch at the rate at which calls come, up to a bound.

    Nothing is held while the service is idle, or while calls are so rare that none is expected within the
    bound: waiting would gain nothing.

    State: the mean ``gap`` between arrivals (None until there were two), and the ``_last`` one.

    Args:
        bound: The longest hold, in seconds.
    """

    __slots__ = ("_bound", "_last", "gap")

    def __init__(self, bound: float) -> None:
        self._bound = bound
        self._last: float | None = None
        self.gap: float | None = None

    def arrived(self, now: float) -> None:
        """One of them came. A pause counts as one, however long it was."""
        if self._last is not None:
            gap = min(now - self._last, 4.0 * self._bound)
            self.gap = gap if self.gap is None else self.gap + _NEWEST * (gap - self.gap)
        self._last = now

    def hold(self, room: int, in_flight: int) -> float:
        """Zero when idle or when nobody is expected; else the time to fill, up to the bound."""
        gap = self.gap
        if not in_flight or gap is None or gap >= self._bound:
            return 0.0
        return min(self._bound, room * gap)
