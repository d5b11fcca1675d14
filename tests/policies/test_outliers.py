"""Which targets are ejected, for how long, and that never all are."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi import Outliers
from asyncapi.policies.outliers import OutlierDetector


class Watched:
    """A detector with what it told."""

    def __init__(self, targets: str = "abc", **rules: float) -> None:
        self.told: list[tuple[str, str, float]] = []
        self.detector = OutlierDetector(
            Outliers(**rules),  # type: ignore[arg-type]
            targets,
            lambda *what: self.told.append(what),
        )

    def see(self, target: str, outcomes: str, now: float = 0.0) -> None:
        """ "+" for each good end, "-" for each bad one."""
        for outcome in outcomes:
            self.detector.observe(target, outcome == "+", now)

    def out(self, now: float) -> str:
        """The targets that are ejected."""
        return "".join(t for t in self.detector._targets if self.detector.ejected(t, now))


def test_failures_in_a_row_eject() -> None:
    """Five, with nothing good among them."""
    watched = Watched()
    watched.see("a", "----+----")
    assert watched.out(0.0) == ""
    watched.see("a", "-")

    assert (watched.out(0.0), watched.out(29.9), watched.out(30.0)) == ("a", "a", "")
    assert watched.told == [("a", "5 failures in a row", 30.0)]


def test_who_fails_more_than_the_others_is_ejected() -> None:
    """60 % good where the others have 100 %, though never five failures in a row."""
    watched = Watched()
    watched.see("a", "++-" * 8)
    watched.see("b", "+" * 20)
    watched.see("c", "+" * 20)
    assert watched.out(0.0) == ""  # it is judged when it fails
    watched.see("a", "-")

    assert watched.out(0.0) == "a"
    assert watched.told == [("a", "64% succeed here, 100% elsewhere", 30.0)]


@pytest.mark.parametrize(
    ("a", "b", "why"),
    [
        ("+-" * 9, "+" * 20, "too few ends here"),
        ("+-" * 10, "+" * 19, "too few elsewhere"),
        ("+-" * 20, "+-" * 20, "as bad elsewhere"),
        ("+++-" * 20, "+" * 50, "within the margin"),
    ],
)
def test_who_fails_as_the_others_do_stays(a: str, b: str, why: str) -> None:
    """An outage of all, or chance."""
    watched = Watched("ab")
    watched.see("b", b)
    watched.see("a", a)

    assert watched.out(0.0) == "", why


def test_ejections_grow_and_shrink_again() -> None:
    """30, 60, 90 s ... 300 s at most; an interval without one takes one back."""
    watched, now = Watched(), 0.0
    for _ in range(12):
        watched.see("a", "-----", now)
        now += watched.told[-1][2]
    assert [seconds for *_, seconds in watched.told[:4]] == [30.0, 60.0, 90.0, 120.0]
    assert watched.told[-1][2] == 300.0
    for _ in range(9):
        now += 30.0
        watched.see("a", "+", now)
    watched.see("a", "-----", now)

    assert watched.told[-1][2] < 300.0


@pytest.mark.parametrize(
    ("targets", "share", "most"), [("a", 1, 0), ("ab", 1, 1), ("abcd", 0.5, 2), ("abc", 0.1, 1)]
)
def test_never_more_than_a_share_and_never_all(targets: str, share: float, most: int) -> None:
    """One may always be, except the only one."""
    watched = Watched(targets, share=share)
    for target in targets:
        watched.see(target, "-----")

    assert len(watched.out(0.0)) == most


def test_what_began_before_an_ejection_does_not_count() -> None:
    """Calls that were under way end later: neither a longer ejection, nor the row of the next."""
    watched = Watched()
    watched.see("a", "-----")
    watched.see("a", "---------", now=10.0)
    assert watched.told == [("a", "5 failures in a row", 30.0)]
    watched.see("a", "----", now=31.0)

    assert watched.out(31.0) == ""


def test_an_interval_that_is_over_is_forgotten() -> None:
    """Rates are of now."""
    watched = Watched("ab")
    watched.see("b", "+" * 50)
    watched.see("a", "+-" * 10)
    assert watched.out(0.0) == "a"
    watched = Watched("ab")
    watched.see("a", "++-" * 10)
    watched.see("b", "+" * 50, now=31.0)
    watched.see("a", "+-", now=31.0)

    assert watched.out(31.0) == ""


@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    seed=st.integers(0, 2**32),
    targets=st.integers(1, 6),
    share=st.floats(0.01, 1.0),
    trouble=st.floats(0.0, 1.0),
)
def test_some_target_is_always_in(seed: int, targets: int, share: float, trouble: float) -> None:
    """Whatever happens: never all are out, times are never beyond the most, and all come back."""
    random, now = Random(seed), 0.0
    watched = Watched("abcdef"[:targets], share=share, interval=5.0, minimum=3, base=2.0, maximum=9.0)
    for _ in range(300):
        now += random.random()
        target = random.choice("abcdef"[:targets])
        watched.detector.observe(target, random.random() > trouble, now)
        assert len(watched.out(now)) <= max(1, int(share * targets)) * (targets > 1)
        assert len(watched.out(now)) < targets

    assert all(2.0 <= seconds <= 9.0 for *_, seconds in watched.told)
    assert watched.out(now + 9.0) == ""
