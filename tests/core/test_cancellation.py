"""Cancellation: at any moment, at any place, nothing is lost and nothing is left."""

from __future__ import annotations

import asyncio
import os

import pytest

from asyncapi import Batch, ChatResponse, Client, DeadlineExceededError, ReadTimeoutError, Retry, Timeout
from asyncapi.testing import VirtualTime
from asyncapi.testing.scripted import ScriptedTransport, Step, hang, reply, stream
from asyncapi.types.events import CallFinished
from asyncapi.types.wire import Outgoing
from tests.core import chaos
from tests.core.worlds import (
    MODEL,
    Recorder,
    assert_at_rest,
    caught,
    client_of,
    core,
    outcomes,
    read,
    spread_calls,
    start,
    steady,
    turns,
    vectors,
)

#: How much chaos. The full measure is CHAOS_SEEDS=200 CHAOS_CALLS=10000 (about six minutes).
SEEDS = int(os.environ.get("CHAOS_SEEDS", "20"))
CALLS = int(os.environ.get("CHAOS_CALLS", "2000"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
def test_calls_cancelled_at_random_moments_leave_nothing_behind(seed: int) -> None:
    """litellm#27955: in flight, permits, keys, queue, timers and tasks are all back to zero."""
    outcome = chaos.run(seed, CALLS)

    assert outcome.ended["cancelled"] > 0
    assert sum(outcome.ended.values()) <= CALLS


def test_the_same_seed_gives_the_same_history_twice() -> None:
    """Every event, in order, with its times and counts."""
    first, second = chaos.run(7, 600), chaos.run(7, 600)

    assert first.history == second.history
    assert len(first.history) > 1_000
    assert chaos.run(8, 600).history != first.history


def _busy(request: Outgoing) -> Step:
    """Fails, then answers; streams and embeddings too: so that a call has many places to be cancelled at."""
    if request.url.endswith("/embeddings"):
        return vectors(request, delay=0.05)
    if request.body and b'"stream":true' in request.body:
        return stream(["a ", "b "], delay=0.02, interval=0.02)
    return reply("fine", delay=0.05)


async def _all_kinds(client: Client) -> None:
    await client.chat(MODEL, "x")
    await read(client.stream(MODEL, "x"))
    await asyncio.gather(client.embed(MODEL, "1"), client.embed(MODEL, "2"))


@pytest.mark.virtual_time
async def test_a_cancellation_at_every_single_turn_is_clean() -> None:
    """The same work, cancelled at turn 1, at turn 2, and so on to its end."""
    for turn in range(200):
        failures = [reply(status=500), reply(status=429, retry_after=0.01)]

        def script(request: Outgoing, failures: list[Step] = failures) -> Step:  # type: ignore[assignment]
            return failures.pop() if failures else _busy(request)

        transport = ScriptedTransport(script)
        settings = {"retry": Retry(base=0.01, cap=0.01), "batch": Batch(size=4, wait=0.01)}
        async with client_of(transport, limit=1, **settings) as client:  # type: ignore[arg-type]
            blocker, work = start(client.chat(MODEL, "blocker"), _all_kinds(client))
            for _ in range(turn):
                await asyncio.sleep(0)
                await asyncio.sleep(0.004)
            work.cancel()
            await outcomes([work])
            await turns()
            await outcomes([blocker])
            await turns()
            assert_at_rest(client, transport)
            if not work.cancelled():
                break
    else:
        raise AssertionError("the work was never done")
    assert turn > 20


@pytest.mark.virtual_time
@pytest.mark.parametrize("place", ["queue", "sending", "body", "backoff", "pace", "batch", "stream"])
async def test_wherever_a_call_is_it_can_be_cancelled(place: str, virtual_clock: VirtualTime) -> None:
    """Queued, connecting, mid-body, in backoff, waiting for its pace, gathering, mid-stream."""
    recorder = Recorder()
    answers: dict[str, Step] = {
        "backoff": reply(status=500),
        "stream": stream(["a"] * 9, interval=1.0),
        "body": stream(raw=[b"{", b"}"], interval=50.0),
    }
    transport = ScriptedTransport(default=answers.get(place, hang()))
    async with client_of(
        transport,
        limit=1,
        hooks=[recorder],
        retry=Retry(base=100.0, cap=100.0),
        batch=Batch(size=8, wait=60.0),
        timeout=Timeout(first_byte=5.0 if place == "body" else None),
        requests_per_second=0.01 if place == "pace" else None,
    ) as client:
        others = start(client.chat(MODEL, "other")) if place in ("queue", "pace", "batch") else []
        await turns()
        if place == "stream":
            call = asyncio.ensure_future(read(client.stream(MODEL, "x")))
        elif place == "batch":
            call = asyncio.ensure_future(client.embed(MODEL, "1"))
        else:
            call = asyncio.ensure_future(client.chat(MODEL, "x"))
        await asyncio.sleep(1.0)
        before = virtual_clock.elapsed
        call.cancel()
        await outcomes([call])
        assert call.cancelled()
        assert virtual_clock.elapsed - before < 0.001
        assert [event.outcome for event in recorder.of(CallFinished)] == ["cancelled"]
        for other in others:
            other.cancel()
        await outcomes(others)
        await turns(20)
        assert_at_rest(client, transport)


@pytest.mark.virtual_time
async def test_cancelled_in_the_queue_nothing_is_sent() -> None:
    """And the next in line doesn't wait for the dead."""
    transport = steady(delay=1.0)
    async with client_of(transport, limit=1) as client:
        calls = start(*spread_calls(client, 6))
        await turns()
        for call in calls[1:5]:
            call.cancel()
        await outcomes(calls)
        assert transport.total == 2
        assert client.statistics().endpoints["openai"].calls.cancelled == 4


@pytest.mark.virtual_time
async def test_a_cancellation_is_never_retried_nor_swallowed() -> None:
    """A cancelled task is cancelled, whatever the policy says."""
    transport = ScriptedTransport(default=hang())
    async with client_of(transport, retry=Retry(attempts=9, reserve=9)) as client:
        (call,) = start(client.chat(MODEL, "x"))
        await asyncio.sleep(1)
        call.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.sleep(100)
        assert transport.total == 1


@pytest.mark.virtual_time(seed=3, shuffle=0.5)
async def test_cancelling_and_timing_out_in_the_same_instant_ends_every_call_once() -> None:
    """Deadline and cancellation at 1.0 s: one end each, nothing left."""
    recorder = Recorder()
    transport = ScriptedTransport(default=hang())
    async with client_of(transport, limit=3, hooks=[recorder]) as client:
        loop = asyncio.get_running_loop()
        calls = start(*spread_calls(client, 30, timeout=1.0))
        for call in calls[::2]:
            loop.call_at(1.0, call.cancel)
        await outcomes(calls)
        await turns()
        assert len(recorder.of(CallFinished)) == 30
        assert_at_rest(client, transport)


@pytest.mark.virtual_time
async def test_a_task_group_that_fails_takes_its_calls_with_it() -> None:
    """Structured concurrency works as everywhere."""
    transport = ScriptedTransport([hang(), hang(), reply(status=404)])
    async with client_of(transport) as client:

        async def grouped() -> None:
            async with asyncio.TaskGroup() as group:
                for call in spread_calls(client, 3):
                    group.create_task(call)

        await caught(ExceptionGroup, grouped())
        assert (transport.in_flight, transport.aborted) == (0, 2)
        assert_at_rest(client, transport)


@pytest.mark.virtual_time
@pytest.mark.parametrize("delay", [0.999999, 1.0, 1.000001, 1.000002, 1.000003, 1.000004])
async def test_a_grant_and_a_deadline_in_the_same_turn_lose_nothing(delay: float) -> None:
    """The permit comes free at the very moment at which the next in line expires."""
    transport = steady("fine", delay=delay)
    async with client_of(transport, limit=1) as client:
        results = await outcomes(spread_calls(client, 6, timeout=1.00001))
        assert {type(r) for r in results} <= {ChatResponse, DeadlineExceededError, ReadTimeoutError}
        assert core(client).semaphore.in_flight == 0
        assert_at_rest(client, transport)
