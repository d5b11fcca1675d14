"""The OpenAI SDK on aiohttp."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

from benchmarks.adapters import openai


def opened(url: str, in_flight: int, ca: str | None) -> AbstractAsyncContextManager[Any]:
    """As ``openai.opened``, with the other client."""
    return openai.opened(url, in_flight, ca, aiohttp=True)
