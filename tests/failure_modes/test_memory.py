"""Memory: a little is kept of every call, and a service that runs for a week runs out of it.

Statistics by request, callbacks in lists, finished tasks in sets (litellm#12685, #27954). The long run is
``python -m benchmarks --only memory --million``; this is its short form, counted exactly.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Awaitable, Callable

import pytest

from asyncapi import AsyncAPIError, Breaker, Client
from asyncapi.testing import virtual_time
from asyncapi.testing.scripted import ScriptedTransport, reply, stream
from asyncapi.types.wire import Outgoing
from tests.core import worlds as scripted
from tests.core.worlds import MODEL

PER_ROUND = 1_000
WARM = 8  # until then Python's own free lists fill up


async def _answered(client: Client, number: int) -> None:
    await client.chat(MODEL, "x")


async def _streamed(client: Client, number: int) -> None:
    async with client.stream(MODEL, "x") as answer:
        await answer.collect()


async def _failed(client: Client, number: int) -> None:
    with pytest.raises(AsyncAPIError):
        await client.chat(MODEL, "wrong")


async def _strangers(client: Client, number: int) -> None:
    options = {"tenant": f"tenant {number}", "tag": f"tag {number}"}
    await client.chat(f"openai:model-{number}", "x", **options)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("use", "rounds"), [(_answered, 12), (_streamed, 12), (_failed, 12), (_strangers, 12)]
)
def test_thousands_of_calls_keep_less_than_a_byte_each(
    use: Callable[[Client, int], Awaitable[None]], rounds: int
) -> None:
    """Answers, streams, errors, and a model, a tenant and a tag of its own for every call."""

    def script(request: Outgoing) -> object:
        if request.body and b'"stream":true' in request.body:
            return stream(["a", "b"])
        return reply(status=400) if request.body and b"wrong" in request.body else reply("fine")

    transport = ScriptedTransport(script, keep=0)  # type: ignore[arg-type]

    async def main() -> list[int]:
        client = scripted.client_of(transport, limit=64, queue_size=PER_ROUND, breaker=Breaker(enabled=False))
        sizes, number = [], 0
        for _ in range(rounds):
            for _ in range(PER_ROUND // 100):
                await asyncio.gather(*(use(client, number + i) for i in range(100)))
                number += 100
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
        await client.aclose()
        return sizes

    tracemalloc.start()
    try:
        with virtual_time() as time:
            sizes = time.run(main())
    finally:
        tracemalloc.stop()

    assert (sizes[-1] - sizes[WARM - 1]) / ((rounds - WARM) * PER_ROUND) < 1.0, sizes
