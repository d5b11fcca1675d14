"""Answers that come too late: a service that is slow for everybody is no better than one that is down."""

from __future__ import annotations

import asyncio

import pytest

from asyncapi import Breaker, CircuitOpenError
from asyncapi.testing.scripted import ScriptedTransport, reply, stream
from asyncapi.types.events import BreakerChanged, VerdictGiven
from tests.core.worlds import (
    MODEL,
    Recorder,
    assert_at_rest,
    caught,
    client_of,
    outcomes,
    read,
    spread_calls,
    steady,
)

pytestmark = pytest.mark.virtual_time


async def test_a_service_that_answers_everything_too_late_opens_it() -> None:
    """All ten callers get their answers; the eleventh is told to come back later."""
    recorder = Recorder()
    transport = steady(delay=2.0)
    async with client_of(transport, limit=10, breaker=Breaker(slow_after=1.0), hooks=[recorder]) as client:
        answers = await asyncio.gather(*spread_calls(client, 10))
        error = await caught(CircuitOpenError, client.chat(MODEL, "x"))
        statistics = client.statistics().endpoints["openai"]
        assert_at_rest(client, transport)

    assert [answer.text for answer in answers] == ["fine"] * 10
    assert error.retry_after is not None
    assert [event.reason for event in recorder.of(BreakerChanged)] == ["10 of the last 10 calls were slow"]
    assert {event.verdict for event in recorder.of(VerdictGiven)} == {"slow"}
    assert (statistics.calls.succeeded, statistics.keys["key-1"].ok) == (10, 10)
    assert statistics.service_time.count == 10


async def test_by_default_no_answer_is_too_late() -> None:
    """How long a good answer takes is the caller's affair: deadlines are for that."""
    async with client_of(steady(delay=500.0), limit=50) as client:
        await asyncio.gather(*spread_calls(client, 50))
        assert client.statistics().endpoints["openai"].breaker.state == "closed"


async def test_a_slow_probe_opens_it_again_and_a_quick_one_does_not() -> None:
    """Half-open, the answer must also be in time."""
    delay = 2.0
    transport = ScriptedTransport(lambda _: reply("fine", delay=delay))
    async with client_of(transport, limit=10, breaker=Breaker(slow_after=1.0)) as client:
        switch = client.breaker("openai")
        await asyncio.gather(*spread_calls(client, 10))
        await asyncio.sleep(30)
        await client.chat(MODEL, "a slow probe")
        after_slow = switch.state
        delay = 0.5
        await asyncio.sleep(60)
        for _ in range(2):
            await client.chat(MODEL, "a quick probe")
        after_quick = switch.state

    assert (after_slow, after_quick) == ("open", "closed")


async def test_auto_learns_what_is_usual_here() -> None:
    """Four times the usual, and 30 s at least: 29 s are not slow, 40 s are."""
    delay = 0.5
    transport = ScriptedTransport(lambda _: reply("fine", delay=delay))
    breaker = Breaker(slow_after="auto", window=20)
    states = []
    async with client_of(transport, limit=20, breaker=breaker, queue_size=100) as client:
        for took, calls in ((0.5, 60), (29.0, 20), (40.0, 20)):
            delay = took
            await outcomes(spread_calls(client, calls))
            states.append(client.breaker("openai").state)

    assert states == ["closed", "closed", "open"]


async def test_auto_has_patience_with_a_service_that_always_takes_long() -> None:
    """A minute is usual here: two are not slow."""
    delay = 60.0
    transport = ScriptedTransport(lambda _: reply("fine", delay=delay))
    async with client_of(
        transport, limit=20, breaker=Breaker(slow_after="auto"), queue_size=100, timeout=None
    ) as client:
        for took in (60.0, 60.0, 60.0, 120.0):
            delay = took
            await outcomes(spread_calls(client, 20))
        assert client.breaker("openai").state == "closed"


async def test_a_stream_is_as_quick_as_its_first_token() -> None:
    """A long answer is no slow one."""
    transport = ScriptedTransport(default=stream(("a ", "b ", "c "), delay=0.5, interval=5.0))
    async with client_of(transport, limit=20, breaker=Breaker(slow_after=1.0)) as client:
        await asyncio.gather(*(read(client.stream(MODEL, "x")) for _ in range(20)))
        assert client.breaker("openai").state == "closed"
        assert client.statistics().endpoints["openai"].breaker.slow_rate == 0.0
