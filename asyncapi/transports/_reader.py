"""aiohttp's reader of a body, read without what it does for other ways of reading.

Its own ``readany`` asks the connection to go on and the parser to parse nothing after every piece, whether or
not they were paused, in five calls and two coroutines. Here that is done only where something was paused.
Uses undocumented parts of aiohttp, for versions that it was tested with.
"""

from __future__ import annotations

from aiohttp import StreamReader

__all__ = ["piece", "taken"]


async def piece(content: StreamReader) -> bytes:
    """The next bytes as soon as there are some, ``b""`` at the end. Raises what ``readany`` raises.

    Saves 4 of 50 us a chunk that comes alone.
    """
    if (
        type(content) is not StreamReader  # that of an answer without a body
        or content._exception is not None
        or content._waiter is not None
    ):
        return await content.readany()
    while not content._buffer and not content._eof:
        if content._protocol.transport is None:
            return await content.readany()
        waiter = content._waiter = content._loop.create_future()
        try:
            await waiter
        finally:
            content._waiter = None
    return taken(content)


def taken(content: StreamReader) -> bytes:
    """All that is buffered, perhaps nothing. Saves 3 of 95 us a plain call (64 in flight)."""
    if type(content) is not StreamReader:
        return b""
    protocol = content._protocol
    if content._buffer_offset or protocol._reading_paused or protocol._buffer_paused:
        return content._read_nowait(-1)
    buffer = content._buffer
    data = buffer.popleft() if len(buffer) == 1 else b"".join(buffer)
    buffer.clear()
    content._size = 0
    content._cursor += len(data)
    if content._http_chunk_splits:
        content._http_chunk_splits.clear()
    return data
