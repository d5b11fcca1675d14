"""One coroutine per endpoint: decides who goes next, and when. It does no call's work."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from asyncapi._core import refusals
from asyncapi._core.admission import BEHIND, Wait, decide
from asyncapi._core.lease import Lease
from asyncapi._core.refusals import SPARE
from asyncapi.errors import AsyncAPIError, NotSentError
from asyncapi.policies.verdict import IGNORED
from asyncapi.types.requests import Priority

if TYPE_CHECKING:
    from asyncapi._core.call import Call
    from asyncapi._core.endpoint import Endpoint

__all__ = ["Worker"]


class Worker:
    """Grants leases to the head of the queue.

    State: its ``_task`` (started when the first call has to wait), and the ``_pause`` that it sleeps
    on while nobody waits or the head can't go, until it ``_wakes`` by itself (clock seconds).
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._task: asyncio.Task[None] | None = None
        self._pause: asyncio.Future[None] | None = None
        self._wakes = math.inf

    def kick(self) -> None:
        """Something was released, added or changed: look again."""
        if self._pause is not None:
            if not self._pause.done():
                self._pause.set_result(None)
        elif self._task is None and not self._endpoint.queue.empty():
            self._task = self._endpoint.tasks.start(
                self.run(), f"asyncapi worker {self._endpoint.name}", self._crashed
            )

    async def run(self) -> None:
        """For ever: the smallest start tag gets the next lease, all or nothing.

        The head stays in the queue until it is granted, so that whatever happens meanwhile finds it there.
        """
        endpoint, queue = self._endpoint, self._endpoint.queue
        overdue = endpoint.shed == "overdue"
        wake = math.inf  # when the first of those set aside may go
        while True:
            nobody = queue.empty()
            if nobody:
                endpoint.throughput.paused()
            if nobody or endpoint.semaphore.locked():
                if wake < math.inf:
                    self._bring_back()
                await self._sleep(wake - endpoint.clock())
                wake = math.inf
                continue
            call, now = queue.head(), endpoint.clock()
            late = call.deadline is not None and call.deadline - now < SPARE * endpoint.typical_s
            if (late or overdue) and self._let_go(call, now):
                continue
            decision = decide(endpoint, call, now, endpoint.pace is not None and not endpoint.paced)
            if type(decision) is Lease:
                self._grant(call, now, decision)
            elif not call.waiting:
                continue  # a probe hung, the breaker opened on being asked, and refused it
            elif type(decision) is not Wait:
                endpoint.reject(call, endpoint.refused(call, decision))
            elif decision.station == "key" and (call.choosy or queue.picky):
                # Others may go with other keys meanwhile, but not with those that it waits for.
                endpoint.keys.hold(now, decision.seconds, call.options.key, call.options.user)
                queue.set_aside()
                wake = min(wake, now + decision.seconds)
            else:
                hurried = decision is BEHIND  # only the pace is in its way
                if wake < math.inf:
                    self._bring_back()
                await (self._next_pace() if hurried else self._sleep(min(decision.seconds, wake - now)))
                wake = math.inf

    def _grant(self, call: Call, now: float, lease: Lease) -> None:
        """The head leaves the queue with its lease."""
        endpoint, waiter = self._endpoint, call.waiter
        if waiter is None or waiter.done():
            # Cancelled, and its task has not run yet: it has left all the same.
            endpoint.leave(call)
            endpoint.settle(lease, IGNORED)
            return
        assert call.tag is not None
        endpoint.queue.get_nowait()
        endpoint.paced = False
        call.waiter = None
        waiter.set_result(lease)
        endpoint.order.granted(call.options.tenant, call.options.priority, call.tag, call.cost)
        endpoint.throughput.granted(call.cost, now)

    def _let_go(self, call: Call, now: float) -> bool:
        """Whether the head is refused, for the good of those behind it."""
        endpoint = self._endpoint
        refusal: NotSentError | None = None
        if endpoint.shed == "overdue" and call.options.priority is not Priority.LOW:
            waited = now - call.entered
            if endpoint.codel[call.options.priority].overdue(waited, now, endpoint.typical_s):
                refusal = refusals.overdue(endpoint, waited)
        if call.attempts or not call.options.shed or endpoint.shed == "never":
            return False
        refusal = refusal or refusals.out_of_time(endpoint, call, now)
        if refusal is None:
            return False
        endpoint.reject(call, endpoint.refused(call, refusal))
        return True

    def _bring_back(self) -> None:
        """Those set aside are in line again, before anything is awaited."""
        self._endpoint.queue.bring_back()
        self._endpoint.keys.held.clear()

    async def _next_pace(self) -> None:
        # aiolimiter orders its waiters by amount and can't refund: here it has one waiter, and a turn
        # that its call no longer needs goes to the next in line, or is lost.
        assert self._endpoint.pace is not None
        await self._endpoint.pace.acquire()
        self._endpoint.paced = True

    async def _sleep(self, seconds: float) -> None:
        """Until kicked, or until the time is over."""
        self._endpoint.paced = False  # a turn that is kept would let two calls leave together later
        loop = asyncio.get_running_loop()
        pause = self._pause = loop.create_future()
        timer = loop.call_later(seconds, self.kick) if seconds < math.inf else None
        self._wakes = self._endpoint.clock() + seconds
        try:
            await pause
        finally:
            self._pause = None
            if timer is not None:
                timer.cancel()

    def _crashed(self, error: BaseException) -> None:
        """A bug must not leave callers waiting: they get it, and the next call starts a new worker."""
        task, self._task = self._task, None
        self._bring_back()
        for call in self._endpoint.queue.calls():
            failure = AsyncAPIError(f"the worker of {self._endpoint.name} failed: {error!r}")
            failure.__cause__ = error
            self._endpoint.reject(call, failure)
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"the worker of {self._endpoint.name} failed", "exception": error, "task": task}
        )
