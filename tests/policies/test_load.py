"""What makes a key or an endpoint look loaded, and which of two is taken."""

from __future__ import annotations

from math import e
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.policies.load import DECAY_S, MOST_PENALTY_S, PENALTY_S, Load, lighter_of_two


def test_a_slow_answer_counts_at_once_and_is_forgotten_slowly() -> None:
    """The peak of PeakEWMA: 1 s, then 4 s, then 1 s again after one decay time."""
    load = Load()
    load.observe(1.0, now=0.0)
    load.observe(4.0, now=1.0)
    assert load.value(1, now=1.0) == 8.0
    load.observe(1.0, now=1.0 + DECAY_S)

    assert load.value(1, now=1.0 + DECAY_S) == pytest.approx(2 * (1.0 + 3.0 / e))


def test_what_is_under_way_multiplies() -> None:
    """Seconds of work: (in flight + 1) times the latency, for its weight and its headroom."""
    load = Load()
    load.observe(2.0, now=0.0)

    assert [load.value(n, now=0.0) for n in (0, 1, 3)] == [2.0, 4.0, 8.0]
    assert load.value(3, now=0.0, weight=2.0) == 4.0
    assert load.value(3, now=0.0, headroom=0.25) == 32.0
    assert load.value(3, now=0.0, headroom=0.0) == 800.0


def test_the_unknown_is_tried_once_before_it_is_trusted() -> None:
    """Nothing known and idle is lightest; nothing known and busy counts as slow until it answers."""
    load = Load()

    assert load.value(0, now=0.0) == 0.0
    assert load.value(1, now=0.0) > PENALTY_S


def test_an_idle_estimate_fades_so_that_the_slow_is_tried_again() -> None:
    """While something is under way, the estimate stands."""
    load = Load()
    load.observe(60.0, now=0.0)

    assert load.value(0, now=DECAY_S) == pytest.approx(60.0 / e)
    assert load.value(1, now=DECAY_S) == 120.0


def test_failures_weigh_more_in_a_row_and_decay() -> None:
    """5 s, 10 s, 20 s ... up to 300 s; a good answer ends the row."""
    load = Load()
    load.punish(now=0.0)
    assert load.penalty(0.0) == PENALTY_S
    assert load.penalty(DECAY_S) == pytest.approx(PENALTY_S / e)
    weights = []
    for _ in range(8):
        load.punish(now=0.0)
        weights.append(load.penalty(0.0))
    assert weights == [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0]
    load.observe(0.1, now=1000.0)
    load.punish(now=1000.0)

    assert load.penalty(1000.0) == PENALTY_S


@pytest.mark.parametrize(("asked", "least"), [(10.0, PENALTY_S / 2), (30.0, PENALTY_S / 2)])
def test_a_penalty_lasts_as_long_as_the_service_asked(asked: float, least: float) -> None:
    """With Retry-After, half of the penalty is left when that time is over."""
    load = Load()
    load.punish(now=0.0, retry_after=asked)

    assert load.penalty(asked) == pytest.approx(least)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    steps=st.lists(
        st.tuples(st.booleans(), st.floats(0.0, 1000.0), st.floats(0.0, 100.0)), min_size=1, max_size=30
    ),
    pending=st.integers(0, 1000),
)
def test_a_load_is_finite_grows_with_work_and_is_no_less_than_its_penalty(
    steps: list[tuple[bool, float, float]], pending: int
) -> None:
    """Whatever was seen, and however long ago."""
    load, now = Load(), 0.0
    for good, value, passed in steps:
        now += passed
        if good:
            load.observe(value, now)
        else:
            load.punish(now, value)
    now += steps[-1][2]

    assert 0.0 <= load.penalty(now) <= MOST_PENALTY_S
    assert load.penalty(now) <= load.value(pending, now) <= load.value(pending + 1, now) < float("inf")


@settings(deadline=None, derandomize=True, max_examples=100)
@given(latencies=st.lists(st.floats(0.001, 1000.0), min_size=1, max_size=50), gap=st.floats(0.0, 60.0))
def test_an_estimate_stays_between_what_was_seen(latencies: list[float], gap: float) -> None:
    """A mean, however it is weighted, and never below the last answer."""
    load = Load()
    for i, latency in enumerate(latencies):
        load.observe(latency, i * gap)
    seen = load.value(1, len(latencies) * gap) / 2

    assert latencies[-1] * 0.999 <= seen <= max(latencies) * 1.001


@pytest.mark.parametrize("items", [[3.0], [3.0, 1.0], [1.0, 3.0]])
def test_of_one_or_two_the_least_loaded_is_taken_without_chance(items: list[float]) -> None:
    """Nothing is drawn."""
    random = Random(1)
    before = random.getstate()

    assert lighter_of_two(items, float, random) == min(items)
    assert random.getstate() == before


@settings(deadline=None, derandomize=True, max_examples=100)
@given(items=st.lists(st.integers(0, 5), min_size=3, max_size=9), seed=st.integers(0, 2**32))
def test_the_heaviest_alone_is_never_taken(items: list[int], seed: int) -> None:
    """Two different ones are drawn, and the lighter goes."""
    taken = lighter_of_two(items, float, Random(seed))

    assert taken in items
    assert items.count(max(items)) > 1 or taken < max(items)


def test_every_pair_is_drawn_as_often() -> None:
    """Of five, the lightest is in 4 of 10 pairs, the next in 3, and so on."""
    random = Random(3)
    taken = [lighter_of_two(range(5), float, random) for _ in range(20_000)]

    shares = [taken.count(i) / 20_000 for i in range(5)]
    assert shares == pytest.approx([0.4, 0.3, 0.2, 0.1, 0.0], abs=0.015)


def test_two_choices_keep_the_fullest_place_low() -> None:
    """A thousand calls thrown at a hundred places: one choice fills some three times as full as the mean."""
    random = Random(2)
    full = [0] * 100
    for _ in range(1000):
        full[lighter_of_two(range(100), lambda place: full[place], random)] += 1

    assert max(full) <= 13
