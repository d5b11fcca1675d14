"""Gathers compatible calls into one, and shares the answer out again.

A batch is a call of its own: it takes one place in the queue and one lease. It stays open until its turn
comes, so that calls are gathered exactly while they would have to wait anyway: on an idle endpoint for
one turn of the loop, on a busy one until a permit is free or the batch is full. Where the service could
take it but calls come fast, it may be held for company for up to ``Batch.wait``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from functools import partial
from typing import TYPE_CHECKING

from asyncapi._core.batches import Group, Item, closed, settle, take_best_place
from asyncapi._core.call import Call, Options
from asyncapi._core.perform import attempts
from asyncapi._core.sender import Sender, whole
from asyncapi.config import Batch
from asyncapi.errors import AsyncAPIError, ClientClosedError
from asyncapi.policies.batching import STRATEGIES, AdaptiveWait, Sizes, Wait
from asyncapi.types.requests import NativeRequest, Priority, Request
from asyncapi.types.responses import NativeResponse, Response
from asyncapi.types.wire import BatchLimit

if TYPE_CHECKING:
    from asyncapi._core.endpoint import Endpoint

__all__ = ["Batcher"]

#: The rates of so many kinds of calls (same operation, model and parameters) are remembered.
_MOST_WAITS = 256


class Batcher:
    """The micro-batcher of one endpoint: here calls are gathered, in ``Sender`` they are sent.

    State: the ``_open`` groups that still gather, by operation and compatibility key; the ``_waits`` that
    know how fast calls of one key come; the ``sizes`` of what the service takes, and whether it was
    ``_asked`` for them.
    """

    def __init__(self, endpoint: Endpoint, settings: Batch) -> None:
        self._endpoint = endpoint
        self._settings = settings
        self._limits = endpoint.backend.service.batches if settings.size > 1 else {}
        self.sizes = Sizes(self._limits)
        self._open: dict[Hashable, Group] = {}
        self._waits: dict[Hashable, Wait] = {}
        self._asked = endpoint.backend.service.batch_size_from is None
        self._sender = Sender(endpoint, self.sizes, self._seal)

    def takes(self, request: Request) -> bool:
        """Whether this kind of request is gathered here."""
        return request.operation in self._limits

    async def submit(self, call: Call) -> Response:
        """The answer to one member's request. Cancelling it leaves the others as they are.

        A request larger than the service takes is cut into pieces that travel apart.
        """
        if not self._asked:
            self._asked = True
            self._endpoint.tasks.start(self._ask(call.id), f"asyncapi batch size {self._endpoint.name}")
        request = call.request
        limit = self.sizes.limit(request.operation, request.model)
        strategy = STRATEGIES[limit.strategy or request.operation]
        key = strategy.key(request)
        pieces = strategy.pieces(request, limit.items, _least(limit.chars, limit.bytes))
        if key is None and len(pieces) == 1:
            # It travels alone: in its own task, like any call.
            return whole(call, await self._endpoint.attempts(call), strategy.items(request), strategy)
        place = None if key is None else _company(call, key)
        items = [Item(call, piece, strategy) for piece in pieces]
        for item in items:
            self._place(item, place, limit)
        try:
            if len(items) == 1:
                return await items[0].future
            # The first piece to fail ends the call; it would gain nothing from the others.
            answers = await asyncio.gather(*(item.future for item in items))
        finally:
            for item in items:
                _withdraw(item)
        return strategy.join(request, answers)

    def flush(self, reason: str = "drain") -> None:
        """What is held for company goes now."""
        for group in list(self._open.values()):
            if group.timer is not None:
                self._go(group, reason)

    def drop(self, error: AsyncAPIError) -> None:
        """Whoever still gathers gets ``error``."""
        for group in list(self._open.values()):
            settle(group.items, error)
            group.stop_timer()
        self._open.clear()

    async def _ask(self, call_id: str) -> None:
        """How many items this server takes at once. The row's number holds until it has said so."""
        assert self._endpoint.backend.service.batch_size_from is not None
        action, field = self._endpoint.backend.service.batch_size_from
        request = NativeRequest(model="", action=action)
        call = Call(self._endpoint, request, Options(priority=Priority.HIGH), call_id)
        try:
            with self._endpoint.deadlines.within(call.deadline):
                response = await attempts(call)
        except (AsyncAPIError, TimeoutError):
            return
        told = response.result if isinstance(response, NativeResponse) else None
        items = told.get(field) if isinstance(told, dict) else None
        if isinstance(items, int) and items >= 1:
            self.sizes.told(items)

    # --- gathering ----------------------------------------------------------------------------

    def _place(self, item: Item, key: Hashable | None, limit: BatchLimit) -> None:
        """Into the open group of its kind, if there is one with room, else into a new one."""
        if self._endpoint.closed:
            raise ClientClosedError("the client is closed: nothing was sent")
        if key is None:
            self._join(Group(None), item, "alone")
            return
        most, chars = min(self._settings.size, limit.items), _least(limit.chars, limit.bytes)
        group = self._open.get(key)
        if group is not None and (
            group.size + item.size > most or (chars is not None and group.chars + item.chars > chars)
        ):
            self._go(group, "full")
            group = None
        if group is None:
            group = Group(key, wait=self._wait(key))
            if item.size < most:
                self._open[key] = group
        self._join(group, item, "full" if group.size + item.size >= most else "")
        assert group.wait is not None
        group.wait.arrived(item.joined or 0.0)
        if group.task is None and group.timer is None:
            self._hold(group, group.wait, most - group.size)

    def _join(self, group: Group, item: Item, reason: str) -> None:
        fresh = not group.items
        group.add(item)
        item.future.add_done_callback(partial(self._item_done, group, item))
        if group.call is not None:
            self._come_along(group.call, item)
        if reason:
            self._go(group, reason)
        elif not fresh and group.timer is not None:
            self._no_later(group, item.call)

    def _come_along(self, waiting: Call, item: Item) -> None:
        """Into a batch that waits for its turn already."""
        item.enter_batch(waiting)
        member = item.call
        if waiting.deadline is not None:
            waiting.deadline = None if member.deadline is None else max(waiting.deadline, member.deadline)
        take_best_place(waiting, member)

    def _item_done(self, group: Group, item: Item, future: asyncio.Future[Response]) -> None:
        """A batch is cancelled when its last member is, whatever became of the others."""
        group.wanted -= 1
        if not future.cancelled():
            return
        gathers = self._open.get(group.key) is group
        if gathers:
            group.forget(item)
        if group.wanted:
            return
        if group.task is not None:
            group.task.cancel()
        if gathers:
            self._seal(group)

    # --- when a group goes --------------------------------------------------------------------

    def _hold(self, group: Group, wait: Wait, room: int) -> None:
        """A new group goes at once, to its turn or to the queue, or is held for company for a moment."""
        endpoint = self._endpoint
        permits = endpoint.semaphore
        hold = wait.hold(room, permits.in_flight / permits.limit.value) if endpoint.idle else 0.0
        if not hold:
            self._go(group, "idle")
            return
        group.due = endpoint.clock() + hold
        group.timer = asyncio.get_running_loop().call_later(hold, self._go, group, "wait")
        self._no_later(group, group.items[0].call)

    def _wait(self, key: Hashable) -> Wait:
        wait = self._waits.get(key)
        if wait is None:
            if len(self._waits) >= _MOST_WAITS:
                del self._waits[next(iter(self._waits))]
            wait = self._waits[key] = AdaptiveWait(self._settings.wait)
        return wait

    def _no_later(self, group: Group, member: Call) -> None:
        """What is urgent is not held, and nothing is held until a member's deadline can't be met."""
        endpoint = self._endpoint
        if member.options.priority is Priority.HIGH:
            self._go(group, "urgent")
        elif member.deadline is not None and member.deadline - endpoint.typical_s < group.due:
            group.stop_timer()
            group.due = member.deadline - endpoint.typical_s
            delay = max(0.0, group.due - endpoint.clock())
            group.timer = asyncio.get_running_loop().call_later(delay, self._go, group, "urgent")

    def _go(self, group: Group, reason: str) -> None:
        """To the service, through the queue. It stays open until its turn comes, unless it is full."""
        group.stop_timer()
        if reason == "full" or group.task is None:
            group.reason = reason
        if reason == "full":
            self._seal(group)
        if group.task is None:
            name = f"asyncapi batch {self._endpoint.name}"
            group.task = self._endpoint.tasks.start(self._sender.run(group), name)
            group.task.add_done_callback(partial(self._ended, group))

    def _ended(self, group: Group, task: asyncio.Task[None]) -> None:
        """Nobody is left without an end, also where the task was cancelled before its first step."""
        self._seal(group)
        if left := group.alive():
            for item in left:
                item.leave_batch()
            error = None if task.cancelled() else task.exception()
            told = closed(left) if error is None else AsyncAPIError(f"the batch failed: {error!r}")
            settle(left, told, error)
        if self._open and not self._endpoint.semaphore.in_flight:
            self.flush("idle")  # nothing is under way any more: holding others would gain nothing

    def _seal(self, group: Group) -> None:
        """It gathers no more."""
        group.stop_timer()
        if self._open.get(group.key) is group:
            del self._open[group.key]


def _company(call: Call, key: Hashable) -> Hashable:
    """Equal for calls that may travel together: also their key, their patience and their user's keys, and
    whether and how they are hedged.
    """
    options, timeout, user = call.options, call.timeout, call.options.user
    if user is not None and not any(user in one.users for one in call.endpoint.keys.keys):
        user = None
    patience = (call.on_open, call.patient, timeout.connect, timeout.first_byte)
    copies = (options.idempotent, call.plan and call.plan.hedger)
    return (call.request.operation, options.key, user, patience, copies, key)


def _withdraw(item: Item) -> None:
    """The member is gone: what it still waits for is not wanted."""
    item.leave_batch()  # what its caller is told depends on what was sent
    if not item.future.done():
        item.future.cancel()
    elif not item.future.cancelled():
        item.future.exception()  # seen: another piece's error may have come first


def _least(one: int | None, other: int | None) -> int | None:
    """The smaller of two bounds, of which either may be missing."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
