"""What one would write without a library: aiohttp and orjson, nothing else."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import orjson

from benchmarks.adapters import KEY, MODEL, PROMPT

_BODY = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]}
_HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}


class _Bare:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = f"{url}/chat/completions"

    async def call(self) -> str:
        data = orjson.dumps(_BODY)
        async with self._session.post(self._url, data=data, headers=_HEADERS) as reply:
            text: str = orjson.loads(await reply.read())["choices"][0]["message"]["content"]
            return text

    async def stream(self) -> str:
        data = orjson.dumps({**_BODY, "stream": True})
        parts: list[str] = []
        async with self._session.post(self._url, data=data, headers=_HEADERS) as reply:
            async for line in reply.content:
                if line.startswith(b"data: {"):
                    parts.append(orjson.loads(line[6:])["choices"][0]["delta"].get("content") or "")  # noqa: PERF401
        return "".join(parts)


@asynccontextmanager
async def opened(url: str, in_flight: int, ca: str | None) -> AsyncIterator[_Bare]:
    """A session without a limit of connections."""
    context = ssl.create_default_context(cafile=ca) if ca else True
    connector = aiohttp.TCPConnector(limit=0, ssl=context, keepalive_timeout=60)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield _Bare(session, url)
