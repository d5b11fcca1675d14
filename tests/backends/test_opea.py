"""What is OPEA's own: its reranking, and gateways that stream the repr of Python bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asyncapi.backends.opea import backend
from asyncapi.errors import (
    AsyncAPIError,
    ContentRefusedError,
    DecodeError,
    InvalidRequestError,
    OverloadedError,
    ServerError,
    UnsupportedOperationError,
)
from asyncapi.types.requests import ModelsRequest, RerankRequest
from asyncapi.types.responses import Ranked, RerankResponse
from asyncapi.types.wire import WireResponse

from .openai_golden import chat, reply

RERANK = RerankRequest(model="r", query="q", documents=("a", "b", "a"))


def test_reranking_says_how_many_because_the_default_is_one() -> None:
    """Its own form at its own path."""
    made = backend.encode(RERANK)
    first = backend.encode(RerankRequest(model="r", query="q", documents=("a", "b"), top_n=1))

    assert made.path == "/reranking"
    assert made.body is not None
    assert json.loads(made.body) == {
        "input": "q",
        "retrieved_docs": [{"text": "a"}, {"text": "b"}, {"text": "a"}],
        "top_n": 3,
    }
    assert first.body is not None
    assert json.loads(first.body)["top_n"] == 1


def test_the_index_is_found_by_the_text() -> None:
    """Equal texts take their places in order."""
    body = {
        "reranked_docs": [
            {"text": "a", "score": 0.9},
            {"text": "a", "score": 0.8},
            {"text": "b", "score": 0.1},
        ]
    }
    answer = backend.decode(RERANK, reply(body))

    assert isinstance(answer, RerankResponse)
    assert answer.results == (Ranked(0, 0.9, "a"), Ranked(2, 0.8, "a"), Ranked(1, 0.1, "b"))


@pytest.mark.parametrize("docs", [None, [], [{"text": "c", "score": 1}], [{"text": "b", "score": 1}] * 3])
def test_texts_that_were_not_sent_are_a_decode_error(docs: Any) -> None:
    """Or sent less often."""
    with pytest.raises(DecodeError):
        backend.decode(RERANK, reply({"reranked_docs": docs}))


@pytest.mark.parametrize(
    "payload",
    [
        b"b'unfinished",
        b"b'a' + b'b'",
        b"b'a', 1",
        b"'text'",
        b"b'\xc3\xa9'",
        b"b'" + b"(" * 200,
        b"__import__('os')",
    ],
)
def test_what_is_no_bytes_literal_is_a_decode_error(payload: bytes) -> None:
    """Nothing is evaluated but a literal of bytes."""
    stream = backend.stream(chat(stream=True), WireResponse(status=200, headers={}, body=b""))

    assert stream.feed(b"data: " + payload + b"\n\n") == []
    assert isinstance(stream.error, DecodeError)


def test_there_is_no_list_of_models() -> None:
    """Each microservice has one model."""
    with pytest.raises(UnsupportedOperationError):
        backend.encode(ModelsRequest())


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (409, {"detail": "m"}, InvalidRequestError),
        (422, {"detail": [{"type": "missing", "loc": ["body", "messages"], "msg": "Field required"}]},
         InvalidRequestError),
        (429, b"", OverloadedError),
        (466, {"detail": "violated policies"}, ContentRefusedError),
        (500, b"Internal Server Error", ServerError),
    ],
)  # fmt: skip
def test_its_errors_are_told_apart(status: int, body: Any, expected: type[AsyncAPIError]) -> None:
    """FastAPI's forms."""
    found = backend.error(reply(body, status))

    assert type(found) is expected
    assert found.retryable is (expected in (OverloadedError, ServerError))
