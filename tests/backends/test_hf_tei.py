"""Text Embeddings Inference: embeddings, reranking, the server's model, errors."""

from __future__ import annotations

import json
from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.backends.hf_tei import backend
from asyncapi.errors import (
    AsyncAPIError,
    AuthenticationError,
    ContextLengthError,
    DecodeError,
    InvalidRequestError,
    OverloadedError,
    ProviderError,
    ServerError,
    UnsupportedOperationError,
)
from asyncapi.types.messages import Message
from asyncapi.types.requests import ChatRequest, EmbedRequest, Extra, ModelsRequest, RerankRequest
from asyncapi.types.responses import EmbedResponse, ModelsResponse, Ranked, RerankResponse
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireRequest, WireResponse

GOLDEN = Path(__file__).parent / "golden" / "hf_tei"
EMBED = json.loads((GOLDEN / "embeddings.json").read_text())
RERANK = json.loads((GOLDEN / "rerank.json").read_text())
INFO = json.loads((GOLDEN / "info.json").read_text())["reply"]
TEXTS = EmbedRequest(model="BAAI/bge-m3", inputs=("first text", "second text"))
RANK = RerankRequest(
    model="BAAI/bge-reranker",
    query="What is deep learning?",
    documents=("Cheese is made of milk.", "Deep learning is ...", "Ok"),
)


def reply(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> WireResponse:
    """A reply with this JSON, or these bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WireResponse(status=status, headers=headers or {}, body=data)


def body_of(request: WireRequest) -> Any:
    """The JSON that would be sent."""
    assert request.body is not None
    return json.loads(request.body)


def embedded(body: Any) -> EmbedResponse:
    """The answer to the two texts."""
    response = backend.decode(TEXTS, reply(body))
    assert isinstance(response, EmbedResponse)
    return response


def ranked(body: Any, request: RerankRequest = RANK, **headers: str) -> RerankResponse:
    """The answer to a ranking."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    response = backend.decode(request, reply(body, headers=names))
    assert isinstance(response, RerankResponse)
    return response


def test_embeddings_are_asked_for_as_base64() -> None:
    """Over the OpenAI route, in one list."""
    request = backend.encode(TEXTS)

    assert (request.method, request.path) == ("POST", "/v1/embeddings")
    assert body_of(request) == EMBED["body"]


def test_dimensions_user_and_extras_go_along() -> None:
    """The extras are merged in last."""
    extra = Extra(body={"encoding_format": "float"})
    body = body_of(
        backend.encode(EmbedRequest(model="m", inputs=("a",), dimensions=8, user_id="u", extra=extra))
    )

    assert body == {"input": ["a"], "model": "m", "encoding_format": "float", "dimensions": 8, "user": "u"}


@pytest.mark.parametrize("form", ["base64", "float"])
def test_vectors_come_in_the_order_of_the_texts(form: str) -> None:
    """Either form is read; some servers ignore the one that was asked for."""
    response = embedded(EMBED[form])

    assert response.vectors == (array("f", [1.0, 2.0]), array("f", [0.5, -0.25]))
    assert response.model == "BAAI/bge-m3"
    assert (response.usage.input_tokens, response.usage.source) == (7, "reported")


def data(*items: Any) -> dict[str, Any]:
    """A reply with these items."""
    return {"object": "list", "data": list(items), "model": "m"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        {},
        data(),
        data({"embedding": [1.0], "index": 0}),
        data({"embedding": [1.0], "index": 0}, {"embedding": [1.0], "index": 0}),
        data({"embedding": [1.0], "index": 0}, {"embedding": [1.0], "index": 2}),
        data({"embedding": [1.0], "index": 0}, {"embedding": [1.0, 2.0], "index": 1}),
        data({"embedding": [], "index": 0}, {"embedding": [], "index": 1}),
        data({"embedding": ["a"], "index": 0}, {"embedding": ["b"], "index": 1}),
        data({"embedding": "AACAPw", "index": 0}, {"embedding": "AAA=", "index": 1}),
        data(1, 2),
    ],
)
def test_vectors_that_do_not_match_the_texts_are_a_decode_error(body: Any) -> None:
    """Never a vector too few, nor one that belongs to another text."""
    with pytest.raises(DecodeError) as caught:
        embedded(body)

    assert caught.value.body == reply(body).body


