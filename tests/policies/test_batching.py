"""What travels together comes apart again: every vector to its text, every token counted once."""

from __future__ import annotations

import itertools
from array import array

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.policies.batching import STRATEGIES, EmbedBatching, share
from asyncapi.types.requests import EmbedRequest, Extra, Request
from asyncapi.types.responses import EmbedResponse, Response
from asyncapi.types.usage import Usage

PROPERTY = settings(deadline=None, derandomize=True, max_examples=100)
COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")

embed = EmbedBatching()
texts = st.lists(st.text("ab ", max_size=6), min_size=1, max_size=6)
counts = st.one_of(st.none(), st.integers(0, 10_000))
usages = st.builds(
    Usage,
    input_tokens=counts,
    output_tokens=counts,
    cache_read_tokens=counts,
    cache_write_tokens=counts,
    reasoning_tokens=counts,
    source=st.sampled_from(["reported", "header", "estimated", "unknown"]),
)


def request(inputs: list[str]) -> EmbedRequest:
    return EmbedRequest(model="m", inputs=tuple(inputs))


def inputs(of: Request) -> tuple[str, ...]:
    assert isinstance(of, EmbedRequest)
    return of.inputs


def vectors(of: Response) -> tuple[array[float], ...]:
    assert isinstance(of, EmbedResponse)
    return of.vectors


def vector(text: str) -> array[float]:
    """A vector that tells which text it belongs to."""
    return array("f", [len(text), *map(ord, text)])


def answer(to: Request, usage: Usage) -> EmbedResponse:
    return EmbedResponse(id="r", model="m", vectors=tuple(map(vector, inputs(to))), usage=usage, raw={"k": 1})


# -- share --------------------------------------------------------------------------------------------------


@PROPERTY
@given(usage=usages, weights=st.lists(st.integers(0, 1000), min_size=1, max_size=40))
def test_shares_add_up_exactly_for_every_weight_vector(usage: Usage, weights: list[int]) -> None:
    """No token is lost or invented, each share is within one token of its proportion."""
    parts = share(usage, weights)
    whole = sum(weights)

    assert len(parts) == len(weights)
    for name in COUNTS:
        total = getattr(usage, name)
        got = [getattr(part, name) for part in parts]
        if total is None:
            assert got == [None] * len(weights)
            continue
        assert sum(got) == total
        for count, weight in zip(got, weights, strict=True):
            exact = total * weight / whole if whole else total / len(weights)
            assert exact - 1 < count < exact + 1
            assert weight or not whole or count == 0


@PROPERTY
@given(usage=usages, weights=st.lists(st.integers(0, 50), min_size=2, max_size=10))
def test_a_heavier_request_never_pays_less(usage: Usage, weights: list[int]) -> None:
    """Shares are in the order of the weights."""
    parts = [part.input_tokens or 0 for part in share(usage, weights)]
    for i, one in enumerate(weights):
        for j, other in enumerate(weights):
            assert one <= other or parts[i] >= parts[j]


@pytest.mark.parametrize(
    ("total", "weights", "expected"),
    [
        (10, [1, 1, 1], [4, 3, 3]),
        (10, [0, 0, 0], [4, 3, 3]),
        (1, [0, 5, 0], [0, 1, 0]),
        (0, [3, 4], [0, 0]),
        (7, [1, 2, 4], [1, 2, 4]),
        (2, [1] * 5, [1, 1, 0, 0, 0]),
        (100, [1, 10**9], [0, 100]),
    ],
)
def test_largest_remainders_get_the_rest(total: int, weights: list[int], expected: list[int]) -> None:
    """Ties go to the first."""
    assert [part.input_tokens for part in share(Usage(input_tokens=total), weights)] == expected


def test_a_single_request_keeps_what_the_service_reported() -> None:
    """Nothing was shared, so nothing is estimated."""
    usage = Usage(input_tokens=5, source="reported")

    assert share(usage, [0]) == [usage]
    assert share(usage, []) == []


@pytest.mark.parametrize(("source", "expected"), [("reported", "estimated"), ("unknown", "unknown")])
def test_a_share_says_that_it_is_an_estimate(source: str, expected: str) -> None:
    """What the service reported for all is an estimate for each."""
    usage = msgspec.convert({"input_tokens": 4, "source": source}, Usage)

    assert [part.source for part in share(usage, [1, 1])] == [expected, expected]


# -- embeddings ---------------------------------------------------------------------------------------------


