"""The generic model-server protocol: any JSON in and out, tensors on top."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.backends.llvm import backend, item_errors
from asyncapi.errors import (
    AsyncAPIError,
    AuthenticationError,
    ConfigError,
    ContextLengthError,
    DecodeError,
    InvalidRequestError,
    NotFoundError,
    RateLimitError,
    ServerError,
    UnsupportedOperationError,
)
from asyncapi.types.requests import (
    EmbedRequest,
    InferRequest,
    ModelsRequest,
    NativeRequest,
    Request,
    TokenizeRequest,
)
from asyncapi.types.responses import EmbedResponse, InferResponse, Model, ModelsResponse, NativeResponse
from asyncapi.types.tensors import Tensor
from asyncapi.types.wire import WireResponse

from .openai_golden import reply
from .test_openai_fuzz import damaged

CASES = json.loads((Path(__file__).parent / "golden" / "llvm" / "replies.json").read_text())["cases"]
GOLDEN = [pytest.param(case, id=case["name"]) for case in CASES]
BATCH = NativeRequest(model="m", action="batch_infer", arguments={"inputs": ["a", "b"]})
EMBED = EmbedRequest(model="m", inputs=("a", "b"))


def native(case: Any) -> NativeRequest:
    """The request of a case."""
    return NativeRequest(model="bert-base", action=case["action"], arguments=case["arguments"])


def infer(inputs: dict[str, Tensor], **fields: Any) -> InferRequest:
    """Tensors to infer from."""
    return InferRequest(model="m", inputs=inputs, **fields)


def sent(request: Request) -> Any:
    """The JSON that is sent."""
    made = backend.encode(request)
    assert made.body is not None
    return json.loads(made.body)


@pytest.mark.parametrize("case", GOLDEN)
def test_an_action_is_sent_as_it_is(case: Any) -> None:
    """Any JSON."""
    made = backend.encode(native(case))

    assert (made.method, made.path) == ("POST", case["path"])
    assert sent(native(case)) == case["body"]


@pytest.mark.parametrize("case", GOLDEN)
def test_an_answer_gives_what_the_model_gave(case: Any) -> None:
    """The whole answer stays reachable."""
    response = backend.decode(native(case), reply(case["reply"]))

    assert isinstance(response, NativeResponse)
    assert response.result == case["result"]
    assert response.raw == case["reply"]
    assert [response.usage.input_tokens, response.usage.output_tokens] == case["usage"]
    assert list(response.warnings) == case["warnings"]
    assert response.model == "bert-base"


def test_a_failed_item_is_an_error_of_its_own() -> None:
    """By its place; an output that merely has an error among other fields is none."""
    results = [{"error": {"message": "too long", "type": "validation"}}, {"error": "", "label": 1}]
    response = backend.decode(BATCH, reply({"results": results}))
    assert isinstance(response, NativeResponse)
    found = item_errors(response)

    assert list(found) == [0]
    assert type(found[0]) is InvalidRequestError
    assert "too long" in str(found[0])
    text = backend.decode(BATCH, reply({"results": [1, {"error": "broken"}]}))
    assert isinstance(text, NativeResponse)
    assert type(item_errors(text)[1]) is ServerError
    assert item_errors(NativeResponse(result=7)) == {}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"results": [1]}, 200),
        ({"results": [1, 2, 3]}, 200),
        ({"results": "ab"}, 200),
        ({"results": None}, 200),
        ({}, 200),
        ([1, 2], 200),
        ({"results": [1, 2]}, 201),
    ],
)
def test_a_batch_of_another_length_or_status_fails_as_a_whole(body: Any, status: int) -> None:
    """No result could be told whose it is."""
    with pytest.raises(DecodeError):
        backend.decode(BATCH, reply(body, status))


@pytest.mark.parametrize(
    ("action", "method", "path"),
    [
        ("info", "GET", "/models/org%2Fm%3A1"),
        ("statistics", "GET", "/models/org%2Fm%3A1/statistics"),
        ("reload", "POST", "/models/org%2Fm%3A1/reload"),
        ("status", "GET", "/status"),
    ],
)
def test_ids_are_percent_encoded(action: str, method: str, path: str) -> None:
    """A slash in a model's id is not one of the path. None of these has a body."""
    made = backend.encode(NativeRequest(model="org/m:1", action=action))

    assert (made.method, made.path, made.body) == (method, path, None)


