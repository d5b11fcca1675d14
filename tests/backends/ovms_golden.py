"""The golden files of tensors on the wire, and how they are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from asyncapi.backends._kserve import LENGTH
from asyncapi.backends.ovms import OVMS
from asyncapi.types.requests import InferRequest
from asyncapi.types.responses import InferResponse, Response
from asyncapi.types.tensors import Tensor
from asyncapi.types.wire import WireResponse

CASES: list[Any] = json.loads((Path(__file__).parent / "golden" / "ovms" / "infer.json").read_text())["cases"]


def tensors(described: dict[str, Any]) -> dict[str, Tensor]:
    """Tensors from the words of a golden file."""
    return {
        name: Tensor(
            datatype=one["datatype"],
            shape=tuple(one["shape"]),
            data=bytes.fromhex(one["hex"]) if "hex" in one else one["data"],
        )
        for name, one in described.items()
    }


def request(case: Any) -> InferRequest:
    """The request of a case."""
    words = {**case["request"], "inputs": tensors(case["request"]["inputs"])}
    return InferRequest(model="m", **{**words, "outputs": tuple(words.get("outputs", ()))})


def backend(case: Any) -> OVMS:
    """The backend of a case."""
    return OVMS(binary=case["binary"])


def reply(data: Any, tail: bytes = b"", status: int = 200) -> WireResponse:
    """A reply of JSON, and of binary tensors where there are any."""
    head = json.dumps(data).encode()
    headers = {LENGTH: str(len(head))} if tail else {}
    return WireResponse(status=status, headers=headers, body=head + tail)


def golden_reply(case: Any) -> WireResponse:
    """The reply of a case."""
    return reply(case["reply"], bytes.fromhex(case["reply_tail"]))


def inferred(response: Response) -> InferResponse:
    """The response, whose tensors are all whole."""
    assert isinstance(response, InferResponse)
    for tensor in response.outputs.values():
        assert tensor.numpy().shape == tensor.shape
    return response
