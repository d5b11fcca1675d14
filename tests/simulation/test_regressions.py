"""Bugs that the simulator found: each was a seed that failed, and is kept as the small plan it shrank to.

The stories are in docs/explanation/simulation.md.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncapi.testing.simulation import Plan, run_plan

FOLDER = Path(__file__).parent / "regressions"
PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "simulation.md"
PLANS = sorted(path.stem for path in FOLDER.glob("*.json"))


@pytest.mark.parametrize("name", PLANS)
def test_what_failed_once_holds_now(name: str) -> None:
    """The plan that broke an invariant breaks none."""
    plan = Plan.from_json((FOLDER / f"{name}.json").read_bytes())

    assert run_plan(plan).violations == ()


@pytest.mark.parametrize("name", PLANS)
def test_every_kept_plan_has_its_story(name: str) -> None:
    """In the list of the documentation."""
    assert f"`{name}`" in PAGE.read_text(encoding="utf-8")
