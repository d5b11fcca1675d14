"""Retries: one owner, one budget, and backoff that holds nothing."""

from __future__ import annotations

import asyncio

import pytest

from asyncapi import (
    Breaker,
    ChatResponse,
    ClientClosedError,
    ConnectError,
    ConnectionLostError,
    DecodeError,
    InvalidRequestError,
    Key,
    OverloadedError,
    RateLimitError,
    ReadTimeoutError,
    Retry,
    ServerError,
)
from asyncapi.testing import VirtualTime
from asyncapi.testing.scripted import ScriptedTransport, Step, fail, reply
from asyncapi.types.events import DecodeFailed, RetryScheduled, TransportSent, VerdictGiven
from tests.core.worlds import (
    MODEL,
    Recorder,
    assert_at_rest,
    caught,
    client_of,
    core,
    outcomes,
    spread_calls,
    start,
)

pytestmark = pytest.mark.virtual_time

NEVER_OPEN = Breaker(enabled=False)


@pytest.mark.parametrize(
    "first",
    [
        reply(status=500),
        reply(status=502),
        reply(status=503),
        reply("busy", status=529),
        reply(status=408),
        fail(ConnectError("refused")),
        fail(ConnectionLostError("lost", sent=True)),
        reply(b"<html>garbage</html>"),
        reply(status=429),
    ],
)
async def test_what_may_pass_is_tried_again(first: Step) -> None:
    """The second attempt answers; the caller sees one call of two attempts."""
    transport = ScriptedTransport([first, reply("fine")])
    async with client_of(transport) as client:
        answer = await client.chat(MODEL, "x")
        assert (answer.text, answer.attempts) == ("fine", 2)
        assert client.statistics().endpoints["openai"].retries == 1
        assert_at_rest(client, transport)


@pytest.mark.parametrize("status", [400, 403, 404, 413, 422])
async def test_the_callers_own_mistakes_are_not(status: int) -> None:
    """The same request would fail again."""
    transport = ScriptedTransport([reply(status=status)])
    async with client_of(transport) as client:
        (error,) = await outcomes([client.chat(MODEL, "x")])
        assert getattr(error, "status", None) == status
        assert transport.total == 1


async def test_attempts_are_counted_with_the_first() -> None:
    """attempts=3 is three requests, and the last error is the caller's."""
    transport = ScriptedTransport(default=reply("no", status=500))
    async with client_of(transport, retry=Retry(attempts=3)) as client:
        error = await caught(ServerError, client.chat(MODEL, "x"))

    assert (error.attempts, transport.total) == (3, 3)


async def test_garbage_is_tried_again_a_single_time() -> None:
    """Twice is a broken service."""
    recorder = Recorder()
    transport = ScriptedTransport(default=reply(b"garbage"))
    async with client_of(transport, hooks=[recorder]) as client:
        error = await caught(DecodeError, client.chat(MODEL, "x"))

    assert (error.attempts, error.body) == (2, b"garbage")
    assert len(recorder.of(DecodeFailed)) == 2


async def test_backoff_grows_jitters_and_holds_nothing() -> None:
    """While a call waits to try again nothing of it is in flight: others use the permit."""
    recorder = Recorder()
    transport = ScriptedTransport(default=reply(status=500))
    settings = Retry(attempts=6, base=1.0, cap=8.0, reserve=10)
    async with client_of(transport, limit=1, retry=settings, breaker=NEVER_OPEN, hooks=[recorder]) as client:
        call = asyncio.ensure_future(client.chat(MODEL, "x"))
        while not call.done():
            await asyncio.sleep(0.01)
            assert core(client).semaphore.in_flight == 0
            assert [key.in_flight for key in core(client).keys.keys] == [0]
        await caught(ServerError, call)

    delays = [event.delay_s for event in recorder.of(RetryScheduled)]
    assert all(0 <= delay <= min(8.0, 2.0**i) for i, delay in enumerate(delays))
    assert len(set(delays)) == 5


