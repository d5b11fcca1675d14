"""The breaker: what opens it, how it comes back, and every state it can reach."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.config import Breaker
from asyncapi.policies.breaker import CircuitBreaker, Permit, State
from asyncapi.policies.verdict import Verdict

CLOSED, OPEN, HALF_OPEN = State.CLOSED, State.OPEN, State.HALF_OPEN
OK, SLOW, FAILED = Verdict.OK, Verdict.SLOW, Verdict.FAILED
THROTTLED, IGNORED = Verdict.THROTTLED, Verdict.IGNORED

DEFAULTS = Breaker()
#: Few enough numbers that every state can be visited: rests of 1, 2, 4 s; one tick is one second.
SMALL = Breaker(
    failure_threshold=3,
    reset_after=1.0,
    reset_maximum=4.0,
    window=6,
    window_seconds=2.0,
    minimum_calls=4,
    failure_rate=0.5,
    probes=1,
    successes=2,
)


def send(breaker: CircuitBreaker, verdict: Verdict, now: float, retry_after: float | None = None) -> None:
    """One attempt that ends as soon as it starts."""
    assert breaker.wait(now) == 0.0
    breaker.settle(breaker.take(now), verdict, now, retry_after)


def opened(settings: Breaker = SMALL, now: float = 0.0, retry_after: float | None = None) -> CircuitBreaker:
    """A breaker that has just been opened by failures in a row."""
    breaker = CircuitBreaker(settings)
    for _ in range(settings.failure_threshold):
        send(breaker, FAILED, now, retry_after)
    assert breaker.state is OPEN
    return breaker


def half_opened(settings: Breaker = SMALL) -> tuple[CircuitBreaker, Permit, float]:
    """A half-open breaker, its first probe, and the time."""
    breaker = opened(settings)
    return breaker, breaker.take(settings.reset_after), settings.reset_after


# -- closed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [FAILED, SLOW])
def test_failures_in_a_row_open_it(bad: Verdict) -> None:
    """The fifth failure in a row opens the breaker, the fourth doesn't."""
    breaker = CircuitBreaker(DEFAULTS)
    for _ in range(4):
        send(breaker, bad, 0.0)
    before = breaker.state
    send(breaker, bad, 0.0)

    assert (before, breaker.state) == (CLOSED, OPEN)
    assert breaker.wait(0.0) == DEFAULTS.reset_after


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ("FO" * 4 + "F", CLOSED),  # nine calls: too few to judge
        ("FO" * 4 + "OF", OPEN),  # ten calls, half of them failed
        ("FO" * 4 + "OOF", CLOSED),  # five of eleven
        ("OOF" * 30, CLOSED),  # a third, for long
        ("FFFFOFFFFO", CLOSED),  # ends with a success: only a failure opens
        ("FFFFOFFFFOF", OPEN),
        ("O" * 50 + "FFFFO" * 5, CLOSED),  # 20 of the last 50
        ("O" * 50 + "FFFFO" * 6 + "F", OPEN),  # 25 of the last 50
    ],
)
def test_failure_rate_over_the_window_opens_it(outcomes: str, expected: State) -> None:
    """Half of the last 50 calls, once there are ten, opens the breaker."""
    breaker = CircuitBreaker(DEFAULTS)
    for outcome in outcomes:
        send(breaker, FAILED if outcome == "F" else OK, 0.0)

    assert breaker.state is expected


@pytest.mark.parametrize(("age", "expected"), [(60.0, OPEN), (60.5, CLOSED)])
def test_outcomes_older_than_the_horizon_are_forgotten(age: float, expected: State) -> None:
    """Failures count for 60 s, the last instant included."""
    breaker = CircuitBreaker(DEFAULTS)
    for outcome in "OOOOFFFFO":
        send(breaker, FAILED if outcome == "F" else OK, 0.0)
    send(breaker, FAILED, age)

    assert breaker.state is expected


@pytest.mark.parametrize("verdict", [THROTTLED, IGNORED])
def test_a_world_of_refusals_never_opens_it(verdict: Verdict) -> None:
    """Answers that are the caller's or the key's business leave the breaker closed, however many."""
    breaker = CircuitBreaker(DEFAULTS)
    for i in range(1000):
        send(breaker, verdict, i * 0.01)

    assert breaker.state is CLOSED


