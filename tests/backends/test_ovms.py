"""What is OpenVINO Model Server's own besides tensors: its generative routes, actions and errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asyncapi.backends.ovms import OVMS, backend
from asyncapi.errors import (
    AsyncAPIError,
    AuthenticationError,
    ConfigError,
    DecodeError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    ServerError,
    UnsupportedOperationError,
)
from asyncapi.types.requests import (
    EmbedRequest,
    ModelsRequest,
    NativeRequest,
    Request,
    RerankRequest,
    SparseEmbedRequest,
    TokenizeRequest,
)
from asyncapi.types.responses import (
    ChatResponse,
    EmbedResponse,
    ModelsResponse,
    NativeResponse,
    Ranked,
    RerankResponse,
    Token,
    TokenizeResponse,
)
from asyncapi.types.wire import WireResponse

from .openai_golden import chat, reply

CHAT = {
    "choices": [
        {
            "finish_reason": "stop",
            "index": 0,
            "logprobs": None,
            "message": {"content": "Hello", "role": "assistant"},
        }
    ],
    "created": 1716825108,
    "model": "llama3",
    "object": "chat.completion",
    "usage": {"completion_tokens": 3, "prompt_tokens": 22, "total_tokens": 25},
}
STREAM = (
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":null},"finish_reason":null}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"reasoning_content":"Hm"},"finish_reason":null}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}\n\n'
    b"data: [DONE]\n\n"
)


def native(action: str, model: str = "m", **arguments: Any) -> NativeRequest:
    """An action."""
    return NativeRequest(model=model, action=action, arguments=arguments)


def body_of(request: Request) -> Any:
    """The JSON that is sent."""
    made = backend.encode(request)
    assert made.body is not None
    return json.loads(made.body)


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (chat(), "/v3/chat/completions"),
        (EmbedRequest(model="e", inputs=("a",)), "/v3/embeddings"),
        (RerankRequest(model="r", query="q", documents=("a",)), "/v3/rerank"),
        (ModelsRequest(), "/v3/models"),
        (TokenizeRequest(model="t", inputs=("a",)), "/v3/tokenize"),
    ],
)
def test_generation_goes_to_the_routes_under_v3(request_: Request, path: str) -> None:
    """Beside the tensors' routes, from one backend."""
    assert backend.encode(request_).path == path


def test_a_chat_leaves_out_what_the_server_does_not_take() -> None:
    """And says so."""
    made = backend.encode(chat(top_k=5, top_logprobs=2, user_id="u", max_tokens=9))

    assert made.body is not None
    assert json.loads(made.body) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "top_k": 5,
        "max_completion_tokens": 9,
    }
    assert made.warnings == ("ovms takes no top_logprobs: dropped", "ovms takes no user_id: dropped")


def test_a_chat_reply_has_no_id() -> None:
    """The rest is as everywhere."""
    response = backend.decode(chat(), reply(CHAT))

    assert isinstance(response, ChatResponse)
    assert (response.id, response.text, response.model) == ("", "Hello", "llama3")
    assert response.usage.input_tokens == 22


def test_a_stream_is_whole_with_its_finish_reason() -> None:
    """Its reasoning and usage are read; a cut one is an error."""
    decoder = backend.stream(chat(stream=True), WireResponse(status=200, headers={}, body=b""))
    chunks = decoder.feed(STREAM)
    response = decoder.finish()

    assert "".join(chunk.text for chunk in chunks) == "Hi"
    assert isinstance(response, ChatResponse)
    assert (response.reasoning, response.usage.output_tokens) == ("Hm", 2)


def test_a_failure_in_a_stream_is_an_error_line_without_data() -> None:
    """It comes after the pieces before it."""
    decoder = backend.stream(chat(stream=True), WireResponse(status=200, headers={}, body=b""))
    text = STREAM.split(b"data: ")[3]
    chunks = decoder.feed(
        b"data: " + text + b'{"error":"Mediapipe execution failed. MP status - INTERNAL: x"}\n\n'
    )

    assert [chunk.text for chunk in chunks] == ["Hi"]
    assert isinstance(decoder.error, ServerError)


