"""Routes that learn: by load, by session, without outliers, and waiting only when there is nothing else."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from asyncapi import Breaker, Client, Endpoint, Key, KeyPool, Outliers, RateLimitError, Retry, Route
from asyncapi.errors import AsyncAPIError, OverloadedError
from asyncapi.testing import VirtualTime
from asyncapi.testing.scripted import ScriptedTransport, Step, reply, stream
from asyncapi.types.events import RouteEjected, RouteMoved
from asyncapi.types.wire import Outgoing
from tests.core.worlds import (
    MODEL,
    Recorder,
    assert_at_rest,
    caught,
    client_of,
    key_of,
    outcomes,
    read,
    start,
)

pytestmark = pytest.mark.virtual_time


def place_of(request: Outgoing) -> str:
    """The endpoint that a request goes to."""
    return request.url.removeprefix("http://")[0]


def client(
    answer: Callable[[str, Outgoing], Step], route: Route, *hooks: Recorder, **settings: Any
) -> Client:
    """Endpoints a, b, c ... as the route "r" names them, over one scripted network."""
    settings = {"retry": Retry(attempts=1), "limit": 100, **settings}
    names = dict.fromkeys(target.partition(":")[0] for target in route.targets)
    endpoints = [
        Endpoint("openai", name=name, base_url=f"http://{name}/v1", keys=(f"sk-{name}",), **settings)
        for name in names
    ]
    transport = ScriptedTransport(lambda request: answer(place_of(request), request))
    return Client(
        endpoints, routes={"r": route}, transport=transport, hooks=hooks, log=False, environment={}, seed=5
    )


async def offered(c: Client, number: int, every: float, **options: Any) -> Counter[str]:
    """Calls at a steady pace, and who served how many."""

    async def one(i: int) -> str:
        await asyncio.sleep(i * every)
        return str((await c.chat("r", "q", **options)).endpoint)

    results = await outcomes(one(i) for i in range(number))
    return Counter(r if isinstance(r, str) else type(r).__name__ for r in results)


ABC = ("a:m", "b:m", "c:m")


async def test_a_slow_endpoint_gets_less() -> None:
    """One of three takes ten times as long: it gets a small share, but is not forgotten."""
    slow = {"a": 2.0, "b": 0.2, "c": 0.2}
    async with client(lambda place, _: reply("x", delay=slow[place]), Route(ABC, strategy="adaptive")) as c:
        served = await offered(c, 600, 0.05)

    assert 2 <= served["a"] <= 60
    assert abs(served["b"] - served["c"]) < 90


async def test_failing_fast_attracts_no_traffic() -> None:
    """An endpoint that refuses in no time looks idle; without its penalty it would draw most calls."""

    def answer(place: str, _: Outgoing) -> Step:
        return reply(status=500) if place == "a" else reply("x", delay=1.0)

    recorder = Recorder()
    calm = Breaker(enabled=False)
    async with client(answer, Route(ABC, strategy="adaptive"), recorder, breaker=calm) as c:
        served = await offered(c, 600, 0.05)

        assert sum(served.values()) == 600 == served["b"] + served["c"]
        assert c.statistics().endpoints["a"].requests < 60


async def test_idle_endpoints_share_the_work() -> None:
    """Equal ones get about the same."""
    async with client(lambda *_: reply("x", delay=0.5), Route(ABC, strategy="adaptive")) as c:
        served = await offered(c, 900, 0.02)

    assert all(240 < served[name] < 360 for name in "abc")


async def test_of_streams_the_first_token_counts() -> None:
    """Long answers don't make an endpoint look slow."""

    def answer(place: str, _: Outgoing) -> Step:
        return stream(["x"] * (50 if place == "a" else 2), delay=0.1 if place == "a" else 1.0, interval=0.1)

    async with client(answer, Route(("a:m", "b:m"), strategy="adaptive")) as c:
        for _ in range(40):
            await read(c.stream("r", "q"))
        served = {name: c.statistics().endpoints[name].requests for name in "ab"}

    assert served["a"] > 30


async def test_little_headroom_sends_calls_elsewhere() -> None:
    """An account that has used up most of its minute is spared."""

    def answer(place: str, _: Outgoing) -> Step:
        left = {"x-ratelimit-remaining-requests": "5" if place == "a" else "900"}
        return reply("x", headers={**left, "x-ratelimit-limit-requests": "1000"}, delay=0.5)

    async with client(answer, Route(("a:m", "b:m"), strategy="adaptive")) as c:
        served = await offered(c, 200, 0.05)

    assert served["a"] < 20


