"""A whole answer comes back as it was sent, or the error says what happened and whether bytes left."""

from __future__ import annotations

import asyncio
import gzip
import re
import socket
import zlib
from typing import Any

import pytest

from asyncapi.abc import Transport
from asyncapi.errors import ConnectionLostError, DecodeError
from asyncapi.transports._pool import raw_transport
from asyncapi.transports.http import MIB, HTTPTransport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def whole(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def socket_of(transport: HTTPTransport) -> Any:
    """The socket of the only connection."""
    session = transport._session
    assert session is not None
    (protocol,) = session.connector.used  # type: ignore[union-attr]
    return raw_transport(protocol).get_extra_info("socket")


def chunked(*pieces: bytes) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body


async def test_status_headers_and_body_come_back(serve: Any, ask: Any, transport: Transport) -> None:
    """Any status is an answer; header names don't care about case."""
    port = await serve(whole(b'{"e":1}', "X-Request-ID: r-1", status="418 I'm a teapot"))

    answer = await transport.send(ask(port))

    assert (answer.status, answer.body) == (418, b'{"e":1}')
    assert answer.headers["x-request-id"] == "r-1"


async def test_request_goes_out_as_given(serve: Any, ask: Any, transport: Transport) -> None:
    """Path and query keep their escapes; headers go once; the user agent names this package."""
    seen: list[bytes] = []

    async def remember(peer: Any) -> None:
        while True:
            seen.append(await peer.request())
            await peer.say(OK)

    port = await serve(remember)
    await transport.send(ask(port, path="/a%2Fb?q=%20x", headers={"Authorization": "Bearer k"}, body=b"body"))
    await transport.send(ask(port, method="GET", body=None, headers={"User-Agent": "mine"}))

    post, get = seen
    assert post.startswith(b"POST /a%2Fb?q=%20x HTTP/1.1\r\n")
    assert post.endswith(b"\r\n\r\nbody")
    assert post.count(b"Authorization: Bearer k\r\n") == 1
    assert re.search(rb"User-Agent: asyncapi/[0-9.]+\r\n", post)
    assert get.startswith(b"GET /v1/chat HTTP/1.1\r\n")
    assert get.count(b"User-Agent:") == 1
    assert b"User-Agent: mine\r\n" in get


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("gzip", gzip.compress(b"hello" * 9999)), ("deflate", zlib.compress(b"hello" * 9999))],
)
async def test_compressed_body_is_unpacked(
    encoding: str, packed: bytes, serve: Any, ask: Any, transport: Transport
) -> None:
    """Compression is undone before the body is handed over."""
    port = await serve(whole(packed, f"Content-Encoding: {encoding}"))

    assert (await transport.send(ask(port))).body == b"hello" * 9999


async def test_chunked_and_empty_bodies(serve: Any, ask: Any, transport: Transport) -> None:
    """Chunks are joined; no body is an empty body."""
    chunks = await serve(chunked(b"he", b"llo", b""))
    nothing = await serve(b"HTTP/1.1 204 No Content\r\n\r\n")

    assert (await transport.send(ask(chunks))).body == b"hello"
    assert (await transport.send(ask(nothing))).body == b""


async def test_body_that_ends_with_the_connection(serve: Any, ask: Any, transport: Transport) -> None:
    """Without length and chunks the end of the connection is the end of the body."""

    async def handler(peer: Any) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\n\r\nto the ", b"end")

    assert (await transport.send(ask(await serve(handler)))).body == b"to the end"


async def test_body_sent_slowly_is_joined(serve: Any, ask: Any, transport: Transport) -> None:
    """A body that comes after its head, byte by byte, is one body."""

    async def handler(peer: Any) -> None:
        await peer.request()
        for byte in whole(b"slow"):
            await peer.say(bytes([byte]))
            await asyncio.sleep(0)

    assert (await transport.send(ask(await serve(handler)))).body == b"slow"


@pytest.mark.parametrize("interim", ["100 Continue", "103 Early Hints"])
async def test_interim_answers_are_skipped(interim: str, serve: Any, ask: Any, transport: Transport) -> None:
    """100 and 103 come before the answer, they are not the answer."""
    port = await serve(f"HTTP/1.1 {interim}\r\nLink: </a>\r\n\r\n".encode() + OK)

    assert (await transport.send(ask(port))).status == 200


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"),
        ("DELETE", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ],
)
async def test_answers_without_a_body_leave_the_connection_good(
    method: str, answer: bytes, serve: Any, ask: Any, transport: Transport
) -> None:
    """What never has a body is not waited for, whatever its headers announce."""
    port = await serve(answer)
    for _ in range(2):
        assert (await transport.send(ask(port, method=method, body=None))).body == b""

    assert serve.connections == 1


