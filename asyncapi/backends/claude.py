"""Claude: the Messages API of Anthropic.

Two versions of the API are alive. The default one refuses temperature, top_p and top_k, which are
then dropped with a warning; a call that needs them asks for the older version::

    Extra(headers={"anthropic-version": "2023-06-01"})

Source: Anthropic API reference, "Messages", "Models", "API versions".
"""

from __future__ import annotations

from collections.abc import Mapping

from asyncapi.backends import unsupported_operation
from asyncapi.backends._claude_encode import NAME, chat_body, count_body
from asyncapi.backends._claude_reply import (
    ERRORS,
    chat_response,
    count_response,
    models_response,
    request_id,
)
from asyncapi.backends._claude_stream import ClaudeStream
from asyncapi.backends._encoding import get_request, json_request
from asyncapi.errors import AsyncAPIError, DecodeError
from asyncapi.types.requests import ChatRequest, CountTokensRequest, ModelsRequest, Request
from asyncapi.types.responses import Response
from asyncapi.types.wire import RateHeaders, Service, TokenHeaders, WireRequest, WireResponse
from asyncapi.wire.errors import error_for, is_error
from asyncapi.wire.json import HEADERS, loads_object

__all__ = ["Claude", "backend"]


class Claude:
    """Translates to and from the Messages API.

    Args:
        api_version: The ``anthropic-version`` to speak; a call's own header wins.
        default_max_tokens: Sent where the caller sets no ``max_tokens``, which this service demands.
    """

    name = NAME
    service = Service(
        name=NAME,
        operations=frozenset({"chat", "count_tokens", "models"}),
        base_url="https://api.anthropic.com",
        key_env=("ANTHROPIC_API_KEY", "CLAUDE_API_KEY"),
        url_env=("ANTHROPIC_BASE_URL",),
        rate_headers=RateHeaders(
            "anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-limit", 60.0
        ),
        token_headers=(
            TokenHeaders(
                "input_tokens",
                "anthropic-ratelimit-input-tokens-remaining",
                "anthropic-ratelimit-input-tokens-limit",
            ),
            TokenHeaders(
                "output_tokens",
                "anthropic-ratelimit-output-tokens-remaining",
                "anthropic-ratelimit-output-tokens-limit",
            ),
        ),
        cached_tokens_count=False,
        request_id_header="X-Request-ID",
    )

    def __init__(self, *, api_version: str = "2026-10-21", default_max_tokens: int = 4096) -> None:
        self.api_version = api_version
        self.default_max_tokens = default_max_tokens
        self._headers: Mapping[str, str] = {**HEADERS, "anthropic-version": api_version}
        self._get_headers: Mapping[str, str] = {"anthropic-version": api_version}

    def encode(self, request: Request) -> WireRequest:
        """The request in Claude's form.

        Raises:
            UnsupportedOperationError: Not a chat, a count of tokens, nor a list of models.
            ConfigError: A message or parameter that Claude can't be given.
        """
        if isinstance(request, ModelsRequest):
            return get_request("/v1/models?limit=1000", request.extra, self._get_headers)
        if not isinstance(request, ChatRequest) or request.operation not in self.service.operations:
            raise unsupported_operation(NAME, request.operation)
        warnings: list[str] = []
        path = "/v1/messages"
        body = chat_body(request, self._version(request), self.default_max_tokens, warnings)
        if isinstance(request, CountTokensRequest):
            path, body = "/v1/messages/count_tokens", count_body(body)
        return json_request(path, body, NAME, request.extra, warnings, self._headers)

    def _version(self, request: ChatRequest) -> str:
        """The API version that the call will speak."""
        if request.extra is not None:
            for header, value in request.extra.headers.items():
                if header.lower() == "anthropic-version":
                    return value
        return self.api_version

    def authorize(self, secret: str) -> Mapping[str, str]:
        """The key in ``x-api-key``, which every version and older proxies take."""
        return {"x-api-key": secret}

    def decode(self, request: Request, reply: WireResponse) -> Response:
        """The answer.

        Raises:
            DecodeError: Not a message, not a count, or not a list of models.
            ProviderError: The body of the 200 holds an error.
        """
        body = loads_object(reply.body, NAME)
        if is_error(body):
            raise error_for(reply, service=NAME, table=ERRORS)
        try:
            if isinstance(request, ModelsRequest):
                return models_response(body, request_id(reply))
            if isinstance(request, CountTokensRequest):
                return count_response(body, request.model, request_id(reply))
            return chat_response(body, None, request_id(reply))
        except DecodeError as error:
            error.body = reply.body[: 64 * 1024]
            raise

    def error(self, reply: WireResponse) -> AsyncAPIError:
        """The exception for a reply of status 400 or more."""
        return error_for(reply, service=NAME, table=ERRORS)

    def stream(self, request: Request, reply: WireResponse) -> ClaudeStream:
        """A decoder for the events that answer ``request``."""
        return ClaudeStream(reply)


backend = Claude()
