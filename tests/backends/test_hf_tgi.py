"""Text Generation Inference: requests, whole replies, the server's own actions, errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.backends.hf_tgi import backend
from asyncapi.errors import (
    AsyncAPIError,
    AuthenticationError,
    ConfigError,
    ContextLengthError,
    DecodeError,
    InvalidRequestError,
    OverloadedError,
    ProviderError,
    ServerError,
    UnsupportedOperationError,
)
from asyncapi.types.messages import Message, Text
from asyncapi.types.requests import (
    ChatRequest,
    CompleteRequest,
    EmbedRequest,
    Extra,
    ModelsRequest,
    NativeRequest,
    Request,
    TokenizeRequest,
)
from asyncapi.types.responses import (
    ChatResponse,
    CompleteResponse,
    ModelsResponse,
    NativeResponse,
    Token,
    TokenizeResponse,
)
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireRequest, WireResponse

from .damage import JSON, PATHS, mutated

FOLDER = Path(__file__).parent / "golden" / "hf_tgi"
GENERATE = json.loads((FOLDER / "generate.json").read_text())
CHAT = json.loads((FOLDER / "chat.json").read_text())
ASK = ChatRequest(model="tgi", messages=(Message("user", "Hello"),))
CONTINUE = CompleteRequest(model="zephyr", prompts=("My name is Olivier and I",))
TEXT = TokenizeRequest(model="zephyr", inputs=("My",))
INFO = NativeRequest(model="", action="info")


def reply(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> WireResponse:
    """A reply with this JSON, or these bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WireResponse(status=status, headers=headers or {}, body=data)


def body_of(request: WireRequest) -> Any:
    """The JSON that would be sent."""
    assert request.body is not None
    return json.loads(request.body)


def parameters(**options: Any) -> Any:
    """The parameters that a completion is sent with."""
    return body_of(backend.encode(CompleteRequest(model="m", prompts=("a",), **options)))["parameters"]


def completed(body: Any, request: CompleteRequest = CONTINUE, **headers: str) -> CompleteResponse:
    """The answer to a completion."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    response = backend.decode(request, reply(body, headers=names))
    assert isinstance(response, CompleteResponse)
    return response


def test_a_chat_goes_over_the_openai_route() -> None:
    """With the server's names, and a schema as its grammar."""
    request = ChatRequest(
        model="tgi",
        messages=(Message("developer", "Be brief."), Message("user", "Hello")),
        max_tokens=64,
        temperature=0.5,
        seed=7,
        stop=("END",),
        response_format={"schema": {"type": "object"}},
    )

    wire = backend.encode(request)
    assert (wire.method, wire.path, wire.warnings) == ("POST", "/v1/chat/completions", ())
    assert body_of(wire) == CHAT["body"]


@pytest.mark.parametrize(
    ("wanted", "grammar"),
    [
        ("text", None),
        ("json", {"type": "json", "value": {"type": "object"}}),
        ({"schema": {"a": 1}}, {"type": "json", "value": {"a": 1}}),
        ({"regex": "[a-z]+"}, {"type": "regex", "value": "[a-z]+"}),
        ({"type": "json_schema", "value": {"schema": {}}}, {"type": "json_schema", "value": {"schema": {}}}),
    ],
)
def test_formats_are_grammars_on_both_routes(wanted: Any, grammar: Any) -> None:
    """OpenAI's own form is not taken by this server."""
    chat = body_of(backend.encode(ChatRequest(model="m", messages=ASK.messages, response_format=wanted)))

    assert chat.get("response_format") == grammar
    assert parameters(response_format=wanted).get("grammar") == grammar


@pytest.mark.parametrize("wanted", ["yaml", {"choice": ["a"]}])
def test_a_format_without_a_grammar_is_refused(wanted: Any) -> None:
    """It would change what comes back."""
    with pytest.raises(ConfigError, match="response_format"):
        parameters(response_format=wanted)


