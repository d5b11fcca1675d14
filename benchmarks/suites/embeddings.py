"""Texts awaited one by one, micro-batched, beside one request each. Rates are the point."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import asyncapi
from benchmarks.measure import Row, compare, spread
from benchmarks.servers import target
from benchmarks.suites import Plan

__all__ = ["run"]

_IN_FLIGHT = 256


async def run(plan: Plan) -> AsyncIterator[Row]:
    """Without a service time, and with 20 ms and 8 requests in flight."""
    for delay in (0.0, 0.02):
        with target(delay=delay) as server:
            async with asyncapi.Client(
                [_endpoint("single", server.url, 1), _endpoint("batched", server.url, 32)]
            ) as c:
                contenders = {name: spread(_embed(c, name), _IN_FLIGHT) for name in ("single", "batched")}
                found = await compare(contenders, 1_000 * plan.scale, plan.rounds, "single")
            single = found["single"]["per_second"]
            for name, figures in found.items():
                faster = {"times_as_fast": figures["per_second"] / single, "server_busy": server.busy}
                yield Row("embeddings", f"{delay * 1000:g} ms service time", name, figures | faster)


def _endpoint(name: str, url: str, size: int) -> asyncapi.Endpoint:
    return asyncapi.Endpoint(
        "openai", name=name, base_url=url, keys=("sk",), limit=8, queue_size=100_000,
        batch=asyncapi.Batch(size=size),
    )  # fmt: skip


def _embed(client: asyncapi.Client, name: str) -> Callable[[], Awaitable[object]]:
    async def one() -> object:
        answer = await client.embed(f"{name}:m", "a text")
        assert len(answer.vectors) == 1
        return answer

    return one
