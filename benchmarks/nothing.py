"""A backend that does nothing and a transport that yields once: what is left is the scheduling."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import asyncapi
from asyncapi.types.messages import as_messages
from asyncapi.types.wire import Outgoing, Service, WireRequest, WireResponse

__all__ = ["REQUEST", "client"]

_ANSWER = WireResponse(status=200, headers={}, body=b"")

REQUEST = asyncapi.ChatRequest(model="null:m", messages=as_messages("hi"))


class _Null:
    name = "null"
    service = Service(name="null", operations=frozenset({"chat"}), base_url="http://null", needs_key=False)

    def encode(self, request: asyncapi.Request, /) -> WireRequest:
        return WireRequest(path="/")

    def authorize(self, secret: str, /) -> Mapping[str, str]:
        return {}

    def decode(self, request: asyncapi.Request, reply: WireResponse, /) -> asyncapi.Response:
        return asyncapi.Response()

    async def send(self, request: Outgoing, /) -> WireResponse:
        await asyncio.sleep(0)
        return _ANSWER

    async def open(self, request: Outgoing, /) -> asyncapi.abc.WireStream:
        raise AssertionError("not used")

    async def aclose(self) -> None:
        """Nothing to close."""


def client(limit: int, queue_size: int) -> asyncapi.Client:
    """A client with everything on and nothing behind it."""
    null = _Null()
    endpoint = asyncapi.Endpoint("null", limit=limit, queue_size=queue_size)
    return asyncapi.Client([endpoint], backends=[null], transport=null)
