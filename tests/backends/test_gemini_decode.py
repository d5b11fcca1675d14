"""Gemini's replies: whole, blocked, broken, and its errors."""

from __future__ import annotations

import json
from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.backends.gemini import backend
from asyncapi.errors import (
    AsyncAPIError,
    AuthenticationError,
    ContentRefusedError,
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
from asyncapi.types.messages import Image, Message, RawPart, Reasoning, Text, ToolCall
from asyncapi.types.requests import ChatRequest, CountTokensRequest, EmbedRequest, ModelsRequest, Request
from asyncapi.types.responses import ChatResponse, CountTokensResponse, EmbedResponse, ModelsResponse
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireResponse

from .damage import JSON, PATHS, mutated

FOLDER = Path(__file__).parent / "golden" / "gemini"
CHAT = json.loads((FOLDER / "chat.json").read_text())["reply"]
OTHERS = json.loads((FOLDER / "others.json").read_text())
ERRORS = json.loads((FOLDER / "errors.json").read_text())
ASK = ChatRequest(model="gemini-flash-latest", messages=(Message("user", "Hello"),))
COUNT = CountTokensRequest(model="gemini-3.5-flash", messages=ASK.messages)
TEXTS = EmbedRequest(model="gemini-embedding-001", inputs=("a", "b"))


def reply(body: Any, status: int = 200) -> WireResponse:
    """A reply with this JSON, or these bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WireResponse(status=status, headers={}, body=data)


def decode(body: Any) -> ChatResponse:
    """The answer to a chat."""
    response = backend.decode(ASK, reply(body))
    assert isinstance(response, ChatResponse)
    return response


def said(*parts: Any, reason: Any = "STOP", **fields: Any) -> dict[str, Any]:
    """A whole answer with these parts."""
    content = {"role": "model", "parts": list(parts)}
    return {"candidates": [{"content": content, "finishReason": reason}], **fields}


def test_an_answer_is_read_into_the_normal_form() -> None:
    """Thoughts, text, calls with ids for all, usage with the thoughts in the output."""
    response = decode(CHAT)

    thought, signed, call, bare = CHAT["candidates"][0]["content"]["parts"]
    assert response.outputs[0].parts == (
        Reasoning(text="Considering the city.", provider="gemini", provider_data=thought),
        Text("One moment."),
        Reasoning(provider="gemini", provider_data={"thoughtSignature": signed["thoughtSignature"]}),
        ToolCall(
            id="fc-1",
            name="get_weather",
            arguments='{"city":"Oslo"}',
            provider="gemini",
            provider_data=call,
        ),
        ToolCall(id="gen_mAitaLmkHPPlz7IPvtfUqQ4_0_1", name="now", arguments="{}", provider="gemini"),
    )
    assert bare == {"functionCall": {"name": "now"}}
    assert (response.id, response.model) == ("mAitaLmkHPPlz7IPvtfUqQ4", "gemini-3.5-flash")
    assert (response.finish_reason, response.outputs[0].raw_reason) == ("tool_calls", "STOP")
    assert response.usage == Usage(
        input_tokens=270, output_tokens=67, cache_read_tokens=200, reasoning_tokens=52, source="reported"
    )
    assert response.raw == CHAT


def test_an_answer_is_sent_back_as_it_came() -> None:
    """Each signature on its part, and no id that was made up here."""
    sent = json.loads(backend.encode(ChatRequest(model="m", messages=(decode(CHAT).message,))).body or b"")

    parts = [*CHAT["candidates"][0]["content"]["parts"][:3], {"functionCall": {"name": "now", "args": {}}}]
    assert sent["contents"] == [{"role": "model", "parts": parts}]


@pytest.mark.parametrize(
    "part",
    [
        {"inlineData": {"mimeType": "image/png", "data": "YWJj"}, "thoughtSignature": "A="},
        {"text": "", "thoughtSignature": "A="},
        {"inlineData": {"mimeType": "audio/L16;rate=24000", "data": "AAAA"}},
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"text": "Hm", "thought": True, "thoughtSignature": "A="},
    ],
)
def test_any_part_survives_the_round_trip(part: Any) -> None:
    """Also one that has no normal form."""
    message = decode(said(part)).message

    sent = json.loads(backend.encode(ChatRequest(model="m", messages=(message,))).body or b"")
    assert sent["contents"][0]["parts"] == [part]


def test_pictures_are_parts_of_their_own() -> None:
    """Other media and code stay as they are."""
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    response = decode(said({"inlineData": {"mimeType": "image/png", "data": "YWJj"}}, code, {"text": ""}))

    assert response.outputs[0].parts == (Image(data="YWJj"), RawPart(provider="gemini", data=code))


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("MODEL_ARMOR", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "error"),
        ("CONTINUATION", "pause"),
        ("NO_IMAGE", "other"),
        ("BRAND_NEW", "other"),
    ],
)
def test_finish_reasons_have_normal_names(raw: str, normal: str) -> None:
    """The raw one is kept; thinking may have eaten all parts."""
    output = decode({"candidates": [{"content": {"role": "model"}, "finishReason": raw}]}).outputs[0]

    assert (output.finish_reason, output.raw_reason, output.parts) == (normal, raw, ())


def test_several_candidates_are_several_outputs() -> None:
    """By index; logprobs are the service's own."""
    first = {"finishReason": "STOP", "logprobsResult": {"chosenCandidates": []}}
    response = decode({"candidates": [first, {"index": 1, "finishReason": "SAFETY"}]})

    assert [(o.index, o.finish_reason) for o in response.outputs] == [(0, "stop"), (1, "content_filter")]
    assert response.outputs[0].logprobs == {"chosenCandidates": []}


def test_what_is_left_out_is_made_up_or_unknown() -> None:
    """The id is a checksum, the model the one that was asked for, usage no zero."""
    one, other = decode(said({"text": "a"})), decode(said({"text": "b"}))

    assert one.id.startswith("gen_")
    assert one.id != other.id
    assert (one.model, one.usage) == ("gemini-flash-latest", Usage())
    assert decode(said({"text": "a"}, usageMetadata={"totalTokenCount": 3})).usage == Usage()
    counted = decode(said({"text": "a"}, usageMetadata={"promptTokenCount": 3})).usage
    assert (counted.input_tokens, counted.output_tokens) == (3, None)


def test_a_blocked_prompt_is_refused_content() -> None:
    """It comes as a 200 without candidates."""
    feedback = {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": "Not this."}

    with pytest.raises(ContentRefusedError, match=r"PROHIBITED_CONTENT\): Not this") as caught:
        decode({"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 4}})
    assert (caught.value.status, caught.value.code) == (200, "PROHIBITED_CONTENT")
    assert b"blockReason" in caught.value.body
    with pytest.raises(ContentRefusedError, match=r"\(SAFETY\)$"):
        decode({"promptFeedback": {"blockReason": "SAFETY"}})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        {},
        {"candidates": []},
        {"candidates": {"a": 1}},
        {"promptFeedback": {"safetyRatings": []}},
        {"promptFeedback": {"blockReason": 5}},
        {"candidates": ["a"]},
        said({"text": "Hi"}, reason=None),
        {"candidates": [{"finishReason": "STOP", "index": "0"}]},
        {"candidates": [{"finishReason": "STOP", "content": {"parts": 5}}]},
        {"candidates": [{"finishReason": "STOP", "content": 5}]},
        said("Hi"),
        said({"text": 5}),
        said({"functionCall": 5}),
        said({"functionCall": {}}),
        said({"functionCall": {"name": "f", "args": "{}"}}),
        said({"functionCall": {"name": "f", "id": 5}}),
        said({"functionCall": {"name": "f", "partialArgs": []}}),
    ],
)
def test_what_is_no_whole_answer_is_a_decode_error(body: Any) -> None:
    """The bytes are kept."""
    with pytest.raises(DecodeError) as caught:
        backend.decode(ASK, reply(body))

    assert caught.value.body == reply(body).body


def test_vectors_come_in_order() -> None:
    """As float32 arrays; counts may be texts."""
    response = backend.decode(TEXTS, reply(OTHERS["embed"]["reply"]))

    assert isinstance(response, EmbedResponse)
    assert response.vectors == (array("f", [0.5, -0.25]), array("f", [1.0, 0.125]))
    assert response.usage == Usage(input_tokens=8, source="reported")
    assert response.model == "gemini-embedding-001"


@pytest.mark.parametrize(
    "embeddings",
    [
        None,
        [],
        [{"values": [1]}],
        [{"values": [1]}, {"values": [1, 2]}],
        [{"values": []}, {"values": []}],
        [{"values": ["a"]}, {"values": ["b"]}],
        [{}, {}],
        [1, 2],
    ],
)
def test_vectors_that_do_not_match_the_texts_are_a_decode_error(embeddings: Any) -> None:
    """Never a vector too few, nor one that belongs to another text."""
    with pytest.raises(DecodeError):
        backend.decode(TEXTS, reply({"embeddings": embeddings}))


def test_tokens_are_counted() -> None:
    """The count is in usage, too."""
    response = backend.decode(COUNT, reply(OTHERS["count"]))

    assert isinstance(response, CountTokensResponse)
    assert response.input_tokens == response.usage.input_tokens == 31
    assert response.usage.cache_read_tokens == 5
    for total in (None, "many", -1, "9" * 5000):
        with pytest.raises(DecodeError):
            backend.decode(COUNT, reply({"totalTokens": total}))


def test_models_are_listed_without_their_prefix() -> None:
    """A warning says that more follow."""
    response = backend.decode(ModelsRequest(), reply(OTHERS["models"]))

    assert isinstance(response, ModelsResponse)
    assert [model.id for model in response.models] == ["gemini-3.5-flash", "tunedModels/mine"]
    assert (response.models[0].context_length, response.models[0].max_output_tokens) == (1048576, 65536)
    assert response.models[1].context_length is None
    assert "pageToken=abc" in response.warnings[0]
    wrong: list[Any] = [None, {}, [{}], ["a"]]
    for models in wrong:
        with pytest.raises(DecodeError):
            backend.decode(ModelsRequest(), reply({"models": models}))


def google(code: int, status: str, message: str = "no") -> dict[str, Any]:
    """An error in Google's form."""
    return {"error": {"code": code, "message": message, "status": status}}


@pytest.mark.parametrize(
    ("status", "body", "expected", "retryable"),
    [
        (400, google(400, "INVALID_ARGUMENT"), InvalidRequestError, False),
        (
            400,
            google(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens"),
            ContextLengthError,
            False,
        ),
        (400, ERRORS["bad_key"], AuthenticationError, False),
        (400, google(400, "INVALID_ARGUMENT", "API key not valid."), AuthenticationError, False),
        (
            400,
            google(400, "FAILED_PRECONDITION", "User location is not supported"),
            PermissionDeniedError,
            False,
        ),
        (400, google(400, "FAILED_PRECONDITION", "Please enable Billing."), QuotaExhaustedError, False),
        (401, google(401, "UNAUTHENTICATED"), AuthenticationError, False),
        (403, google(403, "PERMISSION_DENIED"), PermissionDeniedError, False),
        (404, google(404, "NOT_FOUND"), NotFoundError, False),
        (409, google(409, "ABORTED"), InvalidRequestError, True),
        (429, ERRORS["per_minute"], RateLimitError, True),
        (429, [ERRORS["per_minute"]], RateLimitError, True),
        (499, google(499, "CANCELLED"), ServerError, False),
        (500, google(500, "INTERNAL"), ServerError, True),
        (503, google(503, "UNAVAILABLE"), OverloadedError, True),
        (504, google(504, "DEADLINE_EXCEEDED"), ServerError, True),
        (502, b"<html>", ServerError, True),
        (200, google(503, "UNAVAILABLE"), OverloadedError, True),
        (200, google(429, "RESOURCE_EXHAUSTED"), RateLimitError, True),
    ],
)
def test_errors_have_their_classes(
    status: int, body: Any, expected: type[ProviderError], retryable: bool
) -> None:
    """By google.rpc's codes and details; a bad key is a 400, and so is missing money."""
    error = backend.error(reply(body, status))

    assert type(error) is expected
    assert error.retryable is retryable


def test_the_delay_and_the_days_quota_are_in_the_body() -> None:
    """There are no headers for them."""
    minute, day = (backend.error(reply(ERRORS[name], 429)) for name in ("per_minute", "per_day"))

    assert isinstance(minute, RateLimitError)
    assert isinstance(day, RateLimitError)
    assert (minute.scope, minute.retry_after) == ("", 45.837906927)
    assert day.scope == "day"


@pytest.mark.parametrize("request_", [ASK, COUNT, TEXTS, ModelsRequest()])
def test_an_error_inside_a_200_is_raised(request_: Request) -> None:
    """Not taken for an answer."""
    with pytest.raises(OverloadedError):
        backend.decode(request_, reply(google(503, "UNAVAILABLE")))


GOLDENS: tuple[tuple[Request, Any], ...] = (
    (ASK, CHAT),
    (TEXTS, OTHERS["embed"]["reply"]),
    (COUNT, OTHERS["count"]),
    (ModelsRequest(), OTHERS["models"]),
)


@settings(deadline=None)
@given(path=PATHS, replacement=JSON)
def test_a_reply_with_any_value_replaced_is_read_or_refused(path: list[int], replacement: Any) -> None:
    """Whatever arrives, the caller sees an answer of the promised types or an AsyncAPIError."""
    for request, golden in GOLDENS:
        try:
            response = backend.decode(request, reply(mutated(golden, path, replacement)))
        except AsyncAPIError:
            continue
        if isinstance(response, EmbedResponse):
            assert len(response.vectors) == 2
        if isinstance(response, ChatResponse):
            assert isinstance(response.text + response.reasoning + response.id + response.model, str)
            assert all(isinstance(call.arguments, str) and call.id for call in response.tool_calls)


@settings(deadline=None)
@given(data=st.binary(max_size=40))
def test_any_bytes_are_refused(data: bytes) -> None:
    """Garbage is an AsyncAPIError."""
    for request, _ in GOLDENS:
        with pytest.raises(AsyncAPIError):
            backend.decode(request, reply(data))
    assert isinstance(backend.error(reply(data, 500)), AsyncAPIError)
