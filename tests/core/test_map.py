"""map: many calls from a lazy source, with bounded memory and results as they finish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

import pytest

from asyncapi import (
    ChatRequest,
    ChatResponse,
    ClientClosedError,
    ConfigError,
    Done,
    Key,
    Message,
    NotFoundError,
    Priority,
    Retry,
    Text,
    UnknownModelError,
)
from asyncapi.testing import VirtualTime
from asyncapi.testing.scripted import ScriptedTransport, Step, hang, reply
from asyncapi.types.wire import Outgoing
from tests.core.worlds import (
    MODEL,
    assert_at_rest,
    caught,
    client_of,
    outcomes,
    spread_calls,
    steady,
    text_of,
    turns,
)

pytestmark = pytest.mark.virtual_time


def _ask(text: object, model: str = MODEL) -> ChatRequest:
    return ChatRequest(model=model, messages=(Message("user", (Text(str(text)),)),))


async def _all(results: AsyncIterator[Done]) -> list[Done]:
    return [done async for done in results]


async def test_results_come_as_they_finish_with_their_place_in_the_source() -> None:
    """The fast one first; the index says which it was."""

    def script(request: Outgoing) -> Step:
        return reply(text_of(request), delay=float(text_of(request)))

    async with client_of(ScriptedTransport(script)) as client:
        results = await _all(client.map(_ask(text) for text in (3, 1, 2)))

    assert [done.index for done in results] == [1, 2, 0]
    assert [cast(ChatResponse, done.response).text for done in results] == ["1", "2", "3"]
    assert all(done.error is None for done in results)


async def test_the_source_is_read_as_places_become_free() -> None:
    """A million requests are not read at once: never more than 8 beyond what was taken."""
    read = 0
    taken = 0
    ahead = 0

    def source() -> Iterator[ChatRequest]:
        nonlocal read, ahead
        for i in range(300):
            read += 1
            ahead = max(ahead, read - taken)
            yield _ask(i)

    transport = steady(delay=0.1)
    async with client_of(transport, limit=20) as client:
        async for _ in client.map(source(), max_in_flight=8):
            taken += 1

    assert (taken, read) == (300, 300)
    assert ahead <= 9
    assert transport.peak_in_flight <= 8


async def test_a_slow_reader_holds_the_source_back() -> None:
    """Nothing piles up for who takes one result an hour."""
    transport = steady(delay=0.1)
    async with client_of(transport) as client:
        taken = 0
        async for _ in client.map((_ask(i) for i in range(30)), max_in_flight=5):
            taken += 1
            await asyncio.sleep(3600)
            assert transport.total <= taken + 5


async def test_an_async_source_works_the_same() -> None:
    """Requests that come over time."""

    async def source() -> AsyncIterator[ChatRequest]:
        for i in range(5):
            await asyncio.sleep(1.0)
            yield _ask(i)

    async with client_of(steady()) as client:
        results = await _all(client.map(source()))

    assert [done.index for done in results] == list(range(5))


async def test_a_failed_call_is_a_result_and_the_others_go_on() -> None:
    """One 404 among ten."""

    def script(request: Outgoing) -> Step:
        return reply(status=404) if text_of(request) == "3" else reply("fine")

    async with client_of(ScriptedTransport(script)) as client:
        results = await _all(client.map(_ask(i) for i in range(10)))

    failed = {done.index: type(done.error) for done in results if done.error is not None}
    assert failed == {3: NotFoundError}
    assert len(results) == 10


async def test_a_request_for_an_unknown_endpoint_is_a_result_too() -> None:
    """A typing error in line 3 does not end the job."""
    async with client_of(steady()) as client:
        results = await _all(client.map([_ask(1), _ask(2, "opnai:m"), _ask(3)]))

    assert {done.index: type(done.error) for done in results} == {
        0: type(None),
        1: UnknownModelError,
        2: type(None),
    }


async def test_a_source_that_raises_raises_to_the_reader_and_leaves_nothing(
    virtual_clock: VirtualTime,
) -> None:
    """Its own exception, once, not also in the loop's log."""

    def source() -> Iterator[ChatRequest]:
        yield _ask(1)
        raise LookupError("line 2 is broken")

    transport = ScriptedTransport(default=hang())
    async with client_of(transport) as client:
        await caught(LookupError, _all(client.map(source())))
        await turns()
        assert_at_rest(client, transport)
    assert virtual_clock.pending_tasks() == ()


