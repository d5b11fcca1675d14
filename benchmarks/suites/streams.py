"""A thousand streams at once: does one core keep up with 50,000 tokens a second?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from benchmarks import checked
from benchmarks.adapters import opened
from benchmarks.measure import Row, percentile
from benchmarks.servers import target
from benchmarks.suites import Plan
from benchmarks.target import CHUNKS

__all__ = ["run"]

_GAP = 0.02


async def run(plan: Plan) -> AsyncIterator[Row]:
    """How much later than its pace each stream ends, and the share of the core it takes."""
    together = 200 if plan.quick else 1000
    with target(gap=_GAP) as server:
        async with opened("bare", server.url, together) as bare, opened("ours", server.url, together) as ours:
            for name, adapter in (("bare", bare), ("ours", ours)):
                one = checked.stream(adapter)
                await _all(one, together)  # connections are made
                server.watch()
                started, clock = time.process_time(), time.perf_counter()
                late = await _all(one, together)
                busy = (time.process_time() - started) / (time.perf_counter() - clock)
                figures = {
                    "late_p50_ms": percentile(late, 0.5),
                    "late_p99_ms": percentile(late, 0.99),
                    "core": busy,
                    "server_busy": server.busy,
                }
                yield Row("streams", f"{together:,} streams of 50 a second", name, figures)


async def _all(one: Callable[[], Awaitable[None]], together: int) -> list[float]:
    """Milliseconds that each stream took beyond its pace, begun over one second."""

    async def timed(number: int) -> float:
        await asyncio.sleep(number / together)
        started = time.perf_counter()
        await one()
        return (time.perf_counter() - started - (CHUNKS - 1) * _GAP) * 1e3

    return await asyncio.gather(*(timed(number) for number in range(together)))
