"""The HTTP transport: aiohttp's connection pool and parser, nothing of its habits.

It retries nothing, follows no redirect, keeps no cookie and owns no deadline but the one for
connecting. Every foreign exception is translated in one function, ``translated``.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Awaitable
from weakref import WeakSet

import aiohttp
from aiohttp import hdrs
from aiohttp.connector import Connection

from asyncapi._version import __version__
from asyncapi.errors import AsyncAPIError, ClientClosedError, ConfigError, DecodeError
from asyncapi.transports._environment import environment_proxies, ssl_context
from asyncapi.transports._pool import Connector, first_use, raw_transport
from asyncapi.transports._stream import Answer, HTTPStream, abort
from asyncapi.transports._target import Target
from asyncapi.transports._translation import FOREIGN, translated
from asyncapi.types.wire import Outgoing, WireResponse

__all__ = ["CACHED", "MIB", "HTTPTransport", "start_error"]

MIB = 1024 * 1024
CACHED = 1024  # entries of each bounded cache


class HTTPTransport:
    """Sends requests over pooled HTTP/1.1 connections of one event loop.

    State: the ``_session`` of its ``_loop``, opened by the first request; what it reads now, to end it
    when it is closed: ``_streams`` and the ``_bodies`` of whole answers; bounded caches.

    Proxies come from HTTP_PROXY, HTTPS_PROXY and NO_PROXY, read once. TLS certificates are always
    verified.

    Args:
        limit: How many connections may be open at a time; 0 is no limit. What waits for one here
            spends its ``connect_timeout``, so the client's own limits should be the ones that bind.
        max_body_bytes: The largest answer that ``send`` takes, counted after decompression.
        ca_file: Certificates (PEM) to trust besides the system's, or SSL_CERT_FILE's.

    Raises:
        ConfigError: ``ca_file`` or SSL_CERT_FILE can't be read.
    """

    def __init__(
        self,
        *,
        limit: int = 0,
        max_body_bytes: int = 64 * MIB,
        ca_file: str | os.PathLike[str] | None = None,
    ) -> None:
        self._limit = limit
        self._max_body_bytes = max_body_bytes
        self._ssl = ssl_context(ca_file)
        self._proxies = environment_proxies()
        self._targets: dict[str, Target] = {}
        self._timeouts: dict[float | None, aiohttp.ClientTimeout] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: aiohttp.ClientSession | None = None
        self._streams: WeakSet[HTTPStream] = WeakSet()
        self._bodies: set[aiohttp.StreamReader] = set()
        self._closed = False

    async def send(self, request: Outgoing, /) -> WireResponse:
        """Send and read the whole answer.

        Raises:
            ConnectError: No connection: nothing was sent.
            ConnectionLostError: The answer ended early.
            DecodeError: The answer is not HTTP, not what its Content-Encoding says, or too large.
            ConfigError: The request can't be sent as it is, or this is another event loop.
            ClientClosedError: ``aclose`` was called.
        """
        return await self._received(await self._start(request), request)

    async def _received(self, response: Answer, request: Outgoing) -> WireResponse:
        try:
            body = await self._body(response)
        except BaseException as error:
            abort(response)
            if isinstance(error, FOREIGN):
                target = self._target(request.url)
                raise translated(error, target.where, sent=True) from target.cause(error)
            raise
        return WireResponse(status=response.status, headers=response.headers, body=body)

    async def open(self, request: Outgoing, /) -> HTTPStream:
        """Send and return once status and headers are there. Raises what ``send`` raises."""
        stream = HTTPStream(await self._start(request), self._target(request.url), self._piece)
        self._streams.add(stream)
        return stream

    async def aclose(self) -> None:
        """Close every connection and wait until they are closed. Idempotent."""
        self._closed = True
        session, self._session = self._session, None
        if session is None:
            return
        for stream in list(self._streams):
            stream.cut()
        for content in self._bodies:  # aiohttp forgets them, and their readers would wait for ever
            content.set_exception(aiohttp.ClientPayloadError())
        connector = session.connector
        await session.close()
        if isinstance(connector, Connector) and self._loop is asyncio.get_running_loop():
            await connector.wait_closed()

    async def _start(self, request: Outgoing) -> Answer:
        target = self._targets.get(request.url) or self._target(request.url)
        session = self._ready()
        body = request.body
        # aiohttp warns about larger bytes, and would hand them to the socket in one piece.
        data = body if body is None or len(body) <= MIB else io.BytesIO(body)
        try:
            return await session.request(
                request.method,
                target.url,
                data=data,
                headers=request.headers,
                allow_redirects=False,
                proxy=target.proxy,
                timeout=self._timeouts.get(request.connect_timeout) or self._timeout(request.connect_timeout),
            )
        except AsyncAPIError:
            raise
        except FOREIGN as error:
            raise translated(error, target.where, sent=None) from target.cause(error)
        except asyncio.CancelledError:
            self._raise_if_closed()
            raise

    def _raise_if_closed(self) -> None:
        """Closing the pool cancels those who wait for a connection, whose tasks nobody cancelled."""
        task = asyncio.current_task()
        if self._closed and task is not None and not task.cancelling():
            raise ClientClosedError("the transport was closed before the request was sent") from None

    async def _body(self, response: Answer) -> bytes:
        content, most = response.content, self._max_body_bytes
        if content.is_eof():  # it came together with the headers
            return self._whole(content)
        if (response.content_length or 0) > most:
            raise _too_large(most)
        self._bodies.add(content)
        try:
            return await self._joined(content, most)
        finally:
            self._bodies.discard(content)

    def _whole(self, content: aiohttp.StreamReader) -> bytes:
        """A body that has come to its end."""
        body = self._taken(content)
        if len(body) > self._max_body_bytes:
            raise _too_large(self._max_body_bytes)
        return body

    @staticmethod
    def _piece(content: aiohttp.StreamReader) -> Awaitable[bytes]:
        """The next piece of a body as soon as it is there."""
        return content.readany()

    @staticmethod
    def _taken(content: aiohttp.StreamReader) -> bytes:
        """What is there of a body."""
        return content.read_nowait()

    async def _joined(self, content: aiohttp.StreamReader, most: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while piece := await self._piece(content):
            pieces.append(piece)
            size += len(piece)
            if size > most:
                raise _too_large(most)
        return b"".join(pieces)

    def _ready(self) -> aiohttp.ClientSession:
        """The session of this loop, opened if need be."""
        session = self._session
        if session is None or asyncio.get_running_loop() is not self._loop:
            session = self._open_session()
        return session

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ClientClosedError("the transport is closed")
        if self._session is not None:
            raise ConfigError(
                "this HTTPTransport belongs to another event loop; make one transport (or client) per loop"
            )
        self._loop = asyncio.get_running_loop()
        self._session = aiohttp.ClientSession(
            connector=Connector(limit=self._limit, ssl=self._ssl),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={hdrs.USER_AGENT: f"asyncapi/{__version__}"},
            timeout=aiohttp.ClientTimeout(total=None),
            response_class=_Response,
            # Never trust_env: it reads netrc and the environment in a thread for each request.
            trust_env=False,
        )
        return self._session

    def _target(self, url: str) -> Target:
        target = self._targets.get(url)
        if target is None:
            _make_room(self._targets)
            target = self._targets[url] = Target.of(url, self._proxies)
        return target

    def _timeout(self, connect: float | None) -> aiohttp.ClientTimeout:
        _make_room(self._timeouts)
        # connect covers names, every address and the proxy; sock_connect one address with TLS.
        timeout = aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=connect)
        self._timeouts[connect] = timeout
        return timeout


class _Response(aiohttp.ClientResponse):
    """Translates what goes wrong between the request and the head of its answer.

    Only here it is known whether the connection was fresh: a service that closes an idle connection
    just as a request leaves has not seen that request, and nobody can tell.
    """

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        protocol = connection.protocol
        assert protocol is not None
        fresh = first_use(protocol, self._session.connector if self._session is not None else None)
        try:
            return await super().start(connection)
        except BaseException as error:
            raw_transport(protocol).abort()
            if not isinstance(error, FOREIGN):
                raise
            url = self.real_url
            cause = None if url.raw_query_string or url.raw_user else error
            raise start_error(error, f"{url.host_subcomponent}:{url.port}", fresh=fresh) from cause


def start_error(error: Exception, where: str, *, fresh: bool) -> AsyncAPIError:
    """What went wrong between the request and the head of its answer."""
    began = isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str)
    return translated(error, where, sent=True if fresh or began else None)


def _too_large(most: int) -> DecodeError:
    return DecodeError(f"the answer is larger than max_body_bytes ({most})", retryable=False)


def _make_room(cache: dict[str, Target] | dict[float | None, aiohttp.ClientTimeout]) -> None:
    if len(cache) >= CACHED:
        cache.clear()
