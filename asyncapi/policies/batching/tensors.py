"""Inference on tensors: the rows of several calls, one above the other."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import accumulate, chain, pairwise
from math import prod

from msgspec.structs import replace

from asyncapi.errors import DecodeError
from asyncapi.policies.batching.shares import share, total
from asyncapi.policies.batching.strategy import frozen
from asyncapi.types.requests import InferRequest, Request
from asyncapi.types.responses import InferResponse, Response
from asyncapi.types.tensors import Tensor

__all__ = ["InferBatching"]


class InferBatching:
    """Axis 0 of every tensor is the batch: a row in, a row out.

    Only for models whose inputs and outputs are all like that, which no request tells; so a service
    has a row for this in ``Service.batches`` only where somebody knows it.

    Shapes: each input and output is (rows, ...), with the same number of rows.
    """

    def key(self, request: Request, /) -> Hashable | None:
        """Model, parameters, and names, datatypes and row shapes of the inputs."""
        assert isinstance(request, InferRequest)
        if request.extra is not None or not _rows(request.inputs):
            return None
        try:
            parameters = frozen(request.parameters)
        except TypeError:
            return None
        inputs = frozenset(
            (name, tensor.datatype, tensor.shape[1:], isinstance(tensor.data, bytes))
            for name, tensor in request.inputs.items()
        )
        return (request.model, request.version, request.outputs, parameters, inputs)

    def items(self, request: Request, /) -> int:
        """The number of rows, 0 if the inputs have not the same."""
        assert isinstance(request, InferRequest)
        return _rows(request.inputs)

    def chars(self, request: Request, /) -> int:
        """The size of the inputs, in bytes or values as they are given."""
        assert isinstance(request, InferRequest)
        return sum(len(tensor.data) for tensor in request.inputs.values())

    def merge(self, requests: Sequence[Request], /) -> Request:
        """All rows in order."""
        first = requests[0]
        if len(requests) == 1:
            return first
        assert isinstance(first, InferRequest)
        every = [request.inputs for request in requests if isinstance(request, InferRequest)]
        return replace(first, inputs={name: _stacked([i[name] for i in every]) for name in first.inputs})

    def split(self, response: Response, requests: Sequence[Request], /) -> list[Response]:
        """Each request's rows of every output.

        Raises:
            DecodeError: An output's data are not as long as its shape says.
        """
        assert isinstance(response, InferResponse)
        if len(requests) == 1:
            return [response]
        counts = [self.items(request) for request in requests]
        usages = share(response.usage, counts)
        parts = {name: _cut(tensor, counts) for name, tensor in response.outputs.items()}
        return [
            replace(response, outputs={name: cut[i] for name, cut in parts.items()}, usage=usage)
            for i, usage in enumerate(usages)
        ]

    def answers(self, request: Request, response: Response, /) -> int:
        """The number of rows, 0 if the outputs have not the same."""
        assert isinstance(response, InferResponse)
        return _rows(response.outputs)

    def pieces(self, request: Request, items: int, chars: int | None, /) -> list[Request]:
        """Runs of rows within both limits; a single row over the limit stays whole."""
        assert isinstance(request, InferRequest)
        rows, size = self.items(request), self.chars(request)
        if rows <= 1 or (rows <= items and (chars is None or size <= chars)):
            return [request]
        most = items if chars is None else min(items, max(1, chars * rows // max(1, size)))
        counts = [min(most, rows - start) for start in range(0, rows, most)]
        try:
            cut = {name: _cut(tensor, counts) for name, tensor in request.inputs.items()}
        except DecodeError:
            return [request]  # a wrong shape is for the service to refuse
        return [
            replace(request, inputs={name: tensors[i] for name, tensors in cut.items()})
            for i in range(len(counts))
        ]

    def join(self, request: Request, responses: Sequence[Response], /) -> Response:
        """All rows in order, usage summed.

        Raises:
            DecodeError: The pieces have not the same outputs.
        """
        every = [response.outputs for response in responses if isinstance(response, InferResponse)]
        if any(outputs.keys() != every[0].keys() for outputs in every):
            raise DecodeError("the pieces of an inference were answered with different outputs")
        return replace(
            responses[0],
            outputs={name: _stacked([outputs[name] for outputs in every]) for name in every[0]},
            usage=total([response.usage for response in responses]),
            raw=[response.raw for response in responses],
        )


def _rows(tensors: Mapping[str, Tensor]) -> int:
    counts = {tensor.shape[0] if tensor.shape else 0 for tensor in tensors.values()}
    return max(0, counts.pop()) if len(counts) == 1 else 0


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    data = [tensor.data for tensor in tensors]
    shape = (sum(tensor.shape[0] for tensor in tensors), *tensors[0].shape[1:])
    packed = [piece for piece in data if isinstance(piece, bytes)]
    if len(packed) == len(data):
        return replace(tensors[0], shape=shape, data=b"".join(packed))
    return replace(tensors[0], shape=shape, data=list(chain.from_iterable(data)))


def _cut(tensor: Tensor, counts: Sequence[int]) -> list[Tensor]:
    """Runs of ``counts`` rows."""
    rows, data = tensor.shape[0], tensor.data
    if tensor.datatype == "BYTES" and isinstance(data, bytes):
        places = _places(data, rows, prod(tensor.shape[1:]))
    else:
        width, rest = divmod(len(data), rows)
        if rest:
            raise DecodeError(f"a tensor of {rows} rows has {len(data)} values or bytes")
        places = [row * width for row in range(rows + 1)]
    ends = [0, *accumulate(counts)]
    return [
        replace(tensor, shape=(end - start, *tensor.shape[1:]), data=data[places[start] : places[end]])
        for start, end in pairwise(ends)
    ]


def _places(data: bytes, rows: int, width: int) -> list[int]:
    """Where each row begins, and the last one ends, among strings that each follow their length."""
    places, at = [0], 0
    if rows * width * 4 <= len(data):
        for _ in range(rows):
            for _ in range(width):
                at += 4 + int.from_bytes(data[at : at + 4], "little")
            places.append(at)
    if at != len(data):
        raise DecodeError(f"a tensor of {rows} rows of {width} strings has {len(data)} bytes")
    return places
