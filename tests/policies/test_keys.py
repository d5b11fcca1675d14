"""Which key goes next: evenly, by load, by weight; never a cooled or a parked one."""

from __future__ import annotations

import math
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from asyncapi.config import KeyStrategy
from asyncapi.policies.keys import KeyRing, KeyState

PROPERTY = settings(deadline=None, derandomize=True, max_examples=100)
STRATEGIES: tuple[KeyStrategy, ...] = ("round_robin", "least_loaded", "weighted", "adaptive")


def ring(
    names: str, strategy: KeyStrategy = "round_robin", *, users: dict[str, str] | None = None
) -> KeyRing:
    """A ring of keys with one-letter names; ``users`` maps a name to the user it is reserved for."""
    reserved = users or {}
    return KeyRing(
        [KeyState(name, users=[reserved[name]] if name in reserved else []) for name in names],
        strategy,
        Random(1),
    )


def key(keys: KeyRing, name: str) -> KeyState:
    return next(k for k in keys.keys if k.name == name)


def pick(keys: KeyRing, now: float = 0.0, name: str | None = None, user: str | None = None) -> str:
    """Take a key for a call that ends at once."""
    assert keys.wait(now, name, user) == 0.0
    taken = keys.take(now, name, user)
    taken.in_flight -= 1
    return taken.name


# -- strategies ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", ["a", "ab", "abc", "abcdefg"])
def test_round_robin_goes_round(names: str) -> None:
    """Every key once, in order, and again."""
    keys = ring(names)

    assert "".join(pick(keys) for _ in range(3 * len(names))) == names * 3


@pytest.mark.parametrize("user", ["u", None])
def test_round_robin_is_even_whatever_other_calls_do(user: str | None) -> None:
    """Calls with a reserved or a pinned key in between don't make the others' keys uneven."""
    keys = ring("abc", users={"a": "u"} if user else {})
    counts: Counter[str] = Counter()
    for _ in range(300):
        pick(keys, user=user, name=None if user else "a")
        counts[pick(keys)] += 1

    assert counts["b"] == pytest.approx(counts["c"], abs=1)


@PROPERTY
@given(st.lists(st.sampled_from(["any", "u", "pin a", "pin d"]), max_size=120))
def test_keys_that_are_always_ready_stay_within_one_turn(calls: list[str]) -> None:
    """Between two keys of the same choice the counts differ by one, for any mixture of calls."""
    keys = ring("abcde", users={"a": "u", "b": "u"})
    counts = {"u": Counter[str](), "any": Counter[str]()}
    for call in calls:
        if call.startswith("pin"):
            pick(keys, name=call[-1])
        else:
            counts[call][pick(keys, user="u" if call == "u" else None)] += 1

    pinned = Counter(call[-1] for call in calls if call.startswith("pin"))
    for choice, names in (("u", "ab"), ("any", "cde")):
        unpinned = [counts[choice][name] for name in names if not pinned[name]]
        assert max(unpinned) - min(unpinned) <= 1


@PROPERTY
@given(seed=st.integers(0, 2**32), size=st.integers(2, 6))
def test_least_loaded_takes_a_key_with_the_fewest_calls_per_weight(seed: int, size: int) -> None:
    """No key that could go has less in flight than the chosen one."""
    random = Random(seed)
    keys = KeyRing(
        [KeyState(str(i), weight=random.choice([0.5, 1.0, 3.0])) for i in range(size)], "least_loaded"
    )
    out: list[KeyState] = []
    for _ in range(80):
        if out and random.random() < 0.45:
            out.pop(random.randrange(len(out))).in_flight -= 1
            continue
        loads = [k.in_flight / k.weight for k in keys.keys]
        chosen = keys.take(0.0)
        out.append(chosen)

        assert (chosen.in_flight - 1) / chosen.weight == min(loads)


def test_least_loaded_turns_round_when_idle() -> None:
    """Equal keys share calls that never overlap."""
    keys = ring("abc", "least_loaded")

    assert Counter(pick(keys) for _ in range(30)) == {"a": 10, "b": 10, "c": 10}


