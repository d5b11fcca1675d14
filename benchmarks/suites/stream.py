"""Streamed chunks, all at once and one by one. Figures are for one chunk."""

from __future__ import annotations

from collections.abc import AsyncIterator

from benchmarks.measure import Row
from benchmarks.rivals.child import measured
from benchmarks.servers import target
from benchmarks.suites import Plan
from benchmarks.target import CHUNKS

__all__ = ["run"]


async def run(plan: Plan) -> AsyncIterator[Row]:
    """In bursts: 16 streams whose chunks all come at once. Paced: 128 streams, a chunk every 20 ms."""
    for setting, gap, in_flight, count in (
        ("in bursts, 16 streams", 0.0, 16, 100 * plan.scale),
        ("paced, 128 streams of 50 a second", 0.02, 128, 128 * (1 if plan.quick else 2)),
    ):
        with target(gap=gap) as server:
            found = await measured("ours", server.url, "stream", in_flight, count, plan.rounds)
            for name, figures in found.items():
                yield Row("stream", setting, name, _per_chunk(figures) | {"server_busy": server.busy})


def _per_chunk(figures: dict[str, float]) -> dict[str, float]:
    each = {"cpu_us": figures["cpu_us"] / CHUNKS, "per_second": figures["per_second"] * CHUNKS}
    return figures | each
