"""Deadlines: each fires at its own time, and nothing of the call runs afterwards."""

from __future__ import annotations

import asyncio

import pytest

from asyncapi import (
    ConnectError,
    DeadlineExceededError,
    RateLimitError,
    ReadTimeoutError,
    Retry,
    Timeout,
)
from asyncapi._core.deadlines import Deadline, Deadlines
from asyncapi.testing import VirtualTime
from asyncapi.testing.scripted import ScriptedTransport, fail, hang, reply, stream
from asyncapi.types.wire import Outgoing, WireResponse
from tests.core.worlds import MODEL, assert_at_rest, caught, client_of, core, outcomes, start, turns

pytestmark = pytest.mark.virtual_time


class Connecting:
    """A transport that needs ``seconds`` to connect, and keeps to the time that it is given for it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked: list[float | None] = []
        self.answers = ScriptedTransport(default=reply("fine"))

    async def send(self, request: Outgoing, /) -> WireResponse:
        """As asked, after connecting."""
        self.asked.append(request.connect_timeout)
        limit = request.connect_timeout
        if limit is not None and limit < self.seconds:
            await asyncio.sleep(limit)
            raise ConnectError(f"no connection within {limit} s")
        await asyncio.sleep(self.seconds)
        return await self.answers.send(request)

    async def open(self, request: Outgoing, /) -> object:
        """Not used here."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Nothing to close."""


async def test_connect_is_the_transports_to_keep_and_is_tried_again(virtual_clock: VirtualTime) -> None:
    """2 s for one connection, two attempts: 4 s and one backoff."""
    transport = Connecting(3.0)
    settings = Timeout(connect=2.0)
    retry = Retry(attempts=2, base=0.0, cap=0.0)
    async with client_of(transport, timeout=settings, retry=retry) as client:  # type: ignore[arg-type]
        error = await caught(ConnectError, client.chat(MODEL, "x"))

    assert (error.attempts, transport.asked) == (2, [2.0, 2.0])
    assert virtual_clock.elapsed == pytest.approx(4.0, abs=0.01)


async def test_first_byte_is_counted_from_sending(virtual_clock: VirtualTime) -> None:
    """Two attempts of 1.5 s each, the time in the queue aside."""
    transport = ScriptedTransport([reply(delay=1.0), hang(), hang()])
    settings = Timeout(first_byte=1.5)
    retry = Retry(attempts=2, base=0.0, cap=0.0)
    async with client_of(transport, limit=1, timeout=settings, retry=retry) as client:
        first, second = start(client.chat(MODEL, "x"), client.chat(MODEL, "y"))
        await first
        error = await caught(ReadTimeoutError, second)
        assert_at_rest(client, transport)

    assert error.attempts == 2
    assert "no first byte within 1.5 s" in str(error)
    assert virtual_clock.elapsed == pytest.approx(4.0, abs=0.01)


async def test_an_answer_whose_body_comes_slowly_keeps_to_first_byte() -> None:
    """The first byte was in time; the whole answer is joined from its pieces."""
    pieces = [b'{"choices":[{"index":0,"message":{"content":"slow"},', b'"finish_reason":"stop"}]}']
    transport = ScriptedTransport([stream(raw=pieces, interval=9.0)])
    async with client_of(transport, timeout=Timeout(first_byte=1.0)) as client:
        assert (await client.chat(MODEL, "x")).text == "slow"
        assert_at_rest(client, transport)


async def test_a_timeout_of_the_transports_own_is_passed_on() -> None:
    """A bare TimeoutError is not mistaken for ours."""
    transport = ScriptedTransport([fail(TimeoutError("someone else's"))])
    async with client_of(transport, timeout=Timeout(first_byte=1.0)) as client:
        with pytest.raises(TimeoutError, match="someone else's"):
            await client.chat(MODEL, "x")
        assert_at_rest(client, transport)


@pytest.mark.parametrize("total", [0.05, 1.0, 77.7])
async def test_total_ends_a_call_in_flight_on_time(virtual_clock: VirtualTime, total: float) -> None:
    """Sent, unanswered: the error says that it was sent, and the upstream sees the abort."""
    transport = ScriptedTransport([hang()])
    async with client_of(transport) as client:
        error = await caught(ReadTimeoutError, client.chat(MODEL, "x", timeout=total))
        assert virtual_clock.elapsed == pytest.approx(total, abs=0.001)
        assert (error.sent, error.retryable, error.attempts) == (True, False, 1)
        assert (transport.aborted, transport.in_flight) == (1, 0)
        assert_at_rest(client, transport)


