"""Pieces come as they are sent; a cut is never a quiet end; leaving early is seen by the service at once."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import zlib
from typing import Any

import pytest

from asyncapi.abc import Transport, WireStream
from asyncapi.errors import ConfigError, ConnectionLostError, DecodeError, ReadTimeoutError
from asyncapi.transports._stream import LINGER_SECONDS
from asyncapi.transports.http import HTTPTransport

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def read_all(stream: WireStream) -> bytes:
    pieces = []
    while piece := await stream.read():
        pieces.append(piece)
    return b"".join(pieces)


async def test_pieces_arrive_as_they_are_sent(serve: Any, ask: Any, transport: Transport) -> None:
    """Each piece is read before the service sends the next one."""
    steps: asyncio.Queue[None] = asyncio.Queue()

    async def handler(peer: Any) -> None:
        await peer.request()
        await peer.say(HEAD)
        for data in (b"one", b"two", b"three"):
            await steps.get()
            await peer.say(chunk(data))
        await steps.get()
        await peer.say(END)

    stream = await transport.open(ask(await serve(handler)))
    seen = [stream.status, stream.headers["content-type"]]
    for _ in range(4):
        steps.put_nowait(None)
        seen.append((await stream.read()).decode())
    stream.close()

    assert seen == [200, "text/event-stream", "one", "two", "three", ""]


async def test_end_is_repeated_and_the_connection_used_again(
    serve: Any, ask: Any, transport: Transport
) -> None:
    """After its end a stream stays ended, and its connection serves the next request."""
    port = await serve(HEAD + chunk(b"data") + END)
    for _ in range(3):
        stream = await transport.open(ask(port))
        assert await read_all(stream) == b"data"
        assert await stream.read() == b""
        stream.close()
        stream.close()

    assert serve.connections == 1


async def test_closing_after_the_end_came_but_before_it_was_read(
    serve: Any, ask: Any, transport: Transport
) -> None:
    """A body that is all here, read or not, leaves its connection good for the next request."""
    port = await serve(HEAD + chunk(b"data") + END)
    for _ in range(3):
        stream = await transport.open(ask(port))
        stream.close()
        with pytest.raises(ConnectionLostError, match="closed here"):
            await stream.read()

    assert serve.connections == 1


async def test_end_that_comes_just_after_closing_saves_the_connection(
    serve: Any, ask: Any, transport: HTTPTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last event is known as such before the end of the body: services send that in a packet more."""
    monkeypatch.setattr("asyncapi.transports._stream.LINGER_SECONDS", 9.0)
    closed = asyncio.Event()

    async def handler(peer: Any) -> None:
        while True:
            await peer.request()
            await peer.say(HEAD + chunk(b"[DONE]"))
            await closed.wait()
            await peer.say(END)

    port = await serve(handler)
    for _ in range(3):
        stream = await transport.open(ask(port))
        assert await stream.read() == b"[DONE]"
        stream.close()
        stream.close()
        with pytest.raises(ConnectionLostError, match="closed here"):
            await stream.read()
        closed.set()
        await stream._response.content.wait_eof()
        closed.clear()

    assert serve.connections == 1


