"""Time added to a service time of 50 ms: 100 in flight, and calls that arrive whatever happens."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from benchmarks import checked
from benchmarks.adapters import opened
from benchmarks.measure import Row, percentile
from benchmarks.servers import target
from benchmarks.suites import Plan

__all__ = ["arriving", "in_turn", "run"]

_SERVICE_MS = 50.0
_IN_FLIGHT = 100
_PER_SECOND = 800.0

Ask = Callable[[], Awaitable[None]]


async def run(plan: Plan) -> AsyncIterator[Row]:
    """Both contenders in turn; the medians of the rounds' percentiles."""
    count = 500 if plan.quick else 5_000
    with target(delay=_SERVICE_MS / 1e3) as server:
        limit = 20 * _IN_FLIGHT
        async with opened("bare", server.url, limit) as bare, opened("ours", server.url, limit) as ours:
            asks = {"bare": checked.call(bare), "ours": checked.call(ours)}
            for setting, way in (
                (f"{_IN_FLIGHT} in flight", in_turn),
                (f"{_PER_SECOND:g} arrive a second", arriving),
            ):
                late: dict[str, list[list[float]]] = {name: [] for name in asks}
                for ask in asks.values():
                    await in_turn(ask, 2 * _IN_FLIGHT, 0)  # connections are made
                for number in range(3 if plan.quick else plan.rounds):
                    for name, ask in asks.items():
                        late[name].append(await way(ask, count, number))
                for name, rounds in late.items():
                    yield Row("latency", setting, name, _figures(rounds) | {"server_busy": server.busy})


async def in_turn(ask: Ask, count: int, seed: int) -> list[float]:
    """Milliseconds beyond the service time, each of 100 askers one call after the other."""
    late = []

    async def asker() -> None:
        for _ in range(count // _IN_FLIGHT):
            started = time.perf_counter()
            await ask()
            late.append((time.perf_counter() - started) * 1e3 - _SERVICE_MS)

    await asyncio.gather(*(asker() for _ in range(_IN_FLIGHT)))
    return late


async def arriving(ask: Ask, count: int, seed: int) -> list[float]:
    """The same for an open loop: each call's time counts from when it should have begun.

    So a stall counts for every call that it held up (no coordinated omission).
    """
    chances = random.Random(seed)
    begin = due = time.perf_counter()
    late: list[float] = []

    async def one(due: float) -> None:
        await ask()
        late.append((time.perf_counter() - due) * 1e3 - _SERVICE_MS)

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            due += chances.expovariate(_PER_SECOND)
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            group.create_task(one(due))
    assert due > begin
    return late


def _figures(rounds: list[list[float]]) -> dict[str, float]:
    figures = {}
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        each = sorted(percentile(late, share) for late in rounds)
        figures[f"added_{name}_ms"] = each[len(each) // 2]
        figures[f"added_{name}_most_ms"] = each[-1]
    return figures