async def test_total_includes_the_queue_and_expires_there_at_once(virtual_clock: VirtualTime) -> None:
    """Waiting, not sent: it leaves the queue on time, wherever it stands."""
    transport = ScriptedTransport(default=hang())
    async with client_of(transport, limit=1) as client:
        (blocker,) = start(client.chat(MODEL, "x"))
        await turns()
        waiting = start(*(client.chat(MODEL, "y", timeout=float(5 - i)) for i in range(4)))
        for left in (3, 2, 1):
            await asyncio.sleep(1.0 if left < 3 else 2.001)
            assert core(client).queue.qsize() == left
        errors = await outcomes(waiting)
        assert virtual_clock.elapsed == pytest.approx(5.0, abs=0.01)
        blocker.cancel()
        await outcomes([blocker])
        assert_at_rest(client, transport)

    assert {type(error) for error in errors} == {DeadlineExceededError}
    assert all("nothing was sent" in str(error) for error in errors)
    assert transport.total == 1


async def test_a_deadline_that_can_not_be_met_is_refused_before_it_waits(virtual_clock: VirtualTime) -> None:
    """The key rests for 30 s: a call with 10 s hears it now, with the earliest time."""
    transport = ScriptedTransport([reply(status=429, retry_after=30)])
    async with client_of(transport, retry=Retry(attempts=1)) as client:
        await caught(RateLimitError, client.chat(MODEL, "x"))
        error = await caught(DeadlineExceededError, client.chat(MODEL, "y", timeout=10.0))
        assert virtual_clock.elapsed < 0.01

    assert 30 <= error.retry_after <= 33
    assert "earliest start in 3" in str(error)


@pytest.mark.parametrize("total", [1e-9, 1e-7])
async def test_a_deadline_of_almost_nothing_ends_at_once(total: float) -> None:
    """Refused or cut off, but never left behind."""
    transport = ScriptedTransport(default=hang())
    async with client_of(transport) as client:
        (error,) = await outcomes([client.chat(MODEL, "x", timeout=total)])
        assert isinstance(error, (DeadlineExceededError, ReadTimeoutError))
        assert_at_rest(client, transport)


async def test_no_deadline_waits_for_as_long_as_it_takes(virtual_clock: VirtualTime) -> None:
    """timeout=None takes the total away and keeps the rest."""
    transport = ScriptedTransport(default=reply(delay=50_000.0))
    async with client_of(transport) as client:
        await client.chat(MODEL, "x", timeout=None)
        await client.with_options(timeout=None).chat(MODEL, "x")

    assert virtual_clock.elapsed == pytest.approx(100_000.0, abs=1)


async def test_nothing_of_a_call_runs_after_its_deadline(virtual_clock: VirtualTime) -> None:
    """No task, no timer, no request a minute later."""
    transport = ScriptedTransport(default=reply(status=500, delay=0.3))
    async with client_of(transport, retry=Retry(attempts=50, base=1.0, reserve=100)) as client:
        await outcomes(client.chat(MODEL, "x", timeout=3.0) for _ in range(4))
        assert virtual_clock.elapsed <= 3.001
        sent = transport.total
        assert virtual_clock.pending_timers() == ()
        await asyncio.sleep(60)
        assert transport.total == sent
        assert_at_rest(client, transport)


async def test_a_caller_that_is_cancelled_at_the_deadline_is_cancelled() -> None:
    """Cancelled from outside, it is not told of a timeout."""
    transport = ScriptedTransport(default=hang())
    async with client_of(transport) as client:
        (call,) = start(client.chat(MODEL, "x", timeout=1.0))
        asyncio.get_running_loop().call_at(1.0, call.cancel)
        await outcomes([call])
        assert call.cancelled() or isinstance(call.exception(), ReadTimeoutError)
        assert_at_rest(client, transport)


async def test_the_callers_own_timeout_around_a_call_is_the_callers() -> None:
    """asyncio.timeout outside works as everywhere."""
    transport = ScriptedTransport(default=hang())
    async with client_of(transport) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await client.chat(MODEL, "x")
        assert client.statistics().endpoints["openai"].calls.cancelled == 1
        assert_at_rest(client, transport)


async def test_a_cancellation_in_the_turn_of_the_deadline_stays_one() -> None:
    """Both come before the task runs again: whoever cancelled it is not told of a timeout instead."""
    deadlines = Deadlines()
    places: list[Deadline] = []

    async def waits() -> None:
        with deadlines.within(asyncio.get_running_loop().time() + 1.0) as place:
            places.append(place)
            await asyncio.sleep(10.0)

    for order in (("expire", "cancel"), ("cancel", "expire")):
        task = asyncio.ensure_future(waits())
        await asyncio.sleep(0)
        place = places.pop()
        for action in order:
            if action == "expire":
                place.expire()
            else:
                task.cancel()
        (end,) = await outcomes([task])
        assert isinstance(end, asyncio.CancelledError)
