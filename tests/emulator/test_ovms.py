"""OVMS, read by hand: tensors as JSON and as bytes, its errors, the legacy routes, the generative ones."""

import base64
import json
import struct
from typing import Any

import pytest

from asyncapi.emulator import Emulator, answer_text

from .wire import Got, Wire

LENGTH = "Inference-Header-Content-Length"
USER = [{"role": "user", "content": "Hello"}]


def tensor(name: str = "input0", datatype: str = "FP32", shape: Any = (2,), data: Any = (1, 2)) -> Any:
    """An input as JSON."""
    return {"name": name, "datatype": datatype, "shape": list(shape), "data": data}


async def infer(wire: Wire, model: str, *inputs: Any, **fields: Any) -> Got:
    """Run a model on JSON tensors."""
    return await wire.post(f"/ovms/v2/models/{model}/infer", {"inputs": list(inputs), **fields})


async def infer_raw(wire: Wire, model: str, head: Any, *blocks: bytes) -> Got:
    """Run a model on tensors whose bytes stand behind the JSON."""
    front = json.dumps(head).encode()
    path = f"/ovms/v2/models/{model}/infer"
    return await wire.post(path, headers={LENGTH: str(len(front))}, raw=front + b"".join(blocks))


def split(got: Got) -> tuple[Any, bytes]:
    """The JSON of a binary reply and what stands behind it."""
    length = int(got.headers[LENGTH])
    return json.loads(got.body[:length]), got.body[length:]


async def test_double_keeps_shape_and_datatype(wire: Wire) -> None:
    """Nested data is flattened, the id comes back."""
    got = await infer(wire, "double", tensor(shape=(2, 2), data=[[1, 2.5], [3, 4]]), id="42")

    output = {"name": "output0", "shape": [2, 2], "datatype": "FP32", "data": [2, 5, 6, 8]}
    assert got.json == {"model_name": "double", "model_version": "1", "id": "42", "outputs": [output]}


@pytest.mark.parametrize(
    ("datatype", "data", "doubled"),
    [
        ("INT8", [100, -100], [-56, 56]),
        ("UINT8", [200, 1], [144, 2]),
        ("INT64", [2**62, 1], [-(2**63), 2]),
        ("BOOL", [True, False], [True, False]),
        ("FP64", [0.1, 1], [0.2, 2]),
        ("FP32", [3e38, -3e38], [None, None]),
        ("BYTES", ["ab", ""], ["abab", ""]),
    ],
)
async def test_numbers_wrap_as_their_datatype_does(
    wire: Wire, datatype: str, data: Any, doubled: Any
) -> None:
    """Integers wrap round, floats overflow to infinity (null in JSON), bytes repeat."""
    got = await infer(wire, "double", tensor(datatype=datatype, data=data))

    assert got.json["outputs"][0]["data"] == doubled


async def test_add_and_echo(wire: Wire) -> None:
    """Two inputs by name, in any order; every input by its own name."""
    added = await infer(wire, "add", tensor("input1", data=[10, 20]), tensor("input0"))
    echoed = await infer(wire, "echo", tensor("a"), tensor("b", "INT32"), outputs=[{"name": "b"}])

    assert added.json["outputs"][0]["data"] == [11, 22]
    assert [(item["name"], item["datatype"]) for item in echoed.json["outputs"]] == [("b", "INT32")]


async def test_bytes_go_both_ways(wire: Wire) -> None:
    """Raw tensors behind the JSON, in order; strings have lengths in front; outputs by request."""
    floats = struct.pack("<6f", *range(6))
    strings = b"\x02\0\0\0ab\x03\0\0\0cde"
    head = {
        "inputs": [
            {"name": "x", "shape": [2, 3], "datatype": "FP32", "parameters": {"binary_data_size": 24}},
            {"name": "s", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 13}},
        ],
    }
    everything = await infer_raw(
        wire, "echo", {**head, "parameters": {"binary_data_output": True}}, floats, strings
    )
    outputs = [{"name": "x", "parameters": {"binary_data": True}}, {"name": "s"}]
    one = await infer_raw(wire, "echo", {**head, "outputs": outputs}, floats, strings)

    front, back = split(everything)
    assert back == floats + strings
    assert [item["parameters"]["binary_data_size"] for item in front["outputs"]] == [24, 13]
    assert everything.headers["content-type"] == "application/octet-stream"
    front, back = split(one)
    assert back == floats
    assert front["outputs"][1]["data"] == ["ab", "cde"]


