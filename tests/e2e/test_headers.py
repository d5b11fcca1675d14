"""Rate-limit headers, batch sizes and load, learnt from what the services say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import asyncapi
from asyncapi.config import Route
from asyncapi.emulator import Emulator, Limits, Timing
from asyncapi.testing import ScriptedTransport, reply


def endpoint(name: str, emulator: Emulator, **settings: Any) -> asyncapi.Endpoint:
    return asyncapi.Endpoint(
        name, base_url=emulator.base_urls[name], keys=("sk-test",), queue_size=1000, **settings
    )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "burst"), [("openai", 4), ("claude", 4)])
async def test_headers_keep_calls_below_the_rate(name: str, burst: int) -> None:
    """A key of 600 requests a minute, used up at the start, is then used at its rate with almost no 429."""
    limits = Limits(requests_per_minute=600)
    async with Emulator(timing=Timing.instant(), limits=limits) as emulator:
        async with asyncapi.Client([endpoint(name, emulator, limit=burst)], log=False) as client:
            await asyncio.gather(*(client.chat(f"{name}:m", f"question {i}") for i in range(620)))

        counts = emulator.counts()
    assert counts.by_status.get(429, 0) <= burst


async def test_batch_size_is_read_from_the_server() -> None:
    """TEI says how many texts it takes; a smaller number than the row's holds from its answer on."""
    async with Emulator(timing=Timing.instant()) as emulator:
        only = endpoint("hf_tei", emulator, batch=asyncapi.Batch(size=1000))
        async with asyncapi.Client([only]) as client:
            await client.embed("hf_tei:m", "first")
            await asyncio.sleep(0.05)
            core = client._runtime.made["hf_tei"]
            limit = core.batcher._limits["embed"]

        assert limit.items == 32
        assert sum(r.path.endswith("/info") for r in emulator.records) == 1


@pytest.mark.virtual_time
async def test_least_loaded_route_believes_the_servers() -> None:
    """vLLM tells how many requests wait; the route goes where fewer do."""
    busy = {"endpoint-load-metrics": 'JSON {"named_metrics": {"num_requests_waiting": 9.0}}'}
    idle = {"endpoint-load-metrics": 'JSON {"named_metrics": {"num_requests_waiting": 0.0}}'}
    transport = ScriptedTransport(lambda request: reply("hi", headers=busy if "//a" in request.url else idle))
    endpoints = [asyncapi.Endpoint("vllm", name=name, base_url=f"http://{name}:8000") for name in ("a", "b")]
    routes = {"pool": Route(("a:m", "b:m"), strategy="least_loaded")}
    async with asyncapi.Client(endpoints, routes=routes, transport=transport, seed=1) as client:
        served = [(await client.chat("pool", "q")).endpoint for _ in range(12)]

    assert served.count("a") <= 1
    assert transport.requests[0].headers["endpoint-load-metrics-format"] == "JSON"
