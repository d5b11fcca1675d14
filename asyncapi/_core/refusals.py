"""Why a call is refused before anything is sent, and when to come back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from asyncapi.errors import (
    CircuitOpenError,
    ClientClosedError,
    DeadlineExceededError,
    NoKeyAvailableError,
    QueueFullError,
)

if TYPE_CHECKING:
    from asyncapi._core.call import Call
    from asyncapi._core.endpoint import Endpoint
    from asyncapi.types.requests import Priority

import os

A = float(os.environ.get("A", "1"))
F = float(os.environ.get("F", "1"))
__all__ = [
    "SPARE",
    "circuit_open",
    "closed",
    "evicted",
    "hopeless",
    "no_key",
    "out_of_time",
    "overdue",
    "queue_full",
    "too_late",
]

#: A head that waited needs so many typical service times to be sent: with one, every second is too late.
SPARE = 2.0


def circuit_open(endpoint: Endpoint, now: float) -> CircuitOpenError:
    """The breaker lets nothing through."""
    wait = endpoint.breaker.wait(now)
    if wait == math.inf:
        return CircuitOpenError(
            f"breaker of {endpoint.name} is {endpoint.breaker.state.value} by an operator: nothing was sent; "
            f"it stays so until client.breaker({endpoint.name!r}).reset()"
        )
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


def resting(endpoint: Endpoint, rest: float) -> NoKeyAvailableError:
    """The service asked for rest, and the call has somewhere else to go."""
    return NoKeyAvailableError(
        f"{endpoint.name} asked to be left alone for {rest:.3g} s: nothing was sent", retry_after=rest
    )


def too_late(endpoint: Endpoint, call: Call, now: float, earliest: float) -> DeadlineExceededError:
    """The call can't even start before its deadline."""
    assert call.deadline is not None
    left = max(0.0, call.deadline - now)
    return DeadlineExceededError(
        f"{endpoint.name} can't start the call before its deadline: {left:.3g} s left, "
        f"earliest start in {earliest:.3g} s; nothing was sent",
        retry_after=earliest,
    )


def hopeless(endpoint: Endpoint, call: Call, now: float) -> DeadlineExceededError | None:
    """A newcomer's turn will come too late, by how fast those before it are served; None where it may do."""
    options = call.options
    assert call.deadline is not None
    if not options.shed:
        return None
    wait = endpoint.throughput.wait(endpoint.order.ahead(options.tenant, options.priority))
    if not wait or now + wait + endpoint.typical_s <= call.deadline:
        return None
    return _no_answer(endpoint, call.deadline - now, wait)


def out_of_time(endpoint: Endpoint, call: Call, now: float) -> DeadlineExceededError | None:
    """The head has waited so long that it is hardly answered in time, and others wait who may be."""
    typical = endpoint.typical_s
    if call.deadline is None or call.deadline - now >= SPARE * typical:
        return None
    if endpoint.queue.qsize() < 2 or now - call.entered <= typical / 2:
        return None
    return _no_answer(endpoint, call.deadline - now, 0.0)


def _no_answer(endpoint: Endpoint, left: float, wait: float) -> DeadlineExceededError:
    return DeadlineExceededError(
        f"{endpoint.name} can't answer the call before its deadline: {left:.3g} s left, its turn comes in "
        f"about {wait:.3g} s and an answer takes {endpoint.typical_s:.3g} s; nothing was sent",
        retry_after=wait or _estimate(endpoint),
    )


def overdue(endpoint: Endpoint, waited: float) -> QueueFullError:
    """More comes than is served, and the call has waited for too long already."""
    estimate = _estimate(endpoint)
    return QueueFullError(
        f"{endpoint.name} is overloaded: the call waited {waited:.3g} s, and all others wait as long; "
        f"nothing was sent; retry after {estimate:.3g} s",
        retry_after=estimate,
    )


def closed() -> ClientClosedError:
    """The client takes no more calls."""
    return ClientClosedError("the client is closed: nothing was sent")


def evicted(endpoint: Endpoint, priority: Priority) -> QueueFullError:
    """A waiting call makes room for a more urgent one."""
    estimate = _estimate(endpoint)
    when = f" or retry after {estimate:.3g} s" if estimate else ""
    return QueueFullError(
        f"queue of {endpoint.name} is full ({endpoint.queue.qsize()} waiting), and a {priority.name} call "
        f"took this one's place; nothing was sent; raise Endpoint.queue_size{when}",
        retry_after=estimate or None,
    )


def queue_full(endpoint: Endpoint) -> QueueFullError:
    """A newcomer would have to wait, and the queue has no place left."""
    waiting = endpoint.queue.qsize()
    estimate = _estimate(endpoint)
    when = f" or retry after {estimate:.3g} s" if estimate else ""
    return QueueFullError(
        f"queue of {endpoint.name} is full ({waiting} waiting); raise Endpoint.queue_size{when}",
        retry_after=estimate or None,
    )


def _estimate(endpoint: Endpoint) -> float:
    """Seconds until all that wait now have been served, 0.0 if nothing is known of how long that takes."""
    return endpoint.typical_s * (endpoint.queue.qsize() + 1) / endpoint.semaphore.limit.value
