"""How many attempts may be in flight."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.config import AIMD, Fixed
from asyncapi.policies.limits import AdaptiveLimit, Ended, FixedLimit, Ramp, limit_of
from asyncapi.policies.verdict import Verdict

OK, FAILED, THROTTLED, IGNORED = Verdict.OK, Verdict.FAILED, Verdict.THROTTLED, Verdict.IGNORED


def ended(
    verdict: Verdict = OK,
    *,
    congested: bool = False,
    in_flight: int = 1000,
    started: float = 0.0,
    now: float = 1.0,
) -> Ended:
    """An attempt that ended, with everything in use."""
    return Ended(verdict=verdict, congested=congested, in_flight=in_flight, started=started, now=now)


@pytest.mark.parametrize("verdict", Verdict)
def test_a_fixed_limit_learns_nothing(verdict: Verdict) -> None:
    """Whatever the service answers, the number stays, and nobody needs to tell it."""
    limit = limit_of(Fixed(7))
    for in_flight in range(20):
        limit.settle(ended(verdict, congested=True, in_flight=in_flight))

    assert isinstance(limit, FixedLimit)
    assert (limit.value, limit.learns) == (7, False)


def test_it_starts_slowly_and_doubles_until_the_first_cut() -> None:
    """One more for each success: twice as many for each round of answers."""
    limit = limit_of(AIMD(initial=5, maximum=64))
    for _ in range(5):
        limit.settle(ended())

    assert isinstance(limit, AdaptiveLimit)
    assert (limit.value, limit.learns) == (10, True)


def test_after_a_cut_it_grows_by_one_for_each_round() -> None:
    """Additive increase: so many successes as are allowed at once give one more."""
    limit = AdaptiveLimit(AIMD(initial=20))
    limit.settle(ended(THROTTLED, congested=True))
    after_cut = limit.value
    for _ in range(15):
        limit.settle(ended(started=2.0, now=3.0))

    assert (after_cut, limit.value) == (14, 15)


def test_a_burst_of_refusals_is_one_congestion() -> None:
    """Ten attempts that were under way together cut once; one that began after the cut cuts again."""
    limit = AdaptiveLimit(AIMD(initial=20))
    for _ in range(10):
        limit.settle(ended(THROTTLED, congested=True, started=0.0, now=1.0))
    first = limit.value
    limit.settle(ended(FAILED, congested=True, started=1.5, now=2.0))

    assert (first, limit.value) == (14, 9)


@pytest.mark.parametrize("in_flight", [0, 7])
def test_it_never_grows_while_it_is_not_used(in_flight: int) -> None:
    """Successes of a few calls prove nothing about many."""
    limit = AdaptiveLimit(AIMD(initial=10))
    for _ in range(100):
        limit.settle(ended(in_flight=in_flight))

    assert limit.value == 10


@pytest.mark.parametrize("verdict", [FAILED, THROTTLED, IGNORED])
def test_what_is_no_congestion_does_not_move_it(verdict: Verdict) -> None:
    """An error of the service, a rate of a key, a cancellation."""
    limit = AdaptiveLimit(AIMD(initial=10))
    limit.settle(ended(verdict))

    assert limit.value == 10


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    bounds=st.tuples(st.integers(1, 9), st.integers(10, 30), st.integers(31, 200)),
    steps=st.lists(
        st.tuples(st.sampled_from(list(Verdict)), st.booleans(), st.integers(0, 300), st.floats(0.0, 5.0)),
        max_size=100,
    ),
)
def test_it_stays_within_its_bounds(
    bounds: tuple[int, int, int], steps: list[tuple[Verdict, bool, int, float]]
) -> None:
    """Whatever happens, minimum <= value <= maximum."""
    minimum, initial, maximum = bounds
    limit = AdaptiveLimit(AIMD(minimum=minimum, initial=initial, maximum=maximum))
    now = 0.0
    for verdict, congested, in_flight, took in steps:
        limit.settle(ended(verdict, congested=congested, in_flight=in_flight, started=now, now=now + took))
        now += took / 2

        assert minimum <= limit.value <= maximum


# -- coming back in steps -----------------------------------------------------------------------------------


def test_a_ramp_begins_with_a_quarter_and_doubles_each_round() -> None:
    """One more for each success that began after the outage, until the limit under it is all that holds."""
    under = FixedLimit(Fixed(40))
    ramp = Ramp(under, since=10.0)
    values = [ramp.value]
    for now in (11.0, 12.0, 13.0):
        for _ in range(ramp.value):
            ramp.settle(ended(started=now - 1.0, now=now))
        values.append(ramp.value)

    assert values == [10, 20, 40, 40]
    assert ramp.done


def test_what_was_under_way_has_places_of_its_own_in_a_ramp() -> None:
    """Three that hang since before: two new ones may go all the same, and stay two when those end."""
    ramp = Ramp(FixedLimit(Fixed(8)), since=10.0, in_flight=3)
    before = ramp.value
    for _ in range(3):
        ramp.settle(ended(started=9.0, now=11.0))

    assert (before, ramp.value, ramp.done) == (5, 2, False)


def test_a_congestion_halves_a_ramp_once() -> None:
    """Those that were under way together are one congestion."""
    ramp = Ramp(FixedLimit(Fixed(64)), since=10.0)
    for _ in range(10):
        ramp.settle(ended(THROTTLED, congested=True, started=10.0, now=11.0))
    first = ramp.value
    # Granted in the very instant of the cut: it was under way with the others.
    ramp.settle(ended(THROTTLED, congested=True, started=11.0, now=11.1))
    assert ramp.value == first
    ramp.settle(ended(THROTTLED, congested=True, started=11.5, now=12.0))

    assert (first, ramp.value) == (8, 4)


def test_a_limit_that_learns_goes_on_learning_under_a_ramp() -> None:
    """Else it would be done before it knows that the service bears less now."""
    under = AdaptiveLimit(AIMD(initial=40))
    ramp = Ramp(under, since=10.0)
    ramp.settle(ended(THROTTLED, congested=True, started=10.0, now=11.0))

    assert (under.value, ramp.value) == (28, 5)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_ramp_lets_at_least_one_through(limit: int) -> None:
    """Whatever happens on the way."""
    ramp = Ramp(FixedLimit(Fixed(limit)), since=0.0)
    for n in range(10):
        ramp.settle(ended(FAILED, congested=True, started=float(n), now=n + 1.0))

    assert ramp.value == 1
