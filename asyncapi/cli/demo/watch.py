"""What is seen during the demo: samples of the endpoints, events, and the end of every call."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from asyncapi.cli.demo.scenes import Scene
from asyncapi.telemetry.values import Statistics
from asyncapi.types.events import BreakerChanged, CallFinished, Event, KeyCooled, KeyParked, RouteMoved

__all__ = ["End", "Note", "Sample", "Watch"]


class Sample(msgspec.Struct, frozen=True):
    """One endpoint at one moment. Units: seconds since the start."""

    at: float
    in_flight: int
    waiting: int
    breaker: str


class End(msgspec.Struct, frozen=True):
    """The end of a call. Units: seconds."""

    at: float
    total_s: float
    outcome: str


class Note(msgspec.Struct, frozen=True):
    """An event worth a line. Units: seconds since the start."""

    at: float
    endpoint: str
    text: str


class Watch:
    """A hook that keeps what the view and the report show.

    State: everything is appended to, nothing changed; ``moved`` counts the calls that went on along a
    route; ``_last`` is when something was noted last.
    """

    detail = False

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        """Count from now, and forget what was before."""
        self._begun = self._clock()
        self.samples: dict[str, list[Sample]] = {}
        self.ends: dict[str, list[End]] = {}
        self.notes: list[Note] = []
        self.scenes: list[Scene] = []
        self.moved = 0
        self._last: dict[tuple[str, ...], float] = {}

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._begun

    def scene(self, text: str) -> None:
        """Something begins to happen."""
        self.scenes.append(Scene(self.elapsed, text))

    def sample(self, statistics: Statistics) -> None:
        """Note how the endpoints are."""
        for name, s in statistics.endpoints.items():
            found = Sample(self.elapsed, s.in_flight, s.queue.waiting, s.breaker.state)
            self.samples.setdefault(name, []).append(found)

    def on_event(self, event: Event, /) -> None:
        """Keep what is worth keeping."""
        match event:
            case CallFinished():
                end = End(self.elapsed, event.total_s, event.outcome)
                self.ends.setdefault(event.endpoint, []).append(end)
            case RouteMoved():
                self.moved += 1
                self._note(
                    event, f"route {event.route} moved on to {event.to.partition(':')[0]}: {event.error}"
                )
            case BreakerChanged():
                self._note(event, f"breaker {event.old}→{event.new}: {event.reason}")
            case KeyParked():
                self._note(event, f"key {event.key} parked: {event.reason}")
            case KeyCooled(seconds_s=seconds) if seconds >= 1:
                self._note(event, f"key {event.key or '(all)'} rests {seconds:.1f} s, as the service asked")

    def _note(self, event: Event, text: str) -> None:
        """Keep it, unless calls in flight have just reported the same."""
        about = (event.endpoint, *text.split()[:3])
        last, self._last[about] = self._last.get(about, -math.inf), self.elapsed
        if self.elapsed - last > 1.0:
            self.notes.append(Note(self.elapsed, event.endpoint, text))
