"""Sessions go where they went before."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.policies.affinity import bounds, ranked

NAMES = st.lists(st.text(max_size=8), min_size=1, max_size=8, unique=True)


def test_ranks_are_the_same_in_every_process() -> None:
    """They come from the names alone: these were written down once."""
    assert [ranked(session, ["a", "b", "c"]) for session in ("x", "y", "z", "")] == [
        [0, 1, 2],
        [1, 0, 2],
        [0, 2, 1],
        [2, 0, 1],
    ]


@settings(deadline=None, derandomize=True, max_examples=100)
@given(session=st.text(), names=NAMES)
def test_every_place_has_a_rank(session: str, names: list[str]) -> None:
    """Once each."""
    assert sorted(ranked(session, names)) == list(range(len(names)))


@settings(deadline=None, derandomize=True, max_examples=100)
@given(session=st.text(), names=NAMES.filter(lambda names: len(names) > 1), gone=st.integers(0, 7))
def test_taking_a_place_away_moves_only_its_own_sessions(session: str, names: list[str], gone: int) -> None:
    """The order of the others stays, wherever they stand in the list."""
    left = [name for i, name in enumerate(names) if i != gone % len(names)][::-1]
    before = [names[i] for i in ranked(session, names) if i != gone % len(names)]

    assert [left[i] for i in ranked(session, left)] == before


def test_sessions_are_shared_by_weight() -> None:
    """3 : 2 : 1 of ten thousand sessions."""
    first = Counter(ranked(f"session {i}", "abc", (3.0, 2.0, 1.0))[0] for i in range(10_000))

    assert [first[place] / 10_000 for place in range(3)] == pytest.approx([1 / 2, 1 / 3, 1 / 6], abs=0.02)


@pytest.mark.parametrize(
    ("total", "weights", "most"),
    [
        (0, [1.0, 1.0], [1, 1]),
        (7, [1.0, 1.0], [5, 5]),
        (7, [3.0, 1.0], [8, 3]),
        (99, [1.0] * 10, [13] * 10),
    ],
)
def test_a_place_is_full_at_a_quarter_more_than_its_share(
    total: int, weights: list[float], most: list[int]
) -> None:
    """1.25 times its share, the new call counted."""
    assert bounds(total, weights) == most


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    work=st.lists(st.integers(0, 50), min_size=1, max_size=8),
    weights=st.lists(st.floats(0.1, 10.0), min_size=8, max_size=8),
)
def test_some_place_is_always_below_its_bound(work: list[int], weights: list[float]) -> None:
    """So that a session's call always finds one."""
    most = bounds(sum(work), weights[: len(work)])

    assert any(there < bound for there, bound in zip(work, most, strict=True))