def test_a_ranking_is_asked_for_with_the_servers_names() -> None:
    """``top_n`` stays here; truncation is the caller's extra."""
    request = backend.encode(
        RerankRequest(**{**fields(RANK), "top_n": 1, "extra": Extra(body={"truncate": False})})
    )

    assert (request.method, request.path) == ("POST", "/rerank")
    assert body_of(request) == {**RERANK["body"], "truncate": False}


def fields(request: RerankRequest) -> dict[str, Any]:
    """The fields of a request."""
    return {"model": request.model, "query": request.query, "documents": request.documents}


def test_a_ranking_is_sorted_and_joined_by_index() -> None:
    """Equal scores keep the order of the documents; tokens are in a header."""
    response = ranked(RERANK["reply"], x_compute_tokens="31", x_request_id="r")

    assert response.results == (Ranked(1, 0.9976), Ranked(0, 0.25), Ranked(2, 0.25))
    assert response.usage == Usage(input_tokens=31, source="header")
    assert (response.model, response.provider_request_id) == ("BAAI/bge-reranker", "r")


def test_top_n_is_applied_here() -> None:
    """The server ranks all documents in any case."""
    request = RerankRequest(**{**fields(RANK), "top_n": 1})

    assert ranked(RERANK["reply"], request).results == (Ranked(1, 0.9976),)


def test_texts_come_along_where_they_were_asked_for() -> None:
    """With ``return_text`` in the extras."""
    body = [{"index": i, "score": 1, "text": text} for i, text in enumerate(RANK.documents)]

    assert [item.document for item in ranked(body).results] == list(RANK.documents)


@pytest.mark.parametrize("header", ["", "many", "-1", "²", "9" * 5000])
def test_a_strange_token_count_is_unknown(header: str) -> None:
    """It costs nobody the answer."""
    assert ranked(RERANK["reply"], x_compute_tokens=header).usage == Usage()


@pytest.mark.parametrize(
    "body",
    [
        b"[",
        {},
        5,
        [],
        RERANK["reply"][:2],
        [*RERANK["reply"], {"index": 3, "score": 0.1}],
        [{"index": 1, "score": 0.5}] * 3,
        [{"index": i, "score": None} for i in range(3)],
        [{"index": i} for i in range(3)],
        [{"index": float(i), "score": 0.1} for i in range(3)],
        [{"index": i, "score": 0.1, "text": 5} for i in range(3)],
        ["a", "b", "c"],
    ],
)
def test_a_ranking_that_does_not_match_the_documents_is_a_decode_error(body: Any) -> None:
    """Every document has exactly one score, or the answer is refused."""
    with pytest.raises(DecodeError):
        ranked(body)


def test_the_servers_one_model_is_listed() -> None:
    """With the length of input that it takes."""
    request = backend.encode(ModelsRequest())
    response = backend.decode(ModelsRequest(), reply(INFO))

    assert (request.method, request.path) == ("GET", "/info")
    assert isinstance(response, ModelsResponse)
    assert [(model.id, model.context_length) for model in response.models] == [("BAAI/bge-m3", 8192)]
    with pytest.raises(DecodeError):
        backend.decode(ModelsRequest(), reply({"model_id": None}))


def native(kind: str, message: str = "no") -> dict[str, Any]:
    """An error of the native routes."""
    return {"error": message, "error_type": kind}


def openai(kind: str, code: int, message: str = "no") -> dict[str, Any]:
    """An error of the OpenAI route, which has no envelope."""
    return {"message": message, "code": code, "type": kind}


