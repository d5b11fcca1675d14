"""Asked before, or being asked: a hit of the cache, a place aboard a flight, and what a miss adds."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import asyncapi
from asyncapi.caching import SQLiteStore
from benchmarks.adapters import MODEL, PROMPT
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
        async for row in _file(folder, 1_000 * plan.scale):
            yield row


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


async def _file(folder: str, count: int) -> AsyncIterator[Row]:
    """Why reads are on the loop and writes are not: how long each takes, beside a hop to a thread."""
    many = 20_000
    async with _store(
        Path(folder) / "reads.db", {n.to_bytes(32, "big"): bytes(2_000) for n in range(many)}
    ) as one:
        keys = [(n * 7919 % many).to_bytes(32, "big") for n in range(count)]
        yield Row("cache", "file", "reading 2 kB, of 20,000", await _timed(lambda n: one.get(keys[n]), count))
    async with _store(Path(folder) / "large.db", {b"large": bytes(1 << 20)}) as one:
        yield Row("cache", "file", "reading 1 MiB", await _timed(lambda _: one.get(b"large"), count // 10))
    hop = await _timed(lambda _: asyncio.to_thread(lambda: None), count)
    yield Row("cache", "file", "a hop to a thread and back, idle", hop)
    for size in (1, 100):
        writing = _writing(SQLiteStore(Path(folder) / f"writes-{size}.db"), size)
        figures = await _timed(writing, max(count // size // 5, 20))
        yield Row("cache", "file", f"writing {size} of 2 kB in a transaction", figures)


@contextlib.asynccontextmanager
async def _store(path: Path, answers: Mapping[bytes, bytes]) -> AsyncIterator[SQLiteStore]:
    store = SQLiteStore(path)
    for key, value in answers.items():
        await store.put(key, value, 1e6)
    await store.flush()
    yield store
    await store.aclose()


def _writing(store: SQLiteStore, size: int) -> Callable[[int], Any]:
    """Only the work of the thread, done here: what the loop would wait for if it did it itself."""

    async def write(number: int) -> None:
        keys = [(number * size + n).to_bytes(32, "big") for n in range(size)]
        store._write({key: (bytes(2_000), 1e12) for key in keys})

    return write


async def _timed(one: Callable[[int], Any], count: int) -> dict[str, float]:
    gc.collect()
    took = []
    for number in range(count):
        started = time.perf_counter()
        await one(number)
        took.append((time.perf_counter() - started) * 1e3)
    return {"p50_ms": statistics.median(took), "p99_ms": percentile(took, 0.99)}
