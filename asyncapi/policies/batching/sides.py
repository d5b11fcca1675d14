"""Inference where a model takes one input of any shape: several inputs side by side."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from msgspec.structs import replace

from asyncapi.errors import AsyncAPIError
from asyncapi.policies.batching.shares import share
from asyncapi.policies.batching.strategy import frozen
from asyncapi.types.requests import InferBatchRequest, InferRequest, Request
from asyncapi.types.responses import InferBatchResponse, InferResponse, Response

__all__ = ["SideBySide"]


class SideBySide:
    """Each call's tensors are one item, whatever their shapes; an item may fail alone."""

    def key(self, request: Request, /) -> Hashable | None:
        """Model, version, outputs and parameters."""
        assert isinstance(request, InferRequest)
        if request.extra is not None:
            return None
        try:
            return (request.model, request.version, request.outputs, frozen(request.parameters))
        except TypeError:
            return None

    def items(self, request: Request, /) -> int:
        """One."""
        return 1

    def chars(self, request: Request, /) -> int:
        """The size of the inputs, in bytes or values as they are given."""
        assert isinstance(request, InferRequest)
        return sum(len(tensor.data) for tensor in request.inputs.values())

    def merge(self, requests: Sequence[Request], /) -> Request:
        """All of them; a single one stays the inference that it is."""
        first = requests[0]
        if len(requests) == 1:
            return first
        assert isinstance(first, InferRequest)
        inputs = tuple([request.inputs for request in requests if isinstance(request, InferRequest)])
        return InferBatchRequest(
            model=first.model,
            inputs=inputs,
            outputs=first.outputs,
            version=first.version,
            parameters=first.parameters,
        )

    def split(self, response: Response, requests: Sequence[Request], /) -> list[Response | AsyncAPIError]:
        """Each call's own outputs or its own error; usage in proportion to the inputs' size."""
        if len(requests) == 1:
            return [response]
        assert isinstance(response, InferBatchResponse)
        usages = share(response.usage, [self.chars(request) for request in requests])
        parts: list[Response | AsyncAPIError] = []
        for result, usage in zip(response.results, usages, strict=True):
            if isinstance(result, InferResponse):
                parts.append(
                    replace(
                        result,
                        usage=usage,
                        warnings=response.warnings,
                        provider_request_id=response.provider_request_id,
                    )
                )
            else:
                assert isinstance(result, AsyncAPIError)
                parts.append(result)
        return parts

    def answers(self, request: Request, response: Response, /) -> int:
        """The number of results."""
        return len(response.results) if isinstance(response, InferBatchResponse) else 1

    def pieces(self, request: Request, items: int, chars: int | None, /) -> list[Request]:
        """One inference is never cut."""
        return [request]

    def join(self, request: Request, responses: Sequence[Response], /) -> Response:
        """The only one."""
        return responses[0]
