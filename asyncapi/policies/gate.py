"""Whether a service is slower than it was when it had less to do: the sense that an adaptive limit has.

Times are compared with what is usual for the same kind of work, as two models, or a long and a short
answer, do not take the same time. Raw latency would tell a limit to shrink whenever answers get longer.
"""

from __future__ import annotations

import math
from collections import deque

__all__ = ["Gate", "Yardstick"]

#: How many kinds of work are told apart; those that come later share one.
MOST_KINDS = 64
#: Answers of one kind before they are compared, and for how many answers about it is remembered.
WARM_UP = 10
MEMORY = 2000.0


class _Line:
    """Time as a + b * tokens for one kind of work, by least squares over the recent past.

    State: the weighted sums; once it is warm, the ``reference`` number of tokens and the ``scale``; of
    streams how many ended, and what they took after the first token on average.
    """

    __slots__ = (
        "ended",
        "number",
        "reference",
        "rest",
        "scale",
        "time",
        "token",
        "token_time",
        "tokens_squared",
    )

    def __init__(self) -> None:
        self.ended = self.rest = 0.0
        self.number = self.time = self.token = self.token_time = self.tokens_squared = 0.0
        self.reference = self.scale = 0.0

    def learn(self, tokens: float, seconds: float) -> None:
        keep = 1.0 - 1.0 / MEMORY
        self.number = self.number * keep + 1.0
        self.time = self.time * keep + seconds
        self.token = self.token * keep + tokens
        self.token_time = self.token_time * keep + tokens * seconds
        self.tokens_squared = self.tokens_squared * keep + tokens * tokens

    def at(self, tokens: float) -> float:
        mean, middle = self.time / self.number, self.token / self.number
        spread = self.tokens_squared / self.number - middle * middle
        slope = (self.token_time / self.number - middle * mean) / spread if spread > 1e-9 else 0.0
        # Never less than a tenth of the usual, and never less for more tokens.
        return max(mean + max(0.0, slope) * (tokens - middle), 0.1 * mean)


class Yardstick:
    """Makes times of different work comparable: what each would have been for one and the same work.

    Only the proportions between kinds and lengths are learnt. What everything takes alike longer stays
    visible, however long it lasts.

    State: a line for each kind of work.
    """

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    def rest(self, work: str) -> float | None:
        """What streams of this work take after their first token; None before one has ended."""
        line = self._line(work)
        return line.rest if line.ended else None

    def learn_rest(self, work: str, seconds: float) -> None:
        """A stream took so long after its first token."""
        line = self._line(work)
        line.ended = min(line.ended + 1.0, MEMORY)
        line.rest += (seconds - line.rest) / line.ended

    def measure(self, work: str, seconds: float, tokens: int | None, usual: float) -> float | None:
        """The time that the first kind of work would have taken; None while too little is known.

        Args:
            work: The kind of work.
            seconds: What it took.
            tokens: How many tokens the answer has, if it says so.
            usual: What others measure at present, 0.0 if there are none.
        """
        line = self._line(work)
        line.learn(tokens or 0, seconds)
        if not line.scale:
            if not line.time or (line.number < WARM_UP - 0.5 and (tokens or usual)):
                return None
            line.reference = line.token / line.number
            line.scale = line.at(line.reference) / usual if usual else 1.0
        if tokens is None:
            return seconds / line.scale
        return seconds * line.at(line.reference) / line.at(tokens) / line.scale

    def _line(self, work: str) -> _Line:
        line = self._lines.get(work)
        if line is None:
            line = self._lines.setdefault(work if len(self._lines) < MOST_KINDS else "", _Line())
        return line


class Gate:
    """Compares windows of times with the best windows of the recent past.

    Windows are as long as it takes to see each place in flight about once, and medians are compared: the
    quantile of what single answers took would be mostly chance. What counts as best is the fifth-best of
    each twenty-five windows: the very best is chance too, and drops with every window that is looked at.

    State: the ``_window`` that is being filled; the ``_medians`` of those before.
    """

    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance
        self._window: list[float] = []
        self._medians: deque[float] = deque(maxlen=30)
        self.median = self.base = 0.0
        self.margin = 0.0

    def full(self, ratio: float, size: float) -> bool:
        """Add one; whether that fills a window for so many in flight. Then ``value`` is new."""
        window = self._window
        window.append(ratio)
        if len(window) < min(max(12.0, size), 50.0):
            return False
        window.sort()
        count = len(window)
        self.median = window[count // 2]
        spread = (window[3 * count // 4] - window[count // 4]) / 1.35
        # What the median of so few may be off by chance.
        self.margin = 5.0 * spread / self.median / math.sqrt(count) if self.median else 0.0
        self._medians.append(self.median)
        self.base = sorted(self._medians)[(len(self._medians) - 1) // 5]
        window.clear()
        return True

    @property
    def value(self) -> float:
        """Above 1.0: slower than can be tolerated, or explained by chance."""
        return self.median / (self.base * max(self._tolerance, 1.0 + self.margin)) if self.base else 0.0

    def restart(self) -> None:
        """Begin a new window: what is in this one was sent under another limit."""
        self._window.clear()

    def relearn(self) -> None:
        """The last window is the usual from now on."""
        self._medians.clear()
        self._medians.append(self.median)
        self.base = self.median