async def test_half_precision_is_always_raw(wire: Wire) -> None:
    """JSON cannot carry it, neither in nor out."""
    head = {
        "inputs": [
            {"name": "input0", "shape": [2], "datatype": "FP16", "parameters": {"binary_data_size": 4}}
        ]
    }
    got = await infer_raw(wire, "double", head, struct.pack("<2e", 1.5, 40000))
    refused = await infer(wire, "double", tensor(datatype="FP16"))

    assert struct.unpack("<2e", split(got)[1]) == (3.0, float("inf"))
    assert refused.status == 400


async def test_a_fixed_model_takes_one_shape(wire: Wire) -> None:
    """Another batch size and another shape are told apart."""
    good = await infer(wire, "fixed", tensor(shape=(2, 3), data=[1] * 6))
    batch = await infer(wire, "fixed", tensor(shape=(3, 3), data=[1] * 9))
    shape = await infer(wire, "fixed", tensor(shape=(2, 4), data=[1] * 8))
    precision = await infer(wire, "fixed", tensor(datatype="INT32", shape=(2, 3), data=[1] * 6))

    assert good.status == 200
    assert batch.json == {"error": "Invalid input batch size - Expected: 2; Actual: 3"}
    assert shape.json == {"error": "Invalid input shape - Expected: (2,3); Actual: (2,4)"}
    assert "precision - Expected: FP32; Actual: INT32" in precision.json["error"]


@pytest.mark.parametrize(
    ("model", "inputs", "words"),
    [
        ("double", [], "at least one"),
        ("double", [tensor("x")], "Required input: input0"),
        ("double", [tensor(), tensor("x")], "Expected: 1; Actual: 2"),
        ("double", [{"name": "input0", "shape": [1]}], "precision"),
        ("double", [{"name": "input0", "shape": [1], "datatype": "FP32"}], "Missing data"),
        ("double", [{"datatype": "FP32"}], "name and shape"),
        ("double", [tensor(shape=(-1,))], "negative"),
        ("double", [tensor(shape=(3,))], "Expected: 3; Actual: 2"),
        ("double", [tensor(datatype="INT8", data=[1, 300])], "Could not parse"),
        ("add", [tensor(), tensor("input1", "FP64")], "same shape and precision"),
    ],
)
async def test_wrong_tensors_are_refused(wire: Wire, model: str, inputs: Any, words: str) -> None:
    """400 with the server's words."""
    got = await infer(wire, model, *inputs)

    assert got.status == 400
    assert words in got.json["error"]


@pytest.mark.parametrize(
    ("datatype", "size", "block", "words"),
    [
        ("FP32", 4, b"\0" * 4, "Expected: 8; Actual: 4"),
        ("FP32", 8, b"\0" * 9, "binary_data_size does not match"),
        ("BYTES", 6, b"\x02\0\0\0ab", "lengths do not match"),
        ("BYTES", 12, b"\x09\0\0\0ab\x02\0\0\0ab", "lengths do not match"),
    ],
)
async def test_wrong_bytes_are_refused(
    wire: Wire, datatype: str, size: int, block: bytes, words: str
) -> None:
    """Lengths must match, in the header and in the strings."""
    item = {"name": "x", "shape": [2], "datatype": datatype, "parameters": {"binary_data_size": size}}
    got = await infer_raw(wire, "echo", {"inputs": [item]}, block)

    assert got.status == 400
    assert words in got.json["error"]


