"""The operations of the dialect, by name. A service's row says which of them it offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncapi.backends._openai_chat import Chat, ChatBatch
from asyncapi.backends._openai_codec import Codec
from asyncapi.backends._openai_complete import Complete
from asyncapi.backends._openai_lists import Classify, Embed, Models, Moderate, Rerank, Score, Tokenize
from asyncapi.backends._openai_media import Image, Speech, Transcribe, Translate
from asyncapi.backends._openai_native import Native
from asyncapi.backends._openai_responses import CountTokens, Respond

__all__ = ["CODECS"]

CODECS: Mapping[str, type[Codec[Any]]] = {
    codec.operation: codec
    for codec in (
        Chat,
        ChatBatch,
        Classify,
        Complete,
        CountTokens,
        Embed,
        Image,
        Models,
        Moderate,
        Native,
        Rerank,
        Respond,
        Score,
        Speech,
        Tokenize,
        Transcribe,
        Translate,
    )
}
