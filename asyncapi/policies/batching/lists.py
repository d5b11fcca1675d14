"""Operations whose request is a list of inputs, and whose answer is a list with one entry each."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import accumulate, chain, pairwise
from operator import attrgetter
from typing import Any

from msgspec.structs import replace

from asyncapi.policies.batching.shares import share, total
from asyncapi.policies.batching.strategy import frozen
from asyncapi.types.requests import ClassifyRequest, CompleteRequest, EmbedRequest, Request
from asyncapi.types.responses import CompleteResponse, Response

__all__ = ["ClassifyBatching", "CompleteBatching", "EmbedBatching", "ListBatching"]


class ListBatching:
    """The inputs of several calls in one list. What else a request says must be the same.

    Args:
        kind: The type of the requests.
        inputs: The field that holds a request's list.
        results: The field that holds the answer's.
        length: How many characters an input has.
    """

    def __init__(
        self, kind: type[Request], inputs: str, results: str, length: Callable[[Any], int] = len
    ) -> None:
        self._length = length
        self._inputs_field = inputs
        self._results_field = results
        self._inputs = attrgetter(inputs)
        self._results = attrgetter(results)
        same = [field for field in kind.__struct_fields__ if field not in (inputs, "extra")]
        self._same = attrgetter(*same)

    def key(self, request: Request, /) -> Hashable | None:
        """Everything but the inputs; a request with ``extra`` goes alone."""
        return None if request.extra is not None else self._same(request)

    def items(self, request: Request, /) -> int:
        """The number of inputs."""
        return len(self._inputs(request))

    def chars(self, request: Request, /) -> int:
        """The length of all inputs."""
        return sum(map(self._length, self._inputs(request)))

    def merge(self, requests: Sequence[Request], /) -> Request:
        """All inputs in order."""
        inputs = tuple(chain.from_iterable(map(self._inputs, requests)))
        return replace(requests[0], **{self._inputs_field: inputs})

    def split(self, response: Response, requests: Sequence[Request], /) -> list[Response]:
        """Each request's results; usage in proportion to characters, its sum exact."""
        usages = share(response.usage, [self.chars(request) for request in requests])
        ends = [0, *accumulate(map(len, map(self._inputs, requests)))]
        field, between = self._results_field, self._between
        return [
            replace(response, usage=usage, **{field: between(response, start, end)})
            for (start, end), usage in zip(pairwise(ends), usages, strict=True)
        ]

    def answers(self, request: Request, response: Response, /) -> int:
        """The number of results."""
        return len(self._results(response))

    def pieces(self, request: Request, items: int, chars: int | None, /) -> list[Request]:
        """Runs of inputs within both limits; a single input over the limit stays whole."""
        inputs = self._inputs(request)
        if len(inputs) <= items and (chars is None or self.chars(request) <= chars):
            return [request]
        runs: list[list[Any]] = [[]]
        length = 0
        for one in inputs:
            size = self._length(one)
            if runs[-1] and (len(runs[-1]) >= items or (chars is not None and length + size > chars)):
                runs.append([])
                length = 0
            runs[-1].append(one)
            length += size
        return [replace(request, **{self._inputs_field: tuple(run)}) for run in runs]

    def join(self, request: Request, responses: Sequence[Response], /) -> Response:
        """All results in order, usage summed."""
        return replace(
            responses[0],
            **{self._results_field: self._joined(responses)},
            usage=total([response.usage for response in responses]),
            raw=[response.raw for response in responses],
        )

    # What differs between operations.

    def _between(self, response: Response, start: int, end: int) -> tuple[Any, ...]:
        return self._results(response)[start:end]  # type: ignore[no-any-return]

    def _joined(self, responses: Sequence[Response]) -> tuple[Any, ...]:
        return tuple(chain.from_iterable(map(self._results, responses)))


class EmbedBatching(ListBatching):
    """Embeddings: the texts of several calls in one list."""

    def __init__(self) -> None:
        super().__init__(EmbedRequest, "inputs", "vectors")


class ClassifyBatching(ListBatching):
    """Labels. Texts and pairs of texts do not mix: not every service takes both in one list."""

    def __init__(self) -> None:
        super().__init__(ClassifyRequest, "inputs", "results", _length)

    def key(self, request: Request, /) -> Hashable | None:
        """Everything but the inputs, and what kind of inputs they are."""
        assert isinstance(request, ClassifyRequest)
        key = super().key(request)
        return None if key is None else (key, frozenset(map(type, request.inputs)))


class CompleteBatching(ListBatching):
    """Completions. An answer may have several outputs for one prompt; ``Output.index`` names the prompt."""

    def __init__(self) -> None:
        super().__init__(CompleteRequest, "prompts", "outputs")

    def key(self, request: Request, /) -> Hashable | None:
        """Every parameter; what is streamed goes alone."""
        assert isinstance(request, CompleteRequest)
        if request.extra is not None or request.stream:
            return None
        try:
            return frozen(self._same(request))
        except TypeError:
            return None

    def answers(self, request: Request, response: Response, /) -> int:
        """The number of prompts that were answered."""
        return _prompts(response)

    def _between(self, response: Response, start: int, end: int) -> tuple[Any, ...]:
        assert isinstance(response, CompleteResponse)
        own = [output for output in response.outputs if start <= output.index < end]
        return tuple([replace(output, index=output.index - start) for output in own])

    def _joined(self, responses: Sequence[Response]) -> tuple[Any, ...]:
        starts = [0, *accumulate(map(_prompts, responses))]
        return tuple(
            replace(output, index=output.index + start)
            for response, start in zip(responses, starts, strict=False)
            if isinstance(response, CompleteResponse)
            for output in response.outputs
        )


def _prompts(response: Response) -> int:
    assert isinstance(response, CompleteResponse)
    return len({output.index for output in response.outputs})


def _length(one: str | tuple[str, str]) -> int:
    return len(one) if isinstance(one, str) else sum(map(len, one))
