"""Draining: no newcomers, what is under way may end, and then nothing is left."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from typing import Any

import pytest

from asyncapi import (
    Batch,
    ChatResponse,
    Client,
    ClientClosedError,
    ConfigError,
    ConnectionLostError,
    Endpoint,
    Retry,
    ServerError,
)
from asyncapi.testing import VirtualTime
from asyncapi.testing.scripted import ScriptedTransport, Step, hang, reply, stream
from asyncapi.types.events import BatchFlushed
from asyncapi.types.wire import Outgoing
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

pytestmark = pytest.mark.virtual_time


async def test_newcomers_are_refused_from_the_first_moment() -> None:
    """Every verb, and a stream that was made before and is entered now."""
    transport = steady(delay=1.0)
    client = client_of(transport)
    early = client.stream(MODEL, "x")
    (running, closing) = start(client.chat(MODEL, "x"), _closed(client, drain=10.0))
    await turns()

    for use in (client.chat(MODEL, "x"), client.embed(MODEL, "x"), early.__aenter__()):
        error = await caught(ClientClosedError, use)
        assert "is closing: nothing was sent" in str(error)
        assert error.sent is False
    await outcomes([running, closing])
    assert transport.total == 1
    assert_at_rest(client, transport)


async def _closed(client: Client, **options: float) -> Any:
    await client.aclose(**options)


async def test_it_ends_as_soon_as_the_last_call_has(virtual_clock: VirtualTime) -> None:
    """Two permits, six calls of a second, ten seconds to do it in: three are enough."""
    transport = steady(delay=1.0)
    client = client_of(transport, limit=2)
    calls = start(*spread_calls(client, 6))
    await turns()
    await client.aclose(drain=10.0)

    assert virtual_clock.elapsed == pytest.approx(3.0, abs=0.01)
    assert [type(result) for result in await outcomes(calls)] == [ChatResponse] * 6
    assert_at_rest(client, transport)
    assert virtual_clock.pending_tasks() == ()
    assert virtual_clock.pending_timers() == ()


async def test_what_has_not_ended_in_time_is_ended(virtual_clock: VirtualTime) -> None:
    """2.5 s for a queue of six: those that wait hear that nothing was sent."""
    client = client_of(steady(delay=1.0), limit=1)
    calls = start(*spread_calls(client, 6))
    await turns()
    await client.aclose(drain=2.5)
    assert virtual_clock.elapsed == pytest.approx(2.5, abs=0.01)

    results = await outcomes(calls)
    assert [type(result) for result in results] == [ChatResponse] * 3 + [ClientClosedError] * 3
    assert_at_rest(client)
    assert virtual_clock.pending_tasks() == ()


async def test_a_call_between_two_attempts_gets_its_next_one() -> None:
    """It holds nothing while it waits, and is under way all the same."""
    transport = ScriptedTransport([reply(status=503, retry_after=5.0), reply("late")])
    client = client_of(transport)
    (call,) = start(client.chat(MODEL, "x"))
    await asyncio.sleep(1.0)
    await client.aclose(drain=60.0)

    assert (await call).text == "late"
    assert_at_rest(client, transport)


@pytest.mark.parametrize("drain", [0.0, 2.0])
async def test_a_call_between_two_attempts_hears_of_the_end_at_once(
    drain: float, virtual_clock: VirtualTime
) -> None:
    """Not when its wait of ten minutes is over, and with what the service said."""
    transport = ScriptedTransport([reply(status=503, retry_after=600.0)])
    client = client_of(transport, timeout=None)
    (call,) = start(client.chat(MODEL, "x", timeout=None))
    await asyncio.sleep(1.0)
    await client.aclose(drain=drain)
    (error,) = await outcomes([call])

    assert virtual_clock.elapsed == pytest.approx(1.0 + drain, abs=0.01)
    assert isinstance(error, ServerError)
    assert_at_rest(client, transport)
    assert virtual_clock.pending_timers() == ()


async def test_a_call_that_fails_after_the_end_is_not_tried_again(virtual_clock: VirtualTime) -> None:
    """It was in flight on the caller's own transport: its error is told when it comes."""
    transport = ScriptedTransport([reply(status=503, retry_after=600.0, delay=2.0)])
    client = client_of(transport)
    (call,) = start(client.chat(MODEL, "x", timeout=None))
    await asyncio.sleep(1.0)
    await client.aclose()
    (error,) = await outcomes([call])

    assert isinstance(error, ServerError)
    assert virtual_clock.elapsed == pytest.approx(2.0, abs=0.01)
    assert transport.total == 1
    assert_at_rest(client, transport)


