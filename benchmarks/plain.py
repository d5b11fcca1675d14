"""A plain chat call, a streamed chunk, and embeddings: the client beside bare aiohttp with orjson."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import orjson

import asyncapi
from benchmarks.measure import Contender, Result, compare, server

__all__ = ["calls", "chunks", "embeddings"]

MODEL = "gpt-5-mini"
PROMPT = "What is the capital of France, and how many people live there? Answer in one sentence."
BODY = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]}
STREAMED = 52  # chunks in a streamed answer: role, 50 words, finish


def spread(one: Callable[[], Awaitable[object]], in_flight: int) -> Contender:
    """Perform ``one`` again and again, so many at a time."""

    async def worker(count: int) -> None:
        for _ in range(count):
            await one()

    async def run(count: int) -> None:
        async with asyncio.TaskGroup() as group:
            for i in range(in_flight):
                group.create_task(worker(count // in_flight + (i < count % in_flight)))

    return run


@asynccontextmanager
async def both(url: str, in_flight: int) -> AsyncIterator[tuple[aiohttp.ClientSession, asyncapi.Client]]:
    """A bare session and a client, everything on, for one server."""
    endpoint = asyncapi.Endpoint(
        "openai", base_url=url, keys=("sk-benchmark",), limit=in_flight, queue_size=10_000
    )
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, asyncapi.Client([endpoint]) as client:
        yield session, client


def bare_call(session: aiohttp.ClientSession, url: str) -> Callable[[], Awaitable[object]]:
    """What one would write without a library."""
    headers = {"Authorization": "Bearer sk-benchmark", "Content-Type": "application/json"}

    async def call() -> object:
        data = orjson.dumps(BODY)
        async with session.post(f"{url}/chat/completions", data=data, headers=headers) as reply:
            return orjson.loads(await reply.read())["choices"][0]["message"]["content"]

    return call


async def calls(in_flight: int, count: int, rounds: int) -> list[Result]:
    """A plain chat call with everything on."""
    with server() as url:
        async with both(url, in_flight) as (session, client):

            async def ours() -> object:
                return (await client.chat(f"openai:{MODEL}", PROMPT)).text

            contenders = {
                "bare aiohttp": spread(bare_call(session, url), in_flight),
                "asyncapi": spread(ours, in_flight),
            }
            return await compare(
                f"plain call, {in_flight} in flight", contenders, count, rounds, "bare aiohttp"
            )


async def chunks(in_flight: int, count: int, rounds: int) -> list[Result]:
    """Streams whose chunks come in bursts; the figure is per stream of 52 chunks."""
    with server() as url:
        async with both(url, in_flight) as (session, client):
            headers = {"Authorization": "Bearer sk-benchmark", "Content-Type": "application/json"}

            async def bare() -> object:
                data = orjson.dumps({**BODY, "stream": True})
                parts = []
                async with session.post(f"{url}/chat/completions", data=data, headers=headers) as reply:
                    async for line in reply.content:
                        if line.startswith(b"data: {"):
                            delta = orjson.loads(line[6:])["choices"][0]["delta"]
                            parts.append(delta.get("content") or "")
                return "".join(parts)

            async def ours() -> object:
                async with client.stream(f"openai:{MODEL}", PROMPT) as stream:
                    return "".join([chunk.text async for chunk in stream])

            contenders = {"bare aiohttp": spread(bare, in_flight), "asyncapi": spread(ours, in_flight)}
            setting = f"stream of {STREAMED} chunks in bursts, {in_flight} in flight"
            return await compare(setting, contenders, count, rounds, "bare aiohttp")


async def embeddings(delay: float, in_flight: int, count: int, rounds: int) -> list[Result]:
    """Texts awaited one by one, micro-batched, beside one request each. Rates, not CPU, are the point."""
    with server("--delay", str(delay)) as url:
        batched = asyncapi.Endpoint(
            "openai", name="batched", base_url=url, keys=("sk",), limit=8, queue_size=100_000,
            batch=asyncapi.Batch(size=32),
        )  # fmt: skip
        single = asyncapi.Endpoint(
            "openai", name="single", base_url=url, keys=("sk",), limit=8, queue_size=100_000,
            batch=asyncapi.Batch(size=1),
        )  # fmt: skip
        async with asyncapi.Client([batched, single]) as client:
            contenders = {
                name: spread(lambda name=name: client.embed(f"{name}:m", "a text"), in_flight)  # type: ignore[misc]
                for name in ("single", "batched")
            }
            setting = f"embeddings one by one, {delay * 1000:g} ms service time"
            return await compare(setting, contenders, count, rounds, "single")