async def test_adaptive_keys_spare_the_throttled_and_the_slow() -> None:
    """The same choice among the keys of one endpoint."""

    def answer(request: Outgoing) -> Step:
        return reply("x", delay=2.0 if key_of(request) == "sk-1" else 0.2)

    transport = ScriptedTransport(answer)
    pool = KeyPool(tuple(Key(f"sk-{n}", name=str(n)) for n in range(4)), strategy="adaptive")
    async with client_of(transport, keys=pool, limit=100) as c:

        async def one(i: int) -> str:
            await asyncio.sleep(i * 0.05)
            return str((await c.chat(MODEL, "q")).served.key)

        used = Counter(await asyncio.gather(*(one(i) for i in range(400))))
        assert_at_rest(c, transport)

    assert 0 < used["1"] < 40
    assert all(used[name] > 80 for name in "023")


async def test_a_server_that_was_busy_once_is_asked_again() -> None:
    """It says what waits there in its answers only: without them, the word gets old."""

    def answer(place: str, _: Outgoing) -> Step:
        waiting = 50 if place == "a" and asyncio.get_running_loop().time() < 5 else 1
        metrics = f'TEXT {{"named_metrics": {{"num_requests_waiting": {waiting}.0}}}}'
        return reply("x", headers={"endpoint-load-metrics": metrics})

    endpoints = [Endpoint("vllm", name=name, base_url=f"http://{name}/v1") for name in "ab"]
    transport = ScriptedTransport(lambda request: answer(place_of(request), request))
    routes = {"r": Route(("a:m", "b:m"), strategy="least_loaded")}
    async with Client(endpoints, routes=routes, transport=transport, log=False, environment={}, seed=1) as c:
        early = [(await c.chat("r", "q")).endpoint for _ in range(20)]
        await asyncio.sleep(60)
        late = [(await c.chat("r", "q")).endpoint for _ in range(20)]

    assert early.count("a") == 1
    assert late.count("a") > 5


# --- sessions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "route",
    [Route(ABC, strategy="adaptive"), Route(ABC, strategy="least_loaded"), Route(ABC, weights=(1, 1, 1))],
)
async def test_a_session_stays_where_it_was(route: Route) -> None:
    """Its prompt is cached there. Different sessions are spread."""
    async with client(lambda *_: reply("x", delay=0.1), route) as c:
        homes: list[str] = []
        for session in range(30):
            served = {(await c.chat("r", "q", session=f"s{session}")).endpoint for _ in range(3)}
            assert len(served) == 1
            homes += map(str, served)

    assert len(set(homes)) == 3


async def test_a_session_in_order_begins_with_the_first() -> None:
    """A fallback is no place to share sessions with."""
    async with client(lambda *_: reply("x"), Route(ABC)) as c:
        assert {(await c.chat("r", "q", session=str(i))).endpoint for i in range(10)} == {"a"}


async def test_a_session_beyond_its_bound_goes_to_its_next_place() -> None:
    """One busy session: no endpoint gets more than a quarter above its share."""
    async with client(lambda *_: reply("x", delay=5.0), Route(ABC, strategy="adaptive")) as c:
        served = await offered(c, 90, 0.001, session="the only one")

    assert max(served.values()) <= 1.25 * 90 / 3 + 1


async def test_a_session_leaves_an_open_breaker_and_comes_back(virtual_clock: VirtualTime) -> None:
    """While its place is down it is served at the next; afterwards at home."""
    down: set[str | None] = set()

    def answer(place: str, _: Outgoing) -> Step:
        return reply(status=500) if place in down else reply("x")

    breaker = Breaker(failure_threshold=1, reset_after=10.0, successes=1)
    async with client(answer, Route(ABC, strategy="adaptive"), breaker=breaker) as c:
        home = (await c.chat("r", "q", session="s")).endpoint
        down.add(home)
        away = {(await c.chat("r", "q", session="s")).endpoint for _ in range(5)}
        down.clear()
        await asyncio.sleep(11)
        back = (await c.chat("r", "q", session="s")).endpoint

    assert (len(away), home in away, back) == (1, False, home)


async def test_a_session_keeps_its_key_while_that_has_room() -> None:
    """Prompt caches belong to accounts, too."""
    transport = ScriptedTransport(lambda _: reply("x", delay=1.0))
    pool = KeyPool(tuple(Key(f"sk-{n}", name=str(n)) for n in range(4)))
    async with client_of(transport, keys=pool, limit=100) as c:
        one = {(await c.chat(MODEL, "q", session="s")).served.key for _ in range(5)}
        many = {(await c.chat(MODEL, "q", session=str(i))).served.key for i in range(40)}
        crowd = Counter(
            str(r.served.key)
            for r in await asyncio.gather(*(c.chat(MODEL, "q", session="s") for _ in range(40)))
        )

    assert (len(one), len(many)) == (1, 4)
    assert max(crowd.values()) == 13  # 1.25 times a quarter of 40


async def test_a_session_leaves_a_key_that_rests() -> None:
    """Throttled, it goes on with the session's next key."""
    throttled: set[str] = set()

    def answer(request: Outgoing) -> Step:
        if key_of(request).removeprefix("sk-") in throttled:
            return reply(status=429, retry_after=100)
        return reply("x")

    pool = KeyPool(tuple(Key(f"sk-{name}", name=name) for name in ("one", "two", "three")))
    async with client_of(ScriptedTransport(answer), keys=pool) as c:
        home = (await c.chat(MODEL, "q", session="s")).served.key
        throttled.add(home)
        away = {(await c.chat(MODEL, "q", session="s")).served.key for _ in range(3)}

    assert len(away) == 1
    assert home not in away


# --- outliers ---------------------------------------------------------------------------------


async def test_an_outlier_is_tried_last_for_a_while(virtual_clock: VirtualTime) -> None:
    """Five failures in a row: 30 s without it, told and counted. Its breaker need not open."""
    down = {"a"}

    def answer(place: str, _: Outgoing) -> Step:
        return reply(status=500) if place in down else reply("x")

    recorder = Recorder()
    route = Route(("a:m", "b:m"), outliers=Outliers())
    async with client(answer, route, recorder, breaker=Breaker(enabled=False)) as c:
        for _ in range(20):
            assert (await c.chat("r", "q")).endpoint == "b"
        assert c.statistics().endpoints["a"].requests == 5
        assert c.statistics().endpoints["a"].ejections == 1
        down.clear()
        await asyncio.sleep(30)
        assert (await c.chat("r", "q")).endpoint == "a"

    (told,) = recorder.of(RouteEjected)
    assert (told.endpoint, told.route, told.target, told.seconds_s) == ("a", "r", "a:m", 30.0)
    assert told.reason == "5 failures in a row"


async def test_an_ejected_target_is_still_there_when_all_others_fail() -> None:
    """Ejection changes the order, and refuses nobody."""
    down = {"a"}

    def answer(place: str, _: Outgoing) -> Step:
        return reply(status=500) if place in down else reply("x")

    route = Route(("a:m", "b:m"), outliers=Outliers(consecutive=1))
    async with client(answer, route, breaker=Breaker(enabled=False)) as c:
        assert (await c.chat("r", "q")).endpoint == "b"
        down.clear()
        down.add("b")
        assert (await c.chat("r", "q")).endpoint == "a"


async def test_one_models_failures_eject_no_other_model() -> None:
    """An endpoint's breaker is for all of its models, an ejection for one."""

    def answer(place: str, request: Outgoing) -> Step:
        assert request.body is not None
        return reply(status=500) if place == "a" and b'"bad"' in request.body else reply("x")

    route = Route(("a:bad", "b:m", "a:good"), outliers=Outliers(consecutive=2))
    async with client(answer, route, breaker=Breaker(enabled=False)) as c:
        for _ in range(5):
            assert (await c.chat("r", "q")).endpoint == "b"
        assert c.statistics().endpoints["a"].requests == 2
        assert (await c.chat("a:good", "q")).text == "x"


# --- waiting ----------------------------------------------------------------------------------