def test_embeddings_and_reranking_are_read() -> None:
    """In the dialect's forms."""
    embed = backend.decode(
        EmbedRequest(model="e", inputs=("a",)), reply({"data": [{"index": 0, "embedding": "AACAPw=="}]})
    )
    ranked = backend.decode(
        RerankRequest(model="r", query="q", documents=("a",)),
        reply({"results": [{"index": 0, "relevance_score": 0.5}]}),
    )
    models = backend.decode(ModelsRequest(), reply({"object": "list", "data": [{"id": "m"}]}))

    assert isinstance(embed, EmbedResponse)
    assert embed.vectors[0][0] == 1.0
    assert isinstance(ranked, RerankResponse)
    assert ranked.results == (Ranked(0, 0.5),)
    assert isinstance(models, ModelsResponse)
    assert models.models[0].id == "m"


def test_tokens_come_per_text() -> None:
    """Ids only."""
    request = TokenizeRequest(model="t", inputs=("a", "b"), add_special_tokens=False)
    response = backend.decode(request, reply({"tokens": [[1, 2], []]}))

    assert body_of(request) == {"model": "t", "text": ["a", "b"], "add_special_tokens": False}
    assert isinstance(response, TokenizeResponse)
    assert response.results == ((Token(id=1), Token(id=2)), ())


@pytest.mark.parametrize("tokens", [None, [], [[1]], [1, 2], [["a"], []], [[1], None]])
def test_tokens_of_another_shape_are_a_decode_error(tokens: Any) -> None:
    """One list a text."""
    with pytest.raises(DecodeError):
        backend.decode(TokenizeRequest(model="t", inputs=("a", "b")), reply({"tokens": tokens}))


def test_an_error_in_a_200_of_tokens_is_that_error() -> None:
    """Whatever the status says."""
    with pytest.raises(ServerError, match="no"):
        backend.decode(TokenizeRequest(model="t", inputs=("a",)), reply({"error": "no"}))


@pytest.mark.parametrize(
    ("request_", "method", "path"),
    [
        (native("live", ""), "GET", "/v2/health/live"),
        (native("ready", ""), "GET", "/v2/health/ready"),
        (native("server_metadata", ""), "GET", "/v2"),
        (native("metadata", "a/b"), "GET", "/v2/models/a%2Fb"),
        (native("metadata", version=2), "GET", "/v2/models/m/versions/2"),
        (native("model_ready"), "GET", "/v2/models/m/ready"),
        (native("model_ready", version="3"), "GET", "/v2/models/m/versions/3/ready"),
        (native("config", ""), "GET", "/v1/config"),
        (native("status"), "GET", "/v1/config"),
        (native("metrics", ""), "GET", "/metrics"),
        (native("reload", ""), "POST", "/v1/config/reload"),
    ],
)
def test_every_action_has_its_path(request_: NativeRequest, method: str, path: str) -> None:
    """None of these has a body."""
    made = backend.encode(request_)

    assert (made.method, made.path, made.body) == (method, path, None)


@pytest.mark.parametrize(
    ("arguments", "path", "body"),
    [
        ({"instances": [1]}, "/v1/models/m:predict", {"instances": [1]}),
        (
            {"inputs": {"x": [1]}, "signature_name": "s", "version": 4},
            "/v1/models/m/versions/4:predict",
            {"inputs": {"x": [1]}, "signature_name": "s"},
        ),
    ],
)
def test_predict_is_the_older_servers_inference(arguments: Any, path: str, body: Any) -> None:
    """Rows or columns, as they are."""
    request = native("predict", **arguments)
    made = backend.encode(request)
    response = backend.decode(request, reply({"predictions": [[0.5]]}))

    assert made.path == path
    assert body_of(request) == body
    assert isinstance(response, NativeResponse)
    assert response.result == {"predictions": [[0.5]]}


