"""The fast road over the same connections: requests written as bytes, answers read from aiohttp's parser.

A ``ClientSession`` call builds a ClientRequest and a ClientResponse, with cookies, redirects, auth,
tracing and a writer that most calls here have no use for; they cost about as much as everything else
together. This transport keeps aiohttp's connector (pool, names, TLS) and its C parser, and leaves the
rest out. What it doesn't do itself (a proxy, a large body, a header that aiohttp treats specially, a
session that a test has patched) goes the usual way, through ``HTTPTransport``, whose tests it passes
too.

It uses parts of aiohttp that are not documented, so it stands aside for versions that it wasn't
tested with (``tested``).
"""

from __future__ import annotations

import asyncio
import re
import warnings
from collections.abc import Mapping
from typing import Any

import aiohttp
from aiohttp import hdrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http_parser import RawResponseMessage

from asyncapi._version import __version__
from asyncapi.errors import ConfigError
from asyncapi.transports._pool import Connector, first_use, raw_transport
from asyncapi.transports._reader import piece, taken
from asyncapi.transports._stream import Answer
from asyncapi.transports._target import Target
from asyncapi.transports._translation import FOREIGN, translated
from asyncapi.transports.http import CACHED, MIB, HTTPTransport, start_error
from asyncapi.types.wire import Outgoing, WireResponse

__all__ = ["DirectTransport", "tested"]

_TESTED = ((3, 13), (3, 15))  # from, up to but not including
_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
_BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})
_UNTYPED = _BODILESS | {"DELETE"}
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PATH = re.compile(r"[!-~]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
#: Headers that say how the request is framed, or that would stand twice.
_SPECIAL = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "expect",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)
_PARSER = ("read_bufsize", "max_line_size", "max_field_size", "max_headers")
_NO_BODY = "Content-Length: 0\r\n"
_SESSION_CODE = aiohttp.client.__file__


def tested() -> bool:
    """Whether this aiohttp is one that ``DirectTransport`` was tested with."""
    version = re.match(r"(\d+)\.(\d+)", aiohttp.__version__)
    return version is not None and _TESTED[0] <= (int(version[1]), int(version[2])) < _TESTED[1]


class DirectTransport(HTTPTransport):
    """Sends requests without aiohttp's request and response objects.

    State: that of ``HTTPTransport``, and what was worked out once for each URL (``_roads``).
    """

    _piece = staticmethod(piece)
    _taken = staticmethod(taken)

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._roads: dict[str, _Road] = {}

    async def send(self, request: Outgoing, /) -> WireResponse:
        """Send and read the whole answer. Raises what ``HTTPTransport.send`` raises."""
        road = self._road(request.url)
        data = road.written(request)
        if data is None or _patched():
            return await super().send(request)
        protocol, message, content = await self._exchange(road, request, data)
        if content.is_eof() and content.exception() is None:
            # It came together with its head, as most answers do: saves 3 us a call.
            _release(road, protocol)
            return WireResponse(status=message.code, headers=message.headers, body=self._whole(content))
        return await self._received(_Answer(road, protocol, message, content), request)

    async def _start(self, request: Outgoing) -> Answer:
        road = self._road(request.url)
        data = road.written(request)
        if data is None or _patched():
            return await super()._start(request)
        return _Answer(road, *await self._exchange(road, request, data))

    async def _exchange(
        self, road: _Road, request: Outgoing, data: bytes
    ) -> tuple[ResponseHandler, RawResponseMessage, aiohttp.StreamReader]:
        """Send, and wait for the head of the answer."""
        protocol, fresh = road.connector.take(road.key), False
        if protocol is None:
            protocol = await self._connect(road, request.connect_timeout)
            fresh = first_use(protocol, road.connector)
        try:
            protocol.set_response_params(
                skip_payload=request.method == hdrs.METH_HEAD, read_until_eof=True, **road.parser_settings
            )
            if protocol.transport is None:
                raise aiohttp.ServerDisconnectedError
            # No pausing: at most 1 MiB, which is in memory anyway and leaves with the connection.
            protocol.transport.write(data)
            message, content = await protocol.read()
            while 100 <= message.code < 200 and message.code != 101:
                message, content = await protocol.read()
        except BaseException as error:
            # Cancelled, too: the service sees at once that nobody waits.
            raw_transport(protocol).abort()
            road.connector.give_back(road.key, protocol, cut=True)
            if not isinstance(error, FOREIGN):
                raise
            raise start_error(error, road.target.where, fresh=fresh) from road.target.cause(error)
        return protocol, message, content

    async def _connect(self, road: _Road, within: float | None) -> ResponseHandler:
        timeout = self._timeouts.get(within) or self._timeout(within)
        where, cause = road.target.where, road.target.cause
        try:
            return await road.connector.make(road.request, timeout)
        except TimeoutError as error:
            raise translated(aiohttp.ConnectionTimeoutError(), where, sent=False) from cause(error)
        except FOREIGN as error:
            raise translated(error, where, sent=None) from cause(error)
        except asyncio.CancelledError:
            self._raise_if_closed()
            raise

    def _road(self, url: str) -> _Road:
        road = self._roads.get(url)
        if road is None or self._closed or asyncio.get_running_loop() is not self._loop:
            road = self._new_road(url)
        return road

    def _new_road(self, url: str) -> _Road:
        target = self._target(url)
        session = self._ready()
        if len(self._roads) >= CACHED:
            self._roads.clear()
        road = self._roads[url] = _Road(target, session)
        return road


