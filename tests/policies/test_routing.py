"""Where a call goes among several targets, and when it moves on."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi import errors
from asyncapi.errors import AsyncAPIError
from asyncapi.policies.routing import by_choice, may_move, may_wait, order


@pytest.mark.parametrize(
    ("cls", "moves"),
    [
        (errors.AsyncAPIError, True),
        (errors.CircuitOpenError, True),
        (errors.QueueFullError, True),
        (errors.NoKeyAvailableError, True),
        (errors.ConnectError, True),
        (errors.ReadTimeoutError, True),
        (errors.ServerError, True),
        (errors.OverloadedError, True),
        (errors.RateLimitError, True),
        (errors.QuotaExhaustedError, True),
        (errors.AuthenticationError, True),
        (errors.PermissionDeniedError, True),
        (errors.NotFoundError, True),
        (errors.DecodeError, True),
        (errors.UnsupportedOperationError, True),
        (errors.ContextLengthError, True),
        (errors.ConfigError, False),
        (errors.InvalidRequestError, False),
        (errors.ContentRefusedError, False),
        (errors.DeadlineExceededError, False),
        (errors.BudgetExceededError, False),
        (errors.ClientClosedError, False),
        (errors.StreamInterruptedError, False),
    ],
)
def test_a_call_moves_on_where_another_target_may_succeed(cls: type[AsyncAPIError], moves: bool) -> None:
    """The fault of that service, key or model: yes; the caller's own fault or limit: no."""
    assert may_move(cls("no")) == moves


def test_without_weights_the_written_order_counts() -> None:
    """The first is preferred, the others are for when it fails; chance has no part in it."""
    random = Random(1)
    before = random.getstate()

    assert order(["b", "a", "c"], [], random) == ["b", "a", "c"]
    assert random.getstate() == before


@settings(deadline=None, derandomize=True, max_examples=100)
@given(weights=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=8), seed=st.integers(0, 2**32))
def test_every_target_is_tried_once(weights: list[float], seed: int) -> None:
    """Weights change the order only."""
    targets = [str(i) for i in range(len(weights))]

    assert sorted(order(targets, weights, Random(seed))) == targets


def test_the_first_and_the_second_are_drawn_by_weight() -> None:
    """6 : 3 : 1, and where the heaviest fails its calls go 3 : 1 to the others."""
    random = Random(5)
    orders = [order("abc", [6.0, 3.0, 1.0], random) for _ in range(4000)]
    first = Counter(o[0] for o in orders)
    second = Counter(o[1] for o in orders if o[0] == "a")

    assert [first[t] / 4000 for t in "abc"] == pytest.approx([0.6, 0.3, 0.1], abs=0.03)
    assert second["b"] / first["a"] == pytest.approx(0.75, abs=0.03)


def test_a_draw_at_the_very_end_finds_the_last_target() -> None:
    """The sum of the weights may round to the draw."""

    class AlmostOne:
        def random(self) -> float:
            return 1.0

    assert order(["a", "b"], [1.0, 1.0], AlmostOne()) == ["b", "a"]


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (errors.RateLimitError("429"), True),
        (errors.NoKeyAvailableError("all rest"), True),
        (errors.CircuitOpenError("open"), True),
        (errors.OverloadedError("busy", retry_after=3.0), True),
        (errors.OverloadedError("busy"), False),
        (errors.QueueFullError("full", retry_after=1.0), False),
        (errors.ServerError("broken"), False),
        (errors.ConnectError("refused"), False),
    ],
)
def test_only_what_rests_is_waited_for(error: AsyncAPIError, waits: bool) -> None:
    """Where the service said when, or our own refusal did."""
    assert may_wait(error) == waits


@settings(deadline=None, derandomize=True, max_examples=100)
@given(loads=st.lists(st.floats(0.0, 1e6), min_size=1, max_size=8), seed=st.integers(0, 2**32))
def test_the_heaviest_is_never_first_of_several(loads: list[float], seed: int) -> None:
    """Every target once; the heaviest wins no draw until it is alone."""
    targets = [str(i) for i in range(len(loads))]
    ordered = by_choice(targets, lambda target: loads[int(target)], Random(seed))

    assert sorted(ordered) == targets
    if len(loads) > 1 and loads.count(max(loads)) == 1:
        assert loads[int(ordered[0])] < max(loads)
