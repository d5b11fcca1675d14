"""Verdicts, labels, scores and tokens in the OpenAI dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asyncapi.errors import AsyncAPIError, ConfigError, DecodeError, UnsupportedOperationError
from asyncapi.types.requests import (
    ClassifyRequest,
    EmbedRequest,
    ModerateRequest,
    Request,
    ScoreRequest,
    TokenizeRequest,
)
from asyncapi.types.responses import (
    ClassifyResponse,
    Label,
    ModerateResponse,
    Moderation,
    ScoreResponse,
    Token,
    TokenizeResponse,
)
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireResponse

from .openai_golden import dialect, reply

MODERATE = ModerateRequest(model="omni", inputs=("a", "b"))
CLASSIFY = ClassifyRequest(model="m", inputs=("a", "b"))
SCORE = ScoreRequest(model="m", query="q", documents=("a", "b"))
TOKENIZE = TokenizeRequest(model="m", inputs=("hello you",))


def sent(service: str, request: Request) -> tuple[str, Any]:
    """Path and body of a request."""
    made = dialect(service).encode(request)
    assert made.body is not None
    assert (made.method, made.headers) == ("POST", {"Content-Type": "application/json"})
    return made.path, json.loads(made.body)


@pytest.mark.parametrize(
    ("service", "request_", "path", "body"),
    [
        ("openai", MODERATE, "/moderations", {"model": "omni", "input": ["a", "b"]}),
        ("openai", ModerateRequest(model="", inputs=("a",)), "/moderations", {"input": ["a"]}),
        ("vllm", CLASSIFY, "/classify", {"model": "m", "input": ["a", "b"]}),
        ("vllm", ClassifyRequest(model="m", inputs=("a",), raw_scores=True), "/classify",
         {"model": "m", "input": ["a"], "use_activation": False}),
        ("vllm", SCORE, "/v1/score", {"model": "m", "text_1": "q", "text_2": ["a", "b"]}),
        ("vllm", TOKENIZE, "/tokenize", {"model": "m", "prompt": "hello you", "add_special_tokens": True,
                                         "return_token_strs": True}),
        ("vllm", TokenizeRequest(model="m", inputs=("a",), add_special_tokens=False), "/tokenize",
         {"model": "m", "prompt": "a", "add_special_tokens": False, "return_token_strs": True}),
    ],
)  # fmt: skip
def test_a_request_has_the_services_form(service: str, request_: Request, path: str, body: Any) -> None:
    """Each at its own path."""
    assert sent(service, request_) == (path, body)


def test_a_verdict_for_each_text() -> None:
    """A category that the model doesn't know is null, and left out."""
    body = {
        "id": "modr-1",
        "model": "omni-2",
        "results": [
            {
                "flagged": True,
                "categories": {"violence": True, "illicit": None},
                "category_scores": {"violence": 1, "illicit": None},
                "category_applied_input_types": {"violence": ["text"]},
            },
            {"flagged": False},
        ],
    }
    answer = dialect("openai").decode(MODERATE, reply(body, headers={"x-request-id": "req"}))

    assert isinstance(answer, ModerateResponse)
    assert answer.results == (
        Moderation(flagged=True, categories={"violence": True}, scores={"violence": 1.0}),
        Moderation(flagged=False),
    )
    assert (answer.id, answer.model, answer.provider_request_id) == ("modr-1", "omni-2", "req")
    assert answer.raw == body


def test_the_best_label_of_each_text() -> None:
    """By its name, or its number where it has none, in the order of the index."""
    body = {
        "id": "classify-1",
        "data": [
            {"index": 1, "label": None, "probs": [0.1, 0.2, 0.7], "num_classes": 3},
            {"index": 0, "label": "good", "probs": [0.9, 0.1], "num_classes": 2},
        ],
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }
    answer = dialect("vllm").decode(CLASSIFY, reply(body))

    assert isinstance(answer, ClassifyResponse)
    assert answer.results == ((Label("good", 0.9),), (Label("2", 0.7),))
    assert (answer.id, answer.model) == ("classify-1", "m")
    assert answer.usage == Usage(input_tokens=4, source="reported")


