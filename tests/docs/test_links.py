"""Every link inside the documentation leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .pages import ROOT, pages, prose

LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+\s+(?P<text>.+?)\s*$", re.MULTILINE)


def anchor(heading: str) -> str:
    """The anchor that a heading gets, as code hosts make it."""
    plain = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
    return plain.replace(" ", "-")


def anchors(page: Path) -> set[str]:
    """All anchors of a page, its own ids among them."""
    text = page.read_text(encoding="utf-8")
    own = set(re.findall(r'<a id="([^"]+)">', text))
    return own | {anchor(match["text"]) for match in HEADING.finditer(text)}


@pytest.mark.parametrize("page", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in pages()])
def test_links_lead_somewhere(page: Path) -> None:
    """Files exist, and so do the headings in them."""
    for match in LINK.finditer(prose(page)):
        target = match["target"]
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} links to {target}"
        assert not fragment or fragment in anchors(file), f"{page.name} links to {target}"


def test_every_page_is_reached_from_the_index() -> None:
    """No page is an orphan."""
    index = ROOT / "docs" / "index.md"
    seen, todo = set[Path](), [index]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        for match in LINK.finditer(prose(page)):
            path = match["target"].partition("#")[0]
            if path and "://" not in path:
                todo.append((page.parent / path).resolve())

    assert {page.resolve() for page in pages() if page.name != "README.md"} <= seen
