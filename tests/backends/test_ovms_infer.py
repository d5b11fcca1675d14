"""Tensors to and from OpenVINO Model Server, as JSON and as raw bytes."""

from __future__ import annotations

import json
from array import array
from typing import Any

import numpy as np
import pytest

from asyncapi.backends._kserve import LENGTH
from asyncapi.backends.ovms import OVMS
from asyncapi.errors import ConfigError, DecodeError, ServerError
from asyncapi.types.requests import Extra, InferRequest
from asyncapi.types.responses import InferResponse
from asyncapi.types.tensors import Tensor, as_tensor
from asyncapi.types.wire import WireResponse

from .ovms_golden import CASES, backend, golden_reply, inferred, reply, request, tensors

GOLDEN = [pytest.param(case, id=case["name"]) for case in CASES]


def one(datatype: str, shape: tuple[int, ...], data: Any, **fields: Any) -> InferRequest:
    """A request with one input."""
    return InferRequest(model="m", inputs={"x": Tensor(datatype=datatype, shape=shape, data=data)}, **fields)


@pytest.mark.parametrize("case", GOLDEN)
def test_a_request_has_the_protocols_form(case: Any) -> None:
    """JSON, then the tensors in the order of the inputs."""
    made = backend(case).encode(request(case))
    assert made.body is not None
    assert made.headers is not None
    head = int(made.headers.get(LENGTH, len(made.body)))

    assert json.loads(made.body[:head]) == case["json"]
    assert made.body[head:].hex() == case["tail"]
    assert (LENGTH in made.headers) is case["binary"]
    kind = "application/octet-stream" if case["binary"] else "application/json"
    assert made.headers["Content-Type"] == kind


@pytest.mark.parametrize("case", GOLDEN)
def test_a_reply_gives_whole_tensors(case: Any) -> None:
    """Nested and flat, JSON and binary, also side by side."""
    response = inferred(backend(case).decode(request(case), golden_reply(case)))

    assert response.outputs == tensors(case["expect"]["outputs"])
    assert (response.id, response.model) == (case["expect"]["id"], case["expect"]["model"])
    assert response.raw == case["reply"]
    assert response.usage.total_tokens is None


@pytest.mark.parametrize("case", GOLDEN)
def test_a_reply_cut_anywhere_is_an_error(case: Any) -> None:
    """Also where the cut leaves whole elements."""
    whole = golden_reply(case)
    for end in range(len(whole.body)):
        cut = WireResponse(status=200, headers=whole.headers, body=whole.body[:end])
        with pytest.raises(DecodeError):
            backend(case).decode(request(case), cut)


def test_the_captured_example_of_the_reference_client_is_the_same() -> None:
    """FP32 [2, 3] and BYTES [2]: 24 and 13 bytes behind the JSON."""
    floats = np.arange(6, dtype=np.float32).reshape(2, 3)
    inputs = {"f": as_tensor(floats), "t": as_tensor(["ab", "cde"])}
    made = OVMS().encode(InferRequest(model="m", inputs=inputs))

    assert made.body is not None
    assert made.body.endswith(floats.tobytes() + b"\x02\0\0\0ab\x03\0\0\0cde")


@pytest.mark.parametrize(
    ("model", "version", "path"),
    [
        ("m", None, "/v2/models/m/infer"),
        ("org/m 1", "2", "/v2/models/org%2Fm%201/versions/2/infer"),
    ],
)
def test_the_path_names_model_and_version(model: str, version: str | None, path: str) -> None:
    """Percent-encoded: a slash in a name is not one of the path."""
    inputs = {"x": Tensor(datatype="BOOL", shape=(1,), data=[True])}

    assert OVMS().encode(InferRequest(model=model, version=version, inputs=inputs)).path == path


def test_the_callers_extras_are_merged_into_the_json() -> None:
    """And the header counts them."""
    extra = Extra(body={"id": "7"}, query={"q": "1"}, headers={"X": "y"})
    made = OVMS().encode(one("UINT8", (2,), b"\x01\x02", extra=extra))

    assert made.headers is not None
    assert made.body is not None
    head = int(made.headers[LENGTH])
    assert json.loads(made.body[:head])["id"] == "7"
    assert made.body[head:] == b"\x01\x02"
    assert made.path.endswith("/infer?q=1")
    assert made.headers["X"] == "y"