@pytest.mark.parametrize("verdict", [THROTTLED, IGNORED])
def test_a_refusal_does_not_end_a_row_of_failures(verdict: Verdict) -> None:
    """Only a success proves that the service works."""
    breaker = CircuitBreaker(DEFAULTS)
    for outcome in (FAILED, FAILED, verdict, FAILED, FAILED, verdict, FAILED):
        send(breaker, outcome, 0.0)

    assert breaker.state is OPEN


def test_a_disabled_breaker_never_opens_by_itself() -> None:
    """``enabled=False`` counts but lets everything through."""
    breaker = CircuitBreaker(msgspec.structs.replace(DEFAULTS, enabled=False))
    for _ in range(200):
        send(breaker, FAILED, 0.0)

    assert breaker.state is CLOSED
    assert breaker.wait(0.0) == 0.0


# -- open ---------------------------------------------------------------------------------------------------


def test_open_time_doubles_up_to_its_maximum_and_starts_again_after_closing() -> None:
    """Each failed probe doubles the rest: 30, 60, 120, 240, 300, 300 s; then 30 s again."""
    breaker = opened(DEFAULTS)
    now, rests = 0.0, []
    for _ in range(6):
        rests.append(breaker.wait(now))
        now += breaker.wait(now)
        send(breaker, FAILED, now)
    now += breaker.wait(now)
    for _ in range(2):
        send(breaker, OK, now)
    for _ in range(5):
        send(breaker, FAILED, now)

    assert rests == [30.0, 60.0, 120.0, 240.0, 300.0, 300.0]
    assert breaker.wait(now) == 30.0


def test_a_thousand_failed_probes_do_not_overflow() -> None:
    """A service that is gone for weeks is still asked every ``reset_maximum`` seconds."""
    breaker = opened(DEFAULTS)
    now = 0.0
    for _ in range(1100):
        now += breaker.wait(now)
        send(breaker, FAILED, now)

    assert breaker.wait(now) == 300.0


@pytest.mark.parametrize(("asked", "rest"), [(None, 1.0), (0.5, 1.0), (7.0, 7.0)])
def test_stays_open_at_least_as_long_as_the_service_asked(asked: float | None, rest: float) -> None:
    """A Retry-After lengthens the rest and never shortens it."""
    breaker = opened(retry_after=asked)

    assert breaker.wait(0.0) == rest


def test_a_late_answer_from_before_does_not_touch_an_open_breaker() -> None:
    """Calls that were under way when it opened change neither state nor reset time."""
    breaker = CircuitBreaker(SMALL)
    late = [breaker.take(0.0) for _ in range(8)]
    for permit in late[:3]:
        breaker.settle(permit, FAILED, 0.0)
    generation = breaker.generation
    for permit, verdict in zip(late[3:], Verdict, strict=True):
        breaker.settle(permit, verdict, 0.5, 100.0)

    assert breaker.state is OPEN
    assert breaker.generation == generation
    assert breaker.wait(0.5) == 0.5


# -- half-open ----------------------------------------------------------------------------------------------


def test_only_probes_go_through_while_half_open() -> None:
    """One probe at a time: the second has to wait until the first is back."""
    breaker, probe, now = half_opened()
    while_out = breaker.wait(now)
    breaker.settle(probe, OK, now)

    assert probe.probe
    assert while_out > 0.0
    assert breaker.wait(now) == 0.0
    assert breaker.state is HALF_OPEN


def test_two_good_probes_close_it() -> None:
    """One success is luck, two close the breaker."""
    breaker, probe, now = half_opened()
    breaker.settle(probe, OK, now)
    before = breaker.state
    send(breaker, OK, now)

    assert (before, breaker.state, breaker.probes) == (HALF_OPEN, CLOSED, 0)


@pytest.mark.parametrize("bad", [FAILED, SLOW])
def test_one_bad_probe_reopens_it(bad: Verdict) -> None:
    """A good probe before doesn't help."""
    breaker, probe, now = half_opened()
    breaker.settle(probe, OK, now)
    send(breaker, bad, now)

    assert breaker.state is OPEN
    assert breaker.wait(now) == 2.0


