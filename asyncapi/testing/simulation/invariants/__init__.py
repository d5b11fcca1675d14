"""What must hold in every run: each invariant reads the evidence and says what breaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from asyncapi.testing.simulation.evidence import Evidence, Violation
from asyncapi.testing.simulation.invariants import breaker, calls, keys, queue, rest, sending

__all__ = ["INVARIANTS", "Invariant", "check"]

Invariant: TypeAlias = Callable[[Evidence], Iterator[tuple[float | None, str]]]

INVARIANTS: tuple[Invariant, ...] = (
    *calls.INVARIANTS,
    *sending.INVARIANTS,
    *queue.INVARIANTS,
    *keys.INVARIANTS,
    *breaker.INVARIANTS,
    *rest.INVARIANTS,
)
#: A broken invariant is told a few times, not a thousand.
_TOLD = 5


def check(evidence: Evidence) -> tuple[Violation, ...]:
    """Everything that does not hold, the earliest first."""
    found = []
    for invariant in INVARIANTS:
        for number, (at, what) in enumerate(invariant(evidence)):
            if number == _TOLD:
                break
            found.append(Violation(invariant.__name__, what, at))
    return tuple(sorted(found, key=lambda v: (v.at is None, v.at or 0.0)))
