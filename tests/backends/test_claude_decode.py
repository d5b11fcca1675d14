"""Claude's whole replies, models and errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.backends.claude import backend
from asyncapi.errors import (
    AsyncAPIError,
    AuthenticationError,
    ContextLengthError,
    DecodeError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    ProviderError,
    QuotaExhaustedError,
    RateLimitError,
    ServerError,
)
from asyncapi.types.messages import Message, RawPart, Reasoning, Text, ToolCall
from asyncapi.types.requests import ChatRequest, ModelsRequest
from asyncapi.types.responses import ChatResponse, ModelsResponse
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireResponse

GOLDEN = Path(__file__).parent / "golden" / "claude"
MESSAGE = json.loads((GOLDEN / "message.json").read_text())["reply"]
MODELS = json.loads((GOLDEN / "models.json").read_text())["reply"]
ASK = ChatRequest(model="claude-sonnet-5", messages=(Message("user", "Hello"),))


def reply(body: Any, status: int = 200, **headers: str) -> WireResponse:
    """A reply with this JSON, or these bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WireResponse(
        status=status, headers={k.replace("_", "-"): v for k, v in headers.items()}, body=data
    )


def decode(body: Any, **headers: str) -> ChatResponse:
    """The answer to a chat."""
    response = backend.decode(ASK, reply(body, 200, **headers))
    assert isinstance(response, ChatResponse)
    return response


def changed(**fields: Any) -> dict[str, Any]:
    """The golden message with other fields; None removes one."""
    return {name: value for name, value in {**MESSAGE, **fields}.items() if value is not ...}


def test_a_message_is_read_into_the_normal_form() -> None:
    """Every block has its part, in order, and usage is inclusive."""
    response = decode(MESSAGE, request_id="req_1")

    blocks = MESSAGE["content"]
    assert response.outputs[0].parts == (
        Reasoning(text="The user wants weather.", provider="claude", provider_data=blocks[0]),
        Reasoning(provider="claude", provider_data=blocks[1]),
        RawPart(provider="claude", data=blocks[2]),
        Text("Let me check."),
        ToolCall(id="toolu_01T1x", name="get_weather", arguments='{"city":"Oslo"}'),
        ToolCall(id="toolu_02", name="now", arguments="{}", provider="claude", provider_data=blocks[5]),
    )
    assert (response.id, response.model) == ("msg_01XFDUDYJgAACzvnptvVoYEL", "claude-sonnet-5-5")
    assert (response.finish_reason, response.outputs[0].raw_reason) == ("tool_calls", "tool_use")
    assert response.provider_request_id == "req_1"
    assert response.raw == MESSAGE
    assert response.usage == Usage(
        input_tokens=21 + 188 + 2048,
        output_tokens=95,
        cache_read_tokens=2048,
        cache_write_tokens=188,
        reasoning_tokens=40,
        source="reported",
    )


def test_an_answer_goes_back_unchanged() -> None:
    """Signatures and hosted tools survive the round trip to the byte."""
    request = ChatRequest(model="m", messages=(*ASK.messages, decode(MESSAGE).message))
    body = json.loads(backend.encode(request).body or b"")

    assert body["messages"][1]["content"] == MESSAGE["content"]


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("pause_turn", "pause"),
        ("model_context_window_exceeded", "context_overflow"),
        ("something_new", "other"),
    ],
)
def test_stop_reasons_have_normal_names(raw: str, normal: str) -> None:
    """The service's own word is kept beside."""
    output = decode(changed(stop_reason=raw, content=[{"type": "text", "text": "Hi"}])).outputs[0]

    assert (output.finish_reason, output.raw_reason) == (normal, raw)


def test_a_stop_with_tool_calls_means_tool_calls() -> None:
    """Look-alikes of the service end the turn so."""
    assert decode(changed(stop_reason="end_turn")).finish_reason == "tool_calls"


def test_a_stop_sequence_is_told() -> None:
    """Which one it was can be read."""
    body = changed(stop_reason="stop_sequence", stop_sequence="END", content=[])

    assert (decode(body).finish_reason, decode(body).outputs[0].stop_sequence) == ("stop", "END")


@pytest.mark.parametrize(
    ("details", "text"),
    [
        ({"type": "refusal", "explanation": "No."}, "No."),
        ({"type": "refusal", "explanation": None}, ""),
        (None, ""),
    ],
)
def test_a_refusal_is_explained_where_the_service_does(details: Any, text: str) -> None:
    """The finish reason says refusal in any case."""
    output = decode(changed(stop_reason="refusal", stop_details=details, content=[])).outputs[0]

    assert (output.finish_reason, output.refusal) == ("refusal", text)


@pytest.mark.parametrize("usage", [None, [], {}, {"input_tokens": True, "output_tokens": "5"}])
def test_absent_counts_are_unknown(usage: Any) -> None:
    """Absent is not zero, and a wrong count costs nobody the answer."""
    found = decode(changed(usage=usage)).usage

    assert (found.input_tokens, found.output_tokens, found.total_tokens) == (None, None, None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b"null",
        json.dumps(MESSAGE).encode()[:-1],
        changed(stop_reason=None),
        changed(id=5),
        changed(model=...),
        changed(content={}),
        changed(content=["text"]),
        changed(content=[{"type": "text"}]),
        changed(content=[{"type": "tool_use", "id": "a", "name": "f", "input": "{}"}]),
        changed(content=[{"type": "thinking", "thinking": None}]),
        changed(content=[{"no": "type"}]),
    ],
)
def test_what_is_no_whole_message_is_a_decode_error(body: Any) -> None:
    """The bytes are kept."""
    with pytest.raises(DecodeError) as caught:
        backend.decode(ASK, reply(body))

    assert caught.value.body == reply(body).body


