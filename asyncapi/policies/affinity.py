"""Session affinity: the calls of one session go to the same place, whose prompt cache knows it.

Rendezvous hashing: every place has a rank for every session, the same in each process and each run. When
a place is added or taken away, only the sessions that are best there move.

Sources: Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998; Mirrokni et al.,
"Consistent Hashing with Bounded Loads", 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from math import ceil, log

__all__ = ["BOUND", "bounds", "ranked"]

#: How much more than its share a place may have under way before its sessions go to their next place.
BOUND = 1.25


def ranked(session: str, names: Sequence[str], weights: Sequence[float] = ()) -> list[int]:
    """The places' indexes, the session's best first.

    Args:
        session: Any text that stands for the session.
        names: The places' names, each different.
        weights: Above 0, one for each place: its share of all sessions. Empty: equal shares.
    """
    shares = weights or [1.0] * len(names)
    scores = [_score(session, name, share) for name, share in zip(names, shares, strict=True)]
    return sorted(range(len(names)), key=lambda place: -scores[place])


def bounds(total: float, weights: Sequence[float]) -> list[int]:
    """How many requests each place may have under way before it is loaded beyond its bound.

    Args:
        total: Requests under way at all places, the one to be placed not counted.
        weights: Above 0, one for each place.
    """
    whole = sum(weights)
    return [ceil(BOUND * (total + 1) * weight / whole) for weight in weights]


def _score(session: str, name: str, weight: float) -> float:
    # Python's own hash() differs from process to process. The logarithm makes shares of weights.
    text = f"{session}\0{name}".encode("utf-8", "surrogatepass")
    number = int.from_bytes(blake2b(text, digest_size=8).digest(), "big") >> 12
    return -weight / log((number + 0.5) / 2.0**52)  # 52 bits: never rounded to 0 or 1
