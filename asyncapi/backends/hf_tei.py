"""Text Embeddings Inference: embeddings, reranking, labels and tokens, one model a server.

Embeddings go over the server's OpenAI route, where vectors come as base64: less than half the bytes of
JSON numbers. Over-long texts are cut by the server's default; ``Extra(body={"truncate": False})`` on a
rerank makes them an error instead.

Source: Hugging Face Text Embeddings Inference, API reference and router.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncapi.backends import unsupported_operation
from asyncapi.backends._decoding import count
from asyncapi.backends._encoding import get_request, json_request
from asyncapi.backends._native import Action, native_request, native_response
from asyncapi.backends._openai_quirks import Quirks
from asyncapi.backends._openai_reply import SHAPE_ERRORS, ReplyReader, request_id
from asyncapi.backends._tei_lists import ListRequest, header_usage, list_request, list_response
from asyncapi.errors import (
    AsyncAPIError,
    ContextLengthError,
    DecodeError,
    InvalidRequestError,
    OverloadedError,
)
from asyncapi.types.requests import EmbedRequest, ModelsRequest, NativeRequest, Request, RerankRequest
from asyncapi.types.responses import EmbedResponse, Model, ModelsResponse, Ranked, RerankResponse, Response
from asyncapi.types.wire import BatchLimit, Service, WireRequest, WireResponse
from asyncapi.wire.errors import Row, Table, error_for, is_error
from asyncapi.wire.json import loads, loads_object

__all__ = ["TEI", "backend"]

NAME = "hf_tei"

#: A server without quotas says 429 when it is full. A 422 names a text or a batch that is too long; a 424
#: may also mean that the server's one model is of another kind.
_ERRORS = Table(
    texts=(
        ("must have less than", Row(ContextLengthError)),
        ("model is not", Row(InvalidRequestError)),
    ),
    statuses={429: Row(OverloadedError)},
)

_ACTIONS = {"info": Action("GET", "/info")}
#: The server's defaults: 32 texts, and 2 MB of JSON (four bytes a character and some escapes).
_LIMIT = BatchLimit(items=32, chars=400_000, bytes=2_000_000)


class TEI:
    """Translates to and from Text Embeddings Inference."""

    name = NAME
    service = Service(
        name=NAME,
        operations=frozenset({"embed", "embed_sparse", "rerank", "classify", "tokenize", "models", "native"}),
        base_url="http://localhost:8080",
        key_env=("HF_TEI_API_KEY", "TEI_API_KEY"),
        url_env=("HF_TEI_URL", "TEI_BASE_URL", "HF_TEI_BASE_URL"),
        needs_key=False,
        batch_size_from=("info", "max_client_batch_size"),
        streaming=False,
        batches=dict.fromkeys(("embed", "embed_sparse", "rerank", "classify", "tokenize"), _LIMIT),
    )

    def __init__(self) -> None:
        self._reader = ReplyReader(NAME, Quirks())

    def encode(self, request: Request) -> WireRequest:
        """The request in the server's form.

        Raises:
            UnsupportedOperationError: The server does not offer the operation or the action.
        """
        if isinstance(request, EmbedRequest):
            return _embed_request(request)
        if isinstance(request, RerankRequest):
            body: dict[str, Any] = {"query": request.query, "texts": request.documents}
            return json_request("/rerank", body, NAME, request.extra)
        if isinstance(request, ModelsRequest):
            return get_request("/info", request.extra)
        if isinstance(request, ListRequest):
            return list_request(request, NAME)
        if isinstance(request, NativeRequest):
            return native_request(_ACTIONS, request, NAME)
        raise unsupported_operation(NAME, request.operation)

    def authorize(self, secret: str) -> Mapping[str, str]:
        """The key as a bearer token."""
        return {"Authorization": f"Bearer {secret}"}

    def decode(self, request: Request, reply: WireResponse) -> Response:
        """The answer.

        Raises:
            DecodeError: Not a whole answer to the request.
            ProviderError: The body of the 200 holds an error.
        """
        if isinstance(request, RerankRequest):
            return _rerank_response(request, self._list(reply), reply)
        if isinstance(request, ListRequest):
            return list_response(request, self._list(reply), reply, NAME)
        if isinstance(request, NativeRequest):
            return native_response(_ACTIONS, request, reply, NAME, self.error)
        body = loads_object(reply.body, NAME)
        if is_error(body):
            raise self.error(reply)
        if isinstance(request, ModelsRequest):
            return _models_response(body, reply)
        if isinstance(request, EmbedRequest):
            return self._embed_response(request, body, reply)
        raise unsupported_operation(NAME, request.operation)

    def _list(self, reply: WireResponse) -> Any:
        """The JSON of a native route, which is a list unless it is an error."""
        body = loads(reply.body, NAME)
        if is_error(body):
            raise self.error(reply)
        return body

    def _embed_response(
        self, request: EmbedRequest, body: dict[str, Any], reply: WireResponse
    ) -> EmbedResponse:
        try:
            response = self._reader.embed(request, body, reply.headers)
        except SHAPE_ERRORS as error:
            raise DecodeError(f"{NAME}: the embeddings can't be read: {error!r}", body=reply.body) from error
        dimensions = {len(vector) for vector in response.vectors}
        if len(dimensions) > 1:
            raise DecodeError(f"{NAME}: vectors of dimensions {sorted(dimensions)}", body=reply.body)
        return response

    def error(self, reply: WireResponse) -> AsyncAPIError:
        """The exception for a reply of status 400 or more."""
        return error_for(reply, service=NAME, table=_ERRORS)


def _embed_request(request: EmbedRequest) -> WireRequest:
    body: dict[str, Any] = {
        "input": request.inputs,
        "model": request.model,
        "encoding_format": "base64",
    }
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    if request.user_id is not None:
        body["user"] = request.user_id
    return json_request("/v1/embeddings", body, NAME, request.extra)


def _rerank_response(request: RerankRequest, body: Any, reply: WireResponse) -> RerankResponse:
    """Every document's score, joined by index; the server knows no ``top_n``, so it is applied here."""
    documents = len(request.documents)
    try:
        ranked = [_ranked(entry) for entry in body]
    except (KeyError, TypeError, AttributeError) as error:
        raise DecodeError(f"{NAME}: the ranking can't be read: {error!r}", body=reply.body) from error
    if sorted([item.index for item in ranked]) != list(range(documents)):
        raise DecodeError(f"{NAME}: not one score for each of {documents} documents", body=reply.body)
    ranked.sort(key=_order)
    return RerankResponse(
        model=request.model,
        results=tuple(ranked[: request.top_n]),
        usage=header_usage(reply.headers),
        raw=body,
        provider_request_id=request_id(reply.headers),
    )


def _ranked(entry: Any) -> Ranked:
    index, score, text = entry["index"], entry["score"], entry.get("text")
    if type(index) is not int or type(score) not in (float, int) or not isinstance(text, str | None):
        raise TypeError(f"an entry of an unexpected shape: {entry!r:.200}")
    return Ranked(index, float(score), text)


def _order(item: Ranked) -> tuple[float, int]:
    return -item.score, item.index


def _models_response(body: dict[str, Any], reply: WireResponse) -> ModelsResponse:
    ident = body.get("model_id")
    if not isinstance(ident, str):
        raise DecodeError(f"{NAME}: the answer names no model", body=reply.body)
    model = Model(id=ident, context_length=count(body.get("max_input_length")), raw=body)
    return ModelsResponse(models=(model,), raw=body, provider_request_id=request_id(reply.headers))


backend = TEI()
