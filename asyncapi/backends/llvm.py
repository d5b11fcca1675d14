"""A generic model-server REST protocol, called "LLVM".

A model takes any JSON as its input and gives any JSON. So its own form is native::

    reply = await client.native("llvm:bert", "infer", {"input": "a text", "parameters": {"k": 3}})
    reply.result  # the model's outputs; reply.raw is the whole answer
    many = await client.native("llvm:bert", "batch_infer", {"inputs": ["a", "b"]})
    many.result  # as many results, in order
    item_errors(many)  # those that failed, by their place

``infer`` with named tensors sends ``{"input": {name: nested lists}}`` and reads the outputs as tensors:
numbers as INT64 or FP64, texts as BYTES, booleans as BOOL; outputs that are no object are the tensor
"output". ``embed`` sends its texts through ``batch_infer`` and expects a list of numbers for each. With
``Client(..., backends=[LLVM(batch_infer=True)])`` calls of ``infer`` that are awaited at the same time, for
the same model with the same parameters, travel through it too, each failing alone.

The other actions are info, statistics, optimize (with ``optimization_type``), reload and status.
``batch_infer`` must be answered by exactly 200 and by as many results as there are inputs; if not, the
whole call fails. A server without it answers 404 or 405, which is not hidden: call ``infer`` per item.

Source: no public server speaks it; the reference is the one known client of such servers.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from msgspec.structs import replace

from asyncapi.backends import unsupported_operation
from asyncapi.backends._encoding import get_request, json_request
from asyncapi.backends._llvm_tensors import nested, tensors_of
from asyncapi.backends._model_actions import MODEL, action_request
from asyncapi.backends._native import Action, native_response
from asyncapi.backends._openai_reply import SHAPE_ERRORS, read_usage, request_id
from asyncapi.errors import AsyncAPIError, ConfigError, DecodeError, InvalidRequestError
from asyncapi.types.requests import (
    EmbedRequest,
    InferBatchRequest,
    InferRequest,
    ModelsRequest,
    NativeRequest,
    Request,
)
from asyncapi.types.responses import (
    EmbedResponse,
    InferBatchResponse,
    InferResponse,
    Model,
    ModelsResponse,
    NativeResponse,
    Response,
)
from asyncapi.types.tensors import Tensor
from asyncapi.types.usage import Usage
from asyncapi.types.wire import BatchLimit, Service, WireRequest, WireResponse
from asyncapi.wire.errors import Row, Table, error_for, is_error
from asyncapi.wire.json import dumps, loads, loads_object

__all__ = ["LLVM", "backend", "item_errors"]

NAME = "llvm"

_ACTIONS: Mapping[str, Action] = {
    "infer": Action("POST", f"{MODEL}/infer"),
    "batch_infer": Action("POST", f"{MODEL}/batch_infer"),
    "info": Action("GET", MODEL),
    "statistics": Action("GET", f"{MODEL}/statistics"),
    "optimize": Action("POST", f"{MODEL}/optimize", silent=True),
    "reload": Action("POST", f"{MODEL}/reload", silent=True),
    "status": Action("GET", "/status"),
}
#: What an action can't do without.
_NEEDS = {"infer": "input", "batch_infer": "inputs", "optimize": "optimization_type"}

_ERRORS = Table(statuses={409: Row(InvalidRequestError, retryable=True)})


class LLVM:
    """Translates to and from the protocol.

    Args:
        batch_infer: Whether inferences awaited at the same time travel as one request.
    """

    name = NAME
    service = Service(
        name=NAME,
        operations=frozenset({"infer", "embed", "models", "native"}),
        base_url="http://localhost:8090",
        key_env=("LLVM_API_KEY",),
        url_env=("LLVM_BASE_URL", "LLVM_API_URL"),
        needs_key=False,
        streaming=False,
        batches={"embed": BatchLimit(items=8)},
    )

    def __init__(self, *, batch_infer: bool = False) -> None:
        if batch_infer:
            each = BatchLimit(items=8, strategy="infer side by side")
            self.service = replace(self.service, batches={**self.service.batches, "infer": each})

    def encode(self, request: Request) -> WireRequest:
        """The request in the protocol's form.

        Raises:
            UnsupportedOperationError: Neither inference, embeddings, a list of models nor a known action.
            ConfigError: No model is named, an action lacks an argument, or a tensor can't be sent.
        """
        if isinstance(request, NativeRequest):
            return _native_request(request)
        if isinstance(request, InferRequest):
            return _infer_request(request)
        if isinstance(request, InferBatchRequest):
            return _infer_batch_request(request)
        if isinstance(request, EmbedRequest):
            return _embed_request(request)
        if isinstance(request, ModelsRequest):
            return get_request("/models", request.extra)
        raise unsupported_operation(NAME, request.operation)

    def authorize(self, secret: str) -> Mapping[str, str]:
        """The key as a bearer token."""
        return {"Authorization": f"Bearer {secret}"}

    def decode(self, request: Request, reply: WireResponse) -> Response:
        """The answer.

        Raises:
            DecodeError: Not a whole answer to the request.
            ProviderError: The body of the 200 holds an error.
        """
        try:
            if isinstance(request, NativeRequest):
                return _native_response(request, reply)
            if isinstance(request, InferRequest):
                return _infer_response(request, reply)
            if isinstance(request, InferBatchRequest):
                return _infer_batch_response(request, reply)
            if isinstance(request, EmbedRequest):
                return _embed_response(request, reply)
            if isinstance(request, ModelsRequest):
                return _models_response(reply)
        except SHAPE_ERRORS as error:
            raise DecodeError(
                f"{NAME} answered {request.operation} in an unknown form ({type(error).__name__}: {error})",
                body=reply.body,
                # Outputs that are no tensors will be none again.
                retryable=False if isinstance(request, InferRequest) else None,
            ) from error
        raise unsupported_operation(NAME, request.operation)

    def error(self, reply: WireResponse) -> AsyncAPIError:
        """The exception for a reply of status 400 or more."""
        return _failure(reply)


def item_errors(response: NativeResponse) -> dict[int, AsyncAPIError]:
    """The items of a ``batch_infer`` that failed, by their place: ``{"error": ...}`` and nothing else."""
    results = response.result if type(response.result) is list else []
    return {
        place: _failure(WireResponse(status=200, headers={}, body=dumps(item, NAME)))
        for place, item in enumerate(results)
        if _failed(item)
    }


def _failed(item: Any) -> bool:
    return type(item) is dict and len(item) == 1 and bool(item.get("error"))


def _failure(reply: WireResponse) -> AsyncAPIError:
    return error_for(reply, service=NAME, table=_ERRORS)


def _model_path(model: str) -> str:
    if not model:
        raise ConfigError(f"{NAME} needs a model: write {NAME}:model")
    return f"/models/{quote(model, safe='')}"


def _place(request: NativeRequest) -> tuple[str, NativeRequest]:
    return _model_path(request.model), request


def _native_request(request: NativeRequest) -> WireRequest:
    needed = _NEEDS.get(request.action)
    if needed and needed not in request.arguments:
        raise ConfigError(f"{request.action} of {NAME} needs the argument {needed!r}")
    if request.action == "batch_infer" and not isinstance(request.arguments["inputs"], list | tuple):
        raise ConfigError(f"batch_infer of {NAME} takes a list of inputs")
    return action_request(_ACTIONS, request, NAME, _place)


def _infer_request(request: InferRequest) -> WireRequest:
    return _inference(request, "infer", {"input": _nested(request.inputs)})


def _infer_batch_request(request: InferBatchRequest) -> WireRequest:
    return _inference(request, "batch_infer", {"inputs": [_nested(one) for one in request.inputs]})


def _inference(request: InferRequest | InferBatchRequest, action: str, body: dict[str, Any]) -> WireRequest:
    if request.version is not None:
        raise ConfigError(f"{NAME} knows no versions of a model; leave version out")
    if request.parameters:
        body["parameters"] = request.parameters
    return json_request(f"{_model_path(request.model)}/{action}", body, NAME, request.extra)


def _nested(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    inputs = {}
    for name, tensor in tensors.items():
        try:
            inputs[name] = nested(tensor)
        except SHAPE_ERRORS as error:
            raise ConfigError(f"input {name!r}: {error}") from error
    return inputs


def _embed_request(request: EmbedRequest) -> WireRequest:
    body: dict[str, Any] = {"inputs": request.inputs}
    if request.dimensions is not None:
        body["parameters"] = {"dimensions": request.dimensions}
    return json_request(f"{_model_path(request.model)}/batch_infer", body, NAME, request.extra)


def _object(reply: WireResponse) -> dict[str, Any]:
    data = loads_object(reply.body, NAME)
    if is_error(data):
        raise _failure(reply)
    return data


def _native_response(request: NativeRequest, reply: WireResponse) -> NativeResponse:
    if request.action not in ("infer", "batch_infer"):
        return native_response(_ACTIONS, request, reply, NAME, _failure)
    data = _object(reply)
    warnings: tuple[str, ...] = ()
    if request.action == "infer":
        result = data["outputs"]
    else:
        result = _results(reply, data, len(request.arguments["inputs"]))
        if failed := [str(place) for place, item in enumerate(result) if _failed(item)]:
            warnings = (f"{len(failed)} of {len(result)} items failed: {', '.join(failed)}",)
    return NativeResponse(
        model=_name(data, request),
        result=result,
        raw=data,
        usage=_usage(data),
        warnings=warnings,
        provider_request_id=request_id(reply.headers),
    )


def _results(reply: WireResponse, data: dict[str, Any], count: int) -> list[Any]:
    """As many results as inputs, with exactly 200: else no result can be told whose it is."""
    results = data["results"]
    if reply.status != 200 or type(results) is not list or len(results) != count:
        found = len(results) if type(results) is list else "no list of"
        raise ValueError(f"status {reply.status} with {found} results for {count} inputs")
    return results


def _infer_batch_response(request: InferBatchRequest, reply: WireResponse) -> InferBatchResponse:
    data = _object(reply)
    model = _name(data, request)

    def one(item: Any) -> InferResponse | AsyncAPIError:
        if _failed(item):
            return _failure(WireResponse(status=200, headers=reply.headers, body=dumps(item, NAME)))
        return InferResponse(model=model, outputs=_outputs(request.outputs, item), raw=item)

    return InferBatchResponse(
        model=model,
        results=tuple([one(item) for item in _results(reply, data, len(request.inputs))]),
        raw=data,
        usage=_usage(data),
        provider_request_id=request_id(reply.headers),
    )


def _outputs(wanted: tuple[str, ...], item: Any) -> dict[str, Tensor]:
    outputs = tensors_of(item)
    if missing := [name for name in wanted if name not in outputs]:
        raise ValueError(f"no output {', '.join(missing)}")
    return {name: outputs[name] for name in wanted or outputs}


def _infer_response(request: InferRequest, reply: WireResponse) -> InferResponse:
    data = _object(reply)
    return InferResponse(
        model=_name(data, request),
        outputs=_outputs(request.outputs, data["outputs"]),
        raw=data,
        usage=_usage(data),
        provider_request_id=request_id(reply.headers),
    )


def _embed_response(request: EmbedRequest, reply: WireResponse) -> EmbedResponse:
    data = _object(reply)
    results = _results(reply, data, len(request.inputs))
    for item in results:
        if _failed(item):
            raise _failure(WireResponse(status=200, headers=reply.headers, body=dumps(item, NAME)))
    vectors = tuple([_vector(item) for item in results])
    if len({len(vector) for vector in vectors}) > 1:
        raise ValueError("vectors of different lengths")
    return EmbedResponse(
        model=_name(data, request),
        vectors=vectors,
        raw=data,
        usage=_usage(data),
        provider_request_id=request_id(reply.headers),
    )


def _vector(item: Any) -> array[float]:
    if type(item) is not list or not item or not {int, float}.issuperset(map(type, item)):
        raise TypeError("a result is no list of numbers")
    return array("f", item)


def _models_response(reply: WireResponse) -> ModelsResponse:
    """Names or objects, in a list or under ``models``."""
    data = loads(reply.body, NAME)
    if is_error(data):
        raise _failure(reply)
    items = data["models"] if type(data) is dict else data
    if type(items) is not list:
        raise TypeError("the models are no list")
    models = tuple([_model(item) for item in items])
    return ModelsResponse(models=models, raw=data, provider_request_id=request_id(reply.headers))


def _model(item: Any) -> Model:
    ident = item
    if type(item) is dict:
        ident = next((item[name] for name in ("id", "model_id", "name") if name in item), None)
    if type(ident) is not str:
        raise TypeError("a model without a name")
    return Model(id=ident, raw=item)


def _name(data: dict[str, Any], request: Request) -> str:
    name = data.get("model_id")
    return name if type(name) is str and name else request.model


def _usage(data: dict[str, Any]) -> Usage:
    metadata = data.get("metadata")
    return read_usage(metadata.get("usage")) if type(metadata) is dict else Usage()


backend = LLVM()
