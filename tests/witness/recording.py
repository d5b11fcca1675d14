"""A server that answers nothing of use and keeps what it is sent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it came over the wire."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        """The body as JSON, JSON with bytes behind it, the fields of a form, or None."""
        kind = self.headers.get("content-type", "")
        if kind.startswith("multipart/form-data"):
            return form(kind, self.body)
        if length := self.headers.get("inference-header-content-length"):
            head, tail = self.body[: int(length)], self.body[int(length) :]
            return {**json.loads(head), "(bytes)": tail.hex()}
        return json.loads(self.body) if self.body else None


def form(kind: str, body: bytes) -> dict[str, Any]:
    """The fields of a form: a text, or of a file its name and bytes; a list where a name comes again."""
    message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    fields: dict[str, Any] = {}
    for part in message.iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        data = part.get_payload(decode=True)
        value: Any = data.decode() if isinstance(data, bytes) else data
        if filename := part.get_filename():
            value = [filename, part.get_content_type(), value]
        fields[name] = [fields[name], value] if name in fields else value
    return fields


@asynccontextmanager
async def recording() -> AsyncIterator[tuple[str, list[Sent]]]:
    """The server's URL, and what it has been sent."""
    sent: list[Sent] = []

    async def handle(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        sent.append(Sent(request.method, request.path, request.query_string, headers, body))
        return web.json_response({"error": {"message": "recorded"}}, status=400)

    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", sent
    finally:
        await runner.cleanup()
