"""Moderation, labels, tokens, sparse vectors, completions: what travels in lists comes apart again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from asyncapi.policies.batching import STRATEGIES, CompleteBatching
from asyncapi.types.messages import Text
from asyncapi.types.requests import (
    ClassifyRequest,
    CompleteRequest,
    Extra,
    ModerateRequest,
    Request,
    SparseEmbedRequest,
    TokenizeRequest,
)
from asyncapi.types.responses import (
    ClassifyResponse,
    CompleteResponse,
    Label,
    ModerateResponse,
    Moderation,
    Output,
    Response,
    SparseEmbedResponse,
    Token,
    TokenizeResponse,
)
from asyncapi.types.usage import Usage

from .batches import PROPERTY, answered, check_merged, check_usage, usages

OPERATIONS = ["moderate", "classify", "tokenize", "embed_sparse", "complete"]
NO_USAGE = Usage()
texts = st.lists(st.text("ab ", max_size=6), min_size=1, max_size=6)
complete = CompleteBatching()


def request(operation: str, inputs: list[str]) -> Request:
    """A request of that operation."""
    if operation == "complete":
        return CompleteRequest(model="m", prompts=tuple(inputs), stop=("x",), response_format={"a": [1]})
    kinds: dict[str, Any] = {
        "moderate": ModerateRequest,
        "classify": ClassifyRequest,
        "tokenize": TokenizeRequest,
        "embed_sparse": SparseEmbedRequest,
    }
    made: Request = kinds[operation](model="m", inputs=tuple(inputs))
    return made


def answer(to: Request, usage: Usage = NO_USAGE) -> Response:
    """An answer whose entries tell which input each belongs to."""
    common: dict[str, Any] = {"id": "r", "model": "m", "usage": usage, "raw": {"k": 1}}
    match to:
        case ModerateRequest():
            verdicts = [Moderation(flagged=False, scores={text: 1.0}) for text in to.inputs]
            return ModerateResponse(results=tuple(verdicts), **common)
        case ClassifyRequest():
            labels = [(Label(str(text), 1.0),) for text in to.inputs]
            return ClassifyResponse(results=tuple(labels), **common)
        case TokenizeRequest():
            tokens = [tuple(Token(id=ord(c)) for c in text) for text in to.inputs]
            return TokenizeResponse(results=tuple(tokens), **common)
        case SparseEmbedRequest():
            vectors = [tuple((ord(c), 1.0) for c in text) for text in to.inputs]
            return SparseEmbedResponse(vectors=tuple(vectors), **common)
        case CompleteRequest():
            outputs = [Output(index=i, parts=(Text(text),)) for i, text in enumerate(to.prompts)]
            return CompleteResponse(outputs=tuple(outputs), **common)
    raise AssertionError(to)


def plain(response: Response) -> Response:
    """The answer without what sharing changes."""
    return replace(response, usage=Usage(), raw=None)


def classify(*inputs: Any, **fields: Any) -> ClassifyRequest:
    return ClassifyRequest(model="m", inputs=inputs, **fields)


def tokenize(*inputs: str, **fields: Any) -> TokenizeRequest:
    return TokenizeRequest(model="m", inputs=inputs, **fields)


def prompt(*prompts: str, **fields: Any) -> CompleteRequest:
    return CompleteRequest(model="m", prompts=prompts, **fields)


@PROPERTY
@given(st.sampled_from(OPERATIONS), st.lists(texts, min_size=1, max_size=6), usages)
def test_merge_and_split_give_every_call_its_own(
    operation: str, calls: list[list[str]], usage: Usage
) -> None:
    """What each call would have got alone, and the usage adds up."""
    strategy = STRATEGIES[operation]
    requests = [request(operation, call) for call in calls]
    merged = strategy.merge(requests)
    whole = answer(merged, usage)
    answers = answered(strategy.split(whole, requests))

    check_merged(strategy, merged, requests)
    assert strategy.key(merged) == strategy.key(requests[0]) is not None
    assert strategy.answers(merged, whole) == strategy.items(merged)
    assert list(map(plain, answers)) == [plain(answer(one)) for one in requests]
    check_usage(usage, answers)


@PROPERTY
@given(st.sampled_from(OPERATIONS), texts, st.integers(1, 4), st.one_of(st.none(), st.integers(1, 12)))
def test_pieces_and_join_give_the_answer_of_the_whole(
    operation: str, call: list[str], items: int, chars: int | None
) -> None:
    """Every piece keeps to the limits, or is one input."""
    strategy = STRATEGIES[operation]
    whole = request(operation, call)
    pieces = strategy.pieces(whole, items, chars)
    joined = strategy.join(whole, [answer(piece, Usage(input_tokens=1)) for piece in pieces])

    for piece in pieces:
        assert 1 <= strategy.items(piece) <= items
        assert chars is None or strategy.chars(piece) <= chars or strategy.items(piece) == 1
    assert strategy.merge(pieces) == whole
    assert plain(joined) == plain(answer(whole))
    assert (joined.usage.input_tokens, joined.raw) == (len(pieces), [{"k": 1}] * len(pieces))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_request_with_extra_goes_alone(operation: str) -> None:
    """What the service takes beyond the normal form can't be merged."""
    assert STRATEGIES[operation].key(replace(request(operation, ["x"]), extra=Extra())) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (classify("x"), classify("x", raw_scores=True)),
        (classify("x"), classify(("x", "y"))),
        (tokenize("x"), tokenize("x", add_special_tokens=False)),
        (ModerateRequest(model="m", inputs=("x",)), ModerateRequest(model="n", inputs=("x",))),
        (prompt("x"), prompt("x", max_tokens=1)),
        (prompt("x"), prompt("x", system="s")),
        (prompt("x", response_format={"a": 1}), prompt("x", response_format={"a": True})),
    ],
)
def test_requests_that_differ_beyond_their_inputs_do_not_mix(one: Request, other: Request) -> None:
    """One parameter holds for a whole request."""
    strategy = STRATEGIES[one.operation]

    assert strategy.key(one) == strategy.key(one)
    assert strategy.key(one) != strategy.key(other)


def test_the_length_of_a_pair_is_that_of_both() -> None:
    """The measure for token limits."""
    assert STRATEGIES["classify"].chars(ClassifyRequest(model="m", inputs=("abc", ("d", "ef")))) == 6


def test_a_completion_that_can_not_be_compared_or_is_streamed_goes_alone() -> None:
    """A schema may hold anything."""
    odd = CompleteRequest(model="m", prompts=("x",), response_format={"schema": {1, 2}})

    assert complete.key(odd) is None
    assert complete.key(CompleteRequest(model="m", prompts=("x",), stream=True)) is None


def test_several_outputs_for_one_prompt_stay_together() -> None:
    """An answer counts its prompts, not its outputs."""
    outputs = tuple(Output(index=i // 2, parts=(Text(str(i)),)) for i in range(6))
    whole = CompleteResponse(outputs=outputs)
    requests = [request("complete", ["a"]), request("complete", ["b", "c"])]
    answers = complete.split(whole, requests)

    assert complete.answers(request("complete", []), whole) == 3
    assert [[(o.index, o.text) for o in a.outputs] for a in answers if isinstance(a, CompleteResponse)] == [
        [(0, "0"), (0, "1")],
        [(0, "2"), (0, "3"), (1, "4"), (1, "5")],
    ]
    assert plain(complete.join(request("complete", []), answers)) == whole
