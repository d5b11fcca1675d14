"""Whether and when to try again, and how many retries an outage may cost."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi import errors
from asyncapi.config import Retry
from asyncapi.errors import AsyncAPIError
from asyncapi.policies.retry import LONGEST_WAIT_S, RetryBudget, RetryPolicy
from asyncapi.policies.verdict import judge

PROPERTY = settings(deadline=None, derandomize=True, max_examples=200)


class Fixed:
    """A random number that is always the same."""

    def __init__(self, value: float) -> None:
        self.value = value

    def random(self) -> float:
        return self.value


LEAST, MOST = Fixed(0.0), Fixed(1.0 - 2.0**-53)

waiting = st.sampled_from(
    [
        errors.ConnectError,
        errors.ReadTimeoutError,
        errors.ServerError,
        errors.OverloadedError,
        errors.StreamInterruptedError,
    ]
)


def delay(error: AsyncAPIError, failed: int = 1, random: Fixed = MOST) -> float | None:
    policy = RetryPolicy(Retry(attempts=4, base=0.5, cap=20.0), random)
    return policy.delay(failed, error, judge(error))


# -- the delay ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failed", "ceiling"), [(1, 0.5), (2, 1.0), (3, 2.0), (6, 16.0), (7, 20.0), (100, 20.0), (5000, 20.0)]
)
def test_full_jitter_lies_between_nothing_and_the_doubled_base(failed: int, ceiling: float) -> None:
    """uniform(0, min(cap, base * 2**(failed - 1))), for any number of failures."""
    least, most = (RetryPolicy(Retry(), random).backoff(failed) for random in (LEAST, MOST))

    assert least == 0.0
    assert most == pytest.approx(ceiling)
    assert most < ceiling


@PROPERTY
@given(
    seed=st.integers(0, 2**32),
    base=st.floats(0.0, 10.0),
    cap=st.floats(10.0, 100.0),
    failed=st.integers(1, 3),
)
def test_jitter_keeps_to_its_bounds_for_any_settings(seed: int, base: float, cap: float, failed: int) -> None:
    """The delay is never negative and never above the cap."""
    policy = RetryPolicy(Retry(base=base, cap=cap), Random(seed))
    error = errors.ServerError("no")
    got = policy.delay(failed, error, judge(error))

    assert got is not None
    assert 0.0 <= got <= min(cap, base * 2 ** (failed - 1))


def test_jitter_is_spread_over_the_whole_range() -> None:
    """Full jitter, not a little noise around the doubled base."""
    policy = RetryPolicy(Retry(base=1.0), Random(7))
    delays = sorted(policy.backoff(1) for _ in range(4000))

    assert [delays[len(delays) * k // 10] for k in range(1, 10)] == pytest.approx(
        [k / 10 for k in range(1, 10)], abs=0.03
    )


@PROPERTY
@given(asked=st.floats(0.0, LONGEST_WAIT_S), seed=st.integers(0, 2**32), cls=waiting)
def test_a_retry_after_is_never_shortened(asked: float, seed: int, cls: type[AsyncAPIError]) -> None:
    """What the service asked for is waited for, and at most a tenth more."""
    error = cls("later", retry_after=asked)
    got = RetryPolicy(Retry(), Random(seed)).delay(1, error, judge(error))

    assert got is not None
    assert asked <= got <= asked * 1.1


@pytest.mark.parametrize("cls", [errors.OverloadedError, errors.ServerError, errors.DecodeError])
@pytest.mark.parametrize("asked", [3600.5, 86_400.0, float("inf")])
def test_more_than_an_hour_is_not_waited_for(cls: type[AsyncAPIError], asked: float) -> None:
    """The caller gets the error, and in it when to come back."""
    assert delay(cls("later", retry_after=asked)) is None


@pytest.mark.parametrize(
    "cls", [errors.ServerError, errors.OverloadedError, errors.ConnectError, errors.RateLimitError]
)
def test_the_attempts_are_counted(cls: type[AsyncAPIError]) -> None:
    """Four attempts in all: after the fourth failure it is over."""
    assert [delay(cls("no"), failed) is not None for failed in (1, 2, 3, 4, 5)] == [True] * 3 + [False] * 2


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidRequestError("no"),
        errors.PermissionDeniedError("no", retry_after=1.0),
        errors.QueueFullError("no"),
        errors.ServerError("no", retryable=False),
        errors.AsyncAPIError("no"),
    ],
)
def test_what_will_fail_again_is_not_tried_again(error: AsyncAPIError) -> None:
    """Not even when the service named a time."""
    assert delay(error) is None


def test_garbage_is_tried_again_once() -> None:
    """An answer that can't be read may be an accident; after any second failure it is not."""
    assert [delay(errors.DecodeError("?"), failed) is not None for failed in (1, 2)] == [True, False]


