"""The official SDKs ask the emulator all that they are compared with us on, and understand the answers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from asyncapi.emulator import Emulator, Timing

from .pairs import Pair
from .test_differential import PAIRS

pytestmark = pytest.mark.filterwarnings("default")  # the SDKs' own sins

#: What the emulator can't know: models by another name than its own, responses that nobody stored.
_UNKNOWN = ("infer", "native predict", "native response", "native response_input", "native cancel_response")


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """All services, instantly."""
    async with Emulator(timing=Timing.instant()) as running:
        yield running


@pytest.mark.parametrize(
    "pair",
    [
        pytest.param(pair, id=f"{pair.service}-{pair.name}")
        for pair in PAIRS
        if pair.operation not in _UNKNOWN
    ],
)
async def test_an_sdk_understands_the_emulator(emulator: Emulator, pair: Pair) -> None:
    """No error, and one request that was answered well."""
    answer = await pair.theirs(f"{emulator.url}/{pair.service}")
    if hasattr(answer, "__aiter__"):
        assert [part async for part in answer]

    assert set(emulator.counts().by_status) == {200}


async def test_openai_sdk_reads_and_cancels_what_was_stored(emulator: Emulator) -> None:
    """A response in the background, its input, and its end."""
    openai = pytest.importorskip("openai")
    async with openai.AsyncOpenAI(api_key="k", base_url=f"{emulator.url}/openai/v1") as client:
        made = await client.responses.create(model="m", input="Hello", background=True)
        read = await client.responses.retrieve(made.id)
        items = [item async for item in client.responses.input_items.list(made.id)]
        cancelled = await client.responses.cancel(made.id)

    assert made.output_text == read.output_text == cancelled.output_text
    assert len(items) == 1
