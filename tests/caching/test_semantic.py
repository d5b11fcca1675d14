"""The semantic cache: what must be the same, what may differ, and what it costs when it can't help."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

import asyncapi
from asyncapi import Cache, Client, ConfigError, Endpoint, Semantic
from asyncapi.caching import MemoryStore
from asyncapi.testing.scripted import Reply, ScriptedTransport, reply, stream
from asyncapi.types.events import CacheFailed, CacheHit, CacheMissed
from asyncapi.types.messages import Image, Text
from asyncapi.types.wire import Outgoing
from tests.caching.letters import embed, embedded
from tests.core.worlds import Recorder, read

pytestmark = pytest.mark.virtual_time

MODEL = "openai:m"
ASKED = "How do I reset my password?"
AGAIN = "Please tell me how I can reset my password."
OTHER = "How do I reset my username?"


def service(request: Outgoing) -> Any:
    """Chats get the text that they asked; embeddings are of letters."""
    assert request.body is not None
    body = orjson.loads(request.body)
    if "input" in body:
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        data = [{"object": "embedding", "index": i, "embedding": embedded(t)} for i, t in enumerate(texts)]
        usage = {"prompt_tokens": 3, "total_tokens": 3}
        return reply({"object": "list", "model": "e", "data": data, "usage": usage}, delay=0.02)
    last = body["messages"][-1]["content"]
    text = last if isinstance(last, str) else "parts"
    return stream([word + " " for word in text.split()]) if body.get("stream") else reply(text, delay=1.0)


def client_of(
    transport: ScriptedTransport | None = None, *, hooks: Any = (), store: Any = None, **settings: Any
) -> Client:
    """A client with a semantic cache, over letters: those are less alike than meanings."""
    semantic = Semantic(**{"embed": embed, "threshold": 0.5, **settings})
    return Client(
        [Endpoint("openai", base_url="https://ai.test/v1", keys=("k",))],
        cache=Cache("memory" if store is None else store, semantic=semantic),
        transport=transport or ScriptedTransport(service),
        hooks=hooks,
        log=False,
        environment={},
    )


def chats(transport: ScriptedTransport) -> int:
    """How many chats were sent."""
    return sum(b'"input"' not in (sent.body or b"") for sent in transport.requests)


async def test_another_way_to_ask_the_same_is_answered_from_the_cache() -> None:
    """Marked with how alike it was; counted; nothing is sent."""
    transport, recorder = ScriptedTransport(service), Recorder()
    async with client_of(transport, hooks=[recorder]) as client:
        first = await client.chat(MODEL, ASKED)
        again = await client.chat(MODEL, AGAIN)
        statistics = client.statistics().cache

    assert (first.cached, first.served.source) == (False, "service")
    assert (again.cached, again.served.source) == (True, "semantic")
    assert again.text == ASKED
    assert again.served.similarity is not None
    assert 0.5 <= again.served.similarity < 1.0
    assert chats(transport) == 1
    assert (statistics.hits, statistics.semantic, statistics.misses) == (1, 1, 1)
    hit = recorder.of(CacheHit)[0]
    assert hit.similarity == again.served.similarity
    assert ASKED not in repr(recorder.events)
    assert AGAIN not in repr(recorder.events)


async def test_the_same_to_the_byte_is_no_matter_of_meaning() -> None:
    """The exact cache has it, without an embedding."""
    transport = ScriptedTransport(service)
    async with client_of(transport, embed="openai:e") as client:
        await client.chat(MODEL, ASKED)
        sent = len(transport.requests)
        again = await client.chat(MODEL, ASKED)

    assert (again.served.source, again.served.similarity) == ("cache", None)
    assert len(transport.requests) == sent == 2


async def test_embeddings_go_through_the_client_itself() -> None:
    """Counted, guarded and kept like any other call: a text is embedded once."""
    transport = ScriptedTransport(service)
    async with client_of(transport, embed="openai:e") as client:
        await client.chat(MODEL, ASKED)
        for _ in range(3):
            assert (await client.chat(MODEL, AGAIN)).served.source == "semantic"
        models = client.statistics().endpoints["openai"].models

    assert models["e"].succeeded == 2
    assert chats(transport) == 1


async def test_a_near_miss_is_sent() -> None:
    """As alike as it may be: the guard reads it word by word."""
    async with client_of(threshold=0.01) as client:
        await client.chat(MODEL, ASKED)
        assert (await client.chat(MODEL, OTHER)).text == OTHER
        assert (await client.chat(MODEL, "How do I not reset my password?")).served.source == "service"


async def test_a_guard_of_ones_own() -> None:
    """It is asked about both texts, and its word counts."""
    seen: list[tuple[str, str]] = []

    def anything(asked: str, cached: str) -> bool:
        seen.append((asked, cached))
        return True

    async with client_of(threshold=0.01, guard=anything) as client:
        await client.chat(MODEL, ASKED)
        answer = await client.chat(MODEL, OTHER)

    assert answer.text == ASKED
    assert seen == [(OTHER, ASKED)]


SAME: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("model", {}, {"model": "openai:n"}),
    ("tenant", {"tenant": "a"}, {"tenant": "b"}),
    ("max_tokens", {}, {"max_tokens": 5}),
    ("temperature", {"temperature": 0.0}, {"temperature": 0.1}),
    ("response_format", {}, {"response_format": "json"}),
    ("system", {}, {"before": [{"role": "system", "content": "Be brief."}]}),
    (
        "conversation",
        {"before": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
        {"before": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hallo"}]},
    ),
]


def asking(text: str, given: dict[str, Any]) -> tuple[str, list[Any], dict[str, Any]]:
    """Arguments of a chat."""
    options = dict(given)
    messages = [*options.pop("before", []), {"role": "user", "content": text}]
    return options.pop("model", MODEL), messages, options


@pytest.mark.parametrize(("one", "other"), [(a, b) for _, a, b in SAME], ids=[name for name, *_ in SAME])
async def test_all_else_must_be_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Only the last text goes by its meaning."""
    async with client_of() as client:
        for given, source in ((one, "service"), (one, "semantic"), (other, "service")):
            text = ASKED if given is one and source == "service" else AGAIN
            model, messages, options = asking(text, given)
            assert (await client.chat(model, messages, **options)).served.source == source


