"""The demo's picture: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from asyncapi.cli.demo.account import Account, Row
from asyncapi.cli.demo.watch import Watch
from asyncapi.cli.demo.work import Ledger
from asyncapi.cli.reporters import seconds as duration
from asyncapi.client import Client
from asyncapi.telemetry.values import EndpointStatistics

__all__ = ["LineView", "LiveView", "View", "account_table", "new_view", "verdict"]

_BREAKER = {"closed": "green", "open": "bold red", "half-open": "bold yellow"}
_KEY = {"ready": ("●", "green"), "cooling": ("◐", "yellow")}
_LEGEND = Text("keys: ● ready  ◐ resting  ○ parked", style="dim")
_NOTES = 8


class View(Protocol):
    """Shows the demo; entered while it runs."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        ...

    def scene(self, text: str, /) -> None:
        """Something begins to happen."""
        ...

    def draw(self) -> None:
        """Called ten times a second."""
        ...

    def conclude(self, found: Account, /) -> None:
        """Tell the account."""
        ...


def new_view(watch: Watch, client: Client, ledger: Ledger, seconds: float) -> View:
    """The view that suits stdout."""
    if sys.stdout.isatty():
        return LiveView(watch, client, ledger, seconds, Console())
    return LineView(watch, client, ledger)


class LineView:
    """A line for every scene and event, and one every two seconds for the whole."""

    def __init__(self, watch: Watch, client: Client, ledger: Ledger) -> None:
        self._watch, self._client, self._ledger = watch, client, ledger
        self._told = 0
        self._next = 2.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.draw()

    def scene(self, text: str, /) -> None:
        """Print it."""
        click.echo(f"{self._watch.elapsed:5.1f} s  == {text}")

    def draw(self) -> None:
        """Print what is new."""
        for note in self._watch.notes[self._told :]:
            click.echo(f"{note.at:5.1f} s  {note.endpoint:<8} {note.text}")
        self._told = len(self._watch.notes)
        if self._watch.elapsed >= self._next:
            self._next += 2.0
            click.echo(f"{self._watch.elapsed:5.1f} s  {_sentence(self._client, self._ledger)}")

    def conclude(self, found: Account, /) -> None:
        """Print the account."""
        Console(width=100).print(account_table(found), verdict(found), sep="\n")


class LiveView:
    """A table of the endpoints and the last events, drawn anew ten times a second."""

    def __init__(
        self, watch: Watch, client: Client, ledger: Ledger, seconds: float, console: Console
    ) -> None:
        self._watch, self._client, self._ledger, self._seconds = watch, client, ledger, seconds
        self._console = console
        self._scene = ""
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def scene(self, text: str, /) -> None:
        """Show it in the headline."""
        self._scene = text

    def draw(self) -> None:
        """Draw everything."""
        self._live.update(self._picture(), refresh=True)

    def conclude(self, found: Account, /) -> None:
        """Print the account where the picture was."""
        self._console.print(account_table(found), verdict(found), sep="\n")

    def _picture(self) -> Group:
        left = self._seconds - self._watch.elapsed
        clock = f"{left:4.1f} s" if left > 0 else "finishing what is under way"
        head = Text.assemble((" asyncapi demo ", "bold reverse"), f"  {clock}  ", (self._scene, "bold cyan"))
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
        wide = self._console.width >= 106
        for name, side, width in _COLUMNS if wide else _COLUMNS[:-1]:
            table.add_column(name, justify=side, no_wrap=True, min_width=width)
        for name, s in sorted(self._client.statistics().endpoints.items()):
            table.add_row(*_cells(name, s)[: len(table.columns)])
        places = max(2, min(_NOTES, self._console.height - len(table.rows) - 7))
        notes = [
            Text.assemble((f"{n.at:5.1f} s  ", "dim"), (f"{n.endpoint:<9}", "cyan"), n.text)
            for n in self._watch.notes[-places:]
        ]
        blank = [Text("")] * (places - len(notes))
        return Group(head, Text(""), table, Text(""), _counts(self._ledger), _LEGEND, *notes, *blank)


_COLUMNS: tuple[tuple[str, Literal["left", "right"], int], ...] = (
    ("endpoint", "left", 8),
    ("breaker", "left", 11),
    ("in flight", "left", 9),
    ("queue", "left", 12),
    ("answered", "right", 8),
    ("retries", "right", 7),
    ("refused", "right", 7),
    ("keys", "left", 27),
    ("p50", "right", 6),
)


