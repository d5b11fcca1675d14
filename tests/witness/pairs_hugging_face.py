"""Text Generation Inference: our requests and those of Hugging Face's SDKs."""

# mypy: ignore-errors

from __future__ import annotations

import pytest

from asyncapi.arguments import complete_request

from .pairs import MESSAGES, OPENAI_TOOL, TOOL, Pair, chat, first, streamed


def pair(name, ours, path, call, *differences):
    """One question through the hub's client."""

    async def ask(url):
        hub = pytest.importorskip("huggingface_hub")
        async with hub.AsyncInferenceClient(model=url + path) as client:
            return await call(client)

    return Pair("hf_tgi", name, ours, ask, differences)


FIELDS = {"temperature": 0.5, "top_p": 0.9, "seed": 7, "top_k": 3, "frequency_penalty": 0.1}
PAIRS = (
    pair(
        "generate",
        complete_request("m", ["Hi"], {"max_tokens": 8, "stop": ["END"], **FIELDS})[0],
        "/generate",
        lambda c: c.text_generation(
            "Hi", max_new_tokens=8, stop=["END"], details=True, do_sample=True, **FIELDS
        ),
    ),
    pair(
        "generate_stream",
        streamed(complete_request("m", ["Hi"], {"max_tokens": 8})[0]),
        "/generate_stream",
        lambda c: first(c.text_generation("Hi", max_new_tokens=8, details=True, stream=True)),
        "hub stream",
    ),
    pair(
        "chat",
        chat(max_tokens=8, tools=[TOOL], temperature=0.5),
        "",
        lambda c: c.chat_completion(MESSAGES, model="m", max_tokens=8, tools=[OPENAI_TOOL], temperature=0.5),
        "hub whole",
    ),
)
