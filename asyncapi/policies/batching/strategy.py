"""What a strategy answers, and how values are compared."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

from asyncapi.errors import AsyncAPIError
from asyncapi.types.requests import Request
from asyncapi.types.responses import Response

__all__ = ["Batching", "frozen"]


class Batching(Protocol):
    """One operation's way of travelling together."""

    def key(self, request: Request, /) -> Hashable | None:
        """Equal for requests that may be merged; None for one that must go alone."""
        ...

    def items(self, request: Request, /) -> int:
        """How many of the service's items the request has."""
        ...

    def chars(self, request: Request, /) -> int:
        """How many characters it has, the measure for token limits."""
        ...

    def merge(self, requests: Sequence[Request], /) -> Request:
        """One request for all of them."""
        ...

    def split(self, response: Response, requests: Sequence[Request], /) -> Sequence[Response | AsyncAPIError]:
        """The answer of a merged request, shared out in the requests' order; an error ends that one alone."""
        ...

    def answers(self, request: Request, response: Response, /) -> int:
        """How many of the request's items the answer has."""
        ...

    def pieces(self, request: Request, items: int, chars: int | None, /) -> list[Request]:
        """One request cut into such as keep to the service's limits (itself alone if it does)."""
        ...

    def join(self, request: Request, responses: Sequence[Response], /) -> Response:
        """The answer to a request that was cut into pieces."""
        ...


def frozen(value: Any) -> Hashable:
    """A hashable stand-in, equal for equal values of the same JSON types: 1, 1.0 and true differ.

    Raises:
        TypeError: The value holds something that has none.
    """
    if isinstance(value, Mapping):
        return ("{}", frozenset((key, frozen(inner)) for key, inner in value.items()))
    if isinstance(value, list | tuple):
        return ("[]", tuple([frozen(inner) for inner in value]))
    hash(value)
    return (type(value), value)
