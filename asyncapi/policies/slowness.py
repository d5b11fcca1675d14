"""Which answers were slow, though they were answers: those that took much longer than is usual here."""

from __future__ import annotations

import math

from asyncapi.config import Breaker

__all__ = ["Slowness"]

#: What "auto" means: so many times the usual, and never less than this (seconds).
TIMES_USUAL = 4.0
LEAST_S = 30.0
#: How many answers are learnt from before any is called slow.
WARM_UP = 50
_STEP = 0.02


class Slowness:
    """Says of each answer whether it was slow.

    "Usual" is the time that 19 of 20 answers keep, followed slowly: an answer above it moves it up by a
    step of 2 %, one below it down by a nineteenth of that, so that it rests where one of twenty is above.

    State: ``notice_s``, below which no answer is worth a look (seconds: most calls cost one comparison);
    the ``_first`` answers while it warms up; ``usual_s``.
    """

    def __init__(self, settings: Breaker) -> None:
        self._after = settings.slow_after
        self._first: list[float] = []
        self.usual_s = 0.0
        self.notice_s = math.inf
        if self._after == "auto":
            self.notice_s = -1.0
        elif self._after is not None:
            self.notice_s = self._after

    def judge(self, took: float) -> bool:
        """Whether an answer that took so many seconds was slow. Need not be asked up to ``notice_s``."""
        if self._after != "auto":
            return self._after is not None and took > self._after
        if len(self._first) < WARM_UP:
            self._warm_up(took)
            return False
        slow = took > max(LEAST_S, TIMES_USUAL * self.usual_s)
        self.usual_s *= 1.0 + _STEP if took > self.usual_s else 1.0 - _STEP / 19.0
        self._look_away()
        return slow

    def _warm_up(self, took: float) -> None:
        self._first.append(took)
        if len(self._first) == WARM_UP:
            self.usual_s = sorted(self._first)[WARM_UP * 19 // 20]
            self._look_away()

    def _look_away(self) -> None:
        # While the usual is quick, quick answers neither are slow nor make a slower one more usual.
        quick = LEAST_S / TIMES_USUAL
        self.notice_s = quick if self.usual_s <= quick else -1.0
