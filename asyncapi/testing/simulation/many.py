"""Many seeds on several processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice

import msgspec

from asyncapi.testing.simulation.generator import random_scenario
from asyncapi.testing.simulation.run import simulate

__all__ = ["SeedReport", "Totals", "run_seed", "run_seeds"]

_CHUNK = 10


class SeedReport(msgspec.Struct, frozen=True, kw_only=True):
    """One seed of the random scenarios. ``violations`` are their texts, ``invariants`` the names, each
    once.
    """

    seed: int
    calls: int
    requests: int
    entries: int
    steps: int
    elapsed_s: float
    violations: tuple[str, ...] = ()
    invariants: tuple[str, ...] = ()


class Totals(msgspec.Struct, kw_only=True):
    """Many seeds, added up. Units: ``elapsed_s`` virtual seconds."""

    seeds: int = 0
    calls: int = 0
    requests: int = 0
    entries: int = 0
    steps: int = 0
    elapsed_s: float = 0.0

    def add(self, report: SeedReport) -> None:
        """Count one more."""
        self.seeds += 1
        self.calls += report.calls
        self.requests += report.requests
        self.entries += report.entries
        self.steps += report.steps
        self.elapsed_s += report.elapsed_s


def run_seed(seed: int) -> SeedReport:
    """The random scenario of this seed, run and checked."""
    result = simulate(random_scenario(seed), seed)
    summary = result.summary
    return SeedReport(
        seed=seed,
        calls=summary.calls,
        requests=summary.requests,
        entries=summary.entries,
        steps=summary.steps,
        elapsed_s=summary.elapsed_s,
        violations=tuple(str(violation) for violation in result.violations),
        invariants=tuple(dict.fromkeys(violation.invariant for violation in result.violations)),
    )


def run_seeds(
    seeds: Iterable[int], processes: int | None = None, run: Callable[[int], SeedReport] = run_seed
) -> Iterator[SeedReport]:
    """The reports of these seeds, as they come.

    Args:
        seeds: Read as places become free.
        processes: How many work; None for one a core. With 1 everything runs in this process.
        run: Makes the report of one seed.
    """
    processes = processes or os.cpu_count() or 1
    if processes == 1:
        yield from map(run, seeds)
        return
    rest = iter(seeds)
    with ProcessPoolExecutor(processes) as pool:
        running: set[Future[list[SeedReport]]] = set()
        try:
            while True:
                while len(running) < 2 * processes and (chunk := list(islice(rest, _CHUNK))):
                    running.add(pool.submit(_run_chunk, run, chunk))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _run_chunk(run: Callable[[int], SeedReport], seeds: list[int]) -> list[SeedReport]:
    return [run(seed) for seed in seeds]
