"""Tokens per minute: no window holds too many, little is wasted, nothing drifts, nobody starves."""

from __future__ import annotations

import heapq
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.policies.tokens import (
    GRAIN_S,
    MINUTE_S,
    MODELS,
    SLACK_S,
    Estimates,
    TokenMeter,
    TokenRate,
    Tokens,
)

PROPERTY = settings(deadline=None, derandomize=True, max_examples=200)
LONGEST_S = MINUTE_S + GRAIN_S + SLACK_S + 1e-6

Takes = list[tuple[float, int]]


def fullest(taken: Takes, window: float = MINUTE_S) -> int:
    """The most tokens in any half-open window."""
    most = total = first = 0
    for at, amount in taken:
        total += amount
        while at - taken[first][0] >= window - 1e-6:
            total -= taken[first][1]
            first += 1
        most = max(most, total)
    return most


def serve(rate: TokenRate, amounts: list[int], now: float = 0.0) -> Takes:
    """First come, first served: each goes as soon as it may."""
    taken = []
    for amount in amounts:
        while wait := rate.wait(amount, now):
            now += wait
        rate.take(amount, now)
        taken.append((now, amount))
    return taken


steps = st.lists(
    st.tuples(st.one_of(st.just(0.0), st.floats(0.0, 5.0), st.floats(0.0, 300.0)), st.integers(0, 1000)),
    max_size=60,
)


@PROPERTY
@given(limit=st.integers(1, 1000), steps=steps)
def test_no_window_holds_more_than_the_limit(limit: int, steps: list[tuple[float, int]]) -> None:
    """Whatever the amounts and the pauses; a clock that jumps ahead is a pause."""
    rate, now, taken = TokenRate(limit), 0.0, []
    for pause, amount in steps:
        now += pause
        amount = min(amount, limit)
        while wait := rate.wait(amount, now):
            now += wait
        rate.take(amount, now)
        taken.append((now, amount))

    assert fullest(taken) <= limit


@PROPERTY
@given(
    limit=st.integers(10, 1000),
    calls=st.lists(
        st.tuples(st.floats(0.0, 30.0), st.integers(0, 500), st.floats(0.0, 1.0), st.floats(0.0, 90.0)),
        max_size=60,
    ),
)
def test_what_is_given_back_is_not_given_twice(
    limit: int, calls: list[tuple[float, int, float, float]]
) -> None:
    """Reserved, and used in part some time later: what was used keeps to the limit in every window."""
    rate, now = TokenRate(limit), 0.0
    taken: list[tuple[float, int]] = []
    ends: list[tuple[float, int, object, int, int]] = []

    def settle(until: float) -> None:
        while ends and ends[0][0] <= until:
            at, _, entry, reserved, used = heapq.heappop(ends)
            rate.correct(entry, reserved, used, at)  # type: ignore[arg-type]

    for number, (pause, amount, share, lasts) in enumerate(calls):
        now += pause
        settle(now)
        amount = min(amount, limit)
        while wait := rate.wait(amount, now):
            soon = min(now + wait, ends[0][0]) if ends else now + wait
            now = max(now, soon)
            settle(now)
        used = int(amount * share)
        heapq.heappush(ends, (now + lasts, number, rate.take(amount, now), amount, used))
        taken.append((now, used))

    assert fullest(taken) <= limit
    settle(float("inf"))
    last = now + 1000.0
    assert rate.wait(limit, last) == 0.0
    assert (rate._used, len(rate._log)) == (0, 0)


def test_what_was_not_foreseen_is_charged_when_it_is_known() -> None:
    """Ten times what was reserved: the next one waits until a minute after that."""
    rate = TokenRate(1000)
    entry = rate.take(100, 0.0)
    rate.correct(entry, 100, 1000, 20.0)

    assert rate.wait(200, 20.0) > 0.0
    now = 20.0
    while wait := rate.wait(200, now):
        now += wait
    assert now == pytest.approx(20.0 + MINUTE_S, abs=1.0)


