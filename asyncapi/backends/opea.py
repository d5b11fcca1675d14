"""OPEA microservices and gateways: the OpenAI dialect, its own reranking, streams of bytes literals.

Source: opea-project/GenAIComps, comps/cores; opea-project/GenAIExamples, ChatQnA.
"""

from __future__ import annotations

import ast
from typing import Any

from asyncapi.backends._openai_dialect import OpenAIDialect
from asyncapi.backends._openai_quirks import Quirks, RerankForm
from asyncapi.errors import OverloadedError
from asyncapi.types.requests import RerankRequest
from asyncapi.types.responses import Ranked
from asyncapi.types.wire import BatchLimit, Service
from asyncapi.wire.errors import Row, Table

__all__ = ["backend"]


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


backend = OpenAIDialect(
    Service(
        name="opea",
        operations=frozenset({"chat", "embed", "rerank"}),
        base_url="http://localhost:8000/v1",
        url_env=("OPEA_API_ENDPOINT", "OPEA_BASE_URL"),
        needs_key=False,
        batches={"embed": BatchLimit(items=32)},
    ),
    Quirks(
        names={
            "max_tokens": "max_tokens",
            "top_k": "top_k",
            "parallel_tool_calls": None,
            "reasoning_effort": None,
            "user_id": "user",
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
    ),
)
