"""Inversion and starvation: a priority that does not prioritise, or that lets nobody else live.

A saturated key with a thousand LOW calls in line answers the one HIGH call last, or polls and serves whoever
is lucky; strict priority served 1 of 360 LOW calls in an hour (litellm#18128).
"""

from __future__ import annotations

import asyncio

import pytest

from asyncapi import Priority
from asyncapi.testing import VirtualTime
from asyncapi.testing.scripted import ScriptedTransport, reply
from tests.core.worlds import MODEL, assert_at_rest, client_of, outcomes, start, text_of

pytestmark = pytest.mark.virtual_time


def _served(transport: ScriptedTransport) -> list[str]:
    return [str(sent.json()["messages"][-1]["content"]) for sent in transport.requests]


def _service(delay: float = 0.1) -> ScriptedTransport:
    return ScriptedTransport(lambda request: reply(text_of(request), delay=delay))


@pytest.mark.slow
async def test_one_high_goes_next_though_a_thousand_low_wait() -> None:
    """It overtakes all who wait, and nobody who was sent."""
    transport = _service()
    client = client_of(transport, limit=1, queue_size=2_000)
    low = start(*(client.chat(MODEL, f"low {i}", priority=Priority.LOW, timeout=None) for i in range(1_000)))
    await asyncio.sleep(1.05)
    before = transport.total
    (high,) = start(client.chat(MODEL, "high", priority=Priority.HIGH))
    assert (await high).text == "high"

    assert _served(transport)[before] == "high"
    for call in low:
        call.cancel()
    await outcomes(low)
    assert_at_rest(client, transport)
    await client.aclose()


async def test_within_a_priority_first_come_is_first_served() -> None:
    """Three levels mixed: each is served in the order of its arrival."""
    transport = _service()
    client = client_of(transport, limit=1, queue_size=300)
    levels = list(Priority)
    await asyncio.gather(
        *(
            client.chat(MODEL, f"{levels[i % 3].name} {i}", priority=levels[i % 3], timeout=None)
            for i in range(90)
        )
    )

    served = _served(transport)[1:]  # the first one met an empty queue
    for level in levels:
        numbers = [int(text.split()[1]) for text in served if text.startswith(level.name)]
        assert numbers == sorted(numbers)
    await client.aclose()


async def test_low_is_served_within_its_bound_under_lasting_load_from_above(
    virtual_clock: VirtualTime,
) -> None:
    """HIGH asks for more than there is, for ever: one call in seventeen is LOW's all the same."""
    transport = _service()
    client = client_of(transport, limit=1, queue_size=10_000)
    high = []

    async def pour() -> None:
        while True:
            high.append(
                asyncio.ensure_future(client.chat(MODEL, "high", priority=Priority.HIGH, timeout=None))
            )
            await asyncio.sleep(0.08)  # 12.5 a second for a service that does 10

    pouring = asyncio.ensure_future(pour())
    await asyncio.sleep(10.0)
    waits = []
    for _ in range(20):
        began = virtual_clock.elapsed
        await client.chat(MODEL, "low", priority=Priority.LOW, timeout=None)
        waits.append(virtual_clock.elapsed - began)
    pouring.cancel()

    assert max(waits) < 18 * 0.1 + 0.1
    for task in high:
        task.cancel()
    await outcomes([pouring, *high])
    await client.aclose()


async def test_a_heavy_tenant_does_not_move_the_light_ones_p99(virtual_clock: VirtualTime) -> None:
    """Ten tenants with a call now and then; beside them one with two thousand at once."""

    async def light(client: object, tenant: int) -> list[float]:
        waits = []
        for turn in range(12):
            await asyncio.sleep(1.0 + 0.13 * tenant + 0.01 * turn)
            began = virtual_clock.elapsed
            await client.chat(MODEL, "x", tenant=f"light {tenant}", timeout=None)  # type: ignore[attr-defined]
            waits.append(virtual_clock.elapsed - began)
        return waits

    async def p99(*, heavy: int) -> float:
        transport = _service(delay=0.05)
        client = client_of(transport, limit=1, queue_size=3_000)
        crowd = start(*(client.chat(MODEL, "x", tenant="heavy", timeout=None) for _ in range(heavy)))
        each = await asyncio.gather(*(light(client, tenant) for tenant in range(10)))
        for call in crowd:
            call.cancel()
        await outcomes(crowd)
        await client.aclose()
        waits = sorted(wait for waits in each for wait in waits)
        return waits[int(0.99 * len(waits))]

    alone, crowded = await p99(heavy=0), await p99(heavy=2_000)

    assert crowded < alone + 11 * 0.05  # one call in service, one of each flow before it
