"""Where the time of a call goes: its parts, each measured alone, in turn with the whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast
from urllib.parse import urlsplit

import orjson

import asyncapi
from asyncapi.backends import get_backend
from asyncapi.transports import http_transport
from asyncapi.types.messages import as_messages
from asyncapi.types.wire import Outgoing, WireResponse
from benchmarks import checked, nothing
from benchmarks.adapters import KEY, MODEL, PROMPT, opened
from benchmarks.budget import in_memory
from benchmarks.measure import Contender, Row, compare, spread
from benchmarks.servers import plain_server
from benchmarks.suites import Plan
from benchmarks.target import CHAT

__all__ = ["run"]

_IN_FLIGHT = 64
_BODY = orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]})
_REQUEST = asyncapi.ChatRequest(model=MODEL, messages=as_messages(PROMPT))
_REPLY = WireResponse(status=200, headers={"Content-Type": "application/json"}, body=CHAT)


async def run(plan: Plan) -> AsyncIterator[Row]:
    """64 in flight; ratios are to the bare POST."""
    transport = http_transport()
    with plain_server() as server:
        async with (
            opened("bare", server.url, _IN_FLIGHT) as bare,
            opened("ours", server.url, _IN_FLIGHT) as ours,
            in_memory(_IN_FLIGHT) as memory,
            nothing.client(_IN_FLIGHT, 1_000) as empty,
        ):
            backend = get_backend("openai")
            contenders: dict[str, Contender] = {
                "bare": spread(checked.call(bare), _IN_FLIGHT),
                "the whole call": spread(checked.call(ours), _IN_FLIGHT),
                "a loop and a socket alone": _sockets(server.url),
                "the transport alone": spread(lambda: transport.send(_outgoing(server.url)), _IN_FLIGHT),
                "all but the transport": spread(lambda: memory.chat(f"openai:{MODEL}", PROMPT), _IN_FLIGHT),
                "the scheduling alone": spread(lambda: empty.call(nothing.REQUEST), _IN_FLIGHT),
                "encoding alone": _repeated(lambda: backend.encode(_REQUEST)),
                "decoding alone": _repeated(lambda: backend.decode(_REQUEST, _REPLY)),
                "the harness alone": spread(lambda: asyncio.sleep(0), _IN_FLIGHT),
            }
            found = await compare(contenders, 1_000 * plan.scale, plan.rounds, "bare")
    await transport.aclose()
    for name, figures in found.items():
        yield Row("layers", f"{_IN_FLIGHT} in flight", name, figures)


def _outgoing(url: str) -> Outgoing:
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    return Outgoing(
        method="POST", url=f"{url}/chat/completions", headers=headers, body=_BODY, connect_timeout=5
    )


def _repeated(one: Callable[[], object]) -> Contender:
    async def run(count: int) -> None:
        for _ in range(count):
            one()

    return run


class _Socket(asyncio.Protocol):
    """Writes one request again and again, and counts bytes, not answers: nothing is parsed.

    State: how many requests are ``_left``, the bytes ``_missing`` of the answer, ``done``.
    """

    def __init__(self, request: bytes, length: int, count: int) -> None:
        self._request = request
        self._length = self._missing = length
        self._left = count
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._missing -= len(data)
        if self._missing > 0:
            return
        self._missing, self._left = self._length, self._left - 1
        if self._left:
            self._transport.write(self._request)
        else:
            self._transport.close()
            self.done.set_result(None)


def _sockets(url: str) -> Contender:
    """The least that asyncio can do: a write and a read an answer."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    head = f"POST {parts.path}/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(_BODY)}\r\n\r\n"
    request = head.encode() + _BODY

    async def length() -> int:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(request)
        answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        return len(answer) + len(CHAT)

    async def run(count: int) -> None:
        loop, size = asyncio.get_running_loop(), await length()
        made: list[tuple[Any, _Socket]] = [
            await loop.create_connection(
                lambda: _Socket(request, size, max(1, count // _IN_FLIGHT)), host, port
            )
            for _ in range(_IN_FLIGHT)
        ]
        await asyncio.gather(*(protocol.done for _, protocol in made))

    return run
