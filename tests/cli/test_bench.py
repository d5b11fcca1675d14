"""bench, end to end against the embedded emulator, and its arithmetic."""

import json
import math
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from asyncapi.cli.bench import Sample, level_of, plotted

from .conftest import Run

BENCH = ["bench", "openai:m", "--emulate", "--concurrency", "8,2"]


@pytest.mark.slow
def test_a_sweep_shows_rates_and_percentiles(run: Run, tmp_path: Path) -> None:
    """A row for each level, a plot; nothing but the table on stdout."""
    ran = run(*BENCH, "--calls", "6", "--plot", tmp_path / "load.svg")
    head, two, eight = ran.out.splitlines()

    assert ran.code == 0
    assert "15 calls of openai:m" in ran.err
    assert head.split()[:5] == ["in", "flight", "calls", "failed", "retries"]
    assert two.split()[:4] == ["2", "6", "0", "0"]
    assert eight.split()[:4] == ["8", "8", "0", "0"]
    assert ElementTree.parse(tmp_path / "load.svg").getroot().tag.endswith("svg")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "first"), [("--stream", True), ("--embed", False)])
def test_json_of_streams_and_vectors(run: Run, kind: str, first: bool) -> None:
    """Streams have first tokens."""
    ran = run(*BENCH, "--calls", "4", kind, "--json")
    levels = json.loads(ran.out)["levels"]

    assert [level["concurrency"] for level in levels] == [2, 8]
    for level in levels:
        assert 0 < level["p50_s"] <= level["p90_s"] <= level["p99_s"] <= level["most_s"] <= level["wall_s"]
        assert (level["first_token_p50_s"] is not None) == first


@pytest.mark.slow
def test_on_uvloop(run: Run) -> None:
    """If it is there."""
    pytest.importorskip("uvloop")

    assert run(*BENCH, "--calls", "2", "--uvloop").code == 0


def test_without_uvloop_it_says_how_to_get_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 2."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    ran = run(*BENCH, "--uvloop")

    assert ran.code == 2
    assert "pip install 'asyncapi-inference[uvloop]'" in ran.err


@pytest.mark.slow
def test_failures_are_counted_by_kind_and_end_with_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are measured all the same."""
    monkeypatch.setenv("ASYNCAPI_RETRY_ATTEMPTS", "1")
    ran = run(*BENCH, "--calls", "30", "--faults", "rate=0.3,kinds=500", "--seed", "3")

    assert ran.code == 1
    assert ran.out.splitlines()[-1].startswith("failed: ")


@pytest.mark.parametrize("levels", ["0", "1,x", "", "-1"])
def test_levels_that_are_none(run: Run, levels: str) -> None:
    """With 2 and an example."""
    ran = run("bench", "openai:m", "--emulate", "--concurrency", levels)

    assert ran.code == 2
    assert "expected numbers such as 1,8,64" in ran.err


def test_a_service_that_cannot_be_asked_is_said_at_once(run: Run) -> None:
    """No key: nothing is measured."""
    ran = run("bench", "openai:m")

    assert ran.code == 2
    assert "needs an API key" in ran.err


def test_percentiles_are_of_answered_calls() -> None:
    """Failures are quick; they would make a bad service look fast."""
    samples = [Sample(n / 100, output_tokens=2) for n in range(1, 101)]
    samples += [Sample(0.0, attempts=3, failure="server_error")] * 2
    level = level_of(samples, 4, wall_s=10.0, cpu_s=0.102)

    assert (level.p50_s, level.p90_s, level.p99_s, level.most_s) == (0.5, 0.9, 0.99, 1.0)
    assert (level.per_second, level.tokens_per_second) == (10.0, 20.0)
    assert level.cpu_us == pytest.approx(1000)
    assert (level.failed, level.retries) == ({"server_error": 2}, 4)


def test_a_level_without_an_answer() -> None:
    """Has no times, and can be drawn."""
    level = level_of([Sample(0.1, failure="server_error")], 1, wall_s=1.0, cpu_s=0.0)

    assert math.isnan(level.p50_s)
    assert "nan" not in plotted([level], "m")
