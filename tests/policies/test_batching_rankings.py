"""Documents of one query: merged, cut, and each call's ranking its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncapi.policies.batching import STRATEGIES, RerankBatching
from asyncapi.types.requests import Extra, Request, RerankRequest, ScoreRequest
from asyncapi.types.responses import Ranked, RerankResponse, Response, ScoreResponse
from asyncapi.types.usage import Usage

from .batches import PROPERTY, answered, check_merged, check_usage, usages

batching = RerankBatching()
documents = st.lists(st.text("abc", max_size=5), min_size=1, max_size=6)
NO_USAGE = Usage()


def rerank(texts: list[str], top_n: int | None = None) -> RerankRequest:
    return RerankRequest(model="m", query="q", documents=tuple(texts), top_n=top_n)


def answer(to: Request, usage: Usage = NO_USAGE) -> RerankResponse:
    """The longer the text, the better it fits."""
    assert isinstance(to, RerankRequest)
    ranked = [Ranked(i, float(len(text)), text) for i, text in enumerate(to.documents)]
    best = sorted(ranked, key=lambda one: (-one.score, one.index))[: to.top_n]
    return RerankResponse(model="m", results=tuple(best), usage=usage, raw=1)


def results(of: Response) -> tuple[Ranked, ...]:
    assert isinstance(of, RerankResponse)
    return of.results


tops = st.one_of(st.none(), st.integers(1, 8))


@PROPERTY
@given(st.lists(st.tuples(documents, tops), min_size=1, max_size=6), usages)
def test_merge_and_split_give_every_call_its_own_ranking(
    calls: list[tuple[list[str], int | None]], usage: Usage
) -> None:
    """Places counted within the call, only as many as it asked for, and the usage adds up."""
    requests = [rerank(texts, top) for texts, top in calls]
    merged = batching.merge(requests)
    whole = answer(merged, usage)
    answers = answered(batching.split(whole, requests))

    check_merged(batching, merged, requests)
    assert batching.answers(merged, whole) == batching.items(merged)
    assert list(map(results, answers)) == [answer(request).results for request in requests]
    check_usage(usage, answers)


@PROPERTY
@given(documents, tops, st.integers(1, 4), st.one_of(st.none(), st.integers(1, 12)))
def test_pieces_and_join_give_the_ranking_of_the_whole(
    call: list[str], top: int | None, items: int, chars: int | None
) -> None:
    """Every piece keeps to the limits, or is one document."""
    whole = rerank(call, top)
    pieces = batching.pieces(whole, items, chars)
    joined = batching.join(whole, [answer(piece) for piece in pieces])

    for piece in pieces:
        assert 1 <= batching.items(piece) <= items
        assert chars is None or batching.chars(piece) <= chars or batching.items(piece) == 1
    assert results(joined) == answer(whole).results


@pytest.mark.parametrize(
    "other",
    [
        RerankRequest(model="n", query="q", documents=("x",)),
        RerankRequest(model="m", query="another", documents=("x",)),
    ],
)
def test_documents_for_different_queries_or_models_do_not_mix(other: RerankRequest) -> None:
    """A score is one of a query and a document."""
    assert batching.key(rerank(["x"])) == batching.key(rerank(["y"], 3)) != batching.key(other)
    assert batching.key(RerankRequest(model="m", query="q", documents=("x",), extra=Extra())) is None


def test_too_few_results_are_noticed() -> None:
    """Fewer than were asked for is not a whole answer."""
    short = RerankResponse(results=(Ranked(0, 1.0),))

    assert batching.answers(rerank(["a", "b"]), short) == 1
    assert batching.answers(rerank(["a", "b"], 1), short) == 2
    assert isinstance(STRATEGIES["rerank"], RerankBatching)


def test_scores_of_one_query_are_shared_out_in_order() -> None:
    """The same for plain scores."""
    strategy = STRATEGIES["score"]
    requests = [ScoreRequest(model="m", query="q", documents=tuple(texts)) for texts in ("ab", "c")]
    merged = strategy.merge(requests)
    parts = answered(strategy.split(ScoreResponse(scores=(1.0, 2.0, 3.0)), requests))

    assert merged == ScoreRequest(model="m", query="q", documents=("a", "b", "c"))
    assert [part.scores for part in parts if isinstance(part, ScoreResponse)] == [(1.0, 2.0), (3.0,)]
    assert strategy.key(requests[0]) != strategy.key(ScoreRequest(model="m", query="r", documents=("a",)))
