"""What a service's headers say is left of a key's requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncapi.policies.keys import KeyState
from asyncapi.policies.rates import Allowance


def test_nothing_binds_before_the_service_said_so() -> None:
    """Unknown limits don't hold anything back."""
    assert Allowance().wait(0.0) == 0.0


@pytest.mark.parametrize(
    ("remaining", "since", "wait"),
    [(5, 0, 0.0), (1, 0, 0.0), (0, 0, 0.1), (3, 3, 0.1), (0, 4, 0.5)],
)
def test_wait_until_one_request_is_back(remaining: int, since: int, wait: float) -> None:
    """600 a minute come back at ten a second; what was sent since the answer is taken off."""
    allowance = Allowance()
    allowance.told(remaining, 600, 60.0, since, now=100.0)

    assert allowance.wait(100.0) == pytest.approx(wait)
    assert allowance.wait(100.0 + wait) == 0.0


def test_refill_ends_at_the_limit() -> None:
    """An idle hour doesn't save up more than a whole bucket."""
    allowance = Allowance()
    allowance.told(0, 3, 60.0, 0, now=0.0)
    for _ in range(3):
        assert allowance.wait(3600.0) == 0.0
        allowance.take(3600.0)

    assert allowance.wait(3600.0) == pytest.approx(20.0)
    allowance.refund()
    assert allowance.wait(3600.0) == 0.0


@given(
    st.integers(1, 100),
    st.lists(st.tuples(st.floats(0, 5), st.integers(0, 3)), min_size=1, max_size=60),
)
def test_a_server_bucket_is_never_overdrawn(limit: int, steps: list[tuple[float, int]]) -> None:
    """Against a server that counts the same way, a client that waits as told is never refused."""
    key, now, level, at = KeyState("k"), 0.0, float(limit), 0.0
    window = 60.0
    for gap, burst in steps:
        now += gap
        for _ in range(1 + burst):
            now += key.wait(now)
            key.take(now)
            level = min(float(limit), level + (now - at) * limit / window)
            at = now
            assert level >= 1.0 - 1e-6
            level -= 1.0
            key.told(int(level), limit, window, key.sent, now)
