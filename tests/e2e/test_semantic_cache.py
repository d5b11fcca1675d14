"""The semantic cache over sockets: embeddings from one service, chats from another one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

import asyncapi
from asyncapi.emulator import Emulator, Timing

EMBED = "hf_tei:BAAI/bge-m3"


@pytest_asyncio.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """All services, instantly."""
    async with Emulator(timing=Timing.instant()) as running:
        yield running


def client_of(emulator: Emulator, cache: asyncapi.Cache) -> asyncapi.Client:
    """A client of two services."""
    endpoints = [
        asyncapi.Endpoint(name, base_url=emulator.base_urls[name], keys=("k",))
        for name in ("openai", "hf_tei")
    ]
    return asyncapi.Client(endpoints, cache=cache, log=False)


def embeddings(client: asyncapi.Client) -> int:
    """Requests for embeddings."""
    return client.statistics().endpoints["hf_tei"].requests


async def test_embeddings_travel_together_and_are_not_asked_for_twice(emulator: Emulator) -> None:
    """Sixty lookups at once are some requests; none for what was asked before to the byte."""
    cache = asyncapi.Cache(semantic=asyncapi.Semantic(embed=EMBED))
    async with client_of(emulator, cache) as client:
        questions = [f"What is the answer to question number {n}?" for n in range(60)]
        first = await asyncio.gather(*(client.chat("openai:m", q) for q in questions))
        sent = embeddings(client)
        again = await asyncio.gather(*(client.chat("openai:m", q) for q in questions))

    assert {answer.served.source for answer in first} == {"service"}
    assert {answer.served.source for answer in again} == {"cache"}
    assert 1 < sent < 30
    assert embeddings(client) == sent


async def test_an_answer_in_a_file_is_found_by_what_was_meant(emulator: Emulator, tmp_path: Path) -> None:
    """The emulator's vectors are chance: one of two paraphrases happens to be near, and is found."""
    semantic = asyncapi.Semantic(embed=EMBED, threshold=0.05)
    cache = asyncapi.Cache("sqlite", path=str(tmp_path / "answers.db"), semantic=semantic)
    async with client_of(emulator, cache) as client:
        first = await client.chat("openai:m", "How do I reset my password?")
        near = await client.chat("openai:m", "Hi, how do I reset my password?")
        far = await client.chat("openai:m", "What are the steps to reset my password?")

    assert (near.served.source, near.text) == ("semantic", first.text)
    assert near.served.similarity is not None
    assert 0.05 < near.served.similarity < 0.5
    assert far.served.source == "service"


async def test_a_service_that_embeds_nothing_is_told_to_the_caller(emulator: Emulator) -> None:
    """A mistake in the settings is no quiet miss."""
    endpoint = asyncapi.Endpoint("claude", base_url=emulator.base_urls["claude"], keys=("k",))
    cache = asyncapi.Cache(semantic=asyncapi.Semantic(embed="claude:m"))
    async with asyncapi.Client([endpoint], cache=cache, log=False) as client:
        try:
            await client.chat("claude:m", "How do I reset my password?")
        except asyncapi.UnsupportedOperationError as error:
            told = str(error)

    assert "embed" in told
