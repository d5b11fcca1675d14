"""Silent upstreams: a connection that is accepted, and then nothing.

Libraries limit connecting and the wait for a byte; a service that sends its head and stops, or a byte every
ten seconds, holds a caller for as long as it likes (litellm#38358, PR#15659, khora#1059). Here each limit
ends its own kind of silence within 100 ms of its time, over real sockets.
"""

from __future__ import annotations

import asyncio

import pytest

from asyncapi import AsyncAPIError, ConnectError, ReadTimeoutError, Retry, StreamInterruptedError, Timeout
from asyncapi.testing.scripted import stream
from tests.core.worlds import read
from tests.failure_modes.worlds import MODEL, Connection, client_of, head, misbehaving, within

ONCE = Retry(attempts=1)
LIMIT = 0.3
EVENTS = b"".join(stream(["It ", "is ", "late."]).pieces)
FIRST = EVENTS[: EVENTS.index(b"\n\n") + 2]


async def _mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts, reads, never answers."""
    while await reader.read(65536):
        pass


def _says(*pieces: bytes, kind: str = "application/json", pause: float = 0.0) -> Connection:
    """A head, then these pieces with pauses between them, then nothing more."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head(kind))
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        await _mute(reader, writer)

    return serve


async def _endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Half an answer, then pings for ever."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(head("text/event-stream") + FIRST)
    while True:
        writer.write(b": ping\n\n")
        await asyncio.sleep(0.02)


async def _pings(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pings for ever, and not a word."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(head("text/event-stream"))
    while True:
        writer.write(b": ping\n\n")
        await asyncio.sleep(0.02)


PLAIN = {
    "accepts and never answers: total": (_mute, Timeout(total=LIMIT)),
    "accepts and never answers: first byte": (_mute, Timeout(first_byte=LIMIT)),
    "its head, then silence: total": (_says(b'{"id"'), Timeout(total=LIMIT)),
    "a byte at a time: total": (_says(*[b" "] * 500, pause=0.02), Timeout(total=LIMIT)),
}
STREAMS = {
    "accepts and never answers: first byte": (_mute, Timeout(first_byte=LIMIT)),
    "its head, then silence: first byte": (_says(kind="text/event-stream"), Timeout(first_byte=LIMIT)),
    "pings and not a word: first token": (_pings, Timeout(first_token=LIMIT)),
    "a chunk, then silence: idle": (_says(FIRST, kind="text/event-stream"), Timeout(idle=LIMIT)),
    "a chunk, then pings: total": (_endless, Timeout(total=LIMIT, idle=5.0)),
    "a chunk, then a trickle: the floor": (
        _says(FIRST, *[b":"] * 500, kind="text/event-stream", pause=0.02),
        Timeout(idle=5.0, minimum_rate=10_000, rate_window=LIMIT),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("serve", "timeout"), PLAIN.values(), ids=PLAIN)
async def test_a_plain_call_is_ended_in_time(serve: Connection, timeout: Timeout) -> None:
    """Whatever kind of silence it is."""
    async with misbehaving(serve) as url, client_of(url, timeout=timeout, retry=ONCE) as client:
        async with within(client, LIMIT):
            with pytest.raises(ReadTimeoutError):
                await client.chat(MODEL, "x")
        assert client.statistics().endpoints["openai"].in_flight == 0


@pytest.mark.slow
@pytest.mark.parametrize(("serve", "timeout"), STREAMS.values(), ids=STREAMS)
async def test_a_stream_is_ended_in_time(serve: Connection, timeout: Timeout) -> None:
    """Before its first token with the plain error, after it with what arrived."""
    async with misbehaving(serve) as url, client_of(url, timeout=timeout, retry=ONCE) as client:
        async with within(client, LIMIT):
            with pytest.raises(AsyncAPIError) as caught:
                await read(client.stream(MODEL, "x"))
        assert client.statistics().endpoints["openai"].in_flight == 0
    error = caught.value
    if isinstance(error, StreamInterruptedError):
        assert getattr(error.partial, "text", None) == "It "
        assert isinstance(error.__cause__, ReadTimeoutError)
    else:
        assert isinstance(error, ReadTimeoutError)


@pytest.mark.slow
async def test_a_handshake_that_stalls_is_ended_in_time() -> None:
    """TCP is there, TLS never comes: that is connecting, and nothing was sent."""
    async with (
        misbehaving(_mute) as url,
        client_of(url.replace("http:", "https:"), timeout=Timeout(connect=LIMIT), retry=ONCE) as client,
        within(client, LIMIT),
    ):
        with pytest.raises(ConnectError) as caught:
            await client.chat(MODEL, "x")
    assert caught.value.sent is False


@pytest.mark.slow
async def test_a_silent_service_does_not_hold_up_the_others() -> None:
    """Another call gives up on it and is answered by the next connection."""
    turns = iter([_mute, _says(EVENTS, kind="text/event-stream")])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await next(turns)(reader, writer)

    timeout = Timeout(first_byte=LIMIT)
    async with misbehaving(serve) as url, client_of(url, timeout=timeout, limit=1) as client:
        answer = await read(client.stream(MODEL, "x"))

    assert (answer.text, answer.attempts) == ("It is late.", 2)
