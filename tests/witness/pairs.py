"""What the pairs of questions are made of."""

# mypy: ignore-errors

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
import pytest

from asyncapi.arguments import chat_request
from asyncapi.types.messages import Image, Message, Text, ToolCall, ToolResult
from asyncapi.types.requests import (
    ChatRequest,
    Request,
)

PNG = b"\x89PNG\r\n\x1a\n"
B64 = base64.b64encode(PNG).decode()
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL = {"name": "get_weather", "description": "The weather", "parameters": SCHEMA}
OPENAI_TOOL = {"type": "function", "function": TOOL}
SYSTEM, USER = "Be brief.", "What is the weather?"
MESSAGES = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": USER}]
PARAMETERS = {"temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": ["END"]}
ROUND = [
    Message("user", USER),
    Message("assistant", (ToolCall(id="c1", name="get_weather", arguments='{"city":"Oslo"}'),)),
    Message("tool", (ToolResult(tool_call_id="c1", name="get_weather", content="cold"),)),
]
OPENAI_ROUND = [
    {"role": "user", "content": USER},
    {
        "role": "assistant",
        "tool_calls": [
            {
                "id": "c1",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "cold"},
]
LOOK = [Message("user", (Text("What is it?"), Image(data=B64), Image(url="https://example.com/a.png")))]


@dataclass(frozen=True)
class Pair:
    """One question. ``differences`` are rows of ``DIFFERENCES`` that must show, no others."""

    service: str
    name: str
    ours: Request
    theirs: Callable[[str], Awaitable[object]]
    differences: tuple[str, ...] = ()
    backend: object = None

    @property
    def operation(self) -> str:
        """What is asked for, as the table of witnesses has it."""
        action = getattr(self.ours, "action", "")
        return f"{self.ours.operation} {action}".strip()

    @property
    def sdk(self) -> str:
        """The package that asks."""
        maker = self.theirs.__qualname__.partition(".")[0]
        if maker in ("openai", "triton"):
            return {"triton": "tritonclient"}.get(maker, maker)
        others = {"claude": "anthropic", "gemini": "google-genai", "hf_tgi": "huggingface_hub"}
        return others.get(self.service, self.service)


def chat(messages=MESSAGES, kind=ChatRequest, **fields):
    """A chat of ours."""
    return chat_request(kind, "m", messages, fields)[0]


def streamed(request):
    """The same, as a stream."""
    return msgspec.structs.replace(request, stream=True)


async def first(stream):
    """All of a stream that has to be awaited first."""
    return [chunk async for chunk in await stream]


def named_schema():
    """A schema as OpenAI wants it."""
    city = {"type": "string", "title": "City"}
    schema = {**SCHEMA, "properties": {"city": city}, "title": "Weather"}
    return {"schema": schema, "name": "Weather", "strict": True}


def openai(call, path="/v1"):
    """A question through OpenAI's SDK."""

    async def ask(url):
        sdk = pytest.importorskip("openai")
        async with sdk.AsyncOpenAI(api_key="k", base_url=url + path, max_retries=0) as client:
            return await call(client)

    return ask
