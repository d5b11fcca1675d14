"""The HTTP transport: aiohttp's connection pool and parser, nothing of its habits.

It retries nothing, follows no redirect, keeps no cookie and owns no deadline but the one for
connecting. Every foreign exception is translated in one function, ``translated``.
"""

from __future__ import annotations

import asyncio
import io
import os
import ssl
from collections.abc import Mapping
from typing import NamedTuple
from weakref import WeakSet

import aiohttp
from aiohttp import hdrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from yarl import URL

from asyncapi._version import __version__
from asyncapi.errors import (
    AsyncAPIError,
    ClientClosedError,
    ConfigError,
    ConnectionLostError,
    DecodeError,
)
from asyncapi.transports._environment import environment_proxies, proxy_for, ssl_context
from asyncapi.transports._translation import FOREIGN, translated
from asyncapi.types.wire import Outgoing, WireResponse

__all__ = ["HTTPTransport"]

MIB = 1024 * 1024
KEEPALIVE_SECONDS = 30.0  # below the 60 s at which common load balancers drop an idle connection
DNS_CACHE_SECONDS = 30
CLOSING_SECONDS = 1.0  # how long aclose waits for peers before it cuts their connections
CACHED = 1024  # entries of each bounded cache


class HTTPTransport:
    """Sends requests over pooled HTTP/1.1 connections of one event loop.

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
        self._targets: dict[str, _Target] = {}
        self._timeouts: dict[float | None, aiohttp.ClientTimeout] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: aiohttp.ClientSession | None = None
        self._streams: WeakSet[HTTPStream] = WeakSet()
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
        response = await self._start(request)
        try:
            body = await self._body(response)
        except BaseException as error:
            _abort(response)
            if isinstance(error, FOREIGN):
                target = self._target(request.url)
                raise translated(error, target.where, sent=True) from target.cause(error)
            raise
        return WireResponse(status=response.status, headers=response.headers, body=body)

    async def open(self, request: Outgoing, /) -> HTTPStream:
        """Send and return once status and headers are there. Raises what ``send`` raises."""
        stream = HTTPStream(await self._start(request), self._target(request.url))
        self._streams.add(stream)
        return stream

    async def aclose(self) -> None:
        """Close every connection and wait until they are closed. Idempotent."""
        self._closed = True
        session, self._session = self._session, None
        if session is None:
            return
        for stream in list(self._streams):
            stream.close()
        connector = session.connector
        await session.close()
        if isinstance(connector, _Connector) and self._loop is asyncio.get_running_loop():
            await connector.wait_closed()

    async def _start(self, request: Outgoing) -> aiohttp.ClientResponse:
        target = self._targets.get(request.url) or self._target(request.url)
        session = self._session
        if session is None or asyncio.get_running_loop() is not self._loop:
            session = self._open_session()
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
            # Closing the pool cancels those who wait for a connection, whose tasks nobody cancelled.
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                raise ClientClosedError("the transport was closed before the request was sent") from None
            raise

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        content, most = response.content, self._max_body_bytes
        if content.is_eof():  # it came together with the headers
            body = content.read_nowait()
            if len(body) > most:
                raise _too_large(most)
            return body
        if (response.content_length or 0) > most:
            raise _too_large(most)
        pieces: list[bytes] = []
        size = 0
        while piece := await content.readany():
            pieces.append(piece)
            size += len(piece)
            if size > most:
                raise _too_large(most)
        return b"".join(pieces)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ClientClosedError("the transport is closed")
        if self._session is not None:
            raise ConfigError(
                "this HTTPTransport belongs to another event loop; make one transport (or client) per loop"
            )
        self._loop = asyncio.get_running_loop()
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                limit=self._limit,
                keepalive_timeout=KEEPALIVE_SECONDS,
                ttl_dns_cache=DNS_CACHE_SECONDS,
                ssl=self._ssl,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={hdrs.USER_AGENT: f"asyncapi/{__version__}"},
            timeout=aiohttp.ClientTimeout(total=None),
            response_class=_Response,
            # Never trust_env: it reads netrc and the environment in a thread for each request.
            trust_env=False,
        )
        return self._session

    def _target(self, url: str) -> _Target:
        target = self._targets.get(url)
        if target is None:
            _make_room(self._targets)
            target = self._targets[url] = _Target.of(url, self._proxies)
        return target

    def _timeout(self, connect: float | None) -> aiohttp.ClientTimeout:
        _make_room(self._timeouts)
        # connect covers names, every address and the proxy; sock_connect one address with TLS.
        timeout = aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=connect)
        self._timeouts[connect] = timeout
        return timeout


class HTTPStream:
    """An open answer, read piece by piece."""

    __slots__ = ("__weakref__", "_error", "_response", "_target")

    def __init__(self, response: aiohttp.ClientResponse, target: _Target) -> None:
        self._response = response
        self._target = target
        self._error: AsyncAPIError | None = None

    @property
    def status(self) -> int:
        """HTTP status."""
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers, case-insensitive."""
        return self._response.headers

    async def read(self) -> bytes:
        """The next piece of the body as soon as it is there, ``b""`` at a clean end.

        What arrived before a cut is given out before the cut is raised.

        Raises:
            ConnectionLostError: The body ended before it was whole, or the stream was closed here.
            DecodeError: The body is not what its Content-Encoding says.
        """
        if self._error is not None:
            raise self._error
        try:
            return await self._response.content.readany()
        except FOREIGN as error:
            if error is self._error:
                raise
            if self._error is None:
                self._error = translated(error, self._target.where, sent=True)
                if rest := _unread(self._response.content):
                    return rest
            raise self._error from self._target.cause(error)

    def fail(self, error: AsyncAPIError, /) -> None:
        """Make the pending and every later ``read`` raise ``error``, and drop the connection."""
        self._error = error
        self._response.content.set_exception(error)
        _abort(self._response)

    def close(self) -> None:
        """Free the connection now: reused if the body came to its end, else cut. Idempotent."""
        if self._error is None:
            self._error = ConnectionLostError(f"{self._target.where}: the stream was closed here", sent=True)
        if self._response.content.is_eof():
            self._response.release()
        else:
            _abort(self._response)


