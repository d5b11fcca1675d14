"""Where a call goes when there are several targets, and when it moves on to the next one."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Sequence
from itertools import accumulate

from asyncapi.errors import (
    AsyncAPIError,
    BudgetExceededError,
    CircuitOpenError,
    ClientClosedError,
    ConfigError,
    ContentRefusedError,
    ContextLengthError,
    DeadlineExceededError,
    InvalidRequestError,
    NoKeyAvailableError,
    OverloadedError,
    RateLimitError,
    StreamInterruptedError,
    UnsupportedOperationError,
)
from asyncapi.policies.load import lighter_of_two
from asyncapi.policies.retry import Random

__all__ = ["by_choice", "by_load", "may_move", "may_wait", "order"]

_TABLE: dict[type[AsyncAPIError], bool] = {
    # Another target has another operation set, another context length.
    UnsupportedOperationError: True,
    ContextLengthError: True,
    # The caller's own fault, or the caller's own limits: the same everywhere.
    ConfigError: False,
    InvalidRequestError: False,
    ContentRefusedError: False,
    DeadlineExceededError: False,
    BudgetExceededError: False,
    ClientClosedError: False,
    # Content was delivered: a second answer would not continue it.
    StreamInterruptedError: False,
    # Refused here, no answer, or a fault of that service, that key, that model.
    AsyncAPIError: True,
}


def may_move(error: AsyncAPIError) -> bool:
    """Whether another target may succeed where this one failed."""
    return next(_TABLE[cls] for cls in type(error).__mro__ if cls in _TABLE)


def may_wait(error: AsyncAPIError) -> bool:
    """Whether the target that raised it only rests, so that waiting for it is better than failing."""
    if isinstance(error, OverloadedError):
        return error.retry_after is not None
    return isinstance(error, RateLimitError | NoKeyAvailableError | CircuitOpenError)


def order(targets: Sequence[str], weights: Sequence[float], random: Random) -> list[str]:
    """The targets in the order in which they are tried.

    Without weights as they are written; with weights the first is drawn in proportion to them, then
    the next among the rest, so that a failing target's share goes to the others by their weights.

    Args:
        targets: What to order.
        weights: Above 0, one for each target, or empty.
        random: Drawn from once a target.
    """
    if not weights:
        return list(targets)
    rest, shares = list(targets), list(weights)
    ordered = []
    while rest:
        sums = list(accumulate(shares))
        # The last sum and a draw just below 1 may round to the same number.
        place = min(bisect(sums, random.random() * sums[-1]), len(rest) - 1)
        ordered.append(rest.pop(place))
        shares.pop(place)
    return ordered


def by_load(targets: Sequence[str], load: Callable[[str], float], random: Random) -> list[str]:
    """The targets by rising load; equal ones by chance, so that idle servers share the work.

    Args:
        targets: What to order.
        load: A target's work under way and waiting as a share of what it may have, 0.0 when idle.
        random: Drawn from once a target.
    """
    return sorted(targets, key=lambda target: (load(target), random.random()))


def by_choice(targets: Sequence[str], load: Callable[[str], float], random: Random) -> list[str]:
    """The targets as the power of two choices draws them: the better of two, then of the rest, and so on.

    Args:
        targets: What to order.
        load: Seconds of work that one more call would wait for and be.
        random: Drawn from twice a target while there are more than two.
    """
    loads = {target: load(target) for target in targets}
    rest, ordered = list(targets), []
    while rest:
        best = lighter_of_two(rest, loads.__getitem__, random)
        rest.remove(best)
        ordered.append(best)
    return ordered
