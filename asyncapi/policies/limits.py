"""How many attempts may be in flight: arithmetic here, enforcement in the core's semaphore."""

from __future__ import annotations

import math
from typing import Protocol, assert_never

import msgspec

from asyncapi.config import AIMD, Fixed
from asyncapi.policies.verdict import Verdict

__all__ = ["AdaptiveLimit", "Ended", "FixedLimit", "Limit", "Ramp", "limit_of"]


class Ended(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How an attempt ended, as a limit that learns sees it.

    ``in_flight`` counts this attempt too. ``congested``: the service had more than it can bear. ``work``
    says what kind of work it was (model and operation), as two kinds are not expected to take the same time.

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
    output_tokens: int | None = None


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


class FixedLimit:
    """Always the same number."""

    learns = False

    def __init__(self, settings: Fixed) -> None:
        self.value = settings.limit

    def settle(self, ended: Ended) -> None:
        """Learns nothing."""


class AdaptiveLimit:
    """Additive increase, multiplicative decrease, one cut for each congestion.

    State: the ``level``, of which ``value`` is the whole part; ``cut_at``, when it was last cut.
    """

    learns = True

    def __init__(self, settings: AIMD) -> None:
        self.settings = settings
        self.level = float(settings.initial)
        self.value = settings.initial
        self.cut_at: float | None = None

    def settle(self, ended: Ended) -> None:
        """Grow by a good attempt while all is in use; shrink by one that met congestion."""
        if ended.congested:
            if self.cut_at is None or ended.started > self.cut_at:
                self.cut_at = ended.now
                self._set(self.level * 0.7)
        elif ended.verdict is Verdict.OK and ended.in_flight >= 0.8 * self.level:
            self._set(self.level + (1.0 if self.cut_at is None else 1.0 / self.level))

    def _set(self, level: float) -> None:
        self.level = min(max(level, self.settings.minimum), self.settings.maximum)
        self.value = int(self.level)


class Ramp:
    """Another limit, that comes back in steps: begins with a quarter of it, and one more for each success.

    So it doubles with each round of answers, as a slow start does. A congestion halves it. What started
    before ``since`` proves nothing, and has a place of its own until it ends: calls that hang in the old
    outage would else keep the new ones out.

    State: the ``_cap``, and ``_cut_at``, when it was last halved.
    """

    learns = True

    def __init__(self, under: Limit, since: float, in_flight: int = 0) -> None:
        self.under = under
        self._since = since
        self._cut_at = -math.inf
        self._cap = max(1, under.value // 4) + in_flight

    @property
    def value(self) -> int:
        """How many attempts may be in flight now."""
        return min(self._cap, self.under.value)

    @property
    def done(self) -> bool:
        """Whether the limit under it is all that holds."""
        return self._cap >= self.under.value

    def settle(self, ended: Ended) -> None:
        """One more for a success; half for a congestion."""
        if self.under.learns:
            self.under.settle(ended)
        if ended.started < self._since:
            self._cap = max(1, self._cap - 1)
        elif ended.congested:
            if ended.started > self._cut_at:
                self._cap, self._cut_at = max(1, self._cap // 2), ended.now
        elif ended.verdict is Verdict.OK:
            self._cap += 1


def limit_of(settings: Fixed | AIMD) -> Limit:
    """The limit that these settings describe."""
    match settings:
        case Fixed():
            return FixedLimit(settings)
        case AIMD():
            return AdaptiveLimit(settings)
        case _:
            assert_never(settings)
