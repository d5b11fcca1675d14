"""Tensors as the nested lists of plain JSON, and plain JSON as tensors."""

from __future__ import annotations

import math
from itertools import chain
from typing import Any

from asyncapi.backends._kserve_tensors import plain_values
from asyncapi.types.tensors import Tensor

__all__ = ["nested", "tensor_of", "tensors_of"]

_KINDS = (
    (frozenset({bool}), "BOOL"),
    (frozenset({int}), "INT64"),
    (frozenset({int, float}), "FP64"),
    (frozenset({str}), "BYTES"),
)


def nested(tensor: Tensor) -> Any:
    """The values in lists of the tensor's shape; a scalar is no list.

    Raises:
        ValueError: The data does not fit the shape, or JSON can't express it. Also TypeError, OverflowError.
    """
    values, shape = plain_values(tensor), tensor.shape
    if not shape:
        return values[0]
    for depth in range(len(shape) - 1, 0, -1):
        size, rows = shape[depth], math.prod(shape[:depth])
        values = [values[i * size : (i + 1) * size] for i in range(rows)]
    return values


def tensors_of(outputs: Any) -> dict[str, Tensor]:
    """The tensors of a reply: an object's by its names, anything else as the one called "output".

    Raises:
        ValueError: Something in it is no tensor, or there is nothing.
    """
    if type(outputs) is not dict:
        return {"output": tensor_of(outputs)}
    if not outputs:
        raise ValueError("no outputs")
    return {name: tensor_of(value) for name, value in outputs.items()}


def tensor_of(value: Any) -> Tensor:
    """A tensor from nested lists of equal lengths of numbers, texts or booleans, or from one of these.

    Raises:
        ValueError: The lists have different lengths, or hold something else, or both.
    """
    level, shape = [value], []
    while level and type(level[0]) is list:
        lengths = {len(item) if type(item) is list else None for item in level}
        if len(lengths) > 1:
            raise ValueError("lists of different lengths are no tensor")
        shape.append(len(level[0]))
        level = list(chain.from_iterable(level))
    return Tensor(datatype=_datatype(level), shape=tuple(shape), data=level)


def _datatype(values: list[Any]) -> str:
    kinds = set(map(type, values))
    for accepted, datatype in _KINDS:
        if kinds <= accepted:
            if datatype == "INT64" and values and not -(2**63) <= min(values) <= max(values) < 2**63:
                break
            return datatype
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise ValueError(f"values of {names} are no tensor; the native action 'infer' gives any JSON")
