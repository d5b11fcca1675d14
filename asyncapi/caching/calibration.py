"""Which threshold suits an embedding model: measured on pairs of texts that are known to be alike or not.

A cosine of 0.9 means much with one model and nothing with another.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from asyncapi.caching.guard import safe_to_share
from asyncapi.caching.neighbours import unit

if TYPE_CHECKING:
    from asyncapi.caching.neighbours import Vector

__all__ = ["Calibration", "Embed", "Pair", "Point", "calibrate", "measure"]

#: Texts to vectors, one each, in order.
Embed = Callable[[Sequence[str]], Awaitable[Sequence[Sequence[float]]]]
Guard = Callable[[str, str], bool]

_STEPS = tuple(round(0.5 + 0.01 * step, 2) for step in range(50))
_BLOCK = 256


class Pair(msgspec.Struct, frozen=True):
    """Two texts, and whether the answer to one answers the other."""

    asked: str
    cached: str
    same: bool


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """What a threshold does: of all pairs, ``right`` are shared and may be, ``wrong`` are shared and may not.

    ``precision`` is None where nothing is shared; ``at_least`` is its lower bound with 95 % confidence
    (Wilson's), ``recall`` the share of the pairs that may be shared.
    """

    threshold: float
    right: int
    wrong: int
    precision: float | None
    at_least: float
    recall: float


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """The points of a curve, thresholds ascending, of so many pairs that are ``alike`` and ``apart``."""

    points: tuple[Point, ...]
    alike: int
    apart: int

    def threshold(self, precision: float = 0.99) -> float | None:
        """The lowest threshold from which on the precision is never measured below this.

        None if there is none, or if nothing is shared there.
        """
        best = None
        for point in reversed(self.points):
            if point.precision is not None and point.precision < precision:
                break
            if point.right:
                best = point.threshold
        return best

    def at(self, threshold: float) -> Point:
        """The point of a threshold: the highest that is not above it."""
        return max((p for p in self.points if p.threshold <= threshold), key=lambda p: p.threshold)


async def calibrate(
    pairs: Iterable[Pair],
    embed: Embed,
    *,
    guard: Guard | None = safe_to_share,
    thresholds: Sequence[float] = _STEPS,
) -> Calibration:
    """Precision and recall of each threshold on these pairs.

    Take pairs of your own traffic, hard ones among them: a number changed, a name, a "not". Choose the
    threshold on one half and look at the other half with it.

    Args:
        pairs: Some hundreds at least; with n shared and none wrong the precision is above 1 - 3/n.
        embed: An async function from a list of texts to as many vectors, of the model that will be used.
        guard: The one that will be used; None for the cosine alone.
        thresholds: Which to look at.
    """
    known = list(pairs)
    texts = list(dict.fromkeys(text for pair in known for text in (pair.asked, pair.cached)))
    vectors: dict[str, Vector | None] = {}
    for start in range(0, len(texts), _BLOCK):
        some = texts[start : start + _BLOCK]
        vectors.update(zip(some, map(unit, await embed(some)), strict=True))
    seen = []
    for pair in known:
        one, other = vectors[pair.asked], vectors[pair.cached]
        shared = one is not None and other is not None and (guard is None or guard(pair.asked, pair.cached))
        cosine = float(one @ other) if shared and one is not None and other is not None else -1.0
        seen.append((cosine, pair.same))
    return measure(seen, thresholds)


def measure(seen: Sequence[tuple[float, bool]], thresholds: Sequence[float] = _STEPS) -> Calibration:
    """The curve of cosines and whether they may be shared; -1 is a pair that the guard keeps apart."""
    alike = sum(same for _, same in seen)
    points = []
    for threshold in sorted(thresholds):
        shared = [same for cosine, same in seen if cosine >= threshold]
        right = sum(shared)
        points.append(
            Point(
                threshold=threshold,
                right=right,
                wrong=len(shared) - right,
                precision=right / len(shared) if shared else None,
                at_least=_wilson(right, len(shared)),
                recall=right / alike if alike else 0.0,
            )
        )
    return Calibration(points=tuple(points), alike=alike, apart=len(seen) - alike)


def _wilson(right: int, all_of_them: int, z: float = 1.645) -> float:
    """The lower end of Wilson's interval, one-sided at 95 %."""
    if not all_of_them:
        return 0.0
    share, square = right / all_of_them, z * z / all_of_them
    spread = z * math.sqrt(share * (1 - share) / all_of_them + square / (4 * all_of_them))
    return max(0.0, (share + square / 2 - spread) / (1 + square))
