"""The OpenAI dialect: one translator for every service that speaks it, told apart by ``Quirks``.

Source: OpenAI API reference, Chat completions, Embeddings, Models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from asyncapi.backends import unsupported_operation
from asyncapi.backends._openai_quirks import PATHS, Quirks
from asyncapi.backends._openai_reply import SHAPE_ERRORS, ReplyReader
from asyncapi.backends._openai_request import RequestWriter
from asyncapi.backends._openai_stream import ChatStream
from asyncapi.errors import AsyncAPIError, DecodeError
from asyncapi.types.requests import ChatRequest, EmbedRequest, ModelsRequest, Request, RerankRequest
from asyncapi.types.responses import Response
from asyncapi.types.wire import Service, WireRequest, WireResponse
from asyncapi.wire.errors import error_for, is_error
from asyncapi.wire.json import HEADERS, dumps, loads_object, merge
from asyncapi.wire.masking import excerpt

__all__ = ["OpenAIDialect"]


class OpenAIDialect:
    """The backend of one service: ``OpenAIDialect(Service(name="mine", ...), Quirks(...))``.

    Args:
        service: Where it lives and what it can do.
        quirks: How it differs from OpenAI.
    """

    def __init__(self, service: Service, quirks: Quirks | None = None) -> None:
        quirks = quirks if quirks is not None else Quirks()
        self.service = service
        self.quirks = quirks
        self._name = service.name
        self._paths = {name: quirks.prefix + path for name, path in {**PATHS, **quirks.paths}.items()}
        self._writer = RequestWriter(service.name, quirks)
        self._reader = ReplyReader(service.name, quirks)

    def __repr__(self) -> str:
        return f"OpenAIDialect({self._name!r})"

    @property
    def name(self) -> str:
        """The prefix in ``provider:model``."""
        return self._name

    def encode(self, request: Request, /) -> WireRequest:
        """The request in the dialect's form.

        Raises:
            UnsupportedOperationError: The service does not offer the operation.
            ConfigError: The request can't be expressed.
        """
        operation = request.operation
        if operation not in self.service.operations:
            raise unsupported_operation(self._name, operation)
        notes: list[str] = []
        body: dict[str, Any] | None
        if isinstance(request, ChatRequest):
            body = self._writer.chat(request, notes)
        elif isinstance(request, EmbedRequest):
            body = self._writer.embed(request, notes)
        elif isinstance(request, RerankRequest):
            body = self.quirks.rerank.write(request)
        else:
            body = None
        if request.extra is not None:
            return self._with_extra(request, body, notes)
        if body is None:
            return WireRequest(path=self._paths[operation], method="GET")
        return WireRequest(
            path=self._paths[operation],
            body=dumps(body, self._name),
            headers=HEADERS,
            warnings=tuple(notes),
        )

    def authorize(self, secret: str, /) -> Mapping[str, str]:
        """The header that carries a key."""
        return {"Authorization": f"Bearer {secret}"}

    def decode(self, request: Request, reply: WireResponse, /) -> Response:
        """The answer of a reply of status below 400.

        Raises:
            DecodeError: The body is not what the dialect promises.
            ProviderError: The body holds an error.
        """
        body = reply.body
        data = loads_object(body, self._name)
        if is_error(data):
            raise error_for(reply, service=self._name, table=self.quirks.errors)
        try:
            if isinstance(request, ChatRequest):
                return self._reader.chat(request, data, reply.headers)
            if isinstance(request, EmbedRequest):
                return self._reader.embed(request, data, reply.headers)
            if isinstance(request, RerankRequest):
                return self._reader.rerank(request, data, reply.headers)
            if isinstance(request, ModelsRequest):
                return self._reader.models(request, data, reply.headers)
        except SHAPE_ERRORS as error:
            raise DecodeError(
                f"{self._name} answered a {request.operation} call in an unknown form "
                f"({type(error).__name__}: {error}): {excerpt(body, 200)}",
                body=body,
            ) from error
        raise unsupported_operation(self._name, request.operation)

    def error(self, reply: WireResponse, /) -> AsyncAPIError:
        """The exception for a reply of status 400 or more, or a redirect."""
        return error_for(reply, service=self._name, table=self.quirks.errors)

    def stream(self, request: Request, reply: WireResponse, /) -> ChatStream:
        """A decoder for the stream that answers a chat request."""
        if not isinstance(request, ChatRequest):
            raise unsupported_operation(self._name, f"streamed {request.operation}")
        return ChatStream(
            self._name,
            self.quirks,
            request.model,
            self._writer.outputs(request),
            reply.status,
            reply.headers,
        )

    def _with_extra(self, request: Request, body: dict[str, Any] | None, notes: list[str]) -> WireRequest:
        extra = request.extra
        assert extra is not None
        path = self._paths[request.operation]
        if extra.query:
            path = f"{path}?{urlencode(extra.query)}"
        headers = dict(HEADERS) if body is not None else {}
        for name, value in extra.headers.items():
            if name.lower() == "authorization":
                notes.append("extra.headers can't set the key: dropped Authorization")
            else:
                headers[name] = value
        return WireRequest(
            path=path,
            body=dumps(merge(body, extra.body), self._name) if body is not None else None,
            method="POST" if body is not None else "GET",
            headers=headers,
            warnings=tuple(notes),
        )
