"""Routes: several targets behind one name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

import asyncapi
from asyncapi.config import Route
from asyncapi.testing import ScriptedTransport, fail, reply, stream
from asyncapi.types.events import Event, RouteMoved

pytestmark = pytest.mark.virtual_time


class Moves:
    """Collects the moves."""

    detail = False

    def __init__(self) -> None:
        self.seen: list[RouteMoved] = []

    def on_event(self, event: Event, /) -> None:
        if isinstance(event, RouteMoved):
            self.seen.append(event)


def endpoints(**settings: Any) -> list[asyncapi.Endpoint]:
    return [
        asyncapi.Endpoint(
            "openai",
            name=name,
            base_url=f"http://{name}",
            keys=("sk",),
            retry=asyncapi.Retry(attempts=1),
            **settings,
        )
        for name in ("a", "b", "c")
    ]


def client(script: Sequence[Any], *, hooks: Sequence[Any] = (), **settings: Any) -> asyncapi.Client:
    return asyncapi.Client(
        endpoints(**settings),
        routes={"smart": ["a:small", "b:large", "c:other"]},
        transport=ScriptedTransport(list(script)),
        hooks=hooks,
    )


async def test_first_target_answers_when_it_can() -> None:
    """The route's first target serves, and the answer says who did."""
    async with client([reply("hi")]) as c:
        answer = await c.chat("smart", "q")

    assert (answer.text, answer.endpoint) == ("hi", "a")


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
async def test_moves_on_when_another_target_may_answer(status: int) -> None:
    """Faults of a service, key or model move the call on, under the same request id."""
    moves = Moves()
    async with client([reply(status=status), reply("hi")], hooks=[moves]) as c:
        answer = await c.chat("smart", "q", request_id="mine")

    assert (answer.endpoint, answer.request_id) == ("b", "mine")
    assert [(m.endpoint, m.to, m.route, m.request_id) for m in moves.seen] == [
        ("a", "b:large", "smart", "mine")
    ]


@pytest.mark.parametrize("status", [400, 422])
async def test_callers_own_fault_moves_nowhere(status: int) -> None:
    """A request that is wrong is wrong everywhere."""
    async with client([reply(status=status)]) as c:
        with pytest.raises(asyncapi.InvalidRequestError):
            await c.chat("smart", "q")

        assert c.statistics().endpoints["a"].requests == 1


async def test_last_error_is_raised_with_notes_on_the_others() -> None:
    """When no target can, the last one's error says what the others said."""
    async with client([reply(status=500), reply(status=503), fail(asyncapi.ConnectError("refused"))]) as c:
        with pytest.raises(asyncapi.ConnectError) as caught:
            await c.chat("smart", "q")

    assert caught.value.endpoint == "c"
    assert [note.split(",")[1].strip()[:2] for note in caught.value.__notes__] == ["a:", "b:"]


async def test_open_breaker_moves_on_at_once() -> None:
    """Targets but the last never wait for their breaker, even when calls are to wait."""
    breaker = asyncapi.Breaker(failure_threshold=1)
    async with client([reply(status=500), reply("one"), reply("two")], breaker=breaker, on_open="wait") as c:
        await c.chat("smart", "q")
        answer = await c.chat("smart", "q")

    assert (answer.text, answer.endpoint) == ("two", "b")


async def test_deadline_is_shared_by_all_targets(virtual_clock: Any) -> None:
    """A route doesn't multiply the caller's timeout."""
    slow = reply(status=500, delay=1.5)
    async with client([slow, slow, slow]) as c:
        with pytest.raises(asyncapi.AsyncAPIError):
            await c.chat("smart", "q", timeout=2.0)

        assert virtual_clock.elapsed < 2.1


async def test_stream_moves_on_before_its_first_chunk_only() -> None:
    """A stream that fails before content is served elsewhere; one that breaks off later raises."""
    cut = stream(["Hel", "lo"], cut_after=2)
    async with client([reply(status=503), stream(["Hi"]), cut]) as c:
        async with c.stream("smart", "q") as first:
            whole = await first.collect()
        with pytest.raises(asyncapi.StreamInterruptedError):
            async with c.stream("smart", "q") as second:
                await second.collect()

    assert (whole.text, whole.endpoint) == ("Hi", "b")


async def test_stream_outside_its_context_is_refused() -> None:
    """A routed stream has no answer before it is entered."""
    async with client([]) as c:
        with pytest.raises(asyncapi.ConfigError, match="async with"):
            _ = c.stream("smart", "q").response
        assert c.stream("smart", "q").request_id == ""


async def test_weights_share_calls_out() -> None:
    """A weighted route draws its first target in proportion."""
    routes = {"pool": Route(("a:m", "b:m"), weights=(3, 1))}
    transport = ScriptedTransport([reply("x")], repeat=True)
    async with asyncapi.Client(endpoints(), routes=routes, transport=transport, seed=1) as c:
        served = [(await c.chat("pool", "q")).endpoint for _ in range(400)]

    assert 260 < served.count("a") < 340
    assert set(served) == {"a", "b"}


async def test_map_takes_routes() -> None:
    """Bulk calls go through routes too."""
    request = asyncapi.ChatRequest(model="smart", messages=(asyncapi.Message("user", "q"),))
    async with client([reply(status=500), reply("hi"), reply("ho")]) as c:
        done = [d async for d in c.map([request, request])]

    assert sorted(d.response.endpoint for d in done if d.response is not None) == ["a", "b"]


@pytest.mark.parametrize(
    ("routes", "message"),
    [
        ({"a": ["b:m"]}, "no endpoint and no model has"),
        ({"x:y": ["b:m"]}, "no endpoint and no model has"),
        ({"smart": ["nowhere:m"]}, "names no endpoint"),
        ({"smart": ["a"]}, "endpoint:model"),
        ({"smart": []}, "one target or more"),
    ],
)
async def test_wrong_routes_are_refused_when_the_client_is_made(routes: Any, message: str) -> None:
    """Names that clash, targets that are none: said at once."""
    with pytest.raises(asyncapi.ConfigError, match=message):
        asyncapi.Client(endpoints(), routes=routes)


async def test_what_can_be_asked_at_all() -> None:
    """A model, an endpoint or a route passes; anything else is refused before something is sent."""
    async with client([]) as c:
        for model in ("smart", "a:small", "b:", "c"):
            c.check(model)
        for model, words in (("clever", "has no prefix"), ("d:small", "no endpoint is called 'd'")):
            with pytest.raises(asyncapi.UnknownModelError, match=words):
                c.check(model)
    async with asyncapi.Client(environment={}, routes={"r": ["openai:m"]}, log=False) as c:
        with pytest.raises(asyncapi.MissingKeyError):
            c.check("r")
