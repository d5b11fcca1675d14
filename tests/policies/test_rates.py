"""GCRA: no window holds too many, little is wasted, and no wait is too short to sleep."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.policies.rates import EPSILON_S, GCRA, per_minute

PROPERTY = settings(deadline=None, derandomize=True, max_examples=200)
#: Binary arithmetic: sums of many intervals are off by this much at most.
ROUNDING_S = 1e-6

pauses = st.lists(st.one_of(st.just(0.0), st.floats(0.0, 0.1), st.floats(0.0, 90.0)), max_size=80)


def saturate(rate: GCRA, start: float, seconds: float) -> list[float]:
    """The times of all takes by a caller that always wants one more."""
    taken, now = [], start
    while now < start + seconds:
        taken.append(now)
        rate.take(now)
        while wait := rate.wait(now):
            now += wait
    return taken


def fullest(taken: list[float], window: float) -> int:
    """The most takes in any half-open window of this length."""
    most = first = 0
    for last, at in enumerate(taken):
        while at - taken[first] >= window - ROUNDING_S:
            first += 1
        most = max(most, last - first + 1)
    return most


def keeps_its_bound(rate: GCRA, per_second: float, burst: int, steps: list[float]) -> None:
    """Take whenever allowed; any n takes span at least (n - burst) intervals."""
    now, taken = 0.0, []
    for step in steps:
        now += step
        while rate.wait(now) == 0.0:
            rate.take(now)
            taken.append(now)
            assert len(taken) < 100_000
    for i, first in enumerate(taken):
        for n, last in enumerate(taken[i:], 1):
            assert n <= burst + per_second * (last - first) + 1e-6


@PROPERTY
@given(per_second=st.floats(0.01, 50.0), burst=st.integers(1, 8), steps=pauses)
def test_no_window_holds_more_than_burst_and_rate_allow(
    per_second: float, burst: int, steps: list[float]
) -> None:
    """In any window of w seconds at most burst - 1 + ceil(rate * w) takes, whatever the pauses."""
    keeps_its_bound(GCRA(per_second, burst), per_second, burst, steps)


def test_one_more_in_the_burst_would_be_seen() -> None:
    """The bound is tight: a burst that is off by one breaks it."""
    with pytest.raises(AssertionError):
        keeps_its_bound(GCRA(1.0, 4), 1.0, 3, [0.0])


@pytest.mark.parametrize("burst", [1, 2, 5])
def test_an_idle_rate_lets_exactly_its_burst_through(burst: int) -> None:
    """Never one less, never one more, however long it was idle."""
    rate = GCRA(2.0, burst)
    for start in (0.0, 1000.0):
        taken = 0
        while rate.wait(start) == 0.0:
            rate.take(start)
            taken += 1

        assert taken == burst
        assert rate.wait(start) == pytest.approx(0.5)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 49, 50, 60, 99, 100, 101, 150, 499, 500, 1000, 3000])
@pytest.mark.parametrize("start", [0.0, 12_345.678])
def test_per_minute_is_never_exceeded_and_hardly_wasted(limit: int, start: float) -> None:
    """Saturated for five minutes: at most ``limit`` in any 60 s, and 95 % of it used."""
    taken = saturate(per_minute(limit), start, 300.0)

    assert fullest(taken, 60.0) <= limit
    assert len(taken) >= 0.95 * 5 * limit


@PROPERTY
@given(limit=st.integers(1, 120), steps=pauses)
def test_per_minute_holds_for_bursty_callers(limit: int, steps: list[float]) -> None:
    """Pauses save up no more than the burst that the rate has paid for."""
    rate, now, taken = per_minute(limit), 0.0, []
    for step in steps:
        now += step
        while rate.wait(now) == 0.0:
            rate.take(now)
            taken.append(now)

    assert fullest(taken, 60.0) <= limit


@pytest.mark.parametrize(("limit", "most"), [(0.5, 1), (2.5, 3)])
def test_a_broken_limit_is_rounded_up_in_a_window_but_kept_on_average(limit: float, most: int) -> None:
    """Half a request can't be sent."""
    taken = saturate(per_minute(limit), 0.0, 6000.0)

    assert fullest(taken, 60.0) <= most
    assert len(taken) == pytest.approx(100 * limit, abs=1)


@PROPERTY
@given(per_second=st.floats(0.001, 1000.0), burst=st.integers(1, 50), start=st.floats(0.0, 1e7), steps=pauses)
def test_waits_never_spin(per_second: float, burst: int, start: float, steps: list[float]) -> None:
    """A wait is 0 or worth a timer, and one or two timers are enough."""
    rate, now = GCRA(per_second, burst), start
    for step in steps:
        now += step
        timers = 0
        while wait := rate.wait(now):
            assert wait > EPSILON_S
            now += wait
            timers += 1
        assert timers <= 2
        rate.take(now)


@PROPERTY
@given(per_second=st.floats(0.01, 50.0), burst=st.integers(1, 5), steps=pauses)
def test_wait_is_exact(per_second: float, burst: int, steps: list[float]) -> None:
    """Just before the end of the wait it is not over."""
    rate, now = GCRA(per_second, burst), 0.0
    for step in steps:
        now += step
        if (wait := rate.wait(now)) > 2 * ROUNDING_S:
            assert rate.wait(now + wait - ROUNDING_S) > 0.0
        else:
            rate.take(now + wait)


@PROPERTY
@given(per_second=st.floats(0.01, 50.0), burst=st.integers(1, 5), count=st.integers(1, 5))
def test_a_refund_undoes_a_take(per_second: float, burst: int, count: int) -> None:
    """What never left leaves no trace."""
    rate, untouched = GCRA(per_second, burst), GCRA(per_second, burst)
    rate.take(0.0)
    untouched.take(0.0)
    for _ in range(count):
        rate.take(0.0)
    for _ in range(count):
        rate.refund()

    assert rate.wait(0.0) == pytest.approx(untouched.wait(0.0), abs=ROUNDING_S)


@PROPERTY
@given(
    per_second=st.floats(0.01, 20.0),
    burst=st.integers(1, 5),
    steps=st.lists(st.tuples(st.floats(0.0, 5.0), st.booleans()), max_size=60),
)
def test_refunds_add_no_more_than_themselves(
    per_second: float, burst: int, steps: list[tuple[float, bool]]
) -> None:
    """In any window: takes less refunds keep the bound, so old refunds can't be saved up for a burst."""
    rate, now, events = GCRA(per_second, burst), 0.0, []
    unrefunded = 0
    for step, refund in steps:
        now += step
        while rate.wait(now) == 0.0:
            rate.take(now)
            unrefunded += 1
            events.append((now, 1))
        if refund and unrefunded:
            rate.refund()
            unrefunded -= 1
            events.append((now, -1))
    for i, (first, _) in enumerate(events):
        net = 0
        for last, change in events[i:]:
            net += change
            assert net <= burst + per_second * (last - first) + 1e-6


def test_a_first_request_goes_at_once() -> None:
    """A new rate owes nothing, even at a clock that started long ago or at a negative time."""
    for now in (-1e6, 0.0, 1e9):
        assert GCRA(0.001).wait(now) == 0.0


def test_the_documented_bound_is_reached() -> None:
    """burst - 1 + ceil(rate * w) takes in a window of w seconds do happen."""
    taken = saturate(GCRA(2.0, 3), 0.0, 60.0)

    assert fullest(taken, 10.0) == 3 - 1 + math.ceil(2.0 * 10.0)
