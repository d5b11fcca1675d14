"""asyncapi with everything on: queue, fairness, breaker, limit, keys, retries, deadline, statistics, logs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncapi
from asyncapi.transports import http_transport
from benchmarks.adapters import KEY, MODEL, PROMPT

_MODEL = f"openai:{MODEL}"


class _Ours:
    def __init__(self, client: asyncapi.Client) -> None:
        self._client = client

    async def call(self) -> str:
        return (await self._client.chat(_MODEL, PROMPT)).text

    async def stream(self) -> str:
        async with self._client.stream(_MODEL, PROMPT) as stream:
            return "".join([chunk.text async for chunk in stream])


@asynccontextmanager
async def opened(url: str, in_flight: int, ca: str | None) -> AsyncIterator[_Ours]:
    """A client of one endpoint."""
    endpoint = asyncapi.Endpoint("openai", base_url=url, keys=(KEY,), limit=in_flight, queue_size=100_000)
    transport = http_transport(ca_file=ca)
    async with asyncapi.Client([endpoint], transport=transport) as client:
        yield _Ours(client)
    await transport.aclose()
