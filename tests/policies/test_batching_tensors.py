"""Rows of tensors travel together and come apart again, packed or not."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from asyncapi.errors import DecodeError
from asyncapi.policies.batching import STRATEGIES, InferBatching
from asyncapi.types.requests import Extra, InferRequest
from asyncapi.types.responses import InferResponse
from asyncapi.types.tensors import Tensor
from asyncapi.types.usage import Usage

from .batches import PROPERTY, check_merged, check_usage, usages

batching = InferBatching()
NO_USAGE = Usage()
rows = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.text("ab", max_size=3)), min_size=1, max_size=5
)


def packed(texts: Sequence[str]) -> bytes:
    """Strings as KServe packs them."""
    return b"".join(struct.pack("<I", len(text)) + text.encode() for text in texts)


def tensors(of: Sequence[tuple[int, int, str]]) -> dict[str, Tensor]:
    """The same rows in each form that a tensor's data may have."""
    n = len(of)
    numbers = [number for one, other, _ in of for number in (one, other)]
    texts = [text for *_, text in of]
    return {
        "raw": Tensor(datatype="INT16", shape=(n, 2), data=struct.pack(f"<{2 * n}h", *numbers)),
        "list": Tensor(datatype="INT64", shape=(n, 2, 1), data=numbers),
        "packed": Tensor(datatype="BYTES", shape=(n,), data=packed(texts)),
        "texts": Tensor(datatype="BYTES", shape=(n, 1), data=texts),
        "nothing": Tensor(datatype="BYTES", shape=(n, 0), data=b""),
    }


def infer(of: Sequence[tuple[int, int, str]], **fields: Any) -> InferRequest:
    """A request for these rows."""
    return InferRequest(model="m", inputs=tensors(of), **fields)


def answer(to: InferRequest, usage: Usage = NO_USAGE) -> InferResponse:
    """The inputs back as outputs."""
    return InferResponse(id="r", outputs=dict(to.inputs), usage=usage, raw=1)


@PROPERTY
@given(st.lists(rows, min_size=1, max_size=5), usages)
def test_merge_and_split_give_every_call_its_own(calls: list[list[Any]], usage: Usage) -> None:
    """In every form of data."""
    requests = [infer(call, parameters={"a": [1]}) for call in calls]
    merged = batching.merge(requests)
    assert isinstance(merged, InferRequest)
    whole = answer(merged, usage)
    answers = batching.split(whole, requests)

    check_merged(batching, merged, requests)
    assert merged.inputs == tensors([row for call in calls for row in call])
    assert batching.key(merged) == batching.key(requests[0]) is not None
    assert batching.answers(merged, whole) == batching.items(merged)
    assert [a.outputs for a in answers if isinstance(a, InferResponse)] == list(map(tensors, calls))
    check_usage(usage, answers)


@PROPERTY
@given(rows, st.integers(1, 4), st.one_of(st.none(), st.integers(1, 60)))
def test_pieces_and_join_give_the_answer_of_the_whole(call: Any, items: int, chars: int | None) -> None:
    """No piece has more rows than the limit."""
    whole = infer(call)
    pieces = batching.pieces(whole, items, chars)
    joined = batching.join(whole, [answer(one) for one in pieces if isinstance(one, InferRequest)])

    assert all(1 <= batching.items(piece) <= items for piece in pieces)
    assert batching.merge(pieces) == whole
    assert isinstance(joined, InferResponse)
    assert joined.outputs == whole.inputs
    assert joined.raw == [1] * len(pieces)


def test_a_request_within_the_limits_is_not_touched() -> None:
    """Nor one that can't be cut, whose shape is for the service to refuse."""
    whole = infer([(1, 2, "a"), (3, 4, "b")])
    wrong = InferRequest(model="m", inputs={"x": Tensor(datatype="FP32", shape=(2,), data=[1.0])})
    empty = InferRequest(model="m", inputs={"x": Tensor(datatype="BYTES", shape=(3, 0), data=b"")})

    assert batching.pieces(whole, 2, None)[0] is whole
    assert batching.pieces(whole, 2, 1000)[0] is whole
    assert len(batching.pieces(whole, 2, 10)) == 2
    assert batching.pieces(wrong, 1, None) == [wrong]
    assert len(batching.pieces(empty, 1, 5)) == 3
    assert isinstance(STRATEGIES["infer"], InferBatching)


@pytest.mark.parametrize(
    "fields",
    [
        {"extra": Extra()},
        {"parameters": {"a": {1}}},
        {"inputs": {}},
        {"inputs": {"x": Tensor(datatype="FP32", shape=(), data=[1.0])}},
        {"inputs": {"x": Tensor(datatype="FP32", shape=(0, 2), data=[])}},
        {"inputs": {"x": Tensor(datatype="FP32", shape=(-1, 2), data=[])}},
        {
            "inputs": {
                "x": Tensor(datatype="FP32", shape=(1,), data=[1.0]),
                "y": Tensor(datatype="FP32", shape=(2,), data=[1.0, 2.0]),
            }
        },
    ],
)
def test_what_has_no_common_rows_goes_alone(fields: dict[str, Any]) -> None:
    """And its answer, without common rows either, counts as none."""
    alone = replace(infer([(1, 2, "a")]), **fields)

    assert batching.key(alone) is None
    assert batching.merge([alone]) is alone
    assert batching.split(InferResponse(), [alone]) == [InferResponse()]


def test_only_the_same_names_types_and_row_shapes_mix() -> None:
    """And the same model, version, outputs and parameters."""
    one = infer([(1, 2, "a")])
    others = [
        replace(one, model="n"),
        replace(one, version="2"),
        replace(one, outputs=("list",)),
        replace(one, parameters={"a": 1}),
        replace(one, inputs={"other": one.inputs["list"]}),
        replace(one, inputs={**one.inputs, "raw": replace(one.inputs["raw"], datatype="UINT16")}),
        replace(one, inputs={**one.inputs, "raw": replace(one.inputs["raw"], shape=(1, 1, 2))}),
        replace(one, inputs={**one.inputs, "raw": replace(one.inputs["raw"], data=[1, 2])}),
    ]

    assert batching.key(one) == batching.key(infer([(3, 4, "b"), (5, 6, "c")]))
    assert len({batching.key(request) for request in (one, *others)}) == len(others) + 1


@pytest.mark.parametrize(
    "output",
    [
        Tensor(datatype="FP32", shape=(2, 2), data=[1.0, 2.0, 3.0]),
        Tensor(datatype="FP32", shape=(2, 2), data=b"12345"),
        Tensor(datatype="BYTES", shape=(2, 10**12), data=b"12345678"),
        Tensor(datatype="BYTES", shape=(2,), data=packed(["a", "b"])[:-1]),
        Tensor(datatype="BYTES", shape=(2,), data=packed(["a", "b", "c"])),
    ],
)
def test_outputs_that_are_not_as_long_as_their_shape_are_an_error(output: Tensor) -> None:
    """Rather than rows of the wrong call."""
    requests = [infer([(1, 2, "a")]), infer([(3, 4, "b")])]

    with pytest.raises(DecodeError):
        batching.split(InferResponse(outputs={"x": output}), requests)


def test_pieces_with_different_outputs_are_an_error() -> None:
    """They can't be put together."""
    x = {"x": Tensor(datatype="FP32", shape=(1,), data=[1.0])}

    with pytest.raises(DecodeError, match="different outputs"):
        batching.join(
            InferRequest(model="m", inputs={"x": x["x"]}),
            [InferResponse(outputs=x), InferResponse(outputs={"y": x["x"]})],
        )
