"""How long a batch is held for company while the service could take it at once.

A batch that has to wait for its turn gathers meanwhile and needs nothing of this.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["AdaptiveWait", "Wait"]

#: The share of the newest gap in the mean of gaps.
_NEWEST = 0.2
#: So many more must be expected within the bound for a batch to be held at all.
_EXPECTED = 2.0


class Wait(Protocol):
    """Decides for calls that may travel together."""

    def arrived(self, now: float) -> None:
        """One of them came. Units: seconds."""
        ...

    def hold(self, room: int, busy: float) -> float:
        """Seconds to hold a batch that the service could take now.

        Args:
            room: How many more items it may have.
            busy: The share of the endpoint's permits that is out, 0 to 1.
        """
        ...


class AdaptiveWait:
    """Holds as long as it takes to fill the batch at the rate at which calls come, up to a bound that
    grows with how busy the endpoint is.

    Nothing is held while the service is idle, or while calls are so rare that fewer than two more are
    expected within the bound: waiting would gain little or nothing.

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

    def hold(self, room: int, busy: float) -> float:
        """Zero when idle or when hardly anybody is expected; else the time to fill, within the bound."""
        gap = self.gap
        if not busy or gap is None or gap * _EXPECTED > self._bound:
            return 0.0
        return min(self._bound, room * gap) * min(1.0, busy)
