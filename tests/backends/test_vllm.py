"""What is vLLM's own."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from asyncapi.backends.vllm import VLLM
from asyncapi.errors import (
    AsyncAPIError,
    AuthenticationError,
    ConfigError,
    ContextLengthError,
    DecodeError,
    NotFoundError,
    OverloadedError,
    ServerError,
    UnsupportedOperationError,
)
from asyncapi.types.messages import Message, Reasoning, Text, Tool
from asyncapi.types.requests import (
    ChatBatchRequest,
    NativeRequest,
    RerankRequest,
    TranscribeRequest,
    TranslateRequest,
)
from asyncapi.types.responses import ChatResponse, NativeResponse, Ranked, RerankResponse
from asyncapi.types.usage import Usage
from asyncapi.types.wire import BatchLimit

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

    assert made.path == "/v1/rerank"
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


@pytest.mark.parametrize(
    "url", ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/", "http://h:1//v1"]
)
def test_its_address_may_be_written_with_the_version(url: str) -> None:
    """As OpenAI's SDK wants it; some routes are beside the versioned ones."""
    normalise = dialect("vllm").service.normalise_url

    assert normalise is not None
    assert normalise(url).rstrip("/") == "http://h:1"


# -- several chats in one request ---------------------------------------------------------------------------

BATCH = ChatBatchRequest(
    model="m",
    conversations=((Message("user", "Hi"),), (Message("developer", "Be kind."), Message("user", "Bye"))),
    max_tokens=32,
    temperature=0.5,
)


def test_chats_travel_together_as_a_list_of_lists() -> None:
    """With one set of parameters."""
    made = dialect("vllm").encode(BATCH)

    assert made.path == "/v1/chat/completions/batch"
    assert made.body is not None
    assert json.loads(made.body) == {
        "model": "m",
        "max_completion_tokens": 32,
        "temperature": 0.5,
        "messages": [
            [{"role": "user", "content": "Hi"}],
            [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": "Bye"}],
        ],
    }


@pytest.mark.parametrize("fields", [{"stream": True}, {"n": 2}, {"tools": (Tool(name="f"),)}])
def test_what_the_batch_route_refuses_is_refused_here(fields: dict[str, Any]) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigError, match="several chats"):
        dialect("vllm").encode(msgspec.structs.replace(BATCH, **fields))


def choice(index: int, text: str) -> dict[str, Any]:
    """An answer to one conversation."""
    return {"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}


def test_each_conversation_has_its_output() -> None:
    """In order, whatever order the server has; usage is that of all."""
    usage = {"prompt_tokens": 18, "completion_tokens": 5}
    answer = dialect("vllm").decode(
        BATCH, reply({"id": "b", "choices": [choice(1, "See you"), choice(0, "Hello")], "usage": usage})
    )

    assert isinstance(answer, ChatResponse)
    assert [(output.index, output.text) for output in answer.outputs] == [(0, "Hello"), (1, "See you")]
    assert answer.usage == Usage(input_tokens=18, output_tokens=5, source="reported")


@pytest.mark.parametrize("indexes", [(), (0,), (0, 0), (0, 2), (0, 1, 2)])
def test_an_answer_that_does_not_fit_the_conversations_is_a_decode_error(indexes: tuple[int, ...]) -> None:
    """Never somebody else's answer."""
    with pytest.raises(DecodeError):
        dialect("vllm").decode(BATCH, reply({"choices": [choice(i, "x") for i in indexes]}))


def test_chats_are_gathered_only_where_somebody_asked_for_it() -> None:
    """It makes the quick ones wait for the slow ones."""
    assert "chat" not in dialect("vllm").service.batches
    assert VLLM(chat_batch=True).service.batches["chat"] == BatchLimit(items=64)
    assert VLLM(chat_batch=True).service.batches["embed"] == dialect("vllm").service.batches["embed"]


# -- what only it has ---------------------------------------------------------------------------------------


def native(action: str, **arguments: Any) -> NativeRequest:
    """An action on a model."""
    return NativeRequest(model="m", action=action, arguments=arguments)


@pytest.mark.parametrize(
    ("request_", "method", "path", "body"),
    [
        (native("pooling", input="a"), "POST", "/pooling", {"model": "m", "input": "a"}),
        (native("detokenize", tokens=[1]), "POST", "/detokenize", {"model": "m", "tokens": [1]}),
        (native("health"), "GET", "/health", None),
        (native("version"), "GET", "/version", None),
        (native("load"), "GET", "/load", None),
    ],
)
def test_its_own_actions_are_beside_the_versioned_routes(
    request_: NativeRequest, method: str, path: str, body: Any
) -> None:
    """As JSON in and out."""
    made = dialect("vllm").encode(request_)

    assert (made.method, made.path) == (method, path)
    assert (None if made.body is None else json.loads(made.body)) == body


def test_an_action_answers_with_the_servers_json() -> None:
    """Or nothing, where all is well."""
    load = dialect("vllm").decode(native("load"), reply({"server_load": 3}))
    health = dialect("vllm").decode(native("health"), reply(b""))

    assert isinstance(load, NativeResponse)
    assert load.result == {"server_load": 3}
    assert isinstance(health, NativeResponse)
    assert health.result is None
    with pytest.raises(NotFoundError):
        dialect("vllm").decode(native("load"), reply({"error": {"message": "m", "code": 404}}))


def test_an_unknown_action_is_told_the_known_ones() -> None:
    """All of them."""
    with pytest.raises(UnsupportedOperationError, match="detokenize, health, load, pooling, version"):
        dialect("vllm").encode(native("fly"))


def test_sound_goes_to_the_versioned_routes() -> None:
    """As OpenAI's."""
    vllm = dialect("vllm")

    assert vllm.encode(TranscribeRequest(model="m", audio=b"a")).path == "/v1/audio/transcriptions"
    assert vllm.encode(TranslateRequest(model="m", audio=b"a")).path == "/v1/audio/translations"
