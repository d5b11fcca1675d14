"""For ASGI applications: Starlette, FastAPI, or none at all.

::

    app = FastAPI(lifespan=lifespan("asyncapi.toml"))    # request.state.client
    app.add_middleware(Calls)                            # errors as answers, aborted requests cancelled

    app = with_client(any_asgi_app, "asyncapi.toml")     # the same around anything: scope["state"]["client"]

Source: ASGI specification 3.0, HTTP and Lifespan.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import orjson

from asyncapi.client import Client
from asyncapi.errors import AsyncAPIError
from asyncapi.integrations import Source, answer_for, make_client

__all__ = ["Calls", "lifespan", "with_client"]

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


def lifespan(
    source: Source = None, *, drain: float = 0.0, **settings: Any
) -> Callable[[Any], AbstractAsyncContextManager[dict[str, Client]]]:
    """A lifespan for Starlette and FastAPI: the client is ``request.state.client``.

    Args:
        source: A configuration file, a function that makes the client, or None for the environment.
        drain: How long calls that are under way may take to end when the server stops, seconds: see
            ``Client.aclose``.
        settings: Those of ``Client``.
    """

    @asynccontextmanager
    async def context(app: Any) -> AsyncIterator[dict[str, Client]]:
        async with make_client(source, **settings) as client:
            yield {"client": client}
            await client.aclose(drain=drain)

    return context


class Calls:
    """An ASGI middleware for calls inside requests.

    A request whose client leaves is cancelled, and with it the calls that it awaits. A call's error
    that nobody caught becomes an answer (see ``asyncapi.integrations.answer_for``), unless the answer
    has begun: then the connection ends, so that nobody takes a part for the whole.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(receive, send)
        try:
            await exchange.run(self._app, scope)
        except AsyncAPIError as error:
            if exchange.began:
                raise
            await _answer(send, error)


class _Exchange:
    """One request.

    State: the ``_inbox`` of what the server said, whether the answer ``began`` and is ``_whole``, and
    whether the client has ``_left``.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._inbox: asyncio.Queue[Message] = asyncio.Queue(16)
        self.began = False
        self._whole = False
        self._left = False

    async def run(self, app: App, scope: MutableMapping[str, Any]) -> None:
        """The application, until it is done or its client has left."""
        failure: Exception | None = None

        async def work() -> None:
            nonlocal failure
            try:
                await app(scope, self._inbox.get, self._sent)
            except Exception as error:  # noqa: BLE001  raised below, out of the group
                failure = error
            finally:
                listener.cancel()

        async with asyncio.TaskGroup() as group:
            worker = group.create_task(work())
            listener = group.create_task(self._listen(worker))
        if failure is not None and not self._left:
            raise failure

    async def _listen(self, worker: asyncio.Task[None]) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect" and not self._whole:
                self._left = True
                worker.cancel()
            await self._inbox.put(message)
            if message["type"] == "http.disconnect":
                return

    async def _sent(self, message: Message) -> None:
        self.began = True
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._whole = True
        await self._send(message)


async def _answer(send: Send, error: AsyncAPIError) -> None:
    status, headers, body = answer_for(error)
    pairs = [(b"content-type", b"application/json")]
    pairs += [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": orjson.dumps(body)})


def with_client(app: App, source: Source = None, *, drain: float = 0.0, **settings: Any) -> App:
    """``app`` with a client for the server's life in ``scope["state"]["client"]``, and ``Calls`` around it.

    It answers the lifespan protocol itself, so the application need not know of it. The arguments are
    those of ``lifespan``.
    """
    guarded = Calls(app)

    async def wrapped(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await guarded(scope, receive, send)
            return
        await receive()
        try:
            client = make_client(source, **settings)
            await client.__aenter__()
        except AsyncAPIError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        scope["state"]["client"] = client
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await client.aclose(drain=drain)
        await send({"type": "lifespan.shutdown.complete"})

    return wrapped
