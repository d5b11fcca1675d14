"""The fast road says the same as a session would, and stands aside where it doesn't know its way."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler

from asyncapi.abc import Transport
from asyncapi.errors import ConfigError, ConnectionLostError
from asyncapi.transports import direct, http_transport
from asyncapi.transports.direct import DirectTransport
from asyncapi.transports.http import HTTPTransport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def session_way(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Gives the methods of the requests that were left to the session."""
    seen: list[str] = []
    start = HTTPTransport._start

    async def watched(self: HTTPTransport, request: Any) -> Any:
        seen.append(request.method)
        return await start(self, request)

    monkeypatch.setattr(HTTPTransport, "_start", watched)
    return lambda: seen


# -- which one ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("3.12.15", HTTPTransport),
        ("3.13.0", DirectTransport),
        ("3.14.5", DirectTransport),
        ("3.15.0", HTTPTransport),
        ("4.0.0a1", HTTPTransport),
        ("3.15.0.dev0", HTTPTransport),
        ("unknown", HTTPTransport),
    ],
)
def test_untested_aiohttp_gets_the_documented_road(
    version: str, kind: type[HTTPTransport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is inside aiohttp may change with its next version."""
    monkeypatch.setattr(aiohttp, "__version__", version)

    assert type(http_transport(limit=3, max_body_bytes=9)) is kind


def test_installed_aiohttp_is_tested() -> None:
    """These tests are the proof; a new aiohttp is let in by moving the bound and running them."""
    assert direct.tested()


async def test_patched_session_is_used(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test double in the place of the session's requests is found, although this road needs none."""
    transport = http_transport()

    async def canned(*_: object, **__: object) -> None:
        raise aiohttp.ClientPayloadError("canned")

    monkeypatch.setattr(aiohttp.ClientSession, "_request", canned)
    with pytest.raises(ConnectionLostError) as caught:
        await transport.send(ask(9))
    await transport.aclose()

    assert str(caught.value.__cause__) == "canned"


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"method": "post"}, id="method in small letters"),
        pytest.param({"method": "PROPFIND"}, id="rare method"),
        pytest.param({"headers": {"User-Agent": "mine"}}, id="header that would stand twice"),
        pytest.param({"headers": {"Expect": "100-continue"}}, id="header that frames"),
        pytest.param({"path": "/größe"}, id="path with other letters"),
        pytest.param({"body": b"x" * 1_048_577}, id="more than a mebibyte"),
    ],
)
async def test_what_is_special_is_left_to_the_session(
    given: dict[str, Any], serve: Any, ask: Any, session_way: Any
) -> None:
    """None of it is needed often enough to be written twice."""
    transport = DirectTransport()

    async def handler(peer: Any) -> None:
        head = await peer.reader.readuntil(b"\r\n\r\n")
        if b"100-continue" in head:
            await peer.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await peer.reader.readexactly(length)
        await peer.say(OK)
        await peer.left()

    answer = await transport.send(ask(await serve(handler), **given))
    await transport.aclose()

    assert answer.body == b"ok"
    assert len(session_way()) == 1


async def test_password_in_the_url_is_left_to_the_session(serve: Any, ask: Any, session_way: Any) -> None:
    """It becomes a header, and never shows in an error."""
    transport = DirectTransport()
    seen: list[bytes] = []

    async def handler(peer: Any) -> None:
        seen.append(await peer.request())
        await peer.say(OK)

    request = ask(await serve(handler))
    url = request.url.replace("http://", "http://me:secret@")
    kind = type(request)
    await transport.send(kind(method="GET", url=url, headers={}, body=None))
    await transport.aclose()

    assert b"Authorization: Basic bWU6c2VjcmV0\r\n" in seen[0]
    assert session_way() == ["GET"]


# -- says the same ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("body", [None, b"", b"body"])
@pytest.mark.parametrize(
    "headers", [{}, {"content-type": "text/plain", "X-Name": "größe", "Authorization": "Bearer k"}]
)
async def test_requests_have_the_same_lines(
    method: str, body: bytes | None, headers: dict[str, str], serve: Any, ask: Any, session_way: Any
) -> None:
    """Byte for byte what a session sends, but for the order of the headers."""
    seen: list[bytes] = []

    async def handler(peer: Any) -> None:
        seen.append(await peer.request())
        await peer.say(OK.replace(b"ok", b"") if method == "HEAD" else OK)

    request = ask(await serve(handler), method=method, body=body, headers=headers, path="/a%20b?c=%2F&d")
    for transport in (DirectTransport(), HTTPTransport()):
        await transport.send(request)
        await transport.aclose()
    direct, usual = [
        (head.split(b"\r\n"), body) for head, _, body in (r.partition(b"\r\n\r\n") for r in seen)
    ]

    assert direct[0][0] == usual[0][0]
    assert sorted(direct[0]) == sorted(usual[0])
    assert direct[1] == usual[1]
    assert len(session_way()) == 1


