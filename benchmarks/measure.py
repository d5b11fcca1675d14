"""Interleaved rounds, ratios, spread."""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["Contender", "Result", "compare", "pin", "server"]

#: Performs this many operations; the benchmark's own set-up and warm-up are outside.
Contender = Callable[[int], Awaitable[None]]


@dataclass(frozen=True)
class Result:
    """One contender in one setting. Units: CPU microseconds per operation."""

    setting: str
    name: str
    micros: float
    ratio: float
    low: float
    high: float
    rounds: int
    rates: list[float] = field(default_factory=list)


async def compare(
    setting: str, contenders: Mapping[str, Contender], count: int, rounds: int, base: str
) -> list[Result]:
    """CPU of each contender beside ``base``, round by round in turn.

    The ratio is taken within each round and its median is reported: what slows the machine for a
    while slows both.
    """
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    for contender in contenders.values():
        await contender(max(count // 10, 10))
    for _ in range(rounds):
        for name, contender in contenders.items():
            gc.collect()
            started, clock = time.process_time(), time.perf_counter()
            await contender(count)
            cpu[name].append((time.process_time() - started) / count * 1e6)
            wall[name].append(count / (time.perf_counter() - clock))
            await asyncio.sleep(0)
    results = []
    for name, micros in cpu.items():
        ratios = sorted(own / bare for own, bare in zip(micros, cpu[base], strict=True))
        results.append(
            Result(
                setting=setting,
                name=name,
                micros=statistics.median(micros),
                ratio=statistics.median(ratios),
                low=ratios[0],
                high=ratios[-1],
                rounds=rounds,
                rates=wall[name],
            )
        )
    return results


def pin(core: int) -> None:
    """Keep this process on one core, where the platform can."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {core})


@contextmanager
def server(*arguments: str) -> Iterator[str]:
    """The target server in a process of its own; gives its base URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.target", *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()
