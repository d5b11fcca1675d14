"""Damaged answers of OpenVINO Model Server: whole tensors or one of our errors, nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.backends._kserve import LENGTH
from asyncapi.backends.ovms import OVMS
from asyncapi.errors import AsyncAPIError
from asyncapi.types.requests import InferRequest, NativeRequest, Request, TokenizeRequest
from asyncapi.types.tensors import as_tensor
from asyncapi.types.wire import WireResponse

from .openai_golden import reply as json_reply
from .ovms_golden import CASES, backend, golden_reply, inferred, reply, request
from .test_openai_fuzz import damaged

OTHERS: list[tuple[Request, Any]] = [
    (TokenizeRequest(model="t", inputs=("a",)), {"tokens": [[1, 2]]}),
    (NativeRequest(model="m", action="status"), {"m": {"state": "AVAILABLE"}}),
    (NativeRequest(model="m", action="metadata"), {"name": "m", "inputs": []}),
]


@pytest.mark.slow
@given(st.data())
@settings(max_examples=300)
def test_damaged_json_gives_whole_tensors_or_our_error(data: st.DataObject) -> None:
    """Every tensor has its shape and its numbers are in range."""
    case = data.draw(st.sampled_from(CASES))
    answer = reply(data.draw(damaged(case["reply"])), bytes.fromhex(case["reply_tail"]))
    try:
        response = backend(case).decode(request(case), answer)
    except AsyncAPIError:
        return
    inferred(response)


@pytest.mark.slow
@given(st.data())
@settings(max_examples=300)
def test_damaged_bytes_give_whole_tensors_or_our_error(data: st.DataObject) -> None:
    """Bytes lost, doubled or changed anywhere, also in the header's number."""
    case = data.draw(st.sampled_from(CASES))
    whole = golden_reply(case)
    body, headers = bytearray(whole.body), dict(whole.headers)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    if LENGTH in headers and data.draw(st.booleans()):
        headers[LENGTH] = str(int(headers[LENGTH]) + data.draw(st.integers(-20, 20)))
    answer = WireResponse(status=200, headers=headers, body=bytes(body))
    try:
        response = backend(case).decode(request(case), answer)
    except AsyncAPIError:
        return
    inferred(response)


@given(st.data())
@settings(max_examples=60)
def test_a_damaged_reply_of_another_operation_is_an_answer_or_our_error(data: st.DataObject) -> None:
    """Nothing else escapes."""
    asked, body = data.draw(st.sampled_from(OTHERS))
    try:
        OVMS().decode(asked, json_reply(data.draw(damaged(body))))
    except AsyncAPIError:
        return


@given(
    st.sampled_from(["float32", "float64", "float16", "int8", "uint16", "int32", "uint64", "bool"]),
    st.lists(st.integers(0, 3), max_size=3),
    st.booleans(),
)
@settings(max_examples=60)
def test_an_echo_of_an_array_is_the_array(kind: str, shape: list[int], binary: bool) -> None:
    """What is sent, sent back, is what was sent."""
    array = np.arange(int(np.prod(shape, dtype=int))).reshape(shape).astype(kind)
    if kind == "float16" and not binary:
        return
    made = OVMS(binary=binary).encode(InferRequest(model="m", inputs={"x": as_tensor(array)}))
    assert made.body is not None
    body = made.body.replace(b'{"inputs"', b'{"outputs"', 1)
    headers = dict(made.headers or {})
    if LENGTH in headers:
        headers[LENGTH] = str(int(headers[LENGTH]) + 1)
    asked = InferRequest(model="m", inputs={})
    response = OVMS().decode(asked, WireResponse(status=200, headers=headers, body=body))

    back = inferred(response).numpy()["x"]
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)