def test_an_error_inside_a_200_is_raised() -> None:
    """Some gateways answer errors with the wrong status."""
    with pytest.raises(OverloadedError):
        decode({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})


def test_models_are_listed_with_their_limits() -> None:
    """A list that goes on says so."""
    response = backend.decode(ModelsRequest(), reply(MODELS, request_id="req_2"))

    assert isinstance(response, ModelsResponse)
    first, second = response.models
    assert (first.id, first.created) == ("claude-sonnet-5-5", 1785542400.0)
    assert (first.context_length, first.max_output_tokens) == (1_000_000, 128_000)
    assert (second.id, second.created, second.context_length) == ("claude-old", None, None)
    assert "after_id=claude-old" in response.warnings[0]
    assert backend.decode(ModelsRequest(), reply({"data": []})).warnings == ()


@pytest.mark.parametrize("body", [{"data": {}}, {}, {"data": [{"id": 1}]}, {"data": [1]}])
def test_what_is_no_list_of_models_is_a_decode_error(body: Any) -> None:
    """Never a short list."""
    with pytest.raises(DecodeError):
        backend.decode(ModelsRequest(), reply(body))


def failure(kind: str, message: str = "no", **details: str) -> dict[str, Any]:
    """An error envelope."""
    error = {"type": kind, "message": message, **({"details": details} if details else {})}
    return {"type": "error", "error": error, "request_id": "req_3"}


@pytest.mark.parametrize(
    ("status", "body", "expected", "retryable"),
    [
        (400, failure("invalid_request_error"), InvalidRequestError, False),
        (
            400,
            failure("invalid_request_error", "You have reached your spend limit."),
            QuotaExhaustedError,
            False,
        ),
        (400, failure("invalid_request_error", "prompt is too long: 9 > 8"), ContextLengthError, False),
        (401, failure("authentication_error"), AuthenticationError, False),
        (402, failure("billing_error"), QuotaExhaustedError, False),
        (403, failure("permission_error"), PermissionDeniedError, False),
        (404, failure("not_found_error"), NotFoundError, False),
        (409, failure("conflict_error"), InvalidRequestError, True),
        (413, b"<html>Cloudflare</html>", ContextLengthError, False),
        (429, failure("rate_limit_error"), RateLimitError, True),
        (429, failure("rate_limit_error", error_code="ramp_limit_exceeded"), RateLimitError, True),
        (
            429,
            failure("rate_limit_error", error_code="enforced_spend_limit_reached"),
            QuotaExhaustedError,
            False,
        ),
        (500, failure("api_error"), ServerError, True),
        (504, failure("timeout_error"), ServerError, True),
        (529, failure("overloaded_error"), OverloadedError, True),
        (502, b"", ServerError, True),
    ],
)
def test_errors_have_their_classes(
    status: int, body: Any, expected: type[ProviderError], retryable: bool
) -> None:
    """By error code, then type, then status; money is never retried."""
    error = backend.error(reply(body, status))

    assert type(error) is expected
    assert error.retryable is retryable


def test_an_error_tells_its_request_id_and_delay() -> None:
    """From the header without an x-, or from the body."""
    error = backend.error(reply(failure("rate_limit_error"), 429, retry_after="7"))

    assert isinstance(error, ProviderError)
    assert (error.provider_request_id, error.retry_after) == ("req_3", 7.0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def mutated(value: Any, path: list[int], replacement: Any) -> Any:
    """The value with the one at the end of a walk replaced."""
    if not path or not isinstance(value, dict | list) or not value:
        return replacement
    if isinstance(value, dict):
        key = list(value)[path[0] % len(value)]
        return {**value, key: mutated(value[key], path[1:], replacement)}
    index = path[0] % len(value)
    return [*value[:index], mutated(value[index], path[1:], replacement), *value[index + 1 :]]


@settings(deadline=None)
@given(path=st.lists(st.integers(0, 20), max_size=5), replacement=JSON)
def test_a_reply_with_any_value_replaced_is_read_or_refused(path: list[int], replacement: Any) -> None:
    """Whatever arrives, the caller sees an answer of the promised types or an AsyncAPIError."""
    for request, golden in ((ASK, MESSAGE), (ModelsRequest(), MODELS)):
        try:
            response = backend.decode(request, reply(mutated(golden, path, replacement)))
        except AsyncAPIError:
            continue
        if isinstance(response, ChatResponse):
            assert isinstance(response.text + response.reasoning + response.id + response.model, str)
            assert all(isinstance(call.arguments, str) for call in response.tool_calls)


@settings(deadline=None)
@given(cut=st.integers(0, 10_000))
def test_a_cut_reply_is_refused(cut: int) -> None:
    """No prefix of an answer passes for the answer."""
    data = json.dumps(MESSAGE).encode()

    with pytest.raises(DecodeError):
        backend.decode(ASK, reply(data[: cut % len(data)]))


@settings(deadline=None)
@given(data=st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Garbage is an AsyncAPIError."""
    with pytest.raises(AsyncAPIError):
        backend.decode(ASK, reply(data))
    assert isinstance(backend.error(reply(data, 500)), AsyncAPIError)
