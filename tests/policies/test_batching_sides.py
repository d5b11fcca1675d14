"""Inferences side by side: each keeps its own outputs, or fails alone."""

from __future__ import annotations

import pytest

from asyncapi.errors import InvalidRequestError
from asyncapi.policies.batching import STRATEGIES, SideBySide
from asyncapi.types.requests import Extra, InferBatchRequest, InferRequest
from asyncapi.types.responses import InferBatchResponse, InferResponse
from asyncapi.types.tensors import Tensor
from asyncapi.types.usage import Usage

batching = SideBySide()


def infer(*values: float, **more: object) -> InferRequest:
    tensor = Tensor(datatype="FP64", shape=(len(values),), data=list(values))
    return InferRequest(model="m", inputs={"x": tensor}, **more)  # type: ignore[arg-type]


def test_inputs_of_any_shape_share_a_request() -> None:
    """Each is one item; what is computed of them must be the same."""
    requests = [infer(1.0), infer(2.0, 3.0)]
    merged = batching.merge(requests)

    assert isinstance(merged, InferBatchRequest)
    assert merged.inputs == (requests[0].inputs, requests[1].inputs)
    assert sum(map(batching.items, requests)) == 2
    assert [batching.chars(request) for request in requests] == [1, 2]
    assert batching.key(requests[0]) == batching.key(requests[1])
    assert isinstance(STRATEGIES["infer side by side"], SideBySide)


@pytest.mark.parametrize(
    "other", [infer(1.0, parameters={"k": 1}), infer(1.0, outputs=("y",)), infer(1.0, version="2")]
)
def test_other_parameters_outputs_or_versions_travel_apart(other: InferRequest) -> None:
    """They hold for the whole request."""
    assert batching.key(infer(1.0)) != batching.key(other)


@pytest.mark.parametrize("alone", [infer(1.0, extra=Extra()), infer(1.0, parameters={"k": {1}})])
def test_what_can_not_be_compared_goes_alone(alone: InferRequest) -> None:
    """Untouched, with its answer."""
    answer = InferResponse()

    assert batching.key(alone) is None
    assert batching.merge([alone]) is alone
    assert batching.pieces(alone, 1, 1) == [alone]
    assert batching.split(answer, [alone]) == [answer]
    assert batching.join(alone, [answer]) is answer
    assert batching.answers(alone, answer) == 1


def test_an_item_that_failed_ends_only_its_own_call() -> None:
    """And the usage adds up over all of them."""
    failure = InvalidRequestError("bad")
    good = InferResponse(model="m", outputs=infer(1.0).inputs)
    requests = [infer(1.0), infer(2.0), infer(3.0)]
    whole = InferBatchResponse(results=(good, failure, good), usage=Usage(input_tokens=7), warnings=("w",))
    parts = batching.split(whole, requests)

    assert batching.answers(batching.merge(requests), whole) == 3
    assert parts[1] is failure
    answers = [part for part in parts if isinstance(part, InferResponse)]
    assert [answer.outputs for answer in answers] == [good.outputs, good.outputs]
    assert [answer.warnings for answer in answers] == [("w",), ("w",)]
    assert [answer.usage.input_tokens for answer in answers] == [3, 2]
