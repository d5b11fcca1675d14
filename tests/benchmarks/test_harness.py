"""The harness itself is honest."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from benchmarks import checked, measure, report, svg
from benchmarks.adapters import opened
from benchmarks.bounds import verdicts
from benchmarks.measure import Row
from benchmarks.rivals import known
from benchmarks.rivals.child import measured
from benchmarks.servers import target
from benchmarks.suites import SUITES, Plan, latency


def burner(micros: float) -> measure.Contender:
    """Uses so much of the processor for each operation."""

    async def burn(count: int) -> None:
        for _ in range(count):
            end = time.process_time() + micros / 1e6
            while time.process_time() < end:
                pass

    return burn


async def test_what_is_burnt_is_what_is_measured() -> None:
    """Within a fifth, though nobody knows what else the machine does."""
    contenders = {"bare": burner(100), "ours": burner(300)}
    found = await measure.compare(contenders, count=100, rounds=5, base="bare")

    assert found["bare"]["cpu_us"] == pytest.approx(100, rel=0.2)
    assert found["ours"]["cpu_us"] == pytest.approx(300, rel=0.2)
    assert found["ours"]["ratio"] == pytest.approx(3, rel=0.2)


async def test_waiting_is_not_measured_as_work() -> None:
    """CPU, not the clock."""

    async def wait(count: int) -> None:
        await asyncio.sleep(0.001 * count)

    found = await measure.compare({"bare": burner(100), "ours": wait}, count=50, rounds=3, base="bare")

    assert found["ours"]["ratio"] < 0.5
    assert found["ours"]["per_second"] < 1000


def test_ratios_are_taken_within_rounds() -> None:
    """A machine that is ten times slower for one round changes nothing."""
    found = measure.summary([20, 200, 22], [10, 100, 11])

    assert (found["ratio"], found["low"], found["high"]) == (2, 2, 2)
    assert found["cpu_us"] == 22


async def test_contenders_take_turns() -> None:
    """And each begins as many rounds as the other, give or take one."""
    order: list[str] = []

    def contender(name: str) -> Callable[[int], asyncio.Future[None]]:
        def work(count: int) -> asyncio.Future[None]:
            order.append(name)
            time.process_time()
            return asyncio.ensure_future(asyncio.sleep(0))

        return work

    burn = burner(10)

    async def first(count: int) -> None:
        await contender("a")(count)
        await burn(count)

    async def second(count: int) -> None:
        await contender("b")(count)
        await burn(count)

    await measure.compare({"a": first, "b": second}, count=10, rounds=4, base="a")

    assert "".join(order) == "ab" + "baab" * 2


@pytest.mark.slow
async def test_both_get_and_check_the_same_answers() -> None:
    """Plain and streamed, against the real target, through the real clients."""
    with target() as server:
        calls = await measured("ours", server.url, "call", 4, 20, 1)
        streams = await measured("ours", server.url, "stream", 4, 8, 1)

    assert calls.keys() == streams.keys() == {"bare", "ours"}
    assert calls["ours"]["cpu_us"] > 0


@pytest.mark.slow
async def test_a_wrong_answer_ends_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not read can't be fast."""
    monkeypatch.setattr(checked, "TEXT", "something else")
    with target() as server:
        async with opened("bare", server.url, 1) as bare:
            with pytest.raises(checked.WrongAnswer, match="expected 'something else'"):
                await checked.call(bare)()


async def test_a_stall_counts_for_every_call_it_holds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an open loop a call's time begins when it is due, not when it is sent."""
    monkeypatch.setattr(latency, "_SERVICE_MS", 0.0)
    calls = 0

    async def ask() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            end = time.perf_counter() + 0.2
            while time.perf_counter() < end:  # blocks the loop, as a collection or a bug would
                pass

    late = await latency.arriving(ask, 100, seed=1)

    assert len(late) == 100
    assert measure.percentile(late, 0.5) > 50


@pytest.mark.slow
def test_the_server_says_how_busy_it_is() -> None:
    """Nothing to do, hardly any CPU."""
    with target() as server:
        server.watch()
        time.sleep(0.2)  # the server's idleness is real time

        assert server.busy < 0.5


def test_results_are_written_with_machine_and_command(tmp_path: Path) -> None:
    """JSON for programs, Markdown and plots for people."""
    figures = {"cpu_us": 100.0, "ratio": 0.7, "low": 0.6, "high": 0.8, "rounds": 5.0, "per_second": 9.0}
    rows = [
        Row("plain", "64 in flight, nginx", "ours", figures),
        Row("rivals", "plain call, 64 in flight", "A <rival>", figures | {"ratio": 20.0}),
        Row("growth", "10 in flight", "ours", figures | {"in_flight": 10.0}),
        Row("growth", "100 in flight", "ours", figures | {"in_flight": 100.0}),
        Row("scheduling", "1,000 at once", "ours", figures),
    ]
    report.write(rows, {"processor": "a fast one", "command": "python -m benchmarks"}, "run", tmp_path)
    page = (tmp_path / "run.md").read_text()

    assert "- processor: a fast one\n- command: `python -m benchmarks`" in page
    assert "| 64 in flight, nginx | ours | 100.0 | 0.70 | 0.60 to 0.80 | 5 | 9 |" in page
    assert "| plain: 64 in flight, nginx | ratio | 0.70 | 1.10 | 0.65 | yes |" in page
    assert orjson.loads((tmp_path / "run.json").read_bytes())["rows"][0]["figures"] == figures
    assert sorted(path.name for path in tmp_path.glob("*.svg")) == [
        "run-growth.svg",
        "run-rivals-plain.svg",
        "run-scheduling.svg",
    ]
    assert "A &lt;rival&gt;" in (tmp_path / "run-rivals-plain.svg").read_text()


def test_what_misses_its_bound_is_said() -> None:
    """Bounds are for ours alone; a rival's 20 times are of both ratios."""
    rows = [
        Row("plain", "1 in flight", "ours", {"ratio": 1.2}),
        Row("plain", "1 in flight", "bare", {"ratio": 1.0}),
        Row("latency", "x", "bare", {"added_p50_ms": 1.0, "added_p99_ms": 2.0}),
        Row("latency", "x", "ours", {"added_p50_ms": 0.9, "added_p99_ms": 7.5}),
        Row("rivals", "plain call", "asyncapi, everything on", {"ratio": 0.7}),
        Row("rivals", "plain call", "LiteLLM Router", {"ratio": 21.0}),
    ]

    assert [(b.suite, b.figure, ok) for b, _, ok in verdicts(rows)] == [
        ("plain", "ratio", False),
        ("latency", "added_p50_ms", True),
        ("latency", "added_p99_ms", False),
        ("rivals", "ratio", True),
    ]


def test_rivals_are_pinned_and_have_adapters() -> None:
    """Every one by an exact version; the module that uses it is there."""
    folder = Path(report.__file__).parent

    for name, rival in known().items():
        assert all("==" in requirement for requirement in rival.requirements)
        assert (folder / "adapters" / f"{name}.py").exists()
    for suite in SUITES:
        assert (folder / "suites" / f"{suite}.py").exists()
    assert Plan.a_quick_one().quick


def test_bars_of_very_different_lengths_are_logarithmic() -> None:
    """And say so."""
    assert "logarithmic" in svg.bars("t", [("a", 1.0), ("b", 30.0)])
    assert "logarithmic" not in svg.bars("t", [("a", 1.0), ("b", 3.0)])
