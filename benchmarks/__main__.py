"""Run the benchmarks and print a Markdown table."""

from __future__ import annotations

import argparse
import asyncio
import platform
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import orjson

from benchmarks.measure import Result, pin
from benchmarks.plain import calls, chunks, embeddings
from benchmarks.scheduling import cancelling, scheduling

FOLDER = Path(__file__).parent.parent / "docs" / "benchmarks"
_IMPORT = (
    "import resource; import {}; r = resource.getrusage(resource.RUSAGE_SELF); print(r.ru_utime + r.ru_stime)"
)


def imports(rounds: int) -> list[Result]:
    """CPU of a fresh interpreter that imports a package."""
    seconds: dict[str, list[float]] = {"aiohttp": [], "asyncapi": []}
    for _ in range(rounds):
        for name, samples in seconds.items():
            run = subprocess.run(
                [sys.executable, "-c", _IMPORT.format(name)], capture_output=True, check=True
            )
            samples.append(float(run.stdout))
    results = []
    for name, samples in seconds.items():
        ratios = sorted(a / b for a, b in zip(samples, seconds["aiohttp"], strict=True))
        middle = sorted(samples)[len(samples) // 2] * 1e6
        results.append(
            Result("import", name, middle, ratios[len(ratios) // 2], ratios[0], ratios[-1], len(samples))
        )
    return results


async def run(quick: bool) -> list[Result]:
    """Everything, one after the other."""
    rounds, scale = (5, 1) if quick else (11, 4)
    parts: list[Callable[[], Awaitable[list[Result]]]] = [
        *(lambda n=n: calls(n, 500 * scale, rounds) for n in (1, 64, 512)),
        lambda: chunks(16, 100 * scale, rounds),
        *(lambda d=d: embeddings(d, 256, 1_000 * scale, rounds) for d in (0.0, 0.02)),
    ]
    results: list[Result] = []
    for part in parts:
        results += await part()
        print(_table(results[-2:]), file=sys.stderr)
    for queued in (1, 1_000, 10_000) if quick else (1, 1_000, 10_000, 100_000):
        results.append(await scheduling(queued, rounds))
    for queued in (100, 30_000):
        results.append(await cancelling(queued, rounds))
    return results + imports(rounds)


def _table(results: list[Result]) -> str:
    lines = ["| setting | | CPU us | ratio | spread | per second |", "|---|---|---:|---:|---|---:|"]
    for r in results:
        rate = f"{sorted(r.rates)[len(r.rates) // 2]:,.0f}" if r.rates else ""
        spread = f"{r.low:.2f} to {r.high:.2f}"
        lines.append(f"| {r.setting} | {r.name} | {r.micros:,.1f} | {r.ratio:.2f} | {spread} | {rate} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds; nothing is written")
    parser.add_argument("--uvloop", action="store_true", help="on uvloop")
    arguments = parser.parse_args()
    pin(0)
    if arguments.uvloop:
        import uvloop

        results = uvloop.run(run(arguments.quick))
    else:
        results = asyncio.run(run(arguments.quick))
    print(_table(results))
    if not arguments.quick:
        FOLDER.mkdir(parents=True, exist_ok=True)
        name = "uvloop" if arguments.uvloop else "asyncio"
        about = f"Python {platform.python_version()}, {platform.machine()}, {name}"
        (FOLDER / f"{name}.json").write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))
        command = f"python -m benchmarks{' --uvloop' if arguments.uvloop else ''}"
        page = f"# Benchmarks on {name}\n\n`{command}`, {about}.\n\n{_table(results)}\n"
        (FOLDER / f"{name}.md").write_text(page)


if __name__ == "__main__":
    main()