def _cells(name: str, s: EndpointStatistics) -> list[Text]:
    used = min(s.in_flight, s.limit)
    bar = Text.assemble(("█" * used, "green"), ("░" * (s.limit - used), "dim"), f" {s.in_flight}/{s.limit}")
    queue = Text(f"{'▪' * min(8, (s.queue.waiting + 2) // 3):<8} {s.queue.waiting}", style="yellow")
    return [
        Text(name, style="bold"),
        Text(f"● {s.breaker.state}", style=_BREAKER.get(s.breaker.state, "")),
        bar,
        queue if s.queue.waiting else Text(f"{'':<8} 0", style="dim"),
        Text(f"{s.calls.succeeded}", style="green"),
        Text(f"{s.retries}", style="yellow" if s.retries else "dim"),
        Text(f"{s.calls.refused}", style="red" if s.calls.refused else "dim"),
        _keys(s),
        Text(duration(s.service_time.p50), style="dim"),
    ]


def _keys(s: EndpointStatistics) -> Text:
    shown: list[Any] = []
    for name, key in s.keys.items():
        mark, style = _KEY.get(key.state, ("○", "bold red"))
        shown += [(f"{mark} ", style), (f"{name}  ", "dim" if key.state == "ready" else style)]
    return Text.assemble(*shown)


def _counts(ledger: Ledger) -> Text:
    return Text.assemble(
        f"{ledger.asked.total()} asked   ",
        (f"{ledger.answered.total()} answered   ", "green"),
        (f"{ledger.open} under way   ", "cyan"),
        (f"{ledger.refused.total()} refused   ", "yellow" if ledger.refused else "dim"),
        (f"{ledger.failed.total()} failed", "red" if ledger.failed else "dim"),
    )


def _sentence(client: Client, ledger: Ledger) -> str:
    endpoints = client.statistics().endpoints
    flying, waiting = (
        sum(s.in_flight for s in endpoints.values()),
        sum(s.queue.waiting for s in endpoints.values()),
    )
    return f"{_counts(ledger).plain}   {flying} in flight, {waiting} queued"


_ACCOUNT_COLUMNS = (
    ("cyan", ("asked", "answered", "failed", "refused")),
    ("magenta", ("sent", "retries", "spared")),
    ("yellow", ("received",)),
    ("", ("opened", "p50", "p95")),
)


def account_table(found: Account) -> Table:
    """The account as a table."""
    table = Table(title="Every call, counted three times", title_style="bold", box=None, padding=(0, 1, 0, 0))
    table.add_column("endpoint", no_wrap=True)
    for style, names in _ACCOUNT_COLUMNS:
        for name in names:
            table.add_column(name, justify="right", header_style=f"bold {style}", no_wrap=True)
    table.add_column("")
    for row in found.rows:
        table.add_row(*_account_cells(row))
    table.add_row()
    table.add_row(*_account_cells(found.total), style="bold")
    return table


def _account_cells(row: Row) -> list[str]:
    callers = (row.asked, row.answered, row.failed, row.refused)
    requests = (row.sent, row.retries, row.spared, row.received, row.opened)
    mark = "[green]✓[/]" if row.balanced else "[red]✗[/]"
    shown = map(str, requests) if row.sent else [""] * len(requests)  # a route's are its targets'
    times = (duration(row.p50_s), duration(row.p95_s)) if row.sent else ("", "")
    return [row.name, *map(str, callers), *shown, *times, mark]


def verdict(found: Account) -> Text:
    """What the table means, in sentences."""
    t = found.total
    faults = ", ".join(f"{kind} {count}" for kind, count in found.faults.items()) or "none"
    errors = ", ".join(f"{kind} {count}" for kind, count in found.errors.items()) or "none"
    statuses = ", ".join(f"{status} {count}" for status, count in found.statuses.items())
    waits = ", ".join(f"{name} {duration(wait)}" for name, wait in found.waits.items())
    text = Text.assemble(
        ("callers", "bold cyan"),
        f" asked {t.asked} times and got {t.answered} answers, {found.right} of {found.checked} "
        f"the right one; what they were told instead: {errors}\n",
        ("the client", "bold magenta"),
        f" sent {t.sent} requests, {t.retries} of them retries; {t.spared} more were spared by batches, "
        f"{found.moved} moved on along their route\n",
        ("the services", "bold yellow"),
        f" received {t.received} requests and spoilt {sum(found.faults.values())}: {faults}; "
        f"their answers by status: {statuses}\n",
        f"median wait in the queue: {waits}\n",
    )
    if found.balanced:
        return text.append("Every call has one end and every request is on both sides.", "bold green")
    return text.append("The counts don't agree: this is a bug, please report it with the page.", "bold red")
