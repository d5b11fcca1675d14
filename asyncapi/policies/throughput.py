"""The least that a stream must bring: a service that trickles is never silent, and never done."""

from __future__ import annotations

__all__ = ["Floor"]


class Floor:
    """A stream's bytes against a rate that it may fall behind by at most ``window`` seconds.

    A bucket of waiting time: waiting drains it, every byte fills it, never above ``window``. So a
    stream that stops is too slow after ``window`` seconds, one at nine tenths of the rate after ten
    times that, and what came quickly at first does not pay for a trickle that follows.

    State: ``left`` (seconds of waiting for nothing until the stream is too slow).
    """

    def __init__(self, rate: float, window: float) -> None:
        self.rate = rate
        self.window = window
        self.left = window

    def read(self, waited: float, size: int) -> None:
        """Count a read that gave ``size`` bytes after waiting for ``waited`` seconds."""
        self.left = min(self.window, max(0.0, self.left - waited) + size / self.rate)
