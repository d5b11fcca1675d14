"""How many attempts may be in flight: arithmetic here, enforcement in the core's semaphore."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol, assert_never

import msgspec

from asyncapi.config import AIMD, Fixed
from asyncapi.policies.gate import Gate, Yardstick
from asyncapi.policies.verdict import Verdict

__all__ = ["AdaptiveLimit", "Ended", "FixedLimit", "Limit", "Ramp", "limit_of"]

#: How many times as long as with less to do is tolerated.
TOLERANCE = 1.2
#: What is left of a limit after the service said that it has too much.
CUT = 0.7


class Ended(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How an attempt ended, as a limit that learns sees it.

    ``in_flight`` counts this attempt too. ``congested``: the service had more than it can bear. ``work``
    says what kind of work it was (model and operation), ``tokens`` how much: those of the answer, or those
    read where nothing is written.

    Units: ``started``, ``now`` clock seconds; ``first_token_s`` seconds from the start, None where the
    answer was not streamed.
    """

    verdict: Verdict
    congested: bool
    in_flight: int
    started: float
    now: float
    work: str = ""
    first_token_s: float | None = None
    tokens: int | None = None


class Limit(Protocol):
    """A number that may learn from how attempts end."""

    @property
    def value(self) -> int:
        """How many attempts may be in flight now, 1 or more."""
        ...

    @property
    def learns(self) -> bool:
        """Whether ``settle`` wants to be told; always the same."""
        ...

    def settle(self, ended: Ended) -> None:
        """Learn from the end of an attempt."""
        ...

    def first_token(self, work: str, seconds: float, in_flight: int, now: float) -> None:
        """Learn from a stream's first token, which came after so many seconds."""
        ...


class FixedLimit:
    """Always the same number."""

    learns = False

    def __init__(self, settings: Fixed) -> None:
        self.value = settings.limit

    def settle(self, ended: Ended) -> None:
        """Learns nothing."""

    def first_token(self, work: str, seconds: float, in_flight: int, now: float) -> None:
        """Learns nothing."""


