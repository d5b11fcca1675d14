"""The cache before the route: what it answers, what it keeps, and what it never costs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyncapi import Cache, Client, ConfigError, Endpoint, Price, Retry, ServerError, StreamInterruptedError
from asyncapi.abc import Store
from asyncapi.caching import MemoryStore
from asyncapi.testing.scripted import Reply, ScriptedTransport, Step, hang, reply, stream
from asyncapi.types.events import CacheFailed, CacheHit, CacheMissed, CallFinished
from asyncapi.types.wire import Outgoing
from tests.core.worlds import (
    MODEL,
    Recorder,
    assert_at_rest,
    caught,
    read,
    start,
    steady,
    text_of,
    turns,
    vectors,
)

pytestmark = pytest.mark.virtual_time

WORDS = ("It ", "is ", "a ", "story.")


class Clock:
    """Unix time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def client_of(transport: ScriptedTransport, cache: Any = None, **settings: Any) -> Client:
    """A client with a cache, in memory unless told otherwise."""
    hooks, prices = settings.pop("hooks", ()), settings.pop("prices", None)
    single_flight = settings.pop("single_flight", None)
    values = {"base_url": "https://ai.test/v1", "keys": ("k",), **settings}
    return Client(
        [Endpoint("openai", **values)],
        transport=transport,
        cache=Cache() if cache is None else cache,
        hooks=hooks,
        prices=prices,
        single_flight=single_flight,
        log=False,
        environment={},
    )


def at(client: Client, clock: Clock) -> None:
    """Let the client's cache read this clock."""
    before: Any = client._runtime.before
    before._cache._now = clock


async def test_what_was_asked_before_is_not_asked_again() -> None:
    """The same answer, marked, under an id of its own; counted with what it saved."""
    recorder, clock = Recorder(), Clock()
    transport = steady()
    async with client_of(transport, hooks=[recorder], prices={MODEL: Price(input=1e6, output=2e6)}) as client:
        first = await client.chat(MODEL, "x")
        at(client, clock)
        clock.now += 10.0
        second = await client.chat(MODEL, "x", tag="t")
        statistics = client.statistics()
        assert_at_rest(client, transport)

    assert len(transport.requests) == 1
    assert (second.text, second.usage, second.raw) == (first.text, first.usage, first.raw)
    assert (first.cached, second.cached) == (False, True)
    assert (second.endpoint, second.served.backend, second.attempts) == ("openai", "openai", 0)
    assert first.request_id != second.request_id
    (hit,) = recorder.of(CacheHit)
    assert (hit.endpoint, hit.model, hit.operation, hit.tag) == ("openai", "m", "chat", "t")
    assert hit.request_id == second.request_id
    assert (len(recorder.of(CacheMissed)), len(recorder.of(CallFinished))) == (1, 1)
    cache = statistics.cache
    assert (cache.hits, cache.misses, cache.hit_rate) == (1, 1, 0.5)
    used = first.usage
    assert cache.saved.total_tokens == used.total_tokens
    assert cache.money == (used.input_tokens or 0) + 2 * (used.output_tokens or 0)
    assert statistics.endpoints["openai"].calls.finished == 1


async def test_a_hit_needs_nothing_of_its_endpoint() -> None:
    """No permit, no key, and no closed breaker."""
    transport = ScriptedTransport([reply("fine"), *[hang()] * 5])
    async with client_of(transport, limit=5, queue_size=1) as client:
        await client.chat(MODEL, "x")
        tasks = start(*(client.chat(MODEL, f"y{n}") for n in range(6)))
        await turns()
        client.keys("openai").remove("key-1")

        assert (await client.chat(MODEL, "x")).cached
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_a_reader_changes_is_changed_for_nobody_else() -> None:
    """Neither in the cache nor in another's answer."""
    transport = ScriptedTransport(vectors)
    async with client_of(transport) as client:
        found = []
        for _ in range(3):
            answer = await client.embed(MODEL, "7")
            found.append(answer.vectors[0][0])
            answer.vectors[0][0] = -1.0

    assert found == [7.0] * 3
    assert len(transport.requests) == 1


async def test_a_stream_is_replayed_as_it_came() -> None:
    """Chunk by chunk, and whole to who wants it whole."""
    transport = ScriptedTransport([stream(WORDS, delay=0.1, interval=0.1)])
    texts: list[list[str]] = [[], []]
    async with client_of(transport) as client:
        first = await read(client.stream(MODEL, "x"), texts[0])
        again = client.stream(MODEL, "x")
        second = await read(again, texts[1])
        whole = await client.chat(MODEL, "x")

    assert len(transport.requests) == 1
    assert texts[0] == texts[1]
    assert (first.cached, second.cached, whole.cached) == (False, True, True)
    assert first.text == second.text == whole.text == "It is a story."
    assert second.request_id == again.request_id


