"""Ollama: its native API, which streams lines of JSON.

A prompt longer than the model's context is cut by the service without a word; the context is set
with ``Extra(body={"options": {"num_ctx": ...}})``, and changing it loads the model again.

Source: Ollama API documentation; Ollama Python client, parsing of OLLAMA_HOST.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from asyncapi.backends import unsupported_operation
from asyncapi.backends._decoding import count, seconds, vectors
from asyncapi.backends._encoding import get_request, json_request
from asyncapi.backends._native import Action, native_request, native_response
from asyncapi.backends._ollama_complete import CompletionStream, complete_request, complete_response
from asyncapi.backends._ollama_encode import NAME, chat_body
from asyncapi.backends._ollama_stream import OllamaStream, chat_response, failure
from asyncapi.errors import AsyncAPIError, ConfigError, DecodeError
from asyncapi.types.requests import (
    ChatRequest,
    CompleteRequest,
    EmbedRequest,
    ModelsRequest,
    NativeRequest,
    Request,
)
from asyncapi.types.responses import EmbedResponse, Model, ModelsResponse, Response
from asyncapi.types.usage import Usage
from asyncapi.types.wire import BatchLimit, Service, WireRequest, WireResponse
from asyncapi.wire.errors import is_error
from asyncapi.wire.json import loads_object

__all__ = ["Ollama", "backend", "normalise_url"]

_PORTS = {"http": 80, "https": 443}
_ACTIONS = {
    "ps": Action("GET", "/api/ps"),
    # Its lines of progress are no use to a caller who waits for the end.
    "pull": Action("POST", "/api/pull", model="model", fixed={"stream": False}),
    "show": Action("POST", "/api/show", model="model"),
    "version": Action("GET", "/api/version"),
}


def normalise_url(value: str) -> str:
    """A base URL from the forms that OLLAMA_HOST may have: any of scheme, host, port and path may lack.

    Without a scheme the port is 11434, with one it is the scheme's own (80 or 443).

    Raises:
        ConfigError: Not a host, nor a URL.
    """
    scheme, separator, rest = value.strip().rstrip("/").partition("://")
    if not separator:
        scheme, rest = "http", scheme
    scheme = scheme.lower()
    port = _PORTS.get(scheme, 11434) if separator else 11434
    try:
        split = urlsplit(f"{scheme}://{rest}")
        host, port = split.hostname or "127.0.0.1", split.port or port
    except ValueError as error:
        raise ConfigError(f"{value!r} is no address for {NAME}: {error}") from error
    if scheme not in _PORTS:
        raise ConfigError(f"{value!r} is no address for {NAME}: expected host:port or an http(s) URL")
    user, at, _ = split.netloc.rpartition("@")
    return f"{scheme}://{user}{at}{_bracketed(host)}:{port}{split.path.rstrip('/')}"


class Ollama:
    """Translates to and from Ollama's native API."""

    name = NAME
    service = Service(
        name=NAME,
        operations=frozenset({"chat", "complete", "embed", "models", "native"}),
        base_url="http://127.0.0.1:11434",
        key_env=("OLLAMA_API_KEY",),
        url_env=("OLLAMA_HOST", "OLLAMA_BASE_URL"),
        needs_key=False,
        normalise_url=normalise_url,
        # For embeddings there is no limit, but one text that fails takes all others with it.
        batches={"embed": BatchLimit(items=128), "complete": BatchLimit(items=1)},
    )

    def encode(self, request: Request) -> WireRequest:
        """The request in Ollama's form.

        Raises:
            UnsupportedOperationError: The service does not offer the operation or the action.
            ConfigError: A message or parameter that Ollama can't be given.
        """
        if isinstance(request, ChatRequest) and request.operation == "chat":
            warnings: list[str] = []
            body = chat_body(request, warnings)
            return json_request("/api/chat", body, NAME, request.extra, warnings)
        if isinstance(request, CompleteRequest):
            return complete_request(request)
        if isinstance(request, NativeRequest):
            return native_request(_ACTIONS, request, NAME)
        if isinstance(request, EmbedRequest):
            return _embed_request(request)
        if isinstance(request, ModelsRequest):
            return get_request("/api/tags", request.extra)
        raise unsupported_operation(NAME, request.operation)

    def authorize(self, secret: str) -> Mapping[str, str]:
        """The key as a bearer token, which the hosted service wants."""
        return {"Authorization": f"Bearer {secret}"}

    def decode(self, request: Request, reply: WireResponse) -> Response:
        """The answer.

        Raises:
            DecodeError: Not a whole answer to the request.
            ProviderError: The body of the 200 holds an error.
        """
        if isinstance(request, NativeRequest):
            return native_response(_ACTIONS, request, reply, NAME, failure)
        body = loads_object(reply.body, NAME)
        if is_error(body):
            raise failure(reply)
        try:
            if isinstance(request, EmbedRequest):
                return _embed_response(request, body)
            if isinstance(request, ModelsRequest):
                return _models_response(body)
            if isinstance(request, CompleteRequest):
                return complete_response(body)
            return chat_response(body)
        except DecodeError as error:
            error.body = reply.body[: 64 * 1024]
            raise

    def error(self, reply: WireResponse) -> AsyncAPIError:
        """The exception for a reply of status 400 or more."""
        return failure(reply)

    def stream(self, request: Request, reply: WireResponse) -> OllamaStream | CompletionStream:
        """A decoder for the lines that answer ``request``."""
        return CompletionStream(reply) if isinstance(request, CompleteRequest) else OllamaStream(reply)


def _bracketed(host: str) -> str:
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    except ValueError:
        return host


def _embed_request(request: EmbedRequest) -> WireRequest:
    if not request.inputs:
        raise ConfigError(f"{NAME} embeds one text or more, got none")
    if "" in request.inputs:
        # The service would leave it out of its answer, and every vector after it would move up.
        index = request.inputs.index("")
        raise ConfigError(f"inputs[{index}] is empty, which {NAME} can't embed: leave it out")
    body: dict[str, Any] = {"model": request.model, "input": request.inputs}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    return json_request("/api/embed", body, NAME, request.extra)


def _embed_response(request: EmbedRequest, body: dict[str, Any]) -> EmbedResponse:
    values, model = body.get("embeddings"), body.get("model", "")
    if not isinstance(values, list) or not isinstance(model, str):
        raise DecodeError(f"{NAME}: an answer without embeddings")
    tokens = count(body.get("prompt_eval_count"))
    return EmbedResponse(
        model=model,
        vectors=vectors(values, len(request.inputs), NAME),
        usage=Usage() if tokens is None else Usage(input_tokens=tokens, source="reported"),
        raw=body,
    )


def _models_response(body: dict[str, Any]) -> ModelsResponse:
    entries = body.get("models")
    if not isinstance(entries, list):
        raise DecodeError(f"{NAME}: the answer is not a list of models")
    return ModelsResponse(models=tuple([_model(entry) for entry in entries]), raw=body)


def _model(entry: Any) -> Model:
    ident = (entry.get("model") or entry.get("name")) if isinstance(entry, dict) else None
    if not isinstance(ident, str):
        raise DecodeError(f"{NAME}: a model without a name: {entry!r:.200}")
    return Model(id=ident, created=seconds(entry.get("modified_at")), raw=entry)


backend = Ollama()
