"""How services that speak the OpenAI dialect differ from each other: one row of flags each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from asyncapi.types.requests import RerankRequest
from asyncapi.types.responses import Ranked
from asyncapi.wire.errors import Table

if TYPE_CHECKING:
    from asyncapi.backends._native import Action

__all__ = ["COHERE_RERANK", "PARAMETERS", "PATHS", "Quirks", "RerankForm"]

#: Where each operation lives, under the base URL.
PATHS: Mapping[str, str] = {
    "chat": "/chat/completions",
    "embed": "/embeddings",
    "rerank": "/rerank",
    "models": "/models",
    "respond": "/responses",
    "count_tokens": "/responses/input_tokens",
    "complete": "/completions",
    "moderate": "/moderations",
    "classify": "/classify",
    "score": "/score",
    "tokenize": "/tokenize",
    "image": "/images/generations",
    "speech": "/audio/speech",
    "transcribe": "/audio/transcriptions",
    "translate": "/audio/translations",
    "chat_batch": "/chat/completions/batch",
}

#: OpenAI's names of the normal form's parameters; None: it has no such parameter.
PARAMETERS: Mapping[str, str | None] = {
    "max_tokens": "max_completion_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": None,
    "stop": "stop",
    "seed": "seed",
    "n": "n",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "logprobs": "logprobs",
    "top_logprobs": "top_logprobs",
    "parallel_tool_calls": "parallel_tool_calls",
    "reasoning_effort": "reasoning_effort",
    "reasoning_budget": None,
    "user_id": "safety_identifier",
    "metadata": "metadata",
    "service_tier": "service_tier",
    "dimensions": "dimensions",
}


class RerankForm(NamedTuple):
    """How documents to rank are sent, and how scores come back.

    ``read`` gets the request and the reply's JSON object; it may raise KeyError, TypeError, ValueError
    or IndexError on a wrong shape.
    """

    write: Callable[[RerankRequest], dict[str, Any]]
    read: Callable[[RerankRequest, dict[str, Any]], list[Ranked]]


def _write_cohere(request: RerankRequest) -> dict[str, Any]:
    body: dict[str, Any] = {"model": request.model, "query": request.query, "documents": request.documents}
    if request.top_n is not None:
        body["top_n"] = request.top_n
    return body


def _read_cohere(request: RerankRequest, data: dict[str, Any]) -> list[Ranked]:
    return [_ranked(item) for item in data["results"]]


def _ranked(item: dict[str, Any]) -> Ranked:
    document = item.get("document")
    text = document.get("text") if isinstance(document, dict) else document
    return Ranked(item["index"], float(item["relevance_score"]), text if isinstance(text, str) else None)


#: ``{"query", "documents", "top_n"}`` and ``{"results": [{"index", "relevance_score"}]}``.
COHERE_RERANK = RerankForm(_write_cohere, _read_cohere)


class Quirks(msgspec.Struct, frozen=True, kw_only=True):
    """Where a service differs from OpenAI. The defaults suit a server that follows the dialect closely.

    Attributes:
        names: Wire names of parameters, over ``PARAMETERS``; None for one that it does not take. A parameter
            of another operation, such as a voice's "instructions", has its own name unless it is here.
        paths: Paths of operations, over ``PATHS``.
        prefix: What stands before every path.
        unprefixed: The operations whose path it does not stand before.
        natives: Operations that only this service has; their paths are whole.
        developer_role: Whether it knows the role "developer"; else "system" is sent.
        message_names: Whether a message may have a name.
        stream_options: What a stream asks for, so that it reports usage; None asks nothing.
        explicit_stream: Whether ``"stream": false`` must be said.
        reasoning_fields: Names under which it shows reasoning, the first that is there counts.
        reasoning_input: Name under which it takes its own reasoning back, empty if it does not.
        base64: Whether it is asked for embeddings in base64; both forms are read anyway.
        response_format: Whose form a JSON schema takes.
        structured_outputs: Whether it takes vLLM's ``structured_outputs`` (regex, choice, grammar).
        rerank: The form of reranking.
        read_text: Reads a stream event that is not JSON as text, None if it can't.
        errors: How its errors differ.
    """

    names: Mapping[str, str | None] = {}
    paths: Mapping[str, str] = {}
    prefix: str = ""
    unprefixed: frozenset[str] = frozenset()
    natives: Mapping[str, Action] = {}
    developer_role: bool = True
    message_names: bool = True
    stream_options: Mapping[str, Any] | None = msgspec.field(default_factory=lambda: {"include_usage": True})
    explicit_stream: bool = False
    reasoning_fields: tuple[str, ...] = ("reasoning", "reasoning_content")
    reasoning_input: str = ""
    base64: bool = True
    response_format: Literal["openai", "tgi"] = "openai"
    structured_outputs: bool = False
    rerank: RerankForm = COHERE_RERANK
    read_text: Callable[[bytes], str | None] | None = None
    errors: Table = Table()