async def test_what_was_asked_for_whole_is_streamed_word_by_word() -> None:
    """With the reason for its end and the usage at the end, as services do it."""
    transport = steady("It is a story.")
    async with client_of(transport) as client:
        whole = await client.chat(MODEL, "x")
        async with client.stream(MODEL, "x") as answer:
            chunks = [chunk async for chunk in answer]

    assert [chunk.text for chunk in chunks if chunk.text] == ["It", " is", " a", " story."]
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["stop"]
    assert chunks[-1].usage == whole.usage
    assert answer.response.text == whole.text


async def test_a_replay_can_be_left_and_not_entered_twice() -> None:
    """As any stream."""
    transport = steady("It is a story.")
    async with client_of(transport) as client:
        await client.chat(MODEL, "x")
        again = client.stream(MODEL, "x")
        with pytest.raises(ConfigError, match="inside `async with"):
            await anext(again)
        async with again:
            await anext(again)
        with pytest.raises(ConfigError, match="entered once"):
            await again.__aenter__()


def said(reason: str, **message: Any) -> Step:
    """An answer that ended for a reason."""
    choice = {
        "index": 0,
        "finish_reason": reason,
        "message": {"role": "assistant", "content": None, **message},
    }
    return reply({"id": "c", "model": "m", "choices": [choice]})


NOT_KEPT: dict[str, Callable[[], Step]] = {
    "an error": lambda: reply(status=500),
    "an empty answer": lambda: reply(""),
    "a refusal": lambda: said("stop", refusal="no"),
    "what a filter cut": lambda: said("content_filter", content="It"),
}


@pytest.mark.parametrize("step", NOT_KEPT.values(), ids=NOT_KEPT)
async def test_what_is_worth_nothing_is_not_kept(step: Callable[[], Step]) -> None:
    """The next call asks again."""
    steps = iter([step(), reply("fine")])
    transport = ScriptedTransport(lambda _: next(steps))
    async with client_of(transport, retry=Retry(attempts=1)) as client:
        with contextlib.suppress(ServerError):
            await client.chat(MODEL, "x")

        assert (await client.chat(MODEL, "x")).text == "fine"


async def test_half_a_stream_is_not_kept() -> None:
    """Broken off by the service, or left early by its reader."""
    pieces = stream(WORDS).pieces
    head = {"Content-Type": "text/event-stream"}
    transport = ScriptedTransport(
        [
            Reply(200, head, pieces[:3]),
            stream(WORDS, delay=0.1, interval=0.1),
            stream(WORDS, delay=0.1, interval=0.1),
        ]
    )
    async with client_of(transport) as client:
        await caught(StreamInterruptedError, read(client.stream(MODEL, "x")))
        async with client.stream(MODEL, "x") as answer:
            await anext(answer)
        await turns()
        assert (await read(client.stream(MODEL, "x"))).text == "It is a story."

    assert len(transport.requests) == 3


async def test_an_answer_is_good_for_its_time() -> None:
    """By operation; then it is asked for again and kept anew."""
    clock = Clock()
    transport = ScriptedTransport(lambda r: vectors(r) if b"input" in (r.body or b"") else reply("fine"))
    async with client_of(
        transport, Cache(ttl={"chat": 60.0, "embed": float("inf"), "moderate": 0})
    ) as client:
        at(client, clock)
        cached = []
        for wait in (0.0, 59.0, 2.0, 59.0, 1e9):
            clock.now += wait
            chat, embed = await client.chat(MODEL, "x"), await client.embed(MODEL, "7")
            cached.append((chat.cached, embed.cached))

    assert cached == [(False, False), (True, True), (False, True), (True, True), (False, True)]


async def test_a_clock_that_is_set_back_does_no_harm() -> None:
    """An answer from the future is new."""
    clock = Clock()
    async with client_of(steady()) as client:
        at(client, clock)
        await client.chat(MODEL, "x")
        clock.now -= 500.0
        answer = await client.chat(MODEL, "x")

    assert (answer.cached, answer.served.age_s) == (True, 0.0)


