"""OpenVINO Model Server: tensors over KServe v2, generation over the OpenAI dialect under ``/v3``.

One endpoint serves both: ``infer`` goes to ``/v2/models/<model>``, chat, embeddings and reranking go to
``/v3``. Tensors travel as raw bytes in both directions; ``Client(..., backends=[OVMS(binary=False)])`` sends
and asks for JSON, for servers that lack the extension, where FP16, BF16, NaN and infinities can't go.

What only this server has is there by ``native``: live, ready, server_metadata, metadata, model_ready,
config, status, reload, metrics, and ``predict``, the TensorFlow-Serving form of inference, which servers
before 2026.3 have. A check such as ``ready`` gives True, or raises what the server's status means.
``version`` among the arguments of metadata, model_ready and predict chooses a version of the model.

Source: OpenVINO Model Server documentation, KServe, OpenAI and TensorFlow Serving APIs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from asyncapi.backends._encoding import json_request
from asyncapi.backends._kserve import infer_head, infer_request, infer_response, model_path
from asyncapi.backends._model_actions import MODEL, action_request
from asyncapi.backends._native import Action, native_response
from asyncapi.backends._openai_dialect import OpenAIDialect
from asyncapi.backends._openai_quirks import Quirks
from asyncapi.backends._openai_reply import SHAPE_ERRORS, request_id
from asyncapi.errors import (
    DecodeError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    ServerError,
)
from asyncapi.types.requests import InferRequest, NativeRequest, Request, TokenizeRequest
from asyncapi.types.responses import InferResponse, NativeResponse, Response, Token, TokenizeResponse
from asyncapi.types.wire import BatchLimit, Service, WireRequest, WireResponse
from asyncapi.wire.errors import Row, Table, is_error
from asyncapi.wire.json import loads_object

__all__ = ["OVMS", "backend"]

NAME = "ovms"

_ACTIONS: Mapping[str, Action] = {
    "live": Action("GET", "/v2/health/live"),
    "ready": Action("GET", "/v2/health/ready"),
    "server_metadata": Action("GET", "/v2"),
    "metadata": Action("GET", MODEL),
    "model_ready": Action("GET", f"{MODEL}/ready"),
    "config": Action("GET", "/v1/config"),
    "status": Action("GET", "/v1/config"),
    "reload": Action("POST", "/v1/config/reload", silent=True),
    "metrics": Action("GET", "/metrics"),
    "predict": Action("POST", f"/v1{MODEL}:predict"),
}
#: Actions that answer by the status alone, whatever the body.
_CHECKS = ("live", "ready", "model_ready")

_ERRORS = Table(
    # A failed graph is 400, whoever's fault it is; the text behind it tells.
    texts=(
        ("mp status - invalid_argument", Row(InvalidRequestError)),
        ("mediapipe execution failed", Row(ServerError, retryable=False)),
        ("mediapipe_execution_error", Row(ServerError, retryable=False)),
    ),
    # A local server has no quota: a 429 of a proxy before it means that it is full.
    statuses={429: Row(OverloadedError)},
)


def _without_version(url: str) -> str:
    """The server; with OpenAI's SDK people write the prefix of its routes too."""
    url = url.rstrip("/")
    return url[:-3] if url.endswith(("/v1", "/v2", "/v3")) else url


_SERVICE = Service(
    name=NAME,
    operations=frozenset({"chat", "embed", "rerank", "models", "tokenize", "infer", "native"}),
    base_url="http://localhost:9000",
    key_env=("OVMS_API_KEY",),
    url_env=("OVMS_API_URL", "OVMS_BASE_URL"),
    needs_key=False,
    normalise_url=_without_version,
    batches={"embed": BatchLimit(items=500), "rerank": BatchLimit(items=100)},
)

_QUIRKS = Quirks(
    names={
        "top_k": "top_k",
        "top_logprobs": None,
        "user_id": None,
        "metadata": None,
        "service_tier": None,
        "dimensions": None,
    },
    prefix="/v3",
    developer_role=False,
    errors=_ERRORS,
)