def test_an_action_of_a_model_needs_one() -> None:
    """The message says how to write it."""
    with pytest.raises(ConfigError, match="write ovms:model"):
        backend.encode(native("metadata", ""))


def test_an_unknown_action_is_told_the_known_ones() -> None:
    """All of them."""
    with pytest.raises(UnsupportedOperationError, match=r"no action 'fly'; it has: config, live, metadata"):
        backend.encode(native("fly"))


@pytest.mark.parametrize("action", ["live", "ready", "model_ready"])
@pytest.mark.parametrize("body", [b"", b"OK", b'{"ready": false}'])
def test_a_check_goes_by_the_status_alone(action: str, body: bytes) -> None:
    """The bodies differ between servers."""
    response = backend.decode(native(action), WireResponse(status=200, headers={}, body=body))

    assert isinstance(response, NativeResponse)
    assert response.result is True


def test_what_the_server_says_of_itself_is_given_as_it_is() -> None:
    """JSON as JSON, metrics as text, nothing as None."""
    results = [
        backend.decode(native(action), WireResponse(status=200, headers={}, body=body))
        for action, body in (("metadata", b'{"name":"m"}'), ("metrics", b"ovms_streams 2\n"), ("reload", b""))
    ]

    assert [isinstance(r, NativeResponse) and r.result for r in results] == [
        {"name": "m"},
        "ovms_streams 2\n",
        None,
    ]


def test_the_status_of_a_model_is_its_part_of_the_configuration() -> None:
    """A model that is not served is not found, and the served ones are named."""
    config = {"m": {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]}}
    response = backend.decode(native("status"), reply(config))

    assert isinstance(response, NativeResponse)
    assert response.result == config["m"]
    assert response.raw == config
    with pytest.raises(NotFoundError, match="no model 'other'; it has: m"):
        backend.decode(native("status", "other"), reply(config))
    with pytest.raises(DecodeError):
        backend.decode(native("status"), reply([1]))


def test_an_operation_that_it_lacks_is_refused() -> None:
    """With the services that have it."""
    with pytest.raises(UnsupportedOperationError, match="ovms does not offer 'embed_sparse'"):
        backend.encode(SparseEmbedRequest(model="m", inputs=("a",)))


@pytest.mark.parametrize(
    ("status", "message", "expected", "retryable"),
    [
        (400, "Invalid batch size - Expected: 1; Actual: 2", InvalidRequestError, False),
        (400, "Mediapipe execution failed. MP status - INTERNAL: x", ServerError, False),
        (400, "Mediapipe execution failed. MP status - INVALID_ARGUMENT: x", InvalidRequestError, False),
        (401, "Unauthorized", AuthenticationError, False),
        (404, "Model with requested name is not found", NotFoundError, False),
        (406, "m", InvalidRequestError, False),
        (412, "Invalid JSON", InvalidRequestError, False),
        (429, "m", OverloadedError, True),
        (500, "Internal inference error", ServerError, True),
        (503, "m", ServerError, True),
    ],
)
def test_its_errors_are_told_apart(
    status: int, message: str, expected: type[AsyncAPIError], retryable: bool
) -> None:
    """A plain string under ``error``; a failed graph is 400 whoever's fault it is."""
    found = backend.error(reply({"error": message}, status))

    assert type(found) is expected
    assert found.retryable is retryable
    assert message in str(found)


def test_its_settings_are_found_in_the_environment() -> None:
    """And a base URL copied from an SDK loses its version."""
    row = OVMS().service

    assert (row.base_url, row.url_env, row.key_env) == (
        "http://localhost:9000",
        ("OVMS_API_URL", "OVMS_BASE_URL"),
        ("OVMS_API_KEY",),
    )
    assert row.needs_key is False
    assert row.normalise_url is not None
    urls = ("http://h:8000/v3/", "http://h:8000/v1", "http://h:8000")
    assert {row.normalise_url(url) for url in urls} == {"http://h:8000"}
