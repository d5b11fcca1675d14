"""Applies the mutants, one after another in each of two processes, and tells who saw them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from tests.mutation.mutants import SIMULATOR, Mutant

__all__ = ["Outcome", "applied", "fitting", "run", "source"]

T = TypeVar("T")
R = TypeVar("R")

ROOT = Path(__file__).parents[2]
_PARTS = ("asyncapi", "tests", "examples", "docs", "pyproject.toml", "README.md")
_LONGEST_S = 150.0
_SEEDS = 40
_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
_SEED = re.compile(r"seed (\d+): (\w+)")
_PYTEST = ("-m", "pytest", "-x", "-q", "--no-header", "--tb=no", "-rfE", "-p", "no:cacheprovider")


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: who saw it (empty: nobody did), and how long it took, in seconds."""

    mutant: Mutant
    killer: str
    took_s: float


def source(mutant: Mutant, root: Path = ROOT) -> str:
    """The file that a mutant changes."""
    return (root / "asyncapi" / mutant.file).read_text()


def applied(mutant: Mutant, text: str) -> str:
    """The file with the bug in it.

    Raises:
        ValueError: What it replaces does not stand there exactly once.
    """
    if (times := text.count(mutant.old)) != 1:
        raise ValueError(f"{mutant.name}: what it replaces stands {times} times in {mutant.file}")
    return text.replace(mutant.old, mutant.new)


def fitting(mutant: Mutant, root: Path = ROOT) -> list[str]:
    """Its tests that there are."""
    return [test for test in mutant.tests if test == SIMULATOR or (root / test.split("::")[0]).exists()]


def copy(to: Path) -> Path:
    """The package, its tests and what they read, in a folder of their own."""
    for part in _PARTS:
        here = ROOT / part
        if here.is_dir():
            shutil.copytree(here, to / part, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        elif here.exists():
            shutil.copy(here, to / part)
    return to


def run(mutants: Iterable[Mutant], processes: int = 2) -> Iterable[Outcome]:
    """Try them, in order; each process has a copy of its own."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(processes):
            copies.put(copy(Path(folder) / str(number)))

        def on_a_copy(work: Callable[[T, Path], R]) -> Callable[[T], R]:
            def one(thing: T) -> R:
                root = copies.get()
                try:
                    return work(thing, root)
                finally:
                    copies.put(root)

            return one

        chosen = list(mutants)
        needed = dict.fromkeys(test for mutant in chosen for test in fitting(mutant))
        with ThreadPoolExecutor(processes) as pool:
            # A test that fails anyway would see every bug.
            if broken := [killer for killer in pool.map(on_a_copy(_killer), needed) if killer]:
                raise RuntimeError(f"without any bug there fail: {', '.join(broken)}")
            yield from pool.map(on_a_copy(_tried), chosen)


def _tried(mutant: Mutant, root: Path) -> Outcome:
    path, began = root / "asyncapi" / mutant.file, time.monotonic()
    before = path.read_text()
    path.write_text(applied(mutant, before))
    try:
        killers = (_killer(test, root) for test in fitting(mutant, root))
        killer = next((killer for killer in killers if killer), "")
    finally:
        path.write_text(before)
    return Outcome(mutant, killer, time.monotonic() - began)


def _killer(test: str, root: Path) -> str:
    """Who fails; empty if nobody does."""
    words: tuple[str, ...] = (*_PYTEST, test)
    if test == SIMULATOR:
        words = ("-m", "asyncapi.testing.simulation", "--seeds", str(_SEEDS), "--processes", "1")
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{test}: did not end"
    if done.returncode == 0:
        return ""
    if test == SIMULATOR:
        seen = _SEED.search(done.stdout + done.stderr)
        return f"simulator::seed {seen[1]}, {seen[2]}" if seen else "simulator::a world that did not end"
    if found := _FAILED.search(done.stdout):
        return found[1]
    if done.returncode == 1 or "Timeout" in done.stderr + done.stdout:
        return f"{test}: did not end"
    raise RuntimeError(f"{test} could not be run:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