async def test_places_that_are_not_there(wire: Wire) -> None:
    """Models, versions, outputs, verbs, JSON."""
    paths = ["nobody/infer", "double/versions/9/infer", "double/explain"]
    lost = [(await wire.post(f"/ovms/v2/models/{path}", {"inputs": [tensor()]})).status for path in paths]
    verb = await wire.get("/ovms/v2/models/double/stats")
    output = await infer(wire, "double", tensor(), outputs=[{"name": "nope"}])
    broken = await wire.post("/ovms/v2/models/double/infer", raw=b'{"inputs":')
    good = await wire.post("/ovms/v2/models/double/versions/1/infer", {"inputs": [tensor()]})

    assert lost == [404, 404, 404]
    assert (verb.status, output.status, good.status) == (404, 400, 200)
    assert (broken.status, broken.json) == (412, {"error": "Invalid JSON structure"})


async def test_the_server_tells_of_itself(wire: Wire) -> None:
    """Health without bodies, readiness, signatures, configuration."""
    live = await wire.get("/ovms/v2/health/live")
    ready = await wire.get("/ovms/v2/models/add/ready")
    server = await wire.get("/ovms/v2")
    meta = await wire.get("/ovms/v2/models/fixed/versions/1")
    anything = await wire.get("/ovms/v2/models/echo")
    config = await wire.get("/ovms/v1/config")
    reload = await wire.post("/ovms/v1/config/reload", raw=b"")

    assert [(got.status, got.body) for got in (live, ready)] == [(200, b"")] * 2
    assert "binary_tensor_data" in server.json["extensions"]
    assert meta.json["inputs"] == [{"name": "input0", "datatype": "FP32", "shape": [2, 3]}]
    assert anything.json["inputs"] == []
    assert config.json == reload.json
    assert config.json["double"]["model_version_status"][0]["state"] == "AVAILABLE"


async def predict(wire: Wire, model: str, body: Any) -> Got:
    """Run a model the old way."""
    return await wire.post(f"/ovms/v1/models/{model}:predict", body)


async def test_the_old_way_takes_rows_and_columns(wire: Wire) -> None:
    """Rows give predictions, columns give outputs; several outputs are named; bytes are b64."""
    rows = await predict(wire, "double", {"instances": [[1, 2], [3, 4]]})
    named = await predict(wire, "add", {"instances": [{"input0": [1], "input1": [2]}]})
    several = await predict(wire, "echo", {"instances": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]})
    columns = await predict(wire, "double/versions/1", {"inputs": {"input0": [[1, 2]]}})
    both = await predict(wire, "echo", {"inputs": {"a": [1], "b": [2]}})
    bare = await predict(wire, "double", {"inputs": [1.5]})
    scalar = await predict(wire, "double", {"inputs": 1.5})
    b64 = base64.b64encode(b"ab").decode()
    image = await predict(wire, "double", {"instances": [{"b64": b64}]})
    text = await predict(wire, "echo", {"inputs": "ab"})

    assert rows.json == {"predictions": [[2, 4], [6, 8]]}
    assert named.json == {"predictions": [[3]]}
    assert several.json == {"predictions": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]}
    assert columns.json == {"outputs": [[2, 4]]}
    assert both.json == {"outputs": {"a": [1], "b": [2]}}
    assert (bare.json, scalar.json) == ({"outputs": [3]}, {"outputs": 3})
    assert base64.b64decode(image.json["predictions"][0]["b64"]) == b"abab"
    assert text.json == {"outputs": {"b64": b64}}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "Missing instances"),
        ({"instances": []}, "at least one row"),
        ({"instances": [[1, 2], [3]]}, "rows differ"),
        ({"instances": [{"b64": "?"}]}, "b64 expected"),
    ],
)
async def test_wrong_rows_are_refused(wire: Wire, body: Any, words: str) -> None:
    """400, in a text."""
    got = await predict(wire, "double", body)

    assert got.status == 400
    assert words in got.json["error"]


