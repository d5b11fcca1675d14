"""What goes over the wire, and what is known of a service before anything does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

__all__ = [
    "BatchLimit",
    "LoadHeader",
    "Outgoing",
    "RateHeaders",
    "Service",
    "TokenHeaders",
    "WireRequest",
    "WireResponse",
]


class WireRequest(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a backend asks the transport to send. ``path`` is appended to the endpoint's base URL."""

    path: str
    body: bytes | None = None
    method: str = "POST"
    headers: Mapping[str, str] | None = None
    warnings: tuple[str, ...] = ()


class Outgoing(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A request as the transport gets it: the whole URL, every header, and how long to try to connect.

    Units: ``connect_timeout`` in seconds.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    connect_timeout: float | None = None


class WireResponse(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An answer as it arrived. ``headers`` are case-insensitive when they come from a transport."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class BatchLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How much one request of an operation may carry.

    ``chars`` approximates a token limit; ``bytes`` are those of the encoded body. ``strategy`` names how
    calls are merged, where the service differs there from others with the operation.
    """

    items: int
    chars: int | None = None
    bytes: int | None = None
    strategy: str = ""


class RateHeaders(msgspec.Struct, frozen=True):
    """The headers in which a service says how many requests a key has left, and of how many.

    Units: ``window`` in seconds, the time in which ``limit`` requests come back.
    """

    remaining: str
    limit: str
    window: float


class TokenHeaders(msgspec.Struct, frozen=True):
    """The headers in which a service says how many tokens a key has left in a minute, and of how many.

    ``kind`` is what they count: "tokens" (input and output together), "input_tokens" or "output_tokens".
    """

    kind: Literal["tokens", "input_tokens", "output_tokens"]
    remaining: str
    limit: str


class LoadHeader(msgspec.Struct, frozen=True):
    """The header in which a server says how many requests wait there: the number that ``pattern`` finds.

    ``ask`` is a header that every request has so that the server says it.
    """

    header: str
    pattern: str
    ask: tuple[str, str]


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a service: where it lives, where its settings are found, what it can do.

    ``base_url`` means what it means in the service's official SDK. ``url_env`` are variable names, the
    first that is set wins; of ``key_env`` all are taken, each as ``KEY`` and ``KEY_1`` to ``KEY_n``.
    ``normalise_url`` reads the forms of an address that the service's own tools accept.
    ``rate_headers`` say what is left of a key's requests, ``token_headers`` what is left of its tokens;
    ``cached_tokens_count`` says whether its limits count input that came from its cache; ``load`` says how
    much waits at the service.
    ``batch_size_from`` are a native action and the field of its answer that says how many items a
    batch may have on this server.
    """

    name: str
    operations: frozenset[str]
    base_url: str = ""
    key_env: tuple[str, ...] = ()
    url_env: tuple[str, ...] = ()
    needs_key: bool = True
    streaming: bool = True
    batches: Mapping[str, BatchLimit] = {}
    request_id_header: str = "X-Request-ID"
    transport: str = "http"
    normalise_url: Callable[[str], str] | None = None
    rate_headers: RateHeaders | None = None
    token_headers: tuple[TokenHeaders, ...] = ()
    cached_tokens_count: bool = True
    load: LoadHeader | None = None
    batch_size_from: tuple[str, str] | None = None
