"""A chat endpoint in aiohttp.web: ``python examples/aiohttp_server.py``, then

curl -N 'http://127.0.0.1:8081/chat?q=Hello'          # streamed; Ctrl-C here cancels the call upstream
"""

from __future__ import annotations

import os

from aiohttp import web

from asyncapi.integrations.aiohttp_web import CLIENT, client_context, errors

MODEL = os.environ.get("MODEL", "openai:gpt-5-mini")


async def chat(request: web.Request) -> web.StreamResponse:
    """Relay a streamed answer, chunk by chunk."""
    question = request.query.get("q", "Hello")
    async with request.app[CLIENT].stream(MODEL, question) as stream:
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        await response.prepare(request)
        async for chunk in stream:
            await response.write(chunk.text.encode())
    await response.write_eof()
    return response


def make_app() -> web.Application:
    """The application."""
    app = web.Application(middlewares=[errors])
    app.cleanup_ctx.append(client_context())
    app.router.add_get("/chat", chat)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=8081, handler_cancellation=True)
