"""``python -m tests.mutation``: every mutant, a table, and an exit code of 1 if one survives."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.mutation.mutants import MUTANTS, Mutant
from tests.mutation.run import ROOT, Outcome, applied, run, source

TABLE = ROOT / "docs" / "explanation" / "mutants.md"
_HEAD = """\
# Mutants: bugs that the tests must see

A test that can't fail shows nothing. So here are deliberate bugs, each a small change of one file in the
core or the policies. Each is applied to a copy of the package, and the tests that should see it are run
against that copy, or forty random worlds of the [simulator](simulation.md). One that nobody sees is a test
that is missing: then the run fails.

The [fifteen failure modes](../../tests/failure_modes/__init__.py) that users of other libraries complain of
have tests of their own.

```bash
nox -s mutants
```

"""


def _main() -> int:
    words = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    words.add_argument("only", nargs="*", help="parts of names; all without")
    words.add_argument("--write", action="store_true", help=f"write the table to {TABLE.relative_to(ROOT)}")
    words.add_argument("--processes", type=int, default=2)
    given = words.parse_args()
    chosen = [m for m in MUTANTS if not given.only or any(part in m.name for part in given.only)]
    for mutant in chosen:
        applied(mutant, source(mutant))  # said before anything is run
    began, outcomes = time.monotonic(), []
    for outcome in run(chosen, given.processes):
        outcomes.append(outcome)
        print(f"{outcome.took_s:6.1f} s  {outcome.mutant.name}: {outcome.killer or 'SURVIVED'}", flush=True)
    survivors = [outcome.mutant.name for outcome in outcomes if not outcome.killer]
    print(f"{len(outcomes)} mutants, {len(survivors)} survived, {time.monotonic() - began:.0f} s")
    if given.write and not survivors and len(chosen) == len(MUTANTS):
        TABLE.write_text(_HEAD + table(outcomes, time.monotonic() - began))
    return 1 if survivors else 0


def table(outcomes: list[Outcome], took_s: float) -> str:
    """The table as Markdown."""
    rows = [
        f"| {o.mutant.name} | `{_place(o.mutant)}` | {_shown(o.killer)} | {o.took_s:.0f} |" for o in outcomes
    ]
    head = "| the bug | in | seen by | s |\n| --- | --- | --- | ---: |\n"
    end = f"\n{len(outcomes)} bugs, all seen, in {took_s / 60:.0f} minutes on two shared cores.\n"
    return head + "\n".join(rows) + "\n" + end


def _place(mutant: Mutant) -> str:
    return str(Path(mutant.file))


def _shown(killer: str) -> str:
    file, _, name = killer.removeprefix("tests/").partition("::")
    return f"`{file}`: {name.partition('[')[0].removeprefix('test_').replace('_', ' ')}" if name else killer


if __name__ == "__main__":
    sys.exit(_main())
