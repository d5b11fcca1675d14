"""The curves as one SVG: precision over the threshold for each set, and what is found at it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from asyncapi.caching.calibration import Calibration, Point

__all__ = ["panels"]

_COLOURS = {"md5 digest": "#b9770e", "cosine alone": "#c0392b", "with the guard": "#2471a3"}
_WIDTH, _HEIGHT, _GAP, _LEFT, _TOP = 250, 200, 60, 60, 70
_LOW, _HIGH = 0.5, 1.0
_STYLE = (
    "text{font:12px sans-serif;fill:#222}.title{font-weight:bold;font-size:14px}"
    ".small{font-size:11px;fill:#555}"
    ".middle{text-anchor:middle}.end{text-anchor:end}.grid{stroke:#e3e3e3}"
    "polyline{stroke-width:2;fill:none}"
    ".found{stroke-dasharray:3 3;stroke-width:1.5}.chosen{stroke:#888;stroke-dasharray:2 4}"
)
_TITLES = {
    "written": "Near misses, written",
    "made": "Near misses, made of real texts",
    "banking77": "Real questions of a bank, by label",
}


def panels(sets: Mapping[str, Mapping[str, Calibration]], chosen: float = 0.85) -> str:
    """One panel a set: precision as lines, recall dashed (for real questions: the share of hits)."""
    width = _LEFT + len(sets) * (_WIDTH + _GAP)
    parts = ['<text x="12" y="24" class="title">How often it is right, and how much it finds</text>']
    for number, (name, colour) in enumerate(_COLOURS.items()):
        x = 14 + number * 150
        parts.append(f'<line x1="{x}" x2="{x + 24}" y1="42" y2="42" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{x + 30}" y="46">{name}</text>')
    parts.append('<line x1="464" x2="488" y1="42" y2="42" stroke="#555" class="found"/>')
    parts.append(
        '<text x="494" y="46">dashed: share of the paraphrases found; of all lookups for the bank</text>'
    )
    for number, (name, curves) in enumerate(sets.items()):
        parts += _panel(
            _LEFT + number * (_WIDTH + _GAP), _TITLES[name], curves, chosen, lookups=name == "banking77"
        )
    height = _TOP + _HEIGHT + 70
    body = "\n".join(parts)
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
        f'<style>{_STYLE}</style><rect width="{width}" height="{height}" fill="#fff"/>\n{body}\n</svg>\n'
    )


def _panel(
    left: int, title: str, curves: Mapping[str, Calibration], chosen: float, *, lookups: bool
) -> list[str]:
    bottom = _TOP + 16 + _HEIGHT

    def place(x: float, y: float) -> str:
        return f"{left + (x - _LOW) / (_HIGH - _LOW) * _WIDTH:.1f},{bottom - y * _HEIGHT:.1f}"

    parts = [f'<text x="{left}" y="{_TOP + 6}">{escape(title)}</text>']
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = bottom - share * _HEIGHT
        parts.append(f'<line x1="{left}" x2="{left + _WIDTH}" y1="{y}" y2="{y}" class="grid"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4}" class="end small">{share:.0%}</text>')
    for x in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        along = place(x, 0).split(",")[0]
        parts.append(f'<text x="{along}" y="{bottom + 16}" class="middle small">{x}</text>')
    parts.append(
        f'<text x="{left + _WIDTH / 2}" y="{bottom + 34}" class="middle small">threshold (cosine)</text>'
    )
    along = place(chosen, 0).split(",")[0]
    parts.append(f'<line x1="{along}" x2="{along}" y1="{_TOP + 16}" y2="{bottom}" class="chosen"/>')
    for name, curve in curves.items():
        colour = _COLOURS[name]
        right = " ".join(place(p.threshold, p.precision) for p in curve.points if p.precision is not None)
        found = " ".join(place(p.threshold, _found(p, curve, lookups)) for p in curve.points)
        parts.append(f'<polyline points="{right}" stroke="{colour}"/>')
        parts.append(f'<polyline points="{found}" stroke="{colour}" class="found"/>')
    return parts


def _found(point: Point, curve: Calibration, lookups: bool) -> float:
    return (point.right + point.wrong) / _ASKED if lookups else point.recall


#: Lookups in the test part of banking77.
_ASKED = 3_080