async def test_redirect_is_not_followed(serve: Any, ask: Any, transport: Transport) -> None:
    """A key never travels to where a redirect points."""
    elsewhere = await serve(OK)
    port = await serve(
        whole(b"", f"Location: http://127.0.0.1:{elsewhere}/", status="307 Temporary Redirect")
    )

    answer = await transport.send(ask(port))

    assert (answer.status, serve.connections) == (307, 1)


async def test_cookies_are_not_kept(serve: Any, ask: Any, transport: Transport) -> None:
    """A cookie set by one answer is not sent with the next request."""
    seen: list[bytes] = []

    async def handler(peer: Any) -> None:
        while True:
            seen.append(await peer.request())
            await peer.say(whole(b"", "Set-Cookie: a=b"))

    port = await serve(handler)
    for _ in range(2):
        await transport.send(ask(port))

    assert b"cookie" not in seen[1].lower()


async def test_connections_are_reused_without_delay(serve: Any, ask: Any, transport: HTTPTransport) -> None:
    """Ten requests in turn share one connection, on which Nagle's algorithm is off."""
    port = await serve(OK)
    for _ in range(10):
        await transport.send(ask(port))

    assert serve.connections == 1
    assert socket_of(transport).getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_limit_bounds_the_connections(kind: type[HTTPTransport], serve: Any, ask: Any) -> None:
    """With limit=2 ten requests at once use two connections."""
    limited = kind(limit=2)
    port = await serve(OK)

    await asyncio.gather(*(limited.send(ask(port)) for _ in range(10)))
    await limited.aclose()

    assert serve.connections == 2


async def test_large_request_body_arrives(serve: Any, ask: Any, transport: Transport) -> None:
    """Megabytes go out whole, without a warning."""
    seen: list[int] = []

    async def handler(peer: Any) -> None:
        seen.append(len(await peer.request()))
        await peer.say(OK)

    await transport.send(ask(await serve(handler), body=b"x" * 3_000_000))

    assert seen[0] > 3_000_000


# -- one answer, one request --------------------------------------------------------------------------------


async def test_second_answer_to_one_request_is_not_taken_for_the_next(
    serve: Any, ask: Any, transport: Transport
) -> None:
    """An answer too many, in the same packet: the connection is not used again."""
    port = await serve(OK + whole(b"of somebody else"))
    for _ in range(2):
        assert (await transport.send(ask(port))).body == b"ok"

    assert serve.connections == 2


async def test_answer_on_an_idle_connection_is_not_taken_for_the_next(
    serve: Any, ask: Any, transport: Transport
) -> None:
    """A service that says 408 to nobody, and does not close: the next request goes elsewhere."""

    async def handler(peer: Any) -> None:
        await peer.request()
        await peer.say(OK)
        await asyncio.sleep(0.01)
        await peer.say(whole(b"", status="408 Request Timeout"))
        await peer.left()

    port = await serve(handler)
    for _ in range(2):
        assert (await transport.send(ask(port))).status == 200
        await asyncio.sleep(0.05)

    assert serve.connections == 2


async def test_early_answer_does_not_leave_half_a_request_on_the_connection(
    serve: Any, ask: Any, transport: HTTPTransport
) -> None:
    """A service that answers before it has read everything may never read the rest."""
    release = asyncio.Event()

    async def handler(peer: Any) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(whole(b"no", status="413 Content Too Large"))
        await release.wait()

    port = await serve(handler)
    await transport.send(ask(port))
    socket_of(transport).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    statuses = [(await transport.send(request)).status for request in (ask(port, body=b"x" * MIB), ask(port))]
    release.set()

    assert statuses == [413, 200]
    assert serve.connections == 2


# -- too large ----------------------------------------------------------------------------------------------

BIG = b"x" * 2000


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(whole(BIG), id="length"),
        pytest.param(chunked(BIG[:1000], BIG[:1000], b""), id="chunks"),
        pytest.param(whole(gzip.compress(BIG), "Content-Encoding: gzip"), id="unpacked size"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n", id="announced"),
    ],
)
@pytest.mark.parametrize("slowly", [False, True])
async def test_answer_over_the_cap_is_refused(
    kind: type[HTTPTransport], answer: bytes, slowly: bool, serve: Any, ask: Any
) -> None:
    """More than max_body_bytes is an error, whether announced or found while reading."""
    small = kind(max_body_bytes=1500)

    async def handler(peer: Any) -> None:
        await peer.request()
        head, end, body = answer.partition(b"\r\n\r\n")
        await peer.say(head + end)
        if slowly:
            await asyncio.sleep(0.01)
        await peer.say(body[:1100], body[1100:])
        await peer.left()

    with pytest.raises(DecodeError, match=r"max_body_bytes \(1500\)") as caught:
        await small.send(ask(await serve(handler)))
    await small.aclose()

    assert caught.value.retryable is False


