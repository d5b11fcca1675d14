"""A key that fails while its peers work is taken out; the breaker stays closed for them."""

from __future__ import annotations

import asyncio

import pytest

from asyncapi import Breaker, ChatResponse, Key, Retry, ServerError
from asyncapi.testing import VirtualTime
from asyncapi.testing.scripted import ScriptedTransport, Step, reply
from asyncapi.types.events import KeyParked
from asyncapi.types.wire import Outgoing
from tests.core.worlds import MODEL, Recorder, assert_at_rest, client_of, key_of, outcomes, spread_calls

pytestmark = pytest.mark.virtual_time

KEYS = [Key("sk-a", name="a"), Key("sk-b", name="b"), Key("sk-c", name="c")]
NO_RETRY = Retry(attempts=1)


class Keyed:
    """A service that fails those keys that are ``ill``."""

    def __init__(self, *ill: str, delay: float = 0.1) -> None:
        self.ill = set(ill)
        self.delay = delay
        self.transport = ScriptedTransport(self._answer)

    def _answer(self, request: Outgoing) -> Step:
        if key_of(request) in self.ill:
            return reply(status=500)
        return reply("fine", delay=self.delay)


async def test_a_key_that_fails_alone_is_taken_out() -> None:
    """Five callers meet it, then nobody; it is tried again later."""
    recorder = Recorder()
    service = Keyed("sk-b")
    async with client_of(service.transport, keys=KEYS, retry=NO_RETRY, hooks=[recorder]) as client:
        results = [type(r) for call in spread_calls(client, 60) for r in await outcomes([call])]
        keys = client.statistics().endpoints["openai"].keys
        state = client.breaker("openai").state
        assert_at_rest(client, service.transport)

    parked = recorder.of(KeyParked)
    assert results.count(ServerError) == 5
    assert state == "closed"
    assert {name: key.state for name, key in keys.items()} == {"a": "ready", "b": "failing", "c": "ready"}
    assert [(event.key, event.reason) for event in parked] == [("b", "failing")]
    assert 15 <= parked[0].seconds_s <= 30


@pytest.mark.parametrize("keys", [KEYS[:2], KEYS])
async def test_callers_with_retries_do_not_notice(keys: list[Key]) -> None:
    """Even where the bad key is one of two, and half of all calls fail at first."""
    service = Keyed("sk-b")
    async with client_of(service.transport, keys=keys, limit=3, queue_size=200) as client:
        answers = await outcomes(spread_calls(client, 100))
        assert client.breaker("openai").state == "closed"

    assert {type(answer) for answer in answers} == {ChatResponse}


async def test_it_comes_back_when_it_works_and_rests_longer_when_it_does_not(
    virtual_clock: VirtualTime,
) -> None:
    """One call finds out each time: at most 30 s, then 60 s, then it works again."""
    recorder = Recorder()
    service = Keyed("sk-b")
    async with client_of(service.transport, keys=KEYS, retry=NO_RETRY, hooks=[recorder]) as client:
        failed = 0
        for _ in range(1000):
            failed += isinstance((await outcomes([client.chat(MODEL, "x")]))[0], ServerError)
            if len(recorder.of(KeyParked)) == 2:
                service.ill.clear()
            await asyncio.sleep(0.2)
        statistics = client.statistics().endpoints["openai"]

    assert failed == 6
    assert 30 <= recorder.of(KeyParked)[1].seconds_s <= 60
    assert statistics.keys["b"].state == "ready"
    assert statistics.keys["b"].ok > 100


async def test_an_outage_takes_no_key_out() -> None:
    """All fail: that is the service, and the breaker opens."""
    recorder = Recorder()
    service = Keyed("sk-a", "sk-b", "sk-c")
    async with client_of(service.transport, keys=KEYS, retry=NO_RETRY, hooks=[recorder]) as client:
        await outcomes([client.chat(MODEL, "x") for _ in range(30)])
        assert client.breaker("openai").state == "open"

    assert recorder.of(KeyParked) == []
    assert service.transport.total == 5


async def test_an_outage_after_good_times_takes_no_key_out() -> None:
    """What the others did before does not speak for them now."""
    recorder = Recorder()
    service = Keyed()
    async with client_of(service.transport, keys=KEYS, retry=NO_RETRY, hooks=[recorder]) as client:
        await outcomes(spread_calls(client, 90))
        service.ill = {"sk-a", "sk-b", "sk-c"}
        await outcomes(spread_calls(client, 30))
        assert client.breaker("openai").state == "open"

    assert recorder.of(KeyParked) == []


async def test_the_last_key_is_never_taken_out() -> None:
    """Two of three fail: both are taken out, and the third works. Then it fails too: the breaker opens."""
    service = Keyed("sk-a", "sk-b")
    async with client_of(
        service.transport,
        keys=KEYS,
        retry=Retry(reserve=100),
        breaker=Breaker(failure_threshold=3, failure_rate=0.9),
    ) as client:
        answers = await outcomes([client.chat(MODEL, "x") for _ in range(1)])
        for _ in range(50):
            answers += await outcomes([client.chat(MODEL, "x")])
        states = {n: k.state for n, k in client.statistics().endpoints["openai"].keys.items()}
        service.ill.add("sk-c")
        await outcomes(spread_calls(client, 10))
        after = client.statistics().endpoints["openai"]

    assert sum(isinstance(answer, ChatResponse) for answer in answers) >= 45
    assert states["c"] == "ready"
    assert after.keys["c"].state == "ready"
    assert after.breaker.state == "open"


async def test_a_key_of_one_user_is_never_taken_out() -> None:
    """It has no peer: nobody else could serve that user."""
    keys = [Key("sk-a", name="a"), Key("sk-b", name="b", users=("u",)), Key("sk-c", name="c")]
    service = Keyed("sk-b")
    async with client_of(
        service.transport, keys=keys, retry=NO_RETRY, breaker=Breaker(failure_threshold=50)
    ) as client:
        for _ in range(20):
            await outcomes([client.chat(MODEL, "x"), client.chat(MODEL, "x", user="u")])
        assert client.statistics().endpoints["openai"].keys["b"].state == "ready"
