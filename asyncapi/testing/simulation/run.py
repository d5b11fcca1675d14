"""``simulate``: a scenario and a seed in, a result out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import msgspec

from asyncapi.testing.simulation.evidence import Evidence, Violation
from asyncapi.testing.simulation.history import CallBegan, CallEnded, History, RequestArrived, RequestEnded
from asyncapi.testing.simulation.invariants import check
from asyncapi.testing.simulation.loop import WatchedTime
from asyncapi.testing.simulation.plan import draw
from asyncapi.testing.simulation.scenario import Plan, Scenario
from asyncapi.testing.simulation.world import World
from asyncapi.testing.virtual_time import UnhandledLoopError, VirtualTimeError

__all__ = ["Result", "Sample", "Summary", "run_plan", "simulate"]

_STEPS_PER_CALL = 20_000


class Sample(NamedTuple):
    """One endpoint at one moment. ``there`` is how many requests its service has."""

    at: float
    endpoint: str
    in_flight: int
    limit: int
    waiting: int
    breaker: str
    there: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A run in numbers.

    ``outcomes`` counts how planned calls ended, by the words of ``CallFinished``; ``answers`` counts
    requests by the status that services gave (or "refused", "lost", "aborted"). Latencies are of calls that
    ended well, from the caller's first await to its answer.

    Units: virtual seconds.
    """

    calls: int
    outcomes: Mapping[str, int]
    requests: int
    answers: Mapping[str, int]
    elapsed_s: float
    p50_s: float | None
    p99_s: float | None
    entries: int
    steps: int


@dataclass(frozen=True)
class Result:
    """What a run came to.

    Attributes:
        plan: Every call and fault of it; ``run_plan(plan)`` repeats it.
        history: What happened, in order.
        violations: Invariants that did not hold. None of them: the core kept its word.
        samples: The endpoints over time, if ``sample_every`` was given.
        steps: How many callbacks and task steps the loop ran.
        elapsed_s: Virtual seconds.
        evidence: What the invariants looked at.
    """

    plan: Plan
    history: History
    violations: tuple[Violation, ...]
    samples: tuple[Sample, ...]
    steps: int
    elapsed_s: float
    evidence: Evidence

    @cached_property
    def digest(self) -> str:
        """A fingerprint of the history: the same plan gives the same one, in every process."""
        return self.history.digest()

    @cached_property
    def summary(self) -> Summary:
        """The run in numbers."""
        planned = {f"c{call.number}" for call in self.plan.calls}
        began = {what.call: at for at, what in self.history.of(CallBegan) if what.call in planned}
        ends = [(at, what) for at, what in self.history.of(CallEnded) if what.call in planned]
        good = sorted(at - began[what.call] for at, what in ends if what.outcome == "ok")
        return Summary(
            calls=len(planned),
            outcomes=dict(Counter(what.outcome for _, what in ends).most_common()),
            requests=len(self.history.of(RequestArrived)),
            answers=dict(Counter(what.how for _, what in self.history.of(RequestEnded)).most_common()),
            elapsed_s=self.elapsed_s,
            p50_s=good[len(good) // 2] if good else None,
            p99_s=good[int(0.99 * len(good))] if good else None,
            entries=len(self.history),
            steps=self.steps,
        )


def simulate(scenario: Scenario, seed: int = 0, *, sample_every: float | None = None) -> Result:
    """Run the real client against simulated services, in virtual time, and check every invariant.

    The same scenario and seed give the same history, byte for byte.

    Args:
        scenario: The world.
        seed: Decides everything that is left to chance in it.
        sample_every: Take a sample of each endpoint so often; None for no samples.

    Units: virtual seconds.
    """
    return run_plan(draw(scenario, seed), sample_every=sample_every)


def run_plan(plan: Plan, *, sample_every: float | None = None) -> Result:
    """Run a plan, such as one that was kept because it failed once."""
    world = World(plan, sample_every)
    stuck: str | None = None
    clock = WatchedTime(plan.seed, plan.chaos, step_limit=100_000 + _STEPS_PER_CALL * len(plan.calls))
    pending: list[str] = []
    with clock:
        try:
            clock.run(world.live(clock.loop))
        except (VirtualTimeError, AssertionError) as error:
            stuck = f"{type(error).__name__}: {error}"
            _abandon(clock)
        else:
            pending += [f"task {name} outlived the client" for name in clock.pending_tasks()]
            pending += [f"a timer for {when:.6f} s outlived the client" for when in clock.pending_timers()]
        errors = tuple(f"{error.message}: {error.exception!r}" for error in clock.take_loop_errors())
        statistics, elapsed = clock.statistics(), clock.elapsed
    told = world.statistics.endpoints if world.statistics is not None else None
    evidence = Evidence(
        plan, world.history, world.seen, tuple(world.left), tuple(pending), errors, stuck, told
    )
    samples = tuple(Sample(*sample) for sample in world.samples)
    return Result(plan, world.history, check(evidence), samples, statistics.handles, elapsed, evidence)


def _abandon(clock: WatchedTime) -> None:
    """Cancel what a stuck run left, quietly: it has been told what is wrong."""
    loop = clock.loop
    loop.after_turn = loop.after_jump = None
    for _ in range(3):
        tasks = loop.pending()
        for task in tasks:
            task.cancel()
        if tasks:
            try:
                clock.run(_wait(tasks))
            except (VirtualTimeError, UnhandledLoopError):
                continue


async def _wait(tasks: list[asyncio.Task[object]]) -> None:
    await asyncio.wait(tasks, timeout=1.0)
