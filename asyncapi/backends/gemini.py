"""Gemini: the generateContent API of Google AI for Developers.

The version of the API is a part of the path: ``Gemini(api_version="v1")`` speaks the stable one; the
default one also knows the ``-latest`` aliases and previews.

Extras of an embedding go into each text's request, where the service looks for them::

    Extra(body={"taskType": "RETRIEVAL_QUERY"})

Source: Gemini API reference, "Generating content", "Tokens", "Embeddings", "Models".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from asyncapi.backends import unsupported_operation
from asyncapi.backends._encoding import get_request, json_request
from asyncapi.backends._gemini_encode import NAME, chat_body
from asyncapi.backends._gemini_reply import (
    blocked,
    chat_response,
    count_response,
    embed_response,
    failure,
    models_response,
    stamp_of,
)
from asyncapi.backends._gemini_stream import GeminiStream
from asyncapi.errors import AsyncAPIError, ConfigError, DecodeError
from asyncapi.types.requests import (
    ChatRequest,
    CountTokensRequest,
    EmbedRequest,
    Extra,
    ModelsRequest,
    Request,
)
from asyncapi.types.responses import Response
from asyncapi.types.wire import BatchLimit, Service, WireRequest, WireResponse
from asyncapi.wire.errors import is_error
from asyncapi.wire.json import loads_object, merge

__all__ = ["Gemini", "backend"]


def _without_version(url: str) -> str:
    """The SDK takes the host; the reference writes the version behind it."""
    return url.rstrip("/").removesuffix("/v1beta").removesuffix("/v1")


class Gemini:
    """Translates to and from the generateContent API.

    Args:
        api_version: "v1beta" or "v1".
    """

    name = NAME
    service = Service(
        name=NAME,
        operations=frozenset({"chat", "count_tokens", "embed", "models"}),
        base_url="https://generativelanguage.googleapis.com",
        key_env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        url_env=("GOOGLE_GEMINI_BASE_URL", "GEMINI_BASE_URL"),
        normalise_url=_without_version,
        batches={"embed": BatchLimit(items=100)},
    )

    def __init__(self, *, api_version: str = "v1beta") -> None:
        self.api_version = api_version
        self._root = f"/{api_version}"

    def encode(self, request: Request) -> WireRequest:
        """The request in Gemini's form.

        Raises:
            UnsupportedOperationError: Not a chat, a count of tokens, an embedding, nor a list of models.
            ConfigError: A message or parameter that Gemini can't be given.
        """
        extra = request.extra
        if extra is not None and "key" in extra.query:
            raise ConfigError(f"{NAME}: the key goes into a header, never into the URL: give it in keys")
        if isinstance(request, EmbedRequest):
            return self._embed_request(request)
        if isinstance(request, ModelsRequest):
            return get_request(f"{self._root}/models?pageSize=1000", extra)
        if not isinstance(request, ChatRequest) or request.operation not in self.service.operations:
            raise unsupported_operation(NAME, request.operation)
        warnings: list[str] = []
        body = chat_body(request, f"{self.service.base_url}{self._root}/files", warnings)
        if isinstance(request, CountTokensRequest):
            return self._count_request(request, body, warnings)
        method = "streamGenerateContent?alt=sse" if request.stream else "generateContent"
        return json_request(self._path(request.model, method), body, NAME, extra, warnings)

    def _path(self, model: str, method: str) -> str:
        name = _full(model)
        if ".." in name.split("/"):
            raise ConfigError(f"{model!r} is no name of a model")
        return f"{self._root}/{quote(name)}:{method}"

    def _count_request(
        self, request: CountTokensRequest, body: dict[str, Any], warnings: list[str]
    ) -> WireRequest:
        """What would be sent is counted whole, with its tools and system instruction."""
        extra = request.extra
        if extra is not None:
            body = merge(body, extra.body)
        if len(body) > 1:
            body = {"generateContentRequest": {"model": _full(request.model), **body}}
        path = self._path(request.model, "countTokens")
        return json_request(path, body, NAME, _without_body(extra), warnings)

    def _embed_request(self, request: EmbedRequest) -> WireRequest:
        common: dict[str, Any] = {"model": _full(request.model)}
        if request.dimensions is not None:
            common["outputDimensionality"] = request.dimensions
        if request.extra is not None:
            common = merge(common, request.extra.body)
        # One content a text: several parts in one content would become one vector.
        body = {"requests": [{**common, "content": {"parts": [{"text": text}]}} for text in request.inputs]}
        warnings = () if request.user_id is None else (f"{NAME} does not take user_id: not sent",)
        path = self._path(request.model, "batchEmbedContents")
        return json_request(path, body, NAME, _without_body(request.extra), warnings)

    def authorize(self, secret: str) -> Mapping[str, str]:
        """The key in a header; in the URL it would end up in logs."""
        return {"x-goog-api-key": secret}

    def decode(self, request: Request, reply: WireResponse) -> Response:
        """The answer.

        Raises:
            DecodeError: Not a whole answer to the request.
            ContentRefusedError: The prompt was blocked.
            ProviderError: The body of the 200 holds an error.
        """
        body = loads_object(reply.body, NAME)
        if is_error(body):
            raise failure(reply)
        try:
            return self._response(request, body, reply)
        except DecodeError as error:
            error.body = reply.body[: 64 * 1024]
            raise

    def _response(self, request: Request, body: dict[str, Any], reply: WireResponse) -> Response:
        if isinstance(request, EmbedRequest):
            return embed_response(body, request.model, len(request.inputs))
        if isinstance(request, ModelsRequest):
            return models_response(body)
        if isinstance(request, CountTokensRequest):
            return count_response(body, request.model)
        if not body.get("candidates") and (refused := blocked(body, reply)) is not None:
            raise refused
        return chat_response(body, request.model, stamp_of(body))

    def error(self, reply: WireResponse) -> AsyncAPIError:
        """The exception for a reply of status 400 or more."""
        return failure(reply)

    def stream(self, request: Request, reply: WireResponse) -> GeminiStream:
        """A decoder for the events that answer ``request``."""
        wanted = request.n if isinstance(request, ChatRequest) else None
        return GeminiStream(reply, request.model, wanted or 1)


def _full(model: str) -> str:
    """The model's resource name; tuned models bring theirs."""
    return model if "/" in model else f"models/{model}"


def _without_body(extra: Extra | None) -> Extra | None:
    return None if extra is None else msgspec.structs.replace(extra, body={})


backend = Gemini()
