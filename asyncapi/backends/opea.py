"""OPEA microservices and gateways: the OpenAI dialect, its own reranking, streams of bytes literals.

Each microservice and each gateway has a host and port of its own, so each is an endpoint with its base URL.
A chat goes to ``/chat/completions``, the LLM microservice, unless its model is the name of a mega-service
(chatqna, codegen, codetrans, docsum, faqgen, searchqna, translation, ... see ``MEGASERVICES``), which sends
it to that gateway: ``opea:chatqna`` posts to ``/chatqna``, and no model is sent. For a gateway of another
name, or to send the gateway a model, ``Client(..., backends=[OPEA(megaservice="myqna", name="mine")])``
makes a backend that sends every chat there.

codetrans and translation take one text, and the languages as
``Extra(body={"language_from": "Go", "language_to": "Python"})``. A gateway reports no usage; its stream is
whole once ``[DONE]`` follows at least one piece. A gateway that streams although it was told not to is
read all the same.

``moderate`` asks the guardrails microservice, or ``opea:toxicity``, ``opea:bias``, ``opea:injection``; a
blocked text is flagged. Guards that answer 466 raise ContentRefusedError instead. What else there is, by
``native``: retrieval, dataprep_get, dataprep_delete, dataprep_indices, statistics, health, list_service,
list_parameters, text2image and others, and every mega-service with its own arguments.

Source: opea-project/GenAIComps, comps/cores; opea-project/GenAIExamples, ChatQnA.
"""

from __future__ import annotations

import ast
from typing import Any
from urllib.parse import quote

import msgspec

from asyncapi.backends._encoding import json_request
from asyncapi.backends._native import native_request, native_response
from asyncapi.backends._opea_gateway import (
    ACTIONS,
    MEGASERVICES,
    gateway_body,
    guard_body,
    verdict,
)
from asyncapi.backends._openai_dialect import OpenAIDialect
from asyncapi.backends._openai_quirks import Quirks, RerankForm
from asyncapi.backends._openai_reply import SHAPE_ERRORS, request_id
from asyncapi.backends._openai_request import RequestWriter
from asyncapi.errors import DecodeError, OverloadedError
from asyncapi.types.requests import ChatRequest, ModerateRequest, NativeRequest, Request, RerankRequest
from asyncapi.types.responses import ModerateResponse, Ranked, Response
from asyncapi.types.wire import BatchLimit, Service, WireRequest, WireResponse
from asyncapi.wire.errors import Row, Table, is_error
from asyncapi.wire.json import loads

__all__ = ["MEGASERVICES", "OPEA", "backend"]


def _write_rerank(request: RerankRequest) -> dict[str, Any]:
    # top_n is 1 when it is left out.
    return {
        "input": request.query,
        "retrieved_docs": [{"text": document} for document in request.documents],
        "top_n": len(request.documents) if request.top_n is None else request.top_n,
    }


def _read_rerank(request: RerankRequest, data: dict[str, Any]) -> list[Ranked]:
    """The reply has texts and no index: each text takes the first place in the request that has it."""
    places: dict[str, list[int]] = {}
    for index in range(len(request.documents) - 1, -1, -1):
        places.setdefault(request.documents[index], []).append(index)
    return [
        Ranked(places[item["text"]].pop(), float(item["score"]), item["text"])
        for item in data["reranked_docs"]
    ]


def _read_text(payload: bytes) -> str | None:
    """Gateways send the repr of Python bytes, ``b' caf\\xc3\\xa9'``, instead of JSON."""
    if not payload.startswith((b"b'", b'b"')):
        return None
    try:
        value = ast.literal_eval(payload.decode("ascii"))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else None


_SERVICE = Service(
    name="opea",
    operations=frozenset({"chat", "embed", "rerank", "moderate", "native", "speech", "transcribe"}),
    base_url="http://localhost:8000/v1",
    url_env=("OPEA_API_ENDPOINT", "OPEA_BASE_URL"),
    needs_key=False,
    # A guard checks one text a request.
    batches={"embed": BatchLimit(items=32), "moderate": BatchLimit(items=1)},
)

_QUIRKS = Quirks(
    names={
        "max_tokens": "max_tokens",
        "top_k": "top_k",
        "parallel_tool_calls": None,
        "reasoning_effort": None,
        "user_id": "user",
        "instructions": None,
        "timestamps": None,
        "metadata": None,
        "service_tier": None,
    },
    paths={"rerank": "/reranking"},
    developer_role=False,
    # Several gateways stream unless told not to.
    explicit_stream=True,
    base64=False,
    rerank=RerankForm(_write_rerank, _read_rerank),
    read_text=_read_text,
    errors=Table(statuses={429: Row(OverloadedError)}),
)


class OPEA(OpenAIDialect):
    """Translates to and from OPEA's services.

    Args:
        megaservice: The gateway that every chat goes to, whatever its model; None goes by the model.
        name: The prefix in ``provider:model``, for more than one of them.
    """

    def __init__(self, *, megaservice: str | None = None, name: str = "opea") -> None:
        super().__init__(msgspec.structs.replace(_SERVICE, name=name), _QUIRKS)
        self._megaservice = megaservice
        self._chats = RequestWriter(name, _QUIRKS)

    def encode(self, request: Request, /) -> WireRequest:
        """The request in the form of the service that it goes to.

        Raises:
            UnsupportedOperationError: No service offers the operation, or the native action.
            ConfigError: The request can't be expressed.
        """
        if isinstance(request, NativeRequest):
            return native_request(ACTIONS, request, self.name)
        if isinstance(request, ModerateRequest):
            return json_request(*guard_body(request), self.name, request.extra)
        if type(request) is ChatRequest and (gateway := self._gateway(request)) is not None:
            notes: list[str] = []
            body = gateway_body(gateway, request, self._chats.chat(request, notes), notes)
            return json_request(f"/{quote(gateway, safe='')}", body, self.name, request.extra, notes)
        return super().encode(request)

    def decode(self, request: Request, reply: WireResponse, /) -> Response:
        """The answer of a reply of status below 400.

        Raises:
            DecodeError: The body is not a whole answer to the request.
            StreamInterruptedError: A gateway streamed although it was told not to, and broke off.
            ProviderError: The body holds an error.
        """
        if isinstance(request, NativeRequest):
            return native_response(ACTIONS, request, reply, self.name, self.error)
        if isinstance(request, ModerateRequest):
            return self._moderate_response(request, reply)
        if type(request) is ChatRequest and reply.body.startswith(b"data:"):
            return self._whole_stream(request, reply)
        return super().decode(request, reply)

    def _gateway(self, request: ChatRequest) -> str | None:
        if self._megaservice is not None:
            return self._megaservice
        return request.model if request.model in MEGASERVICES else None

    def _whole_stream(self, request: ChatRequest, reply: WireResponse) -> Response:
        headers = {name: value for name, value in reply.headers.items() if name.lower() != "content-type"}
        stream = self.stream(request, WireResponse(status=reply.status, headers=headers, body=b""))
        stream.feed(reply.body)
        return stream.finish()

    def _moderate_response(self, request: ModerateRequest, reply: WireResponse) -> ModerateResponse:
        data = loads(reply.body, self.name)
        if is_error(data):
            raise self.error(reply)
        try:
            found = verdict(request.inputs[0], data)
        except SHAPE_ERRORS as error:
            raise DecodeError(f"{self.name} gave no verdict: {error}", body=reply.body) from error
        return ModerateResponse(
            model=request.model,
            results=(found,),
            raw=data,
            provider_request_id=request_id(reply.headers),
        )


backend = OPEA()