@pytest.mark.parametrize(
    ("status", "body", "expected", "retryable"),
    [
        (400, native("Empty", "batch is empty"), InvalidRequestError, False),
        (401, b"", AuthenticationError, False),
        (413, b"Failed to buffer the request body: length limit exceeded", ContextLengthError, False),
        (
            422,
            native("Validation", "batch size 40 > maximum allowed batch size 32"),
            InvalidRequestError,
            False,
        ),
        (
            422,
            openai("Validation", 422, "`inputs` must have less than 512 tokens. Given: 600"),
            ContextLengthError,
            False,
        ),
        (422, native("Tokenizer"), InvalidRequestError, False),
        (422, b"Failed to deserialize the JSON body", InvalidRequestError, False),
        (424, native("Backend"), ServerError, True),
        (429, openai("Overloaded", 429, "Model is overloaded"), OverloadedError, True),
        (429, native("overloaded"), OverloadedError, True),
        (429, b"", OverloadedError, True),
        (503, native("Unhealthy"), ServerError, True),
        (200, native("Overloaded"), OverloadedError, True),
    ],
)
def test_errors_have_their_classes(
    status: int, body: Any, expected: type[ProviderError], retryable: bool
) -> None:
    """Types in any case; a server without quotas that says 429 is full."""
    error = backend.error(reply(body, status))

    assert type(error) is expected
    assert error.retryable is retryable


@pytest.mark.parametrize("request_", [TEXTS, RANK, ModelsRequest()])
def test_an_error_inside_a_200_is_raised(request_: Any) -> None:
    """Not taken for an answer."""
    with pytest.raises(OverloadedError):
        backend.decode(request_, reply(native("Overloaded")))


def test_operations_that_the_server_lacks_are_refused() -> None:
    """There is no chat, in neither direction."""
    request = ChatRequest(model="m", messages=(Message("user", "Hello"),))

    with pytest.raises(UnsupportedOperationError, match="chat"):
        backend.encode(request)
    with pytest.raises(UnsupportedOperationError, match="chat"):
        backend.decode(request, reply({}))


def test_the_service_says_what_it_can_do() -> None:
    """Batches of 32, no key needed, no streams."""
    assert backend.service.batches["embed"].items == 32
    assert not backend.service.needs_key
    assert not backend.service.streaming
    assert backend.authorize("k") == {"Authorization": "Bearer k"}


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
@given(path=st.lists(st.integers(0, 20), max_size=6), replacement=JSON)
def test_a_reply_with_any_value_replaced_is_read_or_refused(path: list[int], replacement: Any) -> None:
    """Whatever arrives, the caller sees an answer of the right length or an AsyncAPIError."""
    goldens = (
        (TEXTS, EMBED["base64"]),
        (TEXTS, EMBED["float"]),
        (RANK, RERANK["reply"]),
        (ModelsRequest(), INFO),
    )
    for request, golden in goldens:
        try:
            response = backend.decode(request, reply(mutated(golden, path, replacement)))
        except AsyncAPIError:
            continue
        if isinstance(response, EmbedResponse):
            assert len(response.vectors) == 2
        if isinstance(response, RerankResponse):
            assert sorted(item.index for item in response.results) == [0, 1, 2]


@settings(deadline=None)
@given(cut=st.integers(0, 10_000), data_=st.binary(max_size=40))
def test_cut_replies_and_garbage_are_refused(cut: int, data_: bytes) -> None:
    """No prefix of an answer passes for the answer."""
    for request, golden in ((TEXTS, EMBED["base64"]), (RANK, RERANK["reply"]), (ModelsRequest(), INFO)):
        whole = json.dumps(golden).encode()
        for body in (whole[: cut % len(whole)], data_):
            with pytest.raises(AsyncAPIError):
                backend.decode(request, reply(body))
