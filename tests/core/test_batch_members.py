"""Whose deadline, priority and tenant count in a batch; and when it is held for company."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asyncapi import Batch, Client, DeadlineExceededError, EmbedResponse, Key, Priority
from asyncapi.policies.batching import AdaptiveWait
from asyncapi.policies.fairness import Fair
from asyncapi.testing import VirtualTime
from asyncapi.testing.scripted import ScriptedTransport, hang
from asyncapi.types.events import BatchFlushed
from tests.core.worlds import (
    MODEL,
    Recorder,
    assert_at_rest,
    caught,
    client_of,
    core,
    key_of,
    outcomes,
    start,
    texts_of,
    turns,
    vectors,
)

pytestmark = pytest.mark.virtual_time

#: Some turns of the loop, at a microsecond each.
_TURNS = 1e-5


def _service(delay: float = 1.0) -> ScriptedTransport:
    return ScriptedTransport(lambda request: vectors(request, delay=delay))


def _sent(transport: ScriptedTransport) -> list[list[str]]:
    return [texts_of(request) for request in transport.requests]


async def _busy(client: Client) -> list[asyncio.Task[EmbedResponse]]:
    """One call under way, alone."""
    (first,) = start(client.embed(MODEL, "0"))
    await turns()
    return [first]


# --- priorities and tenants -------------------------------------------------------------------------


async def test_a_high_member_takes_a_waiting_batch_along_to_the_front() -> None:
    """LOW calls that wait behind others go with it: that costs nobody anything."""
    transport = _service()
    async with client_of(transport, limit=1, batch=Batch(size=4)) as client:
        calls = await _busy(client)
        for n in range(3):  # three full ones and one that still gathers
            calls += start(*(client.embed(MODEL, f"{n + 1}", priority=Priority.LOW) for _ in range(4)))
            await turns()
        calls += start(client.embed(MODEL, "8", priority=Priority.LOW))
        await turns()
        calls += start(client.embed(MODEL, "9", priority=Priority.HIGH))
        await asyncio.gather(*calls)
        assert_at_rest(client, transport)

    # The first LOW batch has waited for as long as there is a queue: its turn is as near as theirs.
    assert ["8", "9"] in _sent(transport)[1:3]


async def test_a_tenant_does_not_wait_behind_the_batches_of_another() -> None:
    """One floods, one calls once: the second's call takes the batch that it joins to its own place."""
    transport = _service()
    async with client_of(transport, limit=1, batch=Batch(size=2)) as client:
        calls = await _busy(client)
        calls += start(*(client.embed(MODEL, "1", tenant="flood") for _ in range(11)))
        await turns()
        calls += start(client.embed(MODEL, "2", tenant="small"))
        await asyncio.gather(*calls)
        assert_at_rest(client, transport)

    assert "2" in [text for texts in _sent(transport)[1:3] for text in texts]


async def test_the_flow_that_gets_a_batch_its_place_pays_for_it() -> None:
    """One batch costs one turn, whoever is in it, and nothing is owed when it has gone."""
    transport = _service()
    async with client_of(transport, limit=1, batch=Batch(size=8)) as client:
        calls = await _busy(client)
        calls += start(client.embed(MODEL, "1", priority=Priority.LOW, tenant="a"))
        await turns()
        order = core(client).order
        assert isinstance(order, Fair)
        assert order._flows["a", Priority.LOW].waiting == 1
        chats = start(client.chat(MODEL, "x", tenant="a", priority=Priority.LOW))
        calls += start(client.embed(MODEL, "2", priority=Priority.HIGH, tenant="b"))
        await turns()
        waiting = {flow: state.waiting for flow, state in order._flows.items() if state.waiting}
        assert sum(waiting.values()) == 2
        for call in (*calls, *chats):
            call.cancel()
        await outcomes(calls)
        await outcomes(chats)
        await turns()
        assert_at_rest(client)


