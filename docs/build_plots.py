"""Draw docs/images/ from the policies themselves, as plain SVG.

python docs/build_plots.py           write the pictures
python docs/build_plots.py --check   say which are not up to date, and exit with 1
"""

from __future__ import annotations

import heapq
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from asyncapi import Priority, Retry
from asyncapi.policies.fairness import Fair, Order, Strict
from asyncapi.policies.retry import RetryPolicy

FOLDER = Path(__file__).parent / "images"
COLOURS = {"HIGH": "#c0392b", "NORMAL": "#2471a3", "LOW": "#1e8449"}
WIDTH, HEIGHT, MARGIN = 360, 220, 40
Point = tuple[float, float]


class Panel:
    """One pair of axes at ``left``; data coordinates in, SVG elements out."""

    def __init__(self, left: float, title: str, x_label: str, y_label: str, x_most: float, y_most: float):
        self._left, self._x_most, self._y_most = left + MARGIN, x_most, y_most
        middle, bottom = self._left + WIDTH / 2, MARGIN + HEIGHT
        center = MARGIN + HEIGHT / 2
        self.elements = [
            f'<rect x="{self._left}" y="{MARGIN}" width="{WIDTH}" height="{HEIGHT}" class="frame"/>',
            f'<text x="{middle}" y="{MARGIN - 12}" class="title">{title}</text>',
            f'<text x="{middle}" y="{bottom + 34}" class="label">{x_label}</text>',
            f'<text transform="translate({self._left - 28} {center}) rotate(-90)">{y_label}</text>',
            self._text((0, 0), "0", 0, 16),
            self._text((x_most, 0), f"{x_most:g}", 0, 16),
            self._text((0, y_most), f"{y_most:g}", -12, 10),
        ]

    def line(self, points: Iterable[Point], colour: str, dashed: bool = False) -> None:
        """A polyline."""
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(self._place, points))
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.elements.append(f'<polyline points="{text}" fill="none" stroke="{colour}"{dash}/>')

    def dots(self, points: Iterable[Point], colour: str) -> None:
        """A small dot for each point."""
        self.elements += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.6" fill="{colour}"/>'
            for x, y in map(self._place, points)
        ]

    def note(self, point: Point, text: str, colour: str) -> None:
        """A word at a point."""
        self.elements.append(self._text(point, text, 0, -4).replace("<text", f'<text fill="{colour}"'))

    def _place(self, point: Point) -> Point:
        x, y = point
        return self._left + x / self._x_most * WIDTH, MARGIN + HEIGHT - y / self._y_most * HEIGHT

    def _text(self, point: Point, text: str, right: float, down: float) -> str:
        x, y = self._place(point)
        return f'<text x="{x + right:.1f}" y="{y + down:.1f}" class="tick">{text}</text>'


def picture(panels: Sequence[Panel]) -> str:
    """An SVG of the panels side by side."""
    width = len(panels) * (WIDTH + 2 * MARGIN)
    height = HEIGHT + 2 * MARGIN + 10
    style = (
        "text{font:12px sans-serif;text-anchor:middle}.title{font-weight:bold}.tick{font-size:11px}"
        ".frame{fill:none;stroke:#888}polyline{stroke-width:2}"
    )
    body = "\n".join(element for panel in panels for element in panel.elements)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">\n'
        f'<style>{style}</style>\n<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )


def served(order: Order, each: int) -> list[Priority]:
    """The priorities in the order of service, when ``each`` calls of all three wait at the start."""
    heap: list[tuple[float, int, Priority]] = []
    for n in range(each):
        for priority in Priority:
            heapq.heappush(heap, (order.enter("", priority, 1.0), 3 * n + priority, priority))
    out = []
    while heap:
        tag, _, priority = heapq.heappop(heap)
        order.granted("", priority, tag, 1.0)
        out.append(priority)
    return out


def fairness() -> str:
    """How many calls of each priority were served, after each turn."""
    each = 21
    panels = []
    for title, order in (("fair (the default)", Fair()), ("strict", Strict())):
        panel = Panel(len(panels) * (WIDTH + 2 * MARGIN), title, "turns", "calls served", 3 * each, each)
        turns = served(order, each)
        for priority in Priority:
            counts = [turns[:n].count(priority) for n in range(len(turns) + 1)]
            colour = COLOURS[priority.name]
            panel.line(list(enumerate(counts)), colour)
            half = next(n for n, count in enumerate(counts) if count > each / 2)
            panel.note((half, counts[half]), priority.name, colour)
        panels.append(panel)
    return picture(panels)


def backoff() -> str:
    """Delays drawn after each number of failed attempts, and their ceiling."""
    callers, failures = 60, 8
    policy = RetryPolicy(Retry(), random.Random(1))
    panel = Panel(0, "full jitter, base 0.5 s, cap 20 s", "failed attempts", "delay in seconds", 9, 20)
    spread = random.Random(2)
    for failed in range(1, failures + 1):
        draws = [policy.backoff(failed) for _ in range(callers)]
        panel.dots([(failed + 0.5 * (spread.random() - 0.5), draw) for draw in draws], COLOURS["NORMAL"])
    settings = policy.settings
    ceiling = [(n, min(settings.cap, settings.base * 2 ** (n - 1))) for n in range(1, failures + 1)]
    panel.line(ceiling, COLOURS["HIGH"], dashed=True)
    return picture([panel])


def build() -> dict[Path, str]:
    """Every picture and its text."""
    return {FOLDER / "fairness.svg": fairness(), FOLDER / "backoff.svg": backoff()}


def write(pictures: Mapping[Path, str], script: str) -> int:
    """Write, or compare."""
    stale = 0
    for path, text in pictures.items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if "--check" in sys.argv:
            stale += 1
            print(f"{path} is not up to date: run python docs/{script}")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(write(build(), Path(__file__).name))