@pytest.mark.parametrize(
    ("how", "linger"),
    [("between two reads", LINGER_SECONDS), ("in a read given up", 9.0), ("with the transport", 9.0)],
)
async def test_stream_that_goes_on_after_closing_is_cut(
    how: str, linger: float, serve: Any, ask: Any, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within 50 ms, and at once where it was left in a read: the service works for nobody."""
    monkeypatch.setattr("asyncapi.transports._stream.LINGER_SECONDS", linger)
    loop = asyncio.get_running_loop()
    left: asyncio.Future[float] = loop.create_future()

    async def handler(peer: Any) -> None:
        await peer.request()
        await peer.say(HEAD + chunk(b"data"))
        left.set_result(await peer.left())

    stream = await transport.open(ask(await serve(handler)))
    assert await stream.read() == b"data"
    if how == "in a read given up":
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await stream.read()
    closed = loop.time()
    stream.close()
    if how == "with the transport":
        await transport.aclose()

    assert await left - closed < 0.05


async def test_failing_a_stream_that_was_closed_cuts_it(serve: Any, ask: Any, transport: Transport) -> None:
    """A deadline that passes just after close() still counts."""
    stream = await transport.open(ask(await serve(HEAD + chunk(b"data"))))
    await stream.read()
    stream.close()
    stream.fail(ReadTimeoutError("total"))

    with pytest.raises(ReadTimeoutError, match="total"):
        await stream.read()


async def test_compressed_stream_is_unpacked_piece_by_piece(
    serve: Any, ask: Any, transport: Transport
) -> None:
    """Flushed gzip pieces do not wait for the end."""
    more = asyncio.Event()

    async def handler(peer: Any) -> None:
        await peer.request()
        packer = zlib.compressobj(wbits=31)
        await peer.say(HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"))
        await peer.say(chunk(packer.compress(b"first") + packer.flush(zlib.Z_SYNC_FLUSH)))
        await more.wait()
        await peer.say(chunk(packer.compress(b"second") + packer.flush()), END)

    stream = await transport.open(ask(await serve(handler)))
    assert await stream.read() == b"first"
    more.set()
    assert await read_all(stream) == b"second"


@pytest.mark.parametrize("reset", [False, True])
async def test_cut_stream_gives_its_pieces_and_then_raises(
    reset: bool, serve: Any, ask: Any, transport: Transport
) -> None:
    """A reader that comes late still gets what arrived before the cut, and the error each time after."""

    async def handler(peer: Any) -> None:
        await peer.request()
        await peer.say(HEAD + chunk(b"some"))
        await asyncio.sleep(0.01)
        if reset:
            peer.writer.transport.abort()

    port = await serve(handler)
    stream = await transport.open(ask(port))
    await asyncio.sleep(0.05)

    assert await stream.read() == b"some"
    for _ in range(2):
        with pytest.raises(ConnectionLostError, match=f"127.0.0.1:{port}") as caught:
            await stream.read()
        assert caught.value.sent is True
    stream.close()


async def test_cut_stream_wakes_its_reader(serve: Any, ask: Any, transport: Transport) -> None:
    """A pending read ends when the connection does."""

    async def handler(peer: Any) -> None:
        await peer.request()
        await peer.say(HEAD)
        await asyncio.sleep(0.01)

    stream = await transport.open(ask(await serve(handler)))
    with pytest.raises(ConnectionLostError):
        await stream.read()
    stream.close()


async def test_stream_of_bad_compression_is_a_decode_error(
    serve: Any, ask: Any, transport: Transport
) -> None:
    """What is not gzip under a gzip header can't be read."""
    bad = HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") + chunk(b"plain") + END
    stream = await transport.open(ask(await serve(bad)))
    with pytest.raises(DecodeError):
        await read_all(stream)
    stream.close()


async def test_large_stream_with_a_slow_reader_is_whole(serve: Any, ask: Any, transport: Transport) -> None:
    """Backpressure loses nothing, packed or not."""
    body = bytes(range(256)) * 20_000
    plain = await serve(HEAD + chunk(body) + END)
    packed = await serve(
        HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") + chunk(gzip.compress(body)) + END
    )
    for port in (plain, packed):
        stream = await transport.open(ask(port))
        await asyncio.sleep(0.05)
        assert await read_all(stream) == body
        stream.close()


@pytest.mark.parametrize("error", [ReadTimeoutError("idle for 60 s"), ConfigError("also a ValueError")])
async def test_failing_a_stream_wakes_its_reader_and_drops_the_connection(
    error: Any, serve: Any, ask: Any, transport: Transport
) -> None:
    """The pending read and every later one raise the very error; the service sees the close."""
    left: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def handler(peer: Any) -> None:
        await peer.request()
        await peer.say(HEAD)
        left.set_result(await peer.left())

    stream = await transport.open(ask(await serve(handler)))
    pending = asyncio.create_task(stream.read())
    await asyncio.sleep(0.01)
    failed = asyncio.get_running_loop().time()
    stream.fail(error)

    for attempt in (pending, stream.read()):
        with pytest.raises(type(error)) as caught:
            await attempt
        assert caught.value is error
    assert await left - failed < 0.05
    stream.close()


async def test_failing_before_anything_was_read(serve: Any, ask: Any, transport: Transport) -> None:
    """Pieces that arrived before the failure are not given out after it."""
    stream = await transport.open(ask(await serve(HEAD + chunk(b"data"))))
    stream.fail(ReadTimeoutError("total"))

    with pytest.raises(ReadTimeoutError, match="total"):
        await stream.read()


@pytest.mark.parametrize("tls", [False, True])
async def test_leaving_a_stream_is_seen_within_50_ms(
    kind: type[HTTPTransport], tls: bool, serve: Any, ask: Any, authority: Any
) -> None:
    """close() before the end cuts the connection at once, over TLS too; a pending read ends."""
    loop = asyncio.get_running_loop()
    left: asyncio.Future[float] = loop.create_future()
    transport = kind(ca_file=authority.ca_file)

    async def handler(peer: Any) -> None:
        await peer.request()
        await peer.say(HEAD + chunk(b"data"))
        left.set_result(await peer.left())

    context: ssl.SSLContext | None = authority.server if tls else None
    stream = await transport.open(ask(await serve(handler, context), scheme="https" if tls else "http"))
    assert await stream.read() == b"data"
    pending = asyncio.create_task(stream.read())
    await asyncio.sleep(0.01)
    closed = loop.time()
    stream.close()

    assert await left - closed < 0.05
    with pytest.raises(ConnectionLostError, match="closed here"):
        await pending
    await transport.aclose()


async def test_cancelled_read_leaves_the_stream_usable(serve: Any, ask: Any, transport: Transport) -> None:
    """A read given up on loses no piece."""
    more = asyncio.Event()

    async def handler(peer: Any) -> None:
        await peer.request()
        await peer.say(HEAD)
        await more.wait()
        await peer.say(chunk(b"late"), END)

    stream = await transport.open(ask(await serve(handler)))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await stream.read()
    more.set()

    assert await read_all(stream) == b"late"


async def test_bodiless_answer_is_an_ended_stream(serve: Any, ask: Any, transport: Transport) -> None:
    """204 has no body: the first read is the end, and failing it is harmless."""
    stream = await transport.open(ask(await serve(b"HTTP/1.1 204 No Content\r\n\r\n")))
    assert await stream.read() == b""
    stream.fail(ReadTimeoutError("late"))
    with pytest.raises(ReadTimeoutError):
        await stream.read()
