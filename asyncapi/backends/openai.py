"""OpenAI itself.

Source: OpenAI API reference; the typed models and defaults of its Python SDK.
"""

from __future__ import annotations

from asyncapi.backends._native import Action
from asyncapi.backends._openai_dialect import OpenAIDialect
from asyncapi.backends._openai_quirks import Quirks
from asyncapi.errors import ContentRefusedError, InvalidRequestError
from asyncapi.types.wire import BatchLimit, RateHeaders, Service, TokenHeaders
from asyncapi.wire.errors import Row, Table

__all__ = ["backend"]

_IMAGE_CODES = (
    "empty_image_file",
    "failed_to_download_image",
    "image_file_not_found",
    "image_file_too_large",
    "image_parse_error",
    "image_too_large",
    "image_too_small",
    "invalid_base64_image",
    "invalid_image",
    "invalid_image_format",
    "invalid_image_mode",
    "invalid_image_url",
    "unsupported_image_media_type",
)

backend = OpenAIDialect(
    Service(
        name="openai",
        operations=frozenset(
            {
                "chat",
                "complete",
                "count_tokens",
                "embed",
                "image",
                "models",
                "moderate",
                "native",
                "respond",
                "speech",
                "transcribe",
                "translate",
            }
        ),
        base_url="https://api.openai.com/v1",
        key_env=("OPENAI_API_KEY",),
        url_env=("OPENAI_BASE_URL",),
        rate_headers=RateHeaders("x-ratelimit-remaining-requests", "x-ratelimit-limit-requests", 60.0),
        token_headers=(TokenHeaders("tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-limit-tokens"),),
        batches={
            # 2,048 texts, and 300,000 tokens over all of them, of about three characters.
            "embed": BatchLimit(items=2048, chars=900_000),
            # No limits are published for these.
            "complete": BatchLimit(items=20),
            "moderate": BatchLimit(items=32),
        },
    ),
    Quirks(
        # The padding against traffic analysis is on by default and a third of the bytes.
        stream_options={"include_usage": True, "include_obfuscation": False},
        natives={
            "cancel_response": Action("POST", "/responses/{id}/cancel"),
            "model": Action("GET", "/models/{id}"),
            "response": Action("GET", "/responses/{id}"),
            "response_input": Action("GET", "/responses/{id}/input_items"),
        },
        errors=Table(
            statuses={409: Row(InvalidRequestError, retryable=True)},
            # The codes of an answer that failed behind a 200.
            types={
                "invalid_prompt": Row(InvalidRequestError),
                "data_residency_mismatch": Row(InvalidRequestError),
                "bio_policy": Row(ContentRefusedError),
                "misalignment_policy_violation": Row(ContentRefusedError),
                "image_content_policy_violation": Row(ContentRefusedError),
                **{code: Row(InvalidRequestError) for code in _IMAGE_CODES},
            },
        ),
    ),
)
