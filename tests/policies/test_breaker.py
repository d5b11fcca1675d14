"""The breaker: what opens it, and how it comes back. Its states are searched in ``test_breaker_states``."""

from __future__ import annotations

import math
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.config import Breaker
from asyncapi.policies.breaker import CircuitBreaker, Permit, State
from asyncapi.policies.verdict import Verdict

CLOSED, OPEN, HALF_OPEN = State.CLOSED, State.OPEN, State.HALF_OPEN
FORCED_OPEN, FORCED_CLOSED = State.FORCED_OPEN, State.FORCED_CLOSED
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


@pytest.mark.parametrize("verdict", [IGNORED, THROTTLED])
def test_what_says_nothing_of_the_service_is_not_in_the_window(verdict: Verdict) -> None:
    """Neither as a call, which would thin the failures out, nor as a slow one."""
    breaker = CircuitBreaker(DEFAULTS)
    for _ in range(DEFAULTS.window):
        send(breaker, verdict, 0.0)

    assert breaker.rates(0.0) == (0, 0.0, 0.0)
    for _ in range(DEFAULTS.minimum_calls // 2):
        assert breaker.state is CLOSED
        send(breaker, OK, 0.0)
        send(breaker, FAILED, 0.0)
    assert breaker.state is OPEN


def test_failures_in_a_row_open_it() -> None:
    """The fifth failure in a row opens the breaker, the fourth doesn't."""
    breaker = CircuitBreaker(DEFAULTS)
    for _ in range(4):
        send(breaker, FAILED, 0.0)
    before = breaker.state
    send(breaker, FAILED, 0.0)

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


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ("S" * 9, CLOSED),  # nine calls: too few to judge
        ("S" * 10, OPEN),
        ("SSSSO" * 10, CLOSED),  # four of five
        ("O" + "S" * 9, OPEN),  # nine of ten
        ("SS" + "O" * 48 + "S" * 44, CLOSED),  # 44 of the last 50
        ("SS" + "O" * 48 + "S" * 45, OPEN),
        ("FFSFFS", CLOSED),  # an answer, if late, lengthens no row of failures
        ("FFSFFSF", OPEN),  # nor does it end one
        ("FFSFFOSF", CLOSED),
    ],
)
def test_slow_call_rate_over_the_window_opens_it(outcomes: str, expected: State) -> None:
    """A service that answers everything too late is no better than one that is down."""
    breaker = CircuitBreaker(DEFAULTS)
    for outcome in outcomes:
        send(breaker, {"F": FAILED, "S": SLOW, "O": OK}[outcome], 0.0)

    assert breaker.state is expected


def test_the_shares_of_failed_and_slow_calls_can_be_read() -> None:
    """Of those that are young enough."""
    breaker = CircuitBreaker(msgspec.structs.replace(DEFAULTS, enabled=False))
    for at, verdict in [(0.0, FAILED), (50.0, FAILED), (55.0, SLOW), (60.0, OK), (61.0, OK)]:
        send(breaker, verdict, at)

    assert breaker.rates(70.0) == (4, 0.25, 0.25)
    assert breaker.rates(500.0) == (0, 0.0, 0.0)


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
    for _ in range(3):
        send(breaker, FAILED, 0.0)
    breaker.take(1.0)

    assert breaker.wait(1.25) == 0.75
    assert breaker.wait(2.0) == 2.0
    assert changes == [
        (CLOSED, OPEN, "3 failures in a row"),
        (OPEN, HALF_OPEN, "reset time over"),
        (HALF_OPEN, OPEN, "a probe did not come back"),
    ]


# -- by hand ------------------------------------------------------------------------------------------------


def in_state(state: State) -> CircuitBreaker:
    """A breaker that has just come into that state."""
    breaker = CircuitBreaker(SMALL) if state is CLOSED else opened()
    if state is HALF_OPEN:
        breaker.settle(breaker.take(1.0), IGNORED, 1.0)
    elif state is FORCED_OPEN:
        breaker.force_open()
    elif state is FORCED_CLOSED:
        breaker.force_closed()
    assert breaker.state is state
    return breaker


@pytest.mark.parametrize("start", State)
def test_forced_open_lets_nothing_through_until_it_is_released(start: State) -> None:
    """From every state; no time that passes ends it."""
    breaker = in_state(start)
    breaker.force_open()

    assert breaker.state is FORCED_OPEN
    assert breaker.wait(1e9) == math.inf


@pytest.mark.parametrize("start", State)
def test_forced_closed_lets_everything_through_until_it_is_released(start: State) -> None:
    """From every state; failures are counted, and nothing follows from them."""
    breaker = in_state(start)
    breaker.force_closed()
    for _ in range(20):
        send(breaker, FAILED, 1.0)

    assert breaker.state is FORCED_CLOSED
    assert breaker.rates(1.0) == (6, 1.0, 0.0)


@pytest.mark.parametrize("start", State)
def test_reset_gives_it_back_to_itself(start: State) -> None:
    """Closed, with nothing remembered: the next failures count from one."""
    breaker = in_state(start)
    breaker.reset()
    for _ in range(2):
        send(breaker, FAILED, 1.0)
    before = breaker.state
    send(breaker, FAILED, 1.0)

    assert (before, breaker.state) == (CLOSED, OPEN)
    assert breaker.wait(1.0) == 1.0  # as the first time


@pytest.mark.parametrize("start", [CLOSED, HALF_OPEN, FORCED_CLOSED])
def test_what_was_under_way_when_it_was_forced_is_stale(start: State) -> None:
    """Its end says nothing of the time after."""
    breaker = in_state(start)
    permit = breaker.take(1.0)
    breaker.force_open()
    breaker.settle(permit, FAILED, 1.0)
    breaker.reset()

    assert breaker.rates(1.0) == (0, 0.0, 0.0)
    assert (breaker.state, breaker.probes) == (CLOSED, 0)


def test_forcing_twice_changes_nothing() -> None:
    """Nobody is told of a change that is none."""
    changes: list[tuple[State, State, str]] = []
    breaker = CircuitBreaker(SMALL, lambda *change: changes.append(change))
    for act in (breaker.reset, breaker.force_open, breaker.force_open, breaker.reset, breaker.reset):
        act()

    assert changes == [
        (CLOSED, FORCED_OPEN, "forced by hand"),
        (FORCED_OPEN, CLOSED, "reset by hand"),
    ]


# -- chance -------------------------------------------------------------------------------------------------


def test_rests_spread_over_half_to_all_of_the_time() -> None:
    """Equal jitter: a hundred processes don't probe in the same moment."""
    rests = []
    for seed in range(500):
        breaker = CircuitBreaker(DEFAULTS, random=Random(seed))
        for _ in range(5):
            send(breaker, FAILED, 0.0)
        rests.append(breaker.wait(0.0))

    assert 15.0 <= min(rests) < 15.2
    assert 29.8 < max(rests) <= 30.0
    assert sum(rests) / 500 == pytest.approx(22.5, abs=0.5)


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
    breaker = opened(msgspec.structs.replace(SMALL, probes=3))
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