class OVMS(OpenAIDialect):
    """Translates to and from OpenVINO Model Server.

    Args:
        binary: Whether tensors travel as raw bytes, else as JSON.
        batch_rows: How many rows (axis 0 of every tensor) one inference may have. With more than 1, calls of
            ``infer`` awaited at the same time travel as one, their rows one above the other. Only for
            servers whose models all leave the size of axis 0 free and give a row for a row.
    """

    def __init__(self, *, binary: bool = True, batch_rows: int = 1) -> None:
        rows = {"infer": BatchLimit(items=batch_rows)} if batch_rows > 1 else {}
        super().__init__(msgspec.structs.replace(_SERVICE, batches={**_SERVICE.batches, **rows}), _QUIRKS)
        self._binary = binary

    def encode(self, request: Request, /) -> WireRequest:
        """The request in the server's form.

        Raises:
            UnsupportedOperationError: The server does not offer the operation, or the native action.
            ConfigError: The request can't be expressed, such as a tensor that does not fit its shape.
        """
        if isinstance(request, InferRequest):
            return infer_request(request, NAME, self._binary)
        if isinstance(request, NativeRequest):
            return action_request(_ACTIONS, request, NAME, _place)
        if isinstance(request, TokenizeRequest):
            body: dict[str, Any] = {
                "model": request.model,
                "text": request.inputs,
                "add_special_tokens": request.add_special_tokens,
            }
            return json_request("/v3/tokenize", body, NAME, request.extra)
        return super().encode(request)

    def decode(self, request: Request, reply: WireResponse, /) -> Response:
        """The answer of a reply of status below 400.

        Raises:
            DecodeError: The body is not a whole answer to the request.
            ProviderError: The body holds an error.
        """
        if isinstance(request, InferRequest):
            return self._infer_response(request, reply)
        if isinstance(request, NativeRequest):
            return self._native_response(request, reply)
        if isinstance(request, TokenizeRequest):
            return self._tokenize_response(request, reply)
        return super().decode(request, reply)

    def _infer_response(self, request: InferRequest, reply: WireResponse) -> InferResponse:
        if reply.status == 204:  # a demultiplexer that found nothing
            return InferResponse(model=request.model, provider_request_id=request_id(reply.headers))
        data, start = infer_head(reply, NAME)
        if is_error(data):
            raise self.error(msgspec.structs.replace(reply, body=reply.body[:start]))
        return infer_response(request, reply, data, start, NAME)

    def _native_response(self, request: NativeRequest, reply: WireResponse) -> NativeResponse:
        if request.action in _CHECKS:
            return _plain(request, reply, True)
        if request.action == "metrics":
            return _plain(request, reply, reply.body.decode("utf-8", "replace"))
        response = native_response(_ACTIONS, request, reply, NAME, self.error)
        return _status(request, response, reply) if request.action == "status" else response

    def _tokenize_response(self, request: TokenizeRequest, reply: WireResponse) -> TokenizeResponse:
        data = loads_object(reply.body, NAME)
        if is_error(data):
            raise self.error(reply)
        try:
            results = tuple([_tokens(ids) for ids in data["tokens"]])
            if len(results) != len(request.inputs):
                raise ValueError(f"{len(results)} lists for {len(request.inputs)} texts")
        except SHAPE_ERRORS as error:
            raise DecodeError(f"{NAME} answered no tokens of each text: {error}", body=reply.body) from error
        return TokenizeResponse(
            model=request.model, results=results, raw=data, provider_request_id=request_id(reply.headers)
        )


def _tokens(ids: list[int]) -> tuple[Token, ...]:
    if type(ids) is not list or not all(type(i) is int for i in ids):
        raise TypeError("the tokens are not numbers")
    return tuple([Token(id=i) for i in ids])


def _place(request: NativeRequest) -> tuple[str, NativeRequest]:
    """The path of the model and version, and the request without its version."""
    arguments = dict(request.arguments)
    version = arguments.pop("version", None)
    path = model_path(request.model, None if version is None else str(version), NAME)
    if request.action == "predict":
        path = path.removeprefix("/v2")
    return path, msgspec.structs.replace(request, arguments=arguments)


def _plain(request: NativeRequest, reply: WireResponse, result: Any) -> NativeResponse:
    return NativeResponse(model=request.model, result=result, provider_request_id=request_id(reply.headers))


def _status(request: NativeRequest, response: NativeResponse, reply: WireResponse) -> NativeResponse:
    """The part of the configuration's status that is the model's."""
    known = response.result
    if type(known) is not dict:
        raise DecodeError(f"{NAME} answered a configuration that is not an object", body=reply.body)
    if request.model not in known:
        raise NotFoundError(
            f"{NAME} has no model {request.model!r}; it has: {', '.join(sorted(known)) or 'none'}",
            status=reply.status,
            body=reply.body,
        )
    return msgspec.structs.replace(response, result=known[request.model])


backend = OVMS()
