"""Whole answers in the OpenAI dialect."""

from __future__ import annotations

import base64
import struct
import sys
from array import array
from typing import Any

import pytest

from asyncapi.backends._openai_reply import read_usage
from asyncapi.errors import (
    AsyncAPIError,
    AuthenticationError,
    DecodeError,
    InvalidRequestError,
    OverloadedError,
    QuotaExhaustedError,
    RateLimitError,
    UnsupportedOperationError,
)
from asyncapi.types.requests import EmbedRequest, ModelsRequest, Request, RerankRequest
from asyncapi.types.responses import ChatResponse, EmbedResponse, Model, ModelsResponse

from .openai_golden import cases, chat, dialect, reply, summary, usage

EMBED = EmbedRequest(model="e", inputs=("a", "b"))


@pytest.mark.parametrize("case", cases("replies"))
def test_a_chat_reply_is_read(case: dict[str, Any]) -> None:
    """The golden replies."""
    answer = dialect(case["service"]).decode(chat(), reply(case["body"], headers={"x-request-id": "req_1"}))

    assert isinstance(answer, ChatResponse)
    assert summary(answer) == case["expect"]
    assert answer.raw == case["body"]
    assert answer.provider_request_id == "req_1"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"choices": []},
        {"choices": None},
        {"choices": "x"},
        {"choices": [None]},
        {"choices": [{}]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": {"content": 5}}]},
        {"choices": [{"message": {"content": [5]}}]},
        {"choices": [{"message": {"tool_calls": [{}]}}]},
        {"choices": [{"message": {"tool_calls": [{"function": {"name": None}}]}}]},
        {"choices": [{"message": {}, "finish_reason": [1]}]},
        {"choices": [{"message": {"reasoning": {"a": 1}}}]},
        [],
        5,
        b"",
        b"<html>",
        b'{"choices":',
    ],
)
def test_a_reply_of_another_form_is_a_decode_error(body: Any) -> None:
    """Never a KeyError; the error keeps the body."""
    with pytest.raises(DecodeError, match="openai") as caught:
        dialect("openai").decode(chat(), reply(body))

    assert caught.value.body == reply(body).body


def test_an_error_inside_a_200_is_the_services_error() -> None:
    """Gateways do that."""
    body = {"error": {"message": "busy", "type": "overloaded_error"}}

    with pytest.raises(OverloadedError):
        dialect("openai").decode(chat(), reply(body))


@pytest.mark.parametrize(
    ("service", "status", "body", "expected"),
    [
        ("openai", 429, {"error": {"message": "m", "type": "insufficient_quota"}}, QuotaExhaustedError),
        ("openai", 429, {"error": {"message": "m", "type": "tokens"}}, RateLimitError),
        ("openai", 401, b"", AuthenticationError),
        ("openai", 409, b"", InvalidRequestError),
    ],
)
def test_an_error_reply_is_its_exception(
    service: str, status: int, body: Any, expected: type[AsyncAPIError]
) -> None:
    """By the generic table and the service's own."""
    assert type(dialect(service).error(reply(body, status))) is expected


def test_a_conflict_may_be_retried() -> None:
    """As the official SDK does."""
    assert dialect("openai").error(reply(b"", 409)).retryable


def packed(*numbers: float) -> str:
    """Little-endian float32 in base64."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def test_embeddings_are_read_in_both_forms_and_in_order() -> None:
    """Some look-alikes ignore encoding_format; array order is not promised."""
    body = {
        "model": "e1",
        "data": [
            {"index": 1, "embedding": [0.5, 0.25]},
            {"index": 0, "embedding": packed(1.0, -2.0)},
        ],
        "usage": {"prompt_tokens": 12, "total_tokens": 12},
    }
    answer = dialect("openai").decode(EMBED, reply(body))

    assert isinstance(answer, EmbedResponse)
    assert answer.vectors == (array("f", [1.0, -2.0]), array("f", [0.5, 0.25]))
    assert answer.model == "e1"
    assert usage(answer.usage) == [12, None, None, None, None, "reported"]


def test_counts_below_zero_are_none() -> None:
    """Absent is not zero, and less than nothing is nothing."""
    broken = {
        "prompt_tokens": -1,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": -2, "cache_write_tokens": 1.5},
        "completion_tokens_details": {"reasoning_tokens": True},
    }

    assert usage(read_usage(broken)) == [None, 5, None, None, None, "reported"]


def test_embeddings_without_index_or_model_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """And on a big-endian machine the bytes are swapped."""
    monkeypatch.setattr(sys, "byteorder", "big" if sys.byteorder == "little" else "little")
    body = {"data": [{"embedding": packed(1.0)}, {"embedding": [2.0]}], "usage": None}
    answer = dialect("openai").decode(EMBED, reply(body))

    assert isinstance(answer, EmbedResponse)
    swapped = array("f", [1.0])
    swapped.byteswap()
    assert answer.vectors == (swapped, array("f", [2.0]))
    assert answer.model == "e"


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        [{"index": 0, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 2, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": -1, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": "1", "embedding": [1.0]}],
        [{"index": 0, "embedding": "AAA"}, {"index": 1, "embedding": [1.0]}],
        [{"index": 0, "embedding": "AAAA"}, {"index": 1, "embedding": [1.0]}],
        [{"index": 0, "embedding": ["x"]}, {"index": 1, "embedding": [1.0]}],
        [{"index": 0, "embedding": []}, {"index": 1, "embedding": [1.0]}],
        [{"index": 0, "embedding": None}, {"index": 1, "embedding": [1.0]}],
        [{"index": 0}, {"index": 1, "embedding": [1.0]}],
    ],
)
def test_embeddings_that_do_not_fit_the_texts_are_a_decode_error(data: Any) -> None:
    """Too few, twice, out of range, unreadable: never a wrong vector for a text."""
    with pytest.raises(DecodeError):
        dialect("openai").decode(EMBED, reply({"data": data}))


def test_models_are_listed_with_what_the_service_says_of_them() -> None:
    """vLLM and Groq add the lengths."""
    entries = [
        {"id": "a", "object": "model", "created": 1795402001, "owned_by": "openai"},
        {"id": "b", "max_model_len": 8192},
        {"id": "c", "context_window": 131072, "max_completion_tokens": 4096, "created": None},
    ]
    answer = dialect("openai").decode(ModelsRequest(), reply({"object": "list", "data": entries}))

    assert isinstance(answer, ModelsResponse)
    assert answer.models == (
        Model(id="a", created=1795402001.0, owned_by="openai", raw=entries[0]),
        Model(id="b", context_length=8192, raw=entries[1]),
        Model(id="c", context_length=131072, max_output_tokens=4096, raw=entries[2]),
    )


def test_only_chat_streams() -> None:
    """Nothing else has a stream in the dialect."""
    with pytest.raises(UnsupportedOperationError, match="streamed embed"):
        dialect("openai").stream(EMBED, reply(b""))


def test_a_request_of_an_unknown_kind_is_refused() -> None:
    """A subclass of our own that the dialect can't know."""

    class Odd(Request, frozen=True, kw_only=True):
        operation = "odd"

    with pytest.raises(UnsupportedOperationError):
        dialect("openai").decode(Odd(model="m"), reply({}))
    with pytest.raises(UnsupportedOperationError):
        dialect("openai").encode(Odd(model="m"))
    with pytest.raises(DecodeError):
        dialect("vllm").decode(RerankRequest(model="m", query="q", documents=("a",)), reply({}))
