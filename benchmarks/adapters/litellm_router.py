"""LiteLLM's ``Router`` with one deployment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import litellm  # type: ignore[import-not-found]

from benchmarks.adapters import KEY, MODEL
from benchmarks.adapters.litellm import LiteLLM


@asynccontextmanager
async def opened(url: str, in_flight: int, ca: str | None) -> AsyncIterator[LiteLLM]:
    """A router of one row."""
    if ca:
        litellm.ssl_verify = ca
    parameters = {"model": f"openai/{MODEL}", "api_base": url, "api_key": KEY}
    router = litellm.Router(model_list=[{"model_name": MODEL, "litellm_params": parameters}])
    yield LiteLLM(router.acompletion, {"model": MODEL})
