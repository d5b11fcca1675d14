"""What hooks are told. The name of an event starts with the station that it comes from.

Units: names ending in ``_s`` are seconds. No event holds a key's secret, only its name, and no
prompt or answer text.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from asyncapi.types.usage import Usage

__all__ = [
    "BatchFlushed",
    "BreakerChanged",
    "CacheFailed",
    "CacheHit",
    "CacheMissed",
    "CallFinished",
    "DecodeFailed",
    "Event",
    "FlightJoined",
    "FlightShared",
    "HedgeEnded",
    "HedgeSent",
    "KeyCooled",
    "KeyParked",
    "LimitGranted",
    "QueueEntered",
    "QueueRefused",
    "RetryScheduled",
    "RouteEjected",
    "RouteMoved",
    "TransportSent",
    "VerdictGiven",
]


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The part that every event shares. ``request_id`` is empty where no single call is meant."""

    name: ClassVar[str] = "asyncapi.event"
    #: Detail events come several times a call; they are made only when a hook asks for detail.
    detail: ClassVar[bool] = False
    endpoint: str
    request_id: str = ""


class CacheHit(Event, frozen=True, kw_only=True, gc=False):
    """A call had its answer from the cache: nothing was sent. ``usage`` is what it took when it was.

    Units: ``age_s`` since then; ``money`` saved as the prices in the settings say, None without;
    ``similarity`` the cosine to what was asked then, None if it was the same to the byte.
    """

    name: ClassVar[str] = "asyncapi.cache_hit"
    operation: str
    model: str
    age_s: float
    similarity: float | None
    usage: Usage
    money: float | None
    tag: str


class CacheMissed(Event, frozen=True, kw_only=True, gc=False):
    """The cache has no answer to a call, or none that is young enough."""

    name: ClassVar[str] = "asyncapi.cache_missed"
    operation: str
    model: str


class CacheFailed(Event, frozen=True, kw_only=True, gc=False):
    """The store, or the embedding of a text, raised ``error``: the call went on without it."""

    name: ClassVar[str] = "asyncapi.cache_failed"
    error: str


class FlightJoined(Event, frozen=True, kw_only=True, gc=False):
    """A call waits for the answer to an identical one that is in flight, whose id is ``flight``."""

    name: ClassVar[str] = "asyncapi.flight_joined"
    operation: str
    model: str
    flight: str


class FlightShared(Event, frozen=True, kw_only=True, gc=False):
    """A call got a copy of the answer to an identical one. ``usage`` and ``money`` were paid once."""

    name: ClassVar[str] = "asyncapi.flight_shared"
    operation: str
    model: str
    usage: Usage
    money: float | None
    tag: str


class RouteMoved(Event, frozen=True, kw_only=True, gc=False):
    """A call goes on to the next target of its route: ``endpoint`` failed with ``error``."""

    name: ClassVar[str] = "asyncapi.route_moved"
    route: str
    to: str
    error: str


class RouteEjected(Event, frozen=True, kw_only=True, gc=False):
    """A target of a route fails when the others don't: for ``seconds_s`` it is tried only after them."""

    name: ClassVar[str] = "asyncapi.route_ejected"
    route: str
    target: str
    reason: str
    seconds_s: float


class QueueEntered(Event, frozen=True, kw_only=True, gc=False):
    """A call waits for its lease, first of all for a station: "queue" (others come first), "limit",
    "breaker", "rate" or "key"."""

    name: ClassVar[str] = "asyncapi.queue_entered"
    detail: ClassVar[bool] = True
    priority: str
    waiting: int
    waits_for: str = "queue"


class QueueRefused(Event, frozen=True, kw_only=True, gc=False):
    """A call was refused before anything was sent; ``error`` is the error's kind."""

    name: ClassVar[str] = "asyncapi.queue_refused"
    error: str
    retry_after_s: float | None = None