PASSED: list[tuple[str, dict[str, Any]]] = [
    ("hot", {"temperature": 0.9}),
    ("many", {"n": 2}),
    ("tools", {"tools": [{"name": "f", "parameters": {"type": "object"}}]}),
    ("logprobs", {"logprobs": True}),
    ("extra", {"extra": asyncapi.Extra(body={"x": 1})}),
    ("off", {"cache": "off"}),
]


@pytest.mark.parametrize("given", [given for _, given in PASSED], ids=[name for name, _ in PASSED])
async def test_what_takes_no_part_is_not_even_embedded(given: dict[str, Any]) -> None:
    """Chance, tools, several answers."""
    asked: list[str] = []

    async def counting(texts: Sequence[str]) -> Sequence[Sequence[float]]:
        asked.extend(texts)
        return await embed(texts)

    async with client_of(embed=counting) as client:
        await client.chat(MODEL, ASKED, **given)
        assert (await client.chat(MODEL, AGAIN, **given)).served.source == "service"

    assert asked == []


@pytest.mark.parametrize(
    "content",
    ["short", "x" * 801, (Text("How do I reset my password?"), Image(url="https://a.test/b.png"))],
    ids=["short", "long", "image"],
)
async def test_only_plain_texts_of_some_length(content: Any) -> None:
    """Neither pictures, nor one word, nor a book."""
    asked: list[str] = []

    async def counting(texts: Sequence[str]) -> Sequence[Sequence[float]]:
        asked.extend(texts)
        return await embed(texts)

    async with client_of(embed=counting) as client:
        await client.chat(MODEL, [asyncapi.Message("user", content)])

    assert asked == []


async def test_streams_are_found_and_replayed_as_streams() -> None:
    """Kept as a stream, given as a stream to another way to ask; and the other way round."""
    async with client_of() as client:
        await read(client.stream(MODEL, ASKED))
        async with client.stream(MODEL, AGAIN) as answer:
            pieces = [chunk.text async for chunk in answer]
        whole = await client.chat(MODEL, AGAIN)

    assert "".join(pieces).strip() == ASKED
    assert len(pieces) > 3
    assert answer.response.served.source == "semantic"
    assert whole.served.source == "semantic"


async def test_an_answer_that_is_gone_is_a_miss_and_forgotten() -> None:
    """The vectors hold keys, not answers."""
    store = MemoryStore()
    async with client_of(store=store) as client:
        await client.chat(MODEL, ASKED)
        for key in list(store._entries):
            await store.delete(key)
        again = await client.chat(MODEL, AGAIN)
        third = await client.chat(MODEL, ASKED)

    assert again.served.source == "service"
    assert (third.served.source, third.text) == ("semantic", AGAIN)


async def test_embeddings_that_fail_cost_the_call_nothing() -> None:
    """It is told, and sent as if there were no cache; the next one tries again."""
    broken = True

    async def now_and_then(texts: Sequence[str]) -> Sequence[Sequence[float]]:
        if broken:
            raise RuntimeError("no embedding today")
        return await embed(texts)

    recorder = Recorder()
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    async with client_of(embed=now_and_then, hooks=[recorder]) as client:
        assert (await client.chat(MODEL, ASKED)).text == ASKED
        broken = False
        await client.chat(MODEL, AGAIN)
        assert (await client.chat(MODEL, "how can i reset my password")).served.source == "semantic"

    assert len(recorder.of(CacheFailed)) == len(told) == 1
    assert len(recorder.of(CacheMissed)) == 2


async def test_a_lookup_is_given_up_when_it_takes_too_long() -> None:
    """The call is delayed by the settings' patience, and not longer."""

    async def slow(texts: Sequence[str]) -> Sequence[Sequence[float]]:
        await asyncio.sleep(60)
        return await embed(texts)

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)
    async with client_of(embed=slow, patience=0.25) as client:
        begun = loop.time()
        await client.chat(MODEL, ASKED)

    assert loop.time() - begun == pytest.approx(1.25, abs=0.01)


@pytest.mark.parametrize("vectors", [[[0.0, 0.0]], [[float("nan"), 1.0]], [], [[]]])
async def test_vectors_that_are_none_are_a_miss(vectors: list[list[float]]) -> None:
    """Zeros, no numbers, nothing."""

    async def useless(texts: Sequence[str]) -> Sequence[Sequence[float]]:
        return vectors

    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    async with client_of(embed=useless) as client:
        await client.chat(MODEL, ASKED)
        assert (await client.chat(MODEL, AGAIN)).served.source == "service"


async def test_cancelled_in_the_lookup_leaves_nothing_behind() -> None:
    """At the embedding, or at the call after it."""
    transport = ScriptedTransport(service)
    async with client_of(transport, embed="openai:e") as client:
        for moment in (0.01, 0.05, 0.5):
            task = asyncio.ensure_future(client.chat(MODEL, ASKED))
            await asyncio.sleep(moment)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await asyncio.sleep(5)
        now = client.statistics().endpoints["openai"]
        assert (now.in_flight, now.queue.waiting) == (0, 0)
        assert (await client.chat(MODEL, AGAIN)).text == AGAIN


async def test_a_thousand_at_once_ask_once() -> None:
    """Identical ones share the embedding and the call."""
    transport = ScriptedTransport(service)
    async with client_of(transport, embed="openai:e") as client:
        replies = await asyncio.gather(*(client.chat(MODEL, ASKED) for _ in range(1000)))

    assert {answer.text for answer in replies} == {ASKED}
    assert len(transport.requests) == 2


async def test_a_failed_answer_is_not_found_by_its_meaning() -> None:
    """What is not kept has no vector."""
    steps: list[Reply] = [reply("no such thing", status=404)]

    def broken(request: Outgoing) -> Any:
        return steps.pop() if steps else service(request)

    async with client_of(ScriptedTransport(broken)) as client:
        with pytest.raises(asyncapi.NotFoundError):
            await client.chat(MODEL, ASKED)
        assert (await client.chat(MODEL, AGAIN)).served.source == "service"


