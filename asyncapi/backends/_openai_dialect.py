"""The OpenAI dialect: one translator for every service that speaks it, told apart by ``Quirks``.

Source: OpenAI API reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, overload
from urllib.parse import urlencode

from asyncapi.abc import StreamDecoder
from asyncapi.backends import unsupported_operation
from asyncapi.backends._openai_codec import Body, Codec
from asyncapi.backends._openai_operations import CODECS, codec_class
from asyncapi.backends._openai_quirks import Quirks
from asyncapi.backends._openai_reply import SHAPE_ERRORS
from asyncapi.backends._openai_request import RequestWriter
from asyncapi.errors import AsyncAPIError, DecodeError
from asyncapi.types.requests import ChatRequest, Extra, Request, RespondRequest
from asyncapi.types.responses import Response
from asyncapi.types.wire import Service, WireRequest, WireResponse
from asyncapi.wire.errors import error_for
from asyncapi.wire.json import HEADERS, dumps, merge
from asyncapi.wire.masking import excerpt
from asyncapi.wire.multipart import Form

if TYPE_CHECKING:
    from asyncapi.backends._openai_responses_stream import ResponsesStream
    from asyncapi.backends._openai_stream import ChatStream

__all__ = ["OpenAIDialect"]

_NOTHING = Extra()


class OpenAIDialect:
    """The backend of one service: ``OpenAIDialect(Service(name="mine", ...), Quirks(...))``.

    Args:
        service: Where it lives and what it can do.
        quirks: How it differs from OpenAI.

    State: the ``_codecs`` of the operations that were used.
    """

    def __init__(self, service: Service, quirks: Quirks | None = None) -> None:
        quirks = quirks if quirks is not None else Quirks()
        self.service = service
        self.quirks = quirks
        self._name = service.name
        self._writer = RequestWriter(service.name, quirks)
        self._codecs: dict[str, Codec[Any]] = {}

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
        codec = self._codecs.get(request.operation) or self._codec(request.operation)
        notes: list[str] = []
        body = codec.write(request, notes)
        if type(body) is not dict or request.extra is not None:
            return self._written(codec, request, body, notes)
        return WireRequest(
            path=codec.path,
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
        codec = self._codecs.get(request.operation) or self._codec(request.operation)
        try:
            return codec.read(request, reply)
        except AsyncAPIError:
            raise
        except SHAPE_ERRORS as error:
            raise DecodeError(
                f"{self._name} answered a {request.operation} call in an unknown form "
                f"({type(error).__name__}: {error}): {excerpt(reply.body, 200)}",
                body=reply.body,
            ) from error

    def error(self, reply: WireResponse, /) -> AsyncAPIError:
        """The exception for a reply of status 400 or more, or a redirect."""
        return error_for(reply, service=self._name, table=self.quirks.errors)

    @overload
    def stream(  # type: ignore[overload-overlap]  # the first that fits is meant
        self, request: RespondRequest, reply: WireResponse, /
    ) -> ResponsesStream: ...
    @overload
    def stream(self, request: ChatRequest, reply: WireResponse, /) -> ChatStream: ...
    @overload
    def stream(self, request: Request, reply: WireResponse, /) -> StreamDecoder: ...
    def stream(self, request: Request, reply: WireResponse, /) -> StreamDecoder:
        """A decoder for the stream that answers a request.

        Raises:
            UnsupportedOperationError: The service does not offer the operation, or not as a stream.
        """
        return self._codec(request.operation).stream(request, reply)

    def _codec(self, operation: str) -> Codec[Any]:
        # What a row offers and the dialect does not have is for a subclass to translate.
        if operation not in self.service.operations or operation not in CODECS:
            raise unsupported_operation(self._name, operation)
        codec = self._codecs.get(operation)
        if codec is None:
            codec = self._codecs[operation] = codec_class(operation)(self._name, self.quirks)
        return codec

    def _written(self, codec: Codec[Any], request: Request, body: Body, notes: list[str]) -> WireRequest:
        """What is no plain JSON, or has extras to be merged in."""
        if isinstance(body, WireRequest):
            return body
        extra = request.extra if request.extra is not None else _NOTHING
        method, path = codec.route(request)
        if extra.query:
            path = f"{path}{'&' if '?' in path else '?'}{urlencode(extra.query)}"
        headers: dict[str, str] = {}
        data: bytes | None = None
        if isinstance(body, Form):
            for name, value in extra.body.items():
                body.field(name, value)
            data, headers["Content-Type"] = body.encode()
        elif body is not None:
            data = dumps(merge(body, extra.body), self._name)
            headers.update(HEADERS)
        for name, value in extra.headers.items():
            if name.lower() == "authorization":
                notes.append("extra.headers can't set the key: dropped Authorization")
            else:
                headers[name] = value
        return WireRequest(
            path=path, body=data, method=method, headers=headers or None, warnings=tuple(notes)
        )
