"""aiohttp's pool of connections, with what it does not tell: which are fresh, and when all are gone."""

from __future__ import annotations

import asyncio
import ssl
from time import monotonic
from typing import Any
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection

__all__ = ["Connector", "first_use", "raw_transport"]

KEEPALIVE_SECONDS = 30.0  # below the 60 s at which common load balancers drop an idle connection
DNS_CACHE_SECONDS = 30
CLOSING_SECONDS = 1.0  # how long aclose waits for peers before it cuts their connections


class Connector(aiohttp.TCPConnector):
    """Knows the connections that it made, to wait for those that the pool has let go of.

    Two things are aiohttp's own and not documented: ``_get`` is what it takes idle connections
    with, ``take`` and ``give_back`` work on its pool.
    """

    def __init__(self, *, limit: int, ssl: ssl.SSLContext | bool) -> None:
        super().__init__(
            limit=limit, keepalive_timeout=KEEPALIVE_SECONDS, ttl_dns_cache=DNS_CACHE_SECONDS, ssl=ssl
        )
        self.used: WeakSet[ResponseHandler] = WeakSet()

    async def _get(self, *words: Any) -> Connection | None:
        # What arrived on an idle connection would be taken for the answer to the next request.
        while (connection := await super()._get(*words)) is not None:
            protocol = connection.protocol
            if protocol is None or not protocol.should_close:
                break
            connection.close()
        return connection

    def take(self, key: ConnectionKey) -> ResponseHandler | None:
        """An idle connection, if there is one that can be used; else ``connect`` is asked.

        It is ``_get`` without two coroutines and a ``Connection``: saves 8 of 65 us a call
        (64 in flight).
        """
        idle = self._conns.get(key)
        if not idle:
            return None
        found = None
        oldest = monotonic() - KEEPALIVE_SECONDS
        while idle and found is None:
            protocol, since = idle.popleft()
            if since >= oldest and protocol.is_connected() and not protocol.should_close:
                found = protocol
                self._acquired.add(protocol)
            else:
                protocol.close()
        if not idle:
            del self._conns[key]
        return found

    async def make(self, request: aiohttp.ClientRequest, timeout: aiohttp.ClientTimeout) -> ResponseHandler:
        """A connection, perhaps after waiting for one. Raises what ``connect`` raises."""
        connection = await self.connect(request, [], timeout)
        protocol = connection.protocol
        assert protocol is not None
        connection._protocol = None  # its __del__ would close what is still used
        return protocol

    def give_back(self, key: ConnectionKey, protocol: ResponseHandler, *, cut: bool = False) -> None:
        """Keep a connection for the next request, or close it."""
        self._release(key, protocol, should_close=cut)

    async def wait_closed(self) -> None:
        """Wait for every connection to be lost; a TLS peer that does not say goodbye is cut."""
        for last in (False, True):
            closing = [closed for protocol in list(self.used) if (closed := protocol.closed) is not None]
            if not closing:
                return
            await asyncio.wait(closing, timeout=CLOSING_SECONDS)
            if not last:
                for protocol in list(self.used):
                    raw_transport(protocol).abort()


def first_use(protocol: ResponseHandler, connector: aiohttp.BaseConnector | None) -> bool:
    """Whether a connection is used for the first time; notes that it is used."""
    if hasattr(protocol, "asyncapi_transport"):
        return False
    protocol.asyncapi_transport = protocol.transport  # type: ignore[attr-defined]
    if isinstance(connector, Connector):
        connector.used.add(protocol)
    return True


def raw_transport(protocol: ResponseHandler) -> asyncio.Transport:
    """The socket's transport, also after aiohttp has forgotten it.

    It forgets it in close(), when the connection may still be saying goodbye.
    """
    transport: asyncio.Transport = protocol.asyncapi_transport  # type: ignore[attr-defined]
    return transport
