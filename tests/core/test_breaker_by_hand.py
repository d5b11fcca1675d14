"""What an operator does with a breaker while the program runs."""

from __future__ import annotations

import asyncio

import pytest

from asyncapi import ChatResponse, CircuitOpenError, DeadlineExceededError, Retry, ServerError
from asyncapi.testing import VirtualTime
from asyncapi.testing.scripted import ScriptedTransport, reply
from asyncapi.types.events import BreakerChanged
from tests.core.worlds import (
    MODEL,
    Recorder,
    assert_at_rest,
    caught,
    client_of,
    outcomes,
    spread_calls,
    start,
    steady,
    turns,
)

pytestmark = pytest.mark.virtual_time


async def test_forced_open_nothing_is_sent_however_long_it_lasts() -> None:
    """Maintenance: every call is refused at once, with the words that end it."""
    transport = steady()
    async with client_of(transport) as client:
        client.breaker("openai").force_open()
        first = await caught(CircuitOpenError, client.chat(MODEL, "x"))
        await asyncio.sleep(100_000)
        await caught(CircuitOpenError, client.chat(MODEL, "x"))
        assert client.statistics().endpoints["openai"].breaker.state == "forced-open"

    assert "client.breaker('openai').reset()" in first.message
    assert (first.retry_after, first.sent, first.retryable) == (None, False, True)
    assert transport.total == 0


async def test_who_may_wait_waits_until_it_is_released(virtual_clock: VirtualTime) -> None:
    """Or until the caller's own deadline."""
    transport = steady()
    async with client_of(transport) as client:
        switch = client.breaker("openai")
        switch.force_open()
        waiting = start(*spread_calls(client, 10, on_open="wait", timeout=None))
        impatient = start(*spread_calls(client, 1, on_open="wait", timeout=5.0))
        await asyncio.sleep(60)
        assert transport.total == 0
        assert isinstance((await outcomes(impatient))[0], DeadlineExceededError)
        switch.reset()
        answers = await outcomes(waiting)
        assert_at_rest(client, transport)

    assert {type(answer) for answer in answers} == {ChatResponse}
    assert 60 < virtual_clock.elapsed < 62


async def test_forcing_it_open_refuses_who_waits_and_lets_finish_who_is_under_way() -> None:
    """As when it opens by itself."""
    transport = steady(delay=10.0)
    async with client_of(transport, limit=2) as client:
        sent = start(*spread_calls(client, 2))
        waiting = start(*spread_calls(client, 3))
        await asyncio.sleep(1)
        client.breaker("openai").force_open()
        results = await outcomes([*sent, *waiting])
        assert_at_rest(client, transport)

    assert [type(result) for result in results] == [ChatResponse] * 2 + [CircuitOpenError] * 3


async def test_forced_closed_it_never_opens_and_counts_all_the_same() -> None:
    """The statistics say what it would have seen."""
    recorder = Recorder()
    transport = ScriptedTransport(default=reply(status=500))
    async with client_of(transport, retry=Retry(attempts=1), hooks=[recorder]) as client:
        switch = client.breaker("openai")
        switch.force_closed()
        results = [type(result) for result in await outcomes(spread_calls(client, 60))]
        statistics = client.statistics().endpoints["openai"].breaker
        switch.reset()
        await outcomes(spread_calls(client, 5))
        assert switch.state == "open"

    assert results == [ServerError] * 60
    assert (statistics.state, statistics.opened) == ("forced-closed", 0)
    assert (statistics.calls, statistics.failure_rate) == (50, 1.0)
    assert [(event.old, event.new, event.reason) for event in recorder.of(BreakerChanged)] == [
        ("closed", "forced-closed", "forced by hand"),
        ("forced-closed", "closed", "reset by hand"),
        ("closed", "open", "5 failures in a row"),
    ]


async def test_an_open_breaker_can_be_closed_by_hand() -> None:
    """The operator knows that the service is back."""
    well = False
    transport = ScriptedTransport(lambda _: reply("well") if well else reply(status=500))
    async with client_of(transport, retry=Retry(attempts=1)) as client:
        await outcomes(spread_calls(client, 5))
        waiting = start(client.chat(MODEL, "x", on_open="wait"))
        await turns()
        well = True
        client.breaker("openai").reset()
        answers = await outcomes(waiting)
        assert_at_rest(client, transport)

    assert isinstance(answers[0], ChatResponse)
