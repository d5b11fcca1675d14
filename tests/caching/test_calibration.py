"""Which threshold suits a model: from pairs to a curve."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from asyncapi.caching.calibration import Pair, calibrate, measure
from tests.caching.letters import embed

PAIRS = [
    Pair("How do I reset my password?", "how can I reset my password", True),
    Pair("What is the capital of France?", "Tell me what the capital of France is", True),
    Pair("What is the capital of Austria?", "What is the capital of Australia?", False),
    Pair("Is it safe to swim here?", "Is it not safe to swim here?", False),
    Pair("Add 5 and 7", "Why is grass green?", False),
]


async def test_the_guard_makes_the_difference() -> None:
    """Near misses are as near as paraphrases: the cosine alone is wrong at every threshold."""
    alone = await calibrate(PAIRS, embed, guard=None)
    guarded = await calibrate(PAIRS, embed)

    assert (alone.alike, alone.apart) == (2, 3)
    assert alone.at(0.5).wrong == 2
    assert (guarded.at(0.5).right, guarded.at(0.5).wrong) == (2, 0)
    assert guarded.at(0.5).precision == 1.0
    assert guarded.threshold(0.99) is not None


async def test_texts_are_embedded_once_and_in_blocks() -> None:
    """However many pairs share them."""
    asked: list[int] = []

    async def counting(texts: Sequence[str]) -> Sequence[Sequence[float]]:
        asked.append(len(texts))
        return await embed(texts)

    pairs = [Pair(f"text number {n}", "text number 0", False) for n in range(600)]
    await calibrate(pairs, counting)

    assert asked == [256, 256, 88]


def test_the_threshold_is_the_lowest_that_holds_from_there_on() -> None:
    """A dip above it does not count for good luck below it."""
    seen = [(0.95, True), (0.9, True), (0.85, False), (0.8, True), (0.6, True)]

    curve = measure(seen, [0.5, 0.7, 0.82, 0.87, 0.99])

    assert curve.threshold(0.99) == 0.87
    assert curve.threshold(0.6) == 0.5
    assert curve.at(0.9) is not None
    assert curve.at(0.9).threshold == 0.87
    assert curve.at(0.9).recall == pytest.approx(0.5)
    assert curve.points[-1].precision is None


def test_nothing_holds_where_all_is_wrong() -> None:
    """No threshold rather than a bad one."""
    assert measure([(0.9, False)]).threshold() is None
    assert measure([]).threshold() is None


def test_few_pairs_prove_little() -> None:
    """The lower bound says so: three right of three is 53 %, 300 of 300 is 99 %."""
    assert measure([(0.9, True)] * 3).at(0.5).at_least == pytest.approx(0.53, abs=0.01)
    assert measure([(0.9, True)] * 300).at(0.5).at_least == pytest.approx(0.991, abs=0.001)