@pytest.mark.parametrize("data", [bytearray(b"\0\0\x80?"), memoryview(array("f", [1])), array("f", [1])])
def test_any_buffer_or_array_is_taken(data: Any) -> None:
    """Whatever holds the bytes."""
    made = OVMS().encode(one("FP32", (1,), data))

    assert made.body is not None
    assert made.body.endswith(b"\0\0\x80?")
    half = OVMS().encode(one("FP16", (1,), array("f", [1])))
    assert half.body is not None
    assert half.body.endswith(b"\0\x3c")
    plain = OVMS(binary=False).encode(one("FP32", (1,), data))
    assert plain.body is not None
    assert json.loads(plain.body)["inputs"][0]["data"] == [1.0]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize(
    ("datatype", "shape", "data"),
    [
        ("FP32", (2,), b"\0" * 7),
        ("FP32", (3,), b"\0" * 8),
        ("FP32", (3,), [1.0, 2.0]),
        ("FP32", (-1,), [1.0]),
        ("FP32", (True,), [1.0]),
        ("FP32", (1,) * 65, [1.0]),
        ("FP32", (1,), ["a"]),
        ("INT8", (1,), [128]),
        ("UINT8", (1,), [-1]),
        ("INT64", (1,), [1.5]),
        ("FP16", (1,), [1e6]),
        ("BF16", (1,), [1e300]),
        ("FP32", (1,), [1e39]),
        ("FP16", (1,), ["a"]),
        ("BOOL", (1,), [2]),
        ("BYTES", (1,), b"\x05\0\0\0abc"),
        ("BYTES", (1,), b"\x05\0"),
        ("BYTES", (2,), b"\x01\0\0\0a"),
        ("BYTES", (1,), [7]),
        ("FP8", (1,), [1.0]),
        ("FP8", (1,), b"\0"),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused_before_it_is_sent(
    binary: bool, datatype: str, shape: tuple[int, ...], data: Any
) -> None:
    """The message names the input."""
    with pytest.raises(ConfigError, match="input 'x'"):
        OVMS(binary=binary).encode(one(datatype, shape, data))


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("FP16", [1.0]),
        ("BF16", b"\0\0"),
        ("FP32", [float("nan")]),
        ("FP64", b"\0\0\0\0\0\0\xf0\x7f"),
        ("BYTES", [b"\xff"]),
        ("BYTES", b"\x01\0\0\0\xff"),
    ],
)
def test_what_json_can_not_say_is_refused_where_binary_can(datatype: str, data: Any) -> None:
    """Half precision, NaN, infinity and bytes that are no text: never null or garbage in their place."""
    OVMS().encode(one(datatype, (1,), data))

    with pytest.raises(ConfigError, match="input 'x'"):
        OVMS(binary=False).encode(one(datatype, (1,), data))


def test_no_inputs_or_no_model_are_refused() -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigError, match="inputs is empty"):
        OVMS().encode(InferRequest(model="m", inputs={}))
    with pytest.raises(ConfigError, match="write ovms:model"):
        OVMS().encode(InferRequest(model="", inputs={}))


def output(**fields: Any) -> dict[str, Any]:
    """A reply with one output, changed."""
    return {"outputs": [{"name": "y", "shape": [2], "datatype": "INT8", "data": [1, 2], **fields}]}


def raw_output(size: Any = 2, **fields: Any) -> dict[str, Any]:
    """A reply with one binary output, changed."""
    described = {"name": "y", "shape": [2], "datatype": "INT8", "parameters": {"binary_data_size": size}}
    return {"outputs": [{**described, **fields}]}


