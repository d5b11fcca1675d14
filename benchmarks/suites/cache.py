"""Asked before, or being asked: a hit of the cache, a place aboard a flight, and what a miss adds."""

from __future__ import annotations

import asyncio
import gc
import itertools
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncapi
from asyncapi.caching import SQLiteStore
from asyncapi.types.messages import as_messages
from benchmarks.adapters import KEY, MODEL, PROMPT
from benchmarks.budget import in_memory
from benchmarks.measure import Contender, Row, compare, percentile
from benchmarks.suites import Plan

__all__ = ["run"]

_MODEL = f"openai:{MODEL}"


async def run(plan: Plan) -> AsyncIterator[Row]:
    """One call after the other, the service in memory; ratios are to a call without cache ("bare").

    "Ours" is a hit from memory; the answer of 80 words is there with the service's own JSON.
    """
    count = 2_000 * plan.scale
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "answers.db")
        async with (
            in_memory(64) as bare,
            in_memory(64, cache=asyncapi.Cache()) as memory,
            in_memory(64, cache=asyncapi.Cache("sqlite", path)) as file,
            in_memory(64, single_flight=True) as flying,
        ):
            contenders: dict[str, Contender] = {
                "bare": _each(lambda n: bare.chat(_MODEL, PROMPT)),
                "ours": _each(lambda n: memory.chat(_MODEL, PROMPT)),
                "a hit from a file": _each(lambda n: file.chat(_MODEL, PROMPT)),
                "a hit as a stream": _each(lambda n: _read(memory)),
                "a miss, kept in memory": _each(lambda n: memory.chat(_MODEL, f"{PROMPT} {n}")),
                "a miss, kept in a file": _each(lambda n: file.chat(_MODEL, f"{PROMPT} {n}")),
                "a flight for one": _each(lambda n: flying.chat(_MODEL, PROMPT)),
                "a flight for a hundred, each": _hundred(flying),
            }
            found = await compare(contenders, count, plan.rounds, "bare")
        for name, figures in found.items():
            yield Row("cache", "one after the other", name, figures)
        yield Row("cache", "file", "time of the loop in one read", await _reads(folder, 2_000 * plan.scale))


async def _read(client: asyncapi.Client) -> None:
    async with client.stream(_MODEL, PROMPT) as stream:
        async for _ in stream:
            pass


_numbers = itertools.count()


def _each(one: Callable[[int], Any]) -> Contender:
    async def work(count: int) -> None:
        for _ in range(count):
            await one(next(_numbers))

    return work


def _hundred(client: asyncapi.Client) -> Contender:
    async def work(count: int) -> None:
        for _ in range(count // 100):
            await asyncio.gather(*(client.chat(_MODEL, PROMPT) for _ in range(100)))

    return work


async def _reads(folder: str, count: int) -> dict[str, float]:
    """How long one read of an answer of 2 kB keeps the event loop, of 20,000 that are in the file."""
    store = SQLiteStore(Path(folder) / "reads.db")
    many = 20_000
    for number in range(many):
        await store.put(number.to_bytes(32, "big"), bytes(2_000), 1e6)
    await store.flush()
    gc.collect()
    took = []
    for number in range(count):
        key = (number * 7919 % many).to_bytes(32, "big")
        started = time.perf_counter()
        await store.get(key)
        took.append((time.perf_counter() - started) * 1e3)
    await store.aclose()
    return {"p50_ms": statistics.median(took), "p99_ms": percentile(took, 0.99)}
