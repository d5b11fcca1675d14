"""Gathers compatible calls into one, and shares the answer out again.

A batch is a call of its own: it takes one place in the queue and one lease. It flushes when it is
full, when its first member has waited for ``Batch.wait``, or on the loop's next turn while the
endpoint is idle: where nothing is under way, waiting for company gains nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from asyncapi._core.call import Call, Options
from asyncapi._core.perform import attempts, deadline_error
from asyncapi.config import Batch
from asyncapi.errors import (
    AsyncAPIError,
    ClientClosedError,
    ConfigError,
    ConnectionLostError,
    DecodeError,
    InvalidRequestError,
)
from asyncapi.policies.batching import STRATEGIES, Batching
from asyncapi.types.events import BatchFlushed
from asyncapi.types.requests import NativeRequest, Priority, Request
from asyncapi.types.responses import NativeResponse, Response

if TYPE_CHECKING:
    from asyncapi._core.endpoint import Endpoint

__all__ = ["Batcher"]


class _Item:
    """One request in a batch.

    State: its ``future``, cancelled when its caller is, and the ``batch`` that is under way with it.
    """

    __slots__ = ("batch", "call", "future", "request")

    def __init__(self, call: Call, request: Request) -> None:
        self.call = call
        self.request = request
        self.batch: Call | None = None
        self.future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def leave_batch(self) -> None:
        """What the batch went through, its member went through: told once, when either of them ends."""
        member, batch, self.batch = self.call, self.batch, None
        if batch is None:
            return
        member.wire = batch.wire
        member.attempts += batch.attempts
        member.ended += batch.ended
        member.last_error = batch.last_error and batch.last_error.copy()
        member.key = batch.key
        member.queue_s += batch.queue_s
        member.service_s = batch.service_s


class _Group:
    """Items that travel together.

    State: ``items``, their ``size`` and ``chars``, how many are still ``wanted``; the ``timer`` until
    flushed, then the ``task``.
    """

    def __init__(self, key: Hashable | None) -> None:
        self.key = key
        self.items: list[_Item] = []
        self.size = 0
        self.chars = 0
        self.timer: asyncio.Handle | None = None
        self.task: asyncio.Task[None] | None = None
        self.wanted = 0


class Batcher:
    """The micro-batcher of one endpoint.

    State: the ``_open`` groups that still gather, by operation and compatibility key; the ``_limits`` of
    what the service takes, and whether it was ``_asked`` for them.
    """

    def __init__(self, endpoint: Endpoint, settings: Batch) -> None:
        self._endpoint = endpoint
        self._settings = settings
        self._limits = endpoint.backend.service.batches if settings.size > 1 else {}
        self._open: dict[Hashable, _Group] = {}
        self._asked = endpoint.backend.service.batch_size_from is None

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
        limit = self._limits[call.request.operation]
        strategy = STRATEGIES[call.request.operation]
        key = strategy.key(call.request)
        pieces = strategy.pieces(call.request, limit.items, limit.chars)
        if key is None and len(pieces) == 1:
            # It travels alone: in its own task, like any call.
            return self._whole(await attempts(call), strategy.items(call.request), strategy)
        items = [_Item(call, piece) for piece in pieces]
        for item in items:
            self._place(
                item, strategy, None if key is None else (call.request.operation, call.options.key, key)
            )
        try:
            if len(items) == 1:
                return await items[0].future
            # The first piece to fail ends the call; it would gain nothing from the others.
            answers = await asyncio.gather(*(item.future for item in items))
        finally:
            for item in items:
                self._withdraw(item)
        return strategy.join(answers)

    def flush(self) -> None:
        """Whoever still gathers goes now."""
        for key in list(self._open):
            self._close(key, "drain")

    def drop(self, error: AsyncAPIError) -> None:
        """Whoever still gathers gets ``error``."""
        for group in list(self._open.values()):
            self._settle(group.items, error)
            if group.timer is not None:
                group.timer.cancel()
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
            self._limits = {op: replace(limit, items=items) for op, limit in self._limits.items()}

    # --- gathering ----------------------------------------------------------------------------

    def _place(self, item: _Item, strategy: Batching, key: Hashable | None) -> None:
        if self._endpoint.closed:
            raise ClientClosedError("the client is closed: nothing was sent")
        size, chars = strategy.items(item.request), strategy.chars(item.request)
        if key is None:
            group = _Group(None)
            self._join(group, item)
            self._flush(group, "alone")
            return
        limit = self._limits[item.request.operation]
        most = min(self._settings.size, limit.items)
        group = self._open.get(key) or _Group(key)
        if group.items and (
            group.size + size > most or (limit.chars is not None and group.chars + chars > limit.chars)
        ):
            self._close(key, "full")
            group = _Group(key)
        if not group.items:
            self._open[key] = group
            self._schedule(key, group)
        self._join(group, item)
        group.size += size
        group.chars += chars
        if group.size >= most:
            self._close(key, "full")

    def _join(self, group: _Group, item: _Item) -> None:
        group.items.append(item)
        group.wanted += 1
        item.future.add_done_callback(partial(self._item_done, group))

    def _item_done(self, group: _Group, future: asyncio.Future[Response]) -> None:
        """A batch is cancelled when its last member is, whatever became of the others."""
        group.wanted -= 1
        if group.wanted or not future.cancelled():
            return
        if group.task is not None:
            group.task.cancel()
        elif self._open.get(group.key) is group:
            self._close(group.key, "")  # it has nobody left to send

    def _schedule(self, key: Hashable, group: _Group) -> None:
        loop = asyncio.get_running_loop()
        if self._endpoint.idle:
            group.timer = loop.call_soon(self._close, key, "idle")
        else:
            group.timer = loop.call_later(self._settings.wait, self._close, key, "wait")

    def _close(self, key: Hashable, reason: str) -> None:
        """The group gathers no more: it goes."""
        group = self._open.pop(key)
        if group.timer is not None:
            group.timer.cancel()
        group.items = [item for item in group.items if not item.future.done()]
        if group.items:
            self._flush(group, reason)

    def _flush(self, group: _Group, reason: str) -> None:
        request = group.items[0].request
        self._endpoint.emit(
            BatchFlushed(
                endpoint=self._endpoint.name,
                operation=request.operation,
                model=request.model,
                items=len(group.items),
                reason=reason,
            )
        )
        group.task = self._endpoint.tasks.start(self._run(group), f"asyncapi batch {self._endpoint.name}")

    def _withdraw(self, item: _Item) -> None:
        """The member is gone: what it still waits for is not wanted."""
        item.leave_batch()  # what its caller is told depends on what was sent
        if not item.future.done():
            item.future.cancel()
        elif not item.future.cancelled():
            item.future.exception()  # seen: another piece's error may have come first

    # --- sending ------------------------------------------------------------------------------

    async def _run(self, group: _Group) -> None:
        try:
            await self._send(group.items)
        except asyncio.CancelledError:
            self._settle(group.items, _closed(group.items))
            raise
        except BaseException as error:
            self._settle(group.items, AsyncAPIError(f"the batch failed: {error!r}"), error)
            raise

    async def _send(self, items: Sequence[_Item]) -> None:
        """One request for these items; if it is at fault, halves, so that a bad item fails alone."""
        items = [item for item in items if not item.future.done()]
        if not items:
            return
        strategy = STRATEGIES[items[0].request.operation]
        try:
            response = await self._attempt(items, strategy)
            answers = strategy.split(response, [item.request for item in items])
        except (InvalidRequestError, ConfigError) as error:
            if len(items) == 1:
                self._settle(items, error)
                return
            half = len(items) // 2
            async with asyncio.TaskGroup() as halves:
                for part in (items[:half], items[half:]):
                    halves.create_task(self._send(part))
        except AsyncAPIError as error:
            self._settle(items, error)
        else:
            for item, answer in zip(items, answers, strict=True):
                if not item.future.done():
                    item.future.set_result(answer)

    async def _attempt(self, items: Sequence[_Item], strategy: Batching) -> Response:
        """The merged call, as urgent as its most urgent member and as patient as its most patient."""
        calls = [item.call for item in items]
        merged = strategy.merge([item.request for item in items])
        first = calls[0]
        options = Options(
            priority=min(call.options.priority for call in calls),
            timeout=first.timeout,
            key=first.options.key,
            user=first.options.user,
            tenant=first.options.tenant,
            session=first.options.session,
            on_open="wait" if any(call.on_open == "wait" for call in calls) else "fail",
        )
        call = Call(self._endpoint, merged, options, first.id)
        deadlines = [member.deadline for member in calls]
        call.deadline = None if None in deadlines else max(d for d in deadlines if d is not None)
        for item in items:
            item.batch = call
        try:
            with self._endpoint.deadlines.within(call.deadline) as deadline:
                response = await attempts(call)
        except TimeoutError as error:
            raise (deadline_error(call) if deadline.expired else error) from error
        finally:
            for item in items:
                item.leave_batch()
        return self._whole(response, sum(strategy.items(item.request) for item in items), strategy)

    def _whole(self, response: Response, wanted: int, strategy: Batching) -> Response:
        """The response, if it answers every item."""
        if (got := strategy.answers(response)) != wanted:
            raise DecodeError(f"{self._endpoint.name} answered {got} items for {wanted}")
        return response

    @staticmethod
    def _settle(items: Sequence[_Item], error: AsyncAPIError, cause: BaseException | None = None) -> None:
        """Each member gets an error of its own: one raised twice would carry the other's traceback."""
        for item in items:
            if not item.future.done():
                own = error if len(items) == 1 else error.copy()
                own.__cause__ = cause or error.__cause__
                item.future.set_exception(own)


def _closed(items: Sequence[_Item]) -> AsyncAPIError:
    """What members of a batch get that was cancelled from outside: the truth about what was sent."""
    if any(item.call.attempts for item in items):
        message = "the client was closed while the batch was under way"
        return ConnectionLostError(message, sent=True, retryable=False)
    return ClientClosedError("the client was closed while the batch waited: nothing was sent")
