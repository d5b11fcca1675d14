"""An agent of pydantic-ai without tools."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic_ai import Agent  # type: ignore[import-not-found]
from pydantic_ai.models.openai import OpenAIChatModel  # type: ignore[import-not-found]
from pydantic_ai.providers.openai import OpenAIProvider  # type: ignore[import-not-found]

from benchmarks.adapters import KEY, MODEL, PROMPT


class _PydanticAI:
    def __init__(self, agent: Agent[Any, str]) -> None:
        self._agent = agent

    async def call(self) -> str:
        return str((await self._agent.run(PROMPT)).output)

    async def stream(self) -> str:
        async with self._agent.run_stream(PROMPT) as result:
            return "".join([part async for part in result.stream_text(delta=True, debounce_by=None)])


@asynccontextmanager
async def opened(url: str, in_flight: int, ca: str | None) -> AsyncIterator[_PydanticAI]:
    """An agent."""
    provider = OpenAIProvider(base_url=url, api_key=KEY)
    yield _PydanticAI(Agent(OpenAIChatModel(MODEL, provider=provider)))
