"""Plots without a library: bars and lines as plain SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

__all__ = ["bars", "lines"]

_COLOURS = ("#2471a3", "#c0392b", "#1e8449", "#7d3c98", "#b9770e")
_WIDTH, _LEFT, _TOP = 680, 250, 44
_STYLE = (
    "text{font:12px sans-serif;fill:#222}.title{font-weight:bold;font-size:14px}.end{text-anchor:end}"
    ".middle{text-anchor:middle}.axis{stroke:#888;fill:none}.grid{stroke:#ddd}polyline{stroke-width:2;fill:none}"
)


def bars(title: str, rows: Sequence[tuple[str, float]], unit: str = "") -> str:
    """Horizontal bars with their values, on a logarithmic scale where they differ by more than 20 times."""
    values = [value for _, value in rows]
    most, least = max(values), min(values)
    logarithmic = least > 0 and most / least > 20
    room = _WIDTH - _LEFT - 90
    parts = [f'<text x="12" y="24" class="title">{escape(title)}{" (logarithmic)" * logarithmic}</text>']
    for number, (name, value) in enumerate(rows):
        y = _TOP + number * 26
        length = (
            room * math.log(2 * value / least) / math.log(2 * most / least)
            if logarithmic
            else room * value / most
        )
        parts += [
            f'<text x="{_LEFT - 8}" y="{y + 14}" class="end">{escape(name)}</text>',
            f'<rect x="{_LEFT}" y="{y}" width="{max(1.0, length):.1f}" height="18" fill="{_COLOURS[0]}"/>',
            f'<text x="{_LEFT + length + 6:.1f}" y="{y + 14}">{_number(value)}{unit}</text>',
        ]
    return _svg(_TOP + 26 * len(rows) + 10, parts)


def lines(title: str, x_label: str, y_label: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Lines over a logarithmic x axis; y begins at 0."""
    xs = sorted({x for points in series.values() for x, _ in points})
    most = max(y for points in series.values() for _, y in points) * 1.1
    left, width, height = 70, _WIDTH - 200, 240
    bottom = _TOP + height
    low, high = math.log10(xs[0]), math.log10(xs[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        along = (math.log10(x) - low) / (high - low) if high > low else 0.5
        return left + along * width, bottom - y / most * height

    turned = f"translate(20 {_TOP + height / 2}) rotate(-90)"
    parts = [
        f'<text x="12" y="24" class="title">{escape(title)}</text>',
        f'<rect x="{left}" y="{_TOP}" width="{width}" height="{height}" class="axis"/>',
        f'<text x="{left + width / 2}" y="{bottom + 36}" class="middle">{escape(x_label)}</text>',
        f'<text transform="{turned}" class="middle">{escape(y_label)}</text>',
    ]
    parts += [
        f'<text x="{place(x, 0)[0]:.1f}" y="{bottom + 18}" class="middle">{_number(x)}</text>' for x in xs
    ]
    for share in (0.25, 0.5, 0.75, 1.0):
        y = place(xs[0], most * share)[1]
        parts.append(f'<line x1="{left}" x2="{left + width}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" class="end">{_number(most * share)}</text>')
    placed = {name: [place(x, y) for x, y in points] for name, points in series.items()}
    heights = _apart({name: points[-1] for name, points in placed.items()})
    for (name, points), colour in zip(placed.items(), _COLOURS * 9, strict=False):
        parts += _line(points, name, colour, heights[name])
    return _svg(bottom + 50, parts)


def _apart(ends: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """The heights of the names at the lines' ends, so that none covers another."""
    heights: dict[str, float] = {}
    lowest: dict[float, float] = {}
    for name, (x, y) in sorted(ends.items(), key=lambda end: end[1][1]):
        heights[name] = lowest[x] = max(y, lowest.get(x, -math.inf) + 13)
    return heights


def _line(points: Sequence[tuple[float, float]], name: str, colour: str, height: float) -> Iterable[str]:
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x = points[-1][0]
    yield f'<polyline points="{text}" stroke="{colour}"/>'
    for along, up in points:
        yield f'<circle cx="{along:.1f}" cy="{up:.1f}" r="3" fill="{colour}"/>'
    yield f'<text x="{x + 8:.1f}" y="{height + 4:.1f}" style="fill:{colour}">{escape(name)}</text>'


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _svg(height: float, parts: Iterable[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:g}" width="{_WIDTH}">\n'
        f"<style>{_STYLE}</style>\n"
        f'<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )
