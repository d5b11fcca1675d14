"""OpenAI: our requests and its SDK's."""

# mypy: ignore-errors

from __future__ import annotations

import pytest

from asyncapi.arguments import complete_request
from asyncapi.types.requests import (
    CountTokensRequest,
    EmbedRequest,
    ImageRequest,
    ModelsRequest,
    ModerateRequest,
    NativeRequest,
    RespondRequest,
    SpeechRequest,
    TranscribeRequest,
    TranslateRequest,
)

from .pairs import (
    B64,
    LOOK,
    MESSAGES,
    OPENAI_ROUND,
    OPENAI_TOOL,
    PARAMETERS,
    ROUND,
    TOOL,
    Pair,
    chat,
    named_schema,
    openai,
    streamed,
)


async def _openai_parse(client):
    pydantic = pytest.importorskip("pydantic")

    class Weather(pydantic.BaseModel):
        city: str = pydantic.Field()

    return await client.chat.completions.parse(model="m", messages=MESSAGES, response_format=Weather)


def pair(name, ours, call, *differences):
    return Pair("openai", name, ours, openai(call), differences)


fields = {**PARAMETERS, "max_tokens": 64, "n": 2, "frequency_penalty": 0.1, "presence_penalty": 0.2}
theirs = {**fields, "max_completion_tokens": 64, "logprobs": True, "top_logprobs": 2}
del theirs["max_tokens"]

CHATS = (
    pair("plain", chat(), lambda c: c.chat.completions.create(model="m", messages=MESSAGES)),
    pair(
        "parameters",
        chat(logprobs=True, top_logprobs=2, user_id="u", metadata={"a": "b"}, service_tier="flex", **fields),
        lambda c: c.chat.completions.create(
            model="m",
            messages=MESSAGES,
            safety_identifier="u",
            metadata={"a": "b"},
            service_tier="flex",
            **theirs,
        ),
    ),
    pair(
        "tools",
        chat(tools=[TOOL], tool_choice="get_weather", parallel_tool_calls=False),
        lambda c: c.chat.completions.create(
            model="m",
            messages=MESSAGES,
            tools=[OPENAI_TOOL],
            tool_choice={"type": "function", "function": {"name": "get_weather"}},
            parallel_tool_calls=False,
        ),
    ),
    pair(
        "tool results",
        chat(ROUND, tools=[TOOL]),
        lambda c: c.chat.completions.create(model="m", messages=OPENAI_ROUND, tools=[OPENAI_TOOL]),
        "null content",
    ),
    pair(
        "images",
        chat(LOOK),
        lambda c: c.chat.completions.create(
            model="m",
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is it?"},
                        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{B64}"}},
                        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                    ],
                }
            ],
        ),
    ),
    pair("structured output", chat(response_format=named_schema()), _openai_parse, "parse stream"),
    pair(
        "stream",
        streamed(chat()),
        lambda c: c.chat.completions.create(
            model="m", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        ),
        "openai padding",
    ),
    pair(
        "reasoning",
        chat(reasoning_effort="low"),
        lambda c: c.chat.completions.create(model="m", messages=MESSAGES, reasoning_effort="low"),
    ),
    pair(
        "embeddings",
        EmbedRequest(model="m", inputs=("a", "b"), dimensions=8),
        lambda c: c.embeddings.create(model="m", input=["a", "b"], dimensions=8),
    ),
    pair("models", ModelsRequest(), lambda c: c.models.list()),
)

turn = {"model": "m", "input": MESSAGES}

_RESPONSES = (
    (
        "responses",
        chat(kind=RespondRequest, max_tokens=64, temperature=0.5, reasoning_effort="low"),
        lambda c: c.responses.create(
            **turn, max_output_tokens=64, temperature=0.5, reasoning={"effort": "low"}
        ),
    ),
    (
        "responses with tools",
        chat(kind=RespondRequest, tools=[TOOL], tool_choice="required", response_format=named_schema()),
        lambda c: c.responses.create(
            **turn,
            tools=[{"type": "function", **TOOL}],
            tool_choice="required",
            text={"format": {"type": "json_schema", **named_schema()}},
        ),
        "responses strict",
    ),
    (
        "responses stream",
        streamed(chat(kind=RespondRequest)),
        lambda c: c.responses.create(**turn, stream=True),
        "responses padding",
    ),
    (
        "count of tokens",
        chat(kind=CountTokensRequest),
        lambda c: c.responses.input_tokens.count(**turn),
    ),
)


_OTHERS = (
    (
        "completions",
        complete_request("m", ["One", "Two"], {**PARAMETERS, "max_tokens": 8, "logprobs": 2})[0],
        lambda c: c.completions.create(
            model="m", prompt=["One", "Two"], max_tokens=8, logprobs=2, **PARAMETERS
        ),
    ),
    (
        "moderations",
        ModerateRequest(model="m", inputs=("a", "b")),
        lambda c: c.moderations.create(model="m", input=["a", "b"]),
    ),
    (
        "images made",
        ImageRequest(model="m", prompt="A fjord", n=1, size="1024x1024", quality="low", format="png"),
        lambda c: c.images.generate(
            model="m", prompt="A fjord", n=1, size="1024x1024", quality="low", output_format="png"
        ),
    ),
    (
        "speech",
        SpeechRequest(model="m", text="Hello", voice="alloy", format="wav", speed=1.5),
        lambda c: c.audio.speech.create(
            model="m", input="Hello", voice="alloy", response_format="wav", speed=1.5
        ),
    ),
    *(
        (
            name,
            kind(model="m", audio=b"RIFF", prompt="Hm", temperature=0.5, format="json"),
            lambda c, name=name: getattr(c.audio, name).create(
                model="m",
                file=("audio.wav", b"RIFF", "audio/wav"),
                prompt="Hm",
                temperature=0.5,
                response_format="json",
            ),
        )
        for name, kind in (("transcriptions", TranscribeRequest), ("translations", TranslateRequest))
    ),
    (
        "one model",
        NativeRequest(model="m", action="model", arguments={"id": "m"}),
        lambda c: c.models.retrieve("m"),
    ),
    (
        "a stored response",
        NativeRequest(model="m", action="response", arguments={"id": "resp_1"}),
        lambda c: c.responses.retrieve("resp_1"),
    ),
    (
        "the input of a stored response",
        NativeRequest(model="m", action="response_input", arguments={"id": "resp_1"}),
        lambda c: c.responses.input_items.list("resp_1"),
    ),
    (
        "a response to cancel",
        NativeRequest(model="m", action="cancel_response", arguments={"id": "resp_1"}),
        lambda c: c.responses.cancel("resp_1"),
        "empty body",
    ),
)

PAIRS = (*CHATS, *(pair(*row) for row in (*_RESPONSES, *_OTHERS)))
