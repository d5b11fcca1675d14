"""The strategies at work: what really travels together, over a scripted service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson

from asyncapi import Client, Endpoint
from asyncapi.backends.vllm import VLLM
from asyncapi.testing.scripted import Reply, ScriptedTransport, reply
from asyncapi.types.wire import Outgoing


def client_of(
    answer: Callable[[Any], Any], backend: str, **settings: Any
) -> tuple[Client, ScriptedTransport]:
    """A client of a service that answers each body so."""

    def script(request: Outgoing) -> Reply:
        assert request.body is not None
        return reply(answer(orjson.loads(request.body)))

    transport = ScriptedTransport(script)
    endpoint = Endpoint(backend, base_url="http://ai.test/v1", keys=("sk-one",))
    return Client([endpoint], transport=transport, log=False, environment={}, **settings), transport


def bodies(transport: ScriptedTransport) -> list[Any]:
    """What was sent."""
    return [orjson.loads(request.body or b"null") for request in transport.requests]


def choices(texts: list[str]) -> dict[str, Any]:
    """Answers to several chats."""
    return {
        "choices": [
            {"index": i, "message": {"role": "assistant", "content": text.upper()}, "finish_reason": "stop"}
            for i, text in enumerate(texts)
        ],
        "usage": {"prompt_tokens": len(texts), "completion_tokens": len(texts)},
    }


async def test_chats_travel_together_where_it_was_asked_for() -> None:
    """Those with the same parameters; a lone one goes as it always did."""

    def answer(body: Any) -> Any:
        chats = body["messages"] if isinstance(body["messages"][0], list) else [body["messages"]]
        return choices([chat[-1]["content"] for chat in chats])

    client, transport = client_of(answer, "vllm", backends=(VLLM(chat_batch=True),))
    async with client:
        three = [client.chat("vllm:m", text) for text in "abc"]
        answers = await asyncio.gather(*three, client.chat("vllm:m", "d", temperature=0.0))

    assert [got.text for got in answers] == ["A", "B", "C", "D"]
    assert sorted(request.url for request in transport.requests) == [
        "http://ai.test/v1/chat/completions",
        "http://ai.test/v1/chat/completions/batch",
    ]
    assert sum(got.usage.input_tokens or 0 for got in answers[:3]) == 3


async def test_a_list_of_texts_to_tokenise_is_cut_into_one_request_each() -> None:
    """The route takes no list."""
    client, transport = client_of(lambda body: {"tokens": [len(body["prompt"])]}, "vllm")
    async with client:
        got = await client.tokenize("vllm:m", ["a", "bb", "ccc"])

    assert [[token.id for token in tokens] for tokens in got.results] == [[1], [2], [3]]
    assert sorted(body["prompt"] for body in bodies(transport)) == ["a", "bb", "ccc"]


async def test_texts_to_moderate_and_prompts_travel_in_one_list() -> None:
    """And come apart again."""

    def answer(body: Any) -> Any:
        if "input" in body:
            return {"results": [{"flagged": text == "bad"} for text in body["input"]]}
        prompts = body["prompt"]
        return {
            "choices": [{"index": i, "text": p * 2, "finish_reason": "stop"} for i, p in enumerate(prompts)]
        }

    client, transport = client_of(answer, "openai")
    async with client:
        verdicts = await asyncio.gather(
            *(client.moderate("openai:m", texts) for texts in ("good", ["bad", "good"], "bad"))
        )
        texts = await asyncio.gather(*(client.complete("openai:m", prompt) for prompt in "xyz"))

    assert [[r.flagged for r in v.results] for v in verdicts] == [[False], [True, False], [True]]
    assert [got.text for got in texts] == ["xx", "yy", "zz"]
    assert len(transport.requests) == 2
