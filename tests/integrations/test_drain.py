"""A server that stops: what its handlers left running may end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

import asyncapi
from asyncapi.integrations.aiohttp_web import CLIENT, client_context
from asyncapi.integrations.asgi import lifespan, with_client

Make = Callable[[], asyncapi.Client]


@asynccontextmanager
async def aiohttp_life(make: Make, drain: float) -> AsyncIterator[asyncapi.Client]:
    app = web.Application()
    app.cleanup_ctx.append(client_context(make, drain=drain))
    runner = web.AppRunner(app)
    await runner.setup()
    yield app[CLIENT]
    await runner.cleanup()


@asynccontextmanager
async def starlette_life(make: Make, drain: float) -> AsyncIterator[asyncapi.Client]:
    async with lifespan(make, drain=drain)(None) as state:
        yield state["client"]


@asynccontextmanager
async def asgi_life(make: Make, drain: float) -> AsyncIterator[asyncapi.Client]:
    said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    heard: asyncio.Queue[Any] = asyncio.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("the lifespan is not the application's")

    scope: dict[str, Any] = {"type": "lifespan", "state": {}}
    life = asyncio.ensure_future(with_client(app, make, drain=drain)(scope, said.get, heard.put))
    await said.put({"type": "lifespan.startup"})
    assert (await heard.get())["type"] == "lifespan.startup.complete"
    yield scope["state"]["client"]
    await said.put({"type": "lifespan.shutdown"})
    await life
    assert (await heard.get())["type"] == "lifespan.shutdown.complete"


LIVES = pytest.mark.parametrize("life", [aiohttp_life, starlette_life, asgi_life])


@LIVES
async def test_work_in_the_background_ends_before_the_client_is_closed(life: Any, make: Make) -> None:
    """A task that a handler started keeps its client for as long as ``drain`` says."""
    async with life(make, 10.0) as client:
        task = asyncio.ensure_future(client.chat("openai:gpt-4o", "Hello"))
        await asyncio.sleep(0)

    assert task.done()
    assert (await task).text


@LIVES
async def test_without_a_drain_the_client_is_closed_at_once(life: Any, make: Make) -> None:
    """What was in flight hears that its connection is gone."""
    async with life(make, 0.0) as client:
        task = asyncio.ensure_future(client.chat("openai:gpt-4o", "Hello " * 50))
        await asyncio.sleep(0.005)

    with pytest.raises(asyncapi.AsyncAPIError):
        await task
