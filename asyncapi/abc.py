"""Protocols for what users may replace: backends, transports, stores, hooks.

No base class is needed: an object with the right members is enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from asyncapi.errors import AsyncAPIError
from asyncapi.types.events import Event
from asyncapi.types.requests import Request
from asyncapi.types.responses import Chunk, Response
from asyncapi.types.wire import Outgoing, Service, WireRequest, WireResponse

__all__ = ["Backend", "Hook", "ServiceBackend", "Store", "StreamDecoder", "Transport", "WireStream"]


class Backend(Protocol):
    """Translates between requests and one service's wire format: no await, no clock, no socket.

    Optional members, used when they are there (see ``ServiceBackend``): ``service`` (what is known
    of the service), ``error`` (an answer of status 400 or more to an exception; the default reads
    the usual envelopes), ``stream`` (a decoder for streamed answers).
    """

    @property
    def name(self) -> str:
        """The prefix in ``provider:model``."""
        ...

    def encode(self, request: Request, /) -> WireRequest:
        """The request in the service's form.

        Raises:
            UnsupportedOperationError: The service does not offer the operation.
            ConfigError: The request can't be expressed for this service.
        """
        ...

    def authorize(self, secret: str, /) -> Mapping[str, str]:
        """The headers that carry a key. Called once a key, never for endpoints without keys."""
        ...

    def decode(self, request: Request, reply: WireResponse, /) -> Response:
        """The answer of a successful reply (status below 400).

        Raises:
            DecodeError: The body is not what the service's format promises.
            ProviderError: The body of a 200 holds an error.
        """
        ...


@runtime_checkable
class ServiceBackend(Backend, Protocol):
    """A backend with everything that it may have."""

    @property
    def service(self) -> Service:
        """What is known of the service."""
        ...

    def error(self, reply: WireResponse, /) -> AsyncAPIError:
        """The exception for a reply of status 400 or more (or a redirect, which is never followed)."""
        ...

    def stream(self, request: Request, reply: WireResponse, /) -> StreamDecoder:
        """A decoder for the stream that answers ``request``; ``reply`` has status and headers, no body."""
        ...


class StreamDecoder(Protocol):
    """Turns the bytes of one stream into chunks and, at its end, a whole response."""

    @property
    def error(self) -> AsyncAPIError | None:
        """What went wrong at the place reached, to be raised after the chunks before it were delivered."""
        ...

    @property
    def done(self) -> bool:
        """Whether the proof of completion was seen and nothing of use can follow."""
        ...

    def feed(self, data: bytes, /) -> list[Chunk]:
        """The chunks that these bytes complete. Never raises on bad data: see ``error``."""
        ...

    def finish(self) -> Response:
        """The whole response, called once at the stream's end.

        Raises:
            StreamInterruptedError: The dialect's proof of completion is missing; ``partial`` has the rest.
        """
        ...

    def partial(self) -> Response:
        """What has arrived so far, assembled."""
        ...


class WireStream(Protocol):
    """An open answer whose body is read piece by piece."""

    @property
    def status(self) -> int:
        """HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers, case-insensitive."""
        ...

    async def read(self) -> bytes:
        """The next piece of the body as soon as it is there, ``b""`` at a clean end.

        Raises:
            ConnectionLostError: The body ended before it was whole.
        """
        ...

    def fail(self, error: AsyncAPIError, /) -> None:
        """Make the pending and every later ``read`` raise ``error``, and drop the connection."""
        ...

    def close(self) -> None:
        """Free the connection now: reused if the body was read to its end, else closed. Idempotent."""
        ...


class Transport(Protocol):
    """Moves bytes. It retries nothing, follows no redirect, and knows no service.

    Raises (both methods): ConnectError, ReadTimeoutError, ConnectionLostError.
    """

    async def send(self, request: Outgoing, /) -> WireResponse:
        """Send and read the whole answer."""
        ...

    async def open(self, request: Outgoing, /) -> WireStream:
        """Send and return once status and headers are there."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


class Store(Protocol):
    """Keeps answers as bytes under keys of 32 bytes. What it raises is a miss, and is reported.

    It may forget what it likes, and must give back exactly what was put. Whether an entry is still
    young enough is written in the entry itself and checked by its reader.
    """

    async def get(self, key: bytes, /) -> bytes | None:
        """What was put there last, None if it isn't there."""
        ...

    async def put(self, key: bytes, value: bytes, ttl: float, /) -> None:
        """Keep it. After ``ttl`` seconds (infinity for never) nobody asks for it: it may be dropped."""
        ...

    async def delete(self, key: bytes, /) -> None:
        """Forget it, if it is there."""
        ...

    async def aclose(self) -> None:
        """Write what is not written yet and free everything. Using the store again opens it again."""
        ...


class Hook(Protocol):
    """Is told what happens. It must not block and must not raise; what it raises is reported to the loop.

    An optional method ``wants(kind)`` says once for each class of event whether it wants those.
    """

    @property
    def detail(self) -> bool:
        """Whether it wants the detail events, several a call."""
        ...

    def on_event(self, event: Event, /) -> None:
        """Called synchronously where the event happens."""
        ...
