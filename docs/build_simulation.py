"""Draw docs/images/simulation-*.svg: how the core behaves in the named worlds, over time.

python docs/build_simulation.py            write all of them
python docs/build_simulation.py outage     write some

The pictures come from real runs of the client in virtual time; the same seed gives the same picture.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from asyncapi.testing.simulation import SCENARIOS, Result, Sample, simulate
from asyncapi.testing.simulation.history import CallBegan, CallEnded
from benchmarks.capacity import LIMITS, measure

FOLDER = Path(__file__).parent / "images"
NAMES = ("steady", "burst", "outage", "brownout", "rate-limits", "key-revoked", "failover", "mixed-chaos")
SEED = 1
WIDTH, HEIGHT, GAP, LEFT, TOP = 760, 92, 26, 64, 44
BLUE, RED, GREEN, GREY = "#2471a3", "#c0392b", "#1e8449", "#888"
BREAKER = {"closed": "#d5f0dd", "half-open": "#fdebc8", "open": "#f6c9c4"}
Point = tuple[float, float]


class Strip:
    """One row of a picture: lines over the same time axis, each with its own word."""

    def __init__(self, row: int, label: str, seconds: float, most: float) -> None:
        self.top = TOP + row * (HEIGHT + GAP)
        self._seconds, self._most = seconds, most or 1.0
        self._lines: dict[str, list[Point]] = {}
        middle = self.top + HEIGHT / 2
        self.elements = [
            f'<rect x="{LEFT}" y="{self.top}" width="{WIDTH}" height="{HEIGHT}" class="frame"/>',
            f'<text transform="translate(16 {middle}) rotate(-90)" class="middle">{label}</text>',
            f'<text x="{LEFT - 6}" y="{self.top + 9}" class="end">{self._most:.3g}</text>',
            f'<text x="{LEFT - 6}" y="{self.top + HEIGHT}" class="end">0</text>',
        ]

    def band(self, begin: float, end: float, colour: str) -> None:
        """A coloured stretch of time."""
        left, right = self._x(begin), self._x(end)
        self.elements.insert(
            0,
            f'<rect x="{left:.1f}" y="{self.top}" width="{max(0.5, right - left):.1f}" '
            f'height="{HEIGHT}" fill="{colour}"/>',
        )

    def line(
        self, points: Iterable[Point], colour: str, *, steps: bool = False, dashed: bool = False
    ) -> None:
        """A line; with ``steps`` each value holds until the next one."""
        path: list[str] = []
        before = None
        for x, y in points:
            if steps and before is not None:
                path.append(f"{self._x(x):.1f},{self._y(before):.1f}")
            path.append(f"{self._x(x):.1f},{self._y(y):.1f}")
            before = y
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.elements.append(f'<polyline points="{" ".join(path)}" stroke="{colour}"{dash}/>')

    def add(self, name: str, x: float, y: float) -> None:
        """One more point of a line that is drawn later."""
        self._lines.setdefault(name, []).append((x, y))

    def draw(self, name: str, colour: str) -> None:
        """The line of the points that were added."""
        self.line(self._lines.get(name, []), colour)

    def word(self, place: int, text: str, colour: str) -> None:
        """A word of the legend."""
        x = LEFT + WIDTH - 8 - 112 * place
        self.elements.append(
            f'<text x="{x}" y="{self.top - 6}" class="end" style="fill:{colour}">{text}</text>'
        )

    def _x(self, seconds: float) -> float:
        return LEFT + min(seconds, self._seconds) / self._seconds * WIDTH

    def _y(self, value: float) -> float:
        return self.top + HEIGHT - min(value, self._most) / self._most * HEIGHT


def picture(title: str, strips: Sequence[Strip], seconds: float) -> str:
    """The strips under each other, as SVG."""
    bottom = TOP + len(strips) * (HEIGHT + GAP) - GAP
    style = (
        "text{font:12px sans-serif;fill:#222}.title{font-weight:bold;font-size:14px}.end{text-anchor:end}"
        ".middle{text-anchor:middle}.frame{fill:none;stroke:#888}polyline{fill:none;stroke-width:1.5}"
    )
    ticks = "".join(
        f'<text x="{LEFT + share * WIDTH:.0f}" y="{bottom + 18}" class="middle">{share * seconds:.0f}</text>'
        for share in (0.0, 0.25, 0.5, 0.75, 1.0)
    )
    body = "\n".join(element for strip in strips for element in strip.elements)
    width, height = LEFT + WIDTH + 20, bottom + 42
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">\n'
        f'<style>{style}</style>\n<rect width="100%" height="100%" fill="#fff"/>\n'
        f'<text x="{LEFT}" y="18" class="title">{title}</text>\n{body}\n{ticks}\n'
        f'<text x="{LEFT + WIDTH / 2}" y="{bottom + 36}" class="middle">seconds</text>\n</svg>\n'
    )


def named(name: str) -> str:
    """A named world: in flight and limit, queue, breaker, the 99th percentile of the last seconds."""
    scenario = SCENARIOS[name]
    seconds = scenario.duration
    result = simulate(scenario, SEED, sample_every=seconds / 600)
    samples = [s for s in result.samples if s.endpoint == scenario.endpoints[0].name and s.at <= seconds]
    flight = _strip(0, "in flight", seconds, samples, lambda s: max(s.in_flight, s.limit))
    flight.line([(s.at, s.limit) for s in samples], GREY, steps=True, dashed=True)
    flight.line([(s.at, s.in_flight) for s in samples], BLUE, steps=True)
    flight.word(0, "in flight", BLUE)
    flight.word(1, "limit", GREY)
    queue = _strip(1, "queue", seconds, samples, lambda s: s.waiting)
    queue.line([(s.at, s.waiting) for s in samples], BLUE, steps=True)
    queue.word(0, "waiting", BLUE)
    ended, failed = _ends(result, seconds)
    tail = Strip(2, "p99, s", seconds, max((y for _, y in ended), default=1.0))
    for piece in _pieces(ended):
        tail.line(piece, RED)
    tail.word(0, "p99 of 5 s", RED)
    calls = Strip(3, "calls a second", seconds, max((y for line in failed for _, y in line), default=1.0))
    for line, colour, place, word in zip(failed, (GREEN, RED), (1, 0), ("answered", "failed"), strict=True):
        calls.line(line, colour)
        calls.word(place, word, colour)
    strips = (flight, queue, tail, calls)
    _mark(strips, samples, seconds)
    return picture(scenario.story, strips, seconds)


def _pieces(points: Sequence[Point], gap: float = 5.0) -> list[list[Point]]:
    """The line in pieces: where nothing was answered there is none."""
    pieces: list[list[Point]] = []
    for point in points:
        if not pieces or point[0] - pieces[-1][-1][0] > gap:
            pieces.append([])
        pieces[-1].append(point)
    return pieces


def _strip(
    row: int, label: str, seconds: float, samples: Sequence[Sample], value: Callable[[Sample], float]
) -> Strip:
    return Strip(row, label, seconds, 1.05 * max(map(value, samples), default=1.0))


def _mark(strips: Sequence[Strip], samples: Sequence[Sample], seconds: float) -> None:
    """The breaker's state as the colour of the background."""
    begin, state = 0.0, "closed"
    changes = [(s.at, s.breaker) for s in samples] + [(seconds, "")]
    for at, now in changes:
        if now != state:
            if state != "closed":
                for strip in strips:
                    strip.band(begin, at, BREAKER.get(state, BREAKER["open"]))
            begin, state = at, now
    if any(sample.breaker != "closed" for sample in samples):
        for place, word in enumerate(("half-open", "open")):
            strips[1].word(2 + place, f"breaker {word}", "#b9770e" if word == "half-open" else RED)