def test_what_never_left_costs_nothing() -> None:
    """Given back at once: a whole minute's tokens may go."""
    rate = TokenRate(1000)
    rate.correct(rate.take(1000, 5.0), 1000, 0, 5.0)

    assert rate.wait(1000, 5.0) == 0.0


def test_a_large_amount_waits_no_longer_than_a_minute_however_small_the_others() -> None:
    """aiolimiter serves the smallest first; here whoever is next in line keeps the turn."""
    rate = TokenRate(1000)
    small = [10] * 300
    taken = serve(rate, [*small, 900, *small])
    before, at, after = taken[299][0], taken[300][0], taken[301][0]

    assert at - before <= LONGEST_S
    assert after - at <= LONGEST_S
    assert fullest(taken) <= 1000


def test_more_than_the_limit_goes_when_nothing_else_is_in_the_window() -> None:
    """It would wait for ever otherwise; the service will say what it thinks of it."""
    rate = TokenRate(100)
    taken = serve(rate, [50, 1000, 10])

    assert taken[1][0] == pytest.approx(LONGEST_S, abs=0.01)
    assert taken[2][0] > taken[1][0] + MINUTE_S


@pytest.mark.parametrize(
    ("limit", "median", "spread"),
    [(200_000, 500, 1.0), (2_000_000, 1500, 1.2), (10_000, 10, 0.0), (400_000, 1000, 0.5)],
)
def test_ninety_eight_percent_of_the_limit_is_used(limit: int, median: int, spread: float) -> None:
    """Ten thousand in line, of unlike amounts, the usual one well below a hundredth of the limit."""
    rng = random.Random(1)
    amounts = [min(limit // 20, max(1, int(median * rng.lognormvariate(0, spread)))) for _ in range(10_000)]
    taken = serve(TokenRate(limit), amounts)
    seconds = taken[-1][0] - taken[0][0]
    used = sum(amount for _, amount in taken[:-1])

    assert fullest(taken) <= limit
    assert used / seconds * MINUTE_S >= 0.98 * limit


def test_a_pause_saves_up_a_tenth_of_a_minute_and_the_rest_is_spread() -> None:
    """A whole minute's tokens in one moment are a way to be throttled all the same."""
    taken = serve(TokenRate(60_000), [100] * 1200)
    at_once = sum(amount for at, amount in taken if at == 0.0)
    first_half = sum(amount for at, amount in taken if at < 30.0)

    assert at_once == pytest.approx(6_000, abs=200)
    assert first_half == pytest.approx(36_000, abs=500)


def test_a_hundred_thousand_wrong_estimates_leave_no_drift() -> None:
    """Wrong by 0.1 to 10 times, some refunded: what is used is what the limit allows, nothing is left."""
    rng, rate, now, used_in_all = random.Random(3), TokenRate(1_000_000), 0.0, 0
    under_way: list[tuple[float, int, object, int, int]] = []

    def settle(until: float) -> None:
        while under_way and under_way[0][0] <= until:
            at, _, entry, reserved, used = heapq.heappop(under_way)
            rate.correct(entry, reserved, used, at)  # type: ignore[arg-type]

    for number in range(100_000):
        reserved = rng.randint(1, 2000)
        used = 0 if rng.random() < 0.1 else int(reserved * 10 ** rng.uniform(-1, 1))
        settle(now)
        while wait := rate.wait(reserved, now):
            now = min(now + wait, under_way[0][0]) if under_way else now + wait
            settle(now)
        heapq.heappush(
            under_way, (now + rng.expovariate(0.2), number, rate.take(reserved, now), reserved, used)
        )
        used_in_all += used

    assert used_in_all / now * MINUTE_S == pytest.approx(1_000_000, rel=0.03)
    settle(float("inf"))
    assert rate.wait(1, now + 1000.0) == 0.0
    assert (rate._used, list(rate._log)) == (0, [])


def test_the_log_stays_short() -> None:
    """However many calls: an entry for each grain of time."""
    rate = TokenRate(10_000_000)
    serve(rate, [1] * 20_000)
    longest = 0
    now = 0.0
    for _ in range(20_000):
        now += 0.01
        rate.take(1, now)
        longest = max(longest, len(rate._log))

    assert longest <= MINUTE_S / GRAIN_S + 5


def test_input_and_output_have_limits_of_their_own() -> None:
    """As Claude counts: whichever binds."""
    meter = TokenMeter({"input_tokens": 1000, "output_tokens": 100})
    meter.take(Tokens(500, 400, 100), 0.0)

    assert meter.wait(Tokens(10, 10, 0), 100.0) == 0.0
    assert meter.wait(Tokens(11, 10, 1), 0.0) > 50.0


def test_nothing_is_reserved_unless_it_fits_everywhere() -> None:
    """Asking takes nothing."""
    meter = TokenMeter({"tokens": 1000, "output_tokens": 10})
    meter.take(Tokens(10, 0, 10), 0.0)
    for _ in range(100):
        assert meter.wait(Tokens(10, 0, 10), 1.0) > 0.0

    assert meter._rates[0][1]._used == 10


def test_what_the_service_says_binds_once_half_of_it_is_gone() -> None:
    """Before that it costs nothing; what was sent since the answer is taken off."""
    meter = TokenMeter({})
    first = meter.take(Tokens(100, 80, 20), 0.0)
    meter.told("tokens", 900, 1000, first, 1.0)
    assert meter._told == {}

    second = meter.take(Tokens(100, 80, 20), 1.0)
    meter.take(Tokens(300, 300, 0), 1.0)
    meter.told("tokens", 400, 1000, second, 2.0)

    assert meter.wait(Tokens(100, 100, 0), 2.0) == 0.0
    assert meter.wait(Tokens(200, 200, 0), 2.0) == pytest.approx(100 / 1000 * MINUTE_S)


def test_estimates_become_what_calls_use() -> None:
    """Half a token a byte and answers of 40: a dozen calls tell."""
    estimates = Estimates()
    for _ in range(20):
        estimates.learn("m", 1000, Tokens(540, 500, 40))
    guess = estimates.tokens("m", 2000, None)

    assert guess.input == pytest.approx(1000, rel=0.05)
    assert guess.output == pytest.approx(50, rel=0.1)
    assert guess.total == guess.input + guess.output


def test_an_output_that_the_request_bounds_is_reserved_whole() -> None:
    """Services reserve it, too; embeddings have no output at all."""
    estimates = Estimates()

    assert estimates.tokens("m", 100, 777).output == 777
    assert estimates.tokens("m", 100, None).output > 0
    assert estimates.tokens("m", 100, None, speaks=False).output == 0


@PROPERTY
@given(
    st.lists(st.tuples(st.integers(1, 100_000), st.integers(0, 100_000), st.integers(0, 10_000)), max_size=50)
)
def test_estimates_are_whole_and_never_negative(calls: list[tuple[int, int, int]]) -> None:
    """Whatever was learnt."""
    estimates = Estimates()
    for size, entered, answered in calls:
        estimates.learn("m", size, Tokens(entered + answered, entered, answered))
        guess = estimates.tokens("m", size, None)
        assert min(guess) >= 0
        assert all(isinstance(n, int) for n in guess)


def test_the_models_that_are_remembered_are_few() -> None:
    """A million names don't fill the memory, and the one that is used stays known."""
    estimates = Estimates()
    for number in range(10 * MODELS):
        estimates.learn("mine", 100, Tokens(1000, 1000, 0))
        estimates.learn(number, 100, Tokens(1, 1, 0))

    assert len(estimates._models) == MODELS
    assert estimates.tokens("mine", 100, 0).input > 900


def test_what_is_left_is_the_least_of_all_limits() -> None:
    """Of those that were set, and of what the service says; each comes back with time."""
    meter = TokenMeter({"tokens": 1000.0, "output_tokens": 100.0})
    assert meter.share(0.0) == 1.0
    meter.take(Tokens(300, 250, 50), 0.0)
    assert meter.share(0.0) == 0.5
    meter.told("input_tokens", 100.0, 1000.0, None, 0.0)
    assert meter.share(0.0) == pytest.approx(0.1)

    assert meter.share(LONGEST_S) == 1.0
