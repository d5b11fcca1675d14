"""The demo: its account is right, its page loads nothing, its picture shows what happens."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from asyncapi.cli.demo.account import Account, Row, account
from asyncapi.cli.demo.report import page
from asyncapi.cli.demo.svg import Plot
from asyncapi.cli.demo.view import LiveView, account_table, new_view, verdict
from asyncapi.cli.demo.watch import Sample, Watch
from asyncapi.cli.demo.work import Ledger
from asyncapi.client import Client
from asyncapi.emulator import DIALECTS, Counts
from asyncapi.telemetry.values import EndpointStatistics, KeyStatistics, QueueStatistics, Statistics
from asyncapi.types.events import BreakerChanged, KeyCooled, KeyParked, QueueRefused, RouteMoved

from .conftest import Run

ROW = Row(
    name="openai",
    asked=5,
    answered=3,
    failed=1,
    refused=1,
    sent=7,
    retries=3,
    spared=0,
    received=7,
    opened=1,
    p50_s=0.2,
    p95_s=None,
)
GOOD = Account(
    rows=(ROW,),
    total=ROW,
    faults={"500": 2},
    errors={"timeout": 1},
    statuses={"200": 5},
    waits={},
    checked=3,
    right=3,
)
BAD = msgspec.structs.replace(GOOD, right=2)


@pytest.mark.slow
def test_every_call_is_accounted_for(run: Run, tmp_path: Path) -> None:
    """By its caller, by the client and by the services; the page is written."""
    ran = run("demo", "--quick", "--report", tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text()

    assert ran.code == 0, ran.out
    assert "Every call has one end and every request is on both sides." in ran.out
    assert "an outage: claude and groq answer 503; a route goes on" in ran.out
    table = ran.out.partition("Every call, counted three times")[2].partition("The report")[0]
    assert max(map(len, table.splitlines())) <= 100
    for service in DIALECTS:
        [row] = re.findall(rf"^{service} +(\d+) .*✓", table, re.MULTILINE)
        assert int(row) > 0, f"{service} was asked nothing"
    assert re.search(r"^route smart +\d+ +\d+ +0 +\d+ +✓", table, re.MULTILINE)
    assert re.search(r"breaker closed→open", ran.out)
    assert f"The report with plots: {tmp_path}/report.html" in ran.out
    assert html.count("<svg") == 2 * html.count("<figure")
    assert not re.search(r"(src|href)=|url\(|@import|<script", html), "the page loads nothing"


@pytest.mark.slow
def test_development_mode_sees_nothing_wrong(tmp_path: Path) -> None:
    """No warning, no task forgotten, no slow callback of a busy machine."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = ["-X", "dev", "-W", "error", "-m", "asyncapi", "demo", "--quick", "--no-report"]
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.slow
def test_without_a_page(run: Run, tmp_path: Path) -> None:
    """Nothing is left behind."""
    ran = run("demo", "--quick", "--no-report", "--seed", "5")

    assert ran.code == 0, ran.out
    assert "report with plots" not in ran.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_page_that_cannot_be_written(run: Run) -> None:
    """Is said, after the account."""
    ran = run("demo", "--quick", "--report", "none/report.html")

    assert ran.code == 2
    assert "can't write the report" in ran.err


def test_counts_that_disagree_are_told() -> None:
    """Rather than painted over."""
    unbalanced = msgspec.structs.replace(ROW, received=8)
    assert ROW.balanced
    assert not unbalanced.balanced
    assert not BAD.balanced
    assert "this is a bug" in verdict(BAD).plain
    assert "this is a bug" in page(BAD, Watch(lambda: 0.0), 0)
    console = Console(file=io.StringIO(), width=120)
    console.print(account_table(msgspec.structs.replace(GOOD, rows=(unbalanced,))))
    shown = console.file
    assert isinstance(shown, io.StringIO)
    assert "✗" in shown.getvalue()


def test_account_puts_three_counts_side_by_side() -> None:
    """Callers', client's, services'."""
    ledger = Ledger()
    ledger.asked["a"] = ledger.answered["a"] = 2
    counts = Counts(
        received=3, by_service={"openai": 3}, by_status={200: 2, None: 1}, by_fault={"cut_before": 1}
    )
    statistics = Statistics(endpoints={"a": EndpointStatistics(backend="openai", requests=3, retries=1)})
    found = account(ledger, statistics, counts)

    assert found.balanced
    assert found.rows[0].received == found.total.sent == 3
    assert found.statuses == {"200": 2, "none": 1}


