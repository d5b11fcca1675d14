"""Leases: everything a send needs, granted at once and given back once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from asyncapi import Breaker, ChatRequest, ChatResponse, Key, NoKeyAvailableError, Retry
from asyncapi._core.call import Call
from asyncapi._core.lease import Lease
from asyncapi._core.worker import Worker
from asyncapi.policies.verdict import IGNORED
from asyncapi.testing.scripted import ScriptedTransport, hang, reply
from tests.core.worlds import (
    MODEL,
    assert_at_rest,
    client_of,
    core,
    outcomes,
    spread_calls,
    start,
    steady,
    turns,
)

pytestmark = pytest.mark.virtual_time


def _nothing() -> None:
    """No injection here."""


def _at_grants(
    monkeypatch: pytest.MonkeyPatch, before: Callable[[], None], after: Callable[[], None]
) -> None:
    """Do something in the same turn as every grant to a waiting call: before it, or just after."""
    grant = Worker._grant

    def patched(self: Worker, call: Call, now: float, lease: Lease) -> None:
        before()
        grant(self, call, now, lease)
        after()

    monkeypatch.setattr(Worker, "_grant", patched)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_caller_cancelled_in_the_turn_of_its_grant_loses_no_permit(
    monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """anyio#947: granted, and cancelled before it woke. The next in line gets the permit."""
    transport = steady(delay=1.0)
    victims: list[asyncio.Task[object]] = []

    def cancel_one() -> None:
        if victims:
            victims.pop(0).cancel()

    _at_grants(monkeypatch, *((cancel_one, _nothing) if when == "before" else (_nothing, cancel_one)))
    async with client_of(transport, limit=1) as client:
        (blocker,) = start(client.chat(MODEL, "blocker"))
        await turns()
        victims[:] = start(*spread_calls(client, 3))
        doomed = list(victims)
        survivors = start(*spread_calls(client, 3))
        await asyncio.gather(blocker, *survivors)
        await outcomes(doomed)

        assert all(task.cancelled() for task in doomed)
        assert transport.total == 4
        assert transport.peak_in_flight == 1
        assert_at_rest(client, transport)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_closing_in_the_turn_of_a_grant_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """aclose begins while a lease is handed over."""
    transport = steady(delay=1.0)
    client = client_of(transport, limit=1)
    closing: list[asyncio.Task[None]] = []

    def close() -> None:
        if not closing:
            closing.append(asyncio.ensure_future(client.aclose()))

    _at_grants(monkeypatch, *((close, _nothing) if when == "before" else (_nothing, close)))
    calls = start(*spread_calls(client, 5))
    await outcomes(calls)
    await closing[0]
    assert_at_rest(client, transport)


async def test_removing_the_key_in_the_turn_of_its_grant_does_no_harm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lease keeps its key; who has none left is refused; nobody hangs."""
    transport = ScriptedTransport(lambda _: reply("fine", delay=1.0))
    keys = [Key("sk-a", name="a"), Key("sk-b", name="b")]

    def remove() -> None:
        if "a" in client.keys("openai").names():
            client.keys("openai").remove("a")

    _at_grants(monkeypatch, _nothing, remove)
    async with client_of(transport, keys=keys, limit=1) as client:
        pinned = start(*spread_calls(client, 3, key="a"))
        free = start(*spread_calls(client, 3))
        results = await outcomes([*pinned, *free])
        kinds = [type(result) for result in results]
        assert kinds == [ChatResponse] * 2 + [NoKeyAvailableError] + [ChatResponse] * 3
        assert_at_rest(client, transport)


async def test_a_lease_given_back_twice_is_a_bug_that_says_so() -> None:
    """Better a loud error than a permit too many."""
    async with client_of(steady()) as client:
        call = client._runtime.call(ChatRequest(model=MODEL, messages=()), {})
        lease = await core(client).acquire(call)
        core(client).settle(lease, IGNORED)
        with pytest.raises(AssertionError, match="released twice"):
            core(client).settle(lease, IGNORED)
        assert_at_rest(client)


async def test_a_lease_that_sent_nothing_gives_its_place_in_the_rate_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cancelled between grant and wake-up: the key's next request doesn't wait a second more."""
    transport = steady(delay=0.0)
    victim: list[asyncio.Task[object]] = []

    def cancel_one() -> None:
        if victim:
            victim.pop().cancel()

    _at_grants(monkeypatch, _nothing, cancel_one)
    async with client_of(transport, keys=[Key("sk-a", requests_per_minute=60)]) as client:
        await client.chat(MODEL, "0")
        victim[:] = start(client.chat(MODEL, "1"))
        doomed = victim[0]
        (survivor,) = start(client.chat(MODEL, "2"))
        await outcomes([doomed, survivor])

    assert [round(sent.time, 3) for sent in transport.requests] == [0.0, 1.0]


async def test_a_cancelled_probe_between_grant_and_wake_up_gives_its_place_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The breaker's permit is part of the lease."""
    transport = ScriptedTransport([reply(status=500)], default=reply("well"))
    victim: list[asyncio.Task[object]] = []

    def cancel_one() -> None:
        if victim:
            victim.pop().cancel()

    _at_grants(monkeypatch, _nothing, cancel_one)
    breaker, retry = Breaker(failure_threshold=1), Retry(attempts=1)
    async with client_of(transport, breaker=breaker, retry=retry, on_open="wait") as client:
        await outcomes([client.chat(MODEL, "0")])
        victim[:] = start(client.chat(MODEL, "1"))
        doomed = victim[0]
        others = start(*spread_calls(client, 5))
        await asyncio.gather(*others)
        await outcomes([doomed])
        assert core(client).breaker.probes == 0
        assert client.statistics().endpoints["openai"].breaker.state == "closed"
        assert_at_rest(client, transport)


async def test_everything_or_nothing_is_granted() -> None:
    """A call that has a permit to take but no key takes no permit."""
    transport = ScriptedTransport([reply(status=429, retry_after=60)], default=hang())
    async with client_of(transport, limit=5) as client:
        calls = start(*spread_calls(client, 10))
        await asyncio.sleep(1)
        for call in calls:
            call.cancel()
        await outcomes(calls)
        waiting = start(*spread_calls(client, 10))
        await asyncio.sleep(1)
        endpoint = core(client)
        assert endpoint.semaphore.in_flight == sum(key.in_flight for key in endpoint.keys.keys) == 0
        for call in waiting:
            call.cancel()
        await outcomes(waiting)
        assert_at_rest(client, transport)


async def test_the_error_of_a_rejection_is_not_lost_when_its_caller_is_cancelled_in_the_same_turn() -> None:
    """Cancelled wins, and nothing is reported as never retrieved."""
    transport = ScriptedTransport(default=hang())
    client = client_of(transport, limit=1)
    blocker, waiting = start(client.chat(MODEL, "x"), client.chat(MODEL, "y"))
    await turns()
    (closing,) = start(client.aclose())
    await asyncio.sleep(0)
    waiting.cancel()
    await outcomes([waiting])
    blocker.cancel()
    await outcomes([blocker, closing])
    assert_at_rest(client, transport)
    assert waiting.cancelled()
