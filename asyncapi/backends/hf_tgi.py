"""Text Generation Inference: chats over its OpenAI route, completions over its own, one model a server.

The server takes one prompt a call and batches inside. Any name of a model will do.

Source: Hugging Face Text Generation Inference, API reference and router.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from asyncapi.backends import unsupported_operation
from asyncapi.backends._decoding import tokens
from asyncapi.backends._encoding import json_request, one_text
from asyncapi.backends._native import Action, native_request, native_response
from asyncapi.backends._openai_dialect import OpenAIDialect
from asyncapi.backends._openai_quirks import Quirks
from asyncapi.backends._openai_reply import request_id
from asyncapi.backends._tgi_chat import TGIChatStream, stamp_of, with_own_ids
from asyncapi.backends._tgi_complete import (
    ERRORS,
    NAME,
    TGIStream,
    complete_request,
    complete_response,
    grammar,
)
from asyncapi.errors import AsyncAPIError, DecodeError
from asyncapi.types.requests import ChatRequest, CompleteRequest, NativeRequest, Request, TokenizeRequest
from asyncapi.types.responses import ChatResponse, Response, TokenizeResponse
from asyncapi.types.wire import BatchLimit, Service, WireRequest, WireResponse
from asyncapi.wire.errors import is_error
from asyncapi.wire.json import loads

__all__ = ["TGI", "backend"]

_ACTIONS = {"health": Action("GET", "/health", silent=True), "info": Action("GET", "/info")}


def _without_prefix(url: str) -> str:
    """The server's own clients take the host; with OpenAI's SDK people write the prefix too."""
    return url.rstrip("/").removesuffix("/v1")


_QUIRKS = Quirks(
    names={
        "max_tokens": "max_tokens",
        "n": None,
        "parallel_tool_calls": None,
        "reasoning_effort": None,
        "user_id": None,
        "metadata": None,
        "service_tier": None,
    },
    prefix="/v1",
    developer_role=False,
    errors=ERRORS,
)


class TGI:
    """Translates to and from Text Generation Inference."""

    name = NAME
    service = Service(
        name=NAME,
        operations=frozenset({"chat", "complete", "tokenize", "models", "native"}),
        base_url="http://localhost:8080",
        key_env=("HF_TGI_API_KEY", "TGI_API_KEY", "HF_API_KEY", "HF_API_TOKEN"),
        url_env=("HF_TGI_URL", "TGI_BASE_URL", "HF_TGI_BASE_URL"),
        needs_key=False,
        # No lists: those of the caller are cut up.
        batches={"complete": BatchLimit(items=1), "tokenize": BatchLimit(items=1)},
        normalise_url=_without_prefix,
    )

    def __init__(self) -> None:
        self._dialect = OpenAIDialect(self.service, _QUIRKS)

    def encode(self, request: Request) -> WireRequest:
        """The request in the server's form.

        Raises:
            UnsupportedOperationError: The server does not offer the operation or the action.
            ConfigError: The request can't be expressed.
        """
        if isinstance(request, CompleteRequest):
            return complete_request(request)
        if isinstance(request, TokenizeRequest):
            return _tokenize_request(request)
        if isinstance(request, NativeRequest):
            return native_request(_ACTIONS, request, NAME)
        if isinstance(request, ChatRequest) and request.response_format is not None:
            request = replace(request, response_format=grammar(request.response_format))
        return self._dialect.encode(request)

    def authorize(self, secret: str) -> Mapping[str, str]:
        """The key as a bearer token."""
        return self._dialect.authorize(secret)

    def decode(self, request: Request, reply: WireResponse) -> Response:
        """The answer.

        Raises:
            DecodeError: Not a whole answer to the request.
            ProviderError: The body of the 200 holds an error.
        """
        if isinstance(request, NativeRequest):
            return native_response(_ACTIONS, request, reply, NAME, self.error)
        if not isinstance(request, CompleteRequest | TokenizeRequest):
            response = self._dialect.decode(request, reply)
            return (
                with_own_ids(response, stamp_of(reply.body))
                if isinstance(response, ChatResponse)
                else response
            )
        body = loads(reply.body, NAME)
        if is_error(body):
            raise self.error(reply)
        try:
            if isinstance(request, CompleteRequest):
                return complete_response(request, body, reply.headers)
            return _tokenize_response(request, body, reply)
        except DecodeError as error:
            error.body = reply.body[: 64 * 1024]
            raise

    def error(self, reply: WireResponse) -> AsyncAPIError:
        """The exception for a reply of status 400 or more."""
        return self._dialect.error(reply)

    def stream(self, request: Request, reply: WireResponse) -> TGIStream | TGIChatStream:
        """A decoder for the stream that answers a chat or a completion."""
        if isinstance(request, CompleteRequest):
            return TGIStream(request, reply)
        if isinstance(request, ChatRequest):
            return TGIChatStream(self._dialect.stream(request, reply))
        raise unsupported_operation(NAME, f"streamed {request.operation}")


def _tokenize_request(request: TokenizeRequest) -> WireRequest:
    body: dict[str, Any] = {"inputs": one_text(request.inputs, NAME, "text")}
    warnings = () if request.add_special_tokens else (f"{NAME} always adds special tokens",)
    return json_request("/tokenize", body, NAME, request.extra, warnings)


def _tokenize_response(request: TokenizeRequest, body: Any, reply: WireResponse) -> TokenizeResponse:
    return TokenizeResponse(
        model=request.model,
        results=(tokens(body, NAME),),
        raw=body,
        provider_request_id=request_id(reply.headers),
    )


backend = TGI()
