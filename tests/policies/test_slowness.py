"""Which answers were slow."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.config import Breaker
from asyncapi.policies.slowness import LEAST_S, WARM_UP, Slowness


def judge(slowness: Slowness, took: float) -> bool:
    """As the core asks: only above what is worth a look."""
    return took > slowness.notice_s and slowness.judge(took)


def learnt(usual: float, calls: int = 200) -> Slowness:
    """One that has seen many answers of about that time."""
    slowness, random = Slowness(Breaker(slow_after="auto")), Random(1)
    for _ in range(calls):
        judge(slowness, usual * random.uniform(0.5, 1.0))
    return slowness


def test_by_default_nothing_is_slow() -> None:
    """And nothing needs a look."""
    slowness = Slowness(Breaker())

    assert slowness.notice_s == math.inf
    assert not slowness.judge(1e9)


@pytest.mark.parametrize(("took", "slow"), [(0.1, False), (2.0, False), (2.1, True)])
def test_a_given_time_is_kept(took: float, slow: bool) -> None:
    """Longer than ``slow_after`` is slow, from the first answer on."""
    assert judge(Slowness(Breaker(slow_after=2.0)), took) is slow


@pytest.mark.parametrize(
    ("usual", "took", "slow"),
    [
        (0.5, 29.0, False),  # 30 s at least
        (0.5, 31.0, True),
        (20.0, 60.0, False),
        (20.0, 90.0, True),  # four times 20 s
        (60.0, 200.0, False),
    ],
)
def test_auto_is_four_times_the_usual_and_thirty_seconds_at_least(
    usual: float, took: float, slow: bool
) -> None:
    """What is slow here need not be slow there."""
    assert judge(learnt(usual), took) is slow


def test_auto_says_nothing_before_it_has_seen_enough() -> None:
    """A service may be one that always takes minutes."""
    slowness = Slowness(Breaker(slow_after="auto"))
    verdicts = [judge(slowness, 300.0) for _ in range(2 * WARM_UP)]

    assert not any(verdicts)


def test_auto_looks_at_few_answers_of_a_quick_service() -> None:
    """One comparison is all that a quick answer costs."""
    assert learnt(0.5).notice_s == LEAST_S / 4


def test_auto_gets_used_to_a_service_that_became_slower() -> None:
    """Slowly: it takes hundreds of answers, not ten."""
    slowness = learnt(2.0)
    verdicts = [judge(slowness, 60.0) for _ in range(500)]

    assert all(verdicts[:50])
    assert not any(verdicts[-50:])


@settings(deadline=None, derandomize=True, max_examples=30)
@given(scale=st.floats(10.0, 100.0), seed=st.integers(0, 1000))
def test_the_usual_is_what_nineteen_of_twenty_keep(scale: float, seed: int) -> None:
    """Followed without keeping the times."""
    random = Random(seed)
    slowness = Slowness(Breaker(slow_after="auto"))
    for _ in range(5000):
        judge(slowness, random.uniform(0.0, scale))

    assert slowness.usual_s == pytest.approx(0.95 * scale, rel=0.15)