async def test_a_batch_that_gathers_leaves_at_once(virtual_clock: VirtualTime) -> None:
    """Nobody else can come: waiting for company would be for nothing."""
    recorder = Recorder()
    transport = ScriptedTransport(lambda request: vectors(request, delay=0.5))
    client = client_of(transport, batch=Batch(size=1000, wait=30.0), hooks=[recorder])
    first = start(client.embed(MODEL, "1"))
    await asyncio.sleep(0.1)  # so fast do they come: the next is held for company
    rest = start(client.embed(MODEL, "2"), client.embed(MODEL, "3"))
    await asyncio.sleep(0.1)
    await client.aclose(drain=60.0)

    assert virtual_clock.elapsed == pytest.approx(0.7, abs=0.01)
    assert [r.vectors[0][0] for r in [await call for call in (*first, *rest)]] == [1.0, 2.0, 3.0]
    assert [(event.items, event.reason) for event in recorder.of(BatchFlushed)] == [(1, "idle"), (2, "drain")]
    assert_at_rest(client, transport)


async def test_a_stream_is_read_to_its_end() -> None:
    """It is under way until its reader has left it."""
    transport = ScriptedTransport([stream(["a", "b", "c"], interval=1.0)])
    client = client_of(transport)
    (reader,) = start(read(client.stream(MODEL, "x")))
    await asyncio.sleep(0.5)
    await client.aclose(drain=60.0)

    assert reader.done()
    assert (await reader).text == "abc"


async def test_a_call_may_go_on_to_the_next_target_of_its_route() -> None:
    """Also to an endpoint that was never asked before, chats and streams alike."""

    def script(request: Outgoing) -> Step:
        if "one.test" in request.url:
            return reply(status=500, delay=1.0)
        return stream(["fi", "ne"]) if request.body and b'"stream":true' in request.body else reply("fine")

    endpoints = [
        Endpoint("openai", name=n, base_url=f"https://{n}.test/v1", keys=("sk",), retry=Retry(attempts=1))
        for n in ("one", "two")
    ]
    transport = ScriptedTransport(script)
    routes = {"smart": ["one:m", "two:m"]}
    client = Client(endpoints, routes=routes, transport=transport, log=False, environment={})
    calls = start(client.chat("smart", "x"), read(client.stream("smart", "x")))
    late = client.stream("smart", "x")
    await turns()
    await client.aclose(drain=60.0)

    assert [result.text for result in [await call for call in calls]] == ["fine", "fine"]
    await caught(ClientClosedError, late.__aenter__())
    assert_at_rest(client, transport)


async def test_closing_at_once_ends_a_drain(virtual_clock: VirtualTime) -> None:
    """A second word is final, and both have closed when they return."""
    client = client_of(ScriptedTransport(default=hang()), limit=1)
    calls = start(*spread_calls(client, 3))
    (draining,) = start(_closed(client, drain=60.0))
    await asyncio.sleep(1.0)
    await client.aclose()
    await draining

    assert virtual_clock.elapsed == pytest.approx(1.0, abs=0.01)
    assert [call.done() for call in calls] == [False, True, True]
    calls[0].cancel()
    await outcomes(calls)
    assert_at_rest(client)
    assert virtual_clock.pending_timers() == ()


