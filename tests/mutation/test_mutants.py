"""The mutants keep up with the code; ``nox -s mutants`` tries them all."""

from __future__ import annotations

import pytest

from tests.mutation.mutants import MUTANTS, Mutant
from tests.mutation.run import applied, fitting, run, source

QUICK = ("a 429 is a failure", "a 4xx is a failure", "a trickle is fast enough")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_still_applies(mutant: Mutant) -> None:
    """What it replaces stands once in the code, the result is Python, and it has a test that may see it."""
    compile(applied(mutant, source(mutant)), mutant.file, "exec")
    assert fitting(mutant)


def test_every_mutant_has_a_name_of_its_own() -> None:
    """At least forty of them."""
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 40


@pytest.mark.slow
def test_three_of_them_are_seen() -> None:
    """The machinery works: the others take minutes."""
    chosen = [mutant for mutant in MUTANTS if mutant.name in QUICK]
    outcomes = list(run(chosen, processes=1))

    assert len(outcomes) == len(QUICK)
    assert [outcome.mutant.name for outcome in outcomes if not outcome.killer] == []
