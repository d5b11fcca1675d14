"""``run --emulate``: what goes wrong in the middle of the run, and what the emulator saw of it all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from asyncapi.cli.emulated import fake_keys
from asyncapi.types.events import CallFinished, Event

if TYPE_CHECKING:
    from asyncapi.emulator import Emulator
    from asyncapi.jobs import Progress, Reporter

__all__ = ["Rehearsal", "Seen", "seen"]

_OUTAGE_S = 2.0


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """The emulator's own count: requests received, spoilt by it, and sent again before they should be."""

    received: int
    spoilt: int
    early: int


def seen(emulator: Emulator) -> Seen:
    """What the emulator saw so far."""
    counts = emulator.counts()
    return Seen(
        received=counts.received,
        spoilt=sum(counts.by_fault.values()),
        early=len(emulator.early_retries()),
    )


class Rehearsal:
    """Loses a key at a quarter of a run, the service at a half, another key's money at three quarters.

    It is a hook, to act between two answers however fast they come, and a reporter, which knows how far
    the run is; what it is told as a reporter goes on to the one that it was given.

    State: the ``_progress`` of the run; the ``_acts`` still to come, the next one last.
    """

    detail = False

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._acts: list[tuple[float, str, Callable[[], None]]] = []

    def direct(self, emulator: Emulator, reporter: Reporter) -> None:
        """Play on this stage, before this audience."""
        _, revoked, exhausted, *_ = (key.value for key in fake_keys("any", 3))
        self._reporter = reporter
        self._acts = [
            (0.75, "a key is out of money", lambda: emulator.exhaust(exhausted)),
            (0.50, f"an outage of {_OUTAGE_S:g} s begins", lambda: emulator.outage(_OUTAGE_S)),
            (0.25, "a key is revoked", lambda: emulator.revoke(revoked)),
        ]

    def on_event(self, event: Event, /) -> None:
        """Act when it is time."""
        progress = self._progress
        if progress is None or not isinstance(event, CallFinished):
            return
        while self._acts and progress.accounted >= self._acts[-1][0] * progress.lines:
            _, text, act = self._acts.pop()
            self._reporter.note(f"emulator: {text}")
            act()

    def started(self, progress: Progress, /) -> None:
        """The run begins."""
        self._progress = progress
        self._reporter.started(progress)

    def tick(self) -> None:
        """A moment passed."""
        self._reporter.tick()

    def note(self, text: str, /) -> None:
        """Something to read."""
        self._reporter.note(text)

    def finished(self) -> None:
        """The run ended."""
        self._reporter.finished()
