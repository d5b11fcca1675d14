"""LiteLLM's ``Router`` with one deployment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.adapters import KEY, MODEL
from benchmarks.adapters.litellm import _LiteLLM, litellm


@asynccontextmanager
async def opened(url: str, in_flight: int, ca: str | None) -> AsyncIterator[_LiteLLM]:
    """A router of one row."""
    if ca:
        litellm.ssl_verify = ca
    parameters = {"model": f"openai/{MODEL}", "api_base": url, "api_key": KEY}
    router = litellm.Router(model_list=[{"model_name": MODEL, "litellm_params": parameters}])
    yield _LiteLLM(router.acompletion, {"model": MODEL})