def test_other_actions_give_their_json_or_nothing() -> None:
    """A reload may say nothing, information may not."""
    loaded = backend.decode(NativeRequest(model="m", action="reload"), reply(b""))
    info = backend.decode(NativeRequest(model="m", action="info"), reply({"status": "loaded"}))

    assert isinstance(loaded, NativeResponse)
    assert loaded.result is None
    assert isinstance(info, NativeResponse)
    assert info.result == {"status": "loaded"}
    with pytest.raises(DecodeError):
        backend.decode(NativeRequest(model="m", action="info"), reply(b""))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (NativeRequest(model="m", action="infer"), "needs the argument 'input'"),
        (NativeRequest(model="m", action="batch_infer"), "needs the argument 'inputs'"),
        (NativeRequest(model="m", action="batch_infer", arguments={"inputs": "ab"}), "a list of inputs"),
        (NativeRequest(model="m", action="optimize"), "needs the argument 'optimization_type'"),
        (NativeRequest(model="", action="info"), "write llvm:model"),
        (EmbedRequest(model="", inputs=("a",)), "write llvm:model"),
        (infer({}, version="2"), "no versions"),
        (infer({"x": Tensor(datatype="FP32", shape=(3,), data=[1.0])}), "input 'x': 1 values"),
        (infer({"x": Tensor(datatype="FP32", shape=(1,), data=[float("nan")])}), "no NaN"),
    ],
)
def test_what_can_not_be_sent_is_refused(request_: Request, message: str) -> None:
    """Before anything is sent, with what is missing."""
    with pytest.raises(ConfigError, match=message):
        backend.encode(request_)


def test_unknown_actions_and_operations_are_refused() -> None:
    """With the known ones."""
    known = "batch_infer, infer, info, optimize, reload, statistics, status"
    with pytest.raises(UnsupportedOperationError, match=f"no action 'fly'; it has: {known}"):
        backend.encode(NativeRequest(model="m", action="fly"))
    for act in (backend.encode, lambda r: backend.decode(r, reply({}))):
        with pytest.raises(UnsupportedOperationError, match="llvm does not offer 'tokenize'"):
            act(TokenizeRequest(model="m", inputs=("a",)))


def test_tensors_are_sent_as_nested_lists() -> None:
    """By name; a scalar is no list, and half precision is a number as any other."""
    request = infer(
        {
            "a": Tensor(datatype="FP32", shape=(2, 1, 2), data=b"\0\0\x80?\0\0\0@\0\0\x40@\0\0\x80@"),
            "b": Tensor(datatype="BYTES", shape=(), data=[b"x"]),
            "c": Tensor(datatype="FP16", shape=(1,), data=b"\0\x3c"),
            "d": Tensor(datatype="BF16", shape=(1, 2), data=b"\x80\x3f\0\xc0"),
            "e": Tensor(datatype="INT8", shape=(2, 0), data=[]),
        },
        parameters={"k": 1},
    )

    assert backend.encode(request).path == "/models/m/infer"
    assert sent(request) == {
        "input": {"a": [[[1.0, 2.0]], [[3.0, 4.0]]], "b": "x", "c": [1.0], "d": [[1.0, -2.0]], "e": [[], []]},
        "parameters": {"k": 1},
    }


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ({"label": "POS", "score": 0.98}, {"label": ("BYTES", (), ["POS"]), "score": ("FP64", (), [0.98])}),
        ([[1, 2], [3, 4]], {"output": ("INT64", (2, 2), [1, 2, 3, 4])}),
        ([1, 2.5], {"output": ("FP64", (2,), [1, 2.5])}),
        (True, {"output": ("BOOL", (), [True])}),
        ({"x": [[], []]}, {"x": ("BOOL", (2, 0), [])}),
    ],
)
def test_outputs_that_are_tensors_are_read_as_such(outputs: Any, expected: Any) -> None:
    """An object's by name, anything else as the only one."""
    response = backend.decode(infer({}), reply({"model_id": "m1", "outputs": outputs}))

    assert isinstance(response, InferResponse)
    found = {name: (t.datatype, t.shape, t.data) for name, t in response.outputs.items()}
    assert found == expected
    assert response.model == "m1"
    assert {name: array.shape for name, array in response.numpy().items()} == {
        name: shape for name, (_, shape, _) in expected.items()
    }


@pytest.mark.parametrize(
    "outputs", [{}, None, [[1], 2], [1, [2]], [[1], [2, 3]], [1, "a"], [2**63], [{"a": 1}]]
)
def test_outputs_that_are_no_tensor_are_a_decode_error(outputs: Any) -> None:
    """Not to be asked for again: the native action gives them as they are."""
    with pytest.raises(DecodeError) as raised:
        backend.decode(infer({}), reply({"outputs": outputs}))
    assert raised.value.retryable is False


def test_chosen_outputs_are_given_alone() -> None:
    """A missing one is an error."""
    response = backend.decode(infer({}, outputs=("b",)), reply({"outputs": {"a": 1, "b": 2}}))

    assert isinstance(response, InferResponse)
    assert list(response.outputs) == ["b"]
    with pytest.raises(DecodeError, match="no output c"):
        backend.decode(infer({}, outputs=("c",)), reply({"outputs": {"a": 1}}))


