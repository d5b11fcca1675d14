"""Documents ranked for one query. Documents for different queries never share a request."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import accumulate, pairwise

from msgspec.structs import replace

from asyncapi.policies.batching.lists import ListBatching
from asyncapi.policies.batching.shares import share, total
from asyncapi.types.requests import Request, RerankRequest
from asyncapi.types.responses import Ranked, RerankResponse, Response

__all__ = ["RerankBatching"]


class RerankBatching(ListBatching):
    """The documents of several calls with the same query; and lists longer than the service takes.

    A document's score depends on the query and on it alone, so the scores of several requests make one
    ranking. ``top_n`` is applied here to requests that were merged or cut.
    """

    def __init__(self) -> None:
        super().__init__(RerankRequest, "documents", "results")

    def key(self, request: Request, /) -> Hashable | None:
        """Model and query."""
        assert isinstance(request, RerankRequest)
        return None if request.extra is not None else (request.model, request.query)

    def merge(self, requests: Sequence[Request], /) -> Request:
        """All documents in order, and every one's score is wanted; a single request stays as it is."""
        return requests[0] if len(requests) == 1 else replace(super().merge(requests), top_n=None)

    def split(self, response: Response, requests: Sequence[Request], /) -> list[Response]:
        """Each request's documents by falling score, their places counted within the request."""
        assert isinstance(response, RerankResponse)
        if len(requests) == 1:
            return [response]
        usages = share(response.usage, [self.chars(request) for request in requests])
        ends = [0, *accumulate(map(self.items, requests))]
        return [
            replace(
                response,
                usage=usage,
                results=_best(
                    request,
                    (replace(r, index=r.index - start) for r in response.results if start <= r.index < end),
                ),
            )
            for request, usage, (start, end) in zip(requests, usages, pairwise(ends), strict=True)
        ]

    def answers(self, request: Request, response: Response, /) -> int:
        """All documents, if there are as many results as were asked for."""
        assert isinstance(request, RerankRequest)
        assert isinstance(response, RerankResponse)
        documents, results = len(request.documents), len(response.results)
        wanted = documents if request.top_n is None else min(request.top_n, documents)
        return documents if results == wanted else results

    def pieces(self, request: Request, items: int, chars: int | None, /) -> list[Request]:
        """Runs of documents within both limits, of which every score is wanted."""
        runs = super().pieces(request, items, chars)
        return runs if len(runs) == 1 else [replace(run, top_n=None) for run in runs]

    def join(self, request: Request, responses: Sequence[Response], /) -> Response:
        """One ranking of all documents, usage summed."""
        every = [response for response in responses if isinstance(response, RerankResponse)]
        starts = [0, *accumulate(len(response.results) for response in every)]
        ranked = [
            replace(one, index=one.index + start)
            for response, start in zip(every, starts, strict=False)
            for one in response.results
        ]
        return replace(
            every[0],
            results=_best(request, ranked),
            usage=total([response.usage for response in every]),
            raw=[response.raw for response in every],
        )


def _best(request: Request, ranked: Iterable[Ranked]) -> tuple[Ranked, ...]:
    assert isinstance(request, RerankRequest)
    return tuple(sorted(ranked, key=_falling)[: request.top_n])


def _falling(one: Ranked) -> tuple[float, int]:
    return -one.score, one.index
