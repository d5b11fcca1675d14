"""The worker: who goes next and when, with no wake-up lost and nobody forgotten."""

from __future__ import annotations

import asyncio
import itertools

import orjson
import pytest

from asyncapi import AsyncAPIError, Breaker, ChatResponse, CircuitOpenError, Client, Key, Priority, Retry
from asyncapi.testing import VirtualTime
from asyncapi.testing.scripted import ScriptedTransport, Step, hang, reply
from asyncapi.types.wire import Outgoing
from tests.core.worlds import (
    MODEL,
    assert_at_rest,
    caught,
    client_of,
    core,
    key_of,
    outcomes,
    spread_calls,
    start,
    steady,
    text_of,
    turns,
)

pytestmark = pytest.mark.virtual_time

TWO_KEYS = (Key("sk-a", name="a"), Key("sk-b", name="b"))


def _throttle_a(request: Outgoing) -> Step:
    """Key a is told once to rest for 5 s."""
    if text_of(request) == "throttled":
        return reply(status=429, retry_after=5)
    return reply(key_of(request), delay=0.1)


async def _with_cooled_a(client: Client) -> None:
    await client.chat(MODEL, "throttled", key="a", timeout=1.0)


async def test_a_head_that_waits_for_its_own_key_lets_the_others_go(virtual_clock: VirtualTime) -> None:
    """Key a cools for 5 s; calls that may use b don't wait behind the one that wants a."""
    async with client_of(ScriptedTransport(_throttle_a), keys=TWO_KEYS, limit=1) as client:
        await outcomes([_with_cooled_a(client)])
        pinned = asyncio.ensure_future(client.chat(MODEL, "pinned", key="a"))
        await turns()
        others = await asyncio.gather(*spread_calls(client, 10))

        assert {answer.text for answer in others} == {"sk-b"}
        assert virtual_clock.elapsed < 2.0
        assert not pinned.done()
        assert (await pinned).text == "sk-a"
        assert virtual_clock.elapsed == pytest.approx(5.2, abs=0.4)
        assert_at_rest(client)


async def test_a_call_set_aside_gets_its_turn_when_its_key_is_ready_though_nobody_else_comes(
    virtual_clock: VirtualTime,
) -> None:
    """The lost wake-up: the last other call was granted, and nothing but time remained to wake the worker."""
    async with client_of(ScriptedTransport(_throttle_a), keys=TWO_KEYS, limit=2) as client:
        await outcomes([_with_cooled_a(client)])
        blockers = start(*spread_calls(client, 2))
        await turns()
        pinned, plain = start(
            client.chat(MODEL, "pinned", key="a", timeout=None), client.chat(MODEL, "plain", timeout=None)
        )
        await asyncio.gather(*blockers, plain)

        assert (await pinned).text == "sk-a"
        assert virtual_clock.elapsed < 6.0


async def test_several_set_aside_keep_their_order() -> None:
    """First come, first served, also among those that were let past."""
    transport = ScriptedTransport(_throttle_a)
    async with client_of(transport, keys=TWO_KEYS, limit=1) as client:
        await outcomes([_with_cooled_a(client)])
        pinned = [asyncio.ensure_future(client.chat(MODEL, f"pinned-{i}", key="a")) for i in range(5)]
        await turns()
        plain = spread_calls(client, 5)
        await asyncio.gather(*pinned, *plain)

    texts = [sent.json()["messages"][0]["content"] for sent in transport.requests]
    assert [text for text in texts if text.startswith("pinned")] == [f"pinned-{i}" for i in range(5)]
    assert texts.index("4") < texts.index("pinned-0")


async def test_a_call_set_aside_may_be_cancelled_or_retried() -> None:
    """Its marks in the queue go with it."""
    async with client_of(ScriptedTransport(_throttle_a), keys=TWO_KEYS, limit=2) as client:
        await outcomes([_with_cooled_a(client)])
        pinned = [asyncio.ensure_future(client.chat(MODEL, "throttled", key="a")) for _ in range(3)]
        plain = [asyncio.ensure_future(client.chat(MODEL, "x")) for _ in range(5)]
        await asyncio.sleep(0.15)
        for task in pinned[:2]:
            task.cancel()
        await outcomes([*pinned[:2], *plain])
        await asyncio.sleep(6)  # the third was sent, throttled again, and waits as a returning call
        assert core(client).queue.qsize() == 1
        pinned[2].cancel()
        await outcomes(pinned[2:])
        assert_at_rest(client)