@PROPERTY
@given(weights=st.lists(st.integers(1, 9), min_size=2, max_size=6))
def test_weighted_is_exact_over_a_cycle_and_smooth_within(weights: list[int]) -> None:
    """Every key gets its weight in each cycle, and is never a whole turn away from its share."""
    keys = KeyRing([KeyState(str(i), weight=w) for i, w in enumerate(weights)], "weighted")
    total = sum(weights)
    counts: Counter[str] = Counter()
    for n in range(1, 2 * total + 1):
        counts[pick(keys)] += 1
        for i, weight in enumerate(weights):
            assert abs(counts[str(i)] - n * weight / total) < len(weights)
        if n % total == 0:
            assert [counts[str(i)] for i in range(len(weights))] == [w * n // total for w in weights]


def test_weighted_has_no_bursts_of_the_heavy_key() -> None:
    """Five, one, one: the sequence that nginx gives."""
    keys = KeyRing([KeyState("a", weight=5), KeyState("b", weight=1), KeyState("c", weight=1)], "weighted")

    assert "".join(pick(keys) for _ in range(7)) == "aabacaa"


@PROPERTY
@given(weights=st.lists(st.floats(0.1, 10.0), min_size=2, max_size=5))
def test_weighted_takes_any_numbers(weights: list[float]) -> None:
    """Weights need not be whole: the shares are right over a long run."""
    keys = KeyRing([KeyState(str(i), weight=w) for i, w in enumerate(weights)], "weighted")
    counts = Counter(pick(keys) for _ in range(400))

    for i, weight in enumerate(weights):
        assert counts[str(i)] == pytest.approx(400 * weight / sum(weights), abs=len(weights))


# -- who may use what ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_pinned_call_gets_its_key_and_no_other(strategy: KeyStrategy) -> None:
    """``key=`` wins over strategy and reservation; an unknown name never goes."""
    keys = ring("abc", strategy, users={"c": "u"})

    assert [pick(keys, name=name) for name in "bbac"] == ["b", "b", "a", "c"]
    assert keys.wait(0.0, "unknown") == math.inf
    assert keys.candidates("unknown", None) == []


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_reserved_key_serves_its_users_only(strategy: KeyStrategy) -> None:
    """Its user gets nothing else, everybody else never gets it."""
    keys = ring("abc", strategy, users={"b": "u"})

    assert {pick(keys, user="u") for _ in range(20)} == {"b"}
    assert {pick(keys, user="other") for _ in range(20)} == {"a", "c"}
    assert {pick(keys) for _ in range(20)} == {"a", "c"}


def test_a_single_reserved_key_serves_nobody_else() -> None:
    """The short way for one key keeps the reservation."""
    keys = ring("a", users={"a": "u"})

    assert keys.wait(0.0) == math.inf
    assert keys.wait(0.0, user="other") == math.inf
    assert pick(keys, user="u") == "a"


def test_an_empty_ring_gives_nothing() -> None:
    """When the last key was removed the wait is for ever."""
    keys = ring("a")
    removed = [keys.remove("a"), keys.remove("a")]

    assert removed == [True, False]
    assert keys.wait(0.0) == math.inf


def test_a_new_secret_replaces_the_key_of_that_name() -> None:
    """Calls under way keep the old key; the next one gets the new."""
    keys = KeyRing([KeyState("a", {"Authorization": "Bearer old"}), KeyState("b")])
    old = keys.take(0.0)
    keys.add(KeyState("a", {"Authorization": "Bearer new"}, headers={"X-Project": "p"}))

    assert old.auth == {"Authorization": "Bearer old"}
    assert [k.name for k in keys.keys] == ["b", "a"]
    assert keys.keys[1].headers == {"Authorization": "Bearer new", "X-Project": "p"}
    assert keys.keys[1].in_flight == 0


def test_the_repr_keeps_the_secret() -> None:
    """A key in a log or a traceback shows its name only."""
    state = KeyState("a", {"Authorization": "Bearer sk-secret"}, headers={"X-Other": "sk-secret"})

    assert "sk-secret" not in repr(state)
    assert "'a'" in repr(state)


# -- cooling and parking ------------------------------------------------------------------------------------


@PROPERTY
@given(st.lists(st.floats(-10.0, 1000.0), min_size=1))
def test_a_rest_is_never_shortened(untils: list[float]) -> None:
    """Of several rests the longest counts, in any order."""
    state = KeyState("a")
    for i, until in enumerate(untils, 1):
        state.cool(until)

        assert state.cool_until == max(untils[:i])


def test_parking_is_never_shortened_and_ends_by_itself() -> None:
    """A parked key is no candidate until its time is over, or the operator restores it."""
    keys = ring("a")
    keys.keys[0].park(100.0, "authentication")
    keys.keys[0].park(50.0, "quota_exhausted")

    assert keys.wait(99.9) == math.inf
    assert keys.parked(99.9, None, None) == keys.keys
    assert keys.wait(100.0) == 0.0
    assert keys.parked(100.0, None, None) == []


def test_a_parked_key_that_is_back_first_ends_the_wait() -> None:
    """Who waits for the others looks again when it may go; if all are parked, nobody waits."""
    keys = ring("abc")
    key(keys, "a").park(10.0, "failing")
    key(keys, "b").cool(60.0)
    key(keys, "c").cool(5.0)
    waits = [keys.wait(0.0)]
    key(keys, "c").cool(90.0)
    waits.append(keys.wait(0.0))
    for name in "bc":
        key(keys, name).park(100.0, "failing")

    assert waits == [5.0, 10.0]
    assert keys.wait(0.0) == math.inf


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("how", ["parked", "cooled"])
def test_a_key_that_rests_is_never_chosen(strategy: KeyStrategy, how: str) -> None:
    """The others take its turns, and it comes back when its time is over."""
    keys = ring("abc", strategy)
    if how == "parked":
        key(keys, "a").park(10.0, "authentication")
    else:
        key(keys, "a").cool(10.0)
    resting = Counter(pick(keys, now=9.0) for _ in range(20))
    after = {pick(keys, now=10.0) for _ in range(3)}

    assert resting == {"b": 10, "c": 10}
    assert after == set("abc")


def test_a_key_says_what_it_is_at() -> None:
    """Ready, cooling, or why it is parked; parked counts more than cooling."""
    state = KeyState("a")
    seen = [state.state(0.0)]
    state.cool(20.0)
    seen.append(state.state(0.0))
    state.park(10.0, "authentication")
    seen += [state.state(now) for now in (0.0, 10.0, 20.0)]

    assert seen == ["ready", "cooling", "authentication", "cooling", "ready"]


def test_the_operator_restores_a_key_at_once() -> None:
    """Rest and parking end; the reason is gone."""
    keys = ring("a")
    keys.keys[0].park(100.0, "authentication")
    keys.keys[0].cool(100.0)
    keys.keys[0].restore()

    assert keys.wait(0.0) == 0.0
    assert keys.keys[0].reason == ""


def test_the_wait_is_that_of_the_first_key_to_be_ready() -> None:
    """One that is parked for longer is not waited for."""
    keys = ring("abc")
    key(keys, "a").park(9.0, "authentication")
    key(keys, "b").cool(3.0)
    key(keys, "c").cool(2.0)

    assert keys.wait(0.0) == 2.0
    assert keys.wait(0.0, "b") == 3.0
    assert keys.wait(0.0, "a") == math.inf


def test_a_rate_is_the_keys_own() -> None:
    """A key that used up its minute leaves the calls to the others."""
    keys = KeyRing([KeyState("a", requests_per_minute=60), KeyState("b")])
    names = [pick(keys, now=0.1 * i) for i in range(10)]

    assert names.count("a") == 1
    assert keys.wait(0.9, "a") == pytest.approx(0.1)


def test_wait_is_exact() -> None:
    """At ``now + wait`` a key is ready at the first look, and just before none is."""
    random = Random(3)
    for _ in range(2000):
        keys = KeyRing([KeyState(name, requests_per_minute=random.choice([None, 1.5, 700])) for name in "ab"])
        for state in keys.keys:
            state.cool(random.uniform(0.01, 300.0))
            if state.rate is not None:
                state.rate.take(random.uniform(0.0, 300.0))
        now = random.uniform(0.0, 200.0)
        wait = keys.wait(now)
        if wait > 1e-6:
            assert keys.wait(now + wait - 1e-7) > 0.0
        assert keys.wait(now + wait) == 0.0
        assert keys.take(now + wait) in keys.keys


class AnyKeys(RuleBasedStateMachine):
    """Random calls, rests, parkings, additions and removals under one strategy."""

    strategy: KeyStrategy = "round_robin"

    @initialize(data=st.data())
    def start(self, data: st.DataObject) -> None:
        self.now = 0.0
        self.strategy = data.draw(st.sampled_from(STRATEGIES))
        self.keys = KeyRing([], self.strategy, Random(0))
        self.out: list[KeyState] = []
        for name in "abc":
            self.add(name, data.draw(st.sampled_from([None, 30.0, 600.0])), data.draw(st.booleans()))

    @rule(
        name=st.sampled_from("abcd"),
        rpm=st.sampled_from([None, 30.0, 600.0]),
        reserved=st.booleans(),
    )
    def add(self, name: str, rpm: float | None, reserved: bool) -> None:
        self.keys.add(KeyState(name, requests_per_minute=rpm, users=["u"] if reserved else []))

    @rule(name=st.sampled_from("abcd"))
    def remove(self, name: str) -> None:
        known = name in [k.name for k in self.keys.keys]
        assert self.keys.remove(name) == known

    @rule(seconds=st.one_of(st.just(0.0), st.floats(0.001, 5.0)))
    def later(self, seconds: float) -> None:
        self.now += seconds

    @rule(name=st.sampled_from([None, None, "a", "d"]), user=st.sampled_from([None, "u", "other"]))
    def call(self, name: str | None, user: str | None) -> None:
        wait = self.keys.wait(self.now, name, user)
        if wait == math.inf:
            candidates = self.keys.candidates(name, user)
            assert candidates == self.keys.parked(self.now, name, user)
            return
        self.now += wait
        while wait := self.keys.wait(self.now, name, user):
            assert wait < math.inf
            self.now += wait
        before = {id(k): k.in_flight for k in self.keys.keys}
        taken = self.keys.take(self.now, name, user)
        self.out.append(taken)

        assert taken.in_flight == before[id(taken)] + 1
        assert taken.parked_until <= self.now
        assert taken.cool_until <= self.now + 1e-6
        assert name is None or taken.name == name
        if name is None:
            reserved = any("u" in k.users for k in self.keys.keys)
            assert bool(taken.users) == (user == "u" and reserved)

    @precondition(lambda self: self.out)
    @rule(which=st.integers(0, 100), end=st.sampled_from(["good", "cool", "park", "unsent"]))
    def settle(self, which: int, end: str) -> None:
        state = self.out.pop(which % len(self.out))
        state.in_flight -= 1
        if end == "cool":
            state.cool(self.now + 2.0)
        elif end == "park":
            state.park(self.now + 20.0, "authentication")
        elif end == "unsent" and state.rate is not None:
            state.rate.refund()

    @invariant()
    def every_key_counts_its_calls(self) -> None:
        for state in self.keys.keys:
            assert state.in_flight == sum(k is state for k in self.out)


AnyKeys.TestCase.settings = settings(deadline=None, derandomize=True, max_examples=60, stateful_step_count=40)
TestAnyKeys = pytest.mark.slow(AnyKeys.TestCase)


def test_a_sessions_key_depends_on_names_alone() -> None:
    """The same in every process, in whatever order the keys are, and however often it is asked."""
    forth, back = ring("abcd"), ring("dcba")
    for session in ("x", "y", "a long session id"):
        taken = set()
        for keys in (forth, back, forth):
            one = keys.take(0.0, None, None, session)
            one.in_flight -= 1
            taken.add(one.name)
        assert len(taken) == 1


def test_a_pinned_or_reserved_key_goes_before_a_session() -> None:
    """A session chooses among the keys that its call may use."""
    keys = ring("abc", users={"b": "bob"})

    assert {keys.take(0.0, "a", None, str(i)).name for i in range(9)} == {"a"}
    assert {keys.take(0.0, None, "bob", str(i)).name for i in range(9)} == {"b"}
    assert "b" not in {keys.take(0.0, None, None, str(i)).name for i in range(9)}


def test_the_adaptive_choice_spares_a_key_with_little_left() -> None:
    """Headroom: what the service says is left of a key's requests."""
    keys = ring("ab", "adaptive")
    for one in keys.keys:
        assert one.load is not None
        one.load.observe(1.0, 0.0)
    key(keys, "a").told(50, 1000, 60.0, 0, 0.0)
    taken = [keys.take(0.0).name for _ in range(20)]

    assert taken.count("b") >= 18


def test_requests_sent_since_are_taken_off_what_an_answer_says_is_left() -> None:
    """Three are under way when the first one's answer says that three are left: that is one."""
    key = KeyState("a")
    for _ in range(3):
        key.take(0.0)
    key.told(3.0, 100.0, 60.0, 1, 0.0)

    assert key.wait(0.0) == 0.0
    key.take(0.0)
    assert key.wait(0.0) == pytest.approx(0.6)
