"""What the end of an attempt means: one verdict, from which each policy reads what it needs."""

from __future__ import annotations

from enum import Enum

import msgspec

from asyncapi.errors import (
    AsyncAPIError,
    AuthenticationError,
    ConnectError,
    DecodeError,
    OverloadedError,
    ProviderError,
    QuotaExhaustedError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
    TransportError,
)

__all__ = ["IGNORED", "OK", "Judgement", "KeyAction", "RetryRule", "Verdict", "judge"]


class Verdict(Enum):
    """How an attempt ended, as breaker and limit see it."""

    OK = "ok"
    SLOW = "slow"
    FAILED = "failed"
    THROTTLED = "throttled"
    IGNORED = "ignored"


class KeyAction(Enum):
    """What happens to the key."""

    NONE = "none"
    COOL = "cool"
    PARK = "park"


class RetryRule(Enum):
    """How another attempt may follow.

    NEVER not at all; BACKOFF after a wait; ONCE after a wait, but a single time; KEY with another
    key at once, or when this one may go again.
    """

    NEVER = "never"
    BACKOFF = "backoff"
    ONCE = "once"
    KEY = "key"


class Judgement(msgspec.Struct, frozen=True):
    """What an outcome means to each policy. ``free`` retries draw nothing from the retry budget."""

    verdict: Verdict
    key: KeyAction = KeyAction.NONE
    retry: RetryRule = RetryRule.NEVER
    free: bool = False


OK = Judgement(Verdict.OK)
#: A caller's own mistake or a cancellation: moves neither breaker nor limit.
IGNORED = Judgement(Verdict.IGNORED)

_TABLE: dict[type[AsyncAPIError], Judgement] = {
    # Nothing was sent: trying again adds no load there, so it is free.
    ConnectError: Judgement(Verdict.FAILED, retry=RetryRule.BACKOFF, free=True),
    TransportError: Judgement(Verdict.FAILED, retry=RetryRule.BACKOFF),
    ServerError: Judgement(Verdict.FAILED, retry=RetryRule.BACKOFF),
    OverloadedError: Judgement(Verdict.FAILED, retry=RetryRule.BACKOFF),
    StreamInterruptedError: Judgement(Verdict.FAILED, retry=RetryRule.BACKOFF),
    # Garbage may be an accident of one connection; twice is a broken service.
    DecodeError: Judgement(Verdict.FAILED, retry=RetryRule.ONCE),
    RateLimitError: Judgement(Verdict.THROTTLED, KeyAction.COOL, RetryRule.KEY),
    # The keys' faults: each parks one, so they end by themselves and are free.
    QuotaExhaustedError: Judgement(Verdict.IGNORED, KeyAction.PARK, RetryRule.KEY, free=True),
    AuthenticationError: Judgement(Verdict.IGNORED, KeyAction.PARK, RetryRule.KEY, free=True),
    # Every other answer with an error is the caller's own.
    ProviderError: IGNORED,
    AsyncAPIError: IGNORED,
}


def judge(error: BaseException) -> Judgement:
    """The meaning of an exception that ended an attempt; of anything unknown, ``IGNORED``.

    A service may refine its class: an error with ``retryable = False`` is never retried.
    """
    for cls in type(error).__mro__:
        judgement = _TABLE.get(cls)
        if judgement is not None:
            assert isinstance(error, AsyncAPIError)
            if judgement.retry in _WAITING and not error.retryable:
                return msgspec.structs.replace(judgement, retry=RetryRule.NEVER)
            return judgement
    return IGNORED


_WAITING = frozenset({RetryRule.BACKOFF, RetryRule.ONCE})
