"""For aiohttp.web.

::

    app = web.Application(middlewares=[errors])
    app.cleanup_ctx.append(client_context("asyncapi.toml"))
    web.run_app(app, handler_cancellation=True)          # an aborted request cancels its call

    async def handler(request):
        reply = await request.app[CLIENT].chat("openai:gpt-5-mini", "Hello")
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from asyncapi.client import Client
from asyncapi.errors import AsyncAPIError
from asyncapi.integrations import Source, answer_for, make_client

__all__ = ["CLIENT", "client_context", "errors"]

#: Where the application keeps its client: ``request.app[CLIENT]``.
CLIENT = web.AppKey("asyncapi.client", Client)


def client_context(
    source: Source = None, *, drain: float = 0.0, **settings: Any
) -> Callable[[web.Application], AsyncIterator[None]]:
    """A cleanup context: opens a client when the server starts and closes it when it stops.

    Args:
        source: A configuration file, a function that makes the client, or None for the environment.
        drain: How long calls that are under way may take to end then, seconds: see ``Client.aclose``.
        settings: Those of ``Client``.
    """

    async def context(app: web.Application) -> AsyncIterator[None]:
        async with make_client(source, **settings) as client:
            app[CLIENT] = client
            yield
            await client.aclose(drain=drain)

    return context


@web.middleware
async def errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """A middleware that answers for calls that failed: see ``asyncapi.integrations.answer_for``."""
    try:
        return await handler(request)
    except AsyncAPIError as error:
        status, headers, body = answer_for(error)
        return web.Response(
            status=status, headers=headers, body=orjson.dumps(body), content_type="application/json"
        )
