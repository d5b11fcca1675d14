"""An answer whose body is still to come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import aiohttp

from asyncapi.errors import AsyncAPIError, ConnectionLostError
from asyncapi.transports._target import Target
from asyncapi.transports._translation import FOREIGN, translated

__all__ = ["Answer", "HTTPStream", "abort"]

#: How long a stream that was closed may take to end by itself. What follows the last event (the end of
#: a chunked body) comes in a packet of its own; waiting for it saves the next call a new connection
#: (over TLS 75 us of CPU a call for both sides instead of 1300).
#: Well below the 50 ms within which a service is to see that nobody reads any more.
LINGER_SECONDS = 0.01


class _Link(Protocol):
    @property
    def transport(self) -> asyncio.Transport | None: ...


class Answer(Protocol):
    """An answer as far as it has come: what is used of aiohttp's ``ClientResponse``.

    It frees its connection for reuse by itself as soon as the body has come to its end.
    """

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def content(self) -> aiohttp.StreamReader: ...
    @property
    def content_length(self) -> int | None: ...
    @property
    def connection(self) -> _Link | None: ...
    def release(self) -> object: ...
    def close(self) -> None: ...


class HTTPStream:
    """An open answer, read piece by piece.

    State: ``_error``, what reads raise once it failed or was closed; ``_waiting``, whether a read
    was begun and has given nothing yet; ``_lingers``, whether it was closed and may still end well.
    """

    __slots__ = ("__weakref__", "_error", "_lingers", "_piece", "_response", "_target", "_waiting")

    def __init__(
        self,
        response: Answer,
        target: Target,
        piece: Callable[[aiohttp.StreamReader], Awaitable[bytes]],
    ) -> None:
        self._response = response
        self._piece = piece
        self._target = target
        self._error: AsyncAPIError | None = None
        self._waiting = False
        self._lingers = False

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
        self._waiting = True
        try:
            piece = await self._piece(self._response.content)
        except FOREIGN as error:
            if error is self._error:
                raise
            if self._error is None:
                self._error = translated(error, self._target.where, sent=True)
                if rest := _unread(self._response.content):
                    return rest
            raise self._error from self._target.cause(error)
        self._waiting = False
        return piece

    def fail(self, error: AsyncAPIError, /) -> None:
        """Make the pending and every later ``read`` raise ``error``, and drop the connection."""
        self._error = error
        self._response.content.set_exception(error)
        abort(self._response)

    def close(self) -> None:
        """Free the connection: reused if the body comes to its end now, else cut. Idempotent.

        A stream left in the middle of a read is cut at once. Else its end may be on its way, and
        gets ``LINGER_SECONDS`` to arrive.
        """
        if self._response.content.is_eof() or self._waiting or self._error is not None:
            if not self._lingers:
                self.cut()
            return
        self._error = self._closed_here()
        self._lingers = True
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self.cut)

    def cut(self) -> None:
        """Free the connection at once: reused if the body came to its end, else cut. Idempotent."""
        if self._error is None:
            self._error = self._closed_here()
        if self._response.content.is_eof():
            self._response.release()
        else:
            abort(self._response)

    def _closed_here(self) -> ConnectionLostError:
        return ConnectionLostError(f"{self._target.where}: the stream was closed here", sent=True)


def abort(response: Answer) -> None:
    """Cut the connection now: a plain close would wait for unsent bytes and for TLS goodbyes."""
    connection = response.connection
    transport = None if connection is None else connection.transport
    response.close()
    if transport is not None:
        transport.abort()


def _unread(content: aiohttp.StreamReader) -> bytes:
    # No public call gives what is buffered once the reader has an exception.
    return content._read_nowait(-1)
