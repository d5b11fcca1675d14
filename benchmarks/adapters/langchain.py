"""LangChain's ``ChatOpenAI``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from langchain_openai import ChatOpenAI  # type: ignore[import-not-found]

from benchmarks.adapters import KEY, MODEL, PROMPT


class _LangChain:
    def __init__(self, model: ChatOpenAI) -> None:
        self._model = model

    async def call(self) -> str:
        return str((await self._model.ainvoke(PROMPT)).content)

    async def stream(self) -> str:
        return "".join([str(chunk.content) async for chunk in self._model.astream(PROMPT)])


@asynccontextmanager
async def opened(url: str, in_flight: int, ca: str | None) -> AsyncIterator[_LangChain]:
    """A chat model."""
    yield _LangChain(ChatOpenAI(model=MODEL, base_url=url, api_key=KEY))