async def test_the_old_status_and_metadata(wire: Wire) -> None:
    """As TensorFlow Serving words them; other verbs are unknown."""
    status = await wire.get("/ovms/v1/models/double")
    meta = await wire.get("/ovms/v1/models/double/versions/1/metadata")
    verb = await wire.post("/ovms/v1/models/double:classify", {})

    assert status.json["model_version_status"][0]["version"] == "1"
    serving = meta.json["metadata"]["signature_def"]["signatureDef"]["serving_default"]
    assert list(serving["inputs"]) == ["input0"]
    assert verb.status == 404


@pytest.mark.parametrize("version", ["v3", "v1"])
async def test_generative_routes_have_no_ids(emulator: Emulator, wire: Wire, version: str) -> None:
    """Chat, its stream, completions: the OpenAI dialect with a text as its error."""
    body = {"model": "m", "messages": USER, "reasoning_effort": "low"}
    chat = await wire.post(f"/ovms/{version}/chat/completions", body)
    stream = await wire.post(f"/ovms/{version}/chat/completions", {**body, "stream": True})
    text = await wire.post(f"/ovms/{version}/completions", {"model": "m", "prompt": "Hello"})
    bad = await wire.post(f"/ovms/{version}/completions", {"prompt": "Hello"})
    emulator.script(["stream_error"])
    broken = await wire.post(f"/ovms/{version}/chat/completions", {**body, "stream": True})

    assert chat.json["choices"][0]["message"]["content"] == answer_text(0, "m", "Hello")
    assert "id" not in chat.json
    assert "id" not in text.json
    first = stream.events[0]["choices"][0]["delta"]
    assert (first["role"], first["content"]) == ("assistant", None)
    assert "reasoning_content" in stream.events[1]["choices"][0]["delta"]
    assert isinstance(bad.json["error"], str)
    assert broken.body.endswith(b'}\n\n{"error":"Mediapipe execution failed. MP status - INTERNAL"}')


async def test_ranking_tokens_vectors_and_models(wire: Wire) -> None:
    """The rest of the generative routes."""
    documents = ["the sea", "a hill"]
    ranking = {"model": "m", "query": "sea", "documents": documents}
    ranked = await wire.post("/ovms/v3/rerank", {**ranking, "return_documents": True})
    best = await wire.post("/ovms/v3/rerank", {**ranking, "top_n": 1})
    many = await wire.post("/ovms/v3/rerank", {**ranking, "documents": ["x"] * 101})
    none = await wire.post("/ovms/v3/rerank", {"model": "m"})
    one = await wire.post("/ovms/v3/tokenize", {"model": "m", "text": "Hello"})
    two = await wire.post("/ovms/v3/tokenize", {"model": "m", "text": ["Hello", "Hi"]})
    vectors = await wire.post("/ovms/v3/embeddings", {"model": "m", "input": "a"})
    sized = await wire.post("/ovms/v3/embeddings", {"model": "m", "input": "a", "dimensions": 3})
    models = await wire.get("/ovms/v1/models")
    model = await wire.get("/ovms/v3/models/OpenVINO/x")

    assert ranked.json["results"][0]["document"] == {"text": "the sea"}
    assert len(best.json["results"]) == 1
    assert (many.status, none.status, sized.status) == (400, 400, 400)
    assert (one.json, two.json) == ({"tokens": [1, 2]}, {"tokens": [[1, 2], [1]]})
    assert len(vectors.json["data"][0]["embedding"]) == 64
    assert models.json["object"] == "list"
    assert model.json["id"] == "OpenVINO/x"


async def test_records_know_model_and_inputs(emulator: Emulator, wire: Wire) -> None:
    """The model of the path; the same inputs have the same digest."""
    for _ in range(2):
        await infer(wire, "double", tensor())

    first, second = emulator.records
    assert first.model == "double"
    assert first.question == second.question
