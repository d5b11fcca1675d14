"""A key that fails while its peers work is taken out, and never the last one."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.config import Breaker
from asyncapi.policies.ejection import Ejection
from asyncapi.policies.keys import KeyState

SETTINGS = Breaker(failure_threshold=3, reset_after=10.0, reset_maximum=40.0)


class Whole:
    """Dice that always give the most."""

    def random(self) -> float:
        return 1.0


class Pool:
    """Keys a, b, c, and what takes them out."""

    def __init__(self, settings: Breaker = SETTINGS, names: str = "abc") -> None:
        self.keys = [KeyState(name) for name in names]
        self.ejection = Ejection(settings, Whole())

    def play(self, outcomes: str, now: float = 0.0) -> list[float]:
        """``a`` is a success of a, ``A`` a failure; the rests that were given."""
        rests = []
        for outcome in outcomes:
            key = next(key for key in self.keys if key.name == outcome.lower())
            if outcome.islower():
                key.ok += 1
            elif (rest := self.ejection.failed(key, self.keys, now)) is not None:
                key.park(now + rest, "failing")
                rests.append(rest)
        return rests


@pytest.mark.parametrize(
    ("outcomes", "rests"),
    [
        ("bcAbcAbcA", [10.0]),  # alone
        ("bcAbcAbc", []),  # two in a row are not three
        ("bcAbcAbcaAbcA", []),  # a success ends the row
        ("AAA", []),  # the others have never worked
        ("bAAA", [10.0]),  # they have, and have not failed since
        ("bcAABCA", []),  # they fail too
        ("bcAbcbcBAbcbcA", [10.0]),  # one failure of theirs among enough successes
        ("bcABAbA", []),  # one among few
        ("bcAbcAbcAA", [10.0]),  # those that were under way together end it once
        ("cAcAcAcBcBcB", [10.0, 10.0]),  # two of three
        ("cAcAcAcBcBcBCCC", [10.0, 10.0]),  # the last one is never taken out
    ],
)
def test_a_row_of_failures_takes_a_key_out_if_its_peers_work(outcomes: str, rests: list[float]) -> None:
    """Capitals are failures."""
    assert Pool().play(outcomes) == rests


def test_a_single_key_is_never_taken_out() -> None:
    """Its failures are the breaker's business."""
    assert Pool(names="a").play("aaaAAAAAAAA") == []


def test_it_rests_longer_each_time_and_begins_anew_after_a_success() -> None:
    """10, 20, 40, 40 s: one failure after the rest is enough; a success makes it as good as new."""
    pool = Pool()
    rests = pool.play("bcAbcAbcA")
    for at in (100.0, 200.0, 300.0):
        rests += pool.play("bcA", at)
    pool.play("a", 400.0)
    rests += pool.play("bcAbcAbcA", 400.0)

    assert rests == [10.0, 20.0, 40.0, 40.0, 10.0]


def test_rests_are_drawn_from_the_upper_half() -> None:
    """Equal jitter, as for the breaker."""
    pool = Pool()
    pool.ejection = Ejection(SETTINGS, Random(3))

    assert 5.0 <= pool.play("bcAbcAbcA")[0] < 10.0


def test_a_disabled_breaker_takes_no_key_out() -> None:
    """It is the same switch."""
    assert Pool(Breaker(failure_threshold=3, enabled=False)).play("bcAbcAbcAbcA") == []


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    steps=st.lists(st.tuples(st.sampled_from("abcABC"), st.floats(0.0, 8.0)), max_size=150),
    users=st.tuples(*[st.sampled_from([(), ("u",)])] * 3),
)
def test_a_pool_always_keeps_a_key(
    steps: list[tuple[str, float]], users: tuple[tuple[str, ...], ...]
) -> None:
    """In any history, each group of keys for the same users has one that is not parked."""
    pool, now = Pool(), 0.0
    for key, reserved in zip(pool.keys, users, strict=True):
        key.users = frozenset(reserved)
    for outcome, pause in steps:
        now += pause
        pool.play(outcome, now)

        for group in {key.users for key in pool.keys}:
            assert any(key.parked_until <= now for key in pool.keys if key.users == group)
