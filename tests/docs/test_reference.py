"""What is generated is up to date, and the explanations use the code's own words."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from asyncapi._core.stages import STAGES
from asyncapi.types import events
from tests.e2e.operations import actions_of, offered

from .pages import ROOT


def script(name: str) -> ModuleType:
    """One of the scripts in docs/, as a module. Its neighbours are there, as when it is run."""
    if str(ROOT / "docs") not in sys.path:
        sys.path.append(str(ROOT / "docs"))
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name",
    ["build_reference", "build_plots", pytest.param("build_capacity_plot", marks=pytest.mark.slow)],
)
def test_generated_files_are_up_to_date(name: str) -> None:
    """Running the script again would change nothing."""
    stale = [path for path, text in script(name).build().items() if old(path) != text]

    assert not stale, f"run: python docs/{name}.py"


def old(path: Path) -> str:
    """What a file says now."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


def tables(name: str) -> list[list[list[str]]]:
    """The tables of a page of the reference: rows of cells, code marks left out."""
    found: list[list[list[str]]] = [[]]
    for line in (ROOT / "docs" / "reference" / f"{name}.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            found[-1].append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
        elif found[-1] and not line.startswith("| ---"):
            found.append([])
    return [table for table in found if table]


def test_the_operations_are_those_that_are_called_against_the_emulator() -> None:
    """Each entry is a test of ``tests/e2e/test_every_operation.py``, and there are no others."""
    (head, *rows), *_, (_, *native) = tables("operations")
    promised = {
        (service, operation)
        for operation, *cells in rows
        for service, cell in zip(head[1:], cells, strict=True)
        if cell == "yes" and operation != "native"
    }
    actions = {
        (service, f"native {word.strip(' `')}") for service, words in native for word in words.split(",")
    }

    assert promised | actions == set(offered())
    assert {service for service, _ in native} == {name for name in head[1:] if actions_of(name)}


def test_the_explanation_names_the_stations_in_their_order() -> None:
    """One word for one thing: the page's table of stations is ``STAGES``."""
    page = (ROOT / "docs" / "explanation" / "life-of-a-call.md").read_text(encoding="utf-8")

    assert tuple(re.findall(r"^\| \*\*(\w+)\*\* \|", page, re.MULTILINE)) == STAGES


def test_events_begin_with_the_station_that_they_come_from() -> None:
    """Apart from the two that belong to no single station: a retry, and the call itself."""
    kinds = [getattr(events, name) for name in events.__all__ if name != "Event"]
    stations = {kind.name.removeprefix("asyncapi.").partition("_")[0] for kind in kinds}

    assert stations <= {*STAGES, "retry", "call"}