async def test_each_members_flow_pays_for_its_own_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """One when the batch enters the queue, the others when it goes: a flood costs its own tenant."""
    async with client_of(_service(), limit=1, batch=Batch(size=8)) as client:
        paid: list[tuple[object, Priority, float]] = []
        order = core(client).order
        monkeypatch.setattr(order, "grew", lambda *what: paid.append(what))
        calls = await _busy(client)
        calls += start(*(client.embed(MODEL, "1", tenant="flood") for _ in range(3)))
        await turns()
        calls += start(client.embed(MODEL, "2", tenant="small", priority=Priority.HIGH))
        await asyncio.gather(*calls)

    assert len(paid) == 3
    assert {tenant for tenant, *_ in paid} <= {"flood", "small"}
    assert sum(tenant == "flood" for tenant, *_ in paid) >= 2


async def test_members_of_different_patience_or_keys_travel_apart() -> None:
    """What an open breaker does to one, or which key it may use, is not another's choice."""
    transport = _service()
    keys = [Key("sk-a", name="a"), Key("sk-b", name="b", users=("eve",))]
    async with client_of(transport, keys=keys, batch=Batch(size=8)) as client:
        await asyncio.gather(
            client.embed(MODEL, "1"),
            client.embed(MODEL, "2", user="ann"),
            client.embed(MODEL, "3", user="eve"),
            client.embed(MODEL, "4", on_open="wait"),
            client.embed(MODEL, "5", key="a"),
        )

    sent = {tuple(texts_of(request)): key_of(request) for request in transport.requests}
    assert sent == {("1", "2"): "sk-a", ("3",): "sk-b", ("4",): "sk-a", ("5",): "sk-a"}


# --- deadlines --------------------------------------------------------------------------------------


async def test_a_member_that_can_not_wait_for_the_turn_times_out_alone() -> None:
    """The batch goes without it, and it is told that nothing was sent."""
    transport = _service(delay=2.0)
    async with client_of(transport, limit=1, batch=Batch(size=8)) as client:
        calls = await _busy(client)
        hasty = asyncio.ensure_future(client.embed(MODEL, "1", timeout=1.0))
        await turns()
        patient = asyncio.ensure_future(client.embed(MODEL, "2", timeout=60.0))
        error = await caught(DeadlineExceededError, hasty)
        await asyncio.gather(patient, *calls)
        assert_at_rest(client, transport)

    assert (error.sent, error.attempts) == (False, 0)
    assert _sent(transport) == [["0"], ["2"]]


async def test_a_batch_whose_last_member_gave_up_leaves_the_queue() -> None:
    """And whoever comes next finds no trace of it."""
    transport = _service(delay=2.0)
    async with client_of(transport, limit=1, batch=Batch(size=8)) as client:
        calls = await _busy(client)
        gone = start(*(client.embed(MODEL, "1") for _ in range(3)))
        await turns()
        for call in gone:
            call.cancel()
        await turns(2)
        calls += start(client.embed(MODEL, "2"))
        await asyncio.gather(*calls)
        await outcomes(gone)
        assert_at_rest(client, transport)

    assert _sent(transport) == [["0"], ["2"]]


async def test_the_place_of_a_member_that_left_is_free_again() -> None:
    """A batch of four that lost three takes three others."""
    transport = _service()
    async with client_of(transport, limit=1, batch=Batch(size=5)) as client:
        calls = await _busy(client)
        gone = start(*(client.embed(MODEL, "1") for _ in range(3)))
        calls += start(client.embed(MODEL, "2"))
        await turns()
        for call in gone:
            call.cancel()
        await outcomes(gone)
        calls += start(*(client.embed(MODEL, "3") for _ in range(4)))
        await asyncio.gather(*calls)

    assert _sent(transport) == [["0"], ["2", "3", "3", "3", "3"]]


async def test_queue_time_is_each_members_own() -> None:
    """Who joined late waited less."""
    async with client_of(_service(), limit=1, batch=Batch(size=8)) as client:
        calls = await _busy(client)
        calls += start(client.embed(MODEL, "1"))
        await asyncio.sleep(0.75)
        calls += start(client.embed(MODEL, "2"))
        answers = await asyncio.gather(*calls)

    waits = [answer.served.timings.queue_s for answer in answers if answer.served]
    assert waits == pytest.approx([0.0, 1.0, 0.25], abs=1e-4)


