"""What a batch is made of: its members, and the group in which they travel."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence

from msgspec.structs import replace

from asyncapi._core.call import Call
from asyncapi.errors import AsyncAPIError, ClientClosedError, ConnectionLostError
from asyncapi.policies.batching import Batching, Wait
from asyncapi.types.requests import Request
from asyncapi.types.responses import Response

__all__ = ["Group", "Item", "closed", "foremost", "settle", "take_best_place"]


class Item:
    """One request in a batch.

    State: its ``future``, cancelled when its caller is; when it ``joined`` (None once its wait is over); the
    ``batch`` that is under way with it, and how many of that one's attempts it has ``seen`` already.
    """

    __slots__ = ("batch", "call", "chars", "future", "joined", "request", "seen", "size", "strategy")

    def __init__(self, call: Call, request: Request, strategy: Batching) -> None:
        self.call = call
        self.request = request
        self.strategy = strategy
        self.size = strategy.items(request)
        self.chars = strategy.chars(request)
        self.joined: float | None = call.endpoint.clock()
        self.batch: Call | None = None
        self.seen = 0
        self.future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def enter_batch(self, batch: Call) -> None:
        """What the batch goes through from here, its member goes through."""
        self.batch = self.call.batch = batch
        self.seen = batch.attempts

    def wait_over(self, now: float) -> None:
        """Its own wait ends: it began when the member joined, not when the batch did."""
        if self.joined is not None:
            self.call.queue_s += now - self.joined
            self.joined = None

    def leave_batch(self) -> None:
        """What the batch went through is told to its member once, when either of them ends."""
        member, batch, self.batch = self.call, self.batch, None
        if self.joined is not None:
            self.wait_over(member.endpoint.clock())
        elif batch is not None:
            member.queue_s += batch.queue_s
        if batch is None:
            return
        member.wire = batch.wire
        member.attempts += batch.attempts - self.seen
        member.ended += batch.ended - self.seen
        member.last_error = batch.last_error and batch.last_error.copy()
        member.key = batch.key
        if batch.endpoint is not member.endpoint:  # its copy was answered first
            member.endpoint = batch.endpoint
            member.request = replace(member.request, model=batch.request.model)
        member.service_s = batch.service_s


class Group:
    """Items that travel together.

    It gathers while it is held for company (it has a ``timer``) and while it waits for its turn (it has
    a ``task``, and a ``call`` that waits in the queue for all of them).

    State: ``items``, their ``size`` and ``chars``, how many are still ``wanted``; ``timer``, and when it is
    ``due``; ``task`` and ``call``; the ``reason`` for which it goes.
    """

    __slots__ = ("call", "chars", "due", "items", "key", "reason", "size", "task", "timer", "wait", "wanted")

    def __init__(self, key: Hashable | None, reason: str = "idle", wait: Wait | None = None) -> None:
        self.key = key
        self.reason = reason
        self.wait = wait  # knows how fast calls of its kind come
        self.items: list[Item] = []
        self.size = 0
        self.chars = 0
        self.wanted = 0
        self.timer: asyncio.TimerHandle | None = None
        self.due = 0.0
        self.task: asyncio.Task[None] | None = None
        self.call: Call | None = None

    def add(self, item: Item) -> None:
        """One more."""
        self.items.append(item)
        self.size += item.size
        self.chars += item.chars
        self.wanted += 1

    def forget(self, item: Item) -> None:
        """A member has gone that was not sent: its place is free."""
        self.items.remove(item)
        self.size -= item.size
        self.chars -= item.chars

    def alive(self) -> list[Item]:
        """The members that somebody still waits for."""
        return [item for item in self.items if not item.future.done()]

    def stop_timer(self) -> None:
        """It is held no longer."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


def foremost(items: Sequence[Item]) -> Call:
    """The member in whose name a batch asks for its turn: whose flow gets the best place in the queue."""
    flows = {(item.call.options.tenant, item.call.options.priority): item.call for item in reversed(items)}
    first = items[0].call
    if len(flows) == 1:
        return first
    order, cost = first.endpoint.order, first.cost
    tags = {}
    for flow in flows:
        tags[flow] = order.enter(*flow, cost)
        order.left(*flow, tags[flow], cost)
    return flows[min(flows, key=lambda flow: (tags[flow], flow[1]))]


def take_best_place(waiting: Call, member: Call) -> None:
    """A batch that waits for its turn gets the place that a new member would get, if that is a better one.

    From then on it waits in that member's name: the flow of the member (its tenant and priority) pays.
    """
    old, new = waiting.options, member.options
    if waiting.waiter is None or (new.tenant == old.tenant and new.priority == old.priority):
        return
    assert waiting.tag is not None
    endpoint, cost = waiting.endpoint, waiting.cost
    tag = endpoint.order.enter(new.tenant, new.priority, cost)
    if tag >= waiting.tag:
        endpoint.order.left(new.tenant, new.priority, tag, cost)
        return
    endpoint.order.left(old.tenant, old.priority, waiting.tag, cost)
    waiting.options = replace(old, tenant=new.tenant, priority=new.priority)
    waiting.tag = tag
    endpoint.queue.move(waiting)
    endpoint.worker.kick()


def settle(items: Sequence[Item], error: AsyncAPIError, cause: BaseException | None = None) -> None:
    """Each member gets an error of its own: one raised twice would carry the other's traceback."""
    for item in items:
        if not item.future.done():
            own = error if len(items) == 1 else error.copy()
            own.__cause__ = cause or error.__cause__
            item.future.set_exception(own)


def closed(items: Sequence[Item]) -> AsyncAPIError:
    """What members of a batch get that was cancelled from outside: the truth about what was sent."""
    if any(item.call.attempts for item in items):
        message = "the client was closed while the batch was under way"
        return ConnectionLostError(message, sent=True, retryable=False)
    return ClientClosedError("the client was closed while the batch waited: nothing was sent")
