"""Groq: the OpenAI dialect under the prefix ``/openai/v1``, usage of streams in ``x_groq``.

Source: GroqCloud documentation, API reference and Errors; the typed models of its Python SDK.
"""

from __future__ import annotations

from asyncapi.backends._openai_dialect import OpenAIDialect
from asyncapi.backends._openai_quirks import Quirks
from asyncapi.errors import InvalidRequestError
from asyncapi.types.wire import BatchLimit, RateHeaders, Service, TokenHeaders
from asyncapi.wire.errors import Row, Table

__all__ = ["backend"]


def _without_prefix(url: str) -> str:
    """Groq's own SDK takes the host; with OpenAI's SDK people write the prefix too."""
    return url.rstrip("/").removesuffix("/openai/v1")


backend = OpenAIDialect(
    Service(
        name="groq",
        operations=frozenset({"chat", "embed", "models", "speech", "transcribe", "translate"}),
        base_url="https://api.groq.com",
        key_env=("GROQ_API_KEY",),
        url_env=("GROQ_BASE_URL",),
        rate_headers=RateHeaders("x-ratelimit-remaining-requests", "x-ratelimit-limit-requests", 86400.0),
        token_headers=(TokenHeaders("tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-limit-tokens"),),
        cached_tokens_count=False,
        normalise_url=_without_prefix,
        batches={"embed": BatchLimit(items=2048, chars=900_000)},
    ),
    Quirks(
        names={
            "n": None,
            "logprobs": None,
            "top_logprobs": None,
            "frequency_penalty": None,
            "presence_penalty": None,
            "metadata": None,
            "dimensions": None,
            "user_id": "user",
            "instructions": None,
        },
        prefix="/openai/v1",
        developer_role=False,
        message_names=False,
        stream_options=None,
        errors=Table(
            statuses={
                409: Row(InvalidRequestError, retryable=True),
                # A remote tool server failed: the same request will fail again.
                424: Row(InvalidRequestError),
            }
        ),
    ),
)
