"""The floor under a stream's throughput, as arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncapi.policies.throughput import Floor


def test_nothing_at_all_is_borne_for_one_window() -> None:
    """It starts with a window's worth of patience."""
    floor = Floor(rate=10.0, window=30.0)

    assert floor.left == 30.0
    floor.read(waited=12.0, size=0)
    assert floor.left == 18.0


@pytest.mark.parametrize(
    ("size", "windows"),
    [
        pytest.param(1, 1.0, id="a hundredth of the rate: one window"),
        pytest.param(50, 2.0, id="half of it: two"),
        pytest.param(90, 10.0, id="nine tenths: ten"),
    ],
)
def test_the_nearer_a_stream_is_to_the_rate_the_longer_it_lasts(size: int, windows: float) -> None:
    """It may fall behind by one window in all."""
    floor, elapsed = Floor(rate=100.0, window=30.0), 0.0
    while floor.left > 1.0:
        floor.read(waited=1.0, size=size)
        elapsed += 1.0

    assert elapsed + floor.left == pytest.approx(windows * 30.0, rel=0.05)


def test_a_stream_at_the_rate_lasts_for_ever() -> None:
    """Exactly the rate is enough."""
    floor = Floor(rate=10.0, window=30.0)
    for _ in range(10_000):
        floor.read(waited=10.0, size=100)

    assert floor.left == pytest.approx(30.0)


def test_a_quick_start_does_not_pay_for_a_trickle() -> None:
    """A megabyte in the first second buys one window of patience, not a day."""
    floor = Floor(rate=10.0, window=30.0)
    floor.read(waited=1.0, size=1_000_000)

    assert floor.left == 30.0


@given(
    rate=st.floats(0.1, 1e6),
    window=st.floats(0.1, 1e3),
    reads=st.lists(st.tuples(st.floats(0, 1e3), st.integers(0, 10**6)), max_size=30),
)
def test_patience_stays_within_the_window(rate: float, window: float, reads: list[tuple[float, int]]) -> None:
    """Never below nothing, never above one window, and more bytes never mean less patience."""
    floor, richer = Floor(rate, window), Floor(rate, window)
    for waited, size in reads:
        floor.read(waited, size)
        richer.read(waited, size + 1)
        assert 0.0 <= floor.left <= window
        assert richer.left >= floor.left
