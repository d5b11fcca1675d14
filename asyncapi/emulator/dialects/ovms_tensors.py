"""Tensors of the Open Inference Protocol: as JSON, as raw little-endian bytes, and what models do to them.

Source: KServe Open Inference Protocol, "Inference REST protocol" and the binary tensor data extension.
"""

import base64
import binascii
import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from asyncapi.emulator.exchange import Json, invalid

FORMATS = {
    "BOOL": "?",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named array, row major; elements of BYTES are bytes."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: tuple[Any, ...]


def read_tensors(inputs: Any, raw: bytes) -> list[Tensor]:
    """The inputs of a request; binary ones take their bytes from ``raw`` in turn."""
    if not isinstance(inputs, list) or not inputs:
        raise invalid("Invalid number of inputs - at least one is required")
    tensors, at = [], 0
    for item in inputs:
        size = (item.get("parameters") or {}).get("binary_data_size")
        if size is None:
            tensors.append(_from_json(item))
            continue
        tensors.append(_from_bytes(item, raw[at : at + size]))
        at += size
    if at != len(raw):
        raise invalid("Invalid content - binary_data_size does not match the length of the body")
    return tensors


def _header(item: Json) -> tuple[str, str, tuple[int, ...]]:
    name, datatype, shape = item.get("name"), item.get("datatype"), item.get("shape")
    if not isinstance(name, str) or not isinstance(shape, list):
        raise invalid("Could not parse the input: name and shape are required")
    if datatype not in FORMATS and datatype != "BYTES":
        raise invalid(f"Invalid input precision - Actual: {datatype}")
    if any(not isinstance(size, int) or size < 0 for size in shape):
        raise invalid("Invalid shape of the input - sizes must not be negative")
    return name, datatype, tuple(shape)


def _from_json(item: Json) -> Tensor:
    name, datatype, shape = _header(item)
    if datatype == "FP16":
        raise invalid("Invalid input precision - FP16 cannot be sent as JSON")
    if "data" not in item:
        raise invalid(f"Missing data of the input: {name}")
    data = tuple(_flat(item["data"]))
    if len(data) != math.prod(shape):
        raise invalid(f"Invalid number of elements - Expected: {math.prod(shape)}; Actual: {len(data)}")
    if datatype == "BYTES":
        return Tensor(name, datatype, shape, tuple(str(value).encode() for value in data))
    return Tensor(name, datatype, shape, _fitting(datatype, data))


def _fitting(datatype: str, data: tuple[Any, ...]) -> tuple[Any, ...]:
    """Numbers as their datatype holds them."""
    try:
        packed = struct.pack(f"<{len(data)}{FORMATS[datatype]}", *data)
    except (struct.error, OverflowError):
        raise invalid(f"Could not parse the data of a tensor of {datatype}") from None
    return struct.unpack(f"<{len(data)}{FORMATS[datatype]}", packed)


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def _from_bytes(item: Json, raw: bytes) -> Tensor:
    name, datatype, shape = _header(item)
    count = math.prod(shape)
    if datatype == "BYTES":
        return Tensor(name, datatype, shape, _strings(raw, count))
    layout = f"<{count}{FORMATS[datatype]}"
    if struct.calcsize(layout) != len(raw):
        raise invalid(
            f"Invalid content size of tensor - Expected: {struct.calcsize(layout)}; Actual: {len(raw)}"
        )
    return Tensor(name, datatype, shape, struct.unpack(layout, raw))


def _strings(raw: bytes, count: int) -> tuple[bytes, ...]:
    strings, at = [], 0
    while at + 4 <= len(raw):
        length = int.from_bytes(raw[at : at + 4], "little")
        strings.append(raw[at + 4 : at + 4 + length])
        at += 4 + length
    if at != len(raw) or len(strings) != count:
        raise invalid("Invalid format of BYTES input - lengths do not match the shape")
    return tuple(strings)


def to_json(tensor: Tensor) -> Json:
    """A tensor as the output of a JSON reply."""
    data = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in tensor.data]
    return {**_described(tensor), "data": data}


def to_bytes(tensor: Tensor) -> tuple[Json, bytes]:
    """A tensor as the output of a binary reply: its header and its bytes."""
    if tensor.datatype == "BYTES":
        raw = b"".join(struct.pack("<I", len(value)) + value for value in tensor.data)
    else:
        raw = struct.pack(f"<{len(tensor.data)}{FORMATS[tensor.datatype]}", *tensor.data)
    return {**_described(tensor), "parameters": {"binary_data_size": len(raw)}}, raw


def _described(tensor: Tensor) -> Json:
    return {"name": tensor.name, "shape": list(tensor.shape), "datatype": tensor.datatype}