class _Target(NamedTuple):
    """What is worked out once for each URL. ``where`` (host and port) is all that messages may name."""

    url: URL
    proxy: URL | None
    where: str
    secretive: bool

    @classmethod
    def of(cls, text: str, proxies: Mapping[str, str]) -> _Target:
        try:
            url = URL(text, encoded=True)
            host, port = url.host_subcomponent, url.port
        except ValueError:  # its message has the URL, which may hold a key
            raise ConfigError("the URL can't be parsed; check base_url") from None
        if url.scheme not in ("http", "https") or not host:
            raise ConfigError(
                f"expected a URL like https://host/path, got scheme {url.scheme!r}, host {host!r}"
            )
        where = f"{host}:{port}"
        secretive = bool(url.raw_query_string or url.raw_user or url.raw_password)
        return cls(url, proxy_for(url.scheme, where, proxies), where, secretive)

    def cause(self, error: BaseException) -> BaseException | None:
        """The error to show as the cause: none where aiohttp's message would show a secret of the URL."""
        return None if self.secretive else error


class _Connector(aiohttp.TCPConnector):
    """Knows the connections that it made, to wait for those that the pool has let go of."""

    def __init__(
        self, *, limit: int, keepalive_timeout: float, ttl_dns_cache: int, ssl: ssl.SSLContext | bool
    ) -> None:
        super().__init__(
            limit=limit, keepalive_timeout=keepalive_timeout, ttl_dns_cache=ttl_dns_cache, ssl=ssl
        )
        self.used: WeakSet[ResponseHandler] = WeakSet()

    async def wait_closed(self) -> None:
        """Wait for every connection to be lost; a TLS peer that does not say goodbye is cut."""
        for last in (False, True):
            closing = [closed for protocol in list(self.used) if (closed := protocol.closed) is not None]
            if not closing:
                return
            await asyncio.wait(closing, timeout=CLOSING_SECONDS)
            if not last:
                for protocol in list(self.used):
                    _transport_of(protocol).abort()


class _Response(aiohttp.ClientResponse):
    """Translates what goes wrong between the request and the head of its answer.

    Only here it is known whether the connection was fresh: a service that closes an idle connection
    just as a request leaves has not seen that request, and nobody can tell.
    """

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        protocol = connection.protocol
        assert protocol is not None
        fresh = not hasattr(protocol, "asyncapi_transport")
        if fresh:
            protocol.asyncapi_transport = protocol.transport  # type: ignore[attr-defined]
            session = self._session
            if session is not None and isinstance(session.connector, _Connector):
                session.connector.used.add(protocol)
        try:
            return await super().start(connection)
        except BaseException as error:
            _transport_of(protocol).abort()
            if not isinstance(error, FOREIGN):
                raise
            began = isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str)
            url = self.real_url
            sent = True if fresh or began else None
            cause = None if url.raw_query_string or url.raw_user else error
            raise translated(error, f"{url.host_subcomponent}:{url.port}", sent=sent) from cause


def _abort(response: aiohttp.ClientResponse) -> None:
    """Cut the connection now: a plain close would wait for unsent bytes and for TLS goodbyes."""
    connection = response.connection
    transport = None if connection is None else connection.transport
    response.close()
    if transport is not None:
        transport.abort()


def _transport_of(protocol: ResponseHandler) -> asyncio.Transport:
    # aiohttp forgets it in close(), when the connection may still be saying goodbye.
    transport: asyncio.Transport = protocol.asyncapi_transport  # type: ignore[attr-defined]
    return transport


def _unread(content: aiohttp.StreamReader) -> bytes:
    # No public call gives what is buffered once the reader has an exception.
    return content._read_nowait(-1)


def _too_large(most: int) -> DecodeError:
    return DecodeError(f"the answer is larger than max_body_bytes ({most})", retryable=False)


def _make_room(cache: dict[str, _Target] | dict[float | None, aiohttp.ClientTimeout]) -> None:
    if len(cache) >= CACHED:
        cache.clear()