@pytest.mark.parametrize("verdict", [THROTTLED, IGNORED])
def test_an_ignored_probe_gives_its_place_back(verdict: Verdict) -> None:
    """A cancelled probe neither closes the breaker nor blocks the next probe."""
    breaker, probe, now = half_opened()
    breaker.settle(probe, verdict, now)

    assert breaker.state is HALF_OPEN
    assert breaker.probes == 0
    assert breaker.wait(now) == 0.0


def test_a_probe_from_an_earlier_half_open_time_is_stale() -> None:
    """A probe that was given up doesn't close the breaker when it comes back after all."""
    breaker, late, now = half_opened()
    now += breaker.wait(now)
    rest = breaker.wait(now)
    now += rest
    second = breaker.take(now)
    breaker.settle(late, OK, now)
    breaker.settle(second, OK, now)

    assert rest == 2.0
    assert breaker.state is HALF_OPEN


def test_a_hanging_probe_counts_as_failed_after_the_rest() -> None:
    """A silent service can't hold the breaker half-open: the probe's time is as long as the last rest."""
    changes: list[tuple[State, State, str]] = []
    breaker = CircuitBreaker(SMALL, lambda *change: changes.append(change))
    breaker.force(OPEN, 0.0)
    breaker.take(1.0)

    assert breaker.wait(1.25) == 0.75
    assert breaker.wait(2.0) == 2.0
    assert changes == [
        (CLOSED, OPEN, "forced"),
        (OPEN, HALF_OPEN, "reset time over"),
        (HALF_OPEN, OPEN, "a probe did not come back"),
    ]


# -- by hand ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [CLOSED, OPEN, HALF_OPEN])
@pytest.mark.parametrize("target", [CLOSED, OPEN])
def test_an_operator_can_force_it(start: State, target: State) -> None:
    """Forcing works from every state, and what was under way is stale afterwards."""
    breaker = CircuitBreaker(SMALL)
    if start is not CLOSED:
        breaker = opened()
    permit = breaker.take(1.0) if start is not OPEN else None
    breaker.force(target, 1.0)
    if permit is not None and start is not target:
        breaker.settle(permit, FAILED, 1.0)

    assert breaker.state is target
    assert breaker.probes == 0


def test_forcing_half_open_does_nothing() -> None:
    """Half-open is only reached by resting."""
    breaker = CircuitBreaker(SMALL)
    breaker.force(HALF_OPEN, 0.0)

    assert breaker.state is CLOSED
    assert breaker.generation == 0


# -- the wait is exact --------------------------------------------------------------------------------------


@pytest.mark.parametrize("hangs", [False, True])
def test_wait_is_exact(hangs: bool) -> None:
    """At ``now + wait`` the first look already sees the end of the wait, and not before."""
    random = Random(1)
    for _ in range(2000):
        rest = random.uniform(0.01, 300.0)
        breaker = opened(msgspec.structs.replace(SMALL, reset_after=rest, reset_maximum=rest), 0.0)
        now = random.uniform(0.0, rest)
        if hangs:
            now += breaker.until
            breaker.take(breaker.until)
        wait = breaker.wait(now)
        early = breaker.wait(now + wait - 1e-6)
        late = breaker.wait(now + wait)

        assert wait > 1e-6
        assert early == pytest.approx(1e-6, abs=1e-9)
        assert late == (pytest.approx(rest) if hangs else 0.0)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(list(Verdict)), st.integers(0, 3), st.floats(0.0, 3.0)), max_size=60
    )
)
def test_places_of_probes_add_up_in_any_order(steps: list[tuple[Verdict, int, float]]) -> None:
    """With three probes at a time, settled in any order: never more than three are out."""
    breaker = CircuitBreaker(msgspec.structs.replace(SMALL, probes=3))
    breaker.force(OPEN, 0.0)
    out: list[Permit] = []
    now = 0.0
    for verdict, which, pause in steps:
        now += pause
        if breaker.wait(now) == 0.0:
            out.append(breaker.take(now))
        if which < len(out):
            breaker.settle(out.pop(which), verdict, now)
        current = [permit for permit in out if permit.generation == breaker.generation]

        assert breaker.probes == (len(current) if breaker.state is HALF_OPEN else 0)
        assert breaker.probes <= 3


# -- every reachable state ----------------------------------------------------------------------------------
#
# A breadth-first search over the real class. A world is the breaker's state with all times relative
# to now, and how many permits are out, of this generation and of earlier ones. What can't matter any
# more is clamped (ages beyond the horizon, doublings beyond the maximum), so the search ends.