async def test_a_delay_that_the_service_asks_for_wins_over_backoff() -> None:
    """529 with Retry-After: never sooner, a tenth later at most, and nobody else goes meanwhile."""
    transport = ScriptedTransport([reply("busy", status=529, retry_after=20)], default=reply("fine"))
    async with client_of(transport, retry=Retry(base=0.1, cap=0.1)) as client:
        calls = start(*spread_calls(client, 1))
        await asyncio.sleep(1)
        calls += start(*spread_calls(client, 5))
        await asyncio.gather(*calls)

    times = [sent.time for sent in transport.requests]
    assert 20.0 <= times[1] <= 22.1


@pytest.mark.slow
async def test_total_failure_is_not_multiplied(virtual_clock: VirtualTime) -> None:
    """A minute of 100 % failure, 200 callers: requests stay below (1 + budget) * offered + reserve."""
    transport = ScriptedTransport(default=reply(status=500, delay=0.05), keep=1)
    settings = Retry(attempts=4, base=0.05, cap=0.2, budget=0.2, reserve=10)
    offered = 0
    async with client_of(transport, limit=200, queue_size=1000, retry=settings, breaker=NEVER_OPEN) as client:

        async def caller() -> None:
            nonlocal offered
            while virtual_clock.elapsed < 60:
                offered += 1
                await outcomes([client.chat(MODEL, "x")])
                await asyncio.sleep(1.0)

        await asyncio.gather(*(caller() for _ in range(200)))
        assert_at_rest(client, transport)

    assert offered > 5_000
    assert offered < transport.total <= 1.2 * offered + 10


async def test_connections_that_fail_cost_no_budget() -> None:
    """Nothing was sent, so trying again adds no load there; only the attempts bound it."""
    transport = ScriptedTransport(default=fail(ConnectError("refused")))
    async with client_of(transport, retry=Retry(budget=0.0, reserve=0), breaker=NEVER_OPEN) as client:
        error = await caught(ConnectError, client.chat(MODEL, "x"))

    assert error.attempts == 4


async def test_without_budget_nothing_is_tried_again() -> None:
    """budget=0 and reserve=0 turn paid retries off."""
    transport = ScriptedTransport(default=reply(status=500))
    async with client_of(transport, retry=Retry(budget=0.0, reserve=0)) as client:
        assert (await caught(ServerError, client.chat(MODEL, "x"))).attempts == 1


async def test_two_hundred_throttled_callers_wait_out_the_delay_and_then_come_spread() -> None:
    """429 with Retry-After 2 to everyone: nothing before 2 s, and never more than the limit together."""
    throttled_until = 2.0

    def script(_: object) -> Step:
        now = asyncio.get_running_loop().time()
        return reply(status=429, retry_after=throttled_until - now) if now < 2.0 else reply(delay=0.05)

    transport = ScriptedTransport(script)
    settings = Retry(budget=1.0, reserve=200)
    async with client_of(transport, limit=5, queue_size=300, retry=settings) as client:
        answers = await outcomes(spread_calls(client, 200))

    assert {type(answer) for answer in answers} == {ChatResponse}
    times = [sent.time for sent in transport.requests]
    assert [time for time in times if 0.01 < time < 2.0] == []
    assert transport.peak_in_flight == 5


async def test_a_retry_that_comes_after_the_close_ends_with_the_services_error() -> None:
    """The last answer says more than our own closing."""
    transport = ScriptedTransport(default=reply(status=500))
    client = client_of(transport, retry=Retry(base=10.0))
    call = asyncio.ensure_future(client.chat(MODEL, "x"))
    await asyncio.sleep(0.01)
    await client.aclose()
    error = await caught(ServerError, call)

    assert (error.attempts, transport.total) == (1, 1)
    await caught(ClientClosedError, client.chat(MODEL, "y"))


