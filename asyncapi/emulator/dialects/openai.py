"""OpenAI: chat, responses, completions, embeddings, moderation, pictures, sounds, models.

Source: OpenAI API reference and its error guide.
"""

import re
from collections.abc import Mapping

from asyncapi.emulator.dialects.openai_chat import ChatWords
from asyncapi.emulator.dialects.openai_media import draw, moderate, speak, transcribe, translate
from asyncapi.emulator.dialects.openai_responses import Responses
from asyncapi.emulator.dialects.openai_shape import OpenAIShape, ratelimit_headers
from asyncapi.emulator.exchange import Json, invalid
from asyncapi.emulator.limits import Reading

# Models that think by themselves refuse the old name of the cap and any sampling.
_REASONING_MODEL = re.compile(r"o\d|gpt-5")


class OpenAI(OpenAIShape):
    """The OpenAI API."""

    name = "openai"
    base_path = "/openai/v1"
    needs_key = True
    wait_form = "both"
    words = ChatWords(obfuscated=True)
    models = ("gpt-6-luna", "gpt-5", "gpt-4o-mini", "o3", "text-embedding-3-small")
    most_items = 2048

    def __init__(self) -> None:
        super().__init__()
        responses = Responses()
        self.routes = {
            ("POST", "openai/v1/chat/completions"): self.chat,
            ("POST", "openai/v1/completions"): self.completions,
            ("POST", "openai/v1/embeddings"): self.embeddings,
            ("POST", "openai/v1/responses"): responses.create,
            ("POST", "openai/v1/responses/input_tokens"): responses.count,
            ("GET", "openai/v1/responses/"): responses.read,
            ("POST", "openai/v1/responses/"): responses.cancel,
            ("DELETE", "openai/v1/responses/"): responses.delete,
            ("POST", "openai/v1/moderations"): moderate,
            ("POST", "openai/v1/images/generations"): draw,
            ("POST", "openai/v1/audio/speech"): speak,
            ("POST", "openai/v1/audio/transcriptions"): transcribe,
            ("POST", "openai/v1/audio/translations"): translate,
            ("GET", "openai/v1/models"): self.list_models,
            ("GET", "openai/v1/models/"): self.one_model,
        }

    def check_chat(self, body: Json, model: str) -> None:
        """Reasoning models refuse ``max_tokens`` and sampling."""
        if not _REASONING_MODEL.match(model):
            return
        if body.get("max_tokens") is not None:
            raise invalid(
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                "'max_completion_tokens' instead.",
                "max_tokens",
                "unsupported_parameter",
            )
        if body.get("temperature") not in (None, 1):
            raise invalid(
                "Unsupported value: 'temperature' does not support this value with this model. Only the "
                "default (1) value is supported.",
                "temperature",
                "unsupported_value",
            )

    def body_extras(self, base: Json, body: Json) -> Json:
        """The tier that served."""
        return {"service_tier": "default"}

    def check_sizes(self, tokens: list[int]) -> None:
        """At most 8,192 tokens an item and 300,000 a request."""
        super().check_sizes(tokens)
        if sum(tokens) > 300_000:
            raise invalid(f"Requested {sum(tokens)} tokens, max 300000 tokens per request", "input")

    def limit_headers(self, readings: Mapping[str, Reading], now: float) -> dict[str, str]:
        """The ``x-ratelimit-*`` set, per minute, with Go durations."""
        return ratelimit_headers(readings, {"requests": "requests", "tokens": "tokens"})

    def id_headers(self, serial: int) -> dict[str, str]:
        """The id of the reply, and what else comes with every one."""
        return {"x-request-id": f"req_{serial:032x}", "openai-version": "2020-10-01"}
