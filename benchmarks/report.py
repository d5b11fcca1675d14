"""Rows as JSON, as Markdown tables and as plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from benchmarks import svg
from benchmarks.bounds import Bound, verdicts
from benchmarks.measure import Row
from benchmarks.suites import SUITES

__all__ = ["FOLDER", "table", "tables", "write"]

FOLDER = Path(__file__).parent.parent / "docs" / "benchmarks"

#: Figure to its column's title and format; the order of the columns.
_COLUMNS = {
    "cpu_us": ("CPU us", ",.1f"),
    "ratio": ("ratio", ".2f"),
    "spread": ("spread", ""),
    "rounds": ("rounds", ".0f"),
    "per_second": ("per second", ",.0f"),
    "times_as_fast": ("times as fast", ".1f"),
    "added_p50_ms": ("added p50 ms", ".2f"),
    "added_p99_ms": ("added p99 ms", ".2f"),
    "added_p99_most_ms": ("worst round's p99", ".2f"),
    "p50_ms": ("p50 ms", ".3f"),
    "p99_ms": ("p99 ms", ".3f"),
    "late_p50_ms": ("late p50 ms", ".1f"),
    "late_p99_ms": ("late p99 ms", ".1f"),
    "core": ("share of the core", ".0%"),
    "rss_mib": ("RSS MiB", ".1f"),
    "peak_mib": ("peak MiB", ".1f"),
    "bytes_a_call": ("growth, bytes a call", ".2f"),
    "collector": ("collector's share", ".0%"),
    "import_s": ("import, CPU s", ".2f"),
    "server_busy": ("server busy", ".0%"),
}


def table(rows: Sequence[Row]) -> str:
    """One suite's rows; a column for each figure that any of them has."""
    there = {name for row in rows for name in row.figures}
    if "low" in there:
        there.add("spread")
    columns = [name for name in _COLUMNS if name in there]
    head = ["setting", "", *(_COLUMNS[name][0] for name in columns)]
    lines = [f"| {' | '.join(head)} |", f"|---|---|{'---:|' * len(columns)}"]
    lines += [f"| {' | '.join([row.setting, row.name, *(_cell(row, c) for c in columns)])} |" for row in rows]
    return "\n".join(lines)


def _cell(row: Row, column: str) -> str:
    if column == "spread":
        return f"{row.figures['low']:.2f} to {row.figures['high']:.2f}" if "low" in row.figures else ""
    return format(row.figures[column], _COLUMNS[column][1]) if column in row.figures else ""


def tables(rows: Sequence[Row]) -> str:
    """All suites under their headings, and what must hold."""
    parts = []
    for suite, title in SUITES.items():
        own = [row for row in rows if row.suite == suite]
        if own:
            parts.append(f"## {title}\n\n{table(own)}")
    found = list(verdicts(rows))
    if found:
        lines = ["| what | figure | measured | must | goal | |", "|---|---|---:|---:|---:|---|"]
        lines += [_verdict(*one) for one in found]
        parts.append("## What must hold\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def _verdict(bound: Bound, row: Row, holds: bool) -> str:
    what = row.setting if row.setting.startswith(bound.setting) else bound.setting
    if bound.name != "ours":
        what = f"{what} ({bound.name})"
    value = row.figures[bound.figure]
    goal = f"{bound.goal:.2f}" if bound.goal is not None else ""
    measured = f"{value:.2f} | {bound.most:.2f} | {goal} | {'yes' if holds else 'NO'}"
    return f"| {bound.suite}: {what} | {bound.figure} | {measured} |"


def write(rows: Sequence[Row], about: Mapping[str, str], name: str, folder: Path = FOLDER) -> None:
    """``name.json``, ``name.md`` and the plots."""
    folder.mkdir(parents=True, exist_ok=True)
    data = orjson.dumps({"machine": about, "rows": rows}, option=orjson.OPT_INDENT_2)
    (folder / f"{name}.json").write_bytes(data + b"\n")
    plots = _plots(rows)
    for plot, text in plots.items():
        (folder / f"{name}-{plot}.svg").write_text(text, encoding="utf-8")
    facts = "\n".join(
        f"- {key}: {f'`{value}`' if key == 'command' else value}" for key, value in about.items()
    )
    pictures = "\n".join(f"![{plot}]({name}-{plot}.svg)" for plot in plots)
    intro = (
        "CPU is user and system time of the whole process, on one core with the server on the other. A "
        "ratio is to `bare` in the same round; shown are the median of the rounds and their spread."
    )
    page = f"# Benchmarks on {name}\n\n{intro}\n\n{facts}\n\n{pictures}\n\n{tables(rows)}\n"
    (folder / f"{name}.md").write_text(page, encoding="utf-8")


def _plots(rows: Sequence[Row]) -> dict[str, str]:
    plots = {}
    for setting in dict.fromkeys(row.setting for row in rows if row.suite == "rivals"):
        kind = setting.split()[0]
        some = [(row.name, row.figures["ratio"]) for row in rows if row.setting == setting]
        ordered = sorted([*some, ("bare aiohttp with orjson", 1.0)], key=lambda pair: pair[1])
        plots[f"rivals-{kind}"] = svg.bars(f"CPU of a {setting}, bare aiohttp = 1", ordered)
    growth: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row.suite == "growth":
            growth.setdefault(row.name, []).append((row.figures["in_flight"], row.figures["cpu_us"]))
    if growth:
        plots["growth"] = svg.lines("CPU of a call", "calls in flight", "microseconds", growth)
    queued = [
        (float(row.setting.split()[0].replace(",", "")), row.figures["cpu_us"])
        for row in rows
        if row.suite == "scheduling" and row.setting.endswith("at once") and row.name == "ours"
    ]
    if queued:
        plots["scheduling"] = svg.lines("Scheduling alone", "calls at once", "microseconds", {"ours": queued})
    return plots
