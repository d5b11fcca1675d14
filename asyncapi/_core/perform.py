"""The life of a call, in the caller's own task: ``perform`` around ``attempts``.

The endpoint's worker decides who goes next and when; here the work is done. So cancellation,
contextvars and tracebacks are the language's own, and a worker can't lose a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from msgspec.structs import force_setattr

from asyncapi._core.call import Call
from asyncapi._core.headers import observe
from asyncapi._core.lease import Lease
from asyncapi._core.settling import failed
from asyncapi.abc import WireStream
from asyncapi.errors import AsyncAPIError, DeadlineExceededError, ReadTimeoutError
from asyncapi.policies.verdict import OK
from asyncapi.types.events import CallFinished, TransportSent
from asyncapi.types.responses import Response, Served, Timings
from asyncapi.types.usage import Usage
from asyncapi.types.wire import Outgoing, WireResponse

__all__ = [
    "attempts",
    "deadline_error",
    "decode",
    "exchange",
    "fail",
    "outgoing",
    "perform",
    "read_all",
    "succeed",
    "within",
]

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)


async def perform(call: Call, shared: bool = False) -> Response:
    """A call from its entry to its one end: an answer, an error, or a cancellation.

    One that is ``shared`` is not ended by its deadline: those who share it keep their own.
    """
    endpoint = call.endpoint
    endpoint.calls += 1
    try:
        with endpoint.deadlines.within(None if shared else call.deadline) as deadline:
            if endpoint.batcher.takes(call.request):
                response = await endpoint.batcher.submit(call)
            else:
                response = await endpoint.attempts(call)  # below; or two of it: hedging.py
    except TimeoutError as error:
        raise fail(call, deadline_error(call) if deadline.expired else error) from error
    except BaseException as error:
        fail(call, overdue(call, error) if shared else error)
        raise
    succeed(call, response)
    return response


async def attempts(call: Call, lease: Lease | None = None) -> Response:
    """Try until there is an answer, or no other attempt is allowed. Backoff holds nothing.

    A batch, which gathers until its turn, comes with its first ``lease`` and encoded.
    """
    endpoint = call.endpoint
    if lease is None:
        call.wire = endpoint.backend.encode(call.request)  # once, before it waits: refused now if it is bad
        lease = await endpoint.acquire(call)  # queue, limit, breaker, rate, key
    while True:
        try:
            reply = await exchange(lease, outgoing(lease))  # transport
            observe(lease, reply.headers)  # rate
            response = decode(call, reply)  # decode
        except BaseException as error:
            delay = failed(lease, error)  # verdict, stats
            if delay is None:
                raise
        else:
            endpoint.settle(lease, OK, response=response)  # verdict, stats
            return response
        if delay:
            await endpoint.backoff.sleep(delay)
        lease = await endpoint.acquire(call)


def outgoing(lease: Lease) -> Outgoing:
    """The request as the transport gets it, counted as sent."""
    call, endpoint = lease.call, lease.call.endpoint
    wire = call.wire
    assert wire is not None
    if not call.attempts:
        endpoint.budget.deposit()
    call.attempts += 1
    lease.sent = call.attempts
    if call.race is not None:
        call.race.sent(lease)
    if endpoint.detail:
        endpoint.emit(
            TransportSent(
                endpoint=endpoint.name,
                request_id=call.id,
                key=call.key,
                attempt=call.attempts,
                body_bytes=len(wire.body or b""),
            )
        )
    own, merged = lease.key.merged
    if own != wire.headers:
        merged = lease.key.merge(wire.headers)
    return Outgoing(
        method=wire.method,
        url=endpoint.base_url + wire.path,
        headers={endpoint.request_id_header: call.id, **merged},
        body=wire.body,
        connect_timeout=call.timeout.connect,
    )


async def exchange(lease: Lease, request: Outgoing) -> WireResponse:
    """Send and read the whole answer, within the time to the first byte if one is set."""
    call = lease.call
    transport = call.endpoint.transport
    if call.timeout.first_byte is None:
        return await transport.send(request)
    stream = await within(call, call.timeout.first_byte, "byte", transport.open(request))
    try:
        return WireResponse(status=stream.status, headers=stream.headers, body=await read_all(stream))
    finally:
        stream.close()


async def read_all(stream: WireStream) -> bytes:
    """The whole body."""
    pieces = []
    while piece := await stream.read():
        pieces.append(piece)
    return b"".join(pieces)


async def within(call: Call, seconds: float | None, first: str, awaitable: Awaitable[T]) -> T:
    """Await it for as long as the service may take to its first byte, or token."""
    if seconds is None:
        return await awaitable
    try:
        async with asyncio.timeout(seconds) as timeout:
            return await awaitable
    except TimeoutError:
        if not timeout.expired():
            raise
        raise ReadTimeoutError(f"{call.endpoint.name} sent no first {first} within {seconds} s") from None


def decode(call: Call, reply: WireResponse) -> Response:
    """The answer, or the error that it holds."""
    backend = call.endpoint.backend
    if 200 <= reply.status < 300:
        return backend.decode(call.request, reply)
    raise backend.error(reply)


def succeed(call: Call, response: Response) -> None:
    """The one end of a call that got its answer: says who served it, and is counted."""
    endpoint = call.endpoint
    total_s = endpoint.clock() - call.created
    served = Served(
        endpoint=endpoint.name,
        backend=endpoint.backend.name,
        key=call.key,
        request_id=call.id,
        attempts=call.attempts,
        timings=Timings(
            queue_s=call.queue_s,
            service_s=call.service_s,
            first_token_s=call.first_token_s,
            total_s=total_s,
        ),
    )
    # The response is frozen for its reader; this is the last step of making it.
    force_setattr(response, "served", served)
    if call.wire is not None and call.wire.warnings:
        force_setattr(response, "warnings", call.wire.warnings + response.warnings)
    _finished(call, "ok", total_s, response.usage)


def fail(call: Call, error: E) -> E:
    """The one end of a call that got none: ``error`` is told whose it is, and counted."""
    outcome = "cancelled" if isinstance(error, asyncio.CancelledError) else "bug"
    if isinstance(error, AsyncAPIError):
        outcome = error.kind
        error.endpoint = error.endpoint or call.endpoint.name
        error.request_id = error.request_id or call.id
        error.attempts = error.attempts or call.attempts
    _finished(call, outcome, call.endpoint.clock() - call.created, None)
    return error


def _finished(call: Call, outcome: str, total_s: float, usage: Usage | None) -> None:
    endpoint, home = call.endpoint, call.home
    home.calls -= 1
    if home.on_rest is not None and not home.calls:
        home.on_rest()
    endpoint.emit(
        CallFinished(
            endpoint=endpoint.name,
            request_id=call.id,
            backend=endpoint.backend.name,
            operation=call.request.operation,
            model=call.request.model,
            key=call.key,
            outcome=outcome,
            attempts=call.attempts,
            queue_wait_s=call.queue_s,
            service_s=call.service_s,
            first_token_s=call.first_token_s,
            total_s=total_s,
            usage=usage,
            tag=call.options.tag,
        )
    )


def overdue(call: Call, error: BaseException) -> BaseException:
    """What a call that was shared ended with: given up by the last who wanted it, it was too late."""
    late = call.deadline is not None and call.endpoint.clock() >= call.deadline
    return deadline_error(call) if late and isinstance(error, asyncio.CancelledError) else error


def deadline_error(call: Call, total: float | None = None) -> AsyncAPIError:
    """What a call ends with when its deadline passes, ``total`` seconds after it was asked."""
    total = call.timeout.total if total is None else total
    if not call.attempts:
        return DeadlineExceededError(
            f"{call.endpoint.name} had no lease for the call within its {total} s; nothing was sent"
        )
    if call.attempts == call.ended and call.last_error is not None:
        return call.last_error  # it waited for another attempt: the last one's error says more
    return ReadTimeoutError(f"{call.endpoint.name} gave no whole answer within {total} s", retryable=False)
