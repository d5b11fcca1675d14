"""The same as a plain ASGI application: ``uvicorn examples.asgi_server:app --port 8082``, then

curl -N 'http://127.0.0.1:8082/chat?q=Hello'          # streamed; Ctrl-C here cancels the call upstream
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from asyncapi import Client
from asyncapi.integrations.asgi import with_client

MODEL = os.environ.get("MODEL", "openai:gpt-5-mini")


async def chat(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """Relay a streamed answer, chunk by chunk."""
    client: Client = scope["state"]["client"]
    question = parse_qs(scope["query_string"].decode()).get("q", ["Hello"])[0]
    async with client.stream(MODEL, question) as stream:
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for chunk in stream:
            await send({"type": "http.response.body", "body": chunk.text.encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


app = with_client(chat)
