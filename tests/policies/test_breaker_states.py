"""Every state that the breaker can reach, by breadth-first search over the real class.

A world is the breaker's state with all times relative to now, and how many permits are out, of this
generation and of earlier ones. What can't matter any more is clamped (ages beyond the horizon, doublings
beyond the maximum), so the search ends. Chance is a choice: every rest is tried at its least and its most.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec
import pytest

from asyncapi.config import Breaker
from asyncapi.policies.breaker import CircuitBreaker, Permit, State
from asyncapi.policies.verdict import Verdict

CLOSED, OPEN, HALF_OPEN = State.CLOSED, State.OPEN, State.HALF_OPEN
FORCED_OPEN, FORCED_CLOSED = State.FORCED_OPEN, State.FORCED_CLOSED
OK, SLOW, FAILED = Verdict.OK, Verdict.SLOW, Verdict.FAILED
THROTTLED, IGNORED = Verdict.THROTTLED, Verdict.IGNORED

#: One tick is one second; rests of 1 to 2, 2 to 4, 4 to 8 s; outcomes count for ever.
SMALL = Breaker(
    failure_threshold=3,
    reset_after=2.0,
    reset_maximum=8.0,
    window=6,
    window_seconds=1e9,
    minimum_calls=4,
    failure_rate=0.5,
    slow_rate=0.75,
    probes=1,
    successes=2,
)
#: The same with outcomes that grow old, and two probes at a time.
AGEING = msgspec.structs.replace(SMALL, window=3, minimum_calls=2, window_seconds=2.0)
TWO_PROBES = msgspec.structs.replace(SMALL, window=4, probes=2, successes=3)

OUTSTANDING = 4


class World(NamedTuple):
    state: State = CLOSED
    rest: float = 0.0  # until the open time is over
    opened: int = 0
    consecutive: int = 0
    outcomes: tuple[tuple[float, Verdict], ...] = ()  # (age, verdict)
    probes: tuple[float, ...] = ()  # ages
    successes: int = 0
    current: int = 0
    stale: int = 0


#: (old, new) -> the actions that may do this.
LEGAL: dict[tuple[State, State], frozenset[str]] = {
    (CLOSED, OPEN): frozenset({"failed", "slow"}),
    (OPEN, HALF_OPEN): frozenset({"take"}),
    (HALF_OPEN, OPEN): frozenset({"failed", "slow", "look"}),
    (HALF_OPEN, CLOSED): frozenset({"ok", "reset"}),
    (OPEN, CLOSED): frozenset({"reset"}),
    (FORCED_OPEN, CLOSED): frozenset({"reset"}),
    (FORCED_CLOSED, CLOSED): frozenset({"reset"}),
    **{(old, FORCED_OPEN): frozenset({"force open"}) for old in State if old is not FORCED_OPEN},
    **{(old, FORCED_CLOSED): frozenset({"force closed"}) for old in State if old is not FORCED_CLOSED},
}

STALE, CURRENT = Permit(6), 7


class Dice:
    """Chance as the search wants it."""

    def __init__(self) -> None:
        self.next = 1.0

    def random(self) -> float:
        return self.next


class Search:
    """All worlds that a breaker reaches, with the invariants checked on every transition."""

    def __init__(self, machine: type[CircuitBreaker], settings: Breaker) -> None:
        self.machine = machine
        self.settings = settings
        self.transitions = 0
        self.depth = 0
        self.dice = Dice()
        self.asked = 0.0  # by the service
        self.changes: list[tuple[State, State]] = []
        self.seen: set[World] = {World()}

    def run(self) -> None:
        frontier = list(self.seen)
        while frontier:
            found = []
            for world in frontier:
                self.recovers(world, hanging=False)
                self.recovers(world, hanging=True)
                for after in self.successors(world):
                    self.transitions += 1
                    if after not in self.seen:
                        self.seen.add(after)
                        found.append(after)
            frontier = found
            self.depth += bool(found)

    def build(self, world: World, dice: float = 1.0) -> CircuitBreaker:
        """The breaker of a world, at time 0."""
        self.changes.clear()
        self.asked = 0.0
        self.dice.next = dice
        breaker = self.machine(self.settings, lambda old, new, _: self.changes.append((old, new)), self.dice)
        breaker.state, breaker.until, breaker.generation = world.state, world.rest, CURRENT
        breaker._closed_permit = Permit(CURRENT)
        breaker._opened, breaker._consecutive = world.opened, world.consecutive
        breaker._outcomes = deque((-age, verdict) for age, verdict in world.outcomes)
        breaker._failures = sum(verdict is FAILED for _, verdict in world.outcomes)
        breaker._slow = sum(verdict is SLOW for _, verdict in world.outcomes)
        breaker._probes.extend(-age for age in world.probes)
        breaker._successes = world.successes
        return breaker

    def read(self, breaker: CircuitBreaker, current: int, stale: int) -> World:
        """The world of a breaker, at time 0."""
        assert breaker._failures == sum(verdict is FAILED for _, verdict in breaker._outcomes)
        assert breaker._slow == sum(verdict is SLOW for _, verdict in breaker._outcomes)
        assert len(breaker._outcomes) <= self.settings.window
        assert breaker.probes <= self.settings.probes  # I9
        if breaker.generation != CURRENT:
            current, stale = 0, stale + current
        return World(
            breaker.state,
            breaker.until if breaker.state is OPEN else 0.0,
            min(breaker._opened, 3),
            min(breaker._consecutive, self.settings.failure_threshold),
            tuple((-at, verdict) for at, verdict in breaker._outcomes),
            tuple(-at for at in breaker._probes),
            breaker._successes,
            current,
            stale,
        )

    def checked(self, action: str, breaker: CircuitBreaker, current: int, stale: int) -> World:
        """The world after an action; only legal transitions, and each starts a generation."""
        for change in self.changes:
            assert action in LEGAL.get(change, ()), (action, change)
        assert breaker.generation == CURRENT + len(self.changes)
        after = self.read(breaker, current, stale)
        if action == "take":  # the new permit belongs to the newest generation
            after = after._replace(current=after.current + 1)
        # I7, I9: in half-open the probes are exactly the permits of this generation that are out.
        assert len(after.probes) == (after.current if after.state is HALF_OPEN else 0)
        assert after.state is HALF_OPEN or not after.successes
        assert after.successes < self.settings.successes
        if self.changes:  # what was counted before says nothing of the time after
            assert (after.consecutive, after.outcomes) == (0, ())
        if self.changes and after.state is OPEN:
            whole = self.rest(after.opened)
            jittered = whole * (0.5 + 0.5 * self.dice.next)
            assert after.rest == max(jittered, self.asked)
        return after

    def successors(self, world: World) -> Iterator[World]:
        yield self.tick(world)
        yield from self.looks(world)
        yield from self.ends(world)
        yield from self.hands(world)

    def looks(self, world: World) -> Iterator[World]:
        """Somebody asks, and goes if allowed."""
        current, stale = world.current, world.stale
        for dice in (0.0, 1.0):
            breaker = self.build(world, dice)
            wait = breaker.wait(0.0)
            assert (wait == 0.0) == self.may_go(world)  # I7: nothing while open
            assert math.isfinite(wait) == (world.state is not FORCED_OPEN)
            yield self.checked("look", breaker, current, stale)
        if wait == 0.0 and current + stale < OUTSTANDING:
            permit = breaker.take(0.0)
            assert permit.probe == (world.state in (OPEN, HALF_OPEN))
            assert permit.generation == breaker.generation
            after = self.checked("take", breaker, current, stale)
            if world.state is not OPEN:
                probes = (*world.probes, *[0.0] * permit.probe)
                assert after == world._replace(current=current + 1, probes=probes)
            else:
                assert (after.probes, after.successes) == ((0.0,), 0)
            yield after

    def ends(self, world: World) -> Iterator[World]:
        """An attempt ends in each of the ways there are."""
        for verdict, asked, dice in [
            *itertools.product(Verdict, [None], [1.0]),
            (FAILED, 3.0, 1.0),
            (FAILED, None, 0.0),
            (SLOW, None, 0.0),
        ]:
            if world.current:
                yield self.current_ends(world, verdict, asked, dice)
            if world.stale:
                breaker = self.build(world, dice)
                breaker.settle(STALE, verdict, 0.0, asked)
                after = self.checked("stale " + verdict.value, breaker, world.current, world.stale - 1)
                assert after == world._replace(stale=world.stale - 1)  # I8
                yield after

    def current_ends(self, world: World, verdict: Verdict, asked: float | None, dice: float) -> World:
        breaker = self.build(world, dice)
        self.asked = asked or 0.0
        breaker.settle(Permit(CURRENT, world.state is HALF_OPEN), verdict, 0.0, asked)
        after = self.checked(verdict.value, breaker, world.current - 1, world.stale)
        if verdict in (THROTTLED, IGNORED):  # I10: only the place is given back
            assert after == world._replace(current=world.current - 1, probes=world.probes[1:])
        elif world.state in (CLOSED, FORCED_CLOSED):
            assert (after.state is OPEN) == (world.state is CLOSED and self.must_open(world, verdict))
            if after.state is not OPEN:
                kept = [o for o in world.outcomes if verdict is OK or o[0] <= self.settings.window_seconds]
                assert after.outcomes == (*kept, (0.0, verdict))[-self.settings.window :]
                row = {OK: 0, SLOW: world.consecutive, FAILED: world.consecutive + 1}[verdict]
                assert after.consecutive == min(row, self.settings.failure_threshold)
        elif verdict is OK:
            assert (after.state is CLOSED) == (world.successes + 1 == self.settings.successes)
            assert after.successes == (0 if after.state is CLOSED else world.successes + 1)
        else:
            assert after.state is OPEN
        return after

    def hands(self, world: World) -> Iterator[World]:
        """An operator acts."""
        acts: list[tuple[str, Callable[[CircuitBreaker], None], State]] = [
            ("force open", CircuitBreaker.force_open, FORCED_OPEN),
            ("force closed", CircuitBreaker.force_closed, FORCED_CLOSED),
            ("reset", CircuitBreaker.reset, CLOSED),
        ]
        for name, act, state in acts:
            breaker = self.build(world)
            getattr(breaker, act.__name__)()
            assert breaker.state is state
            after = self.checked(name, breaker, world.current, world.stale)
            assert name != "reset" or (after.consecutive, after.outcomes, after.opened) == (0, (), 0)
            yield after

    def tick(self, world: World) -> World:
        """One second later."""
        horizon = self.settings.window_seconds + 1
        hung = self.rest(world.opened)
        step = 1.0 if horizon < 100 else 0.0
        return world._replace(
            rest=max(0.0, world.rest - 1),
            outcomes=tuple((min(age + step, horizon), verdict) for age, verdict in world.outcomes),
            probes=tuple(min(age + 1, hung) for age in world.probes),
        )

    def rest(self, opened: int) -> float:
        return min(self.settings.reset_after * 2.0 ** max(opened - 1, 0), self.settings.reset_maximum)

    def may_go(self, world: World) -> bool:
        """The specification of ``wait``."""
        if world.state is OPEN:
            return world.rest == 0.0
        if world.state is HALF_OPEN:
            return len(world.probes) < self.settings.probes
        return world.state is not FORCED_OPEN

    def must_open(self, world: World, verdict: Verdict) -> bool:
        """The specification of CLOSED -> OPEN."""
        recent = [*world.outcomes, (0.0, verdict)][-self.settings.window :]
        recent = [outcome for outcome in recent if outcome[0] <= self.settings.window_seconds]
        same = sum(outcome[1] is verdict for outcome in recent)
        if verdict is SLOW:
            return len(recent) >= self.settings.minimum_calls and same >= self.settings.slow_rate * len(
                recent
            )
        if verdict is not FAILED:
            return False
        return world.consecutive + 1 >= self.settings.failure_threshold or (
            len(recent) >= self.settings.minimum_calls and same >= self.settings.failure_rate * len(recent)
        )

    def recovers(self, world: World, *, hanging: bool) -> None:
        """I22: with a healthy service it closes after two rests and its probes, whatever is still out."""
        if world.state in (FORCED_OPEN, FORCED_CLOSED):
            return
        breaker = self.build(world)
        if not hanging:
            for _ in range(world.current):
                breaker.settle(Permit(CURRENT, world.state is HALF_OPEN), OK, 0.0)
        now, takes = 0.0, 0
        while breaker.state is not CLOSED:
            while wait := breaker.wait(now):
                now += wait
                assert now <= 2 * self.settings.reset_maximum
            breaker.settle(breaker.take(now), OK, now)
            takes += 1
        assert takes <= self.settings.successes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "states"),
    [(SMALL, 25_000), (AGEING, 6_000), (TWO_PROBES, 4_000)],
    ids=["window of six", "outcomes that age", "two probes"],
)
def test_every_reachable_state_keeps_the_invariants(settings: Breaker, states: int) -> None:
    """Breadth-first over all states: probes, generations, verdicts, transitions, and the way back."""
    search = Search(CircuitBreaker, settings)
    search.run()

    print(f"{len(search.seen)} states, {search.transitions} transitions, depth {search.depth}")
    assert len(search.seen) > states
    assert {world.state for world in search.seen} == set(State)
    assert max(world.current + world.stale for world in search.seen) == OUTSTANDING


# -- what the search is worth: each of these is found --------------------------------------------------------


class KeepsIgnoredProbes(CircuitBreaker):
    def settle(self, permit: Permit, verdict: Verdict, now: float, retry_after: float | None = None) -> None:
        if verdict is not IGNORED:
            super().settle(permit, verdict, now, retry_after)


class CountsStalePermits(CircuitBreaker):
    def settle(self, permit: Permit, verdict: Verdict, now: float, retry_after: float | None = None) -> None:
        if self.state is CLOSED or self.probes:
            permit = Permit(self.generation, permit.probe)
        super().settle(permit, verdict, now, retry_after)


class CountsThrottling(CircuitBreaker):
    def settle(self, permit: Permit, verdict: Verdict, now: float, retry_after: float | None = None) -> None:
        super().settle(permit, FAILED if verdict is THROTTLED else verdict, now, retry_after)


class TakesSlowForGood(CircuitBreaker):
    def settle(self, permit: Permit, verdict: Verdict, now: float, retry_after: float | None = None) -> None:
        super().settle(permit, OK if verdict is SLOW else verdict, now, retry_after)


class TakesSlowForFailed(CircuitBreaker):
    def settle(self, permit: Permit, verdict: Verdict, now: float, retry_after: float | None = None) -> None:
        super().settle(permit, FAILED if verdict is SLOW else verdict, now, retry_after)


class ForgetsWhatTheServiceAsked(CircuitBreaker):
    def settle(self, permit: Permit, verdict: Verdict, now: float, retry_after: float | None = None) -> None:
        super().settle(permit, verdict, now)


class HasNoWatchdog(CircuitBreaker):
    def wait(self, now: float) -> float:
        full = self.state is HALF_OPEN and self.probes >= self.settings.probes
        return float("inf") if full else super().wait(now)


class LetsTheHerdThrough(CircuitBreaker):
    def wait(self, now: float) -> float:
        return 0.0 if self.state is HALF_OPEN else super().wait(now)


class LetsProbesThroughWhenForcedOpen(CircuitBreaker):
    def wait(self, now: float) -> float:
        return 1.0 if self.state is FORCED_OPEN else super().wait(now)


class OpensThoughForcedClosed(CircuitBreaker):
    def _reason(self, verdict: Verdict) -> str:
        reason = super()._reason(verdict)
        if reason and self.state is FORCED_CLOSED:
            self._open(0.0, reason)
            return ""
        return reason


class OpensOnAnyRowOfBadOnes(CircuitBreaker):
    def _count(self, verdict: Verdict, now: float, retry_after: float | None) -> None:
        self._consecutive += verdict is SLOW
        super()._count(verdict, now, retry_after)


class NeverForgets(CircuitBreaker):
    def _forget(self) -> None:
        self._outcomes.popleft()


class KeepsItsGeneration(CircuitBreaker):
    def _change(self, new: State, reason: str) -> None:
        super()._change(new, reason)
        self.generation -= 1


class RemembersAcrossStates(CircuitBreaker):
    def _change(self, new: State, reason: str) -> None:
        consecutive = self._consecutive
        super()._change(new, reason)
        self._consecutive = consecutive


class ClosesAfterOneProbe(CircuitBreaker):
    def take(self, now: float) -> Permit:
        permit = super().take(now)
        self._successes = self.settings.successes - 1 if self.state is HALF_OPEN else 0
        return permit


class RestsTheSameTimeEachTime(CircuitBreaker):
    def _rest(self) -> float:
        return self.settings.reset_after


class RestsLessThanHalf(CircuitBreaker):
    def _open(self, now: float, reason: str, retry_after: float | None = None) -> None:
        super()._open(now, reason, retry_after)
        self.until = now + max(self._rest() * self._random.random(), retry_after or 0.0)


class ResetKeepsTheCounts(CircuitBreaker):
    def _clear(self) -> None:
        self._successes = 0


MUTANTS = [
    KeepsIgnoredProbes,
    CountsStalePermits,
    CountsThrottling,
    TakesSlowForGood,
    TakesSlowForFailed,
    ForgetsWhatTheServiceAsked,
    HasNoWatchdog,
    LetsTheHerdThrough,
    LetsProbesThroughWhenForcedOpen,
    OpensThoughForcedClosed,
    OpensOnAnyRowOfBadOnes,
    NeverForgets,
    KeepsItsGeneration,
    RemembersAcrossStates,
    ClosesAfterOneProbe,
    RestsTheSameTimeEachTime,
    RestsLessThanHalf,
    ResetKeepsTheCounts,
]


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_search_finds_a_breaker_that_is_wrong(mutant: type[CircuitBreaker]) -> None:
    """The classic mistakes each break an invariant."""
    with pytest.raises(AssertionError):
        Search(mutant, SMALL).run()