async def test_a_throttled_target_is_left_not_waited_for(virtual_clock: VirtualTime) -> None:
    """Retries are for where there is nowhere else to go: a Retry-After of a minute moves the call on."""
    recorder = Recorder()

    def answer(place: str, _: Outgoing) -> Step:
        return reply(status=429, retry_after=60) if place == "a" else reply("x")

    async with client(answer, Route(ABC), recorder, retry=Retry(attempts=4)) as c:
        first, second = await c.chat("r", "q"), await c.chat("r", "q")
        assert virtual_clock.elapsed < 1
        assert c.statistics().endpoints["a"].requests == 1

    assert (first.endpoint, second.endpoint) == ("b", "b")
    assert [moved.error for moved in recorder.of(RouteMoved)] == ["rate_limited", "no_key"]


async def test_who_waits_in_the_queue_of_a_throttled_target_leaves_it(virtual_clock: VirtualTime) -> None:
    """Also those that were let in before the service asked for rest."""

    def answer(place: str, _: Outgoing) -> Step:
        return reply(status=429, retry_after=60, delay=0.1) if place == "a" else reply("x")

    async with client(answer, Route(("a:m", "b:m")), retry=Retry(attempts=4), limit=1) as c:
        served = await offered(c, 20, 0.0)
        assert served == Counter(b=20)
        assert virtual_clock.elapsed < 1
        assert_at_rest(c)


async def test_when_all_only_rest_the_first_to_be_back_is_waited_for(virtual_clock: VirtualTime) -> None:
    """litellm#3646, #7669: a group that cools down as a whole failed at once."""
    rests = {"a": 30.0, "b": 5.0, "c": 60.0}

    def answer(place: str, _: Outgoing) -> Step:
        rest = rests.pop(place, None)
        return reply("x") if rest is None else reply(status=429, retry_after=rest)

    async with client(answer, Route(ABC), retry=Retry(attempts=4)) as c:
        answered = await c.chat("r", "q")

    assert answered.endpoint == "b"
    assert 5.0 <= virtual_clock.elapsed < 6.0


async def test_a_rest_beyond_the_deadline_is_not_waited_for(virtual_clock: VirtualTime) -> None:
    """The error is what the service said, at once."""
    async with client(lambda *_: reply(status=429, retry_after=30), Route(ABC)) as c:
        error = await caught(RateLimitError, c.chat("r", "q", timeout=10.0))

    assert error.retry_after == 30.0
    assert virtual_clock.elapsed < 1


async def test_a_resting_target_is_waited_for_when_the_last_one_fails(virtual_clock: VirtualTime) -> None:
    """One rests for three seconds, the other is broken: three seconds are better than an error."""

    def answer(place: str, _: Outgoing) -> Step:
        if place == "b":
            return reply(status=500)
        return reply("x") if virtual_clock.elapsed > 2 else reply("busy", status=529, retry_after=3)

    async with client(answer, Route(("a:m", "b:m"))) as c:
        assert (await c.chat("r", "q")).endpoint == "a"


@pytest.mark.parametrize(("on_open", "served"), [("fail", False), ("wait", True)])
async def test_open_breakers_are_waited_for_only_if_the_caller_wants(on_open: str, served: bool) -> None:
    """Then for the first that lets calls through, not for the last in the list."""
    loop = asyncio.get_running_loop()

    def answer(place: str, _: Outgoing) -> Step:
        return reply(status=500) if loop.time() < 1 else reply("x")

    breaker = Breaker(failure_threshold=1, reset_after=30.0)
    async with client(answer, Route(("a:m", "b:m")), breaker=breaker, on_open=on_open) as c:
        await outcomes([c.chat("r", "q")])
        (result,) = await outcomes([c.chat("r", "q")])

    assert isinstance(result, AsyncAPIError) != served
    assert served == (loop.time() > 14)


async def test_an_overload_without_a_word_on_when_is_an_error() -> None:
    """There is nothing to wait for."""
    async with client(lambda *_: reply("busy", status=529), Route(ABC)) as c:
        await caught(OverloadedError, c.chat("r", "q"))


@pytest.mark.virtual_time(seed=2)
async def test_cancelled_while_it_waits_for_a_rest_nothing_is_left() -> None:
    """Wherever the call is on its route."""
    for moment in (0.05, 0.15, 0.25, 2.0):
        transport_answer = reply(status=429, retry_after=5, delay=0.1)
        async with client(lambda *_, answer=transport_answer: answer, Route(("a:m", "b:m"))) as c:
            (call,) = start(c.chat("r", "q"))
            await asyncio.sleep(moment)
            call.cancel()
            await outcomes([call])
            assert call.cancelled()
            assert_at_rest(c)
