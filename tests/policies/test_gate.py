"""The sense of time that an adaptive limit has: what is compared, and with what."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.policies.gate import MOST_KINDS, Gate, Yardstick


def filled(gate: Gate, middle: float, *, windows: int = 1, noise: float = 0.0, size: float = 20.0) -> Gate:
    """The gate after windows of times around this one."""
    random = Random(1)
    for _ in range(windows):
        while not gate.full(middle * random.lognormvariate(0.0, noise), size):
            pass
    return gate


@pytest.mark.parametrize(("slower", "open_"), [(1.0, True), (1.19, True), (1.21, False), (3.0, False)])
def test_what_is_slower_than_tolerated_shuts_it(slower: float, open_: bool) -> None:
    """A fifth more than with less to do."""
    gate = filled(filled(Gate(1.2), 1.0, windows=5), slower)

    assert (gate.value <= 1.0) is open_


def test_it_is_neither_open_nor_shut_before_a_window_is_full() -> None:
    """Nothing is known."""
    assert Gate(1.2).value == 0.0


@pytest.mark.parametrize(("in_flight", "needed"), [(1, 12), (12, 12), (30, 30), (500, 50)])
def test_a_window_sees_each_place_about_once(in_flight: float, needed: int) -> None:
    """At least twelve, or its median is chance; at most fifty, or it comes too late."""
    gate, count = Gate(1.2), 1
    while not gate.full(1.0, in_flight):
        count += 1

    assert count == needed


def test_noise_is_tolerated_as_far_as_chance_goes() -> None:
    """The medians of a very noisy service often differ by more than a fifth, and mean nothing by it."""
    random, gate, shut = Random(2), Gate(1.2), 0
    for _ in range(500):
        while not gate.full(random.lognormvariate(0.0, 1.0), 20.0):
            pass
        shut += gate.value > 1.0

    assert shut < 50


def test_one_very_good_window_is_not_the_measure() -> None:
    """The fifth-best of twenty-five is."""
    gate = filled(Gate(1.2), 1.0, windows=20)
    filled(gate, 0.5)
    filled(gate, 1.0)

    assert gate.base == 1.0
    assert gate.value <= 1.0


def test_what_was_usual_long_ago_is_forgotten() -> None:
    """After thirty windows."""
    gate = filled(filled(Gate(1.2), 1.0, windows=30), 5.0, windows=30)

    assert gate.base == 5.0


def test_relearning_takes_the_last_window_for_usual() -> None:
    """Up or down."""
    gate = filled(filled(Gate(1.2), 1.0, windows=30), 5.0)
    shut = gate.value
    gate.relearn()

    assert shut > 1.0
    assert (gate.base, gate.value <= 1.0) == (5.0, True)


# -- the yardstick ------------------------------------------------------------------------------------------


def measured(
    yardstick: Yardstick, work: str, times: Sequence[tuple[float, int | None]], usual: float
) -> float:
    """The mean of what these (seconds, tokens) measure."""
    found = [yardstick.measure(work, seconds, tokens, usual) for seconds, tokens in times]
    known = [value for value in found if value is not None]
    return sum(known) / len(known)


def test_the_first_kind_of_work_is_measured_in_seconds() -> None:
    """It is what others are compared with."""
    assert measured(Yardstick(), "a", [(2.0, None)] * 20, 0.0) == pytest.approx(2.0)


def test_length_does_not_matter() -> None:
    """Once it is known what a token takes."""
    random, yardstick = Random(1), Yardstick()
    times = [(0.5 + 0.01 * n, n) for n in (random.randint(10, 1000) for _ in range(200))]
    measured(yardstick, "a", times, 0.0)
    short = yardstick.measure("a", 0.5 + 0.01 * 20, 20, 0.0)
    long = yardstick.measure("a", 0.5 + 0.01 * 2000, 2000, 0.0)

    assert short == pytest.approx(long)


@pytest.mark.parametrize("slower", [1.5, 3.0])
def test_what_makes_everything_slower_stays_visible(slower: float) -> None:
    """However long it lasts: only proportions are learnt."""
    random, yardstick = Random(1), Yardstick()
    times = [(0.5 + 0.01 * n, n) for n in (random.randint(10, 1000) for _ in range(3000))]
    before = measured(yardstick, "a", times, 0.0)
    after = measured(yardstick, "a", [(seconds * slower, n) for seconds, n in times], before)
    long_after = measured(yardstick, "a", [(seconds * slower, n) for seconds, n in times], after)

    assert after == pytest.approx(slower * before, rel=0.1)
    assert long_after == pytest.approx(slower * before, rel=0.1)


def test_another_kind_of_work_is_measured_as_if_it_were_the_first() -> None:
    """A model that takes eight times as long is no slower service."""
    yardstick = Yardstick()
    measured(yardstick, "small", [(1.0, 5)] * 50, 0.0)

    assert measured(yardstick, "large", [(8.0, 5)] * 50, 1.0) == pytest.approx(1.0)


def test_kinds_without_end_share_one_line() -> None:
    """Memory is bounded whatever callers ask for."""
    yardstick = Yardstick()
    for n in range(10 * MOST_KINDS):
        yardstick.measure(f"model-{n}", 1.0, 5, 1.0)

    assert len(yardstick._lines) == MOST_KINDS + 1


def test_a_stream_lasts_as_long_as_streams_do() -> None:
    """Its own length is chance."""
    yardstick = Yardstick()
    before = yardstick.rest("a")
    for seconds in (1.0, 2.0, 9.0):
        yardstick.learn_rest("a", seconds)

    assert (before, yardstick.rest("a")) == (None, 4.0)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    times=st.lists(
        st.tuples(st.floats(0.0, 1e4), st.none() | st.integers(0, 10**6), st.floats(0.0, 1e3)), max_size=60
    )
)
def test_a_measure_is_a_time(times: list[tuple[float, int | None, float]]) -> None:
    """Whatever comes: none, or 0 or more, and finite."""
    yardstick = Yardstick()
    for seconds, tokens, usual in times:
        found = yardstick.measure("a", seconds, tokens, usual)

        assert found is None or 0.0 <= found < 1e12
