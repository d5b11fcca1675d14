"""What every exception means to breaker, limit, key and retry."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from asyncapi import errors
from asyncapi.errors import AsyncAPIError
from asyncapi.policies.verdict import IGNORED, OK, Judgement, KeyAction, RetryRule, Verdict, judge

BACKOFF, ONCE, KEY, NEVER = RetryRule.BACKOFF, RetryRule.ONCE, RetryRule.KEY, RetryRule.NEVER

#: class -> (retry at the same endpoint, another key, the breaker counts it), as the services mean it.
MEANING: dict[type[AsyncAPIError], tuple[RetryRule, bool, bool]] = {
    errors.AsyncAPIError: (NEVER, False, False),
    errors.ConfigError: (NEVER, False, False),
    errors.UnknownModelError: (NEVER, False, False),
    errors.MissingKeyError: (NEVER, False, False),
    errors.UnsupportedOperationError: (NEVER, False, False),
    errors.NotSentError: (NEVER, False, False),
    errors.QueueFullError: (NEVER, False, False),
    errors.CircuitOpenError: (NEVER, False, False),
    errors.NoKeyAvailableError: (NEVER, False, False),
    errors.DeadlineExceededError: (NEVER, False, False),
    errors.BudgetExceededError: (NEVER, False, False),
    errors.ClientClosedError: (NEVER, False, False),
    errors.TransportError: (BACKOFF, False, True),
    errors.ConnectError: (BACKOFF, False, True),
    errors.ReadTimeoutError: (BACKOFF, False, True),
    errors.ConnectionLostError: (BACKOFF, False, True),
    errors.ProviderError: (NEVER, False, False),
    errors.RateLimitError: (KEY, True, False),
    errors.QuotaExhaustedError: (KEY, True, False),
    errors.OverloadedError: (BACKOFF, False, True),
    errors.ServerError: (BACKOFF, False, True),
    errors.AuthenticationError: (KEY, True, False),
    errors.PermissionDeniedError: (NEVER, False, False),
    errors.NotFoundError: (NEVER, False, False),
    errors.InvalidRequestError: (NEVER, False, False),
    errors.ContextLengthError: (NEVER, False, False),
    errors.ContentRefusedError: (NEVER, False, False),
    errors.DecodeError: (ONCE, False, True),
    errors.StreamInterruptedError: (BACKOFF, False, True),
}

COUNTED = {Verdict.FAILED, Verdict.SLOW}


def tree(root: type[AsyncAPIError]) -> Iterator[type[AsyncAPIError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == root.__module__:
            yield from tree(child)


def test_every_class_of_the_tree_has_a_meaning() -> None:
    """A new exception class needs a line in this table."""
    assert set(tree(AsyncAPIError)) == set(MEANING)


@pytest.mark.parametrize("cls", MEANING, ids=lambda cls: cls.__name__)
def test_every_exception_means_what_the_services_mean(cls: type[AsyncAPIError]) -> None:
    """Retry, other key and breaker, per class."""
    retry, other_key, counted = MEANING[cls]
    judgement = judge(cls("no"))

    assert judgement.retry is retry
    assert (judgement.key is not KeyAction.NONE) == other_key
    assert (judgement.verdict in COUNTED) == counted


@pytest.mark.parametrize(
    ("cls", "action"),
    [
        (errors.RateLimitError, KeyAction.COOL),
        (errors.QuotaExhaustedError, KeyAction.PARK),
        (errors.AuthenticationError, KeyAction.PARK),
    ],
)
def test_a_rate_cools_the_key_and_money_or_a_wrong_key_parks_it(
    cls: type[AsyncAPIError], action: KeyAction
) -> None:
    """What happens to the key."""
    assert judge(cls("no")).key is action


def test_only_a_rate_limit_throttles() -> None:
    """The limit learns from throttling, which is nobody's failure."""
    throttled = {cls for cls in MEANING if judge(cls("no")).verdict is Verdict.THROTTLED}

    assert throttled == {errors.RateLimitError}


def test_retries_that_add_no_load_are_free() -> None:
    """Nothing was sent, or the failure parks a key and so ends by itself."""
    free = {cls for cls in MEANING if judge(cls("no")).free}

    assert free == {errors.ConnectError, errors.QuotaExhaustedError, errors.AuthenticationError}


@pytest.mark.parametrize(
    "cls", [cls for cls, row in MEANING.items() if row[0] in (BACKOFF, ONCE)], ids=lambda cls: cls.__name__
)
def test_a_service_can_say_that_a_retry_is_no_use(cls: type[AsyncAPIError]) -> None:
    """``retryable = False`` ends the retries and changes nothing else."""
    usual, refined = judge(cls("no")), judge(cls("no", retryable=False))

    assert refined == Judgement(usual.verdict, usual.key, NEVER, usual.free)


@pytest.mark.parametrize("cls", [errors.InvalidRequestError, errors.PermissionDeniedError])
def test_a_service_can_not_make_a_callers_mistake_retryable(cls: type[AsyncAPIError]) -> None:
    """The class decides: the same request fails again."""
    assert judge(cls("no", retryable=True)) == IGNORED


def test_another_key_is_tried_even_when_this_one_is_beyond_retrying() -> None:
    """``retryable`` speaks of the same key."""
    assert judge(errors.RateLimitError("no", retryable=False)).retry is KEY


@pytest.mark.parametrize("error", [asyncio.CancelledError(), TimeoutError(), ValueError("x"), SystemExit()])
def test_foreign_exceptions_and_cancellation_move_nothing(error: BaseException) -> None:
    """A bug or a cancellation says nothing about the service."""
    assert judge(error) == IGNORED


def test_a_subclass_means_what_its_parent_means() -> None:
    """A backend may refine a class without touching the table."""

    class SlowDown(errors.OverloadedError):
        pass

    assert judge(SlowDown("later")) == judge(errors.OverloadedError("later"))


def test_the_good_end() -> None:
    """A whole answer counts as good and is not retried."""
    assert Judgement(Verdict.OK, KeyAction.NONE, NEVER, free=False) == OK
    assert IGNORED.verdict is Verdict.IGNORED
