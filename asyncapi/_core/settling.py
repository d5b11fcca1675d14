"""How attempts end: everything is given back, and every policy learns from the verdict.

Synchronous, as all of the endpoint: whoever looks between two awaits finds a lease held or settled.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from asyncapi.errors import (
    AsyncAPIError,
    OverloadedError,
    QuotaExhaustedError,
    RateLimitError,
    ReadTimeoutError,
    ServerError,
)
from asyncapi.policies.keys import EXHAUSTED_S, REVOKED_S, KeyState
from asyncapi.policies.limits import Ended
from asyncapi.policies.retry import LONGEST_WAIT_S
from asyncapi.policies.verdict import IGNORED, Judgement, KeyAction, RetryRule, Verdict, judge
from asyncapi.types.events import DecodeFailed, KeyCooled, KeyParked, RetryScheduled

if TYPE_CHECKING:
    from asyncapi._core.call import Call
    from asyncapi._core.endpoint import Endpoint
    from asyncapi._core.lease import Lease
    from asyncapi.types.responses import Response

__all__ = ["blamed", "ended", "failed", "heard", "lost", "timed"]

#: The call's own deadline cut a service short that had its usual time.
_TIMED_OUT = Judgement(Verdict.FAILED)


def failed(lease: Lease, error: BaseException) -> float | None:
    """Settle a failed attempt: seconds to wait before the next one, None if there is to be none."""
    call, endpoint = lease.call, lease.call.endpoint
    now = endpoint.clock()
    if isinstance(error, asyncio.CancelledError) and _timed_out(lease, now):
        endpoint.settle(lease, _TIMED_OUT, ReadTimeoutError("the call's deadline"))
        return None
    if not isinstance(error, AsyncAPIError):
        endpoint.settle(lease, IGNORED)
        return None
    delay = _next_delay(call, error, lost(lease, error), now)
    if delay is None:
        return None
    call.last_error = error
    endpoint.emit(
        RetryScheduled(
            endpoint=endpoint.name,
            request_id=call.id,
            key=call.key,
            attempt=call.attempts,
            delay_s=delay,
            error=error.kind,
        )
    )
    return delay


def lost(lease: Lease, error: AsyncAPIError) -> Judgement:
    """Settle an attempt that ended in an error: what that means, to the key also."""
    endpoint = lease.call.endpoint
    judgement = judge(error)
    endpoint.settle(lease, judgement, error)
    if error.kind == "decode":
        endpoint.emit(DecodeFailed(endpoint=endpoint.name, request_id=lease.call.id, error=error.message))
    _treat_key(endpoint, lease.key, judgement, error)
    return judgement


def timed(lease: Lease, took: float) -> Verdict:
    """The verdict on an answer that took long."""
    call = lease.call
    # A stream takes as long as its answer is long: its first token tells.
    waited = took if call.first_token_s is None else call.first_token_s
    return Verdict.SLOW if call.endpoint.slowness.judge(waited) else Verdict.OK


def blamed(lease: Lease, verdict: Verdict, now: float) -> Verdict:
    """The verdict as the breaker sees it: a failure may be one too many of its key.

    Then the key is taken out while its peers go on, and the service is not blamed.
    """
    endpoint, key = lease.call.endpoint, lease.key
    if verdict is not Verdict.FAILED or len(endpoint.keys.keys) < 2:
        return verdict
    rest = endpoint.ejection.failed(key, endpoint.keys.keys, now)
    if rest is None:
        return verdict
    key.park(now + rest, "failing")
    endpoint.emit(KeyParked(endpoint=endpoint.name, key=key.name, reason="failing", seconds_s=rest))
    endpoint.reject_keyless()
    return Verdict.IGNORED


def ended(
    lease: Lease, verdict: Verdict, now: float, error: AsyncAPIError | None, response: Response | None
) -> Ended:
    """What a limit that learns is told of an attempt."""
    call = lease.call
    usage = response.usage if response is not None else None
    return Ended(
        verdict=verdict,
        congested=error is not None and _congested(lease.key, error),
        in_flight=call.endpoint.semaphore.in_flight,
        started=lease.granted,
        now=now,
        work=_work(call),
        first_token_s=call.first_token_s,
        tokens=(usage.output_tokens or usage.input_tokens) if usage is not None else None,
    )


def heard(lease: Lease, seconds: float, now: float) -> None:
    """Tell a limit that learns of a stream's first token: its end may be minutes away."""
    endpoint = lease.call.endpoint
    semaphore = endpoint.semaphore
    semaphore.limit.first_token(_work(lease.call), seconds, semaphore.in_flight, now)
    if endpoint.queue.qsize() and not semaphore.locked():
        endpoint.worker.kick()  # it takes a cut back that was in vain, while nothing is released


def _work(call: Call) -> str:
    """The kind of work, within which times are alike."""
    return f"{call.request.operation} {call.request.model}"


def _congested(key: KeyState, error: AsyncAPIError) -> bool:
    """Whether the service had more at once than it can bear.

    A 429 that names a time, or that comes to a key whose rate is known, is about the rate: the key rests.
    """
    if isinstance(error, RateLimitError):
        return error.retry_after is None and key.rate is None and key.allowance is None
    if isinstance(error, ServerError):
        return error.status == 503
    return isinstance(error, OverloadedError | ReadTimeoutError)


def _timed_out(lease: Lease, now: float) -> bool:
    """Whether a cancellation is the call's own deadline, and the service had its usual time."""
    deadline = lease.call.deadline
    return deadline is not None and now >= deadline and now - lease.granted >= lease.call.endpoint.typical_s


def _next_delay(call: Call, error: AsyncAPIError, judgement: Judgement, now: float) -> float | None:
    endpoint = call.endpoint
    if endpoint.closed:
        return None
    if judgement.free and judgement.retry is RetryRule.KEY:
        if endpoint.keys.wait(now, call.options.key, call.options.user) == math.inf:
            return None  # that was the last key
    else:
        call.failed += 1
    other_key_s = math.inf
    if judgement.retry is RetryRule.KEY and (error.retry_after or 0.0) > LONGEST_WAIT_S:
        other_key_s = endpoint.keys.wait(now, call.options.key, call.options.user)
    delay = endpoint.retry.delay(max(call.failed, 1), error, judgement, other_key_s)
    if delay is None:
        return None
    if call.deadline is not None and now + delay >= call.deadline:
        return None
    if not judgement.free and not endpoint.budget.withdraw():
        return None
    return delay


def _treat_key(endpoint: Endpoint, key: KeyState, judgement: Judgement, error: AsyncAPIError) -> None:
    now = endpoint.clock()
    if judgement.key is KeyAction.COOL:
        key.throttles += 1
        asked = error.retry_after
        rest = endpoint.retry.spread(asked) if asked is not None else endpoint.retry.backoff(key.throttles)
        key.cool(now + rest)
        endpoint.emit(KeyCooled(endpoint=endpoint.name, key=key.name, seconds_s=rest))
    elif judgement.key is KeyAction.PARK:
        rest = EXHAUSTED_S if isinstance(error, QuotaExhaustedError) else REVOKED_S
        key.park(now + rest, error.kind)
        endpoint.emit(KeyParked(endpoint=endpoint.name, key=key.name, reason=error.kind, seconds_s=rest))
        endpoint.reject_keyless()
    elif isinstance(error, OverloadedError) and error.retry_after is not None:
        rest = endpoint.retry.spread(error.retry_after)
        endpoint.cool_until = max(endpoint.cool_until, now + rest)
        endpoint.emit(KeyCooled(endpoint=endpoint.name, key="", seconds_s=rest))