def test_embeddings_are_the_operation_that_is_batched() -> None:
    """The strategy is found by the operation's name."""
    assert isinstance(STRATEGIES[EmbedRequest.operation], EmbedBatching)


@pytest.mark.parametrize(
    "other",
    [
        EmbedRequest(model="n", inputs=("x",)),
        EmbedRequest(model="m", inputs=("x",), dimensions=8),
        EmbedRequest(model="m", inputs=("x",), user_id="u"),
    ],
)
def test_requests_that_differ_beyond_their_texts_do_not_mix(other: EmbedRequest) -> None:
    """Model, dimensions and user hold for a whole request."""
    one = EmbedRequest(model="m", inputs=("x",))

    assert embed.key(one) == embed.key(EmbedRequest(model="m", inputs=("y", "z")))
    assert embed.key(one) != embed.key(other)


def test_a_request_with_extra_goes_alone() -> None:
    """What the service takes beyond the normal form can't be merged."""
    assert embed.key(EmbedRequest(model="m", inputs=("x",), extra=Extra(body={"a": 1}))) is None


@PROPERTY
@given(calls=st.lists(texts, min_size=1, max_size=8), usage=usages)
def test_merge_and_split_give_every_call_its_own(calls: list[list[str]], usage: Usage) -> None:
    """Each call gets the vectors of its texts, in order, and the usage adds up."""
    requests = [request(call) for call in calls]
    merged = embed.merge(requests)
    answers = embed.split(answer(merged, usage), requests)

    assert inputs(merged) == tuple(text for call in calls for text in call)
    assert embed.key(merged) == embed.key(requests[0])
    assert embed.items(merged) == sum(map(embed.items, requests))
    assert embed.answers(merged, answer(merged, usage)) == embed.items(merged)
    assert embed.chars(merged) == sum(map(embed.chars, requests))
    assert [vectors(got) for got in answers] == [tuple(map(vector, call)) for call in calls]
    assert all(got.raw == {"k": 1} and got.id == "r" for got in answers)
    for name in COUNTS:
        if (total := getattr(usage, name)) is not None:
            assert sum(getattr(got.usage, name) for got in answers) == total


@PROPERTY
@given(call=texts, items=st.integers(1, 7), chars=st.one_of(st.none(), st.integers(1, 20)))
def test_pieces_keep_to_both_limits_and_to_the_order(call: list[str], items: int, chars: int | None) -> None:
    """Nothing is lost or reordered, no piece is empty, only a single text may be too long."""
    pieces = embed.pieces(request(call), items, chars)

    assert tuple(text for piece in pieces for text in inputs(piece)) == tuple(call)
    for piece in pieces:
        assert 1 <= embed.items(piece) <= items
        assert chars is None or embed.chars(piece) <= chars or embed.items(piece) == 1
    for piece, following in itertools.pairwise(pieces):
        grown = [*inputs(piece), inputs(following)[0]]
        assert len(grown) > items or (chars is not None and sum(map(len, grown)) > chars)


def test_a_request_within_the_limits_is_not_touched() -> None:
    """It is the same object, with everything that it carries."""
    whole = EmbedRequest(model="m", inputs=("ab", "c"), extra=Extra(body={"a": 1}))

    assert embed.pieces(whole, 2, 3)[0] is whole
    assert embed.pieces(whole, 2, None)[0] is whole
    assert [inputs(piece) for piece in embed.pieces(whole, 2, 2)] == [("ab",), ("c",)]
    assert all(piece.extra == whole.extra for piece in embed.pieces(whole, 1, None))


@PROPERTY
@given(call=texts, items=st.integers(1, 4), parts=st.lists(usages, min_size=6, max_size=6))
def test_pieces_and_join_give_the_answer_of_the_whole(
    call: list[str], items: int, parts: list[Usage]
) -> None:
    """The vectors in the order of the texts, the usage summed, every raw answer kept."""
    pieces = embed.pieces(request(call), items, None)
    answers = [answer(piece, usage) for piece, usage in zip(pieces, parts, strict=False)]
    joined = embed.join(request(call), answers)

    assert vectors(joined) == tuple(map(vector, call))
    assert joined.raw == [{"k": 1}] * len(pieces)
    for name in COUNTS:
        known = [c for a in answers if (c := getattr(a.usage, name)) is not None]
        assert getattr(joined.usage, name) == (sum(known) if known else None)
