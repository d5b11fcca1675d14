"""Cache and single-flight over real connections, and between real processes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from asyncapi import Cache, Client, Endpoint, Stream
from asyncapi.emulator import Emulator, Timing

MODEL = "openai:m"

PROGRAM = """
import asyncio, json, sys
from asyncapi import Cache, Client, Endpoint

async def main(url, path, first, last):
    endpoint = Endpoint("openai", base_url=url, keys=("k",), limit=20)
    async with Client([endpoint], cache=Cache("sqlite", path), log=False) as client:

        async def whole(n):
            return await client.chat("openai:m", f"question {n}")

        async def streamed(n):
            async with client.stream("openai:m", f"question {n}") as stream:
                return await stream.collect()

        answers = await asyncio.gather(*(whole(n) if n % 2 else streamed(n) for n in range(first, last)))
        vectors = await client.embed("openai:e", "a text")
    print(json.dumps({
        "texts": [answer.text for answer in answers],
        "cached": sum(answer.cached for answer in (*answers, vectors)),
        "vector": list(vectors.vectors[0])[:3],
    }))

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
"""


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """One that takes a moment for each answer."""
    async with Emulator(timing=Timing(first_token=0.02, per_token=0.0005)) as running:
        yield running


async def program(emulator: Emulator, path: Path, first: int, last: int) -> dict[str, Any]:
    """A process that asks the questions from first to last, and what it got."""
    arguments = [emulator.base_urls["openai"], str(path), str(first), str(last)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, *arguments, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    found: dict[str, Any] = orjson.loads(out)
    return found


@pytest.mark.slow
async def test_a_process_that_starts_again_asks_for_nothing(emulator: Emulator, tmp_path: Path) -> None:
    """Chats, streams and embeddings are answered from the file, with the same words and numbers."""
    path = tmp_path / "answers.db"

    first = await program(emulator, path, 0, 30)
    asked = emulator.counts().received
    second = await program(emulator, path, 0, 30)

    assert (first["cached"], asked) == (0, 31)
    assert (second["cached"], emulator.counts().received) == (31, 31)
    assert (second["texts"], second["vector"]) == (first["texts"], first["vector"])


@pytest.mark.slow
async def test_two_processes_share_a_file(emulator: Emulator, tmp_path: Path) -> None:
    """Both at once, half of the questions the same; what either got, the next one finds."""
    path = tmp_path / "answers.db"

    left, right = await asyncio.gather(program(emulator, path, 0, 40), program(emulator, path, 20, 60))
    asked = emulator.counts().received
    after = await program(emulator, path, 0, 60)

    assert left["texts"][20:] == right["texts"][:20]
    assert 61 <= asked <= 82
    assert (after["cached"], emulator.counts().received) == (61, asked)
    assert after["texts"] == left["texts"] + right["texts"][20:]


def client_of(emulator: Emulator, **settings: Any) -> Client:
    """A client of it."""
    endpoint = Endpoint("openai", base_url=emulator.base_urls["openai"], keys=("k",))
    return Client([endpoint], log=False, **settings)


async def collected(stream: Stream[Any]) -> str:
    """A stream's text, chunk by chunk."""
    async with stream:
        return "".join([chunk.text async for chunk in stream])


@pytest.mark.slow
async def test_a_thousand_callers_are_one_request(emulator: Emulator) -> None:
    """Calls, and streams, of which half come when the other half is reading already."""
    async with client_of(emulator, single_flight=True) as client:
        answers = await asyncio.gather(*(client.chat(MODEL, "x") for _ in range(1000)))
        assert emulator.counts().received == 1

        early = [asyncio.ensure_future(collected(client.stream(MODEL, "y"))) for _ in range(500)]
        await asyncio.sleep(0.03)  # in the middle of the stream, or after it: then there are two requests
        late = [asyncio.ensure_future(collected(client.stream(MODEL, "y"))) for _ in range(500)]
        texts = await asyncio.gather(*early, *late)

    assert len({answer.text for answer in answers}) == 1
    assert len(set(texts)) == 1
    assert emulator.counts().received in (2, 3)


async def test_a_refresh_reaches_the_service(emulator: Emulator) -> None:
    """And a hit doesn't."""
    async with client_of(emulator, cache=Cache()) as client:
        await client.chat(MODEL, "x")
        await client.chat(MODEL, "x")
        assert emulator.counts().received == 1
        await client.chat(MODEL, "x", cache="refresh")
        assert emulator.counts().received == 2
