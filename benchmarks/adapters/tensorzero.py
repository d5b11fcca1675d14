"""TensorZero's gateway inside the process, without its database."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tensorzero import AsyncTensorZeroGateway  # type: ignore[import-not-found]

from benchmarks.adapters import MODEL, PROMPT

_CONFIG = """
[models.bench]
routing = ["target"]
[models.bench.providers.target]
type = "openai"
model_name = "{model}"
api_base = "{url}/"
api_key_location = "none"
[gateway]
observability.enabled = false
"""
_INPUT: Any = {"messages": [{"role": "user", "content": PROMPT}]}


class _TensorZero:
    def __init__(self, gateway: Any) -> None:
        self._gateway = gateway

    async def call(self) -> str:
        answer = await self._gateway.inference(model_name="bench", input=_INPUT)
        return str(answer.content[0].text)

    async def stream(self) -> str:
        chunks = await self._gateway.inference(model_name="bench", input=_INPUT, stream=True)
        return "".join([part.text async for chunk in chunks for part in chunk.content])


@asynccontextmanager
async def opened(url: str, in_flight: int, ca: str | None) -> AsyncIterator[_TensorZero]:
    """A gateway of one model."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(_CONFIG.format(model=MODEL, url=url))
        file.flush()
        gateway = await AsyncTensorZeroGateway.build_embedded(config_file=file.name)
    async with gateway:
        yield _TensorZero(gateway)
