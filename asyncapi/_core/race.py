"""A call and its copy, of which the first to answer ends the other.

The call runs in its caller's task. To end it, the copy cancels that task and the race takes the cancellation
back, as ``asyncio.timeout`` does it; a cancellation by anybody else stays one, and ends both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from asyncapi._core.admission import decide
from asyncapi._core.call import Call
from asyncapi._core.lease import Lease
from asyncapi.errors import AsyncAPIError
from asyncapi.policies.routing import may_move
from asyncapi.types.events import HedgeEnded, HedgeSent
from asyncapi.types.responses import Response
from asyncapi.types.usage import Usage

if TYPE_CHECKING:
    from asyncapi._core.hedging import Plan

__all__ = ["Race"]

T = TypeVar("T")


class Race(Generic[T]):
    """One call and its copy.

    State: the ``_owner``, whose task the call runs in, with the cancellations that it had ``_before``;
    whether the call is ``_running``; the ``_lease`` of its attempt under way, and the ``_timer`` from its
    sending; the ``_task`` of the copy, and the ``_copy`` once it is sent; its ``_answers`` (none or one);
    whether the owner was ``_struck``, cancelled because of the copy's answer.
    """

    def __init__(
        self,
        call: Call,
        plan: Plan,
        after: float,
        send: Callable[[Lease], Awaitable[T]],
        drop: Callable[[T], None],
    ) -> None:
        self._call = call
        self._plan = plan
        self._after = after
        self._send = send
        self._drop = drop
        self._owner: asyncio.Task[object] | None = None
        self._before = 0
        self._running = False
        self._lease: Lease | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._copy: Call | None = None
        self._task: asyncio.Task[None] | None = None
        self._answers: list[T] = []
        self._struck = False

    async def run(self, primary: Awaitable[T]) -> T:
        """The first answer. When it is there, or nobody wants one, neither call nor copy is left."""
        owner = self._owner = asyncio.current_task()
        assert owner is not None
        self._before = owner.cancelling()
        self._call.race = self
        self._running = True
        usage: Usage | None = None
        won = False
        try:
            try:
                answer = await primary
            except asyncio.CancelledError:
                if not self._struck or owner.uncancel() > self._before:
                    raise  # somebody else ended the call
                won, answer = True, self._take()
            except AsyncAPIError as error:
                self._stop()
                if self._struck:
                    owner.uncancel()
                if self._task is None or not may_move(error):
                    raise
                await asyncio.wait([self._task])  # its copy may still get an answer
                if not self._answers:
                    raise
                won, answer = True, self._take()
            else:
                if self._struck:
                    owner.uncancel()
            usage = answer.usage if isinstance(answer, Response) else None
            return answer
        finally:
            self._stop()
            await self._end_copy(won, usage)

    def sent(self, lease: Lease) -> None:
        """An attempt of the call is being sent: from now on it can be late."""
        self._lease = lease
        if self._task is None:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(self._after, self._late)

    def _late(self) -> None:
        self._timer = None
        assert self._lease is not None
        if self._lease.released:
            return  # it failed in time; the next attempt is watched again
        copy = self._plan.copy(self._call, self._lease)
        if copy is None or not self._plan.hedger.fits(copy.endpoint):
            return
        copy.deadline = self._call.deadline
        self._task = copy.endpoint.tasks.start(self._run(copy), f"asyncapi hedge {copy.endpoint.name}")

    async def _run(self, copy: Call) -> None:
        """The copy, in a task of its own."""
        call, endpoint, hedger = self._call, copy.endpoint, self._plan.hedger
        if copy.wire is None:
            try:
                copy.wire = endpoint.backend.encode(copy.request)
            except AsyncAPIError:
                return  # it can't be asked there
        lease = decide(endpoint, copy, endpoint.clock()) if hedger.fits(endpoint) else None
        if type(lease) is not Lease:
            return
        hedger.budget.withdraw()
        endpoint.budget.withdraw()
        self._copy = copy
        copy.attempts = call.attempts  # its number follows: both count as sent
        call.attempts += 1
        self._tell_sent(copy)
        try:
            answer = await self._send(lease)
        except AsyncAPIError:
            return  # settled; the call itself goes on
        self._answers.append(answer)
        if self._running:
            self._struck = True
            assert self._owner is not None
            self._owner.cancel()

    def _take(self) -> T:
        """The copy's answer is the call's: who served it, and how, is told of the copy."""
        call, copy = self._call, self._copy
        assert copy is not None
        if self._lease is not None and self._struck:
            self._learn(self._lease)
        call.endpoint = copy.endpoint
        call.request = copy.request
        call.wire = copy.wire
        call.key = copy.key
        call.tokens = copy.tokens
        call.service_s = copy.service_s
        call.first_token_s = copy.first_token_s
        return self._answers.pop()

    def _learn(self, lease: Lease) -> None:
        """What was not waited for took at least so long; without it, the usual would seem ever shorter."""
        endpoint = self._call.endpoint
        if endpoint.learner is not None and endpoint.learner.times is not None:
            endpoint.learner.times.add(self._call.request, endpoint.clock() - lease.granted)

    def _stop(self) -> None:
        """The call has ended: no copy is sent any more."""
        self._call.race = None
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _end_copy(self, won: bool, usage: Usage | None) -> None:
        """Cancel the copy and wait until it is gone, whoever cancels meanwhile."""
        task, copy = self._task, self._copy
        if task is None:
            return
        task.cancel()
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
        while self._answers:
            self._drop(self._answers.pop())  # both answered in the same turn
        if copy is not None:
            self._call.ended += copy.ended
            self._tell_ended(copy, won, usage)
        if cancelled is not None:
            raise cancelled

    # --- telling ------------------------------------------------------------------------------

    def _tell_sent(self, copy: Call) -> None:
        call, home = self._call, self._call.home
        home.emit(
            HedgeSent(
                endpoint=home.name,
                request_id=call.id,
                attempt=call.attempts,
                to=copy.endpoint.name,
                key=copy.key,
                after_s=self._after,
            )
        )

    def _tell_ended(self, copy: Call, won: bool, usage: Usage | None) -> None:
        home = self._call.home
        home.emit(
            HedgeEnded(
                endpoint=home.name,
                request_id=copy.id,
                to=copy.endpoint.name,
                won=won,
                input_tokens=usage.input_tokens if usage is not None else None,
            )
        )
