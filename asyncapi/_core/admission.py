"""Whether a call may go: one look at every station, one decision.

The decision is a lease, a wait, or a refusal. With a lease everything in it is taken at once: a
permit of the semaphore, one of the breaker, a key and its place in the key's rates. With anything
else nothing is taken. There is no await in here, so nobody sees half of it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, final

from asyncapi._core import refusals
from asyncapi._core.lease import Lease
from asyncapi._core.metering import asked
from asyncapi.errors import NotSentError
from asyncapi.policies.breaker import State

if TYPE_CHECKING:
    from asyncapi._core.call import Call
    from asyncapi._core.endpoint import Endpoint

__all__ = ["BEHIND", "LOCKED", "Decision", "Wait", "admit", "decide"]


@final
class Wait(NamedTuple):
    """Not yet: after so many ``seconds`` (infinity: when something is released) it is worth asking again.

    ``station`` is what it waits for: "queue" (others come first), "limit", "breaker", "rate" (the
    whole endpoint rests), or "key".
    """

    seconds: float
    station: str


Decision: TypeAlias = Lease | Wait | NotSentError

BEHIND = Wait(math.inf, "queue")
LOCKED = Wait(math.inf, "limit")


def admit(endpoint: Endpoint, call: Call, now: float) -> Lease | Wait:
    """A newcomer's lease, or what it has to wait for. What can't or may not be served is refused at
    once; the message says when to come back.

    Raises:
        NotSentError: Refused; which subclass says why.
    """
    decision: Decision
    if endpoint.closed:
        decision = refusals.closed()
    else:
        decision = decide(endpoint, call, now, endpoint.pace is not None or not endpoint.queue.empty())
        if type(decision) is Lease:
            return decision
        if type(decision) is Wait:
            refusal = None if call.attempts else _no_place(endpoint, call, now)
            if refusal is None:
                return decision
            decision = refusal
    raise endpoint.refused(call, decision)


def decide(endpoint: Endpoint, call: Call, now: float, behind: bool = False) -> Decision:
    """What becomes of ``call`` now, from all that is known.

    Args:
        endpoint: Whose stations are asked.
        call: The head of the queue, or a newcomer.
        now: The clock, seconds.
        behind: Others go first: it may be refused, or wait, but not go.
    """
    options = call.options
    breaker_s = endpoint.breaker.wait(now)
    cool_s = endpoint.cool_until - now
    tokens = asked(call) if endpoint.keys.metered else None
    key_s = endpoint.keys.wait(now, options.key, options.user, tokens)
    if breaker_s or key_s or cool_s > 0.0:
        return _hindered(endpoint, call, now, breaker_s, cool_s, key_s)
    if call.deadline is not None and now >= call.deadline:
        return refusals.too_late(endpoint, call, now, 0.0)
    if behind:
        return BEHIND
    if endpoint.semaphore.locked():
        return LOCKED
    return endpoint.grant(call, now)


def _hindered(
    endpoint: Endpoint, call: Call, now: float, breaker_s: float, cool_s: float, key_s: float
) -> Wait | NotSentError:
    """A refusal for good or for now, or the wait until the last of them is over."""
    if breaker_s and call.on_open == "fail" and not call.waiting:
        # Those that wait are refused when the breaker opens. While it is half-open they wait for a probe.
        return refusals.circuit_open(endpoint, now)
    if key_s == math.inf:
        return refusals.no_key(endpoint, call, now)
    if not call.patient and (rest := endpoint.rest(call, now)):
        return refusals.resting(endpoint, rest)
    wait = earliest = max(breaker_s, cool_s, key_s)
    if endpoint.breaker.state is State.HALF_OPEN or endpoint.breaker.state is State.FORCED_OPEN:
        # That is when a probe counts as hung. It may come back, and let others go, at any time before;
        # so may the operator.
        earliest = max(cool_s, key_s, 0.0)
    if call.deadline is not None and now + earliest >= call.deadline:
        return refusals.too_late(endpoint, call, now, earliest)
    return Wait(wait, "breaker" if breaker_s else "rate" if cool_s > 0.0 else "key")


def _no_place(endpoint: Endpoint, call: Call, now: float) -> NotSentError | None:
    """Why a newcomer that has to wait is not let in. Another attempt always is: it was admitted once."""
    rate = endpoint.throughput.rate
    if rate and call.deadline is not None and endpoint.shed != "never":
        # Seldom is there so much in line that it is worth asking how much of it goes first.
        much = endpoint.order.cost > (call.deadline - now - endpoint.typical_s) * rate
        if much and (hopeless := refusals.hopeless(endpoint, call, now)) is not None:
            return hopeless
    if not endpoint.queue.full():
        return None
    priority = call.options.priority
    last = endpoint.queue.last_below(priority)
    if last is None:
        return refusals.queue_full(endpoint)
    endpoint.reject(last, endpoint.refused(last, refusals.evicted(endpoint, priority)))
    return None
