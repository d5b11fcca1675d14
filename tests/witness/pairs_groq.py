"""Groq: our requests and its SDK's."""

# mypy: ignore-errors

from __future__ import annotations

import pytest

from asyncapi.types.requests import (
    EmbedRequest,
    ModelsRequest,
    SpeechRequest,
    TranscribeRequest,
    TranslateRequest,
)

from .pairs import MESSAGES, OPENAI_ROUND, OPENAI_TOOL, PARAMETERS, ROUND, TOOL, Pair, chat, streamed


def pair(name, ours, call, *differences):
    """One question through the SDK."""

    async def ask(url):
        sdk = pytest.importorskip("groq")
        async with sdk.AsyncGroq(api_key="k", base_url=url, max_retries=0) as client:
            return await call(client)

    return Pair("groq", name, ours, ask, differences)


FILE = ("audio.wav", b"RIFF", "audio/wav")
PAIRS = (
    pair(
        "parameters",
        chat(max_tokens=64, user_id="u", **PARAMETERS),
        lambda c: c.chat.completions.create(
            model="m", messages=MESSAGES, max_completion_tokens=64, user="u", **PARAMETERS
        ),
    ),
    pair(
        "tools and stream",
        streamed(chat(ROUND, tools=[TOOL], tool_choice="required")),
        lambda c: c.chat.completions.create(
            model="m", messages=OPENAI_ROUND, tools=[OPENAI_TOOL], tool_choice="required", stream=True
        ),
        "null content",
    ),
    pair(
        "embeddings",
        EmbedRequest(model="m", inputs=("a", "b")),
        lambda c: c.embeddings.create(model="m", input=["a", "b"]),
        "groq base64",
    ),
    pair("models", ModelsRequest(), lambda c: c.models.list()),
    pair(
        "transcriptions",
        TranscribeRequest(model="m", audio=b"RIFF", language="en"),
        lambda c: c.audio.transcriptions.create(model="m", file=FILE, language="en"),
    ),
    pair(
        "translations",
        TranslateRequest(model="m", audio=b"RIFF", prompt="Hm"),
        lambda c: c.audio.translations.create(model="m", file=FILE, prompt="Hm"),
    ),
    pair(
        "speech",
        SpeechRequest(model="m", text="Hello", voice="x", format="wav"),
        lambda c: c.audio.speech.create(model="m", input="Hello", voice="x", response_format="wav"),
    ),
)