def _patched() -> bool:
    """Whether something stands in for the session's requests, as aioresponses does in tests."""
    code = getattr(aiohttp.ClientSession._request, "__code__", None)
    return code is None or code.co_filename != _SESSION_CODE


def _release(road: _Road, protocol: ResponseHandler) -> None:
    """The body came to its end: the connection may be used again."""
    transport = protocol.transport
    # A service that answers before it has read the request may never read the rest.
    unsent = transport is not None and transport.get_write_buffer_size() > 0
    if unsent:
        raw_transport(protocol).abort()
    road.connector.give_back(road.key, protocol, cut=unsent)


class _Road:
    """What is worked out once for each URL.

    State: ``_begins``, how requests begin, by method, whether they have a body, and names of headers:
    everything up to the headers' lines. Empty for those that don't go this way.
    """

    def __init__(self, target: Target, session: aiohttp.ClientSession) -> None:
        self.target = target
        assert isinstance(session.connector, Connector)
        self.connector = session.connector
        #: What the connector asks for host, port and TLS; it is never sent.
        self.request = aiohttp.ClientRequest(
            hdrs.METH_GET, target.url, loop=asyncio.get_running_loop(), session=session
        )
        self.key: ConnectionKey = self.request.connection_key
        #: What the session would tell the parser. Not all of them are known to every version.
        self.parser_settings: dict[str, Any] = {
            name: getattr(session, f"_{name}") for name in _PARSER if hasattr(session, f"_{name}")
        }
        self._begins: dict[tuple[str, ...], str] = {}

    def written(self, request: Outgoing) -> bytes | None:
        """The whole request as bytes, or None if it doesn't go this way.

        Raises:
            ConfigError: A header with a line break in it, which would begin another header.
        """
        method, headers, body = request.method, request.headers, request.body
        # Found by the names, not checked and made again: saves 10 of 67 us a call (64 in flight).
        shape = (method, "" if body is None else "body", *headers)
        begin = self._begins.get(shape)
        if begin is None:
            begin = self._begin(shape)
        if not begin or (body is not None and len(body) > MIB):
            return None
        values = "".join(headers.values())
        if not (values.isascii() and values.isprintable()):
            self._check(values)
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        if body is None:
            return f"{begin}{lines}{'' if method in _BODILESS else _NO_BODY}\r\n".encode()
        return f"{begin}{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def _begin(self, shape: tuple[str, ...]) -> str:
        if len(self._begins) >= CACHED:
            self._begins.clear()
        begin = self._begins[shape] = self._made(*shape) if self._takes(*shape) else ""
        return begin

    def _takes(self, method: str, _: str, *names: str) -> bool:
        url = self.target.url
        return (
            self.target.proxy is None
            and not (url.raw_user or url.raw_password)  # which become a header
            and _PATH.fullmatch(url.raw_path_qs) is not None
            and method in _METHODS
            and all(_NAME.fullmatch(name) and name.lower() not in _SPECIAL for name in names)
        )

    def _made(self, method: str, body: str, *names: str) -> str:
        own = self.request.headers
        headers = {name: own[name] for name in (hdrs.HOST, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING)}
        headers[hdrs.USER_AGENT] = f"asyncapi/{__version__}"
        typed = any(name.lower() == "content-type" for name in names)
        if not typed and (body or method not in _UNTYPED):
            headers[hdrs.CONTENT_TYPE] = "application/octet-stream"
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{method} {self.target.url.raw_path_qs} HTTP/1.1\r\n{lines}"

    def _check(self, values: str) -> None:
        try:
            values.encode()
        except UnicodeEncodeError:
            wrong = True
        else:
            wrong = _CONTROL.search(values) is not None
        if wrong:
            raise ConfigError(f"{self.target.where}: a header can't be sent; look for control characters")


class _Answer:
    """An answer as far as it has come: what is needed of a ClientResponse.

    State: ``connection``, until it is given back: when the body has ended, or is given up.
    """

    __slots__ = ("_road", "connection", "content", "headers", "status")

    def __init__(
        self,
        road: _Road,
        connection: ResponseHandler,
        message: RawResponseMessage,
        content: aiohttp.StreamReader,
    ) -> None:
        self._road = road
        self.connection: ResponseHandler | None = connection
        self.status = message.code
        self.headers: Mapping[str, str] = message.headers
        self.content = content
        content.on_eof(self.release)  # at once, if it is there already

    @property
    def content_length(self) -> int | None:
        """What the headers say of the body's length, in bytes."""
        length = self.headers.get(hdrs.CONTENT_LENGTH)
        return int(length) if length is not None and length.isdecimal() else None

    def release(self) -> None:
        """The body came to its end: the connection may be used again. Idempotent."""
        protocol, self.connection = self.connection, None
        if protocol is not None:
            _release(self._road, protocol)

    def close(self) -> None:
        """Give the body up: drop the connection, end a pending read. Idempotent."""
        protocol, self.connection = self.connection, None
        if self.content.exception() is None:
            self.content.set_exception(aiohttp.ClientConnectionError("Connection closed"))
        if protocol is not None:
            self._road.connector.give_back(self._road.key, protocol, cut=True)

    def __del__(self) -> None:
        if self.connection is not None:
            warnings.warn(
                f"unclosed answer of {self._road.target.where}", ResourceWarning, stacklevel=2, source=self
            )
            self.close()
