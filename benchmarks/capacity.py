"""A service whose capacity changes in steps and with noise, and how limits on calls in flight follow it.

The whole client in virtual time, with more callers than the service can ever take. The service works on as
many requests at once as its capacity is and lets the others wait, first come first served; a request takes
1 s, more or less by chance. Every 60 to 120 s the capacity becomes another, between half and twice of what
it was; from second to second it wavers.

    python -m benchmarks.capacity                a table over many seeds: share of the possible, and p99
    python -m benchmarks.capacity --noise 0.2    with service times that differ more
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
from collections import deque
from collections.abc import Sequence

import msgspec
import orjson

import asyncapi
from asyncapi.abc import WireStream
from asyncapi.testing import virtual_time
from asyncapi.types.wire import Outgoing, WireResponse

__all__ = ["LIMITS", "Run", "capacities", "measure", "percentile"]

#: What is compared: name to the endpoint's limit. There is no way to have no limit; 150 is all callers.
LIMITS: dict[str, asyncapi.AIMD | int] = {
    "adaptive": asyncapi.AIMD(initial=5, maximum=150),
    "fixed, 20": 20,
    "fixed, 60": 60,
    "none": 150,
}
CALLERS = 150
LEAST, MOST = 8, 60
_JSON = {"Content-Type": "application/json"}
_BODY = orjson.dumps(
    {
        "id": "1",
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x"}}],
    }
)


class Run(msgspec.Struct, frozen=True):
    """What one limit came to.

    ``share`` of what was possible; ``times`` that the service took for each request, waiting there included,
    with when it was answered; ``own`` times without waiting; ``limits`` and ``capacity`` second by second.
    """

    share: float
    times: Sequence[tuple[float, float]]
    own: Sequence[float]
    limits: Sequence[int]
    capacity: Sequence[int]

    @property
    def p99(self) -> float:
        """Of the times, seconds; the service time is 1 s on average."""
        return percentile([took for _, took in self.times], 0.99)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def capacities(seed: int, seconds: int) -> list[int]:
    """How many requests the service works on at once, second by second."""
    rng = random.Random(seed)
    level = math.exp(rng.uniform(math.log(LEAST), math.log(MOST)))
    found: list[int] = []
    while len(found) < seconds:
        length = rng.randint(60, 120)
        found += [max(1, round(level * (1.0 + rng.gauss(0.0, 0.05)))) for _ in range(length)]
        before = level
        while abs(math.log(level / before)) < 0.2:
            low, high = max(LEAST, before / 2.0), min(MOST, before * 2.0)
            level = math.exp(rng.uniform(math.log(low), math.log(high)))
    return found[:seconds]


class _Service:
    """State: ``capacity``; how many requests are ``running``; who is ``waiting``; the times so far."""

    def __init__(self, rng: random.Random, noise: float) -> None:
        self._rng = rng
        self._noise = noise
        self.capacity = 0
        self.running = 0
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.times: list[tuple[float, float]] = []
        self.own: list[float] = []

    def admit(self) -> None:
        """Whoever waits and has a place goes on."""
        while self.waiting and self.running < self.capacity:
            waiter = self.waiting.popleft()
            if not waiter.done():
                self.running += 1
                waiter.set_result(None)

    async def send(self, request: Outgoing, /) -> WireResponse:
        """Wait for a place, work, answer."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        waiter = loop.create_future()
        self.waiting.append(waiter)
        self.admit()
        await waiter
        took = math.exp(self._rng.gauss(-(self._noise**2) / 2.0, self._noise))
        try:
            await asyncio.sleep(took)
        finally:
            self.running -= 1
            self.admit()
        self.own.append(took)
        self.times.append((loop.time(), loop.time() - began))
        return WireResponse(status=200, headers=_JSON, body=_BODY)

    async def open(self, request: Outgoing, /) -> WireStream:
        """Not used here."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Nothing to close."""


def measure(limit: asyncapi.AIMD | int, seed: int = 0, *, seconds: int = 1200, noise: float = 0.1) -> Run:
    """How a limit does against one history of capacities."""
    with virtual_time(seed) as clock:
        return clock.run(_measured(limit, capacities(seed, seconds), random.Random(seed + 1), noise))


async def _measured(
    limit: asyncapi.AIMD | int, capacity: Sequence[int], rng: random.Random, noise: float
) -> Run:
    service, limits = _Service(rng, noise), []
    endpoint = asyncapi.Endpoint("openai", base_url="http://service/v1", keys=("k",), limit=limit)
    endpoint = msgspec.structs.replace(endpoint, queue_size=CALLERS, timeout=asyncapi.Timeout(total=None))
    async with asyncapi.Client([endpoint], transport=service, log=False, environment={}) as client:

        async def caller() -> None:
            while True:
                await client.chat("openai:m", "x")

        service.capacity = capacity[0]
        async with asyncio.TaskGroup() as group:
            callers = [group.create_task(caller()) for _ in range(CALLERS)]
            for service.capacity in capacity:
                service.admit()
                await asyncio.sleep(1.0)
                limits.append(client.statistics().endpoints["openai"].limit)
            done = len(service.times)
            for task in callers:
                task.cancel()
    return Run(
        share=done / sum(capacity),
        times=service.times[:done],
        own=service.own[:done],
        limits=limits,
        capacity=capacity,
    )


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.capacity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--seconds", type=int, default=1200)
    parser.add_argument("--noise", type=float, default=0.1, help="sigma of the log-normal service time")
    given = parser.parse_args()
    print(
        "| limit | share of the possible: least, mean | p99, s: mean, most | of p99 without waiting: most |"
    )
    print("|---|---:|---:|---:|")
    for name, limit in LIMITS.items():
        runs = [measure(limit, s, seconds=given.seconds, noise=given.noise) for s in range(given.seeds)]
        shares, p99s = [run.share for run in runs], [run.p99 for run in runs]
        most = max(run.p99 / percentile(run.own, 0.99) for run in runs)
        print(
            f"| {name} | {min(shares):.1%}, {sum(shares) / len(runs):.1%} "
            f"| {sum(p99s) / len(runs):.2f}, {max(p99s):.2f} | {most:.2f} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
