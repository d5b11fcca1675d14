"""Small worlds for the core's tests: a client over a scripted service, and what "at rest" means."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

import orjson
import pytest

from asyncapi import Client, Endpoint, Key, KeyPool, Stream
from asyncapi._core.endpoint import Endpoint as CoreEndpoint
from asyncapi.abc import Hook, Transport
from asyncapi.policies.breaker import State
from asyncapi.policies.fairness import Fair
from asyncapi.testing.scripted import Reply, ScriptedTransport, Sent, reply
from asyncapi.types.events import Event
from asyncapi.types.wire import Outgoing

T = TypeVar("T")
E = TypeVar("E", bound=Event)

#: The endpoint of every test here, and a model on it.
NAME = "openai"
MODEL = "openai:m"


def client_of(
    transport: Transport,
    *,
    keys: Sequence[str | Key] | KeyPool = ("sk-one",),
    hooks: Iterable[Hook] = (),
    seed: int | None = 0,
    **settings: Any,
) -> Client:
    """A client with one endpoint, ``openai``, over this transport."""
    pool = keys if isinstance(keys, KeyPool) else tuple(keys)
    endpoint = Endpoint("openai", base_url="https://ai.test/v1", keys=pool, **settings)
    return Client([endpoint], transport=transport, hooks=hooks, log=False, environment={}, seed=seed)


def core(client: Client) -> CoreEndpoint:
    """The endpoint inside."""
    return client._runtime.endpoint(NAME)


def key_of(request: Outgoing | Sent) -> str:
    """The secret that a request carries."""
    return request.headers["Authorization"].removeprefix("Bearer ")


def text_of(request: Outgoing) -> str:
    """What the caller asked in its only message."""
    assert request.body is not None
    return str(orjson.loads(request.body)["messages"][-1]["content"])


def texts_of(request: Outgoing | Sent) -> list[str]:
    """The texts of an embedding request."""
    assert request.body is not None
    return list(orjson.loads(request.body)["input"])


def vectors(request: Outgoing, *, tokens: int | None = None, delay: float = 0.0) -> Reply:
    """The answer to an embedding request: each text's number as its vector, 3 tokens a text."""
    texts = texts_of(request)
    used = 3 * len(texts) if tokens is None else tokens
    data = [{"object": "embedding", "index": i, "embedding": [float(t)]} for i, t in enumerate(texts)]
    usage = {"prompt_tokens": used, "total_tokens": used}
    return reply({"object": "list", "model": "m", "data": data, "usage": usage}, delay=delay)


def quota_reply() -> Reply:
    """The answer when a key's money is used up."""
    error = {"message": "You exceeded your quota", "type": "insufficient_quota", "code": "insufficient_quota"}
    return reply({"error": error}, status=429)


def steady(text: str = "fine", *, delay: float = 0.2) -> ScriptedTransport:
    """A service that always answers the same after the same time."""
    return ScriptedTransport(lambda _: reply(text, delay=delay))


class Recorder:
    """A hook that keeps every event."""

    def __init__(self, *, detail: bool = False) -> None:
        self.detail = detail
        self.events: list[Event] = []

    def on_event(self, event: Event, /) -> None:
        """Keep it."""
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


async def outcomes(calls: Iterable[Awaitable[T]]) -> list[T | BaseException]:
    """Await them all at once: results and errors in order."""
    return list(await asyncio.gather(*calls, return_exceptions=True))


def start(*calls: Coroutine[Any, Any, T]) -> list[asyncio.Task[T]]:
    """Start them, each in a task of its own."""
    return [asyncio.ensure_future(call) for call in calls]


async def read(answer: Stream[Any], into: list[str] | None = None, *, pause: float = 0.0) -> Any:
    """Enter a stream and read it to its end, with a pause after each chunk: the whole answer."""
    async with answer:
        async for chunk in answer:
            if into is not None:
                into.append(chunk.text)
            await asyncio.sleep(pause)
    return answer.response


async def caught(kind: type[BaseException], awaitable: Awaitable[object]) -> Any:
    """The error that awaiting raises, which must be of this kind exactly."""
    with pytest.raises(kind) as raised:
        await awaitable
    assert type(raised.value) is kind
    return raised.value


async def turns(number: int = 5) -> None:
    """Let everything that is ready run."""
    for _ in range(number):
        await asyncio.sleep(0)


def assert_at_rest(client: Client, transport: ScriptedTransport | None = None) -> None:
    """Nothing is under way: every count is zero, and the invariants between them hold."""
    for endpoint in client._runtime.made.values():
        queue, order = endpoint.queue, endpoint.order
        assert (endpoint.semaphore.in_flight, endpoint.calls) == (0, 0)
        assert [key.in_flight for key in endpoint.keys.keys] == [0] * len(endpoint.keys.keys)
        assert list(queue.calls()) == []
        assert queue.qsize() == 0
        assert queue.empty()
        assert (queue._choosy, endpoint.keys.held) == (0, {})
        assert (queue._queue, queue._newcomers, queue._new, queue._aside) == ([], ({}, {}, {}), 0, [])
        assert endpoint.breaker.probes == 0 or endpoint.breaker.state is not State.HALF_OPEN
        assert endpoint.batcher._open == {}
        assert len(endpoint.tasks) <= 1  # the worker
        if isinstance(order, Fair):
            assert (order._waiting, order._flows) == (0, {})
    if transport is not None:
        assert transport.in_flight == 0


def spread_calls(
    client: Client, number: int, text: Callable[[int], str] = str, **options: Any
) -> list[Coroutine[Any, Any, Any]]:
    """That many chats, told apart by their text."""
    return [client.chat(MODEL, text(i), **options) for i in range(number)]
