"""Inference over KServe's Open Inference Protocol v2: requests and replies, as JSON or with binary tensors.

A binary request is the JSON, whose length a header gives, and the bytes of the tensors behind it, in
the order of the inputs. If one input is binary all are: servers refuse a mixture.

Source: KServe Open Inference Protocol v2; the binary tensor data extension.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from asyncapi.backends._encoding import json_request
from asyncapi.backends._kserve_tensors import check_raw, element_count, json_values, raw_bytes, values_of
from asyncapi.backends._openai_reply import SHAPE_ERRORS, request_id
from asyncapi.errors import ConfigError, DecodeError
from asyncapi.types.requests import InferRequest
from asyncapi.types.responses import InferResponse
from asyncapi.types.tensors import Tensor
from asyncapi.types.wire import WireRequest, WireResponse
from asyncapi.wire.json import loads_object
from asyncapi.wire.masking import excerpt

__all__ = ["LENGTH", "infer_head", "infer_request", "infer_response", "model_path"]

#: The header with the length of the JSON in front of binary tensors.
LENGTH = "Inference-Header-Content-Length"
_BINARY = {"Content-Type": "application/octet-stream"}


def model_path(model: str, version: str | None, service: str) -> str:
    """Where a model lives.

    Raises:
        ConfigError: No model is named.
    """
    if not model:
        raise ConfigError(f"{service} needs a model: write {service}:model")
    path = f"/v2/models/{quote(model, safe='')}"
    return path if version is None else f"{path}/versions/{quote(version, safe='')}"


def infer_request(request: InferRequest, service: str, binary: bool) -> WireRequest:
    """The request, its tensors (and those of the reply) binary or as JSON.

    Raises:
        ConfigError: A tensor's data does not fit its shape and datatype, or JSON can't express it.
    """
    path = f"{model_path(request.model, request.version, service)}/infer"
    if not request.inputs:
        raise ConfigError(f"{service} infers from tensors: inputs is empty")
    pieces: list[bytes | memoryview] = []
    inputs = [_input(name, tensor, pieces if binary else None) for name, tensor in request.inputs.items()]
    made = json_request(path, _body(request, inputs, binary), service, request.extra)
    if not binary:
        return made
    head = made.body
    assert head is not None
    return WireRequest(
        path=made.path,
        body=b"".join([head, *pieces]),
        headers={**(made.headers or {}), **_BINARY, LENGTH: str(len(head))},
    )


def _input(name: str, tensor: Tensor, pieces: list[bytes | memoryview] | None) -> dict[str, Any]:
    described: dict[str, Any] = {"name": name, "shape": tensor.shape, "datatype": tensor.datatype}
    try:
        if pieces is None:
            described["data"] = json_values(tensor)
        else:
            pieces.append(raw_bytes(tensor))
            described["parameters"] = {"binary_data_size": len(pieces[-1])}
    except SHAPE_ERRORS as error:
        raise ConfigError(f"input {name!r} ({tensor.datatype} {list(tensor.shape)}): {error}") from error
    return described


def _body(request: InferRequest, inputs: list[dict[str, Any]], binary: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"inputs": inputs}
    parameters = dict(request.parameters)
    if request.outputs:
        wanted: dict[str, Any] = {"parameters": {"binary_data": True}} if binary else {}
        body["outputs"] = [{"name": name, **wanted} for name in request.outputs]
    elif binary:
        parameters.setdefault("binary_data_output", True)
    if parameters:
        body["parameters"] = parameters
    return body


def infer_head(reply: WireResponse, service: str) -> tuple[dict[str, Any], int]:
    """The JSON of a reply, and where it ends.

    Raises:
        DecodeError: The header gives no length that the body has, or there is no JSON object.
    """
    body, said = reply.body, reply.headers.get(LENGTH.lower()) or reply.headers.get(LENGTH)
    if said is None:
        return loads_object(body, service), len(body)
    length = int(said) if len(said) < 20 and said.isascii() and said.isdigit() else -1
    if not 0 <= length <= len(body):
        raise DecodeError(
            f"{service} says that {excerpt(said, 40)!r} of {len(body)} bytes are JSON", body=body
        )
    return loads_object(body[:length], service), length


def infer_response(
    request: InferRequest, reply: WireResponse, data: Mapping[str, Any], start: int, service: str
) -> InferResponse:
    """The tensors of a reply whose JSON is ``data`` and whose binary part begins at ``start``.

    Raises:
        DecodeError: Some tensor is not there as a whole, or some byte belongs to none.
    """
    try:
        outputs = _outputs(data["outputs"], reply.body, start)
        if missing := [name for name in request.outputs if name not in outputs]:
            raise ValueError(f"no output {', '.join(missing)}")
        model, ident = data.get("model_name"), data.get("id")
    except SHAPE_ERRORS as error:
        raise DecodeError(
            f"{service} answered tensors that can't be read ({type(error).__name__}: {error})",
            body=reply.body,
        ) from error
    return InferResponse(
        id=ident if type(ident) is str else "",
        model=model if type(model) is str and model else request.model,
        outputs=outputs,
        raw=data,
        provider_request_id=request_id(reply.headers),
    )


def _outputs(described: Any, body: bytes, at: int) -> dict[str, Tensor]:
    if type(described) is not list or not described:
        raise ValueError("no outputs")
    outputs: dict[str, Tensor] = {}
    for output in described:
        name = output["name"]
        if type(name) is not str or name in outputs:
            raise ValueError(f"the output name {name!r:.80} is no text, or comes twice")
        outputs[name], at = _output(output, body, at)
    if at != len(body):
        raise ValueError(f"{len(body) - at} bytes that belong to no output")
    return outputs


def _output(output: dict[str, Any], body: bytes, at: int) -> tuple[Tensor, int]:
    shape, datatype = output["shape"], output["datatype"]
    count = element_count(shape)
    size = (output.get("parameters") or {}).get("binary_data_size")
    data: Any
    if size is None:
        data = values_of(datatype, output["data"], count)
    elif type(size) is not int or not 0 <= size <= len(body) - at or "data" in output:
        raise ValueError(f"binary_data_size {size!r:.40} with {len(body) - at} bytes left")
    else:
        data = body[at : at + size]
        check_raw(datatype, data, count)
        at += size
    return Tensor(datatype=datatype, shape=tuple(shape), data=data), at
