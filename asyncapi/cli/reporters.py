"""How a run shows its progress: a bar on a terminal, plain lines elsewhere, nothing when asked."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from asyncapi.jobs import Progress, Reporter
from asyncapi.jobs.progress import SilentReporter

if TYPE_CHECKING:
    from rich.console import Console

    from asyncapi.client import Client

__all__ = ["BarReporter", "LineReporter", "counted", "new_reporter", "seconds", "trouble"]


def counted(count: int, word: str) -> str:
    """ "1 line", "2 lines"."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def seconds(value: float | None) -> str:
    """A duration in the unit that suits it; "-" for none."""
    if value is None:
        return "-"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def trouble(client: Client) -> str:
    """What holds the endpoints up now: breakers that are not closed; empty when nothing does."""
    endpoints = client.statistics().endpoints.items()
    return ", ".join(
        f"{name}: breaker {s.breaker.state}" for name, s in endpoints if s.breaker.state != "closed"
    )


def new_reporter(client: Client, *, quiet: bool) -> Reporter:
    """The reporter that suits stderr."""
    if quiet:
        return SilentReporter()
    if sys.stderr.isatty():
        return BarReporter(lambda: trouble(client))
    return LineReporter(lambda: trouble(client))


class _Pace:
    """Items a second over the last ten seconds.

    State: ``_marks``, pairs of a time and the items finished by then.
    """

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque(maxlen=51)

    def rate(self, progress: Progress, now: float) -> float:
        """The pace, called at every tick."""
        self._marks.append((now, progress.succeeded + progress.failed))
        (begun, before), (ended, after) = self._marks[0], self._marks[-1]
        return (after - before) / (ended - begun) if ended > begun else 0.0


class LineReporter:
    """A line every few seconds.

    State: when the last line was printed.
    """

    def __init__(
        self, trouble: Callable[[], str], *, every: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._trouble, self._every, self._clock = trouble, every, clock
        self._progress: Progress | None = None
        self._pace = _Pace()
        self._printed = 0.0

    def started(self, progress: Progress, /) -> None:
        """The run begins."""
        self._progress = progress
        self._printed = self._clock()
        self._pace.rate(progress, self._printed)

    def tick(self) -> None:
        """Print a line when it is time."""
        now = self._clock()
        if self._progress is None:
            return
        rate = self._pace.rate(self._progress, now)
        if now - self._printed >= self._every:
            self._printed = now
            click.echo(_line(self._progress, rate, self._trouble()), err=True)

    def note(self, text: str, /) -> None:
        """Something to read."""
        click.echo(text, err=True)

    def finished(self) -> None:
        """The run ended."""


class BarReporter:
    """A bar with rate, in flight, counts, tokens and time left."""

    def __init__(self, trouble: Callable[[], str], *, console: Console | None = None) -> None:
        from rich.console import Console as RichConsole

        self._trouble = trouble
        self._console = console or RichConsole(stderr=True)
        self._pace = _Pace()
        self._progress: Progress | None = None
        self._live: Any = None

    def started(self, progress: Progress, /) -> None:
        """Draw the bar."""
        from rich.live import Live

        self._progress = progress
        self._live = Live(self._drawn(), console=self._console, auto_refresh=False, transient=True)
        self._live.start()

    def tick(self) -> None:
        """Draw it anew."""
        if self._live is not None:
            self._live.update(self._drawn(), refresh=True)

    def note(self, text: str, /) -> None:
        """Something to read, above the bar."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def finished(self) -> None:
        """Take the bar away."""
        if self._live is not None:
            self._live.stop()

    def _drawn(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        p = self._progress
        assert p is not None
        rate = self._pace.rate(p, time.monotonic())
        top = Table.grid(padding=(0, 1))
        top.add_row(
            ProgressBar(total=max(1, p.lines), completed=p.accounted, width=40),
            Text(_share(p), style="bold"),
            Text(f"{p.accounted:,}/{p.lines:,}"),
            Text(f"{rate:,.0f}/s", style="cyan"),
            Text(f"{seconds(_left(p, rate))} left", style="dim"),
        )
        held_up = self._trouble()
        below = Text.assemble(
            (f"{p.in_flight} in flight", "cyan"),
            ("   ok ", "dim"), (f"{p.succeeded:,}", "green"),
            ("   failed ", "dim"), (f"{p.failed + p.bad:,}", "red" if p.failed + p.bad else "dim"),
            ("   again later ", "dim"), (f"{p.deferred:,}", "yellow" if p.deferred else "dim"),
            ("   retries ", "dim"), (f"{p.retries:,}", "yellow" if p.retries else "dim"),
            ("   tokens ", "dim"), f"{p.input_tokens:,} in {p.output_tokens:,} out",
            (f"   {held_up}" if held_up else "", "bold yellow"),
        )  # fmt: skip
        return Group(top, below)


def _share(progress: Progress) -> str:
    """How much is done, rounded down: 100 % is when it is."""
    share = progress.accounted * 100 // progress.lines if progress.lines else 100
    return f"{share:3}%"


def _left(progress: Progress, rate: float) -> float | None:
    return (progress.lines - progress.accounted) / rate if rate else None


def _line(p: Progress, rate: float, held_up: str) -> str:
    again = f", {p.deferred:,} again later" if p.deferred else ""
    return (
        f"{_share(p)} {p.accounted:,}/{p.lines:,}  {rate:,.0f}/s  {p.in_flight} in flight  "
        f"{p.succeeded:,} ok, {p.failed + p.bad:,} failed{again}, {p.retries:,} retries  "
        f"tokens {p.input_tokens:,}/{p.output_tokens:,}  {seconds(_left(p, rate))} left"
        f"{f'  ({held_up})' if held_up else ''}"
    )