async def test_a_call_says_how_it_uses_the_cache() -> None:
    """Refresh asks and keeps, off does neither; views have their own default."""
    numbers = iter("123456789")
    transport = ScriptedTransport(lambda _: reply(next(numbers)))
    async with client_of(transport) as client:
        uses: list[Any] = ["use", "use", "off", "use", "refresh", "use"]
        texts = [(await client.chat(MODEL, "x", cache=use)).text for use in uses]
        view = client.with_options(cache="off")
        texts += [(await view.chat(MODEL, "x")).text, (await view.chat(MODEL, "x", cache="use")).text]

    assert texts == ["1", "1", "2", "1", "3", "3", "4", "3"]


async def test_a_use_that_does_not_exist_is_refused() -> None:
    """With those that do; any other option as ever."""
    async with client_of(steady()) as client:
        error = await caught(ConfigError, client.chat(MODEL, "x", cache="always"))  # type: ignore[arg-type]
        await client.chat(MODEL, "x")
        typo = await caught(ConfigError, client.chat(MODEL, "x", tennant="a"))  # type: ignore[call-arg]

    assert "use, refresh, off" in str(error)
    assert "tennant" in str(typo)


async def test_tenants_do_not_see_each_others_answers() -> None:
    """Nor does who has none."""
    transport = steady()
    async with client_of(transport) as client:
        cached = [(await client.chat(MODEL, "x", tenant=tenant)).cached for tenant in ("a", "b", "", "a")]

    assert cached == [False, False, False, True]


async def test_a_thousand_who_ask_at_once_are_one_request() -> None:
    """All of them miss; who comes later hits. Unless sharing is turned off."""
    transport = steady()
    async with client_of(transport) as client:
        await asyncio.gather(*(client.chat(MODEL, "x") for _ in range(1000)))
        assert (await client.chat(MODEL, "x")).cached
        assert len(transport.requests) == 1

    apart = ScriptedTransport(
        lambda r: stream(WORDS) if b'"stream":true' in (r.body or b"") else reply("fine")
    )
    async with client_of(apart, single_flight=False) as client:
        await asyncio.gather(*(client.chat(MODEL, "x") for _ in range(3)))
        assert (await client.chat(MODEL, "x")).cached
        await asyncio.gather(*(read(client.stream(MODEL, "y")) for _ in range(2)))
        assert len(apart.requests) == 5


async def test_two_endpoints_at_one_address_share_their_answers() -> None:
    """Their names don't count; the address does."""
    transport = ScriptedTransport(lambda r: reply(text_of(r)))
    places = {"a": "https://ai.test/v1", "b": "https://ai.test/v1", "c": "https://other.test/v1"}
    endpoints = [Endpoint("openai", name, base_url=url, keys=(name,)) for name, url in places.items()]
    client = Client(
        endpoints, routes={"r": ["a:m", "c:m"]}, transport=transport, cache=Cache(), log=False, environment={}
    )
    async with client:
        answers = [await client.chat(model, "x") for model in ("a:m", "b:m", "c:m", "r", "r", "a:m2")]

    assert [answer.cached for answer in answers] == [False, True, False, False, True, False]
    assert [answer.endpoint for answer in answers] == ["a", "a", "c", "a", "a", "a"]


async def test_what_is_never_cached_goes_its_way() -> None:
    """Lists of models, pictures and the services' own actions, unless their time is given."""
    transport = ScriptedTransport(
        lambda _: reply({"object": "list", "data": [{"id": "m", "object": "model"}]})
    )
    async with client_of(transport) as client:
        assert [(await client.models("openai")).cached for _ in range(2)] == [False, False]
    async with client_of(transport, Cache(ttl={"models": 60.0})) as client:
        assert [(await client.models("openai")).cached for _ in range(2)] == [False, True]


class Foreign:
    """A store of the user's own, which is another one inside."""

    def __init__(self, store: Store) -> None:
        self.get, self.put, self.delete, self.aclose = store.get, store.put, store.delete, store.aclose


class Broken(MemoryStore):
    """A store whose every method fails."""

    async def get(self, key: bytes, /) -> bytes | None:
        raise OSError("the disk is gone")

    async def put(self, key: bytes, value: bytes, ttl: float, /) -> None:
        raise OSError("the disk is gone")


async def test_a_store_that_fails_fails_no_call() -> None:
    """It is counted each time, and reported once."""
    recorder = Recorder()
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    async with client_of(steady(), Broken(), hooks=[recorder]) as client:
        answers = [await client.chat(MODEL, "x") for _ in range(2)]
        failures = client.statistics().cache.failures

    assert [answer.cached for answer in answers] == [False, False]
    assert failures == len(recorder.of(CacheFailed)) == 4
    assert [context["message"] for context in told] == ["the cache's store failed; calls go on without it"]


