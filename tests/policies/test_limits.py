"""How many attempts may be in flight."""

from __future__ import annotations

from random import Random

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
    work: str = "",
    tokens: int | None = None,
    first_token_s: float | None = None,
) -> Ended:
    """An attempt that ended, with everything in use."""
    return Ended(
        verdict=verdict,
        congested=congested,
        in_flight=in_flight,
        started=started,
        now=now,
        work=work,
        tokens=tokens,
        first_token_s=first_token_s,
    )


@pytest.mark.parametrize("verdict", Verdict)
def test_a_fixed_limit_learns_nothing(verdict: Verdict) -> None:
    """Whatever the service answers, the number stays, and nobody needs to tell it."""
    limit = limit_of(Fixed(7))
    for in_flight in range(20):
        limit.settle(ended(verdict, congested=True, in_flight=in_flight))

    assert isinstance(limit, FixedLimit)
    assert (limit.value, limit.learns) == (7, False)


def warm(limit: AdaptiveLimit) -> None:
    """What is usual is known: a second, with little to do."""
    for _ in range(50):
        limit.settle(ended(in_flight=0))


def test_it_starts_slowly_and_grows_by_half_each_round_until_the_first_cut() -> None:
    """Once it knows what is usual: before that, more load would be learnt as usual, too."""
    limit = limit_of(AIMD(initial=6, maximum=64))
    assert isinstance(limit, AdaptiveLimit)
    for _ in range(6):
        limit.settle(ended())
    before = limit.value
    warm(limit)
    for _ in range(6):
        limit.settle(ended())

    assert (before, limit.value, limit.learns) == (6, 9, True)


def test_after_a_cut_it_grows_by_one_for_each_round() -> None:
    """Additive increase: so many successes as are allowed at once give one more."""
    limit = AdaptiveLimit(AIMD(initial=20))
    warm(limit)
    limit.settle(ended(THROTTLED, congested=True))
    after_cut = limit.value
    for _ in range(16):
        limit.settle(ended(started=4.0, now=5.0))

    assert (after_cut, limit.value) == (14, 15)


def test_few_grow_more_slowly_than_by_one_each_round() -> None:
    """Else every other round would be one too many for a service that bears one."""
    limit = AdaptiveLimit(AIMD(initial=2))
    warm(limit)
    limit.settle(ended(THROTTLED, congested=True))
    for _ in range(4):
        limit.settle(ended(started=4.0, now=5.0))

    assert limit.level == pytest.approx(1.8)


def test_above_the_level_of_the_last_cut_it_grows_faster() -> None:
    """The service bears more than it did: a seventh for each success, until it doesn't."""
    limit = AdaptiveLimit(AIMD(initial=20, maximum=100))
    warm(limit)
    limit.settle(ended(THROTTLED, congested=True))
    levels = []
    for now in range(5, 40):
        before = limit.level
        for _ in range(limit.value):
            limit.settle(ended(started=now - 1.0, now=float(now)))
        levels.append((before, limit.level / before))

    assert all(growth < 1.08 for before, growth in levels if before < 21)
    assert all(growth > 1.14 for before, growth in levels if 23 < before < 80)


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


@settings(deadline=None, derandomize=True, max_examples=50)
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


# -- by time ------------------------------------------------------------------------------------------------


class Loop:
    """A closed loop over a service of so many places: each round, every permit is used once."""

    def __init__(self, places: int, *, initial: int = 5, noise: float = 0.1, work: str = "") -> None:
        self.limit = AdaptiveLimit(AIMD(initial=initial, maximum=200))
        self.places, self.noise, self.work = places, noise, work
        self.service_s = 1.0
        self.now = 0.0
        self.random = Random(1)

    def rounds(self, number: int) -> list[int]:
        """What the limit was in each."""
        found = []
        for _ in range(number):
            found.append(self.limit.value)
            busy = max(1.0, self.limit.value / self.places)
            begun, self.now = self.now, self.now + busy * self.service_s
            for _ in range(self.limit.value):
                took = busy * self.service_s * self.random.lognormvariate(0.0, self.noise)
                in_flight = self.limit.value
                self.limit.settle(
                    ended(in_flight=in_flight, started=begun + 1e-6, now=begun + took, work=self.work)
                )
        return found


