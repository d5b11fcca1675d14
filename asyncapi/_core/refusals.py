"""Why a call is refused before anything is sent, and when to come back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from asyncapi.errors import (
    CircuitOpenError,
    ClientClosedError,
    DeadlineExceededError,
    NoKeyAvailableError,
    NotSentError,
    QueueFullError,
)

if TYPE_CHECKING:
    from asyncapi._core.call import Call
    from asyncapi._core.endpoint import Endpoint

__all__ = ["circuit_open", "no_key", "refusal"]


def refusal(endpoint: Endpoint, call: Call, now: float) -> NotSentError | None:
    """What stands against letting ``call`` in, or None. Decided from what is known now, in one place."""
    if endpoint.closed:
        return ClientClosedError("the client is closed: nothing was sent")
    breaker_s = endpoint.breaker.wait(now)
    if breaker_s and call.on_open == "fail":
        return circuit_open(endpoint, now)
    key_s = endpoint.keys.wait(now, call.options.key, call.options.user)
    if key_s == math.inf:
        return no_key(endpoint, call, now)
    if call.deadline is not None:
        earliest = max(breaker_s, key_s, endpoint.cool_until - now, 0.0)
        if now + earliest >= call.deadline:
            return _too_late(endpoint, max(0.0, call.deadline - now), earliest)
    if not call.attempts and _no_place(endpoint, call, now):
        return _queue_full(endpoint)
    return None


def circuit_open(endpoint: Endpoint, now: float) -> CircuitOpenError:
    """The breaker lets nothing through."""
    wait = endpoint.breaker.wait(now)
    return CircuitOpenError(
        f"breaker of {endpoint.name} is {endpoint.breaker.state.value}: nothing was sent; "
        f"retry after {wait:.3g} s, or use on_open='wait'",
        retry_after=wait,
    )


def no_key(endpoint: Endpoint, call: Call, now: float) -> NoKeyAvailableError:
    """Every key that the call may use is parked or gone."""
    parked = endpoint.keys.parked(now, call.options.key, call.options.user)
    if not parked:
        wanted = f"named {call.options.key!r}" if call.options.key else "that this call may use"
        return NoKeyAvailableError(
            f"{endpoint.name} has no key {wanted}: nothing was sent; add one, or drop key= and user=",
            retryable=False,
        )
    rest = min(key.parked_until for key in parked) - now
    names = ", ".join(f"{key.name or 'the only key'} ({key.reason})" for key in parked)
    return NoKeyAvailableError(
        f"every key of {endpoint.name} that may be used is parked: {names}; nothing was sent; "
        f"the next is tried again in {rest:.3g} s, or at once after keys.restore(name)",
        retry_after=rest,
    )


def _too_late(endpoint: Endpoint, left: float, earliest: float) -> DeadlineExceededError:
    return DeadlineExceededError(
        f"{endpoint.name} can't start the call before its deadline: {left:.3g} s left, "
        f"earliest start in {earliest:.3g} s; nothing was sent",
        retry_after=earliest,
    )


def _no_place(endpoint: Endpoint, call: Call, now: float) -> bool:
    """Whether a newcomer would have to wait, and the queue has no place left."""
    if not endpoint.queue.full():
        return False
    return endpoint.queue.qsize() > 0 or endpoint.pace is not None or endpoint.wait(call, now) > 0.0


def _queue_full(endpoint: Endpoint) -> QueueFullError:
    waiting = endpoint.queue.qsize()
    estimate = endpoint.typical_s * (waiting + 1) / endpoint.semaphore.limit.value
    when = f" or retry after {estimate:.3g} s" if estimate else ""
    return QueueFullError(
        f"queue of {endpoint.name} is full ({waiting} waiting); raise Endpoint.queue_size{when}",
        retry_after=estimate or None,
    )
