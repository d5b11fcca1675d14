"""Resident memory of a fresh process after 1,000 and 100,000 calls, and, if asked, a million."""

from __future__ import annotations

import asyncio
import gc
import resource
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks import checked
from benchmarks.adapters import opened
from benchmarks.measure import Row, pin, spread
from benchmarks.servers import plain_server
from benchmarks.suites import Plan

__all__ = ["run"]

_IN_FLIGHT = 64


async def run(plan: Plan) -> AsyncIterator[Row]:
    """Each contender in a process of its own."""
    counts = [1_000, 5_000] if plan.quick else [1_000, 100_000]
    if plan.million:
        counts.append(1_000_000)
    with plain_server() as server:
        for name in ("bare", "ours"):
            command = [sys.executable, "-m", "benchmarks.suites.memory", name, server.url, *map(str, counts)]
            ran = await asyncio.to_thread(
                subprocess.run,
                command,
                capture_output=True,
                text=True,
                check=True,
                cwd=Path(__file__).parents[2],
            )
            kib = [[float(word) for word in line.split()] for line in ran.stdout.splitlines()]
            for (now, peak), (first, _), count in zip(kib, [kib[0]] * len(kib), counts, strict=True):
                growth = (now - first) * 1024 / max(1, count - counts[0])
                figures = {"rss_mib": now / 1024, "peak_mib": peak / 1024, "ratio": now / first}
                yield Row("memory", f"{count:,} calls", name, figures | {"bytes_a_call": growth})


async def _watched(name: str, url: str, counts: list[int]) -> None:
    done = 0
    async with opened(name, url, _IN_FLIGHT) as adapter:
        ask = spread(checked.call(adapter), _IN_FLIGHT)
        for count in counts:
            await ask(count - done)
            done = count
            gc.collect()
            print(*_resident_kib(), flush=True)


def _resident_kib() -> tuple[float, float]:
    """Now and at most. Not ``ru_maxrss``, which a child begins with at its parent's."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # no Linux: the peak is all there is
        peak = float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return peak, peak
    words = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    return float(words["VmRSS"]), float(words["VmHWM"])


if __name__ == "__main__":
    pin(0)
    asyncio.run(_watched(sys.argv[1], sys.argv[2], [int(word) for word in sys.argv[3:]]))
