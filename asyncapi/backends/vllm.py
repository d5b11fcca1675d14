"""vLLM's own server: more sampling parameters, reasoning text, reranking.

Source: vLLM 0.33, the entrypoints of its OpenAI-compatible server.
"""

from __future__ import annotations

from asyncapi.backends._openai_dialect import OpenAIDialect
from asyncapi.backends._openai_quirks import Quirks
from asyncapi.errors import OverloadedError, ServerError
from asyncapi.types.wire import BatchLimit, Service
from asyncapi.wire.errors import Row, Table

__all__ = ["backend"]

backend = OpenAIDialect(
    Service(
        name="vllm",
        operations=frozenset({"chat", "embed", "rerank", "models"}),
        base_url="http://localhost:8000/v1",
        key_env=("VLLM_API_KEY",),
        url_env=("VLLM_BASE_URL", "VLLM_API_URL"),
        needs_key=False,
        batches={"embed": BatchLimit(items=256)},
    ),
    Quirks(
        names={
            "top_k": "top_k",
            "reasoning_budget": "thinking_token_budget",
            "user_id": None,
            "metadata": None,
            "service_tier": None,
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
    ),
)