async def test_of_two_drains_the_shorter_one_counts(virtual_clock: VirtualTime) -> None:
    """Whoever is less patient decides for both."""
    client = client_of(ScriptedTransport(default=hang()))
    (call,) = start(client.chat(MODEL, "x"))
    await turns()
    await asyncio.gather(client.aclose(drain=60.0), client.aclose(drain=2.0))

    assert virtual_clock.elapsed == pytest.approx(2.0, abs=0.01)
    call.cancel()
    await outcomes([call])
    assert_at_rest(client)


async def test_a_drain_that_is_cancelled_closes_at_once(virtual_clock: VirtualTime) -> None:
    """The cancellation goes on its way, and nothing is left behind."""
    client = client_of(ScriptedTransport(default=hang()), limit=1, batch=Batch(size=2))
    chats = start(*spread_calls(client, 3))
    embeds = start(*(client.embed(MODEL, str(i)) for i in range(2)))
    (draining,) = start(_closed(client, drain=60.0))
    await asyncio.sleep(1.0)
    draining.cancel()
    (end,) = await outcomes([draining])

    assert isinstance(end, asyncio.CancelledError)
    assert virtual_clock.elapsed == pytest.approx(1.0, abs=0.01)
    assert core(client).closed
    assert len(core(client).tasks) == 0
    results = await outcomes([*chats[1:], *embeds])
    assert {type(result) for result in results} <= {ClientClosedError, ConnectionLostError}
    chats[0].cancel()
    await outcomes(chats)
    assert_at_rest(client)
    assert virtual_clock.pending_timers() == ()


async def test_a_client_with_nothing_to_do_is_closed_at_once(virtual_clock: VirtualTime) -> None:
    """However long it might take: never begun, at rest, closed before."""
    await client_of(steady()).aclose(drain=math.inf)
    client = client_of(steady(delay=0.0))
    await client.chat(MODEL, "x")
    await client.aclose(drain=60.0)
    await client.aclose(drain=60.0)

    assert virtual_clock.elapsed < 0.1
    assert_at_rest(client)


async def test_a_drain_without_end_waits_for_the_last_call(virtual_clock: VirtualTime) -> None:
    """Infinity is a time like any other."""
    client = client_of(steady(delay=500.0))
    (call,) = start(client.chat(MODEL, "x"))
    await turns()
    await client.aclose(drain=math.inf)

    assert call.done()
    assert virtual_clock.elapsed == pytest.approx(500.0, abs=0.01)


@pytest.mark.parametrize("drain", [-1.0, math.nan])
async def test_a_time_that_is_none_is_refused(drain: float) -> None:
    """And the client stays open."""
    client = client_of(steady())
    error = await caught(ConfigError, client.aclose(drain=drain))
    assert "expected 0 seconds or more" in str(error)
    assert (await client.chat(MODEL, "x")).text == "fine"
    await client.aclose()


async def test_calls_that_end_in_every_way_are_counted_out() -> None:
    """Answered, refused, failed, cancelled, timed out, left early: none keeps the client from closing."""

    def script(request: Outgoing) -> Step:
        if request.body and b'"stream":true' in request.body:
            return stream(["a", "b"], interval=1.0)
        steps: tuple[Step, ...] = (reply("fine"), reply(status=400), hang())
        return steps[transport.total % 3]

    transport = ScriptedTransport(script)
    client = client_of(transport, limit=3, queue_size=2)

    async def leave_early() -> None:
        async with client.stream(MODEL, "x") as answer:
            await anext(answer)

    uses: list[Coroutine[Any, Any, Any]] = [client.chat(MODEL, "x", timeout=5.0) for _ in range(9)]
    tasks = start(*uses, leave_early(), read(client.stream(MODEL, "x")))
    await turns()
    tasks[0].cancel()
    await outcomes(tasks)

    assert core(client).calls == 0
    await client.aclose(drain=math.inf)
    assert_at_rest(client, transport)
