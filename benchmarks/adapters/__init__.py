"""One module a contender: how it is really used. Each has ``opened(url, in_flight, ca)``.

These run in the rivals' own environments: nothing here imports ``asyncapi`` but ``ours``.
"""

from __future__ import annotations

import importlib
from contextlib import AbstractAsyncContextManager
from typing import Protocol, cast

__all__ = ["KEY", "MODEL", "PROMPT", "Adapter", "opened"]

MODEL = "gpt-5-mini"
PROMPT = "What is the capital of France, and how many people live there? Answer in one sentence."
KEY = "sk-benchmark"


class Adapter(Protocol):
    """A library at work."""

    async def call(self) -> str:
        """A plain chat call: the answer's text."""
        ...

    async def stream(self) -> str:
        """A streamed one, read chunk by chunk: the text put together."""
        ...


def opened(
    name: str, url: str, in_flight: int, ca: str | None = None
) -> AbstractAsyncContextManager[Adapter]:
    """A contender's adapter, set up for one server and so many calls at a time.

    Args:
        name: A module of this package.
        url: The base URL, with /v1.
        in_flight: How many calls will be in flight at most.
        ca: A PEM file of certificates to trust; None where there is no TLS.
    """
    module = importlib.import_module(f"benchmarks.adapters.{name}")
    return cast("AbstractAsyncContextManager[Adapter]", module.opened(url, in_flight, ca))
