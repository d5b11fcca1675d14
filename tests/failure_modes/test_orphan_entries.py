"""Orphan queue entries: whoever gives up waiting stays in the queue as a dead entry.

Only the head is looked at, so that those behind it are never cleaned up: memory grows, the queue is full of
the dead, and the living are refused (litellm#20059).
"""

from __future__ import annotations

import asyncio
import gc
import random
import tracemalloc

import pytest

from asyncapi import DeadlineExceededError
from asyncapi.testing.scripted import ScriptedTransport, Step, hang, reply
from asyncapi.types.wire import Outgoing
from tests.core.worlds import MODEL, assert_at_rest, client_of, outcomes, spread_calls, start, text_of

pytestmark = pytest.mark.virtual_time


def _blocked() -> ScriptedTransport:
    """The first call hangs, every other one is answered."""

    def script(request: Outgoing) -> Step:
        return hang() if text_of(request) == "block" else reply("fine")

    return ScriptedTransport(script, keep=0)


async def test_waiters_that_time_out_anywhere_in_line_leave_the_queue() -> None:
    """A thousand behind a call that hangs, each with a patience of its own; then work flows again."""
    rng, transport = random.Random(3), _blocked()
    client = client_of(transport, limit=1, queue_size=1_000)
    (blocker,) = start(client.chat(MODEL, "block", timeout=None))
    await asyncio.sleep(0)
    waiters = start(*(client.chat(MODEL, "x", timeout=rng.uniform(0.1, 9.0)) for _ in range(1_000)))
    await asyncio.sleep(5.0)
    waiting = client.statistics().endpoints["openai"].queue.waiting
    assert waiting == sum(not waiter.done() for waiter in waiters)
    assert 400 < waiting < 600

    results = await outcomes(waiters)
    assert {type(result) for result in results} == {DeadlineExceededError}
    assert client.statistics().endpoints["openai"].queue.waiting == 0
    later = start(*spread_calls(client, 100, timeout=None))
    await asyncio.sleep(0)
    blocker.cancel()
    assert {result.text for result in await asyncio.gather(*later)} == {"fine"}
    assert_at_rest(client, transport)
    await client.aclose()


@pytest.mark.slow
async def test_memory_stays_flat_while_waiters_come_and_give_up() -> None:
    """Twenty rounds of a thousand who give up, behind a head that never moves."""
    transport = _blocked()
    client = client_of(transport, limit=1, queue_size=2_000, breaker=None)
    (blocker,) = start(client.chat(MODEL, "block", timeout=None))
    await asyncio.sleep(0)
    sizes = []
    tracemalloc.start()
    try:
        for _ in range(20):
            calls = (client.chat(MODEL, "x", timeout=1.0 + 0.001 * i, tenant=str(i % 9)) for i in range(500))
            await outcomes(start(*calls))
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    blocker.cancel()
    await outcomes([blocker])

    assert max(sizes[5:]) - sizes[4] < 1.0 * 15_000, sizes
    assert_at_rest(client, transport)
    await client.aclose()
