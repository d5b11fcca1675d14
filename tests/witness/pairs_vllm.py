"""Servers that speak OpenAI's dialect: our requests and those of OpenAI's SDK."""

# mypy: ignore-errors

from __future__ import annotations

from asyncapi.arguments import complete_request
from asyncapi.types.requests import (
    EmbedRequest,
    ModelsRequest,
    SpeechRequest,
    TranscribeRequest,
    TranslateRequest,
)

from .pairs import MESSAGES, OPENAI_TOOL, TOOL, Pair, chat, openai, streamed


def pair(name, ours, call, service="vllm", *differences):
    """One question through the SDK."""
    return Pair(service, name, ours, openai(call, "/v3" if service == "ovms" else "/v1"), differences)


def heard(name):
    """A file of sound sent to one of the two services."""
    file = ("audio.wav", b"RIFF", "audio/wav")
    return lambda c: getattr(c.audio, name).create(model="m", file=file, prompt="Hm")


PAIRS = (
    pair(
        "its own parameters",
        chat(top_k=3, max_tokens=8, response_format={"regex": "[a-z]+"}),
        lambda c: c.chat.completions.create(
            model="m",
            messages=MESSAGES,
            max_completion_tokens=8,
            extra_body={"top_k": 3, "structured_outputs": {"regex": "[a-z]+"}},
        ),
    ),
    pair(
        "stream",
        streamed(chat(tools=[TOOL])),
        lambda c: c.chat.completions.create(
            model="m",
            messages=MESSAGES,
            tools=[OPENAI_TOOL],
            stream=True,
            stream_options={"include_usage": True},
        ),
    ),
    pair(
        "embeddings",
        EmbedRequest(model="m", inputs=("a", "b")),
        lambda c: c.embeddings.create(model="m", input=["a", "b"]),
    ),
    pair(
        "completions",
        complete_request("m", ["One"], {"max_tokens": 8, "top_k": 3})[0],
        lambda c: c.completions.create(model="m", prompt="One", max_tokens=8, extra_body={"top_k": 3}),
    ),
    pair("models", ModelsRequest(), lambda c: c.models.list()),
    pair(
        "embeddings",
        EmbedRequest(model="m", inputs=("a", "b")),
        lambda c: c.embeddings.create(model="m", input=["a", "b"]),
        "hf_tei",
    ),
    pair(
        "chat",
        chat(max_tokens=8, temperature=0.5),
        lambda c: c.chat.completions.create(
            model="m", messages=MESSAGES, max_tokens=8, temperature=0.5, stream=False
        ),
        "opea",
    ),
    pair(
        "stream",
        streamed(chat(max_tokens=8)),
        lambda c: c.chat.completions.create(
            model="m",
            messages=MESSAGES,
            max_tokens=8,
            stream=True,
            stream_options={"include_usage": True},
        ),
        "opea",
    ),
    pair(
        "embeddings",
        EmbedRequest(model="m", inputs=("a", "b")),
        lambda c: c.embeddings.create(model="m", input=["a", "b"], encoding_format="float"),
        "opea",
        "opea float",
    ),
    pair(
        "chat",
        chat(max_tokens=8, tools=[TOOL], top_k=3),
        lambda c: c.chat.completions.create(
            model="m",
            messages=MESSAGES,
            max_completion_tokens=8,
            tools=[OPENAI_TOOL],
            extra_body={"top_k": 3},
        ),
        "ovms",
    ),
    pair(
        "embeddings",
        EmbedRequest(model="m", inputs=("a", "b")),
        lambda c: c.embeddings.create(model="m", input=["a", "b"]),
        "ovms",
    ),
    pair("models", ModelsRequest(), lambda c: c.models.list(), "ovms"),
    pair(
        "chat",
        chat(max_tokens=8),
        lambda c: c.chat.completions.create(model="m", messages=MESSAGES, max_tokens=8),
        "hf_tgi",
    ),
    pair("models", ModelsRequest(), lambda c: c.models.list(), "hf_tgi"),
    *(
        pair(name, kind(model="m", audio=b"RIFF", prompt="Hm"), heard(name), service)
        for service, name, kind in (
            ("vllm", "transcriptions", TranscribeRequest),
            ("vllm", "translations", TranslateRequest),
            ("opea", "transcriptions", TranscribeRequest),
        )
    ),
    pair(
        "speech",
        SpeechRequest(model="m", text="Hello", voice="default", format="wav"),
        lambda c: c.audio.speech.create(model="m", input="Hello", voice="default", response_format="wav"),
        "opea",
    ),
)
