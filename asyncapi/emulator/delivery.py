"""Sending a reply: whole or paced, and broken in the ways that sockets break."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aiohttp import web

from asyncapi.emulator.exchange import Frame, Reply
from asyncapi.emulator.faults import Fault


@dataclass(frozen=True, slots=True)
class Pace:
    """When the frames of a stream are due.

    Units: seconds; ``start`` is on the loop's clock.
    """

    start: float
    per_token: float


def cut(request: web.Request) -> web.StreamResponse:
    """Close the connection at once, and give the server something to return."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def whole(reply: Reply) -> web.Response:
    """A plain reply, which the server sends after the handler."""
    return web.Response(
        body=reply.body, status=reply.status, headers={**reply.headers, "Content-Type": reply.content_type}
    )


async def send_plain(
    request: web.Request, reply: Reply, fault: Fault | None, pause: float
) -> web.StreamResponse:
    """Send a plain reply that suffers from a fault of the wire."""
    if fault is Fault.CUT_BODY and not reply.body:
        return cut(request)  # the head alone would be a whole answer
    response = _opened(reply)
    response.content_length = len(reply.body)
    await response.prepare(request)
    if fault is Fault.SLOW_BYTES:
        await _trickle(response, reply.body, pause)
    elif fault is Fault.CUT_BODY:
        await response.write(reply.body[: len(reply.body) // 2])
    else:
        await response.write(reply.body)
    if fault in (Fault.CUT_BODY, Fault.CUT_AFTER):
        await _flushed(request)
        cut(request)
    return response


async def send_stream(
    request: web.Request,
    reply: Reply,
    fault: Fault | None,
    pace: Pace,
    pause: float,
    error: Callable[[], list[bytes]],
) -> web.StreamResponse:
    """Send a stream at its pace, and with its fault.

    Args:
        request: Whom to answer.
        reply: What to answer; it has frames.
        fault: How the stream breaks; None for a good one.
        pace: When its frames are due.
        pause: Pause of ``slow_bytes``.
        error: Gives the frames of an error inside the stream.
    """
    frames = broken_frames(reply, fault, error)
    response = _opened(reply)
    await response.prepare(request)
    if fault is Fault.SLOW_BYTES:
        await _trickle(response, b"".join(data for data, _ in frames), pause)
    else:
        await _paced(response, frames, pace)
    if fault in (Fault.CUT_STREAM, Fault.CUT_BODY):
        await _flushed(request)
        return cut(request)
    await response.write_eof()
    if fault is Fault.CUT_AFTER:
        await _flushed(request)
        cut(request)
    return response


def broken_frames(reply: Reply, fault: Fault | None, error: Callable[[], list[bytes]]) -> list[Frame]:
    """The frames of a stream as far as a fault lets them through."""
    frames = reply.frames or []
    middle = min(max(1, len(frames) // 2), reply.proof)
    if fault is Fault.CUT_STREAM:
        return frames[:middle]
    if fault is Fault.STREAM_ERROR:
        failure = error() if reply.failure is None else reply.failure
        said = [] if reply.fails_empty else frames[:middle]
        return [*said, *((data, frames[middle][1]) for data in failure)]
    if fault is Fault.GARBLED:
        data, tokens = frames[middle]
        return [*frames[:middle], (garbled(data), tokens), *frames[middle + 1 :]]
    if fault is Fault.CUT_BODY:
        # Inside an event, where a cut between events is the other fault's.
        data, tokens = frames[middle]
        return [*frames[:middle], (data[: len(data) // 2], tokens)]
    return frames


def garbled(data: bytes) -> bytes:
    """Bytes whose JSON has lost its end, with the line ends that they had."""
    text = data.rstrip(b"\r\n")
    return text[: len(text) - max(2, len(text) // 3)] + b"\xef\xbf\xbd" + data[len(text) :]


def _opened(reply: Reply) -> web.StreamResponse:
    return web.StreamResponse(
        status=reply.status, headers={**reply.headers, "Content-Type": reply.content_type}
    )


async def _paced(response: web.StreamResponse, frames: list[Frame], pace: Pace) -> None:
    """Write each frame when it is due; frames that are due together go out in one write."""
    clock = asyncio.get_running_loop().time
    for batch, due in _due_together(frames, pace, clock):
        wait = due - clock()
        if wait > 0:
            await asyncio.sleep(wait)
        await response.write(batch)


def _due_together(
    frames: list[Frame], pace: Pace, clock: Callable[[], float]
) -> Iterator[tuple[bytes, float]]:
    position = 0
    while position < len(frames):
        due = pace.start + frames[position][1] * pace.per_token
        horizon = max(due, clock())
        end = position + 1
        while end < len(frames) and pace.start + frames[end][1] * pace.per_token <= horizon:
            end += 1
        yield b"".join(data for data, _ in frames[position:end]), due
        position = end


async def _trickle(response: web.StreamResponse, data: bytes, pause: float) -> None:
    """Write one byte at a time, with a pause now and then."""
    for position in range(len(data)):
        await response.write(data[position : position + 1])
        await asyncio.sleep(pause if position % 32 == 0 else 0)


async def _flushed(request: web.Request) -> None:
    """Wait until the kernel has all that was written: an abort would throw the rest away."""
    transport = request.transport
    # A transport tells nobody when its buffer is empty.
    while transport and not transport.is_closing() and transport.get_write_buffer_size():  # noqa: ASYNC110
        await asyncio.sleep(0.001)