async def test_a_bug_in_the_worker_reaches_every_waiting_caller_and_later_calls_work(
    virtual_clock: VirtualTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is left waiting: also not the head, whose turn it was when the worker failed."""
    async with client_of(steady(), limit=1) as client:
        blocker = asyncio.ensure_future(client.chat(MODEL, "blocker"))
        await turns()
        waiting = [asyncio.ensure_future(client.chat(MODEL, "x")) for _ in range(3)]
        await turns()

        def broken(*_: object) -> None:
            raise RuntimeError("a bug")

        with monkeypatch.context() as patch:
            patch.setattr(core(client).breaker, "wait", broken)
            await blocker
            errors = [await caught(AsyncAPIError, call) for call in waiting]

        assert all("the worker of openai failed: RuntimeError('a bug')" in str(e) for e in errors)
        assert all(isinstance(error.__cause__, RuntimeError) for error in errors)
        assert [type(a) for a in await outcomes(spread_calls(client, 3))] == [ChatResponse] * 3
        assert_at_rest(client)
        reported = virtual_clock.take_loop_errors()
        assert [str(e.exception) for e in reported] == ["a bug"]


async def test_a_bug_while_granting_reaches_the_caller_whose_turn_it_was(
    virtual_clock: VirtualTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head leaves the queue only with a whole lease."""
    async with client_of(steady(), limit=1) as client:
        blocker = asyncio.ensure_future(client.chat(MODEL, "blocker"))
        await turns()
        waiting = asyncio.ensure_future(client.chat(MODEL, "x"))
        await turns()

        def broken(*_: object) -> None:
            raise RuntimeError("a bug")

        with monkeypatch.context() as patch:
            patch.setattr(core(client), "grant", broken)
            await blocker
            await caught(AsyncAPIError, waiting)
        virtual_clock.take_loop_errors()
        assert_at_rest(client)


async def test_requests_per_second_spaces_requests_evenly() -> None:
    """Ten a second: a tenth of a second between any two."""
    transport = steady(delay=0.05)
    async with client_of(transport, limit=5, requests_per_second=10) as client:
        await asyncio.gather(*spread_calls(client, 30))

    times = [sent.time for sent in transport.requests]
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert min(gaps) >= 0.1 - 1e-9
    assert max(gaps) < 0.101


async def test_the_pace_holds_when_those_whose_turn_came_are_cancelled() -> None:
    """A turn that nobody used is no credit: the next two calls don't leave together."""
    transport = steady(delay=0.0)
    async with client_of(transport, requests_per_second=1) as client:
        await client.chat(MODEL, "first")
        second = asyncio.ensure_future(client.chat(MODEL, "second"))
        await asyncio.sleep(0.5)
        second.cancel()
        await asyncio.sleep(5)
        await asyncio.gather(*spread_calls(client, 3))
        gaps = [b.time - a.time for a, b in itertools.pairwise(transport.requests)]
        assert_at_rest(client, transport)

    assert min(gaps) >= 1.0 - 1e-9


@pytest.mark.virtual_time(seed=11, shuffle=0.3)
async def test_the_pace_holds_with_cancellations_at_any_moment() -> None:
    """Cancelled at 0, 0.1, 0.2 ... s, in the queue, at their turn and in flight."""
    transport = steady(delay=0.3)
    async with client_of(transport, limit=3, requests_per_second=4) as client:
        tasks = [asyncio.ensure_future(client.chat(MODEL, "x")) for _ in range(60)]
        for i in range(40):
            tasks[(i * 17) % 60].cancel()
            await asyncio.sleep(0.13)
        await outcomes(tasks)
        gaps = [b.time - a.time for a, b in itertools.pairwise(transport.requests)]
        assert min(gaps) >= 0.25 - 1e-9
        assert_at_rest(client, transport)


async def test_the_most_urgent_gets_a_turn_of_the_pace_that_was_awaited_by_another() -> None:
    """Who goes is decided when the turn is there."""
    transport = steady(delay=0.0)
    async with client_of(transport, requests_per_second=1) as client:
        first = asyncio.ensure_future(client.chat(MODEL, "first"))
        low = [asyncio.ensure_future(client.chat(MODEL, f"low-{i}", priority=Priority.LOW)) for i in range(3)]
        await asyncio.sleep(1.5)
        high = asyncio.ensure_future(client.chat(MODEL, "high", priority=Priority.HIGH))
        await asyncio.gather(first, high, *low)

    texts = [sent.json()["messages"][0]["content"] for sent in transport.requests]
    assert texts == ["first", "low-0", "high", "low-1", "low-2"]


async def test_a_queued_call_is_refused_when_a_hung_probe_opens_the_breaker_at_its_turn(
    virtual_clock: VirtualTime,
) -> None:
    """The breaker opens while the worker asks for the head itself: it is refused like the others."""
    transport = ScriptedTransport([reply(status=500)], default=hang())
    breaker = Breaker(failure_threshold=1, reset_after=10)
    async with client_of(
        transport, requests_per_second=100, breaker=breaker, retry=Retry(attempts=1)
    ) as client:
        await outcomes([client.chat(MODEL, "trip")])
        await asyncio.sleep(11)
        probe, waiting = start(*spread_calls(client, 2))  # both are let in: no probe is out yet
        error = await caught(CircuitOpenError, waiting)
        assert virtual_clock.elapsed == pytest.approx(21, abs=0.1)
        assert 10 <= error.retry_after <= 20
        probe.cancel()
        await outcomes([probe])
        assert transport.total == 2
        assert_at_rest(client, transport)


async def test_a_call_whose_own_key_is_ready_does_not_wait_behind_those_who_share_another(
    virtual_clock: VirtualTime,
) -> None:
    """The shared key rests for 5 s, and ten calls wait for it: alice has a key of her own."""
    shared, own = Key("sk-a", name="a"), Key("sk-b", name="b", users=("alice",))
    async with client_of(ScriptedTransport(_throttle_a), keys=[shared, own], limit=2) as client:
        await outcomes([client.chat(MODEL, "throttled", timeout=1.0)])
        waiting = start(*spread_calls(client, 10))
        await turns()
        answer = await client.chat(MODEL, "mine", user="alice")
        assert answer.text == "sk-b"
        assert virtual_clock.elapsed < 1.0
        assert {answer.text for answer in await asyncio.gather(*waiting)} == {"sk-a"}
        assert virtual_clock.elapsed == pytest.approx(5.5, abs=0.6)
        assert_at_rest(client)


async def test_those_who_were_set_aside_for_another_keep_their_order() -> None:
    """However many are let aside in between."""
    shared, own = Key("sk-a", name="a"), Key("sk-b", name="b", users=("alice",))
    transport = ScriptedTransport(_throttle_a)
    async with client_of(transport, keys=[shared, own], limit=1, queue_size=300) as client:
        await outcomes([client.chat(MODEL, "throttled", timeout=1.0)])
        waiting = start(*spread_calls(client, 200))
        mine = start(*(client.chat(MODEL, f"mine-{n}", user="alice") for n in range(3)))
        await asyncio.gather(*waiting, *mine)
        assert_at_rest(client)
    served = [str(sent.json()["messages"][0]["content"]) for sent in transport.requests[1:]]

    assert [text for text in served if not text.startswith("mine")] == [str(n) for n in range(200)]


async def test_a_large_call_for_one_key_is_not_starved_by_small_ones_for_any(
    virtual_clock: VirtualTime,
) -> None:
    """Set aside, it holds its key: small calls go with the other one until it has had its turn."""
    keys = [Key("sk-a", name="a", tokens_per_minute=5_000), Key("sk-b", name="b", tokens_per_minute=5_000)]
    ended: dict[str, float] = {}

    def all_that_it_may(request: Outgoing) -> Step:
        assert request.body is not None
        most = orjson.loads(request.body)["max_completion_tokens"]
        usage = {"prompt_tokens": 20, "completion_tokens": most, "total_tokens": 20 + most}
        choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
        answer = {"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage}
        return reply(answer, delay=0.1)

    transport = ScriptedTransport(all_that_it_may, keep=1)

    async def one(name: str, most: int, **options: str) -> None:
        await client.chat(MODEL, name, max_tokens=most, timeout=None, **options)  # type: ignore[arg-type]
        ended[name] = virtual_clock.elapsed

    async with client_of(transport, keys=keys, limit=50, queue_size=1000) as client:
        early = start(*(one(f"early-{n}", 300) for n in range(60)))
        (large,) = start(one("large", 4_500, key="a"))
        late = start(*(one(f"late-{n}", 300) for n in range(150)))
        await asyncio.gather(*early, large)

        assert ended["large"] <= max(at for name, at in ended.items() if name.startswith("early")) + 61
        await asyncio.gather(*late)
        assert_at_rest(client)