async def test_a_bug_in_a_call_raises_to_the_reader() -> None:
    """What is no error of ours is nobody's result."""

    def script(_: Outgoing) -> Step:
        raise RuntimeError("a bug")

    async with client_of(ScriptedTransport(script)) as client:
        await caught(RuntimeError, _all(client.map([_ask(1)])))


async def test_leaving_early_cancels_what_is_under_way() -> None:
    """After the first result the rest is not wanted."""
    transport = ScriptedTransport([reply("first")], default=hang())
    async with client_of(transport) as client:
        async for done in client.map(_ask(i) for i in range(50)):
            assert done.index == 0
            break
        await turns(20)
        assert transport.in_flight == 0
        assert_at_rest(client, transport)


async def test_a_cancelled_reader_cancels_what_is_under_way() -> None:
    """The task that iterates is cancelled: so is its work."""
    transport = ScriptedTransport(default=hang())
    async with client_of(transport) as client:
        reader = asyncio.ensure_future(_all(client.map(_ask(i) for i in range(50))))
        await asyncio.sleep(1)
        reader.cancel()
        await asyncio.wait([reader])
        await turns(20)
        assert_at_rest(client, transport)


@pytest.mark.parametrize("settings", [{}, {"requests_per_second": 1000.0}, {"queue_size": 1, "limit": 3}])
async def test_more_than_the_endpoint_holds_is_never_refused(settings: dict[str, Any]) -> None:
    """max_in_flight far above limit and queue: the source waits, nobody gets QueueFullError."""
    async with client_of(steady(delay=0.01), **settings) as client:
        results = await _all(client.map((_ask(i) for i in range(500)), max_in_flight=10_000))

    assert [done.error for done in results if done.error is not None] == []
    assert len(results) == 500


async def test_a_key_that_rests_while_others_finish_fills_no_queue() -> None:
    """In flight calls end, nobody may start: the next in the source wait outside."""
    turn = 0

    def script(_: Outgoing) -> Step:
        nonlocal turn
        turn += 1
        return reply(status=429, retry_after=5) if turn % 20 == 7 else reply("fine", delay=0.05)

    keys = [Key("sk-a")]
    retry = Retry(budget=1.0, reserve=100, attempts=20)
    async with client_of(ScriptedTransport(script), keys=keys, limit=5, queue_size=10, retry=retry) as client:
        results = await _all(client.map((_ask(i) for i in range(200)), max_in_flight=1000))

    assert [done.error for done in results if done.error is not None] == []


async def test_an_empty_source_is_done_at_once() -> None:
    """No request, no result."""
    async with client_of(steady()) as client:
        assert await _all(client.map([])) == []


async def test_options_are_for_every_call_of_the_source() -> None:
    """Such as a key or a tag."""
    async with client_of(steady(), keys=[Key("sk-a", name="a"), Key("sk-b", name="b")]) as client:
        results = await _all(client.map((_ask(i) for i in range(4)), key="b", tag="night"))
        assert {cast(ChatResponse, done.response).served.key for done in results} == {"b"}
        assert client.statistics().endpoints["openai"].tags["night"].succeeded == 4


async def test_fewer_than_one_in_flight_is_refused_at_once() -> None:
    """Not when the iteration begins."""
    async with client_of(steady()) as client:
        with pytest.raises(ConfigError, match="max_in_flight"):
            client.map([], max_in_flight=0)


async def test_closing_the_client_ends_the_map_with_errors_as_results() -> None:
    """Whoever reads on hears for each request that it was not sent."""
    transport = ScriptedTransport(default=hang())
    async with client_of(transport, limit=2, timeout=5.0) as client:
        reader = asyncio.ensure_future(_all(client.map(_ask(i) for i in range(10))))
        await asyncio.sleep(1)
    results = await reader

    kinds = [type(done.error).__name__ for done in results]
    assert kinds.count("ReadTimeoutError") == 2
    assert kinds.count(ClientClosedError.__name__) == 8


async def test_a_map_of_low_calls_survives_urgent_ones_that_take_its_places() -> None:
    """Evicted from a full queue, a request asks again: being in nobody's way is no result."""
    transport = steady(delay=0.1)
    async with client_of(transport, limit=2, queue_size=10) as client:
        over = False

        async def urgently() -> None:
            while not over:
                await outcomes(spread_calls(client, 8, priority=Priority.HIGH))

        flood = asyncio.ensure_future(urgently())
        requests = [_ask(n) for n in range(30)]
        done = [one async for one in client.map(requests, priority=Priority.LOW, timeout=None)]
        over = True
        await flood

        assert {type(one.response) for one in done} == {ChatResponse}
        assert len(done) == 30
        assert_at_rest(client, transport)