class AdaptiveLimit:
    """Additive increase, multiplicative decrease, one cut for each congestion, and a gate on times.

    Grows while nearly all of it is in use and the gate is open: by half for each round of answers until
    the first cut, then by one for each round, and by a seventh above the level of the last cut. Is cut
    when the service says that it has too much, or when answers take longer than they did with less to do.

    What the service takes with less to do can only be known from having sent it less. So some cuts go
    deep: the first, the second, the fourth, the eighth and so on. If answers get quicker than ever known,
    the usual time was learnt from an overloaded service: it is corrected, and the next cut is deep again;
    if not, the level is put back to where a plain cut would have put it. And if answers stay slow after three
    cuts, it is not for what this client sends: then that is the usual time.

    State: the ``level``, of which ``value`` is the whole part; ``peak``, the level at the last cut (infinite
    before the first); ``cut_at``, when that was, and ``deaf_until``, until when times are still those of
    before; ``typical_s``, what an answer takes; the ``gate`` and the ``_yardstick`` for it; the ``_trial``
    under way; ``_cuts`` since the usual time was last corrected; ``_in_vain``, cuts that did not help.
    """

    learns = True

    def __init__(self, settings: AIMD) -> None:
        self.settings = settings
        self.level = float(settings.initial)
        self.value = settings.initial
        self.peak = math.inf
        self.cut_at = self.deaf_until = -math.inf
        self.typical_s = 0.0
        self.gate = Gate(TOLERANCE)
        self._yardstick = Yardstick()
        self._trial: _Trial | None = None
        self._cuts = self._in_vain = 0

    def first_token(self, work: str, seconds: float, in_flight: int, now: float) -> None:
        """The first token of a stream came after so many seconds.

        What waits, waits before its first token: the rest is taken as ever, however long this answer gets.
        """
        rest = self._yardstick.rest(work)
        if rest is not None:
            self._time(work, seconds + rest, seconds, None, in_flight, now)

    def settle(self, ended: Ended) -> None:
        """Grow by a good attempt while all is in use; shrink by one that met congestion."""
        if ended.congested:
            if ended.started > self.cut_at:
                self._trial = None
                self._cut(CUT, ended.now)
            return
        if ended.verdict is not Verdict.OK:
            return
        took = ended.now - ended.started
        self.typical_s += (took - self.typical_s) * (0.1 if self.typical_s else 1.0)
        if ended.first_token_s is None:
            self._time(ended.work, took, took, ended.tokens, ended.in_flight, ended.now)
        else:
            self._yardstick.learn_rest(ended.work, took - ended.first_token_s)
        if ended.in_flight >= 0.8 * self.value and 0.0 < self.gate.value <= 1.0:
            self._grow()  # not before it is known what is usual: more would be learnt as usual, too

    def _grow(self) -> None:
        if self.peak == math.inf:
            step = 0.5
        elif self.level > 1.1 * self.peak:
            step = 0.15
        else:
            # One for each round of answers; of few, a tenth, or every other round would be one too many.
            step = min(1.0 / self.level, 0.1)
        self._set(self.level + step)

    def _time(
        self, work: str, seconds: float, since: float, tokens: int | None, in_flight: int, now: float
    ) -> None:
        """One time more for the gate, if what began ``since`` seconds ago began under the present limit."""
        measured = self._yardstick.measure(work, seconds, tokens, self.gate.median)
        if measured is None or now < self.deaf_until or now - since <= self.cut_at:
            return
        if self.gate.full(measured, self.level):
            self._look(in_flight, now)

    def _look(self, in_flight: int, now: float) -> None:
        """A window is full: what it says of the last cut, and of the service."""
        gate = self.gate
        trial, self._trial = self._trial, None
        if trial is not None:
            if gate.median < trial.base * (0.92 - gate.margin / 2.0):
                gate.relearn()
                self._cuts = 0
                self._try(CUT, now)
                return
            if trial.back:
                self._set(trial.back)
            fell = gate.median < trial.median * (1.0 + trial.share) / 2.0
            self._in_vain = 0 if fell else self._in_vain + 1
            if self._in_vain >= 3:
                gate.relearn()
                self._in_vain = 0
                self._cuts = 3  # the next cut is deep: the service may have been overloaded after all
        if gate.value > 1.0 and in_flight >= 0.5 * self.value:
            # By Little's law this is what the service works on; the rest is waiting there.
            self._try(max(0.5, min(0.77, gate.base / gate.median)), now)

    def _try(self, share: float, now: float) -> None:
        """Cut because of the gate, and remember what for."""
        self._cuts += 1
        back = 0.0
        if self._cuts & (self._cuts - 1) == 0 and share > 0.5:  # a power of two
            back, share = self.level * share, 0.5
        self._trial = _Trial(self.gate.median, self.gate.base, share, back)
        self._cut(share, now)

    def _cut(self, share: float, now: float) -> None:
        self.peak, self.cut_at, self.deaf_until = self.level, now, now + self.typical_s
        self._set(self.level * share)
        self.gate.restart()

    def _set(self, level: float) -> None:
        self.level = min(max(level, self.settings.minimum), self.settings.maximum)
        self.value = int(self.level)


class _Trial(NamedTuple):
    """A cut whose effect is awaited: median and base then, the share that was left, and the level to go back
    to if it was deep (else 0.0)."""

    median: float
    base: float
    share: float
    back: float


class Ramp:
    """Another limit, that comes back in steps: begins with a quarter of it, and one more for each success.

    So it doubles with each round of answers, as a slow start does. A congestion halves it. What started
    before ``since`` proves nothing, and has a place of its own until it ends: calls that hang in the old
    outage would else keep the new ones out.

    State: the ``_cap``; how many ``_old`` ones are still under way; ``_cut_at``, when it was last halved.
    """

    learns = True

    def __init__(self, under: Limit, since: float, in_flight: int = 0) -> None:
        self.under = under
        self._since = since
        self._cut_at = -math.inf
        self._cap = max(1, under.value // 4)
        self._old = in_flight

    @property
    def value(self) -> int:
        """How many attempts may be in flight now."""
        return min(self._cap + self._old, self.under.value)

    @property
    def done(self) -> bool:
        """Whether the limit under it is all that holds."""
        return self._cap >= self.under.value

    def settle(self, ended: Ended) -> None:
        """One more for a success; half for a congestion."""
        if self.under.learns:
            self.under.settle(ended)
        if ended.started < self._since:
            self._old = max(0, self._old - 1)
        elif ended.congested:
            if ended.started > self._cut_at:
                self._cap, self._cut_at = max(1, self._cap // 2), ended.now
        elif ended.verdict is Verdict.OK:
            self._cap += 1

    def first_token(self, work: str, seconds: float, in_flight: int, now: float) -> None:
        """For the limit under it."""
        self.under.first_token(work, seconds, in_flight, now)


def limit_of(settings: Fixed | AIMD) -> Limit:
    """The limit that these settings describe."""
    match settings:
        case Fixed():
            return FixedLimit(settings)
        case AIMD():
            return AdaptiveLimit(settings)
        case _:
            assert_never(settings)
