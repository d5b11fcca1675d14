"""Which calls may travel together, and how an answer is shared out again.

A strategy knows one operation: what makes two requests compatible, how to merge and to split them.
It works on the normal form, so it serves every service that offers the operation.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Protocol

import msgspec

from asyncapi.types.requests import EmbedRequest, Request
from asyncapi.types.responses import EmbedResponse, Response
from asyncapi.types.usage import Usage

__all__ = ["STRATEGIES", "Batching", "EmbedBatching", "share"]


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

    def split(self, response: Response, requests: Sequence[Request], /) -> list[Response]:
        """The answer of a merged request, shared out in the requests' order."""
        ...

    def answers(self, response: Response, /) -> int:
        """How many items the answer has."""
        ...

    def pieces(self, request: Request, items: int, chars: int | None, /) -> list[Request]:
        """One request cut into such as keep to the service's limits (itself alone if it does)."""
        ...

    def join(self, responses: Sequence[Response], /) -> Response:
        """The answer to a request that was cut into pieces."""
        ...


class EmbedBatching:
    """Embeddings: the texts of several calls in one list."""

    def key(self, request: Request, /) -> Hashable | None:
        """Same model, dimensions and user; a request with ``extra`` goes alone."""
        assert isinstance(request, EmbedRequest)
        return None if request.extra is not None else (request.model, request.dimensions, request.user_id)

    def items(self, request: Request, /) -> int:
        """The number of texts."""
        assert isinstance(request, EmbedRequest)
        return len(request.inputs)

    def chars(self, request: Request, /) -> int:
        """The length of all texts."""
        assert isinstance(request, EmbedRequest)
        return sum(map(len, request.inputs))

    def merge(self, requests: Sequence[Request], /) -> Request:
        """All texts in order."""
        inputs = tuple(text for r in requests if isinstance(r, EmbedRequest) for text in r.inputs)
        return msgspec.structs.replace(requests[0], inputs=inputs)

    def split(self, response: Response, requests: Sequence[Request], /) -> list[Response]:
        """Each request's vectors; usage in proportion to characters, its sum exact."""
        assert isinstance(response, EmbedResponse)
        usages = share(response.usage, [self.chars(request) for request in requests])
        answers: list[Response] = []
        start = 0
        for request, usage in zip(requests, usages, strict=True):
            end = start + self.items(request)
            answers.append(
                msgspec.structs.replace(response, vectors=response.vectors[start:end], usage=usage)
            )
            start = end
        return answers

    def answers(self, response: Response, /) -> int:
        """The number of vectors."""
        assert isinstance(response, EmbedResponse)
        return len(response.vectors)

    def pieces(self, request: Request, items: int, chars: int | None, /) -> list[Request]:
        """Runs of texts within both limits; a single text over the limit stays whole."""
        assert isinstance(request, EmbedRequest)
        if len(request.inputs) <= items and (chars is None or self.chars(request) <= chars):
            return [request]
        runs: list[list[str]] = [[]]
        length = 0
        for text in request.inputs:
            if runs[-1] and (len(runs[-1]) >= items or (chars is not None and length + len(text) > chars)):
                runs.append([])
                length = 0
            runs[-1].append(text)
            length += len(text)
        return [msgspec.structs.replace(request, inputs=tuple(run)) for run in runs]

    def join(self, responses: Sequence[Response], /) -> Response:
        """All vectors in order, usage summed."""
        first = responses[0]
        vectors = tuple(v for r in responses if isinstance(r, EmbedResponse) for v in r.vectors)
        return msgspec.structs.replace(
            first, vectors=vectors, usage=_total([r.usage for r in responses]), raw=[r.raw for r in responses]
        )


STRATEGIES: Mapping[str, Batching] = {"embed": EmbedBatching()}

_COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


def share(usage: Usage, weights: Sequence[int]) -> list[Usage]:
    """One answer's usage shared out by weight. Each count's sum is exact (largest remainder).

    Args:
        usage: What the service reported for all of them.
        weights: A size for each, 0 or more.
    """
    if len(weights) == 1:
        return [usage]
    columns = {
        name: _apportion(count, weights) for name in _COUNTS if (count := getattr(usage, name)) is not None
    }
    return [
        Usage(
            source="unknown" if usage.source == "unknown" else "estimated",
            **{name: column[i] for name, column in columns.items()},
        )
        for i in range(len(weights))
    ]


def _apportion(total: int, weights: Sequence[int]) -> list[int]:
    whole = sum(weights)
    if not whole:
        weights, whole = [1] * len(weights), len(weights)
    parts = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: -(total * weights[i] % whole))
    for i in by_remainder[: total - sum(parts)]:
        parts[i] += 1
    return parts


def _total(usages: Sequence[Usage]) -> Usage:
    def add(name: str) -> int | None:
        counts = [count for usage in usages if (count := getattr(usage, name)) is not None]
        return sum(counts) if counts else None

    return Usage(source=usages[0].source, **{name: add(name) for name in _COUNTS})
