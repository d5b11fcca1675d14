"""Sends what the batcher has gathered, in halves where the service refuses the whole, and shares it out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from asyncapi._core.batches import Group, Item, foremost, settle
from asyncapi._core.call import Call, Options
from asyncapi._core.lease import Lease
from asyncapi._core.metering import resize
from asyncapi._core.settling import failed
from asyncapi.errors import AsyncAPIError, ConfigError, DecodeError, InvalidRequestError
from asyncapi.policies.batching import Batching, Sizes, too_large
from asyncapi.policies.verdict import IGNORED
from asyncapi.types.events import BatchFlushed
from asyncapi.types.responses import Response

if TYPE_CHECKING:
    from asyncapi._core.endpoint import Endpoint

__all__ = ["Sender", "whole"]


class _Unsent(AsyncAPIError):
    """More than the service is known to take by now: it goes in halves without being sent."""


class Sender:
    """Takes groups through the queue, and gives each member its own answer.

    Args:
        endpoint: Where to.
        sizes: Learns what the service takes.
        seal: Called when a group's turn has come: it gathers no more.
    """

    def __init__(self, endpoint: Endpoint, sizes: Sizes, seal: Callable[[Group], None]) -> None:
        self._endpoint = endpoint
        self._sizes = sizes
        self._seal = seal

    async def run(self, group: Group) -> None:
        """The whole way of a group: an answer or an error for each of its members."""
        try:
            if items := group.alive():
                call = group.call = self._call(items)
                for item in items:
                    item.enter_batch(call)
                await self._travel(group, call)
        finally:
            self._seal(group)  # before anybody else runs: who came now would be lost

    async def _travel(self, group: Group, call: Call) -> bool:
        """One request for these items, or several; whether everybody got an answer."""
        try:
            lease = await self._endpoint.acquire(call)
        except AsyncAPIError as error:
            return self._end(group.alive(), error)
        self._seal(group)
        items = group.alive()
        self._leave_queue(group, call, items)
        if not items:
            self._endpoint.settle(lease, IGNORED)
            return False
        strategy = items[0].strategy
        try:
            self._encode(call, lease, items, strategy)
            response = await self._endpoint.attempts(call, lease)
            answers = self._shares(response, call, items, strategy)
        except (InvalidRequestError, ConfigError, _Unsent) as error:
            return await self._refused(items, call, error)
        except AsyncAPIError as error:
            return self._end(items, error)
        self._share_out(items, call, answers)
        return True

    def _call(self, items: Sequence[Item], before: Call | None = None) -> Call:
        """The call that takes them along.

        Everybody's key, patience, time to the first byte and way of hedging are the same: calls that differ
        there don't travel together. ``before`` was refused: what follows it keeps its place.
        """
        first = foremost(items)
        options = Options(
            priority=first.options.priority,
            timeout=first.timeout,
            key=first.options.key,
            user=first.options.user,
            tenant=first.options.tenant,
            session=first.options.session,
            idempotent=first.options.idempotent,
            on_open=first.on_open,
        )
        call = Call(self._endpoint, items[0].request, options, items[0].call.id)
        call.patient = first.patient
        call.plan = first.plan
        deadlines = [item.call.deadline for item in items]
        call.deadline = None if None in deadlines else max(d for d in deadlines if d is not None)
        if before is not None:
            call.tag = before.tag
            # Another attempt, whether or not the first one was sent: admitted once, it stays admitted.
            call.attempts = call.ended = max(1, before.attempts)
        return call

    def _leave_queue(self, group: Group, call: Call, items: Sequence[Item]) -> None:
        """Its turn has come: each member's own wait is over."""
        now, joined = self._endpoint.clock(), call.entered
        waited, call.queue_s = call.queue_s, 0.0
        for item in items:
            if item.joined is None:
                item.call.queue_s += waited  # a half of what was refused has waited again
            joined = min(joined, item.joined or joined)
            item.wait_over(now)
        if not items or group.reason == "half":
            return
        if waited:
            _each_pays(call, items)
        request = items[0].request
        turn = waited > 0.0 and group.reason in ("idle", "wait", "urgent", "drain")
        self._endpoint.emit(
            BatchFlushed(
                endpoint=self._endpoint.name,
                operation=request.operation,
                model=request.model,
                items=len(items),
                reason="turn" if turn else group.reason,
                size=sum(item.size for item in items),
                waited_s=now - joined,
            )
        )

    def _encode(self, call: Call, lease: Lease, items: Sequence[Item], strategy: Batching) -> None:
        """The merged request, if the service takes as much as that."""
        try:
            merged = strategy.merge([item.request for item in items])
            call.request = merged
            first = items[0].request  # a merged one may be of another kind
            limit = self._sizes.limit(first.operation, first.model)
            if len(items) > 1 and sum(item.size for item in items) > limit.items:
                raise _Unsent("more items than the service takes")
            call.wire = self._endpoint.backend.encode(merged)
            if len(items) > 1 and limit.bytes is not None and len(call.wire.body or b"") > limit.bytes:
                raise _Unsent("more bytes than the service takes")
            resize(lease, self._endpoint.clock())
        except BaseException as error:
            failed(lease, error)
            raise

    # --- refused ------------------------------------------------------------------------------

    async def _refused(self, items: Sequence[Item], call: Call, error: AsyncAPIError) -> bool:
        """Halves, so that a bad item fails alone and a batch that was too large fails nobody."""
        size, measure = sum(item.size for item in items), too_large(error)
        if measure:
            self._learn(items, call, measure)
        if len(items) == 1:
            return await self._cut(items[0], call, error) if measure and size > 1 else self._end(items, error)
        self._leave(items)
        half = len(items) // 2
        everybody = await self._halves([items[:half], items[half:]], call)
        if everybody and not measure and isinstance(error, InvalidRequestError):
            # Nothing was wrong with any of them: together they were too much.
            self._learn(items, call, "items")
        return everybody

    def _learn(self, items: Sequence[Item], call: Call, measure: str) -> None:
        request, body = items[0].request, call.wire and call.wire.body
        amount = len(body or b"") if measure == "bytes" else sum(item.size for item in items)
        self._sizes.refused(request.operation, request.model, measure, amount)

    async def _halves(self, parts: Sequence[Sequence[Item]], call: Call) -> bool:
        async with asyncio.TaskGroup() as tasks:
            halves = [tasks.create_task(self._half(part, call)) for part in parts]
        return all(half.result() for half in halves)

    async def _half(self, items: Sequence[Item], before: Call) -> bool:
        group = Group(None, "half")
        for item in items:
            group.add(item)
        items = group.alive()
        if not items:
            return False
        call = self._call(items, before)
        for item in items:
            item.enter_batch(call)
        return await self._travel(group, call)

    async def _cut(self, item: Item, call: Call, error: AsyncAPIError) -> bool:
        """One caller's list that is too long for the service goes in pieces, too."""
        strategy = item.strategy
        pieces = strategy.pieces(item.request, item.size // 2, None)
        if len(pieces) == 1:
            return self._end([item], error)
        self._leave([item])
        parts = [Item(item.call, piece, strategy) for piece in pieces]
        for part in parts:
            part.wait_over(item.call.endpoint.clock())
        everybody = await self._halves([[part] for part in parts], call)
        errors = [e for part in parts if isinstance(e := part.future.exception(), AsyncAPIError)]
        if not everybody:
            return self._end([item], errors[0] if errors else error)
        if not item.future.done():
            item.future.set_result(strategy.join(item.request, [part.future.result() for part in parts]))
        return True

    # --- sharing out --------------------------------------------------------------------------

    def _shares(
        self, response: Response, call: Call, items: Sequence[Item], strategy: Batching
    ) -> Sequence[Response | AsyncAPIError]:
        """Each item's own answer."""
        wanted = sum(item.size for item in items)
        return strategy.split(whole(call, response, wanted, strategy), [item.request for item in items])

    def _share_out(
        self, items: Sequence[Item], call: Call, answers: Sequence[Response | AsyncAPIError]
    ) -> None:
        request, body = items[0].request, call.wire and call.wire.body
        size = sum(item.size for item in items)
        self._sizes.accepted(request.operation, request.model, size, len(body or b""))
        self._leave(items)
        for item, answer in zip(items, answers, strict=True):
            if item.future.done():
                continue
            if isinstance(answer, AsyncAPIError):
                item.future.set_exception(answer)
            else:
                item.future.set_result(answer)

    def _end(self, items: Sequence[Item], error: AsyncAPIError) -> bool:
        self._leave(items)
        settle(items, error)
        return False

    @staticmethod
    def _leave(items: Sequence[Item]) -> None:
        for item in items:
            item.leave_batch()


def _each_pays(call: Call, items: Sequence[Item]) -> None:
    """The flow in whose name the batch waited has paid for one member; every other pays for its own."""
    flows = [(item.call.options.tenant, item.call.options.priority) for item in items]
    paid = (call.options.tenant, call.options.priority)
    if paid in flows:
        flows.remove(paid)
    for tenant, priority in flows:
        call.endpoint.order.grew(tenant, priority, 1.0)


def whole(call: Call, response: Response, wanted: int, strategy: Batching) -> Response:
    """The response, if it answers every item."""
    if (got := strategy.answers(call.request, response)) != wanted:
        raise DecodeError(f"{call.endpoint.name} answered {got} items for {wanted}")
    return response