OUTSTANDING = 4


class World(NamedTuple):
    state: State = CLOSED
    rest: float = 0.0  # until the open time is over
    opened: int = 0
    consecutive: int = 0
    outcomes: tuple[tuple[float, bool], ...] = ()  # (age, failed)
    probes: tuple[float, ...] = ()  # ages
    successes: int = 0
    current: int = 0
    stale: int = 0


#: (old, new) -> the actions that may do this.
LEGAL: dict[tuple[State, State], frozenset[str]] = {
    (CLOSED, OPEN): frozenset({"failed", "slow", "force open"}),
    (OPEN, OPEN): frozenset({"force open"}),
    (OPEN, HALF_OPEN): frozenset({"take"}),
    (OPEN, CLOSED): frozenset({"force closed"}),
    (HALF_OPEN, OPEN): frozenset({"failed", "slow", "look", "force open"}),
    (HALF_OPEN, CLOSED): frozenset({"ok", "force closed"}),
}

STALE, CURRENT = Permit(6), 7


class Search:
    """All worlds that a breaker reaches, with the invariants checked on every transition."""

    def __init__(self, machine: type[CircuitBreaker], settings: Breaker) -> None:
        self.machine = machine
        self.settings = settings
        self.transitions = 0
        self.changes: list[tuple[State, State]] = []
        self.seen: set[World] = {World()}

    def run(self) -> None:
        frontier = deque(self.seen)
        while frontier:
            world = frontier.popleft()
            self.recovers(world, hanging=False)
            self.recovers(world, hanging=True)
            for after in self.successors(world):
                self.transitions += 1
                if after not in self.seen:
                    self.seen.add(after)
                    frontier.append(after)

    def build(self, world: World) -> CircuitBreaker:
        """The breaker of a world, at time 0."""
        self.changes.clear()
        breaker = self.machine(self.settings, lambda old, new, _: self.changes.append((old, new)))
        breaker.state, breaker.until, breaker.generation = world.state, world.rest, CURRENT
        breaker._closed_permit = Permit(CURRENT)
        breaker._opened, breaker._consecutive = world.opened, world.consecutive
        breaker._outcomes.extend((-age, failed) for age, failed in world.outcomes)
        breaker._failures = sum(failed for _, failed in world.outcomes)
        breaker._probes.extend(-age for age in world.probes)
        breaker._successes = world.successes
        return breaker

    def read(self, breaker: CircuitBreaker, current: int, stale: int) -> World:
        """The world of a breaker, at time 0."""
        assert breaker._failures == sum(failed for _, failed in breaker._outcomes)
        assert len(breaker._outcomes) <= self.settings.window
        assert breaker.probes <= self.settings.probes
        if breaker.generation != CURRENT:
            current, stale = 0, stale + current
        return World(
            breaker.state,
            breaker.until if breaker.state is OPEN else 0.0,
            min(breaker._opened, 3),
            breaker._consecutive,
            tuple((-at, failed) for at, failed in breaker._outcomes),
            tuple(-at for at in breaker._probes),
            breaker._successes,
            current,
            stale,
        )

    def checked(self, action: str, breaker: CircuitBreaker, current: int, stale: int) -> World:
        """The world after an action; only legal transitions, and each starts a generation."""
        for change in self.changes:
            assert action in LEGAL[change], (action, change)
        assert breaker.generation == CURRENT + len(self.changes)
        after = self.read(breaker, current, stale)
        if action == "take":  # the new permit belongs to the newest generation
            after = after._replace(current=after.current + 1)
        # I7, I9: in half-open the probes are exactly the permits of this generation that are out.
        assert len(after.probes) == (after.current if after.state is HALF_OPEN else 0)
        assert after.state is HALF_OPEN or not after.successes
        assert after.successes < self.settings.successes
        assert after.consecutive < self.settings.failure_threshold
        return after

    def successors(self, world: World) -> Iterator[World]:
        current, stale = world.current, world.stale
        yield self.tick(world)

        breaker = self.build(world)
        wait = breaker.wait(0.0)
        assert (wait == 0.0) == self.may_go(world)
        yield self.checked("look", breaker, current, stale)
        if wait == 0.0 and current + stale < OUTSTANDING:
            permit = breaker.take(0.0)
            assert permit.probe == (world.state is not CLOSED)
            assert permit.generation == breaker.generation
            yield self.checked("take", breaker, current, stale)

        for verdict, asked in [*itertools.product(Verdict, [None]), (FAILED, 3.0)]:
            if current:
                breaker = self.build(world)
                breaker.settle(Permit(CURRENT, world.state is HALF_OPEN), verdict, 0.0, asked)
                after = self.checked(verdict.value, breaker, current - 1, stale)
                if verdict in (THROTTLED, IGNORED):  # I10: only the place is given back
                    assert after == world._replace(current=current - 1, probes=world.probes[1:])
                if world.state is CLOSED:
                    assert (after.state is OPEN) == self.must_open(world, verdict)
                if asked is not None and after.state is OPEN:
                    assert after.rest >= asked
                yield after
            if stale:
                breaker = self.build(world)
                breaker.settle(STALE, verdict, 0.0, asked)
                after = self.checked("stale " + verdict.value, breaker, current, stale - 1)
                assert after == world._replace(stale=stale - 1)  # I8
                yield after

        for target in (OPEN, CLOSED):
            breaker = self.build(world)
            breaker.force(target, 0.0)
            assert breaker.state is target
            yield self.checked(f"force {target.value}", breaker, current, stale)

    def tick(self, world: World) -> World:
        """One second later."""
        horizon = self.settings.window_seconds + 1
        hung = self.rest(world.opened)
        return world._replace(
            rest=max(0.0, world.rest - 1),
            outcomes=tuple((min(age + 1, horizon), failed) for age, failed in world.outcomes),
            probes=tuple(min(age + 1, hung) for age in world.probes),
        )

    def rest(self, opened: int) -> float:
        return min(self.settings.reset_after * 2.0 ** max(opened - 1, 0), self.settings.reset_maximum)

    def may_go(self, world: World) -> bool:
        """The specification of ``wait``."""
        if world.state is OPEN:
            return world.rest == 0.0
        return world.state is CLOSED or len(world.probes) < self.settings.probes

    def must_open(self, world: World, verdict: Verdict) -> bool:
        """The specification of CLOSED -> OPEN."""
        if verdict not in (FAILED, SLOW):
            return False
        recent = [*world.outcomes, (0.0, True)][-self.settings.window :]
        recent = [outcome for outcome in recent if outcome[0] <= self.settings.window_seconds]
        failed = sum(failed for _, failed in recent)
        return world.consecutive + 1 >= self.settings.failure_threshold or (
            len(recent) >= self.settings.minimum_calls and failed >= self.settings.failure_rate * len(recent)
        )

    def recovers(self, world: World, *, hanging: bool) -> None:
        """I22: with a healthy service it closes after two rests and its probes, whatever is still out."""
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
@pytest.mark.parametrize(("probes", "window", "states"), [(1, 6, 35_000), (2, 4, 6_000)])
def test_every_reachable_state_keeps_the_invariants(probes: int, window: int, states: int) -> None:
    """Breadth-first over all states: probes, generations, verdicts, transitions, and the way back."""
    search = Search(CircuitBreaker, msgspec.structs.replace(SMALL, probes=probes, window=window))
    search.run()

    print(f"{probes} probes: {len(search.seen)} states, {search.transitions} transitions")
    assert len(search.seen) > states
    assert {world.state for world in search.seen} == set(State)


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


class HasNoWatchdog(CircuitBreaker):
    def wait(self, now: float) -> float:
        full = self.state is HALF_OPEN and self.probes >= self.settings.probes
        return float("inf") if full else super().wait(now)


class LetsTheHerdThrough(CircuitBreaker):
    def wait(self, now: float) -> float:
        return 0.0 if self.state is HALF_OPEN else super().wait(now)


@pytest.mark.parametrize(
    "mutant", [KeepsIgnoredProbes, CountsStalePermits, CountsThrottling, HasNoWatchdog, LetsTheHerdThrough]
)
def test_the_search_finds_a_breaker_that_is_wrong(mutant: type[CircuitBreaker]) -> None:
    """The classic mistakes each break an invariant."""
    with pytest.raises(AssertionError):
        Search(mutant, SMALL).run()