class BatchFlushed(Event, frozen=True, kw_only=True, gc=False):
    """Calls are sent as one: ``items`` calls, which have ``size`` texts (rows, keys) together.

    ``reason``: "idle" (nothing stood in its way), "turn" (it gathered until its turn came), "full", "wait"
    (it was held for company and its time was over), "urgent" (a member could not wait), "drain" (the client
    is being closed), or "alone" (it can't be merged). ``waited_s`` is how long the first member waited.
    """

    name: ClassVar[str] = "asyncapi.batch_flushed"
    operation: str
    model: str
    items: int
    reason: str
    size: int
    waited_s: float


class HedgeSent(Event, frozen=True, kw_only=True, gc=False):
    """A call takes longer than ``after_s``: a second copy of it goes to the endpoint ``to``, with ``key``."""

    name: ClassVar[str] = "asyncapi.hedge_sent"
    attempt: int
    to: str
    key: str
    after_s: float


class HedgeEnded(Event, frozen=True, kw_only=True, gc=False):
    """A call and its copy have ended, one of them without an answer: ``won`` if the copy was first.

    ``input_tokens`` are those of the answer: the other one has sent them too.
    """

    name: ClassVar[str] = "asyncapi.hedge_ended"
    to: str
    won: bool
    input_tokens: int | None = None


class BreakerChanged(Event, frozen=True, kw_only=True, gc=False):
    """The breaker went from ``old`` to ``new``: "closed", "open", "half-open", or "forced-open" or
    "forced-closed" by an operator."""

    name: ClassVar[str] = "asyncapi.breaker_changed"
    old: str
    new: str
    reason: str


class LimitGranted(Event, frozen=True, kw_only=True, gc=False):
    """A call got its lease: turn, permit, breaker permit, rate and key at once."""

    name: ClassVar[str] = "asyncapi.limit_granted"
    detail: ClassVar[bool] = True
    key: str
    queue_wait_s: float
    in_flight: int


class KeyCooled(Event, frozen=True, kw_only=True, gc=False):
    """The service asked to slow down: the key (all keys where ``key`` is empty) rests for ``seconds_s``."""

    name: ClassVar[str] = "asyncapi.rate_cooled"
    key: str
    seconds_s: float


class KeyParked(Event, frozen=True, kw_only=True, gc=False):
    """A key was taken out of the pool: revoked, or its quota is used up."""

    name: ClassVar[str] = "asyncapi.key_parked"
    key: str
    reason: str
    seconds_s: float


class TransportSent(Event, frozen=True, kw_only=True, gc=False):
    """A request goes to the transport."""

    name: ClassVar[str] = "asyncapi.transport_sent"
    detail: ClassVar[bool] = True
    key: str
    attempt: int
    body_bytes: int


class DecodeFailed(Event, frozen=True, kw_only=True, gc=False):
    """An answer could not be read."""

    name: ClassVar[str] = "asyncapi.decode_failed"
    error: str


class VerdictGiven(Event, frozen=True, kw_only=True, gc=False):
    """An attempt ended: ``verdict`` is "ok", "slow", "failed", "throttled" or "ignored"."""

    name: ClassVar[str] = "asyncapi.verdict_given"
    key: str
    attempt: int
    verdict: str
    error: str
    service_s: float


class RetryScheduled(Event, frozen=True, kw_only=True, gc=False):
    """Another attempt follows after ``delay_s``."""

    name: ClassVar[str] = "asyncapi.retry_scheduled"
    key: str
    attempt: int
    delay_s: float
    error: str


class CallFinished(Event, frozen=True, kw_only=True, gc=False):
    """A call ended, exactly once. ``outcome`` is "ok", "cancelled", or the error's kind."""

    name: ClassVar[str] = "asyncapi.call_finished"
    backend: str
    operation: str
    model: str
    key: str
    outcome: str
    attempts: int
    queue_wait_s: float
    service_s: float
    first_token_s: float | None
    total_s: float
    usage: Usage | None
    tag: str
