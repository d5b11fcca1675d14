"""Draw docs/images/limits.svg: how limits follow a service whose capacity changes, as plain SVG.

python docs/build_capacity_plot.py           write the picture
python docs/build_capacity_plot.py --check   say whether it is up to date, and exit with 1 if not
"""

from __future__ import annotations

import sys
from pathlib import Path

from build_plots import FOLDER, MARGIN, WIDTH, Panel, picture, write

sys.path.append(str(Path(__file__).parent.parent))
from benchmarks.capacity import LIMITS, Run, measure, percentile

SECONDS, SEED, EVERY = 600, 0, 10
COLOURS = {"adaptive": "#2471a3", "fixed, 20": "#1e8449", "fixed, 60": "#b9770e", "none": "#c0392b"}


def p99s(run: Run) -> list[tuple[float, float]]:
    """The 99th percentile of each ten seconds."""
    found = []
    for begin in range(0, SECONDS, EVERY):
        times = [took for at, took in run.times if begin <= at < begin + EVERY]
        if times:
            found.append((begin + EVERY / 2, percentile(times, 0.99)))
    return found


def limits() -> str:
    """Limit and capacity, and how long requests take, over time."""
    runs = {name: measure(limit, SEED, seconds=SECONDS) for name, limit in LIMITS.items()}
    capacity = runs["adaptive"].capacity
    left = Panel(0, "what is allowed in flight", "seconds", "requests", SECONDS, 80)
    left.line(list(enumerate(capacity)), "#888888", dashed=True)
    left.note((SECONDS * 0.9, 3), "capacity", "#888888")
    for name in ("adaptive", "fixed, 20", "fixed, 60"):
        left.line([(at, min(limit, 80)) for at, limit in enumerate(runs[name].limits)], COLOURS[name])
    left.note((SECONDS * 0.12, 72), "adaptive", COLOURS["adaptive"])
    left.note((SECONDS * 0.9, 20), "fixed, 20", COLOURS["fixed, 20"])
    left.note((SECONDS * 0.9, 60), "fixed, 60", COLOURS["fixed, 60"])
    right = Panel(WIDTH + 2 * MARGIN, "p99 of the time in the service, s", "seconds", "", SECONDS, 16)
    right.line([(0, 2), (SECONDS, 2)], "#888888", dashed=True)
    for number, (name, run) in enumerate(runs.items()):
        right.line([(at, min(took, 16.0)) for at, took in p99s(run)], COLOURS[name])
        words = f"{name}: {run.share:.0%} of the possible"
        right.note((SECONDS * 0.72, 14.8 - 1.2 * number), words, COLOURS[name])
    return picture([left, right])


def build() -> dict[Path, str]:
    """The picture and its text."""
    return {FOLDER / "limits.svg": limits()}


if __name__ == "__main__":
    raise SystemExit(write(build(), Path(__file__).name))
