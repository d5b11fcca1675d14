"""any-llm with a provider object that is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from any_llm import AnyLLM  # type: ignore[import-not-found]

from benchmarks.adapters import KEY, MODEL, PROMPT

_MESSAGES: Any = [{"role": "user", "content": PROMPT}]


class _AnyLLM:
    def __init__(self, provider: Any) -> None:
        self._provider = provider

    async def call(self) -> str:
        answer = await self._provider.acompletion(model=MODEL, messages=_MESSAGES)
        return answer.choices[0].message.content or ""

    async def stream(self) -> str:
        chunks = await self._provider.acompletion(model=MODEL, messages=_MESSAGES, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])


@asynccontextmanager
async def opened(url: str, in_flight: int, ca: str | None) -> AsyncIterator[_AnyLLM]:
    """OpenAI's provider."""
    yield _AnyLLM(AnyLLM.create("openai", api_key=KEY, api_base=url))