async def test_refresh_asks_and_keeps() -> None:
    """What it kept before is found by others still."""
    async with client_of() as client:
        await client.chat(MODEL, ASKED)
        assert (await client.chat(MODEL, AGAIN, cache="refresh")).served.source == "service"
        assert (await client.chat(MODEL, AGAIN)).served.source == "cache"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"embed": "bge-m3"}, 'semantic.embed: expected "endpoint:model" or a function'),
    ({"embed": 5}, "semantic.embed: expected"),
    ({"embed": embed, "threshold": 1.5}, "semantic.threshold: expected a share above 0, at most 1"),
    ({"embed": embed, "guard": "strict"}, "semantic.guard: expected a function of two texts"),
    (
        {"embed": embed, "guard": embed},
        "semantic.guard: expected a plain function of two texts, got an async one",
    ),
    ({"embed": embed, "max_entries": 0}, "semantic.max_entries: expected an integer of 1 or more"),
]


@pytest.mark.parametrize(("given", "message"), WRONG)
async def test_settings_that_can_not_be(given: dict[str, Any], message: str) -> None:
    """Refused when they are made."""
    with pytest.raises(ConfigError, match=r"^semantic\.") as raised:
        Semantic(**given)

    assert message in str(raised.value)


async def test_an_endpoint_that_there_is_none_of_is_told_at_once() -> None:
    """Not at the first call, and not as a quiet miss."""
    with pytest.raises(ConfigError, match="no endpoint is called 'nobody'"):
        client_of(embed="nobody:e")


async def test_a_file_says_the_same() -> None:
    """A table in the table of the cache."""
    given = {"cache": {"semantic": {"embed": "hf_tei:BAAI/bge-m3", "threshold": 0.9}}}

    settings = asyncapi.config.read(given)

    assert settings.cache == Cache(semantic=Semantic(embed="hf_tei:BAAI/bge-m3", threshold=0.9))


async def test_a_store_that_fails_at_the_second_look_fails_no_call() -> None:
    """The exact look was fine; the answer of the neighbour can't be read."""

    class Moody(MemoryStore):
        broken = False

        async def get(self, key: bytes, /) -> bytes | None:
            found = await super().get(key)
            if found is not None and self.broken:
                raise OSError("the disk is gone")
            return found

    store, told = Moody(), list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    async with client_of(store=store) as client:
        await client.chat(MODEL, ASKED)
        store.broken = True
        again = await client.chat(MODEL, AGAIN)

    assert again.served.source == "service"
    assert [context["message"] for context in told] == ["the cache's search failed; calls go on without it"]


async def test_a_guard_that_raises_fails_no_call() -> None:
    """A mistake in it is told, and in doubt the service is asked."""

    def mistaken(asked: str, cached: str) -> bool:
        raise ZeroDivisionError

    told = list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    async with client_of(guard=mistaken) as client:
        await client.chat(MODEL, ASKED)
        assert (await client.chat(MODEL, AGAIN)).served.source == "service"

    assert isinstance(told[0]["exception"], ZeroDivisionError)


async def test_embeddings_that_hang_delay_three_calls_and_no_more() -> None:
    """For half a minute none is asked for; then one is tried again."""
    asked: list[float] = []
    loop = asyncio.get_running_loop()

    async def hanging(texts: Sequence[str]) -> Sequence[Sequence[float]]:
        asked.append(loop.time())
        await asyncio.sleep(600)
        return []

    loop.set_exception_handler(lambda loop, context: None)
    async with client_of(embed=hanging, patience=0.5) as client:
        begun = loop.time()
        for number in range(10):
            await client.chat(MODEL, f"What is question number {number}?")
        took = loop.time() - begun
        await asyncio.sleep(30)
        await client.chat(MODEL, ASKED)

    assert took == pytest.approx(10 * 1.0 + 3 * 0.5, abs=0.01)
    assert len(asked) == 4
