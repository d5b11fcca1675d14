"""``python -m asyncapi.testing.simulation``."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from asyncapi._core.semaphore import Semaphore
from asyncapi.testing.simulation.__main__ import main


def run(*arguments: str, code: int = 0) -> str:
    """What the command says."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    return result.output


def test_one_seed_is_told() -> None:
    """How its calls ended, and that all held."""
    told = run("--seed", "5")

    assert "random-5: " in told
    assert "calls ended: " in told
    assert "all invariants held" in told


def test_a_named_world_and_its_history() -> None:
    """Line by line on request."""
    told = run("--seed", "1", "--history")

    assert "CallBegan(call='c0'" in told


def test_many_seeds_are_added_up() -> None:
    """With how fast they ran."""
    told = run("--seeds", "6", "--first", "20", "--processes", "1")

    assert "6 worlds, " in told
    assert "steps of the loop a second" in told
    assert "all invariants held" in told


def test_a_plan_is_kept_and_run_again(tmp_path: Path) -> None:
    """As a file."""
    kept = tmp_path / "plan.json"
    first = run("--seed", "5", "--keep", str(kept))

    again = run("--plan", str(kept))

    assert f"the plan is in {kept}" in first
    assert [line for line in again.splitlines() if line in first] == again.splitlines()


@pytest.mark.slow
def test_a_failing_seed_is_named_and_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that runs it again; the exit code is 1."""
    monkeypatch.setattr(Semaphore, "locked", lambda self: self.in_flight > self.limit.value)

    told = run("--seeds", "3", "--processes", "1", code=1)

    assert "the_limit_is_kept" in told
    assert "again with python -m asyncapi.testing.simulation --seed " in told
    assert "made small: " in told
