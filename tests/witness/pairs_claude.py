"""Claude: our requests and its SDK's."""

# mypy: ignore-errors

from __future__ import annotations

import pytest

from asyncapi.types.requests import (
    CountTokensRequest,
    ModelsRequest,
)

from .pairs import (
    B64,
    LOOK,
    MESSAGES,
    ROUND,
    SCHEMA,
    SYSTEM,
    TOOL,
    Pair,
    chat,
    streamed,
)


def pair(name, ours, call, *differences):
    async def ask(url):
        sdk = pytest.importorskip("anthropic")
        async with sdk.AsyncAnthropic(api_key="k", base_url=url, max_retries=0) as client:
            return await call(client)

    return Pair("claude", name, ours, ask, differences)


turn = {"model": "m", "max_tokens": 64, "system": SYSTEM, "messages": MESSAGES[1:]}
tool = {"name": "get_weather", "description": "The weather", "input_schema": SCHEMA}
use = {"type": "tool_use", "id": "c1", "name": "get_weather", "input": {"city": "Oslo"}}
result = {"type": "tool_result", "tool_use_id": "c1", "content": "cold"}
pictures = [
    {"type": "text", "text": "What is it?"},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": B64}},
    {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
]

PAIRS = (
    pair("plain", chat(max_tokens=64), lambda c: c.messages.create(**turn)),
    pair(
        "parameters",
        chat(max_tokens=64, stop=["END"], user_id="u", service_tier="auto"),
        lambda c: c.messages.create(
            **turn, stop_sequences=["END"], metadata={"user_id": "u"}, service_tier="auto"
        ),
    ),
    pair("stream", streamed(chat(max_tokens=64)), lambda c: c.messages.create(**turn, stream=True)),
    pair(
        "tools and thinking",
        chat(
            max_tokens=4000,
            tools=[TOOL],
            tool_choice="auto",
            parallel_tool_calls=False,
            reasoning_budget=1024,
        ),
        lambda c: c.messages.create(
            **{**turn, "max_tokens": 4000},
            tools=[tool],
            tool_choice={"type": "auto", "disable_parallel_tool_use": True},
            thinking={"type": "enabled", "budget_tokens": 1024},
        ),
    ),
    pair(
        "tool results",
        chat(ROUND, max_tokens=64, tools=[TOOL]),
        lambda c: c.messages.create(
            model="m",
            max_tokens=64,
            tools=[tool],
            messages=[
                MESSAGES[1],
                {"role": "assistant", "content": [use]},
                {"role": "user", "content": [result]},
            ],
        ),
    ),
    pair(
        "images",
        chat(LOOK, max_tokens=64),
        lambda c: c.messages.create(
            model="m", max_tokens=64, messages=[{"role": "user", "content": pictures}]
        ),
    ),
    pair(
        "structured output",
        chat(max_tokens=64, response_format={"schema": SCHEMA}),
        lambda c: c.messages.create(
            **turn, output_config={"format": {"type": "json_schema", "schema": SCHEMA}}
        ),
    ),
    pair(
        "count of tokens",
        chat(kind=CountTokensRequest, tools=[TOOL]),
        lambda c: c.messages.count_tokens(
            **{name: value for name, value in turn.items() if name != "max_tokens"}, tools=[tool]
        ),
    ),
    pair("models", ModelsRequest(), lambda c: c.models.list(limit=1000)),
)
