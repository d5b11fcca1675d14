"""What must hold: a row whose figure is above its bound fails ``python -m benchmarks --check``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.measure import Row

__all__ = ["BOUNDS", "Bound", "verdicts"]


@dataclass(frozen=True)
class Bound:
    """The most that a figure may be, and the goal; for settings that begin with ``setting``."""

    suite: str
    setting: str
    figure: str
    most: float
    goal: float | None = None
    name: str = "ours"


BOUNDS = (
    Bound("plain", "", "ratio", 1.10, 0.65),
    Bound("tls", "", "ratio", 1.10, 0.65),
    Bound("stream", "in bursts", "ratio", 1.10, 0.70),
    Bound("stream", "paced", "ratio", 1.10, 0.90),
    Bound("streams", "", "late_p99_ms", 100.0),
    Bound("scheduling", "200 askers", "cpu_us", 26.0, 15.0),
    Bound("scheduling", "100,000 at once", "ratio", 2.0, 1.3),
    Bound("scheduling", "30,000 cancelled", "ratio", 2.0),
    Bound("scheduling", "30,000 cancelled", "ratio", 2.0, name="ours, collector as recommended"),
    Bound("cache", "one after the other", "cpu_us", 20.0),
    Bound("imports", "import asyncapi", "ratio", 1.3, 1.1),
    Bound("memory", "100,000 calls", "ratio", 1.10),
    Bound("memory", "1,000,000 calls", "bytes_a_call", 1.0),
)


def verdicts(rows: Sequence[Row]) -> Iterator[tuple[Bound, Row, bool]]:
    """Every row that a bound speaks of, and whether it holds."""
    for bound in BOUNDS:
        for row in rows:
            if (row.suite, row.name) == (bound.suite, bound.name) and row.setting.startswith(bound.setting):
                yield bound, row, row.figures[bound.figure] <= bound.most
    yield from _latency(rows)
    yield from _rivals(rows)


def _latency(rows: Sequence[Row]) -> Iterator[tuple[Bound, Row, bool]]:
    """Not above bare aiohttp's p50 (but for a tenth of a millisecond), at most 5 ms above its p99."""
    found = {(row.setting, row.name): row for row in rows if row.suite == "latency"}
    for (setting, name), row in found.items():
        bare = found.get((setting, "bare"))
        if name != "ours" or bare is None:
            continue
        for figure, more in (("added_p50_ms", 0.1), ("added_p99_ms", 5.0)):
            bound = Bound("latency", setting, figure, bare.figures[figure] + more)
            yield bound, row, row.figures[figure] <= bound.most


def _rivals(rows: Sequence[Row]) -> Iterator[tuple[Bound, Row, bool]]:
    """So many times less CPU than a rival, both as ratios to the bare contender beside them."""
    found = {row.name: row for row in rows if row.suite == "rivals" and row.setting.startswith("plain")}
    ours = found.get("asyncapi, everything on")
    for rival, times, goal in (("LiteLLM Router", 20.0, 40.0), ("AsyncOpenAI (httpx)", 12.0, 24.0)):
        if ours is not None and rival in found:
            theirs = found[rival].figures["ratio"]
            bound = Bound("rivals", f"1/{times:g} of {rival}", "ratio", theirs / times, theirs / goal)
            yield bound, ours, ours.figures["ratio"] <= bound.most
