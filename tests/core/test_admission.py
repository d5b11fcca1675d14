"""Admission: one decision, all or nothing, whatever the order in which things happen."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from asyncapi import AsyncAPIError, Breaker, ChatRequest, Key, Priority, Timeout
from asyncapi._core.admission import decide
from asyncapi._core.call import Call, Options
from asyncapi._core.endpoint import Endpoint
from asyncapi._core.lease import Lease
from asyncapi.errors import NotSentError
from asyncapi.policies.breaker import State
from asyncapi.policies.verdict import IGNORED, OK, Judgement, Verdict
from asyncapi.testing.scripted import ScriptedTransport
from asyncapi.types.messages import as_messages
from tests.core.worlds import client_of, core, turns

T = TypeVar("T")

BOUND = 2
REQUEST = ChatRequest(model="m", messages=as_messages("hi"))
JUDGEMENTS = (
    OK,
    IGNORED,
    Judgement(Verdict.FAILED),
    Judgement(Verdict.THROTTLED),
    Judgement(Verdict.SLOW),
)


def _held(endpoint: Endpoint) -> tuple[object, ...]:
    """Everything that a decision may take."""
    keys = endpoint.keys.keys
    rates = [key.rate and key.rate._arrival for key in keys]
    return (
        endpoint.semaphore.in_flight,
        endpoint.breaker.probes,
        [(key.in_flight, key.sent) for key in keys],
        rates,
    )


class Admission(RuleBasedStateMachine):
    """Calls come, go and give up; keys rest; the service fails; time passes. The endpoint is the real one."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.now = 100.0
        self.leases: list[Lease] = []
        self.waiting: list[tuple[Call, asyncio.Task[None]]] = []
        self.ended: list[str] = []
        self.asked = 0
        self.endpoint = self._do(self._made())

    async def _made(self) -> Endpoint:
        keys = (
            Key("sk-a", name="a", requests_per_minute=30),
            Key("sk-b", name="b"),
            Key("sk-c", name="c", users=("alice",)),
        )
        breaker = Breaker(failure_threshold=2, reset_after=10.0, probes=2)
        client = client_of(
            ScriptedTransport(), keys=keys, limit=2, queue_size=BOUND, breaker=breaker, timeout=Timeout()
        )
        self.client = client
        endpoint = core(client)
        endpoint.clock = lambda: self.now
        return endpoint

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    async def _acquired(self, call: Call) -> None:
        try:
            self.leases.append(await self.endpoint.acquire(call))
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        except AsyncAPIError as error:
            self.ended.append(error.kind)
        else:
            self.ended.append("granted")

    async def _settled_down(self) -> None:
        await turns(8)
        self.waiting = [(call, task) for call, task in self.waiting if not task.done()]

    @rule(
        priority=st.sampled_from(Priority),
        tenant=st.sampled_from(("", "t")),
        key=st.sampled_from((None, None, "a", "b", "gone")),
        user=st.sampled_from((None, "alice")),
        patience=st.sampled_from((0.0, 5.0, 60.0, None)),
        on_open=st.sampled_from(("fail", "wait")),
        attempts=st.sampled_from((0, 0, 0, 1)),
    )
    def come(
        self,
        priority: Priority,
        tenant: str,
        key: str | None,
        user: str | None,
        patience: float | None,
        on_open: Any,
        attempts: int,
    ) -> None:
        """A call arrives, perhaps for another attempt."""
        options = Options(
            priority=priority,
            tenant=tenant,
            key=key,
            user=user,
            timeout=Timeout(total=patience or 1.0),
            on_open=on_open,
        )
        call = Call(self.endpoint, REQUEST, options, f"r{self.asked}")
        call.deadline = None if patience is None else self.now + patience
        call.attempts = attempts
        self.asked += 1

        async def arrive() -> None:
            task = asyncio.ensure_future(self._acquired(call))
            self.waiting.append((call, task))
            await self._settled_down()

        self._do(arrive())

    @rule(on_open=st.sampled_from(("fail", "wait")), behind=st.booleans())
    def look(self, on_open: Any, behind: bool) -> None:
        """A decision that is no lease has taken nothing."""
        call = Call(self.endpoint, REQUEST, Options(on_open=on_open), "look")
        # Being asked may end a breaker's hung probe; that is no taking.
        self.endpoint.breaker.wait(self.now)
        before = _held(self.endpoint)
        decision = decide(self.endpoint, call, self.now, behind)
        if isinstance(decision, Lease):
            assert not behind
            assert _held(self.endpoint)[0] == before[0] + 1  # type: ignore[operator]
            self.leases.append(decision)
        else:
            assert _held(self.endpoint) == before
            assert isinstance(decision, NotSentError) or decision.seconds > 0.0

    @precondition(lambda self: self.leases)
    @rule(judgement=st.sampled_from(JUDGEMENTS), sent=st.booleans(), number=st.integers(0, 9))
    def end(self, judgement: Judgement, sent: bool, number: int) -> None:
        """An attempt ends; ending it twice is noticed."""
        lease = self.leases.pop(number % len(self.leases))
        lease.sent = sent

        async def settle() -> None:
            self.endpoint.settle(lease, judgement if sent else IGNORED)
            with pytest.raises(AssertionError):
                self.endpoint.settle(lease, IGNORED)
            await self._settled_down()

        self._do(settle())

    @precondition(lambda self: self.waiting)
    @rule(number=st.integers(0, 9))
    def give_up(self, number: int) -> None:
        """A waiting caller is cancelled."""
        _, task = self.waiting[number % len(self.waiting)]
        task.cancel()
        self._do(self._settled_down())

    @rule(seconds=st.sampled_from((0.1, 1.0, 2.1, 11.0, 400.0)))
    def pass_time(self, seconds: float) -> None:
        """The clock moves, never back, and the worker's timer rings."""
        self.now += seconds

        async def ring() -> None:
            self.endpoint.worker.kick()
            await self._settled_down()

        self._do(ring())

    @rule(which=st.sampled_from("abc"), seconds=st.sampled_from((1.0, 30.0)), park=st.booleans())
    def rest(self, which: str, seconds: float, park: bool) -> None:
        """A key is throttled or revoked."""
        key = next(key for key in self.endpoint.keys.keys if key.name == which)

        async def do() -> None:
            if park:
                key.park(self.now + seconds, "authentication")
                self.endpoint.reject_keyless()
            else:
                key.cool(self.now + seconds)
            await self._settled_down()

        self._do(do())

    @rule(seconds=st.sampled_from((1.0, 20.0)))
    def overload(self, seconds: float) -> None:
        """The whole service asks for a rest."""
        self.endpoint.cool_until = max(self.endpoint.cool_until, self.now + seconds)

    @invariant()
    def what_is_out_is_counted(self) -> None:
        """I1: permits, keys and leases agree, and never are too many."""
        endpoint = self.endpoint
        assert endpoint.semaphore.in_flight == len(self.leases)
        assert sum(key.in_flight for key in endpoint.keys.keys) == len(self.leases)
        assert len(self.leases) <= endpoint.semaphore.limit.value
        assert endpoint.breaker.probes <= endpoint.breaker.settings.probes
        assert endpoint.breaker.probes == 0 or endpoint.breaker.state is State.HALF_OPEN

    @invariant()
    def who_waits_is_counted(self) -> None:
        """I2 and I5: every call ends once, or waits; newcomers never beyond the bound."""
        queue = self.endpoint.queue
        assert queue.qsize() == len(self.waiting) == len(list(queue.calls()))
        assert len(self.ended) + len(self.waiting) == self.asked
        assert sum(not call.attempts for call in queue.calls()) <= BOUND

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        """I15: once the worker has looked, the head waits for something."""
        endpoint = self.endpoint
        if endpoint.semaphore.locked() or endpoint.queue.empty():
            return
        options = endpoint.queue.head().options
        waits = (
            endpoint.breaker.wait(self.now),
            max(0.0, endpoint.cool_until - self.now),
            endpoint.keys.wait(self.now, options.key, options.user),
        )
        assert max(waits) > 0.0
        assert endpoint.worker._wakes <= self.now + max(waits) < math.inf

    def teardown(self) -> None:
        """The end: everything comes back."""

        async def close() -> None:
            for lease in self.leases:
                self.endpoint.settle(lease, OK)
            await self.client.aclose()
            await turns(8)
            assert all(task.done() for _, task in self.waiting)

        self._do(close())
        assert self.endpoint.semaphore.in_flight == 0
        assert [key.in_flight for key in self.endpoint.keys.keys] == [0, 0, 0]
        assert len(self.ended) == self.asked
        self.loop.close()


TestAdmission = Admission.TestCase
TestAdmission.settings = settings(max_examples=40, stateful_step_count=40, deadline=None, derandomize=True)