async def test_a_returning_call_that_waits_at_the_close_ends_with_the_services_error() -> None:
    """It is in the queue for its second attempt when the client closes."""
    transport = ScriptedTransport(default=reply(status=429, retry_after=100))
    client = client_of(transport)
    call = asyncio.ensure_future(client.chat(MODEL, "x"))
    await asyncio.sleep(1)
    assert core(client).queue.qsize() == 1
    await client.aclose()
    await caught(RateLimitError, call)


async def test_an_overloaded_service_makes_every_key_wait() -> None:
    """529 is not the key's fault: another key would not help."""
    transport = ScriptedTransport([reply("busy", status=529, retry_after=5)], default=reply("fine"))
    async with client_of(transport, keys=[Key("sk-a"), Key("sk-b")]) as client:
        await asyncio.gather(*spread_calls(client, 1))

    assert transport.requests[1].time >= 5.0


async def test_a_rest_that_a_service_asked_for_is_not_shortened_by_a_later_answer() -> None:
    """Two in flight are told 10 s, then 2 s: the longer one counts, for both and for who comes after."""
    answers: list[Step] = [
        reply("busy", status=529, retry_after=10, delay=0.1),
        reply("busy", status=529, retry_after=2, delay=0.2),
    ]
    transport = ScriptedTransport(answers, default=reply("fine"))
    async with client_of(transport, limit=2) as client:
        await asyncio.gather(*spread_calls(client, 2), client.chat(MODEL, "x"))

    assert [sent.time >= 10.1 for sent in transport.requests] == [False, False, True, True, True]


async def test_events_tell_the_story_of_a_retry() -> None:
    """Sent, failed, scheduled, sent, ok: with the attempt's number in each."""
    recorder = Recorder(detail=True)
    transport = ScriptedTransport([reply(status=500), reply("fine")])
    async with client_of(transport, hooks=[recorder]) as client:
        await client.chat(MODEL, "x", request_id="mine")

    assert [event.attempt for event in recorder.of(TransportSent)] == [1, 2]
    assert [(e.attempt, e.verdict, e.error) for e in recorder.of(VerdictGiven)] == [
        (1, "failed", "server_error"),
        (2, "ok", ""),
    ]
    assert [event.error for event in recorder.of(RetryScheduled)] == ["server_error"]


async def test_a_backoff_that_would_end_after_the_deadline_is_not_begun(virtual_clock: VirtualTime) -> None:
    """The service's error at once, instead of a wait for nothing."""
    transport = ScriptedTransport(default=reply("busy", status=529, retry_after=30))
    async with client_of(transport) as client:
        error = await caught(OverloadedError, client.chat(MODEL, "x", timeout=10.0))

    assert (error.attempts, error.retry_after) == (1, 30)
    assert virtual_clock.elapsed < 0.1


async def test_a_deadline_that_passes_before_the_next_attempt_gives_the_last_error() -> None:
    """Back from its backoff it waits for a permit until its time is over."""
    transport = ScriptedTransport([reply(status=500)], default=reply(delay=60.0))
    async with client_of(transport, limit=1, retry=Retry(base=0.1, cap=0.1)) as client:
        first, second = start(client.chat(MODEL, "x", timeout=5.0), client.chat(MODEL, "y", timeout=90.0))
        error = await caught(ServerError, first)
        assert error.attempts == 1
        await second


async def test_an_error_marked_as_final_is_not_retried() -> None:
    """A service may refine its class."""
    transport = ScriptedTransport([fail(ReadTimeoutError("too slow", retryable=False))])
    async with client_of(transport) as client:
        assert (await caught(ReadTimeoutError, client.chat(MODEL, "x"))).attempts == 1


async def test_a_request_that_can_not_be_written_is_refused_before_it_waits() -> None:
    """Encoding happens once, before the queue."""
    transport = ScriptedTransport()
    async with client_of(transport) as client:
        (error,) = await outcomes([client.chat(MODEL, "\ud800")])
        assert "JSON" in str(error)
        assert not isinstance(error, InvalidRequestError)
        assert_at_rest(client, transport)
