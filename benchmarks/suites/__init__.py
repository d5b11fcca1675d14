"""The suites: each has ``run(plan)``, which yields rows as they are measured."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from benchmarks.measure import Row

__all__ = ["SUITES", "Plan", "Suite"]


@dataclass(frozen=True)
class Plan:
    """How long to measure.

    Attributes:
        quick: Only what takes seconds.
        rounds: Interleaved rounds of each comparison.
        scale: How many times as many operations as in a quick run.
        million: Whether memory is watched over a million calls.
    """

    quick: bool = False
    rounds: int = 7
    scale: int = 4
    million: bool = False
    uvloop: bool = False

    @classmethod
    def a_quick_one(cls) -> Plan:
        """What fits into a minute and a half."""
        return cls(quick=True, rounds=5, scale=1)


Suite = Callable[[Plan], AsyncIterator[Row]]

#: Name to what it measures; modules of this package.
SUITES = {
    "plain": "A plain chat call beside a bare aiohttp POST",
    "tls": "The same over TLS",
    "layers": "Where the time of a call goes",
    "stream": "A streamed chunk beside a bare aiohttp read with orjson",
    "streams": "A thousand streams of 50 tokens a second at once",
    "scheduling": "Scheduling alone, without input and output; cancelling what waits",
    "latency": "Time added to a service time of 50 ms",
    "growth": "CPU of a call with many in flight",
    "embeddings": "Texts awaited one by one, micro-batched",
    "memory": "Resident memory over many calls",
    "cache": "Asked before, or being asked: cache and single-flight",
    "imports": "CPU of a fresh interpreter that imports a package",
    "collector": "The cyclic garbage collector with many calls waiting",
    "rivals": "Other libraries, each beside bare aiohttp in its own process",
}
