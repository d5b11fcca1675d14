"""Plots as SVG text, without any library."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["Plot"]


class Plot:
    """One plot over time: axes first, then what is added, in order.

    Args:
        seconds: The length of the time axis.
        top: The greatest value of the other axis.
        unit: What is written behind its values.

    State: ``_parts``, the elements so far.
    """

    WIDTH, HEIGHT = 460, 110
    _LEFT, _RIGHT, _UPPER, _LOWER = 38, 6, 8, 18

    def __init__(self, seconds: float, top: float, *, unit: str = "", height: int = HEIGHT) -> None:
        self._seconds = max(seconds, 0.001)
        self._top = max(top, 1e-9)
        self._height = height
        self._parts: list[str] = []
        self._axes(unit)

    def area(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """A filled staircase through (time, value)."""
        if not points:
            return
        path = [f"M{self._x(points[0][0]):.1f},{self._y(0):.1f}"]
        before = 0.0
        for at, value in points:
            path.append(f"L{self._x(at):.1f},{self._y(before):.1f} L{self._x(at):.1f},{self._y(value):.1f}")
            before = value
        path.append(f"L{self._x(points[-1][0]):.1f},{self._y(0):.1f} Z")
        self._parts.append(f'<path class="{kind}" d="{" ".join(path)}"/>')

    def dots(self, points: Iterable[tuple[float, float]], kind: str) -> None:
        """A dot for each (time, value)."""
        self._parts += [
            f'<circle class="{kind}" cx="{self._x(at):.1f}" cy="{self._y(value):.1f}" r="1.8"/>'
            for at, value in points
        ]

    def line(self, value: float, kind: str) -> None:
        """A level line."""
        y = self._y(value)
        right = self.WIDTH - self._RIGHT
        self._parts.append(f'<line class="{kind}" x1="{self._LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')

    def band(self, begin: float, end: float, kind: str, text: str = "") -> None:
        """A stripe over the whole height; ``text`` shows when pointed at."""
        x, width = self._x(begin), max(1.0, self._x(end) - self._x(begin))
        height = self._height - self._UPPER - self._LOWER
        title = f"<title>{escape(text)}</title>" if text else ""
        self._parts.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{self._UPPER}" width="{width:.1f}" height="{height}">'
            f"{title}</rect>"
        )

    def render(self, title: str) -> str:
        """The plot; ``title`` is read to those who don't see it."""
        return (
            f'<svg viewBox="0 0 {self.WIDTH} {self._height}" role="img" aria-label="{escape(title)}">'
            f"{''.join(self._parts)}</svg>"
        )

    def _axes(self, unit: str) -> None:
        step = next(s for s in (1, 2, 5, 10, 30, 60, 600, 6000) if self._seconds / s <= 8)
        for second in range(0, int(self._seconds) + 1, step):
            x = self._x(second)
            self._parts.append(f'<text class="tick" x="{x:.1f}" y="{self._height - 4}">{second} s</text>')
        for value in (0.0, self._top):
            y = self._y(value)
            label = f"{value:.3g}{unit}"
            self._parts.append(f'<text class="tick side" x="{self._LEFT - 5}" y="{y + 3:.1f}">{label}</text>')
            self.line(value, "axis")

    def _x(self, at: float) -> float:
        return self._LEFT + at / self._seconds * (self.WIDTH - self._LEFT - self._RIGHT)

    def _y(self, value: float) -> float:
        room = self._height - self._UPPER - self._LOWER
        return self._UPPER + room * (1 - min(value, self._top) / self._top)
