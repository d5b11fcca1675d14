"""Ollama: our requests and its SDK's."""

# mypy: ignore-errors

from __future__ import annotations

import pytest

from asyncapi.arguments import complete_request
from asyncapi.types.messages import Image, Message, Text
from asyncapi.types.requests import EmbedRequest, ModelsRequest, NativeRequest

from .pairs import B64, MESSAGES, OPENAI_TOOL, PARAMETERS, SCHEMA, SYSTEM, TOOL, Pair, chat, first, streamed


def pair(name, ours, call, *differences):
    """One question through the SDK."""

    async def ask(url):
        sdk = pytest.importorskip("ollama")
        client = sdk.AsyncClient(host=url)
        try:
            return await call(client)
        finally:
            await client._client.aclose()

    return Pair("ollama", name, ours, ask, differences)


PAIRS = (
    pair(
        "parameters",
        chat(max_tokens=64, top_k=3, **PARAMETERS),
        lambda c: c.chat("m", MESSAGES, options={**PARAMETERS, "num_predict": 64, "top_k": 3}),
        "ollama empty tools",
    ),
    pair(
        "tools and thinking",
        chat(tools=[TOOL], reasoning_effort="low"),
        lambda c: c.chat("m", MESSAGES, tools=[OPENAI_TOOL], think="low"),
        "ollama schema",
    ),
    pair(
        "structured output",
        chat(response_format={"schema": SCHEMA}),
        lambda c: c.chat("m", MESSAGES, format=SCHEMA),
        "ollama empty tools",
    ),
    pair(
        "stream",
        streamed(chat()),
        lambda c: first(c.chat("m", MESSAGES, stream=True)),
        "ollama empty tools",
    ),
    pair(
        "an image",
        chat([Message("user", (Text("What is it?"), Image(data=B64)))]),
        lambda c: c.chat("m", [{"role": "user", "content": "What is it?", "images": [B64]}]),
        "ollama empty tools",
    ),
    pair(
        "completion",
        complete_request("m", ["def f("], {"max_tokens": 8, "suffix": "return", "system": SYSTEM})[0],
        lambda c: c.generate("m", "def f(", suffix="return", system=SYSTEM, options={"num_predict": 8}),
    ),
    pair(
        "embeddings",
        EmbedRequest(model="m", inputs=("a", "b"), dimensions=8),
        lambda c: c.embed("m", ["a", "b"], dimensions=8),
    ),
    pair("models", ModelsRequest(), lambda c: c.list()),
    pair("show", NativeRequest(model="m", action="show"), lambda c: c.show("m")),
    pair("ps", NativeRequest(model="m", action="ps"), lambda c: c.ps()),
    pair("pull", NativeRequest(model="m", action="pull"), lambda c: c.pull("m"), "ollama insecure"),
)
