"""How many attempts may be in flight: arithmetic here, enforcement in the core's semaphore."""

from __future__ import annotations

from typing import Protocol

from asyncapi.config import Fixed
from asyncapi.policies.verdict import Verdict

__all__ = ["FixedLimit", "Limit"]


class Limit(Protocol):
    """A number that may learn from verdicts."""

    @property
    def value(self) -> int:
        """How many attempts may be in flight now, 1 or more."""
        ...

    def settle(self, verdict: Verdict, *, in_flight: int, started: float, now: float) -> None:
        """Learn from an attempt that started at ``started`` (seconds) with ``in_flight`` others."""
        ...


class FixedLimit:
    """Always the same number."""

    def __init__(self, settings: Fixed) -> None:
        self.value = settings.limit

    def settle(self, verdict: Verdict, *, in_flight: int, started: float, now: float) -> None:
        """Learns nothing."""
