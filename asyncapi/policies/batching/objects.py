"""Deleting many objects: the keys of several calls in one request."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from msgspec.structs import replace

from asyncapi.policies.batching.shares import share, total
from asyncapi.policies.batching.strategy import frozen
from asyncapi.types.objects import ObjectRequest, ObjectResponse
from asyncapi.types.requests import Request
from asyncapi.types.responses import Response

__all__ = ["ObjectBatching"]

_BULK = "delete_many"


class ObjectBatching:
    """The bulk deletes of one bucket. Every other action goes alone.

    A single "delete" does too: in bulk a key that can't be deleted is an entry in ``failures``, where
    alone it is an exception.
    """

    def key(self, request: Request, /) -> Hashable | None:
        """Bucket and arguments of a bulk delete."""
        assert isinstance(request, ObjectRequest)
        if request.action != _BULK or request.extra is not None or request.streams:
            return None
        try:
            return (request.model, frozen(request.arguments))
        except TypeError:
            return None

    def items(self, request: Request, /) -> int:
        """The number of keys of a bulk delete, else 1."""
        assert isinstance(request, ObjectRequest)
        return len(request.keys) or 1 if request.action == _BULK else 1

    def chars(self, request: Request, /) -> int:
        """The length of the keys."""
        assert isinstance(request, ObjectRequest)
        return sum(map(len, request.keys))

    def merge(self, requests: Sequence[Request], /) -> Request:
        """All keys in order."""
        if len(requests) == 1:
            return requests[0]
        keys = [key for r in requests if isinstance(r, ObjectRequest) for key in r.keys]
        return replace(requests[0], keys=tuple(keys))

    def split(self, response: Response, requests: Sequence[Request], /) -> list[Response]:
        """Which of each request's keys are gone, and which are not and why."""
        assert isinstance(response, ObjectResponse)
        if len(requests) == 1:
            return [response]
        usages = share(response.usage, [self.items(request) for request in requests])
        deleted, failures = set(response.deleted), response.failures
        return [
            replace(
                response,
                deleted=tuple([key for key in request.keys if key in deleted]),
                failures={key: failures[key] for key in request.keys if key in failures},
                answered=len(request.keys),
                usage=usage,
            )
            for request, usage in zip(requests, usages, strict=True)
            if isinstance(request, ObjectRequest)
        ]

    def answers(self, request: Request, response: Response, /) -> int:
        """The number of keys that a bulk delete speaks of, else 1."""
        assert isinstance(response, ObjectResponse)
        return response.answered

    def pieces(self, request: Request, items: int, chars: int | None, /) -> list[Request]:
        """Runs of keys within the limit."""
        assert isinstance(request, ObjectRequest)
        keys = request.keys
        if request.action != _BULK or len(keys) <= items:
            return [request]
        return [replace(request, keys=keys[i : i + items]) for i in range(0, len(keys), items)]

    def join(self, request: Request, responses: Sequence[Response], /) -> Response:
        """All keys, usage summed."""
        every = [response for response in responses if isinstance(response, ObjectResponse)]
        return replace(
            every[0],
            deleted=tuple([key for response in every for key in response.deleted]),
            failures={key: text for response in every for key, text in response.failures.items()},
            answered=sum(response.answered for response in every),
            usage=total([response.usage for response in every]),
            raw=[response.raw for response in every],
        )
