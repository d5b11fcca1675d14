"""Text Embeddings Inference: sparse vectors, labels, tokens, and the server's own action."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from asyncapi.backends.hf_tei import backend
from asyncapi.errors import (
    AsyncAPIError,
    DecodeError,
    InvalidRequestError,
    OverloadedError,
    UnsupportedOperationError,
)
from asyncapi.types.requests import (
    ClassifyRequest,
    Extra,
    NativeRequest,
    Request,
    SparseEmbedRequest,
    TokenizeRequest,
)
from asyncapi.types.responses import (
    ClassifyResponse,
    Label,
    NativeResponse,
    SparseEmbedResponse,
    Token,
    TokenizeResponse,
)
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireResponse

from .damage import JSON, PATHS, mutated

FOLDER = Path(__file__).parent / "golden" / "hf_tei"
GOLDEN = json.loads((FOLDER / "lists.json").read_text())
TEXTS = ("first text", "second text")
REQUESTS: dict[str, Request] = {
    "sparse": SparseEmbedRequest(model="splade", inputs=TEXTS),
    "predict": ClassifyRequest(model="roberta", inputs=("first text", ("a", "b")), raw_scores=True),
    "tokenize": TokenizeRequest(model="bge", inputs=TEXTS, add_special_tokens=False),
}
PATH = {"sparse": "/embed_sparse", "predict": "/predict", "tokenize": "/tokenize"}
INFO = NativeRequest(model="", action="info")


def reply(body: Any, status: int = 200) -> WireResponse:
    """A reply with this JSON, and a count of tokens."""
    headers = {"x-compute-tokens": "9", "x-request-id": "r"}
    return WireResponse(status=status, headers=headers, body=json.dumps(body).encode())


@pytest.mark.parametrize("name", REQUESTS)
def test_every_text_is_sent_in_its_place(name: str) -> None:
    """A flat list would be one pair to /predict: each text goes in a list of its own."""
    wire = backend.encode(REQUESTS[name])

    assert (wire.method, wire.path) == ("POST", PATH[name])
    assert json.loads(wire.body or b"") == GOLDEN[name]["body"]


def test_extras_are_merged_in_last() -> None:
    """Truncation is the caller's."""
    request = SparseEmbedRequest(model="m", inputs=("a",), extra=Extra(body={"truncate": False}))

    assert json.loads(backend.encode(request).body or b"") == {"inputs": ["a"], "truncate": False}


def decode(name: str, body: Any) -> Any:
    """The answer to one of the requests."""
    return backend.decode(REQUESTS[name], reply(body))


def test_sparse_vectors_come_in_order() -> None:
    """One of them is empty; tokens are counted in a header."""
    response = decode("sparse", GOLDEN["sparse"]["reply"])

    assert isinstance(response, SparseEmbedResponse)
    assert response.vectors == (((1037, 0.75), (2034, 1.0)), ())
    assert response.usage == Usage(input_tokens=9, source="header")
    assert (response.model, response.provider_request_id) == ("splade", "r")


def test_labels_come_best_first() -> None:
    """Whatever order the server gives them in."""
    response = decode("predict", GOLDEN["predict"]["reply"])

    assert isinstance(response, ClassifyResponse)
    assert response.results == (
        (Label("POSITIVE", 0.99), Label("NEGATIVE", 0.01)),
        (Label("NEGATIVE", 1.0), Label("POSITIVE", 0.0)),
    )


def test_tokens_have_ids_texts_and_places() -> None:
    """Special ones stand for no place in the text."""
    response = decode("tokenize", GOLDEN["tokenize"]["reply"])

    assert isinstance(response, TokenizeResponse)
    assert response.results == (
        (Token(id=101, text="[CLS]", special=True), Token(id=2034, text="first", start=0, stop=5)),
        (),
    )


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize(
    "body", [{}, [], [[]], [[], [], []], [5, 5], [[5], []], [[{}], []], [[{"id": "1"}], []]]
)
def test_what_does_not_match_the_texts_is_a_decode_error(name: str, body: Any) -> None:
    """Never a list too few, nor one that belongs to another text."""
    with pytest.raises(DecodeError) as caught:
        decode(name, body)

    assert caught.value.body == json.dumps(body).encode()


@pytest.mark.parametrize("name", REQUESTS)
def test_an_error_inside_a_200_is_raised(name: str) -> None:
    """Not taken for an answer."""
    with pytest.raises(OverloadedError):
        decode(name, {"error": "no", "error_type": "Overloaded"})


def test_a_model_of_another_kind_is_the_callers_fault() -> None:
    """The status says that the server failed, but it will fail again."""
    error = backend.error(reply({"error": "model is not a classifier model", "error_type": "Backend"}, 424))

    assert type(error) is InvalidRequestError
    assert not error.retryable


def test_the_servers_own_action() -> None:
    """Info gives the server's limits; another action is told the one that there is."""
    info = {"model_id": "m", "max_client_batch_size": 32}
    response = backend.decode(INFO, reply(info))

    assert (backend.encode(INFO).method, backend.encode(INFO).path) == ("GET", "/info")
    assert isinstance(response, NativeResponse)
    assert response.result == info
    with pytest.raises(UnsupportedOperationError, match="it has: info"):
        backend.encode(NativeRequest(model="", action="fly"))


def test_lists_travel_together_up_to_the_servers_limit() -> None:
    """Of texts, and of bytes."""
    batches = backend.service.batches

    assert set(batches) == {"embed", "embed_sparse", "rerank", "classify", "tokenize"}
    assert {limit.items for limit in batches.values()} == {32}


@settings(deadline=None)
@given(path=PATHS, replacement=JSON)
def test_a_reply_with_any_value_replaced_is_read_or_refused(path: list[int], replacement: Any) -> None:
    """Whatever arrives, the caller sees a list for each text or an AsyncAPIError."""
    for name in REQUESTS:
        try:
            response = decode(name, mutated(GOLDEN[name]["reply"], path, replacement))
        except AsyncAPIError:
            continue
        lists = response.vectors if isinstance(response, SparseEmbedResponse) else response.results
        assert len(lists) == 2