def test_a_score_for_each_document() -> None:
    """In the documents' order."""
    data = [{"index": 1, "object": "score", "score": 0}, {"index": 0, "object": "score", "score": 0.5}]
    answer = dialect("vllm").decode(SCORE, reply({"id": "s", "model": "m2", "data": data}))

    assert isinstance(answer, ScoreResponse)
    assert (answer.scores, answer.id, answer.model) == ((0.5, 0.0), "s", "m2")


@pytest.mark.parametrize("texts", [["hello", " you"], None])
def test_tokens_have_their_texts_where_the_service_gives_them(texts: Any) -> None:
    """One text a request."""
    body = {"count": 2, "max_model_len": 9, "tokens": [15339, 499], "token_strs": texts}
    answer = dialect("vllm").decode(TOKENIZE, reply(body))

    assert isinstance(answer, TokenizeResponse)
    hello, you = texts or (None, None)
    assert answer.results == ((Token(id=15339, text=hello), Token(id=499, text=you)),)


@pytest.mark.parametrize(
    "request_",
    [ClassifyRequest(model="m", inputs=(("a", "b"),)), TokenizeRequest(model="m", inputs=("a", "b"))],
)
def test_what_the_service_can_not_take_is_refused_with_a_way_out(request_: Request) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigError, match=r"score\(\)|call once per text"):
        dialect("vllm").encode(request_)


@pytest.mark.parametrize(
    ("service", "request_", "body"),
    [
        ("openai", MODERATE, {"results": [{"flagged": True}]}),
        ("openai", MODERATE, {"results": [{"flagged": None}, {"flagged": True}]}),
        ("openai", MODERATE, {"results": {}}),
        ("openai", MODERATE, {}),
        ("vllm", CLASSIFY, {"data": [{"index": 0, "probs": [1.0]}]}),
        ("vllm", CLASSIFY, {"data": [{"index": i, "probs": []} for i in range(2)]}),
        ("vllm", CLASSIFY, {"data": [{"index": i, "probs": ["x"]} for i in range(2)]}),
        ("vllm", SCORE, {"data": [{"index": i, "score": 1.0} for i in (0, 0)]}),
        ("vllm", SCORE, {"data": [{"index": i, "score": 1.0} for i in (-1, 0)]}),
        ("vllm", SCORE, {"data": [{"index": i, "score": 1.0} for i in (0, 1, 2)]}),
        ("vllm", SCORE, {"data": [{"index": i, "score": None} for i in (0, 1)]}),
        ("vllm", TOKENIZE, {"tokens": ["a"]}),
        ("vllm", TOKENIZE, {"tokens": [1, 2], "token_strs": ["a"]}),
        ("vllm", TOKENIZE, {"tokens": [1], "token_strs": [2]}),
        ("vllm", TOKENIZE, {}),
    ],
)
def test_an_answer_that_does_not_fit_the_request_is_a_decode_error(
    service: str, request_: Request, body: Any
) -> None:
    """Never a verdict on the wrong text."""
    with pytest.raises(DecodeError):
        dialect(service).decode(request_, reply(body))


def test_an_error_in_a_200_is_raised() -> None:
    """In every operation."""
    for request in (CLASSIFY, SCORE, TOKENIZE):
        with pytest.raises(AsyncAPIError, match="m is full"):
            dialect("vllm").decode(request, reply({"error": {"message": "m is full", "code": 503}}))


def test_lists_are_not_streamed() -> None:
    """And what isn't offered at all says who does."""
    start = WireResponse(status=200, headers={}, body=b"")

    with pytest.raises(UnsupportedOperationError, match="streamed embed"):
        dialect("openai").stream(EmbedRequest(model="m", inputs=("a",)), start)
    with pytest.raises(UnsupportedOperationError, match="'score'; these do"):
        dialect("openai").stream(SCORE, start)
    with pytest.raises(UnsupportedOperationError, match=r"'score'; these do: .*vllm"):
        dialect("openai").decode(SCORE, reply({}))
