"""Tokens of a call: estimated before it is sent, settled with what it used.

Only done where something needs it: a key with a limit of tokens, or a service that says in its headers
that few are left.

What an attempt is charged in the end:

- it was not sent, or was refused with 429: nothing;
- the service said what it used: that;
- it was refused with another 4xx: its input;
- else (cancelled, cut off, timed out, failed there): all that was reserved. A service that is left may
  go on for a while, and bills what it did.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from asyncapi.errors import AsyncAPIError, ProviderError, RateLimitError
from asyncapi.policies.tokens import TokenMeter, Tokens
from asyncapi.types.requests import ChatRequest, CompleteRequest, CountTokensRequest, Request
from asyncapi.types.responses import Response
from asyncapi.types.usage import Usage
from asyncapi.types.wire import TokenHeaders

if TYPE_CHECKING:
    from asyncapi._core.call import Call
    from asyncapi._core.lease import Lease

__all__ = ["asked", "cost", "observe_tokens", "resize", "settle_tokens"]

NOTHING = Tokens(0, 0, 0)
#: So many tokens weigh as much as one item of anything else, and the bounds of a call's cost.
UNIT, LEAST_COST, MOST_COST = 1000, 0.02, 100.0


def asked(call: Call) -> Tokens:
    """What the call will use, by what earlier ones did: asked once a call."""
    if call.tokens is None:
        request = call.request
        speaks, most = _output(request)
        call.tokens = call.endpoint.estimates.tokens(
            (request.operation, request.model), _body_bytes(call), most, speaks
        )
    return call.tokens


def cost(call: Call) -> float:
    """What a call takes of its endpoint: thousands of tokens where it generates, else items.

    Bounded both ways, so that one wild estimate can't hold its flow up for long. A batch is 1 until its
    turn: it gathers till then.
    """
    if not isinstance(call.request, ChatRequest | CompleteRequest) or call.wire is None:
        return call.cost
    return min(max(asked(call).total / UNIT, LEAST_COST), MOST_COST)


def resize(lease: Lease, now: float) -> None:
    """A batch has gathered, and is encoded now: reserve what it needs, instead of what one like it had."""
    call = lease.call
    if lease.charge is None or lease.key.meter is None:
        return
    reserved, call.tokens = lease.charge.amount, None
    lease.key.meter.resize(lease.charge, asked(call), now)
    if asked(call).total < reserved.total:
        call.endpoint.worker.kick()  # the next in line may have room now


def settle_tokens(lease: Lease, error: AsyncAPIError | None, response: Response | None, now: float) -> None:
    """Correct what the attempt reserved, and learn from what it used."""
    call = lease.call
    assert call.tokens is not None
    usage = response.usage if response is not None else None
    used = call.tokens
    if usage is not None and usage.total_tokens is not None:
        used = _used(call, usage)
        request = call.request
        call.endpoint.estimates.learn((request.operation, request.model), _body_bytes(call) or 0, used)
    elif not lease.sent or _free(error):
        used = NOTHING
    elif isinstance(error, ProviderError) and 400 <= error.status < 500:
        used = Tokens(used.input, used.input, 0)
    if lease.charge is not None:
        assert lease.key.meter is not None
        lease.key.meter.settle(lease.charge, used, now)


def observe_tokens(lease: Lease, names: TokenHeaders, headers: Mapping[str, str], now: float) -> None:
    """Tell the key how many tokens it has left, where the headers say so."""
    remaining, limit = headers.get(names.remaining), headers.get(names.limit)
    if remaining is None or limit is None or not (remaining.isdecimal() and limit.isdecimal()):
        return
    left, most, key = float(remaining), float(limit), lease.key
    if most < 1.0:
        return
    if key.meter is None:
        if left > most / 2:
            return  # counting costs time, and does not bind yet
        key.meter = TokenMeter({})
        lease.call.endpoint.keys.metered = True
    key.meter.told(names.kind, left, most, lease.charge, now)


def _output(request: Request) -> tuple[bool, int | None]:
    """Whether a request has an output at all, and how much it allows."""
    if isinstance(request, CountTokensRequest):
        return False, None
    if isinstance(request, ChatRequest | CompleteRequest):
        return True, request.max_tokens
    return False, None


def _body_bytes(call: Call) -> int | None:
    """None before it is encoded: a batch, which gathers until its turn."""
    return len(call.wire.body or b"") if call.wire is not None else None


def _used(call: Call, usage: Usage) -> Tokens:
    """What the service counts, with the estimate where it is silent."""
    assert call.tokens is not None
    entered = call.tokens.input if usage.input_tokens is None else usage.input_tokens
    if not call.endpoint.backend.service.cached_tokens_count:
        entered -= usage.cache_read_tokens or 0
    answered = call.tokens.output if usage.output_tokens is None else usage.output_tokens
    return Tokens(entered + answered, entered, answered)


def _free(error: AsyncAPIError | None) -> bool:
    """Whether the service counts nothing for an attempt that was given to the transport."""
    return error is not None and (error.sent is False or isinstance(error, RateLimitError))