async def test_a_store_that_hangs_holds_up_no_call_for_long() -> None:
    """Neither before the answer nor after it."""

    class Hanging(Broken):
        async def get(self, key: bytes, /) -> bytes | None:
            await asyncio.sleep(1e6)
            return None

        async def put(self, key: bytes, value: bytes, ttl: float, /) -> None:
            await asyncio.sleep(1e6)

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)
    foreign: Store = Foreign(Hanging())
    async with client_of(steady(), Cache(foreign, patience=0.5)) as client:
        answer = await client.chat(MODEL, "x")
        took = loop.time()
        failures = client.statistics().cache.failures

    assert (answer.text, failures) == ("fine", 2)
    assert took == pytest.approx(0.5 + 0.2 + 0.5, abs=0.01)


async def test_an_entry_that_can_not_be_read_is_a_miss() -> None:
    """And is put right by the next answer."""
    store = MemoryStore()
    async with client_of(steady(), store) as client:
        await client.chat(MODEL, "x")
        for key in store._entries:
            store._entries[key] = b"\x01nonsense"
        cached = [(await client.chat(MODEL, "x")).cached for _ in range(2)]

    assert cached == [False, True]


async def test_an_answer_is_kept_before_anybody_has_it() -> None:
    """Who asks again at once finds it, also in a store that takes its time."""

    class Slow(MemoryStore):
        async def put(self, key: bytes, value: bytes, ttl: float, /) -> None:
            await asyncio.sleep(0.5)
            await super().put(key, value, ttl)

    transport = steady()
    async with client_of(transport, Slow()) as client:

        async def twice() -> bool:
            await client.chat(MODEL, "x")
            return (await client.chat(MODEL, "x")).cached

        assert await asyncio.gather(*(twice() for _ in range(3))) == [True] * 3
    assert len(transport.requests) == 1


async def test_a_client_that_closes_while_an_answer_is_kept_still_gives_it() -> None:
    """It came; only the store is late."""

    class Stuck(MemoryStore):
        async def put(self, key: bytes, value: bytes, ttl: float, /) -> None:
            await asyncio.sleep(1000.0)

    client = client_of(steady(), Stuck())
    tasks = start(client.chat(MODEL, "x"), client.chat(MODEL, "x"))
    await asyncio.sleep(1.0)
    await client.aclose()

    assert [answer.text for answer in await asyncio.gather(*tasks)] == ["fine"] * 2


def offline(_: Outgoing) -> Step:
    """A service that must not be asked."""
    raise AssertionError("asked again")


def test_a_program_that_starts_again_answers_from_its_file(tmp_path: Path) -> None:
    """Another client in another loop, and not a single request."""
    cache = Cache("sqlite", str(tmp_path / "c.db"))

    async def ask(transport: ScriptedTransport) -> tuple[Any, Any, Any]:
        async with client_of(transport, cache) as client:
            return (
                await client.chat(MODEL, "x"),
                await read(client.stream(MODEL, "y")),
                await client.embed(MODEL, ["7", "8"]),
            )

    def service(request: Outgoing) -> Step:
        if b"input" in (request.body or b""):
            return vectors(request)
        return stream(WORDS) if b'"stream":true' in (request.body or b"") else reply("fine")

    before = asyncio.run(ask(ScriptedTransport(service)))
    after = asyncio.run(ask(ScriptedTransport(offline)))

    assert [answer.cached for answer in after] == [True] * 3
    assert after[0].text == "fine"
    assert after[1].text == "It is a story."
    assert after[2].vectors == before[2].vectors


async def test_a_file_that_is_no_cache_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    """Going on without would be a surprise on the bill."""
    path = tmp_path / "c.db"
    path.write_text("a text, and long enough to be told from the head of a database" * 20)
    transport = steady()
    async with client_of(transport, Cache("sqlite", str(path))) as client:
        await caught(ConfigError, client.chat(MODEL, "x"))

    assert transport.requests == []


async def test_a_store_of_ones_own_is_taken_as_it_is() -> None:
    """Given alone, it is a cache with the usual settings."""
    store: Store = MemoryStore()
    transport = steady()
    for _ in range(2):
        async with client_of(transport, store) as client:
            await client.chat(MODEL, "x")

    assert len(transport.requests) == 1