@pytest.mark.parametrize("places", [3, 8, 20, 60])
def test_it_finds_what_the_service_bears_by_time_alone(places: int) -> None:
    """Nothing is ever refused; it stays near the number of places all the same."""
    values = Loop(places).rounds(400)[-200:]

    assert 0.85 * places <= sum(values) / 200 <= 1.35 * places
    assert max(values) <= 2 * places


def test_it_finds_less_than_it_began_with() -> None:
    """What it first took for usual was an overloaded service: cuts that go deep find out."""
    values = Loop(4, initial=20).rounds(400)[-200:]

    assert 3 <= sum(values) / 200 <= 6


@pytest.mark.parametrize(("before", "after"), [(40, 20), (20, 40), (40, 10), (15, 60)])
def test_it_follows_a_service_that_changes(before: int, after: int) -> None:
    """Up and down."""
    loop = Loop(before)
    loop.rounds(150)
    loop.places = after
    values = loop.rounds(150)[-75:]

    assert 0.8 * after <= sum(values) / 75 <= 1.35 * after


def test_a_service_that_becomes_slower_for_other_reasons_is_got_used_to() -> None:
    """Cuts that don't help are given up: it is not for what this client sends."""
    loop = Loop(40)
    loop.rounds(150)
    loop.service_s = 3.0
    values = loop.rounds(150)[-75:]

    assert 30 <= sum(values) / 75 <= 55


def test_longer_answers_are_no_slower_service() -> None:
    """Ten times as many tokens take ten times as long, and the limit stays."""
    limit, random = AdaptiveLimit(AIMD(initial=20, maximum=20)), Random(1)
    for round_ in range(200):
        for _ in range(20):
            tokens = random.randint(50, 150) * (1 if round_ < 100 else 10)
            took = (0.2 + 0.01 * tokens) * random.lognormvariate(0.0, 0.1)
            start = round_ * 100.0
            limit.settle(ended(in_flight=20, started=start, now=start + took, tokens=tokens))

        assert limit.value == 20


def test_another_model_is_no_slower_service() -> None:
    """Each kind of work is compared with its own kind."""
    limit, random = AdaptiveLimit(AIMD(initial=20, maximum=20)), Random(1)
    for round_ in range(200):
        work = "small" if round_ < 100 else "large"
        for _ in range(20):
            took = (1.0 if work == "small" else 8.0) * random.lognormvariate(0.0, 0.1)
            limit.settle(
                ended(in_flight=20, started=round_ * 100.0, now=round_ * 100.0 + took, work=work, tokens=5)
            )

        assert limit.value == 20


def test_streams_are_judged_by_their_first_token() -> None:
    """Whose wait grows when the service has too many of them; how long they last doesn't matter."""
    limit, random = AdaptiveLimit(AIMD(initial=20, maximum=200)), Random(1)
    places, now, values = 32, 0.0, []
    for _ in range(300):
        value = limit.value
        values.append(value)
        begun, now = now, now + 4.0 * max(1.0, value / places)
        wait = max(0.0, value / places - 1.0) * 4.0
        for _ in range(value):
            first = wait + 0.3 * random.lognormvariate(0.0, 0.3)
            limit.first_token("", first, value, begun + first + 1e-6)
            took = first + 4.0 * random.lognormvariate(-0.5, 1.0)
            limit.settle(ended(in_flight=value, started=begun, now=begun + took, first_token_s=first))

    assert 28 <= sum(values[-150:]) / 150 <= 48


def test_noise_alone_does_not_shrink_it_much() -> None:
    """Medians of a window differ by chance: that much is tolerated."""
    values = Loop(50, initial=40, noise=0.6).rounds(300)[-150:]

    assert sum(values) / 150 >= 38


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


def test_what_was_under_way_does_not_end_a_ramp() -> None:
    """Seven that hang and two new ones are not a limit of eight that is used."""
    ramp = Ramp(FixedLimit(Fixed(8)), since=10.0, in_flight=7)
    for _ in range(7):
        ramp.settle(ended(started=9.0, now=11.0))

    assert (ramp.value, ramp.done) == (2, False)


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