@pytest.mark.parametrize("asked", [None, 30.0, LONGEST_WAIT_S])
def test_another_key_goes_at_once(asked: float | None) -> None:
    """The rest that the service asked for is the throttled key's, not the call's."""
    assert delay(errors.RateLimitError("slow down", retry_after=asked)) == 0.0


@pytest.mark.parametrize("cls", [errors.AuthenticationError, errors.QuotaExhaustedError])
def test_a_bad_key_costs_the_call_no_attempt(cls: type[AsyncAPIError]) -> None:
    """A pool with many revoked keys is searched to its end: each failure parks one."""
    assert delay(cls("no", retry_after=1e9), failed=1000) == 0.0


def test_no_retries_when_only_one_attempt_is_wanted() -> None:
    """``attempts=1`` turns retries off."""
    error = errors.ServerError("no")

    assert RetryPolicy(Retry(attempts=1), LEAST).delay(1, error, judge(error)) is None


# -- the budget ---------------------------------------------------------------------------------------------


@PROPERTY
@given(
    percent=st.integers(0, 200),
    reserve=st.integers(0, 20),
    steps=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=40),
)
def test_retries_never_exceed_reserve_and_share(
    percent: int, reserve: int, steps: list[tuple[int, int]]
) -> None:
    """At every moment: retries <= reserve + share * first attempts."""
    budget = RetryBudget(percent / 100, reserve)
    firsts = retries = 0
    for sent, wanted in steps:
        for _ in range(sent):
            budget.deposit()
        firsts += sent
        retries += sum(budget.withdraw() for _ in range(wanted))

        assert retries <= reserve + Fraction(percent, 100) * firsts


@pytest.mark.parametrize(("share", "firsts", "granted"), [(0.1, 10, 1), (0.2, 1000, 200), (0.3, 10, 3)])
def test_the_share_is_paid_out_in_full(share: float, firsts: int, granted: int) -> None:
    """Ten deposits of a tenth are worth one retry, in binary arithmetic too."""
    budget = RetryBudget(share, 1)
    assert budget.withdraw()
    retries = 0
    for _ in range(firsts):
        budget.deposit()
        retries += budget.withdraw()

    assert retries == granted


def test_an_outage_is_multiplied_by_no_more_than_the_share() -> None:
    """Every call fails and wants three retries: the load grows by a fifth, not fourfold."""
    budget = RetryBudget(0.2, 10)
    retries = 0
    for _ in range(10_000):
        budget.deposit()
        retries += sum(budget.withdraw() for _ in range(3))

    assert retries == 2010


@pytest.mark.parametrize(("reserve", "most"), [(0, 1), (1, 10), (10, 100)])
def test_good_times_save_up_a_bounded_number_of_retries(reserve: int, most: int) -> None:
    """A million good calls don't pay for a storm."""
    budget = RetryBudget(0.2, reserve)
    for _ in range(100_000):
        budget.deposit()

    assert sum(budget.withdraw() for _ in range(1000)) == most


def test_an_empty_budget_refuses_and_stays_empty() -> None:
    """A refusal costs nothing and owes nothing."""
    budget = RetryBudget(0.5, 1)
    answers = [budget.withdraw() for _ in range(5)]
    budget.deposit()
    budget.deposit()

    assert answers == [True, False, False, False, False]
    assert budget.withdraw()
