"""LiteLLM's ``acompletion``, quiet, as its guide to production says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import litellm  # type: ignore[import-not-found]

from benchmarks.adapters import KEY, MODEL, PROMPT

litellm.suppress_debug_info = True
litellm.telemetry = False


class LiteLLM:
    """A way to complete, with its settings."""

    def __init__(self, complete: Any, settings: dict[str, Any]) -> None:
        self._complete = complete
        self._settings = settings | {"messages": [{"role": "user", "content": PROMPT}]}

    async def call(self) -> str:
        answer = await self._complete(**self._settings)
        return answer.choices[0].message.content or ""

    async def stream(self) -> str:
        chunks = await self._complete(**self._settings, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])


@asynccontextmanager
async def opened(url: str, in_flight: int, ca: str | None) -> AsyncIterator[LiteLLM]:
    """Its own pooled client."""
    if ca:
        litellm.ssl_verify = ca
    yield LiteLLM(litellm.acompletion, {"model": f"openai/{MODEL}", "api_base": url, "api_key": KEY})
