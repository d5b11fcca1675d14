"""Overload, as arithmetic: how fast it goes, and whether waits are bad for long."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.policies.shedding import CoDel, Throughput

PROPERTY = settings(deadline=None, derandomize=True, max_examples=100)


def _served(throughput: Throughput, rate: float, seconds: float, start: float, cost: float = 1.0) -> float:
    now = start
    while now < start + seconds:
        throughput.granted(cost, now)
        now += cost / rate
    return now


def test_nothing_is_predicted_before_it_was_measured() -> None:
    """Nine grants, or half a second, are not enough to turn anybody away."""
    few, short = Throughput(), Throughput()
    for n in range(9):
        few.granted(1.0, float(n))
    for n in range(100):
        short.granted(1.0, n / 200)

    assert few.wait(1e9) == short.wait(1e9) == 0.0


@PROPERTY
@given(rate=st.floats(0.5, 500.0), cost=st.floats(0.1, 10.0))
def test_a_steady_rate_is_found(rate: float, cost: float) -> None:
    """Whatever calls cost."""
    throughput = Throughput()
    _served(throughput, rate, 60.0 + 40 * cost / rate, 0.0, cost)

    assert throughput.wait(rate) == pytest.approx(1.0, rel=0.15)


def test_a_change_is_followed() -> None:
    """Half as fast: known after some measurements."""
    throughput = Throughput()
    now = _served(throughput, 20.0, 30.0, 0.0)
    _served(throughput, 10.0, 10.0, now)

    assert throughput.wait(10.0) == pytest.approx(1.0, rel=0.1)


def test_a_pause_in_arrivals_is_no_slow_service() -> None:
    """The queue was empty for an hour."""
    throughput = Throughput()
    now = _served(throughput, 20.0, 5.0, 0.0)
    throughput.granted(1.0, now)
    throughput.paused()
    _served(throughput, 20.0, 5.0, now + 3600.0)

    assert throughput.wait(20.0) == pytest.approx(1.0, rel=0.1)


def test_a_burst_that_is_worked_off_is_no_overload() -> None:
    """Somebody had a short wait within each interval."""
    codel = CoDel()
    found = [codel.overdue(wait, n / 10, 0.4) for n, wait in enumerate([0.05, *[3.0] * 8] * 10)]

    assert not any(found)


def test_waits_that_stay_long_are_overload() -> None:
    """No wait below the target for an interval: whoever waited twice the target is let go."""
    codel = CoDel()
    found = [codel.overdue(0.5, n / 10, 0.8) for n in range(60)]

    assert not any(found[:32])
    assert all(found[33:])
    assert not codel.overdue(0.3, 6.0, 0.8)  # longer than the target, not than twice


def test_overload_ends_with_the_first_short_wait() -> None:
    """Of an interval: the next one is free of it."""
    codel = CoDel()
    for n in range(50):
        codel.overdue(0.5, n / 10, 0.8)
    codel.overdue(0.0, 5.0, 0.8)

    assert codel.overloaded
    assert not codel.overdue(0.5, 10.0, 0.8)


def test_silence_is_no_overload() -> None:
    """A quiet hour in between."""
    codel = CoDel()
    for n in range(50):
        codel.overdue(0.5, n / 10, 0.8)

    assert not codel.overdue(0.5, 3600.0, 0.8)
