"""Real servers over real sockets: the examples, and what happens when a browser leaves."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import uvicorn
from aiohttp import web
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

import asyncapi
from asyncapi.emulator import Emulator
from asyncapi.integrations import answer_for
from asyncapi.integrations.aiohttp_web import CLIENT, client_context, errors
from asyncapi.integrations.asgi import Calls, lifespan, with_client
from examples import aiohttp_server, asgi_server

Make = Callable[[], asyncapi.Client]
LONG = "Tell me a long story. " * 20


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens in another task over a socket; a second at most."""
    async with asyncio.timeout(1.0):
        while not condition():  # noqa: ASYNC110  the other side is a server, not an event of ours
            await asyncio.sleep(0.005)


@asynccontextmanager
async def aiohttp_app(make: Make) -> AsyncIterator[str]:
    app = web.Application(middlewares=[errors])
    app.cleanup_ctx.append(client_context(make))

    async def plain(request: web.Request) -> web.Response:
        reply = await request.app[CLIENT].chat("openai:gpt-4o", request.query["q"])
        return web.Response(text=reply.text)

    app.router.add_get("/chat", aiohttp_server.chat)
    app.router.add_get("/plain", plain)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def uvicorn_app(app: Any) -> AsyncIterator[str]:
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level=logging.CRITICAL, ws="none")
    server = uvicorn.Server(config)
    task = asyncio.ensure_future(server.serve())
    await until(lambda: server.started or task.done())
    assert server.started
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def plain_asgi(make: Make) -> AsyncIterator[str]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/chat":
            await asgi_server.chat(scope, receive, send)
            return
        question = dict(part.split("=") for part in scope["query_string"].decode().split("&"))["q"]
        reply = await scope["state"]["client"].chat("openai:gpt-4o", question.replace("+", " "))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": reply.text.encode()})

    async with uvicorn_app(with_client(app, make)) as url:
        yield url


@asynccontextmanager
async def starlette_app(make: Make) -> AsyncIterator[str]:
    async def plain(request: Request) -> PlainTextResponse:
        reply = await request.state.client.chat("openai:gpt-4o", request.query_params["q"])
        return PlainTextResponse(reply.text)

    async def chat(request: Request) -> StreamingResponse:
        async def chunks() -> AsyncIterator[str]:
            question = request.query_params["q"]
            async with request.state.client.stream("openai:gpt-4o", question) as stream:
                async for chunk in stream:
                    yield chunk.text

        return StreamingResponse(chunks(), media_type="text/plain")

    app = Starlette(lifespan=lifespan(make), routes=[Route("/plain", plain), Route("/chat", chat)])
    app.add_middleware(Calls)
    async with uvicorn_app(app) as url:
        yield url


SERVERS = pytest.mark.parametrize("serve", [aiohttp_app, plain_asgi, starlette_app])


@SERVERS
@pytest.mark.parametrize("path", ["/plain", "/chat"])
async def test_relays_an_answer(serve: Any, path: str, make: Make) -> None:
    """The answer of the service comes out of the server, whole."""
    async with (
        serve(make) as url,
        aiohttp.ClientSession() as browser,
        browser.get(f"{url}{path}", params={"q": "Hello"}) as reply,
    ):
        assert reply.status == 200
        assert len(await reply.text()) > 10


@SERVERS
@pytest.mark.parametrize("path", ["/plain", "/chat"])
async def test_aborted_browser_request_cancels_the_upstream_call(
    serve: Any, path: str, make: Make, emulator: Emulator
) -> None:
    """When the browser leaves, the service sees the close, and the permit is free again."""
    emulator.timing = type(emulator.timing)(first_token=0.3 if path == "/plain" else 0.01, per_token=0.2)
    async with serve(make) as url:
        browser = aiohttp.ClientSession()
        asking = asyncio.ensure_future(browser.get(f"{url}{path}", params={"q": LONG}))
        await until(lambda: emulator.in_flight["total"] > 0)
        if path == "/chat":
            reply = await asking
            await reply.content.readany()
            reply.close()
        asking.cancel()
        await browser.close()

        await until(lambda: emulator.in_flight["total"] == 0)
    assert emulator.aborts == 1


@SERVERS
async def test_refused_call_is_503(serve: Any, make: Make, emulator: Emulator) -> None:
    """A full queue is 503 with the kind and the request id, and no word of the service."""
    emulator.timing = type(emulator.timing)(first_token=0.2)
    async with serve(make) as url, aiohttp.ClientSession() as browser:
        first = asyncio.ensure_future(browser.get(f"{url}/plain", params={"q": "first"}))
        await until(lambda: emulator.in_flight["total"] > 0)
        async with browser.get(f"{url}/plain", params={"q": "second"}) as reply:
            assert reply.status == 503
            assert json.loads(await reply.text())["error"]["kind"] == "queue_full"
        assert (await first).status == 200


def test_status_and_headers_by_error() -> None:
    """Each family of errors has its status; Retry-After is whole seconds, rounded up."""
    assert answer_for(asyncapi.CircuitOpenError("x", retry_after=1.2))[:2] == (503, {"Retry-After": "2"})
    assert answer_for(asyncapi.RateLimitError("x", retry_after=0.1))[:2] == (503, {"Retry-After": "1"})
    assert answer_for(asyncapi.ReadTimeoutError("x"))[0] == 504
    assert answer_for(asyncapi.InvalidRequestError("x"))[0] == 400
    assert answer_for(asyncapi.ServerError("x"))[0] == 502
    assert answer_for(asyncapi.ConfigError("x"))[0] == 500


async def test_failed_start_is_told_to_the_server() -> None:
    """A configuration that can't be read stops the server's start with its message."""
    said: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        said.append(message)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("not reached")

    await with_client(app, "no-such-file.toml")({"type": "lifespan", "state": {}}, receive, send)

    assert said[0]["type"] == "lifespan.startup.failed"
    assert "no-such-file.toml" in said[0]["message"]
