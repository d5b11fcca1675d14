"""The documentation as the tests see it: pages, and their code blocks with directives.

A directive is an HTML comment above a block, so that no reader sees it:

    <!-- test: emulator -->          the page runs with every service's address and key in the environment
    <!-- test: setup CODE -->        code that runs before the next block (may span lines)
    <!-- test: output -->            the next block is exactly what the block before it printed
    <!-- test: pytest -->            the next block is a test file: pytest must pass on it
    <!-- test: run -->               the next bash block is cheap: run it, its exit code must be 0
    <!-- test: command NAME -->      the next bash block is run by CI itself
    <!-- test: skip because REASON -->
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_DIRECTIVE = re.compile(r"<!-- test: (?P<word>\w+)\s*(?P<rest>.*?)\s*-->", re.DOTALL)
_FENCE = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it is, what it is, and what its directives say."""

    page: Path
    line: int
    language: str
    text: str
    directives: dict[str, str]

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """README and everything in docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """A page's blocks in order."""
    text = page.read_text(encoding="utf-8")
    before = 0
    for fence in _FENCE.finditer(text):
        found = {d["word"]: d["rest"] for d in _DIRECTIVE.finditer(text, before, fence.start())}
        line = text.count("\n", 0, fence.start()) + 2
        yield Block(page, line, fence["language"], fence["text"], found)
        before = fence.end()


def prose(page: Path) -> str:
    """A page without its code."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return re.sub(r"`[^`\n]*`", "`code`", text)
