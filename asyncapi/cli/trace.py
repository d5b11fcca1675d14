"""``--trace``: the stations of a call with their times, on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable

import click
import msgspec

from asyncapi.types.events import Event

__all__ = ["Trace"]

_HIDDEN = {"endpoint", "request_id", "usage", "tag"}


class Trace:
    """A hook that prints one line an event: when, at which station, what.

    Units: the times are milliseconds since ``start``.
    """

    detail = True

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._begun = clock()

    def start(self) -> None:
        """Count from now."""
        self._begun = self._clock()

    def on_event(self, event: Event, /) -> None:
        """Print it."""
        station, _, what = event.name.removeprefix("asyncapi.").partition("_")
        values = msgspec.structs.asdict(event)
        shown = [f"{name} {_written(value)}" for name, value in values.items() if _told(name, value)]
        self.mark(station, " · ".join([what.replace("_", " "), *shown]))

    def mark(self, station: str, what: str) -> None:
        """Print a line."""
        elapsed = (self._clock() - self._begun) * 1000
        click.echo(f"{elapsed:9.1f} ms  {station:<10} {what}", err=True)


def _told(name: str, value: object) -> bool:
    return name not in _HIDDEN and value not in (None, "")


def _written(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
