"""How the CPU of a call grows with how many are in flight: flat is the goal."""

from __future__ import annotations

from collections.abc import AsyncIterator

from benchmarks.measure import Row
from benchmarks.rivals.child import measured
from benchmarks.servers import target
from benchmarks.suites import Plan

__all__ = ["run"]


async def run(plan: Plan) -> AsyncIterator[Row]:
    """With a service time of 50 ms, from 10 to 10,000 in flight (7,000 where descriptors are short)."""
    sizes = (10, 100, 1_000) if plan.quick else (10, 100, 1_000, 3_000, _most())
    for in_flight in sizes:
        with target(delay=0.05) as server:
            count = max(100 * plan.scale, 2 * in_flight)
            rounds = 3 if plan.quick else plan.rounds
            found = await measured("ours", server.url, "call", in_flight, count, rounds)
            for name, figures in found.items():
                row = figures | {"in_flight": float(in_flight), "server_busy": server.busy}
                yield Row("growth", f"{in_flight:,} in flight", name, row)


def _most() -> int:
    """Two contenders keep their connections open at the same time."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 21_000:
        soft = 21_000 if hard == resource.RLIM_INFINITY else min(21_000, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return 10_000 if soft >= 20_500 else 7_000
