"""Scheduling alone: queue, fairness, breaker, limit, keys, deadline, statistics, without any I/O."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any

from benchmarks.measure import Row, spread
from benchmarks.nothing import REQUEST, client
from benchmarks.suites import Plan
from benchmarks.suites.collector import recommended

__all__ = ["cancelling", "run", "scheduling"]


async def run(plan: Plan) -> AsyncIterator[Row]:
    """Askers in turn; from 1 to 100,000 handed in at once; cancelling 100 and 30,000.

    Sizes take turns; a ratio is to the first one of the same round. "Bare tasks" do nothing but wait for
    a future: what cancelling costs without any client.
    """
    async for row in _rows(plan, "askers in turn, 64 in flight", (200,), asking):
        yield row
    sizes = (1_000, 1, 10_000) if plan.quick else (1_000, 1, 10, 100, 10_000, 100_000)
    async for row in _rows(plan, "at once", sizes, scheduling):
        yield row
    what, few_and_many = "cancelled while queued, newest first", (100, 30_000)
    async for row in _rows(plan, what, few_and_many, cancelling):
        yield row
    if not plan.quick:
        async for row in _rows(plan, what, few_and_many, cancelling_bare, "bare tasks"):
            yield row
        with recommended():
            name = "ours, collector as recommended"
            async for row in _rows(plan, what, few_and_many, cancelling, name):
                yield row
            async for row in _rows(plan, "at once", (1_000, 100_000), scheduling, name):
                yield row


async def _rows(
    plan: Plan, what: str, sizes: tuple[int, ...], one: Callable[[int], Awaitable[float]], name: str = "ours"
) -> AsyncIterator[Row]:
    samples: dict[int, list[float]] = {size: [] for size in sizes}
    await one(sizes[0])
    for _ in range(plan.rounds):
        for size in sizes:
            gc.collect()
            samples[size].append(await one(size))
    for size in sorted(sizes):
        ratios = sorted(own / first for own, first in zip(samples[size], samples[sizes[0]], strict=True))
        figures = {
            "cpu_us": statistics.median(samples[size]),
            "ratio": statistics.median(ratios),
            "low": ratios[0],
            "high": ratios[-1],
        }
        yield Row("scheduling", f"{size:,} {what}", name, figures)


async def asking(askers: int) -> float:
    """CPU microseconds a call of so many askers, one call of each after the other; no task a call."""
    count = 5_000
    async with client(64, askers) as ours:
        ask = spread(lambda: ours.call(REQUEST), askers)
        started = time.process_time()
        await ask(count)
        return (time.process_time() - started) / count * 1e6


async def scheduling(queued: int) -> float:
    """CPU microseconds a call with so many calls handed in at once, with their tasks."""
    async with client(64, queued) as ours:
        repeats = max(1, 5_000 // queued)
        started = time.process_time()
        for _ in range(repeats):
            await asyncio.gather(*(ours.call(REQUEST) for _ in range(queued)))
        return (time.process_time() - started) / (queued * repeats) * 1e6


async def cancelling(queued: int) -> float:
    """CPU microseconds a call to cancel so many queued calls, newest first."""
    repeats = max(1, 5_000 // queued)
    async with client(1, queued) as ours:
        total = sum([await _cancelled([ours.call(REQUEST) for _ in range(queued)]) for _ in range(repeats)])
    return total / (queued * repeats) * 1e6


async def cancelling_bare(waiting: int) -> float:
    """The same for tasks that only wait for a future."""
    repeats = max(1, 5_000 // waiting)
    total = sum([await _cancelled([_waits() for _ in range(waiting)]) for _ in range(repeats)])
    return total / (waiting * repeats) * 1e6


async def _waits() -> None:
    await asyncio.get_running_loop().create_future()


async def _cancelled(works: Sequence[Coroutine[Any, Any, object]]) -> float:
    """CPU seconds to cancel and collect all of them once they wait."""
    tasks = [asyncio.ensure_future(work) for work in works]
    await asyncio.sleep(0)
    started = time.process_time()
    for task in reversed(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return time.process_time() - started
