"""How long a batch is held, as a table: not at all when idle or alone, never longer than the bound."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.policies.batching import AdaptiveWait


def _after(gaps: list[float], bound: float = 0.01) -> AdaptiveWait:
    wait, now = AdaptiveWait(bound), 100.0
    wait.arrived(now)
    for gap in gaps:
        now += gap
        wait.arrived(now)
    return wait


@pytest.mark.parametrize(
    ("gaps", "room", "busy", "hold"),
    [
        ([], 9, 1.0, 0.0),  # nobody knows how fast they come
        ([0.001] * 20, 9, 0.0, 0.0),  # the service is idle
        ([0.001] * 20, 9, 1.0, 0.009),  # nine more come in nine milliseconds
        ([0.001] * 20, 99, 1.0, 0.01),  # the bound
        ([0.001] * 20, 99, 0.25, 0.0025),  # a quarter of the permits is out: a quarter of the bound
        ([0.004] * 20, 9, 1.0, 0.01),  # two more come within the bound
        ([0.006] * 20, 9, 1.0, 0.0),  # only one
        ([0.0] * 20, 9, 1.0, 0.0),  # all at once: they are here already
    ],
)
def test_a_batch_is_held_for_those_who_are_expected(
    gaps: list[float], room: int, busy: float, hold: float
) -> None:
    """By the mean gap between arrivals, and by how busy the endpoint is."""
    assert _after(gaps).hold(room, busy) == pytest.approx(hold)


def test_a_long_pause_is_soon_forgotten() -> None:
    """An hour of silence counts as a pause of four bounds: a burst after it is noticed within ten calls."""
    wait = _after([0.001] * 20 + [3600.0] + [0.001] * 9)

    assert 0.0 < wait.hold(9, 1.0) <= 0.01


@settings(deadline=None, derandomize=True)
@given(
    gaps=st.lists(st.floats(0.0, 10.0), max_size=30),
    room=st.integers(1, 100),
    busy=st.floats(0.0, 1.5),
    bound=st.sampled_from([0.0, 0.001, 0.01, 1.0]),
)
def test_no_hold_is_longer_than_the_bound_nor_negative(
    gaps: list[float], room: int, busy: float, bound: float
) -> None:
    """Whatever came, and however it came."""
    assert 0.0 <= _after(gaps, bound).hold(room, busy) <= bound
