"""What every operation of the dialect has: a way to write its requests and one to read its replies."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

from asyncapi.abc import StreamDecoder
from asyncapi.backends import unsupported_operation
from asyncapi.backends._openai_quirks import PATHS, Quirks
from asyncapi.errors import AsyncAPIError
from asyncapi.types.requests import Request
from asyncapi.types.responses import Response
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireRequest, WireResponse
from asyncapi.wire.errors import error_for, is_error
from asyncapi.wire.json import loads_object
from asyncapi.wire.multipart import Form

__all__ = ["Body", "Codec", "by_index", "header", "media_type", "number", "read_tokens", "typed"]

R = TypeVar("R", bound=Request)

#: A JSON object, a form, nothing, or a whole request.
Body = dict[str, Any] | Form | WireRequest | None


class Codec(ABC, Generic[R]):
    """One operation of one service.

    Args:
        service: The service's name.
        quirks: How it differs from OpenAI.
    """

    operation: ClassVar[str]

    def __init__(self, service: str, quirks: Quirks) -> None:
        self.service = service
        self.quirks = quirks
        path = quirks.paths.get(self.operation) or PATHS.get(self.operation, "")
        self.path = path if self.operation in quirks.unprefixed else quirks.prefix + path

    def route(self, request: R) -> tuple[str, str]:
        """Method and path of a request that is no plain JSON."""
        return "POST", self.path

    @abstractmethod
    def write(self, request: R, notes: list[str]) -> Body:
        """The body. ``notes`` collects what was dropped on the way.

        Raises:
            ConfigError: The request can't be expressed.
        """

    @abstractmethod
    def read(self, request: R, reply: WireResponse) -> Response:
        """The answer.

        Raises:
            DecodeError: The body is not JSON.
            ProviderError: The body holds an error.
            KeyError, TypeError, ValueError, IndexError: The JSON has another shape.
        """

    def stream(self, request: R, reply: WireResponse) -> StreamDecoder:
        """A decoder for a streamed answer.

        Raises:
            UnsupportedOperationError: There are none.
        """
        raise unsupported_operation(self.service, f"streamed {self.operation}")

    def object(self, reply: WireResponse) -> dict[str, Any]:
        """The reply's JSON object, which is no error."""
        data = loads_object(reply.body, self.service)
        if is_error(data):
            raise self.failure(reply)
        return data

    def failure(self, reply: WireResponse) -> AsyncAPIError:
        """The exception that a reply means."""
        return error_for(reply, service=self.service, table=self.quirks.errors)


def typed(value: Any, kind: type) -> Any:
    """The value, which must be of that type."""
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
    return value


def number(value: Any) -> float:
    """The value, which must be a finite number."""
    if type(value) not in (int, float) or not math.isfinite(value):
        raise TypeError(f"expected a number, got {value!r:.40}")
    return float(value)


def by_index(items: Any, count: int) -> list[dict[str, Any]]:
    """The items in the order of their index, one for each of ``count`` places."""
    places: list[dict[str, Any] | None] = [None] * count
    for position, item in enumerate(typed(items, list)):
        index = item.get("index", position)
        if type(index) is not int or index < 0 or places[index] is not None:
            raise ValueError(f"index {index!r:.40} is out of place")
        places[index] = item
    found = [item for item in places if item is not None]
    if len(found) != count:
        raise ValueError(f"{len(found)} answers for {count}")
    return found


def header(headers: Mapping[str, str], name: str) -> str:
    """A header by its lower-case name, also where the headers are a plain dictionary."""
    return headers.get(name) or headers.get(name.title()) or ""


def media_type(headers: Mapping[str, str]) -> str:
    """The Content-Type without its parameters, in lower case."""
    return header(headers, "content-type").partition(";")[0].strip().lower()


def read_tokens(value: Any) -> Usage:
    """Usage in the newer words: ``input_tokens`` and ``output_tokens``."""
    if type(value) is not dict:
        return Usage()
    given, made = _count(value, "input_tokens"), _count(value, "output_tokens")
    if not given and not made:
        return Usage()
    before = value.get("input_tokens_details")
    after = value.get("output_tokens_details")
    return Usage(
        input_tokens=given,
        output_tokens=made,
        cache_read_tokens=_count(before, "cached_tokens"),
        cache_write_tokens=_count(before, "cache_write_tokens"),
        reasoning_tokens=_count(after, "reasoning_tokens"),
        source="reported",
    )


def _count(value: Any, name: str) -> int | None:
    found = value.get(name) if type(value) is dict else None
    return found if type(found) is int and found >= 0 else None
