"""The OpenAI SDK, with httpx or (``openai_aiohttp``) with its own aiohttp client."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai  # type: ignore[import-not-found]

from benchmarks.adapters import KEY, MODEL, PROMPT

_MESSAGES: Any = [{"role": "user", "content": PROMPT}]


class _OpenAI:
    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self._client = client

    async def call(self) -> str:
        answer = await self._client.chat.completions.create(model=MODEL, messages=_MESSAGES)
        return answer.choices[0].message.content or ""

    async def stream(self) -> str:
        chunks = await self._client.chat.completions.create(model=MODEL, messages=_MESSAGES, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])


@asynccontextmanager
async def opened(url: str, in_flight: int, ca: str | None, aiohttp: bool = False) -> AsyncIterator[_OpenAI]:
    """A client without retries counted in (none happens)."""
    settings: dict[str, Any] = {"verify": ssl.create_default_context(cafile=ca)} if ca else {}
    client = (
        openai.DefaultAioHttpClient(**settings) if aiohttp else openai.DefaultAsyncHttpxClient(**settings)
    )
    async with openai.AsyncOpenAI(api_key=KEY, base_url=url, http_client=client) as opened_client:
        yield _OpenAI(opened_client)
