"""What second copies give and cost, where some answers are slow: ``python -m benchmarks.hedging``.

In virtual time, so that a run takes seconds and comes out the same each time.
"""

from __future__ import annotations

import asyncio
import random

import asyncapi
from asyncapi import Hedge
from asyncapi.testing import ScriptedTransport, reply, virtual_time
from asyncapi.testing.scripted import Step
from asyncapi.types.wire import Outgoing

__all__ = ["Outcome", "run"]

CALLS = 2_000
EVERY_S = 0.02
CHOICES: dict[str, Hedge | None] = {
    "no copies": None,
    '`Hedge()`: "p95", 2 %': Hedge(),
    '"p98", 2 %': Hedge(after="p98"),
    "0.3 s, 2 %": Hedge(after=0.3),
    "0.3 s, 6 %": Hedge(after=0.3, budget=0.06),
}

#: The times of all calls in order (seconds), and how many copies were sent and won.
Outcome = tuple[list[float], int, int]


def run(hedge: Hedge | None, slow: float, calls: int = CALLS, seed: int = 1) -> Outcome:
    """One run: answers of 0.15 to 0.25 s, the share ``slow`` of them ten times as long."""
    rng, times = random.Random(seed), list[float]()

    def answer(_: Outgoing) -> Step:
        return reply("x", delay=rng.uniform(0.15, 0.25) * (10.0 if rng.random() < slow else 1.0))

    async def one(client: asyncapi.Client, i: int) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(i * EVERY_S)
        began = loop.time()
        await client.chat("openai:m", "q", idempotent=True)
        times.append(loop.time() - began)

    async def main() -> asyncapi.Statistics:
        endpoint = asyncapi.Endpoint("openai", base_url="http://a/v1", keys=("k",), limit=200, hedge=hedge)
        transport = ScriptedTransport(answer, keep=1)
        async with asyncapi.Client([endpoint], transport=transport, log=False, environment={}) as client:
            await asyncio.gather(*(one(client, i) for i in range(calls)))
            return client.statistics()

    with virtual_time(seed) as clock:
        hedges = clock.run(main()).endpoints["openai"].hedges
    return sorted(times), hedges.sent, hedges.won


def main() -> None:
    """The table."""
    print("| slow answers | copies | p50 | p95 | p99 | p99.9 | copies sent | first |")
    print("|---:|---|---:|---:|---:|---:|---:|---:|")
    for slow in (0.01, 0.02, 0.05, 1.0):
        for name, hedge in CHOICES.items():
            times, sent, won = run(hedge, slow)
            at = [f"{times[min(len(times) - 1, int(q * len(times)))]:.2f}" for q in (0.5, 0.95, 0.99, 0.999)]
            print(f"| {slow:.0%} | {name} | {' | '.join(at)} | {sent} ({sent / CALLS:.1%}) | {won} |")


if __name__ == "__main__":
    main()
