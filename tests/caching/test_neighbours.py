"""The index of vectors: groups apart, exact, bounded."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncapi.caching.neighbours import Neighbours, unit


def vector(*values: float) -> np.ndarray:
    """A vector of length 1."""
    found = unit(values)
    assert found is not None
    return found


def test_the_most_alike_come_first() -> None:
    """With their cosines, none below the threshold."""
    index = Neighbours(9)
    for key, values in {b"a": (1, 0), b"b": (0.8, 0.6), b"c": (0, 1)}.items():
        index.add(b"group", key, key.decode(), vector(*values))

    found = index.nearest(b"group", vector(1, 0.1), 0.5)

    assert [near.key for near in found] == [b"a", b"b"]
    assert found[0].text == "a"
    assert found[0].similarity == pytest.approx(0.995, abs=0.001)


def test_groups_never_meet() -> None:
    """The same vector in another group is not there."""
    index = Neighbours(9)
    index.add(b"one", b"key", "text", vector(1, 0))

    assert index.nearest(b"other", vector(1, 0), 0.1) == []


def test_what_was_not_used_for_longest_goes_first() -> None:
    """Least recently used, over all groups."""
    index = Neighbours(2)
    index.add(b"one", b"a", "a", vector(1, 0))
    index.add(b"two", b"b", "b", vector(1, 0))
    index.used(b"a")
    index.add(b"two", b"c", "c", vector(1, 0))

    assert len(index) == 2
    assert [n.key for n in index.nearest(b"one", vector(1, 0), 0.5)] == [b"a"]
    assert [n.key for n in index.nearest(b"two", vector(1, 0), 0.5)] == [b"c"]


def test_another_model_starts_anew() -> None:
    """Vectors of another length are never compared, and take the place of the old ones."""
    index = Neighbours(9)
    index.add(b"group", b"a", "a", vector(1, 0))

    assert index.nearest(b"group", vector(1, 0, 0), 0.1) == []
    index.add(b"group", b"b", "b", vector(1, 0, 0))
    assert [n.key for n in index.nearest(b"group", vector(1, 0, 0), 0.1)] == [b"b"]
    assert len(index) == 1


def test_the_same_key_again_is_replaced() -> None:
    """An answer refreshed is there once, also in another group."""
    index = Neighbours(9)
    index.add(b"group", b"a", "old", vector(1, 0))
    index.add(b"group", b"a", "new", vector(0, 1))
    assert [n.text for n in index.nearest(b"group", vector(0, 1), 0.9)] == ["new"]

    index.add(b"other", b"a", "moved", vector(0, 1))
    assert len(index) == 1
    assert index.nearest(b"group", vector(0, 1), 0.1) == []


@pytest.mark.parametrize("values", [(0.0, 0.0), (float("nan"), 1.0), (float("inf"), 1.0), ()])
def test_no_direction_is_no_vector(values: tuple[float, ...]) -> None:
    """Zero, or what is no number."""
    assert unit(values) is None


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "remove", "used"]), st.integers(0, 12), st.integers(0, 2)),
        max_size=60,
    ),
    st.integers(1, 6),
)
def test_it_always_finds_exactly_what_is_in_it(steps: list[tuple[str, int, int]], bound: int) -> None:
    """Whatever was added, removed and used, beside a plain dictionary of the same."""
    index, plain = Neighbours(bound), dict[bytes, tuple[bytes, list[float]]]()
    chance = random.Random(0)
    for what, number, name in steps:
        key, group = bytes([number]), bytes([name])
        if what == "add":
            values = [chance.gauss(0, 1) for _ in range(4)]
            index.add(group, key, str(number), vector(*values))
            plain.pop(key, None)
            plain[key] = (group, values)
            while len(plain) > bound:
                plain.pop(next(iter(plain)))
        elif what == "remove":
            index.remove(key)
            plain.pop(key, None)
        elif key in plain:
            index.used(key)
            plain[key] = plain.pop(key)

    assert len(index) == len(plain)
    for group in (bytes([n]) for n in range(3)):
        asked = vector(1, 2, 3, 4)
        wanted = {key: float(vector(*values) @ asked) for key, (g, values) in plain.items() if g == group}
        found = {near.key: near.similarity for near in index.nearest(group, asked, -1.0, most=99)}
        assert found == pytest.approx(wanted, abs=1e-5)