def _ends(result: Result, seconds: float) -> tuple[list[Point], tuple[list[Point], list[Point]]]:
    """The 99th percentile of the last 5 s, and how many calls were answered and failed a second."""
    began = {what.call: at for at, what in result.history.of(CallBegan)}
    ends = [(at, at - began[w.call], w.outcome) for at, w in result.history.of(CallEnded) if at <= seconds]
    tail, good, bad = [], [], []
    width = 5.0
    for step in range(1, int(seconds / 2.5) + 1):
        now = step * 2.5
        recent = [(took, outcome) for at, took, outcome in ends if now - width < at <= now]
        times = sorted(took for took, outcome in recent if outcome == "ok")
        if times:
            tail.append((now, times[int(0.99 * len(times))]))
        failures = sum(outcome not in ("ok", "cancelled") for _, outcome in recent)
        good.append((now, len(times) / width))
        bad.append((now, failures / width))
    return tail, (good, bad)


def capacity() -> str:
    """Limits beside each other, against one service whose capacity changes."""
    seconds, seed, colours = 600, 0, (BLUE, GREEN, "#7d3c98", RED)
    runs = {name: measure(limit, seed, seconds=seconds) for name, limit in LIMITS.items()}
    truth = runs["adaptive"].capacity
    limits = Strip(0, "limit", seconds, 1.1 * max(60, *truth))
    share = Strip(1, "share of the possible", seconds, 1.1)
    tail = Strip(2, "p99, s", seconds, 6.0)
    limits.line(list(enumerate(truth)), GREY, steps=True)
    limits.word(4, "capacity", GREY)
    for place, ((name, run), colour) in enumerate(zip(runs.items(), colours, strict=True)):
        limits.line(list(enumerate(run.limits)), colour, steps=True, dashed=name != "adaptive")
        limits.word(3 - place, name, colour)
        share.word(3 - place, f"{run.share:.1%}", colour)
        tail.word(3 - place, f"{run.p99:.2f} s", colour)
        for begin in range(0, seconds, 10):
            took = sorted(t for at, t in run.times if begin <= at < begin + 10)
            if took:
                share_now = len(took) / sum(truth[begin : begin + 10])
                share.add(name, begin + 5.0, share_now)
                tail.add(name, begin + 5.0, took[int(0.99 * len(took))])
        share.draw(name, colour)
        tail.draw(name, colour)
    title = "A service whose capacity changes (a request takes 1 s): throughput and p99 under four limits"
    return picture(title, (limits, share, tail), seconds)


def main() -> int:
    """Write them."""
    for name in sys.argv[1:] or (*NAMES, "capacity"):
        path = FOLDER / f"simulation-{name}.svg"
        path.write_text(capacity() if name == "capacity" else named(name), encoding="utf-8")
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