async def test_whole_large_answer_in_one_piece_is_refused(
    kind: type[HTTPTransport], serve: Any, ask: Any
) -> None:
    """The cap also holds for what came together with its head."""
    small = kind(max_body_bytes=1500)
    port = await serve(whole(BIG))
    with pytest.raises(DecodeError, match="max_body_bytes"):
        await small.send(ask(port))
    await small.aclose()


async def test_answer_of_many_megabytes_is_read(serve: Any, ask: Any, transport: Transport) -> None:
    """Large answers below the cap come whole."""
    port = await serve(whole(b"x" * 5_000_000))

    assert len((await transport.send(ask(port))).body) == 5_000_000


# -- cut ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="before the head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="in the head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", id="in the body"),
        pytest.param(chunked(b"one") + b"5\r\ntw", id="in a chunk"),
        pytest.param(chunked(b"one"), id="before the last chunk"),
    ],
)
@pytest.mark.parametrize("reset", [False, True])
async def test_cut_answer_is_a_lost_connection(
    sent: bytes, reset: bool, serve: Any, ask: Any, transport: Transport
) -> None:
    """On a fresh connection the request had left, so its fate is known: sent."""

    async def handler(peer: Any) -> None:
        await peer.request()
        await peer.say(sent)
        if reset:
            peer.writer.transport.abort()

    port = await serve(handler)
    with pytest.raises(ConnectionLostError) as caught:
        await transport.send(ask(port))

    assert caught.value.sent is True
    assert caught.value.retryable
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(("sent", "known"), [(b"", None), (b"HTTP/1.1 200 OK\r\nX-A: b\r\n", True)])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_idle_connection_closed_as_the_request_leaves(
    sent: bytes, known: bool | None, method: str, serve: Any, ask: Any, transport: Transport
) -> None:
    """On a reused connection nobody knows whether the service saw the request, unless it began to answer.

    aiohttp would quietly send a GET again; here the caller decides.
    """
    requests: list[bytes] = []

    async def handler(peer: Any) -> None:
        requests.append(await peer.request())
        await peer.say(OK)
        requests.append(await peer.request())
        await peer.say(sent)

    port = await serve(handler)
    await transport.send(ask(port))
    with pytest.raises(ConnectionLostError) as caught:
        await transport.send(ask(port, method=method))

    assert caught.value.sent is known
    assert caught.value.retryable
    assert len(requests) == 2


async def test_connection_found_closed_is_replaced(serve: Any, ask: Any, transport: Transport) -> None:
    """A connection that the service closed while idle is not used for the next request."""

    async def handler(peer: Any) -> None:
        await peer.request()
        await peer.say(OK)

    port = await serve(handler)
    for _ in range(2):
        assert (await transport.send(ask(port))).status == 200
        await asyncio.sleep(0.02)

    assert serve.connections == 2


async def test_what_is_not_http_is_a_decode_error(serve: Any, ask: Any, transport: Transport) -> None:
    """Another protocol on the port is named as such."""
    with pytest.raises(DecodeError, match=r"not valid HTTP/1\.1"):
        await transport.send(ask(await serve(b"SSH-2.0-OpenSSH\r\n\r\n")))


async def test_body_that_is_not_compressed_as_announced(serve: Any, ask: Any, transport: Transport) -> None:
    """Bytes that are not gzip under a gzip header can't be read."""
    with pytest.raises(DecodeError, match="Content-Encoding"):
        await transport.send(ask(await serve(whole(b"plain text", "Content-Encoding: gzip"))))


# -- cancelled ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("started", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"])
async def test_cancelled_request_closes_its_connection(
    started: bytes, serve: Any, ask: Any, transport: Transport
) -> None:
    """The service sees at once that nobody waits any more."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[None] = loop.create_future()
    left: asyncio.Future[float] = loop.create_future()

    async def handler(peer: Any) -> None:
        await peer.request()
        await peer.say(started)
        loop.call_later(0.01, waiting.set_result, None)
        left.set_result(await peer.left())

    call = asyncio.create_task(transport.send(ask(await serve(handler))))
    await waiting
    cancelled = loop.time()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert await left - cancelled < 0.05


async def test_request_cancelled_while_its_body_is_stuck(serve: Any, ask: Any, transport: Transport) -> None:
    """Bytes that the service does not take do not hold the connection open."""
    begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    release, gone = asyncio.Event(), asyncio.Event()

    async def handler(peer: Any) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        begun.set_result(None)
        await release.wait()
        await peer.left()
        gone.set()

    call = asyncio.create_task(transport.send(ask(await serve(handler), body=b"x" * 50_000_000)))
    await begun
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    release.set()
    async with asyncio.timeout(1):
        await gone.wait()