def test_a_route_has_a_row_of_its_own() -> None:
    """Of its callers' counts; its requests are counted with its targets."""
    ledger = Ledger()
    ledger.asked["route smart"] = ledger.answered["route smart"] = 3
    counts = Counts(received=0, by_service={}, by_status={}, by_fault={})
    found = account(ledger, Statistics(endpoints={"a": EndpointStatistics()}), counts, moved=2)

    assert found.balanced
    assert [(row.name, row.asked, row.sent) for row in found.rows] == [("a", 0, 0), ("route smart", 3, 0)]
    assert "2 moved on along their route" in verdict(found).plain


def test_watch_keeps_what_is_worth_a_line() -> None:
    """And says the same thing once a second at most."""
    now = 0.0
    watch = Watch(lambda: now)
    events = [
        BreakerChanged(endpoint="a", old="closed", new="open", reason="5 failures in a row"),
        KeyParked(endpoint="a", key="k", reason="authentication", seconds_s=9),
        KeyParked(endpoint="a", key="k", reason="authentication", seconds_s=9),
        KeyCooled(endpoint="a", key="", seconds_s=2.0),
        KeyCooled(endpoint="a", key="k", seconds_s=0.2),
        QueueRefused(endpoint="a", error="queue_full"),
        RouteMoved(endpoint="a", route="r", to="b:m", error="server_error"),
    ]
    for event in events:
        watch.on_event(event)
    now = 2.0
    watch.on_event(events[1])

    assert [note.text for note in watch.notes] == [
        "breaker closed→open: 5 failures in a row",
        "key k parked: authentication",
        "key (all) rests 2.0 s, as the service asked",
        "route r moved on to b: server_error",
        "key k parked: authentication",
    ]
    assert watch.moved == 1


@pytest.mark.parametrize("width", [100, 140])
def test_the_live_picture(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Breakers, keys, queue and counts, on a narrow and on a wide terminal."""
    states = ("ready", "cooling", "authentication")
    keys = {f"key-{n}": KeyStatistics(state=state) for n, state in enumerate(states)}
    busy = EndpointStatistics(in_flight=3, limit=5, queue=QueueStatistics(waiting=9), retries=1, keys=keys)
    monkeypatch.setattr(
        Client, "statistics", lambda _: Statistics(endpoints={"a": busy, "b": EndpointStatistics()})
    )
    shown = io.StringIO()
    watch = Watch(lambda: 0.0)
    watch.on_event(KeyParked(endpoint="a", key="k", reason="authentication", seconds_s=9))
    console = Console(file=shown, force_terminal=True, width=width, height=40, color_system=None)
    view = LiveView(watch, Client(), Ledger(), 5.0, console)
    with view:
        view.scene("an outage")
        view.draw()
    view.conclude(GOOD)
    text = shown.getvalue()

    assert all(
        word in text
        for word in ("an outage", "● closed", "███░░ 3/5", "▪▪▪", "● key-0", "◐ key-1", "○ key-2")
    )
    assert ("p50" in text.partition("Every call")[0]) == (width > 106)
    assert "Every call, counted three times" in text


def test_the_view_that_suits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A live one on a terminal only."""
    watch, client = Watch(lambda: 0.0), Client()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    assert isinstance(new_view(watch, client, Ledger(), 1.0), LiveView)


def test_the_page_marks_where_a_breaker_was_open() -> None:
    """Also when it is open at the end."""
    watch = Watch(lambda: 0.0)
    states = ["closed", "open", "open", "half-open", "closed", "open"]
    watch.samples["openai"] = [Sample(float(i), 1, 2, state) for i, state in enumerate(states)]
    html = page(GOOD, watch, 0)

    assert html.count('<rect class="open"') == 4
    assert html.count('<rect class="half-open"') == 2


def test_an_empty_plot() -> None:
    """Has axes."""
    plot = Plot(0.0, 0.0)
    plot.area([], "flight")

    assert "<svg" in plot.render("nothing")
    assert "<path" not in plot.render("nothing")
