"""What is vLLM's own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asyncapi.errors import (
    AsyncAPIError,
    AuthenticationError,
    ContextLengthError,
    DecodeError,
    NotFoundError,
    OverloadedError,
    ServerError,
)
from asyncapi.types.messages import Message, Reasoning, Text
from asyncapi.types.requests import RerankRequest
from asyncapi.types.responses import Ranked, RerankResponse

from .openai_golden import chat, dialect, reply

RERANK = RerankRequest(model="r", query="q", documents=("a", "b", "c"))


def test_its_own_reasoning_is_given_back() -> None:
    """Under the name that it shows it by; another's is not."""
    messages = (
        Message(
            "assistant",
            (Reasoning(text="mine", provider="vllm"), Reasoning(text="not", provider="x"), Text("Hi")),
        ),
    )
    made = dialect("vllm").encode(chat(messages))

    assert made.body is not None
    assert json.loads(made.body)["messages"] == [{"role": "assistant", "content": "Hi", "reasoning": "mine"}]
    assert made.warnings == ("reasoning of x is not sent to vllm",)


@pytest.mark.parametrize(("top_n", "sent"), [(None, {}), (2, {"top_n": 2})])
def test_reranking_has_coheres_form(top_n: int | None, sent: dict[str, int]) -> None:
    """Without top_n all documents come back."""
    request = RerankRequest(model="r", query="q", documents=("a", "b"), top_n=top_n)
    made = dialect("vllm").encode(request)

    assert made.path == "/rerank"
    assert made.body is not None
    assert json.loads(made.body) == {"model": "r", "query": "q", "documents": ["a", "b"], **sent}


def test_scores_are_sorted_and_keep_their_index() -> None:
    """Whatever order the server has."""
    body = {
        "id": "rerank-1",
        "model": "r1",
        "usage": {"prompt_tokens": 9, "total_tokens": 9},
        "results": [
            {"index": 0, "document": {"text": "a"}, "relevance_score": 0.1},
            {"index": 2, "document": "c", "relevance_score": 0.9},
            {"index": 1, "relevance_score": 0.5},
        ],
    }
    answer = dialect("vllm").decode(RERANK, reply(body))

    assert isinstance(answer, RerankResponse)
    assert answer.results == (Ranked(2, 0.9, "c"), Ranked(1, 0.5), Ranked(0, 0.1, "a"))
    assert (answer.id, answer.model, answer.usage.input_tokens) == ("rerank-1", "r1", 9)


@pytest.mark.parametrize(
    "results",
    [
        None,
        [],
        [{"index": 0, "relevance_score": 1}] * 3,
        [{"index": i, "relevance_score": 1} for i in (0, 1)],
        [{"index": i, "relevance_score": 1} for i in (0, 1, 3)],
        [{"index": i, "relevance_score": 1} for i in (0, 1, "2")],
        [{"index": i, "relevance_score": "high"} for i in range(3)],
        [{"index": i} for i in range(3)],
    ],
)
def test_scores_that_do_not_fit_the_documents_are_a_decode_error(results: Any) -> None:
    """Too few, twice, out of range: never a score for the wrong document."""
    with pytest.raises(DecodeError):
        dialect("vllm").decode(RERANK, reply({"results": results}))


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"error": {"message": "This model's maximum context length is 8192", "type": "BadRequestError",
                         "code": 400}}, ContextLengthError),
        (401, {"error": "Unauthorized"}, AuthenticationError),
        (404, {"object": "error", "message": "m", "type": "NotFoundError", "code": 404}, NotFoundError),
        (429, b"", OverloadedError),
        (500, {"error": {"message": "m", "type": "InternalServerError", "code": 500}}, ServerError),
        (501, {"error": {"message": "m", "type": "NotImplementedError", "code": 501}}, NotFoundError),
        (503, {"error": {"message": "busy", "type": "Service Unavailable", "code": 503}}, OverloadedError),
        (503, {"error": {"message": "m", "type": "ServiceUnavailableError", "code": 503}}, ServerError),
    ],
)  # fmt: skip
def test_its_errors_are_told_apart(status: int, body: Any, expected: type[AsyncAPIError]) -> None:
    """A full queue is not a failure, and a local 429 is no quota."""
    assert type(dialect("vllm").error(reply(body, status))) is expected
