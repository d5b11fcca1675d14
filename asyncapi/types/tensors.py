"""Tensors, as KServe's protocol has them, and their way to and from numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["DATATYPES", "Tensor", "as_tensor"]

#: KServe datatype to numpy's name for it. BYTES holds strings, each after its length. BF16 is an
#: extension of the protocol; numpy knows the name only where a package such as ml_dtypes adds it.
DATATYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "BF16": "bfloat16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "object",
}


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """An array with its datatype ("FP32", "INT64", "BYTES" ...) and shape.

    ``data`` is either raw little-endian bytes in row-major order, or a flat sequence of values
    (strings or bytes for BYTES).

    Source: KServe Open Inference Protocol v2.
    """

    datatype: str
    shape: tuple[int, ...]
    data: bytes | Sequence[Any]

    def numpy(self) -> npt.NDArray[Any]:
        """The tensor as a numpy array of its shape, BF16 as float32. Needs numpy to be installed."""
        import numpy

        if self.datatype == "BF16":
            return _bfloat16(self.data).reshape(self.shape)
        if self.datatype == "BYTES":
            values = _unpack(self.data) if isinstance(self.data, bytes) else list(self.data)
            return numpy.array(values, dtype=object).reshape(self.shape)
        kind = numpy.dtype(DATATYPES[self.datatype])
        if isinstance(self.data, bytes):
            return numpy.frombuffer(self.data, dtype=kind.newbyteorder("<")).reshape(self.shape)
        return numpy.array(self.data, dtype=kind).reshape(self.shape)


def as_tensor(value: Any) -> Tensor:
    """A tensor from a Tensor, a numpy array, or nested lists of numbers, strings or booleans.

    Raises:
        ValueError: Something else, or a datatype that the protocol has no name for.
    """
    if isinstance(value, Tensor):
        return value
    import numpy

    array = numpy.asarray(value)
    if array.dtype.kind in "OUS":
        texts = [_as_bytes(v) for v in array.ravel().tolist()]
        return Tensor(datatype="BYTES", shape=array.shape, data=texts)
    for datatype, name in DATATYPES.items():
        if array.dtype.name == name:
            little = numpy.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            return Tensor(datatype=datatype, shape=array.shape, data=little.tobytes())
    raise ValueError(f"a tensor can't hold {array.dtype}; use one of {', '.join(DATATYPES.values())}")


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    raise ValueError(f"a tensor can't hold {value!r:.80}; use numbers, strings, bytes or booleans")


def _bfloat16(data: bytes | Sequence[Any]) -> npt.NDArray[Any]:
    """The upper halves of float32 values as these values."""
    import numpy

    if not isinstance(data, bytes):
        return numpy.array(data, dtype=numpy.float32)
    halves = numpy.frombuffer(data, dtype="<u2").astype(numpy.uint32)
    return (halves << 16).view(numpy.float32)


def _unpack(data: bytes) -> list[bytes]:
    values, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        values.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return values