async def test_closing_in_the_very_turn_of_the_call_ends_it(virtual_clock: VirtualTime) -> None:
    """Also where the batch's task had not run once: nobody waits for ever."""
    for steps in range(6):
        client = client_of(ScriptedTransport(default=hang()), batch=Batch(size=2))
        calls = start(*(client.embed(MODEL, str(i)) for i in range(3)))
        for _ in range(steps):
            await asyncio.sleep(0)
        await client.aclose()
        await outcomes(calls)

    assert virtual_clock.elapsed < 1.0


# --- held for company -------------------------------------------------------------------------------


async def _stream_of_calls(client: Client, gap: float, number: int) -> None:
    calls = []
    for i in range(number):
        calls += start(client.embed(MODEL, str(i)))
        await asyncio.sleep(gap)
    await asyncio.gather(*calls)


async def test_calls_that_come_fast_are_held_for_company_and_never_longer_than_the_wait() -> None:
    """With permits to spare, 1 ms apart: held until full, or for 20 ms."""
    recorder = Recorder()
    transport = _service(delay=0.1)
    async with client_of(transport, limit=12, batch=Batch(size=100, wait=0.02), hooks=[recorder]) as client:
        await _stream_of_calls(client, 0.001, 300)

    flushed = recorder.of(BatchFlushed)
    held = [event.waited_s for event in flushed if event.reason == "wait"]
    assert 0.005 < max(held) <= 0.02 + _TURNS
    assert len(flushed) < 50


async def test_calls_that_come_slowly_are_not_held() -> None:
    """Nobody is expected within the bound: each goes at once."""
    recorder = Recorder()
    async with client_of(
        _service(delay=0.5), limit=50, batch=Batch(size=100, wait=0.02), hooks=[recorder]
    ) as client:
        await _stream_of_calls(client, 0.05, 30)

    flushed = recorder.of(BatchFlushed)
    assert len(flushed) == 30
    assert max(event.waited_s for event in flushed) < _TURNS


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        ({"priority": Priority.HIGH}, "urgent"),
        ({"timeout": 1.05}, "urgent"),
        ({"timeout": 5.0}, "wait"),
    ],
)
async def test_what_is_urgent_is_not_held(member: dict[str, Any], reason: str) -> None:
    """A HIGH member, or one whose deadline needs the time, lets the whole batch go."""
    recorder = Recorder()
    transport = _service(delay=1.0)
    async with client_of(transport, limit=50, batch=Batch(size=100, wait=0.5), hooks=[recorder]) as client:
        await client.embed(MODEL, "0")  # now it is known that a request takes a second
        calls: list[asyncio.Task[EmbedResponse]] = []
        while not any(group.timer for group in core(client).batcher._open.values()):
            calls += start(client.embed(MODEL, "1"))
            await asyncio.sleep(0.001)
        calls += start(client.embed(MODEL, "2", **member))
        answers = await outcomes(calls)

    assert all(isinstance(answer, EmbedResponse) for answer in answers)
    assert recorder.of(BatchFlushed)[-1].reason == reason
    assert texts_of(transport.requests[-1]) == ["1", "2"]


async def test_when_the_endpoint_falls_idle_nothing_is_held_any_longer() -> None:
    """The last request under way came back: waiting for company would gain nothing."""
    recorder = Recorder()
    async with client_of(
        _service(delay=0.01), limit=2, batch=Batch(size=100, wait=5.0), hooks=[recorder]
    ) as client:
        await _stream_of_calls(client, 0.001, 5)

    flushed = recorder.of(BatchFlushed)
    assert [event.reason for event in flushed] == ["idle", "idle"]
    assert flushed[1].waited_s == pytest.approx(0.009, abs=0.002)


async def test_the_rates_of_many_kinds_of_calls_take_a_bounded_place() -> None:
    """One for each set of parameters, of which callers may invent any number."""
    async with client_of(_service(delay=0.0), batch=Batch(size=2)) as client:
        for i in range(300):
            await client.embed(MODEL, "1", dimensions=i + 1)
        waits = core(client).batcher._waits

    assert len(waits) == 256
    assert all(isinstance(wait, AdaptiveWait) for wait in waits.values())