def test_parameters_that_chats_lack_are_dropped_with_a_warning() -> None:
    """The server honours one output only."""
    request = ChatRequest(model="m", messages=ASK.messages, n=2, top_k=5, user_id="u", reasoning_effort="low")

    assert len(backend.encode(request).warnings) == 4


def test_tool_calls_of_a_chat_get_ids_of_their_own() -> None:
    """The server calls each of them "0"; a real id stays."""
    response = backend.decode(ASK, reply(CHAT["reply"]))

    assert isinstance(response, ChatResponse)
    ids = [call.id for call in response.tool_calls]
    assert len(set(ids)) == 3
    assert all(ident.startswith("gen_") for ident in ids[:2])
    assert ids[2] == "call_x"
    assert [call.arguments for call in response.tool_calls] == ['{"city":"Oslo"}', "{}", "{}"]
    assert (response.text, response.finish_reason) == ("One moment.", "tool_calls")
    assert response.usage == Usage(input_tokens=30, output_tokens=12, source="reported")
    other = backend.decode(ASK, reply({**CHAT["reply"], "created": 1795402002}))
    assert isinstance(other, ChatResponse)
    assert other.tool_calls[0].id != ids[0]


def test_a_completion_has_its_own_route() -> None:
    """One prompt, and what shapes the answer among the parameters."""
    request = CompleteRequest(
        model="zephyr",
        prompts=("My name is Olivier and I",),
        max_tokens=20,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        stop=("\n",),
        seed=7,
        frequency_penalty=0.1,
        logprobs=2,
        response_format={"regex": "[a-z]+"},
    )

    wire = backend.encode(request)
    assert (wire.method, wire.path, wire.warnings) == ("POST", "/generate", ())
    assert body_of(wire) == GENERATE["body"]
    streamed = CompleteRequest(model="m", prompts=("a",), stream=True, extra=Extra(query={"a": "b"}))
    assert backend.encode(streamed).path == "/generate_stream?a=b"


def test_values_that_the_server_refuses_are_said_in_its_words() -> None:
    """A temperature of 0 is no sampling, a share of 1 is no limit."""
    assert parameters(temperature=0.0, top_p=1.0, logprobs=0) == {"details": True, "do_sample": False}
    assert parameters() == {"details": True}


def test_only_one_prompt_goes_in_a_completion() -> None:
    """The server takes no list; neither does it tokenise one."""
    with pytest.raises(ConfigError, match="one prompt a call, got 2"):
        backend.encode(CompleteRequest(model="m", prompts=("a", "b")))
    with pytest.raises(ConfigError, match="one text a call, got 2"):
        backend.encode(TokenizeRequest(model="m", inputs=("a", "b")))


@pytest.mark.parametrize("name", ["suffix", "system", "presence_penalty"])
def test_what_completions_lack_is_dropped_as_told(name: str) -> None:
    """With a warning, or refused."""
    options: dict[str, Any] = {name: 1}

    assert len(backend.encode(CompleteRequest(model="m", prompts=("a",), **options)).warnings) == 1
    with pytest.raises(ConfigError, match=name):
        backend.encode(CompleteRequest(model="m", prompts=("a",), **options, unsupported="error"))


def test_a_continuation_is_read_into_the_normal_form() -> None:
    """The prompt's tokens are counted in a header."""
    response = completed(GENERATE["reply"], x_prompt_tokens="7", x_request_id="r")

    assert (response.text, response.texts) == (" am a chef", (" am a chef",))
    assert (response.outputs[0].finish_reason, response.outputs[0].raw_reason) == ("length", "length")
    assert response.usage == Usage(input_tokens=7, output_tokens=3, source="reported")
    assert (response.model, response.provider_request_id) == ("zephyr", "r")
    assert response.outputs[0].logprobs is None


def test_logprobs_are_there_where_they_were_asked_for() -> None:
    """Of every token."""
    request = CompleteRequest(model="m", prompts=("a",), logprobs=0)

    assert completed(GENERATE["reply"], request).outputs[0].logprobs[0]["logprob"] == -1.2