@pytest.mark.parametrize(
    ("data", "tail"),
    [
        ({}, b""),
        ({"outputs": []}, b""),
        ({"outputs": {"y": 1}}, b""),
        ({"outputs": [None]}, b""),
        (output(name=None), b""),
        (output(shape=[3]), b""),
        (output(shape=[1.0]), b""),
        (output(shape="2"), b""),
        (output(shape=[2**63] * 64), b""),
        (output(datatype="INT9"), b""),
        (output(datatype=["INT8"]), b""),
        (output(data=[1, 128]), b""),
        (output(data=[1, True]), b""),
        (output(datatype="FP32", data=[1, -1e39]), b""),
        (output(datatype="FP16", data=[1, 1e6]), b""),
        (output(data=[1, None]), b""),
        (output(data=[[1], 2]), b""),
        (output(data={"0": 1, "1": 2}), b""),
        (output(parameters={"binary_data_size": 2}), b"ab"),
        (output(), b"ab"),
        ({"outputs": output()["outputs"] * 2}, b""),
        (raw_output(), b""),
        (raw_output(), b"a"),
        (raw_output(), b"abc"),
        (raw_output(3), b"abc"),
        (raw_output(-1), b"ab"),
        (raw_output(True), b"ab"),
        (raw_output("2"), b"ab"),
        (raw_output(datatype="FP32"), b"ab"),
        (raw_output(datatype="BYTES"), b"ab"),
        (raw_output(datatype="FP8"), b"ab"),
        (raw_output(parameters=[2]), b"ab"),
    ],
)
def test_a_reply_of_another_shape_is_a_decode_error(data: Any, tail: bytes) -> None:
    """A short, long or misaligned tensor is never taken for a whole one."""
    with pytest.raises(DecodeError):
        OVMS().decode(one("INT8", (1,), b"\0"), reply(data, tail))


def test_an_output_that_was_asked_for_must_be_there() -> None:
    """Others may be."""
    with pytest.raises(DecodeError, match="no output z"):
        OVMS().decode(one("INT8", (1,), b"\0", outputs=("y", "z")), reply(output()))


@pytest.mark.parametrize("said", ["", "-1", "9" * 30, "99999", "x", "\u0662", "3"])
def test_a_header_that_gives_no_length_is_a_decode_error(said: str) -> None:
    """Also one that cuts the JSON."""
    body = json.dumps(raw_output()).encode() + b"ab"
    with pytest.raises(DecodeError):
        OVMS().decode(one("INT8", (1,), b"\0"), WireResponse(status=200, headers={LENGTH: said}, body=body))


def test_no_content_is_an_empty_answer() -> None:
    """A demultiplexer found nothing."""
    response = OVMS().decode(one("INT8", (1,), b"\0"), WireResponse(status=204, headers={}, body=b""))

    assert response == InferResponse(model="m")


def test_an_error_in_a_200_is_that_error() -> None:
    """Whatever stands behind it."""
    with pytest.raises(ServerError, match="out of memory"):
        OVMS().decode(one("INT8", (1,), b"\0"), reply({"error": "out of memory"}, b"\0\xff"))


def test_bfloat16_comes_back_as_floats() -> None:
    """Packed by us, and read by numpy, which has no such type."""
    values = [1.0, -2.5, float("inf"), 3.0e38]
    made = OVMS().encode(one("BF16", (2, 2), values))
    assert made.body is not None
    tensor = Tensor(datatype="BF16", shape=(2, 2), data=made.body[-8:])

    assert tensor.numpy().tolist() == [[1.0, -2.5], [float("inf"), pytest.approx(3.0e38, rel=0.01)]]
    assert Tensor(datatype="BF16", shape=(1,), data=[1.5]).numpy().tolist() == [1.5]
    nan = OVMS().encode(one("BF16", (1,), [float("nan")]))
    assert nan.body is not None
    assert np.isnan(Tensor(datatype="BF16", shape=(1,), data=nan.body[-2:]).numpy()).all()


@pytest.mark.parametrize("value", [None, [None], [{"a": 1}], [10**30], np.array([1, "a"], dtype=object)])
def test_what_is_no_tensor_is_refused_as_such(value: Any) -> None:
    """Never as many zero bytes as a number says."""
    with pytest.raises(ValueError, match="a tensor can't hold"):
        as_tensor(value)