@dataclass(frozen=True, slots=True)
class Model:
    """A model that anyone can check by hand.

    Args:
        inputs: Names of the inputs; empty for any.
        run: From the checked inputs, in the order of their names, to the outputs.
        datatype: The only datatype it takes; None for any.
        shape: The only shape it takes; None for any.
    """

    inputs: tuple[str, ...]
    run: Callable[[list[Tensor]], list[Tensor]]
    datatype: str | None = None
    shape: tuple[int, ...] | None = None

    def __call__(self, tensors: list[Tensor]) -> list[Tensor]:
        """The outputs, or a refusal in the words of the server."""
        if not self.inputs:
            return self.run(tensors)
        named = {tensor.name: tensor for tensor in tensors}
        if len(tensors) != len(self.inputs):
            raise invalid(f"Invalid number of inputs - Expected: {len(self.inputs)}; Actual: {len(tensors)}")
        for name in self.inputs:
            if name not in named:
                raise invalid(f"Missing input with specific name - Required input: {name}")
            self._check(named[name])
        return self.run([named[name] for name in self.inputs])

    def _check(self, tensor: Tensor) -> None:
        if self.datatype is not None and tensor.datatype != self.datatype:
            raise invalid(f"Invalid input precision - Expected: {self.datatype}; Actual: {tensor.datatype}")
        if self.shape is None or tensor.shape == self.shape:
            return
        same_tail = tensor.shape[1:] == self.shape[1:]
        what = "batch size" if same_tail else "shape"
        expected, actual = (self.shape[:1], tensor.shape[:1]) if same_tail else (self.shape, tensor.shape)
        raise invalid(f"Invalid input {what} - Expected: {_written(expected)}; Actual: {_written(actual)}")


def _written(shape: tuple[int, ...]) -> str:
    return "(" + ",".join(map(str, shape)) + ")" if len(shape) > 1 else "".join(map(str, shape))


def _double(tensors: list[Tensor]) -> list[Tensor]:
    return [_computed(tensors[0], tuple(value + value for value in tensors[0].data))]


def _add(tensors: list[Tensor]) -> list[Tensor]:
    left, right = tensors
    if left.datatype != right.datatype or left.shape != right.shape:
        raise invalid("Invalid input shape - both inputs must have the same shape and precision")
    return [_computed(left, tuple(one + two for one, two in zip(left.data, right.data, strict=True)))]


def _computed(source: Tensor, data: tuple[Any, ...]) -> Tensor:
    """The only output, its numbers wrapped round as their datatype does."""
    if source.datatype == "BOOL":
        data = tuple(bool(value) for value in data)
    elif "INT" in source.datatype:
        bits = int(source.datatype.rpartition("T")[2])
        shift = 0 if source.datatype.startswith("U") else 1 << (bits - 1)
        data = tuple((value + shift) % (1 << bits) - shift for value in data)
    elif source.datatype in ("FP16", "FP32"):
        data = tuple(_rounded(source.datatype, value) for value in data)
    return replace(source, name="output0", data=data)


def _rounded(datatype: str, value: float) -> float:
    layout = f"<{FORMATS[datatype]}"
    try:
        return float(struct.unpack(layout, struct.pack(layout, value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


MODELS = {
    "double": Model(("input0",), _double),
    "add": Model(("input0", "input1"), _add),
    "echo": Model((), lambda tensors: tensors),
    "fixed": Model(("input0",), _double, "FP32", (2, 3)),
}
"""``double`` gives twice its input, ``add`` the sum of two, ``echo`` all that it gets; ``fixed`` doubles FP32
[2,3] and nothing else."""


def plain_tensor(name: str, value: Any) -> Tensor:
    """A tensor from nested lists, as the TensorFlow-Serving bodies have them."""
    shape, node = [], value
    while isinstance(node, list):
        shape.append(len(node))
        node = node[0] if node else None
    data = tuple(_flat_bytes(value))
    if len(data) != math.prod(shape):
        raise invalid("Could not parse the input: rows differ in length")
    if data and isinstance(data[0], bytes):
        return Tensor(name, "BYTES", tuple(shape), data)
    return Tensor(name, "FP32", tuple(shape), _fitting("FP32", data))


def _flat_bytes(value: Any) -> Iterator[Any]:
    for item in _flat(value):
        if isinstance(item, dict):
            try:
                yield base64.b64decode(item["b64"], validate=True)
            except (KeyError, binascii.Error):
                raise invalid("Could not parse the input: b64 expected") from None
        else:
            yield item.encode() if isinstance(item, str) else item


def nested(tensor: Tensor) -> Any:
    """The data of a tensor as nested lists."""
    if tensor.datatype == "BYTES":
        data: list[Any] = [{"b64": base64.b64encode(value).decode()} for value in tensor.data]
    else:
        data = list(tensor.data)
    for size in reversed(tensor.shape[1:]):
        data = [data[at : at + size] for at in range(0, len(data), size)] if size else []
    return data if tensor.shape else data[0]