async def test_parser_is_told_the_same(serve: Any, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of lines and buffers are the session's."""
    port = await serve(OK)
    told: list[dict[str, Any]] = []
    tell = ResponseHandler.set_response_params
    signature = inspect.signature(tell)

    def remember(self: ResponseHandler, **given: Any) -> None:
        bound = signature.bind(self, **given)
        bound.apply_defaults()
        told.append({n: v for n, v in bound.arguments.items() if n not in ("self", "timer")})
        tell(self, **given)

    monkeypatch.setattr(ResponseHandler, "set_response_params", remember)
    for transport in (DirectTransport(), HTTPTransport()):
        await transport.send(ask(port))
        await transport.aclose()

    assert told[0] == told[1]


async def test_roads_stay_bounded(ask: Any) -> None:
    """Thousands of URLs and sets of headers do not pile up."""
    transport = DirectTransport()
    for turn in range(1100):
        road = transport._road(ask(9, path=f"/{turn}").url)
    for turn in range(1100):
        road.written(ask(9, headers={f"X-{turn}": "a"}))
    await transport.aclose()

    assert len(transport._roads) < 1024
    assert len(road._begins) < 1024


# -- connections --------------------------------------------------------------------------------------------


async def test_pool_is_shared_with_the_session(
    serve: Any, ask: Any, authority: Any, session_way: Any
) -> None:
    """Both roads use the same connections, over TLS with a named authority too."""
    transport = DirectTransport(ca_file=authority.ca_file)
    port = await serve(OK, authority.server)
    for headers in ({}, {"User-Agent": "mine"}) * 2:
        await transport.send(ask(port, scheme="https", headers=headers))
    await transport.aclose()

    assert len(session_way()) == 2
    assert serve.connections == 1


async def test_idle_connection_too_old_is_not_used(
    serve: Any, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load balancer may have dropped it without a word."""
    transport = DirectTransport()
    port = await serve(OK)
    await transport.send(ask(port))
    monkeypatch.setattr("asyncapi.transports._pool.KEEPALIVE_SECONDS", -1.0)
    await transport.send(ask(port))
    await transport.aclose()

    assert serve.connections == 2


async def test_connection_lost_before_the_request_left(
    serve: Any, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service closed it while it was handed over."""
    transport = DirectTransport()
    port = await serve(OK)
    tell = ResponseHandler.set_response_params

    def cut(self: ResponseHandler, **given: Any) -> None:
        tell(self, **given)
        self.transport = None

    monkeypatch.setattr(ResponseHandler, "set_response_params", cut)
    with pytest.raises(ConnectionLostError):
        await transport.send(ask(port))
    await transport.aclose()


async def test_switch_of_protocols_ends_the_connection(serve: Any, ask: Any, transport: Transport) -> None:
    """Nobody asked for it: the answer comes back, the connection is not used again."""
    if not isinstance(transport, DirectTransport):
        pytest.skip("aiohttp keeps the connection for whoever upgrades it")
    port = await serve(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
    for _ in range(2):
        assert (await transport.send(ask(port))).status == 101

    assert serve.connections == 2


async def test_forgotten_answer_is_reported(serve: Any, ask: Any) -> None:
    """A stream that nobody closed gives its connection back when it is collected, and says so."""

    async def handler(peer: Any) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")

    transport = DirectTransport(limit=1)
    port = await serve(handler)
    stream = await transport.open(ask(port))
    await asyncio.sleep(0.02)
    kept = [stream]
    del stream
    with pytest.warns(ResourceWarning, match=f"unclosed answer of 127.0.0.1:{port}"):
        kept.clear()
    other = await transport.open(ask(port))
    other.close()
    await transport.aclose()


@pytest.mark.parametrize("end", ["\x7f", "\udc80"])
async def test_header_that_cannot_be_sent_is_not_shown(end: str, serve: Any, ask: Any) -> None:
    """The value may be a secret."""
    transport = DirectTransport()
    with pytest.raises(ConfigError) as caught:
        await transport.send(ask(await serve(OK), headers={"Authorization": f"hunter2{end}"}))
    await transport.aclose()

    assert "hunter2" not in str(caught.value)
