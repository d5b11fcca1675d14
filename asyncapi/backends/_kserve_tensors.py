"""Tensors on KServe's wire: raw little-endian bytes, or JSON values; both checked against the shape.

Everything here raises ValueError (or TypeError, OverflowError) that says what does not fit; the callers
know whose fault it is.

Source: KServe Open Inference Protocol v2, "Tensor Data" and the binary tensor data extension.
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from asyncapi.types.tensors import Tensor

__all__ = ["check_raw", "element_count", "json_values", "plain_values", "raw_bytes", "values_of"]

#: Bytes of an element; BYTES elements have a length each.
_SIZES: Mapping[str, int] = {
    "BOOL": 1, "UINT8": 1, "INT8": 1, "UINT16": 2, "INT16": 2, "FP16": 2, "BF16": 2,
    "UINT32": 4, "INT32": 4, "FP32": 4, "UINT64": 8, "INT64": 8, "FP64": 8,
}  # fmt: skip
#: ``array`` type codes of what arrays can hold.
_CODES: Mapping[str, str] = {
    "UINT8": "B", "INT8": "b", "UINT16": "H", "INT16": "h", "UINT32": "I", "INT32": "i",
    "UINT64": "Q", "INT64": "q", "FP32": "f", "FP64": "d",
}  # fmt: skip
_HALVES = ("FP16", "BF16")
_FLOATS = (*_HALVES, "FP32", "FP64")
_MAXIMUM_RANK = 64


def element_count(shape: Any) -> int:
    """How many elements a tensor of this shape has."""
    if not isinstance(shape, list | tuple) or len(shape) > _MAXIMUM_RANK:
        raise ValueError(f"the shape {shape!r:.100} is no list of up to {_MAXIMUM_RANK} sizes")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"the shape {shape!r:.100} has a size that is not 0 or more")
    return math.prod(shape)


def check_raw(datatype: str, data: bytes | memoryview, count: int) -> None:
    """Whether the bytes are ``count`` whole elements and nothing else."""
    if datatype == "BYTES":
        _check_texts(data, count)
    elif (size := _SIZES.get(datatype)) is None:
        raise ValueError(f"{datatype!r:.40} is not one of {', '.join(_SIZES)}, BYTES")
    elif len(data) != count * size:
        raise ValueError(f"{len(data)} bytes for {count} elements of {datatype}, {size} bytes each")


def _check_texts(data: bytes | memoryview, count: int) -> None:
    at, found, end = 0, 0, len(data)
    while at + 4 <= end:
        at += 4 + int.from_bytes(data[at : at + 4], "little")
        found += 1
    if at != end or found != count:
        raise ValueError(f"{end} bytes that are not {count} texts, each after its length")


def raw_bytes(tensor: Tensor) -> bytes | memoryview:
    """The tensor as raw bytes; bytes that it holds are not copied."""
    count = element_count(tensor.shape)
    data: Any = tensor.data
    if isinstance(data, bytes | bytearray | memoryview):
        view = data if isinstance(data, bytes) else memoryview(data).cast("B")
        check_raw(tensor.datatype, view, count)
        return view
    _check_length(data, count)
    packed = _packed(tensor.datatype, data)
    check_raw(tensor.datatype, packed, count)
    return packed


def _check_length(data: Sequence[Any], count: int) -> None:
    if len(data) != count:
        raise ValueError(f"{len(data)} values for a shape of {count}; data is a flat sequence")


def _packed(datatype: str, values: Sequence[Any]) -> bytes:
    if datatype == "FP16":
        return _singles("e", values)
    if datatype == "FP32" and getattr(values, "typecode", "") != "f":
        return _singles("f", values)
    if code := _CODES.get(datatype):
        return _little(array(code, values)).tobytes()
    if datatype == "BYTES":
        return b"".join(_prefixed(value) for value in values)
    if datatype == "BOOL":
        return bytes(_bits(values))
    if datatype == "BF16":
        wide = _singles("f", values)
        return b"".join([_bfloat16(wide[at : at + 4]) for at in range(0, len(wide), 4)])
    return b""  # an unknown datatype: refused by the check that follows


def _little(values: array[Any]) -> array[Any]:
    if sys.byteorder == "big":  # pragma: no cover  no such machine here
        values.byteswap()
    return values


def _prefixed(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else bytes(memoryview(value))
    return len(data).to_bytes(4, "little") + data


def _bits(values: Sequence[Any]) -> list[int]:
    if not set(values) <= {0, 1}:
        raise ValueError("BOOL takes true and false only")
    return [int(value) for value in values]


def _singles(letter: str, values: Sequence[Any]) -> bytes:
    """The floats in less than double precision; ``array`` would make infinities of large ones."""
    try:
        return struct.pack(f"<{len(values)}{letter}", *values)
    except struct.error as error:
        raise ValueError(str(error)) from None


def _bfloat16(single: bytes) -> bytes:
    """The upper half of a float32, rounded to nearest, ties to even."""
    bits = int.from_bytes(single, "little")
    if bits & 0x7FFFFFFF > 0x7F800000:
        bits |= 1 << 22  # a NaN whose payload is in the lower half stays one
    else:
        bits += 0x7FFF + (bits >> 16 & 1)
    return (bits >> 16).to_bytes(2, "little")


def json_values(tensor: Tensor) -> Sequence[Any]:
    """The tensor as a flat sequence of values, as the protocol takes them in JSON."""
    if tensor.datatype in _HALVES:
        raise ValueError(f"{tensor.datatype} can't be sent as JSON, only as binary data")
    return plain_values(tensor)


def plain_values(tensor: Tensor) -> Sequence[Any]:
    """The tensor as a flat sequence of values that JSON can express."""
    count = element_count(tensor.shape)
    data, datatype = tensor.data, tensor.datatype
    if isinstance(data, bytes | bytearray | memoryview):
        data = _unpacked(datatype, raw_bytes(tensor))
    elif datatype == "BYTES":
        data = [_as_text(value) for value in data]
    elif isinstance(data, array):
        data = data.tolist()
    _check_length(data, count)
    _check_values(datatype, data)
    if datatype in _FLOATS and not all(map(math.isfinite, data)):
        raise ValueError("JSON has no NaN and no infinity")
    return data


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else str(memoryview(value), "utf-8")


def _unpacked(datatype: str, data: bytes | memoryview) -> list[Any]:
    if datatype == "BYTES":
        return _texts(data)
    if datatype == "BOOL":
        return [bool(value) for value in data]
    if datatype == "FP16":
        return list(struct.unpack(f"<{len(data) // 2}e", data))
    values: array[Any]
    if datatype == "BF16":  # the upper halves of float32
        wide = b"".join([b"\0\0" + data[at : at + 2] for at in range(0, len(data), 2)])
        datatype, data = "FP32", wide
    values = array(_CODES[datatype])
    values.frombytes(data)
    return _little(values).tolist()


def _texts(data: bytes | memoryview) -> list[str]:
    texts, at = [], 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        texts.append(str(data[at + 4 : end], "utf-8"))
        at = end
    return texts


_KINDS: Mapping[str, frozenset[type]] = {
    **dict.fromkeys(_CODES, frozenset({int})),
    **dict.fromkeys(_FLOATS, frozenset({int, float})),
    "BOOL": frozenset({bool}),
    "BYTES": frozenset({str}),
}


def _range(datatype: str) -> tuple[float, float]:
    bits = 8 * _SIZES[datatype]
    return (0, 2**bits - 1) if datatype[0] == "U" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


#: The least and the greatest value; a float that is rounded to the greatest is in the range.
_RANGES: Mapping[str, tuple[float, float]] = {
    **{datatype: _range(datatype) for datatype in _CODES if "INT" in datatype},
    "FP16": (-65519.0, 65519.0),
    "BF16": (-3.3961e38, 3.3961e38),
    "FP32": (-3.40282356e38, 3.40282356e38),
}


def _check_values(datatype: str, values: Sequence[Any]) -> None:
    """Whether every value is one of the datatype. In C where it can be: there may be millions."""
    kinds = _KINDS.get(datatype)
    if kinds is None:
        raise ValueError(f"{datatype!r:.40} is not one of {', '.join(_KINDS)}")
    if not kinds.issuperset(map(type, values)):
        raise ValueError(f"values that are not {datatype}")
    if values and datatype in _RANGES:
        low, high = _RANGES[datatype]
        if min(values) < low or max(values) > high:
            raise ValueError(f"a value out of the range of {datatype}")


def values_of(datatype: str, data: Any, count: int) -> list[Any]:
    """JSON data, nested or flat, as the flat values of a tensor."""
    values = _flat(data)
    if len(values) != count:
        raise ValueError(f"{len(values)} values for a shape of {count}")
    _check_values(datatype, values)
    return values


def _flat(data: Any) -> list[Any]:
    """Lists in lists as one list. At each depth there are only lists, or only values."""
    if type(data) is not list:
        raise TypeError(f"data is {type(data).__name__}, not a list")
    values: list[Any] = data
    while list in (kinds := set(map(type, values))):
        if len(kinds) > 1:
            raise ValueError("data mixes lists and values")
        values = list(chain.from_iterable(values))
    return values
