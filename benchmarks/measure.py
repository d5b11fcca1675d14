"""Interleaved rounds, ratios, spread."""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Contender", "Row", "compare", "percentile", "pin", "spread", "summary"]

#: Performs this many operations; the benchmark's own set-up and warm-up are outside.
Contender = Callable[[int], Awaitable[None]]


@dataclass(frozen=True)
class Row:
    """One contender in one setting of one suite, and what was measured of it."""

    suite: str
    setting: str
    name: str
    figures: dict[str, float] = field(default_factory=dict)


async def compare(
    contenders: Mapping[str, Contender], count: int, rounds: int, base: str
) -> dict[str, dict[str, float]]:
    """CPU (user and system, of every thread) of each contender beside ``base``, in turn, round by round.

    The ratio is taken within each round and its median is reported: what slows the machine for a
    while slows both. Who begins changes from round to round, so that no one always runs on the
    other's warm caches.

    Returns:
        Name to figures: ``cpu_us`` and ``per_second`` an operation, ``ratio`` with ``low`` and ``high``.
    """
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for contender in contenders.values():
        await contender(max(count // 10, 10))
    for number in range(rounds):
        order = list(contenders)
        for name in order if number % 2 else reversed(order):
            gc.collect()
            started, clock = time.process_time(), time.perf_counter()
            await contenders[name](count)
            cpu[name].append((time.process_time() - started) / count * 1e6)
            rates[name].append(count / (time.perf_counter() - clock))
    return {
        name: summary(cpu[name], cpu[base]) | {"per_second": statistics.median(rates[name])}
        for name in contenders
    }


def summary(micros: Sequence[float], bare: Sequence[float]) -> dict[str, float]:
    """Median CPU and the ratios of each round, with their spread."""
    ratios = sorted(own / other for own, other in zip(micros, bare, strict=True))
    return {
        "cpu_us": statistics.median(micros),
        "ratio": statistics.median(ratios),
        "low": ratios[0],
        "high": ratios[-1],
        "rounds": float(len(ratios)),
    }


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that ``share`` of them don't exceed."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(one: Callable[[], Awaitable[object]], in_flight: int) -> Contender:
    """Perform ``one`` again and again, so many at a time."""

    async def worker(count: int) -> None:
        for _ in range(count):
            await one()

    async def run(count: int) -> None:
        async with asyncio.TaskGroup() as group:
            for i in range(in_flight):
                group.create_task(worker(count // in_flight + (i < count % in_flight)))

    return run


def pin(core: int) -> None:
    """Keep this process on one core, where the platform can: 0 is the client's, 1 the servers'."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {core})
