"""Gemini: our requests and its SDK's."""

# mypy: ignore-errors

from __future__ import annotations

import pytest

from asyncapi.types.messages import Image, Message, Text
from asyncapi.types.requests import (
    CountTokensRequest,
    EmbedRequest,
    ModelsRequest,
)

from .pairs import (
    B64,
    MESSAGES,
    PARAMETERS,
    PNG,
    ROUND,
    SCHEMA,
    SYSTEM,
    TOOL,
    USER,
    Pair,
    chat,
    first,
    streamed,
)


def pair(name, ours, call, *differences):
    async def ask(url):
        genai = pytest.importorskip("google.genai")
        from google.genai import types

        options = {"base_url": url, "api_version": "v1beta"}
        async with genai.Client(api_key="k", http_options=options).aio as client:
            return await call(client.models, types)

    return Pair("gemini", name, ours, ask, differences)


declared = {"name": "get_weather", "description": "The weather", "parameters_json_schema": SCHEMA}

PAIRS = (
    pair(
        "parameters",
        chat(max_tokens=64, top_k=3, frequency_penalty=0.1, presence_penalty=0.2, **PARAMETERS),
        lambda m, t: m.generate_content(
            model="m",
            contents=USER,
            config={
                "system_instruction": SYSTEM,
                "max_output_tokens": 64,
                "top_k": 3,
                "frequency_penalty": 0.1,
                "presence_penalty": 0.2,
                "temperature": 0.5,
                "top_p": 0.9,
                "seed": 7,
                "stop_sequences": ["END"],
            },
        ),
        "gemini system role",
    ),
    pair(
        "tools",
        chat([MESSAGES[1]], tools=[TOOL], tool_choice="get_weather"),
        lambda m, t: m.generate_content(
            model="m",
            contents=USER,
            config={
                "tools": [t.Tool(function_declarations=[t.FunctionDeclaration(**declared)])],
                "tool_config": t.ToolConfig(
                    function_calling_config=t.FunctionCallingConfig(
                        mode="ANY", allowed_function_names=["get_weather"]
                    )
                ),
            },
        ),
        "gemini spelling of tools",
        "gemini empty settings",
    ),
    pair(
        "tool results",
        chat(ROUND, tools=[TOOL]),
        lambda m, t: m.generate_content(
            model="m",
            contents=[
                {"role": "user", "parts": [{"text": USER}]},
                {
                    "role": "model",
                    "parts": [
                        {"function_call": {"id": "c1", "name": "get_weather", "args": {"city": "Oslo"}}}
                    ],
                },
                {
                    "role": "user",
                    "parts": [
                        {
                            "function_response": {
                                "id": "c1",
                                "name": "get_weather",
                                "response": {"output": "cold"},
                            }
                        }
                    ],
                },
            ],
            config={"tools": [t.Tool(function_declarations=[t.FunctionDeclaration(**declared)])]},
        ),
        "gemini spelling of tools",
        "gemini empty settings",
    ),
    pair(
        "an image",
        chat([Message("user", (Text("What is it?"), Image(data=B64)))]),
        lambda m, t: m.generate_content(
            model="m",
            contents=[
                {
                    "role": "user",
                    "parts": [t.Part(text="What is it?"), t.Part.from_bytes(data=PNG, mime_type="image/png")],
                }
            ],
        ),
        "gemini spelling of media",
    ),
    pair(
        "structured output and thinking",
        chat([MESSAGES[1]], response_format={"schema": SCHEMA}, reasoning_budget=128),
        lambda m, t: m.generate_content(
            model="m",
            contents=USER,
            config={
                "response_mime_type": "application/json",
                "response_json_schema": SCHEMA,
                "thinking_config": t.ThinkingConfig(thinking_budget=128, include_thoughts=True),
            },
        ),
        "gemini spelling of thinking",
    ),
    pair(
        "stream",
        streamed(chat([MESSAGES[1]])),
        lambda m, t: first(m.generate_content_stream(model="m", contents=USER)),
    ),
    pair(
        "count of tokens",
        chat([MESSAGES[1]], kind=CountTokensRequest),
        lambda m, t: m.count_tokens(model="m", contents=USER),
    ),
    pair(
        "embeddings",
        EmbedRequest(model="m", inputs=("a", "b"), dimensions=8),
        lambda m, t: m.embed_content(model="m", contents=["a", "b"], config={"output_dimensionality": 8}),
        "gemini role of texts",
    ),
    pair("models", ModelsRequest(), lambda m, t: m.list(config={"page_size": 1000})),
)