@pytest.mark.parametrize(
    ("details", "normal", "usage"),
    [
        ({"finish_reason": "eos_token"}, "stop", Usage(output_tokens=4, source="header")),
        ({"finish_reason": "stop_sequence", "generated_tokens": 2}, "stop", None),
        ({"finish_reason": 5}, "other", Usage(output_tokens=4, source="header")),
        (None, "other", Usage(output_tokens=4, source="header")),
    ],
)
def test_details_may_be_missing(details: Any, normal: str, usage: Usage | None) -> None:
    """The text is there all the same, and the headers count."""
    response = completed({"generated_text": "", "details": details}, x_generated_tokens="4")

    assert (response.outputs[0].parts, response.outputs[0].finish_reason) == ((), normal)
    assert response.usage == (usage or Usage(output_tokens=2, source="reported"))
    assert completed({"generated_text": "a"}).usage == Usage()


def test_tokens_are_read_with_their_places() -> None:
    """A server that always adds special tokens says so."""
    wire = backend.encode(TEXT)
    response = backend.decode(TEXT, reply(GENERATE["tokens"]))

    assert (wire.path, body_of(wire), wire.warnings) == ("/tokenize", {"inputs": "My"}, ())
    assert isinstance(response, TokenizeResponse)
    assert response.results == (
        (Token(id=1, text="<s>", start=0, stop=0), Token(id=1619, text="My", start=0, stop=2)),
    )
    assert backend.encode(TokenizeRequest(model="m", inputs=("a",), add_special_tokens=False)).warnings


def test_models_are_listed() -> None:
    """There is one."""
    response = backend.decode(ModelsRequest(), reply(GENERATE["models"]))

    assert backend.encode(ModelsRequest()).path == "/v1/models"
    assert isinstance(response, ModelsResponse)
    assert [model.id for model in response.models] == ["HuggingFaceH4/zephyr-7b-beta"]


def test_the_servers_own_actions() -> None:
    """Info is JSON, health says nothing where all is well."""
    health = NativeRequest(model="", action="health")
    info = backend.decode(INFO, reply(GENERATE["info"]))
    well = backend.decode(health, reply(b""))

    assert [(w.method, w.path) for w in map(backend.encode, (INFO, health))] == [
        ("GET", "/info"),
        ("GET", "/health"),
    ]
    assert isinstance(info, NativeResponse)
    assert isinstance(well, NativeResponse)
    assert info.result["max_input_tokens"] == 1024
    assert well.result is None
    with pytest.raises(DecodeError):
        backend.decode(INFO, reply(b""))


def test_an_unknown_action_is_told_the_known_ones() -> None:
    """Before anything is sent."""
    request = NativeRequest(model="", action="fly")

    with pytest.raises(UnsupportedOperationError, match="no action 'fly'; it has: health, info"):
        backend.encode(request)
    with pytest.raises(UnsupportedOperationError):
        backend.decode(request, reply({}))


def native(kind: str, message: str = "no") -> dict[str, Any]:
    """An error of the server."""
    return {"error": message, "error_type": kind}


