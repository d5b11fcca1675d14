"""The labelled pairs of the semantic benchmark, and what the guard does with them."""

from __future__ import annotations

import pytest

from asyncapi.caching.calibration import calibrate, measure
from asyncapi.caching.guard import doubt
from benchmarks.semantic import sets
from benchmarks.semantic.plot import panels
from tests.caching.letters import embed


@pytest.mark.parametrize("half", [0, 1])
def test_no_near_miss_that_was_written_passes(half: int) -> None:
    """Whatever the vectors say: those that were looked at when the guard was made, and the others."""
    pairs = [pair for pair in sets.written(half) if not pair.same]

    assert len(pairs) > 280
    assert [pair for pair in pairs if not doubt(pair.asked, pair.cached)] == []


@pytest.mark.parametrize(("half", "least"), [(0, 0.19), (1, 0.1)])
def test_some_paraphrases_pass(half: int, least: float) -> None:
    """Few: what it does not know is a miss. Fewer would be a loss."""
    pairs = [pair for pair in sets.written(half) if pair.same]

    assert sum(not doubt(pair.asked, pair.cached) for pair in pairs) >= least * len(pairs)


@pytest.mark.data
@pytest.mark.slow
def test_no_near_miss_made_of_real_texts_passes() -> None:
    """Numbers, names, negations, opposites, sides, qualifiers: and nearly all that is only reworded does."""
    pairs = sets.made(1)
    if pairs is None:
        pytest.skip("ASYNCAPI_DATA does not name the folder of the public sets")

    passed = [pair for pair in pairs if not doubt(pair.asked, pair.cached)]

    assert [pair for pair in passed if not pair.same] == []
    assert len(passed) >= 0.95 * sum(pair.same for pair in pairs)


async def test_the_picture_has_a_panel_for_each_set() -> None:
    """From any embedding, also a poor one."""
    curve = await calibrate(sets.written(0), embed)
    names = ("md5 digest", "cosine alone", "with the guard")

    picture = panels({name: dict.fromkeys(names, curve) for name in ("written", "made", "banking77")})

    assert picture.startswith("<svg")
    assert picture.count("<polyline") == 18
    assert measure([(0.9, True)]).alike == 1
