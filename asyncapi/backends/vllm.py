"""vLLM's own server: more sampling parameters, reasoning text, reranking, scores, labels, tokens.

Source: vLLM 0.33, the entrypoints of its OpenAI-compatible server.
"""

from __future__ import annotations

from msgspec.structs import replace

from asyncapi.backends._native import Action
from asyncapi.backends._openai_dialect import OpenAIDialect
from asyncapi.backends._openai_quirks import Quirks
from asyncapi.errors import OverloadedError, ServerError
from asyncapi.types.wire import BatchLimit, LoadHeader, Service
from asyncapi.wire.errors import Row, Table

__all__ = ["VLLM", "backend"]


def _without_version(url: str) -> str:
    """The server; with OpenAI's SDK people write the prefix of most of its routes too."""
    return url.rstrip("/").removesuffix("/v1")


_SERVICE = Service(
    name="vllm",
    operations=frozenset(
        {
            "chat",
            "chat_batch",
            "classify",
            "complete",
            "embed",
            "models",
            "native",
            "rerank",
            "score",
            "tokenize",
            "transcribe",
            "translate",
        }
    ),
    base_url="http://localhost:8000",
    key_env=("VLLM_API_KEY",),
    url_env=("VLLM_BASE_URL", "VLLM_API_URL"),
    needs_key=False,
    normalise_url=_without_version,
    load=LoadHeader(
        "endpoint-load-metrics",
        r'"num_requests_waiting":\s*([0-9.]+)',
        ask=("endpoint-load-metrics-format", "JSON"),
    ),
    batches={
        "classify": BatchLimit(items=256),
        "complete": BatchLimit(items=64),
        "embed": BatchLimit(items=256),
        "rerank": BatchLimit(items=256),
        "score": BatchLimit(items=256),
        # The route takes one text: longer lists are cut up.
        "tokenize": BatchLimit(items=1),
    },
)

_QUIRKS = Quirks(
    names={
        "top_k": "top_k",
        "reasoning_budget": "thinking_token_budget",
        "user_id": None,
        "metadata": None,
        "service_tier": None,
    },
    prefix="/v1",
    unprefixed=frozenset({"classify", "tokenize"}),
    natives={
        "detokenize": Action("POST", "/detokenize", model="model"),
        "health": Action("GET", "/health", silent=True),
        "load": Action("GET", "/load"),
        "pooling": Action("POST", "/pooling", model="model"),
        "version": Action("GET", "/version"),
    },
    reasoning_input="reasoning",
    structured_outputs=True,
    errors=Table(
        # "Service Unavailable" is the full queue; ServiceUnavailableError says "please retry".
        signals={
            "service unavailable": Row(OverloadedError),
            "serviceunavailableerror": Row(ServerError),
        },
        # A local server has no quota: its 429 means that it is full.
        statuses={429: Row(OverloadedError)},
    ),
)


class VLLM(OpenAIDialect):
    """Translates to and from vLLM.

    Args:
        chat_batch: Whether chats awaited at the same time travel as one request. It saves round trips
            in bulk work; but every caller then waits for the longest answer of the batch.
    """

    def __init__(self, *, chat_batch: bool = False) -> None:
        batches = {**_SERVICE.batches, "chat": BatchLimit(items=64)} if chat_batch else _SERVICE.batches
        super().__init__(replace(_SERVICE, batches=batches), _QUIRKS)


backend = VLLM()
