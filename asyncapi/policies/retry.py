"""Whether and when to try again.

Sources: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 (full jitter); gRPC A6 and
Finagle ``RetryBudget`` (a budget instead of a count, so that retries can't multiply an outage).
"""

from __future__ import annotations

import math
from typing import Protocol

from asyncapi.config import Retry
from asyncapi.errors import AsyncAPIError
from asyncapi.policies.verdict import Judgement, RetryRule

__all__ = ["Random", "RetryBudget", "RetryPolicy"]

#: A server that asks for more than this is not waited for: the caller gets the error and its ``retry_after``.
LONGEST_WAIT_S = 3600.0


class Random(Protocol):
    """The part of ``random.Random`` that policies use."""

    def random(self) -> float:
        """Uniform in [0, 1)."""
        ...


class RetryBudget:
    """Retries that an endpoint may still send: each first attempt adds a share, each retry takes one.

    State: ``tokens``. Over any run, retries <= reserve + share * first attempts.
    """

    def __init__(self, share: float, reserve: int) -> None:
        self._share = share
        self._most = max(1.0, 10.0 * reserve)
        self.tokens = float(reserve)

    @property
    def left(self) -> bool:
        """Whether it has the price of one retry."""
        # The tolerance keeps ten deposits of 0.1 worth one retry in binary arithmetic.
        return self.tokens >= 1.0 - 1e-9

    def deposit(self) -> None:
        """A first attempt is being sent."""
        self.tokens = min(self._most, self.tokens + self._share)

    def withdraw(self) -> bool:
        """Take the price of one retry; False when the budget is used up."""
        if not self.left:
            return False
        self.tokens -= 1.0
        return True


class RetryPolicy:
    """Decides from the number of failed attempts and the last error. No state of its own."""

    def __init__(self, settings: Retry, random: Random) -> None:
        self.settings = settings
        self._random = random

    def delay(
        self, failed: int, error: AsyncAPIError, judgement: Judgement, other_key_s: float = math.inf
    ) -> float | None:
        """Seconds to wait before the next attempt, or None to give up.

        A delay that the server asked for is kept, with up to a tenth more so that callers spread;
        else full jitter: uniform(0, min(cap, base * 2**(failed-1))). A change of key waits for
        nothing here: the key's own cool-down decides.

        Args:
            failed: How many attempts have failed, 1 or more.
            error: What the last attempt raised.
            judgement: What that means.
            other_key_s: Seconds until any key may go. A throttled key may rest for longer than is waited
                for: the call goes on with another one, if that is ready sooner.

        Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
        """
        rule = judgement.retry
        if rule is RetryRule.NEVER or (rule is RetryRule.ONCE and failed > 1):
            return None
        if rule is RetryRule.KEY and judgement.free:
            return 0.0  # bounded by the number of keys: each such failure parks one
        if failed >= self.settings.attempts:
            return None
        asked = error.retry_after
        if rule is RetryRule.KEY and other_key_s <= LONGEST_WAIT_S:
            return 0.0
        if asked is not None and asked > LONGEST_WAIT_S:
            return None
        if rule is RetryRule.KEY:
            return 0.0
        return self.spread(asked) if asked is not None else self.backoff(failed)

    def backoff(self, failed: int) -> float:
        """Full jitter, seconds, after ``failed`` attempts (1 or more)."""
        ceiling = min(self.settings.cap, self.settings.base * 2.0 ** min(failed - 1, 30))
        return self._random.random() * ceiling

    def spread(self, asked: float) -> float:
        """What the server asked for, seconds, and up to a tenth more: never less."""
        return asked * (1.0 + 0.1 * self._random.random())
