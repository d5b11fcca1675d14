"""Progress as lines and as a bar."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from asyncapi.cli import reporters
from asyncapi.cli.rehearsal import Seen
from asyncapi.cli.run import _tell
from asyncapi.client import Client
from asyncapi.jobs import Progress, RunSettings, Summary
from asyncapi.jobs.progress import SilentReporter
from asyncapi.telemetry.values import BreakerStatistics, EndpointStatistics, Statistics


def halfway() -> Progress:
    """Some way into a run."""
    progress = Progress(lines=2000)
    progress.succeeded, progress.failed, progress.bad, progress.deferred = 997, 2, 1, 3
    progress.in_flight, progress.retries, progress.input_tokens, progress.output_tokens = 64, 7, 12345, 678
    return progress


def test_a_line_every_five_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """With the pace of the last seconds and what holds it up."""
    now = 100.0
    reporter = reporters.LineReporter(lambda: "groq: breaker open", clock=lambda: now)
    progress = halfway()
    reporter.tick()
    reporter.started(progress)
    for _ in range(10):
        now += 1.0
        progress.succeeded += 10
        reporter.tick()
    reporter.note("line 3: not JSON")
    reporter.finished()
    lines = capsys.readouterr().err.splitlines()

    assert len(lines) == 3
    assert lines[1] == (
        " 55% 1,100/2,000  10/s  64 in flight  1,097 ok, 3 failed, 3 again later, 7 retries  "
        "tokens 12,345/678  1:30 min left  (groq: breaker open)"
    )
    assert lines[2] == "line 3: not JSON"


def test_a_bar_on_a_terminal() -> None:
    """With counts, pace, time left and what holds it up; notes stand above it."""
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=120)
    reporter = reporters.BarReporter(lambda: "groq: breaker open", console=console)
    reporter.tick()
    reporter.finished()
    reporter.started(halfway())
    reporter.tick()
    reporter.note("line 3: [bold]not JSON")
    reporter.finished()
    text = shown.getvalue()

    assert all(word in text for word in ("50%", "1,000/2,000", "64 in flight", "groq: breaker open"))
    assert "line 3: [bold]not JSON" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0123, "12 ms"),
        (1.26, "1.3 s"),
        (59.0, "59.0 s"),
        (61, "1:01 min"),
        (7325, "2:02:05 h"),
    ],
)
def test_durations(value: float | None, text: str) -> None:
    """In the unit that suits them."""
    assert reporters.seconds(value) == text


def test_the_reporter_that_suits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence when asked for, a bar on a terminal, else lines."""
    client = Client()
    assert isinstance(reporters.new_reporter(client, quiet=True), SilentReporter)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    lines: Any = reporters.new_reporter(client, quiet=False)
    assert isinstance(lines, reporters.LineReporter)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    bar: Any = reporters.new_reporter(client, quiet=False)
    assert isinstance(bar, reporters.BarReporter)
    assert lines._trouble() == bar._trouble() == ""


def test_trouble_is_a_breaker_that_is_not_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By endpoint."""
    client = Client()
    endpoints = {
        "a": EndpointStatistics(breaker=BreakerStatistics(state="open")),
        "b": EndpointStatistics(),
    }
    monkeypatch.setattr(Client, "statistics", lambda _: Statistics(endpoints=endpoints))

    assert reporters.trouble(client) == "a: breaker open"


@pytest.mark.parametrize(
    ("summary", "words"),
    [
        (Summary(rows=1, succeeded=1), "1 line: 0 sent, 1 answered"),
        (Summary(rows=9, remaining=4, interrupted=True), "out.jsonl is safe and holds 5 of 9 lines"),
        (Summary(rows=9, stopped="disk full", lost=3), "3 answers arrived and could not be written"),
        (Summary(rows=9, stopped="disk full"), "asyncapi: error: stopped: disk full"),
        (Summary(rows=9, failed_in_output=2), "2 lines of it failed"),
        (Summary(rows=9, bad=1, duplicates=2, done_before=3), "3 done before, 1 bad line, 2 repeated ids"),
    ],
)
def test_the_end_of_a_run(capsys: pytest.CaptureFixture[str], summary: Summary, words: str) -> None:
    """For a person, with what to do next."""
    _tell(summary, None, RunSettings(input="in", output=Path("out.jsonl"), model="a:b"))

    assert words in capsys.readouterr().err


def test_the_end_of_an_emulated_run(capsys: pytest.CaptureFixture[str]) -> None:
    """With what the emulator saw of it."""
    settings = RunSettings(input="in", output=Path("out.jsonl"), model="a:b")
    _tell(Summary(rows=4, sent=4), Seen(received=5, spoilt=1, early=0), settings)
    _tell(Summary(rows=4), Seen(received=0, spoilt=0, early=0), settings)
    told = capsys.readouterr().err

    assert "the emulator received 5 requests (1.25 for each line sent), 1 spoilt, 0 too early" in told
    assert "the emulator received 0 requests, 0 spoilt, 0 too early" in told