@pytest.mark.parametrize(
    ("status", "body", "expected", "retryable"),
    [
        (401, b"", AuthenticationError, False),
        (413, b"length limit exceeded", ContextLengthError, False),
        (422, native("validation"), InvalidRequestError, False),
        (
            422,
            native("validation", "`inputs` tokens + `max_new_tokens` must be <= 2048. Given: 2000 and 100"),
            ContextLengthError,
            False,
        ),
        (422, native("validation", "`inputs` must have less than 1024 tokens"), ContextLengthError, False),
        (422, native("tool_error"), InvalidRequestError, False),
        (424, native("generation", "Request failed during generation: boom"), ServerError, True),
        (424, native("generation"), ServerError, True),
        (429, native("overloaded", "Model is overloaded"), OverloadedError, True),
        (429, b"", OverloadedError, True),
        (500, native("incomplete_generation"), ServerError, True),
        (503, native("healthcheck", "unhealthy"), ServerError, True),
        (200, native("generation"), ServerError, True),
        (200, native("overloaded"), OverloadedError, True),
        (200, native("template_error"), InvalidRequestError, False),
        (
            200,
            {"error": {"message": "Request failed during generation: x", "http_status_code": 422}},
            ServerError,
            True,
        ),
        (
            200,
            {"error": {"message": "Input validation", "http_status_code": 422}},
            InvalidRequestError,
            False,
        ),
    ],
)
def test_errors_have_their_classes(
    status: int, body: Any, expected: type[ProviderError], retryable: bool
) -> None:
    """A server without quotas that says 429 is full; a stream's 422 is no reason."""
    error = backend.error(reply(body, status))

    assert type(error) is expected
    assert error.retryable is retryable


GOLDENS: tuple[tuple[Request, Any], ...] = (
    (ASK, CHAT["reply"]),
    (CONTINUE, GENERATE["reply"]),
    (TEXT, GENERATE["tokens"]),
    (ModelsRequest(), GENERATE["models"]),
    (INFO, GENERATE["info"]),
)


@pytest.mark.parametrize("request_", [request for request, _ in GOLDENS])
def test_an_error_inside_a_200_is_raised(request_: Request) -> None:
    """Not taken for an answer."""
    with pytest.raises(OverloadedError):
        backend.decode(request_, reply(native("overloaded")))


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (CONTINUE, []),
        (CONTINUE, {}),
        (CONTINUE, {"generated_text": 5}),
        (TEXT, {}),
        (TEXT, [5]),
        (TEXT, [{"id": True}]),
        (TEXT, [{"text": "a"}]),
        (ASK, {}),
    ],
)
def test_what_is_no_whole_answer_is_a_decode_error(request_: Request, body: Any) -> None:
    """The bytes are kept."""
    with pytest.raises(DecodeError) as caught:
        backend.decode(request_, reply(body))

    assert caught.value.body == reply(body).body


def test_operations_that_the_server_lacks_are_refused() -> None:
    """In every direction."""
    request = EmbedRequest(model="m", inputs=("a",))

    with pytest.raises(UnsupportedOperationError, match="embed"):
        backend.encode(request)
    with pytest.raises(UnsupportedOperationError, match="streamed tokenize"):
        backend.stream(TEXT, reply(b""))


def test_the_service_says_where_its_settings_are_found() -> None:
    """No key is needed; the prefix at the end of an address is taken off."""
    row = backend.service

    assert "HF_TGI_API_KEY" in row.key_env
    assert not row.needs_key
    assert row.normalise_url is not None
    assert row.normalise_url("http://localhost:8080/v1/") == "http://localhost:8080"
    assert backend.authorize("k") == {"Authorization": "Bearer k"}


@settings(deadline=None)
@given(path=PATHS, replacement=JSON)
def test_a_reply_with_any_value_replaced_is_read_or_refused(path: list[int], replacement: Any) -> None:
    """Whatever arrives, the caller sees an answer of the promised types or an AsyncAPIError."""
    for request, golden in GOLDENS:
        try:
            response = backend.decode(request, reply(mutated(golden, path, replacement)))
        except AsyncAPIError:
            continue
        if isinstance(response, CompleteResponse):
            assert all(isinstance(part, Text) for part in response.outputs[0].parts)
        if isinstance(response, TokenizeResponse):
            assert all(type(token.id) is int for token in response.results[0])


@settings(deadline=None)
@given(data=st.binary(max_size=30))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Garbage is an AsyncAPIError."""
    for request, _ in GOLDENS[:4]:
        try:
            backend.decode(request, reply(data))
        except AsyncAPIError:
            continue
        assert data.strip() == b"[]"
    assert isinstance(backend.error(reply(data, 500)), AsyncAPIError)
