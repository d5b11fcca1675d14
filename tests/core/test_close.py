"""Closing: whatever is under way hears of it, and nothing is left."""

from __future__ import annotations

import asyncio

import pytest

from asyncapi import (
    Batch,
    ChatResponse,
    Client,
    ClientClosedError,
    ConnectionLostError,
    Endpoint,
    StreamInterruptedError,
)
from asyncapi.testing import VirtualTime
from asyncapi.testing.scripted import ScriptedTransport, Step, hang, stream
from asyncapi.types.wire import Outgoing
from tests.core.worlds import (
    MODEL,
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
)

pytestmark = pytest.mark.virtual_time


async def test_waiting_calls_hear_of_it_and_calls_in_flight_may_finish(virtual_clock: VirtualTime) -> None:
    """Nothing that was sent is thrown away here: the transport belongs to the caller."""
    transport = steady(delay=1.0)
    client = client_of(transport, limit=2)
    calls = start(*spread_calls(client, 6))
    await turns()
    await client.aclose()
    results = await outcomes(calls)

    assert [type(result) for result in results] == [ChatResponse] * 2 + [ClientClosedError] * 4
    assert all("nothing" in str(r) or "waited" in str(r) for r in results[2:])
    assert_at_rest(client, transport)
    assert virtual_clock.pending_tasks() == ()


async def test_a_mixed_crowd_leaves_no_task_and_no_timer(virtual_clock: VirtualTime) -> None:
    """Waiting, in flight, gathering, batched, streaming, in backoff, waiting for its pace."""

    def script(request: Outgoing) -> Step:
        if request.body and b'"stream":true' in request.body:
            return stream(["a"] * 50, interval=0.1)
        return hang()

    transport = ScriptedTransport(script)
    client = client_of(transport, limit=4, batch=Batch(size=4, wait=10.0), requests_per_second=100)
    chats = start(*spread_calls(client, 10))
    streams = start(read(client.stream(MODEL, "x")), read(client.stream(MODEL, "x")))
    embeds = start(*(client.embed(MODEL, str(i)) for i in range(6)))
    await asyncio.sleep(0.5)
    await client.aclose()
    assert len(core_tasks(client)) == 0
    for task in (*chats, *streams, *embeds):
        task.cancel()
    await outcomes([*chats, *streams, *embeds])
    await turns()

    assert_at_rest(client, transport)
    assert virtual_clock.pending_tasks() == ()
    assert virtual_clock.pending_timers() == ()


def core_tasks(client: Client) -> list[object]:
    """The tasks that the client's endpoints own."""
    return [task for endpoint in client._runtime.made.values() for task in endpoint.tasks._running]


async def test_using_a_closed_client_is_an_error_that_says_so() -> None:
    """For every verb, and before anything is sent."""
    transport = steady()
    client = client_of(transport)
    async with client:
        await client.chat(MODEL, "x")
    for use in (client.chat(MODEL, "x"), client.embed(MODEL, "x"), client.models("openai")):
        error = await caught(ClientClosedError, use)
        assert error.sent is False
    with pytest.raises(ClientClosedError, match="make a new one"):
        client.stream(MODEL, "x")
    with pytest.raises(ClientClosedError):
        async with client:
            raise AssertionError("entered")
    assert transport.total == 1


async def test_closing_twice_or_never_having_begun_is_fine() -> None:
    """Idempotent, with and without calls before."""
    client = client_of(steady())
    await client.aclose()
    await client.aclose()
    other = client_of(steady())
    await other.chat(MODEL, "x")
    await asyncio.gather(other.aclose(), other.aclose())
    await other.aclose()
    assert_at_rest(other)


async def test_a_close_that_is_cancelled_can_be_finished_later() -> None:
    """Nobody new is let in meanwhile."""
    client = client_of(ScriptedTransport(default=hang()), batch=Batch(size=2))
    embeds = start(*(client.embed(MODEL, str(i)) for i in range(2)))
    await turns()
    (closing,) = start(client.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await outcomes([closing])
    await caught(ClientClosedError, client.chat(MODEL, "x"))
    await client.aclose()
    results = await outcomes(embeds)
    assert {type(result) for result in results} == {ConnectionLostError}
    assert_at_rest(client)


async def test_a_stream_that_is_read_across_the_close_goes_on_or_breaks_but_never_hangs() -> None:
    """The transport is the caller's own: the stream goes on to its end."""
    transport = ScriptedTransport([stream(["a", "b", "c"], interval=1.0)])
    client = client_of(transport)
    async with client.stream(MODEL, "x") as answer:
        await anext(answer)
        await client.aclose()
        (rest,) = await outcomes([answer.collect()])
    assert isinstance(rest, (ChatResponse, StreamInterruptedError))
    assert_at_rest(client, transport)


async def test_calls_that_queue_at_two_endpoints_are_all_refused() -> None:
    """Every endpoint is closed, also those after one that takes its time."""
    transport = ScriptedTransport(default=hang())
    endpoints = [
        Endpoint("openai", name=name, base_url=f"https://{name}.test/v1", keys=("sk-a",), limit=1)
        for name in ("one", "two")
    ]
    client = Client(endpoints, transport=transport, log=False, environment={})
    calls = start(*(client.chat(f"{name}:m", "x") for name in ("one", "two") for _ in range(3)))
    await turns()
    await client.aclose()
    waiting = [call for call in calls if call.done()]
    assert len(waiting) == 4
    assert {type(call.exception()) for call in waiting} == {ClientClosedError}
    for call in calls:
        call.cancel()
    await outcomes(calls)
    assert client.endpoints() == ("one", "two")


async def test_the_worker_is_one_task_and_starts_with_the_first_call_that_waits() -> None:
    """No task for who never waits."""
    client = client_of(steady(), limit=1)
    await client.chat(MODEL, "x")
    assert core_tasks(client) == []
    await asyncio.gather(*spread_calls(client, 3))
    assert len(core_tasks(client)) == 1
    await client.aclose()
    assert core_tasks(client) == []
    assert core(client).closed
