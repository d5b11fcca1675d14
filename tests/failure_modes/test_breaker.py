"""The breaker's two ways to fail: a flood of probes, and a probe that never comes back.

Libraries let all fifty waiting calls through as probes; others wait for ever for one that was cancelled
(better-ccflare#349: could never close; deer-flow#2095).
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asyncapi import AsyncAPIError, Breaker, CircuitOpenError, Retry
from asyncapi.emulator import Emulator, Fault, Faults, Timing
from asyncapi.testing import VirtualTime
from asyncapi.testing.scripted import ScriptedTransport, Step, hang, reply
from asyncapi.types.wire import Outgoing
from tests.core import worlds as scripted
from tests.core.worlds import outcomes, start
from tests.failure_modes.worlds import MODEL, client_of

ONCE = Retry(attempts=1)


@pytest.mark.virtual_time
@pytest.mark.parametrize("probes", [1, 3])
async def test_five_hundred_who_wait_send_exactly_so_many_probes(probes: int) -> None:
    """Half-open, and the probes hang: nobody else is let through, however long they wait."""
    sick = True

    def script(request: Outgoing) -> Step:
        if sick:
            return reply(status=500)
        return reply("fine", delay=5.0)

    transport = ScriptedTransport(script)
    breaker = Breaker(failure_threshold=3, reset_after=10.0, probes=probes, successes=probes)
    client = scripted.client_of(transport, limit=100, queue_size=500, breaker=breaker, retry=ONCE)
    await outcomes(scripted.spread_calls(client, 3))
    sick = False
    calls = start(*scripted.spread_calls(client, 500, on_open="wait"))
    await asyncio.sleep(10.5)
    assert transport.total == 3 + probes
    assert transport.in_flight == probes

    assert {answer.text for answer in await asyncio.gather(*calls)} == {"fine"}
    scripted.assert_at_rest(client, transport)
    await client.aclose()


@pytest.mark.virtual_time
async def test_a_probe_that_is_cancelled_does_not_wedge_it(virtual_clock: VirtualTime) -> None:
    """Its place is free again at once, and the next probe closes the breaker."""
    answers: list[Step] = [reply(status=500), hang()]
    transport = ScriptedTransport(lambda _: answers.pop(0) if answers else reply("fine"))
    breaker = Breaker(failure_threshold=1, reset_after=10.0, successes=1)
    client = scripted.client_of(transport, breaker=breaker, retry=ONCE)
    await outcomes([client.chat(MODEL, "x")])
    await asyncio.sleep(10.0)
    (probe,) = start(client.chat(MODEL, "x"))
    await asyncio.sleep(0.1)
    assert client.statistics().endpoints["openai"].breaker.state == "half-open"
    await scripted.caught(CircuitOpenError, client.chat(MODEL, "x"))
    probe.cancel()
    await outcomes([probe])

    assert (await client.chat(MODEL, "x")).text == "fine"
    assert client.statistics().endpoints["openai"].breaker.state == "closed"
    assert virtual_clock.elapsed < 10.5
    await client.aclose()


@pytest.mark.virtual_time
async def test_a_probe_that_never_comes_back_does_not_wedge_it() -> None:
    """A silent service holds the breaker half-open for one rest, not for ever."""
    answers: list[Step] = [reply(status=500), hang()]
    transport = ScriptedTransport(lambda _: answers.pop(0) if answers else reply("fine"))
    breaker = Breaker(failure_threshold=1, reset_after=10.0, successes=1)
    client = scripted.client_of(transport, breaker=breaker, retry=ONCE, timeout=None)
    await outcomes([client.chat(MODEL, "x")])
    calls = start(*(client.chat(MODEL, "x", on_open="wait", timeout=None) for _ in range(5)))
    await asyncio.sleep(200.0)

    assert [call.done() for call in calls].count(False) == 1  # the probe itself, which nobody limits
    for call in calls:
        call.cancel()
    await outcomes(calls)
    await client.aclose()


@pytest.mark.parametrize("status", [400, 404, 429])
async def test_mistakes_and_rate_limits_of_ones_own_never_open_it(status: int) -> None:
    """A service that says no is well."""
    transport = ScriptedTransport(lambda _: reply(status=status, retry_after=0.001))
    breaker = Breaker(failure_threshold=2)
    async with scripted.client_of(transport, breaker=breaker, retry=ONCE) as client:
        for _ in range(20):
            with pytest.raises(AsyncAPIError):
                await client.chat(MODEL, "x")
        assert client.statistics().endpoints["openai"].breaker.opened == 0


@pytest.mark.slow
async def test_an_outage_over_real_sockets_is_met_with_a_few_requests_and_survived() -> None:
    """The service is down for half a second under a crowd: it sees a handful, then all are served."""
    breaker = Breaker(failure_threshold=5, reset_after=0.15, successes=1)
    retry = Retry(attempts=20, base=0.05, cap=0.1, reserve=100)
    settings: dict[str, Any] = {"limit": 5, "queue_size": 200, "on_open": "wait", "retry": retry}
    async with (
        Emulator(timing=Timing.instant(), faults=Faults(1.0, [Fault.UNAVAILABLE])) as emulator,
        client_of(emulator.base_urls["openai"], breaker=breaker, **settings) as client,
    ):
        calls = [asyncio.ensure_future(client.chat(MODEL, "x")) for _ in range(100)]
        await asyncio.sleep(0.5)
        during = len(emulator.records)
        emulator.faults = None
        answers = await asyncio.gather(*calls)

    assert len(answers) == 100
    assert during <= 15
