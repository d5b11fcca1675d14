"""After an outage: callers come back in steps, not all at once."""

from __future__ import annotations

import asyncio

import pytest

from asyncapi import AIMD, Breaker, ChatResponse, Retry
from asyncapi.policies.limits import Ramp
from asyncapi.testing.scripted import ScriptedTransport, Step, hang, reply
from asyncapi.types.events import BreakerChanged, Event
from asyncapi.types.wire import Outgoing
from tests.core.worlds import assert_at_rest, client_of, core, outcomes, spread_calls, start, text_of

pytestmark = pytest.mark.virtual_time


class Returning:
    """A service that fails while ``ill``, then takes a second; notes how many it had when each came."""

    def __init__(self) -> None:
        self.ill = True
        self.seen: list[int] = []
        self.transport = ScriptedTransport(self._answer)

    def _answer(self, _: Outgoing) -> Step:
        if self.ill:
            return reply(status=500)
        self.seen.append(self.transport.in_flight + 1)
        return reply("well", delay=1.0)


class Closed:
    """A hook that says when the breaker closes."""

    detail = False

    def __init__(self) -> None:
        self.happened = asyncio.Event()

    def on_event(self, event: Event, /) -> None:
        """Look at it."""
        if isinstance(event, BreakerChanged) and event.new == "closed":
            self.happened.set()


@pytest.mark.parametrize("limit", [40, AIMD(initial=40)])
async def test_a_herd_that_waited_comes_back_in_steps(limit: object) -> None:
    """Two probes, then a quarter of the limit, then twice as many each second."""
    service, closed = Returning(), Closed()
    async with client_of(
        service.transport,
        limit=limit,
        queue_size=1000,
        retry=Retry(attempts=1),
        on_open="wait",
        hooks=[closed],
    ) as client:
        await outcomes(spread_calls(client, 5))
        service.ill = False
        waiting = start(*spread_calls(client, 500))
        peaks = []
        await closed.happened.wait()
        for _ in range(5):
            service.transport.peak_in_flight = 0
            await asyncio.sleep(0.99)
            peaks.append(service.transport.peak_in_flight)
            await asyncio.sleep(0.01)
        answers = await outcomes(waiting)
        assert not isinstance(core(client).semaphore.limit, Ramp)
        assert client.statistics().endpoints["openai"].limit >= 40
        assert_at_rest(client, service.transport)

    assert {type(answer) for answer in answers} == {ChatResponse}
    assert service.seen[:2] == [1, 1]
    assert peaks[0] == 10
    assert peaks[1] == 20
    assert 39 <= peaks[2] <= 41


async def test_a_service_that_fails_on_its_way_back_gets_its_rest_again() -> None:
    """The ramp begins anew with the next closing."""
    service = Returning()
    async with client_of(
        service.transport,
        limit=40,
        queue_size=1000,
        retry=Retry(attempts=1),
        on_open="wait",
        breaker=Breaker(successes=1),
    ) as client:
        await outcomes(spread_calls(client, 5))
        service.ill = False
        waiting = start(*spread_calls(client, 200))
        await asyncio.sleep(32.5)
        service.ill = True
        await asyncio.sleep(2)
        assert client.breaker("openai").state == "open"
        service.ill = False
        service.seen.clear()
        await outcomes(waiting)
        assert_at_rest(client, service.transport)

    assert service.seen[0] == 1
    assert max(service.seen[:11]) <= 10


async def test_calls_that_hang_in_the_old_outage_do_not_keep_the_new_ones_out() -> None:
    """With a limit of 8 the ramp begins at 2: three that never end must not take both places."""
    hanging = True

    def answer(request: Outgoing) -> Step:
        if text_of(request) == "hang":
            return hang()
        return reply(status=500) if hanging else reply("well", delay=1.0)

    transport = ScriptedTransport(answer)
    async with client_of(transport, limit=8, retry=Retry(attempts=1), on_open="wait", timeout=None) as client:
        hung = start(*spread_calls(client, 3, lambda _: "hang"))
        await outcomes(spread_calls(client, 5))
        hanging = False
        answers = await outcomes(spread_calls(client, 20))
        for call in hung:
            call.cancel()
        await outcomes(hung)
        assert_at_rest(client, transport)

    assert {type(answer) for answer in answers} == {ChatResponse}


async def test_a_limit_of_one_needs_no_steps() -> None:
    """One is where a ramp begins."""
    service = Returning()
    async with client_of(service.transport, limit=1, retry=Retry(attempts=1), on_open="wait") as client:
        await outcomes(spread_calls(client, 5))
        service.ill = False
        await outcomes(spread_calls(client, 5))
        assert client.statistics().endpoints["openai"].limit == 1
