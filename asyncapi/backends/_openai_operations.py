"""The operations of the dialect, by name. A service's row says which of them it offers."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from asyncapi.backends._openai_codec import Codec

__all__ = ["CODECS", "codec_class"]

#: Operation to module and class. Each is imported when it is first used: most programs use one or two.
CODECS: Mapping[str, tuple[str, str]] = {
    "chat": ("_openai_chat", "Chat"),
    "chat_batch": ("_openai_chat", "ChatBatch"),
    "classify": ("_openai_lists", "Classify"),
    "complete": ("_openai_complete", "Complete"),
    "count_tokens": ("_openai_responses", "CountTokens"),
    "embed": ("_openai_lists", "Embed"),
    "image": ("_openai_media", "Image"),
    "models": ("_openai_lists", "Models"),
    "moderate": ("_openai_lists", "Moderate"),
    "native": ("_openai_native", "Native"),
    "rerank": ("_openai_lists", "Rerank"),
    "respond": ("_openai_responses", "Respond"),
    "score": ("_openai_lists", "Score"),
    "speech": ("_openai_media", "Speech"),
    "tokenize": ("_openai_lists", "Tokenize"),
    "transcribe": ("_openai_media", "Transcribe"),
    "translate": ("_openai_media", "Translate"),
}


def codec_class(operation: str) -> type[Codec[Any]]:
    """What translates an operation.

    Raises:
        KeyError: The dialect does not have it.
    """
    module, name = CODECS[operation]
    found: type[Codec[Any]] = getattr(importlib.import_module(f"asyncapi.backends.{module}"), name)
    return found
