"""A request on its way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from asyncapi.config import OnOpen, Timeout
from asyncapi.errors import AsyncAPIError
from asyncapi.policies.tokens import Tokens
from asyncapi.types.requests import Priority, Request
from asyncapi.types.wire import WireRequest

if TYPE_CHECKING:
    from asyncapi._core.endpoint import Endpoint
    from asyncapi._core.hedging import Plan
    from asyncapi._core.lease import Lease
    from asyncapi._core.race import Race

__all__ = ["Call", "Options"]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller may say of a call, beside the request itself. None: as the endpoint says.

    ``key`` pins the call to the key of that name; ``user`` prefers keys reserved for that user;
    ``tenant`` is the flow that the call is queued in, ``tag`` a label for statistics, ``session`` what
    is best served where it was served before, ``idempotent`` whether it may be sent twice.
    """

    priority: Priority = Priority.NORMAL
    timeout: Timeout | None = None
    request_id: str = ""
    key: str | None = None
    user: str | None = None
    tenant: str = ""
    tag: str = ""
    session: str = ""
    idempotent: bool | None = None
    on_open: OnOpen | None = None
    shed: bool = True


DEFAULT_OPTIONS = Options()


class Call:
    """A request with everything that changes while it is under way.

    ``patient``: whether it waits for a service that asked to be left alone; one with somewhere else to go
    does not. ``plan``: where its copy would go, if not as the endpoint says.

    State: ``endpoint``, another than its ``home`` once a copy was answered there; ``wire`` (the encoded
    request), ``waiter`` (set while it waits in the queue; ``waiting`` says so), ``entered``, ``tag``,
    ``sequence`` and ``cost`` (its place there), ``tokens`` it is thought to use, ``attempts`` sent and
    ``ended``, ``failed`` attempts that count as tries, ``last_error``, the ``race`` with a copy while it may
    have one, ``key`` used last, the ``batch`` that it travels in,
    ``queue_s`` waited in all, ``service_s`` and ``first_token_s`` of the last attempt.
    """

    batch: Call  # unset outside of batches: so most calls pay nothing for it

    __slots__ = (
        "attempts",
        "batch",
        "cost",
        "created",
        "deadline",
        "ended",
        "endpoint",
        "entered",
        "failed",
        "first_token_s",
        "home",
        "id",
        "key",
        "last_error",
        "on_open",
        "options",
        "patient",
        "plan",
        "queue_s",
        "race",
        "request",
        "sequence",
        "service_s",
        "tag",
        "timeout",
        "tokens",
        "waiter",
        "wire",
    )

    def __init__(self, endpoint: Endpoint, request: Request, options: Options, call_id: str) -> None:
        self.endpoint = self.home = endpoint
        self.request = request
        self.options = options
        self.id = call_id
        self.timeout = options.timeout or endpoint.timeout
        self.on_open = options.on_open or endpoint.on_open
        self.patient = True
        self.plan: Plan | None = None
        self.race: Race[Any] | None = None
        self.created = endpoint.clock()
        total = self.timeout.total
        self.deadline = self.created + total if total is not None else None
        self.wire: WireRequest | None = None
        self.waiter: asyncio.Future[Lease] | None = None
        self.entered = self.created
        self.tag: float | None = None
        self.sequence = 0
        self.cost = 1.0
        self.tokens: Tokens | None = None
        self.attempts = 0
        self.ended = 0
        self.failed = 0
        self.last_error: AsyncAPIError | None = None
        self.key = ""
        self.queue_s = 0.0
        self.service_s = 0.0
        self.first_token_s: float | None = None

    @property
    def outer(self) -> Call:
        """The batch that it travels in, if it does; else the call itself."""
        outer: Call = getattr(self, "batch", self)
        return outer

    @property
    def choosy(self) -> bool:
        """Whether it may not use every key, so that another call may go where it can't."""
        return self.options.key is not None or self.options.user is not None

    @property
    def waiting(self) -> bool:
        """Whether the call is in the queue, alive."""
        return self.waiter is not None