def test_embeddings_travel_as_a_batch() -> None:
    """One list of numbers a text."""
    response = backend.decode(EMBED, reply({"results": [[1.0, 2], [3.0, 4]]}))

    assert backend.encode(EMBED).path == "/models/m/batch_infer"
    assert sent(EMBED) == {"inputs": ["a", "b"]}
    assert sent(EmbedRequest(model="m", inputs=("a",), dimensions=2))["parameters"] == {"dimensions": 2}
    assert isinstance(response, EmbedResponse)
    assert [list(vector) for vector in response.vectors] == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    "results", [[[1.0]], [[1.0], []], [[1.0], [True]], [[1.0], "x"], [[1.0], [1.0, 2.0]]]
)
def test_results_that_are_no_vectors_are_a_decode_error(results: Any) -> None:
    """Never a vector for the wrong text."""
    with pytest.raises(DecodeError):
        backend.decode(EMBED, reply({"results": results}))


def test_a_text_that_failed_fails_the_embedding() -> None:
    """As what its item says."""
    failed = {"error": {"message": "input too long", "type": "validation"}}
    with pytest.raises(InvalidRequestError, match="too long"):
        backend.decode(EMBED, reply({"results": [[1.0], failed]}))


@pytest.mark.parametrize(
    "body",
    [
        {"models": ["a", "b"]},
        ["a", {"name": "b"}],
        {"models": [{"id": "a"}, {"model_id": "b", "status": "x"}]},
    ],
)
def test_a_list_of_models_has_any_of_its_forms(body: Any) -> None:
    """Names or objects, bare or under ``models``."""
    assert backend.encode(ModelsRequest()).path == "/models"
    response = backend.decode(ModelsRequest(), reply(body))

    assert isinstance(response, ModelsResponse)
    assert [model.id for model in response.models] == ["a", "b"]
    assert all(isinstance(model, Model) and model.raw is not None for model in response.models)


@pytest.mark.parametrize("body", [{}, {"models": "ab"}, [1], [{"id": 7}], [{}], 7])
def test_a_list_without_names_is_a_decode_error(body: Any) -> None:
    """Each model has a name."""
    with pytest.raises(DecodeError):
        backend.decode(ModelsRequest(), reply(body))


@pytest.mark.parametrize("request_", [BATCH, EMBED, ModelsRequest(), infer({})])
def test_an_error_in_a_200_is_that_error(request_: Request) -> None:
    """Whatever was asked."""
    with pytest.raises(ServerError, match="gone"):
        backend.decode(request_, reply({"error": "gone"}))


@pytest.mark.parametrize(
    ("status", "body", "expected", "retryable"),
    [
        (400, {"error": "m"}, InvalidRequestError, False),
        (401, {"error": {"message": "m"}}, AuthenticationError, False),
        (404, {"error": ["m"]}, NotFoundError, False),
        (405, b"", InvalidRequestError, False),
        (408, b"", ServerError, True),
        (409, b"loading", InvalidRequestError, True),
        (413, b"", ContextLengthError, False),
        (422, b"m", InvalidRequestError, False),
        (425, b"m", RateLimitError, True),
        (429, b"m", RateLimitError, True),
        (500, b"m", ServerError, True),
    ],
)
def test_its_errors_are_told_apart(
    status: int, body: Any, expected: type[AsyncAPIError], retryable: bool
) -> None:
    """Any JSON under ``error``, or plain text."""
    found = backend.error(reply(body, status, {"Retry-After": "7"}))

    assert type(found) is expected
    assert found.retryable is retryable


def test_its_settings_are_found_in_the_environment() -> None:
    """Two names for the address, and a bearer key."""
    row = backend.service

    assert (row.base_url, row.url_env) == ("http://localhost:8090", ("LLVM_BASE_URL", "LLVM_API_URL"))
    assert (row.key_env, row.needs_key, row.streaming) == (("LLVM_API_KEY",), False, False)
    assert row.request_id_header == "X-Request-ID"
    assert backend.authorize("k") == {"Authorization": "Bearer k"}


FUZZED: list[tuple[Request, Any]] = [
    *((native(case), case["reply"]) for case in CASES),
    (infer({}), {"outputs": {"a": [[1, 2], [3, 4]], "b": "x"}, "metadata": {"usage": {"prompt_tokens": 1}}}),
    (EMBED, {"results": [[1.0, 2.0], [3.0, 4.0]]}),
    (ModelsRequest(), {"models": ["a", {"id": "b"}]}),
]


@pytest.mark.slow
@given(st.data())
@settings(max_examples=200)
def test_a_damaged_answer_is_an_answer_or_our_error(data: st.DataObject) -> None:
    """Tensors are whole, batches complete."""
    request, body = data.draw(st.sampled_from(FUZZED))
    try:
        response = backend.decode(request, reply(data.draw(damaged(body))))
    except AsyncAPIError:
        return
    if isinstance(response, InferResponse):
        assert all(tensor.numpy().shape == tensor.shape for tensor in response.outputs.values())
    if isinstance(response, EmbedResponse):
        assert len(response.vectors) == 2


@given(st.binary(max_size=40))
@settings(max_examples=50)
def test_any_bytes_are_our_error(body: bytes) -> None:
    """No bytes of this length hold an answer."""
    with pytest.raises(AsyncAPIError):
        backend.decode(BATCH, WireResponse(status=200, headers={}, body=body))
