"""What Text Embeddings Inference answers with a list for each text: sparse vectors, labels, tokens.

A flat list of two texts would be one pair to ``/predict``, so that every text goes in a list of its own.

Source: Hugging Face Text Embeddings Inference, API reference, /embed_sparse, /predict, /tokenize.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncapi.backends._decoding import header_count, tokens
from asyncapi.backends._encoding import json_request
from asyncapi.backends._openai_reply import request_id
from asyncapi.errors import DecodeError
from asyncapi.types.requests import ClassifyRequest, SparseEmbedRequest, TokenizeRequest
from asyncapi.types.responses import (
    ClassifyResponse,
    Label,
    Response,
    SparseEmbedResponse,
    TokenizeResponse,
)
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireRequest, WireResponse

__all__ = ["ListRequest", "header_usage", "list_request", "list_response"]

ListRequest = SparseEmbedRequest | ClassifyRequest | TokenizeRequest


def list_request(request: ListRequest, service: str) -> WireRequest:
    """The request, every text in its place."""
    body: dict[str, Any] = {"inputs": request.inputs}
    match request:
        case SparseEmbedRequest():
            path = "/embed_sparse"
        case ClassifyRequest():
            path = "/predict"
            body["inputs"] = [[text] if isinstance(text, str) else text for text in request.inputs]
            body["raw_scores"] = request.raw_scores
        case TokenizeRequest():
            path = "/tokenize"
            body["add_special_tokens"] = request.add_special_tokens
    return json_request(path, body, service, request.extra)


def list_response(request: ListRequest, body: Any, reply: WireResponse, service: str) -> Response:
    """The answer: a list for each text.

    Raises:
        DecodeError: Not one for each, or one that can't be read.
    """
    expected = len(request.inputs)
    common: dict[str, Any] = {
        "model": request.model,
        "usage": header_usage(reply.headers),
        "raw": body,
        "provider_request_id": request_id(reply.headers),
    }
    try:
        if not isinstance(body, list) or len(body) != expected:
            raise DecodeError(f"{service}: not one list for each of {expected} texts")
        match request:
            case SparseEmbedRequest():
                return SparseEmbedResponse(vectors=tuple(map(_sparse, body)), **common)
            case ClassifyRequest():
                return ClassifyResponse(results=tuple(map(_labels, body)), **common)
        return TokenizeResponse(results=tuple([tokens(entry, service) for entry in body]), **common)
    except (KeyError, TypeError) as error:
        raise DecodeError(f"{service}: the answer can't be read: {error!r}", body=reply.body) from error
    except DecodeError as error:
        error.body = reply.body[: 64 * 1024]
        raise


def _sparse(entries: Any) -> tuple[tuple[int, float], ...]:
    return tuple([(_typed(entry["index"], int), _number(entry["value"])) for entry in entries])


def _labels(entries: Any) -> tuple[Label, ...]:
    labels = [Label(_typed(entry["label"], str), _number(entry["score"])) for entry in entries]
    labels.sort(key=_falling)
    return tuple(labels)


def _falling(label: Label) -> float:
    return -label.score


def _number(value: Any) -> float:
    return float(value if type(value) is int else _typed(value, float))


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {value!r:.200}")
    return value


def header_usage(headers: Mapping[str, str]) -> Usage:
    """The native routes count tokens in a header only."""
    tokens = header_count(headers, "x-compute-tokens")
    return Usage() if tokens is None else Usage(input_tokens=tokens, source="header")
