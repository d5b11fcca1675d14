"""What the cyclic garbage collector costs with many calls waiting, and what its settings change."""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator

from benchmarks.measure import Row
from benchmarks.suites import Plan

__all__ = ["recommended", "run"]


async def run(plan: Plan) -> AsyncIterator[Row]:
    """CPU of scheduling alone under each policy, in turn; ``collections_s`` is the collector's share."""
    from benchmarks.suites.scheduling import scheduling  # which uses the policies, too

    sizes = (1_000, 10_000) if plan.quick else (1_000, 10_000, 100_000)
    for size in sizes:
        samples: dict[str, list[tuple[float, float]]] = {name: [] for name in _POLICIES}
        for _ in range(3 if plan.quick else plan.rounds):
            for name, policy in _POLICIES.items():
                gc.collect()
                with policy(), _timed() as spent:
                    samples[name].append((await scheduling(size), spent[0] * 1e6 / max(5_000, size)))
        for name, pairs in samples.items():
            micros = statistics.median(cpu for cpu, _ in pairs)
            share = statistics.median(spent / cpu for cpu, spent in pairs)
            ratios = [own / default for (own, _), (default, _) in zip(pairs, samples["default"], strict=True)]
            figures = {"cpu_us": micros, "ratio": statistics.median(ratios), "collector": share}
            yield Row(
                "collector", f"{size:,} at once", name, figures | {"low": min(ratios), "high": max(ratios)}
            )


@contextlib.contextmanager
def _timed() -> Iterator[list[float]]:
    """Seconds of CPU inside of collections."""
    spent, since = [0.0], [0.0]

    def watch(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            since[0] = time.process_time()
        else:
            spent[0] += time.process_time() - since[0]

    gc.callbacks.append(watch)
    try:
        yield spent
    finally:
        gc.callbacks.remove(watch)


@contextlib.contextmanager
def _frozen() -> Iterator[None]:
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _thresholds(*numbers: int) -> Callable[[], contextlib.AbstractContextManager[None]]:
    @contextlib.contextmanager
    def policy() -> Iterator[None]:
        before = gc.get_threshold()
        gc.set_threshold(*numbers)
        try:
            yield
        finally:
            gc.set_threshold(*before)

    return policy


@contextlib.contextmanager
def _off() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


#: What docs/explanation/performance.md recommends for processes with many calls in flight.
recommended = _thresholds(10_000, 20, 50)

_POLICIES: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
    "default": contextlib.nullcontext,
    "gc.freeze()": _frozen,
    "threshold 10,000, 20, 50": recommended,
    "threshold 100,000, 50, 100": _thresholds(100_000, 50, 100),
    "off": _off,
}
