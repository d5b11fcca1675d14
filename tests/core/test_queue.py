"""The queue: bounded, fair, cheap to leave."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from asyncapi import (
    ChatResponse,
    DeadlineExceededError,
    Priority,
    QueueFullError,
    RateLimitError,
    Retry,
    Timeout,
)
from asyncapi.testing import VirtualTime
from asyncapi.testing.scripted import ScriptedTransport, Sent, Step, hang, reply
from asyncapi.types.events import QueueEntered, QueueRefused
from asyncapi.types.wire import Outgoing
from tests.core.worlds import (
    MODEL,
    Recorder,
    assert_at_rest,
    caught,
    client_of,
    core,
    outcomes,
    spread_calls,
    start,
    steady,
    text_of,
    turns,
)

pytestmark = pytest.mark.virtual_time


async def test_forty_calls_at_limit_five_finish_in_eight_rounds(virtual_clock: VirtualTime) -> None:
    """40 calls, 5 at a time, 0.2 s each: 1.6 s and hardly more."""
    transport = steady(delay=0.2)
    async with client_of(transport, limit=5) as client:
        answers = await outcomes(spread_calls(client, 40))

        assert all(isinstance(answer, ChatResponse) for answer in answers)
        assert virtual_clock.elapsed < 1.8
        assert transport.peak_in_flight == 5
        assert client.statistics().endpoints["openai"].peak_in_flight == 5
        assert_at_rest(client, transport)


async def test_two_hundred_at_once_fill_limit_and_queue_and_the_rest_is_refused_at_once(
    virtual_clock: VirtualTime,
) -> None:
    """5 in flight and 100 waiting are 105 answers; 95 hear at once that the queue is full."""
    transport = steady(delay=0.2)
    async with client_of(transport, limit=5, queue_size=100) as client:
        refused_at: list[float] = []

        async def one(i: int) -> object:
            try:
                return await client.chat(MODEL, str(i))
            except QueueFullError:
                refused_at.append(virtual_clock.elapsed)
                raise

        answers = await outcomes(one(i) for i in range(200))

        kinds = Counter(type(answer) for answer in answers)
        assert kinds == {ChatResponse: 105, QueueFullError: 95}
        assert max(refused_at) < 0.01
        assert transport.total == 105


async def test_a_full_queue_says_how_full_it_is_and_when_to_come_back() -> None:
    """The estimate is there once a typical service time is known."""
    async with client_of(steady(delay=0.5), limit=1, queue_size=1) as client:
        await client.chat(MODEL, "first")
        waiting = [asyncio.ensure_future(client.chat(MODEL, "x")) for _ in range(2)]
        await turns()
        error = await caught(QueueFullError, client.chat(MODEL, "one too many"))
        await asyncio.gather(*waiting)

    assert "queue of openai is full (1 waiting)" in str(error)
    assert error.retry_after == pytest.approx(1.0, abs=0.01)
    assert (error.sent, error.attempts, error.endpoint) == (False, 0, "openai")


async def test_a_queue_of_zero_lets_through_what_a_permit_is_free_for() -> None:
    """Nobody may wait, but nobody has to."""
    async with client_of(steady(), limit=2, queue_size=0) as client:
        answers = await outcomes(spread_calls(client, 3))

    assert [type(answer) for answer in answers] == [ChatResponse, ChatResponse, QueueFullError]


async def test_a_refusal_is_an_event_that_names_the_error() -> None:
    """Hooks see who was refused and why."""
    recorder = Recorder(detail=True)
    async with client_of(steady(), limit=1, queue_size=1, hooks=[recorder]) as client:
        await outcomes(spread_calls(client, 3))

    assert [event.error for event in recorder.of(QueueRefused)] == ["queue_full"]
    assert [event.waiting for event in recorder.of(QueueEntered)] == [1]


async def test_first_come_is_first_served_within_a_flow() -> None:
    """Equal calls leave in the order in which they came."""
    transport = steady()
    async with client_of(transport, limit=1) as client:
        await outcomes(spread_calls(client, 30))

    assert [sent.json()["messages"][0]["content"] for sent in transport.requests] == [
        str(i) for i in range(30)
    ]


async def _order_of_service(
    plan: list[tuple[str, Priority, str]], *, strict: bool = False, limit: int = 1
) -> list[str]:
    """Who was served in which order, all waiting behind one call: (text, priority, tenant)."""
    transport = steady()
    async with client_of(transport, limit=limit, queue_size=5000, strict=strict) as client:
        blocker = asyncio.ensure_future(client.chat(MODEL, "blocker"))
        await turns()
        calls = [
            asyncio.ensure_future(client.chat(MODEL, text, priority=priority, tenant=tenant))
            for text, priority, tenant in plan
        ]
        await asyncio.gather(blocker, *calls)
    return [sent.json()["messages"][0]["content"] for sent in transport.requests][1:]


async def test_one_high_overtakes_a_thousand_low_that_wait() -> None:
    """The saturated queue of litellm#18128: the urgent call is next, or the one after."""
    plan = [("low", Priority.LOW, "")] * 1000 + [("high", Priority.HIGH, "")]
    served = await _order_of_service(plan)

    assert served.index("high") <= 1


async def test_under_load_the_shares_are_sixteen_to_four_to_one() -> None:
    """LOW is held back and never starved."""
    plan = [(p.name, p, "") for p in Priority for _ in range(200)]
    served = Counter((await _order_of_service(plan))[:210])

    assert served["HIGH"] == pytest.approx(160, abs=3)
    assert served["NORMAL"] == pytest.approx(40, abs=3)
    assert served["LOW"] == pytest.approx(10, abs=2)


async def test_strict_serves_high_before_normal_before_low() -> None:
    """Asked for knowingly: LOW may starve."""
    plan = [(p.name, p, "") for p in reversed(Priority) for _ in range(10)]
    served = await _order_of_service(plan, strict=True)

    assert served == ["HIGH"] * 10 + ["NORMAL"] * 10 + ["LOW"] * 10


async def test_a_tenant_with_a_thousand_calls_does_not_hold_up_ten_with_one() -> None:
    """Tenants share: the ten light ones are served among the first twenty."""
    plan = [("heavy", Priority.NORMAL, "heavy")] * 1000
    plan += [(f"light-{i}", Priority.NORMAL, f"light-{i}") for i in range(10)]
    served = await _order_of_service(plan)

    assert max(served.index(f"light-{i}") for i in range(10)) < 20


async def test_a_retry_keeps_the_place_that_its_first_attempt_had() -> None:
    """Who was turned away by the service doesn't queue behind those who came later."""
    seen: list[str] = []

    def script(request: Outgoing) -> Step:
        seen.append(text_of(request))
        return reply(status=500) if seen.count("early") == 1 and seen[-1] == "early" else reply(delay=1.0)

    transport = ScriptedTransport(script)
    async with client_of(transport, limit=1, retry=Retry(base=0.2, cap=0.2)) as client:
        calls = [asyncio.ensure_future(client.chat(MODEL, t)) for t in ("early", "b", "c", "d")]
        await asyncio.gather(*calls)

    # "b" had the permit before the retry came back, and nobody else went before it.
    assert seen[:3] == ["early", "b", "early"]


async def test_those_who_come_back_for_another_attempt_take_no_newcomers_place() -> None:
    """The bound is for newcomers: five retries wait in a queue of two, which still takes two."""
    failing = True

    def script(_: Outgoing) -> Step:
        return reply(status=429, retry_after=10) if failing else reply()

    transport = ScriptedTransport(script)
    async with client_of(transport, limit=5, queue_size=2, timeout=Timeout(total=60)) as client:
        first = [asyncio.ensure_future(client.chat(MODEL, "a")) for _ in range(5)]
        await asyncio.sleep(1)
        failing = False
        assert core(client).queue.qsize() == 5
        newcomers = [asyncio.ensure_future(client.chat(MODEL, "b")) for _ in range(2)]
        await turns()
        await caught(QueueFullError, client.chat(MODEL, "one too many"))

        assert len(await asyncio.gather(*first, *newcomers)) == 7
        assert_at_rest(client, transport)


async def test_waiters_that_time_out_anywhere_in_line_leave_at_once(virtual_clock: VirtualTime) -> None:
    """Orphans of litellm#20059: the queue empties, and later work still flows."""
    transport = ScriptedTransport([hang(), reply("late")])
    async with client_of(transport, limit=1, queue_size=300) as client:
        blocker = asyncio.ensure_future(client.chat(MODEL, "blocker"))
        await turns()
        waiting = [asyncio.ensure_future(client.chat(MODEL, "x", timeout=1.0 + (i % 7))) for i in range(280)]
        patient = asyncio.ensure_future(client.chat(MODEL, "patient"))
        results = await outcomes(waiting)

        assert {type(result) for result in results} == {DeadlineExceededError}
        assert virtual_clock.elapsed == pytest.approx(7.0, abs=0.01)
        assert core(client).queue.qsize() == 1
        assert len(core(client).queue._queue) <= 70  # the dead are swept, not kept

        blocker.cancel()
        assert (await patient).text == "late"
        assert_at_rest(client)


async def test_thirty_thousand_cancelled_waiters_cost_little_each() -> None:
    """Leaving is O(1): the heap is swept when more than half of it is dead."""
    transport = ScriptedTransport(default=hang())
    async with client_of(transport, limit=1, queue_size=30_000) as client:
        tasks = [asyncio.ensure_future(client.chat(MODEL, "x")) for _ in range(3_001)]
        await turns()
        assert core(client).queue.qsize() == 3_000
        for task in reversed(tasks):
            task.cancel()
        await asyncio.wait(tasks)

        assert_at_rest(client, transport)


@pytest.mark.virtual_time(seed=5, shuffle=0.5)
async def test_a_limit_of_one_is_kept_under_every_shuffle() -> None:
    """The permit is one permit, whatever wakes first."""
    transport = ScriptedTransport(lambda _: reply(delay=0.01))
    async with client_of(transport, limit=1) as client:
        await outcomes(spread_calls(client, 50))
    assert transport.peak_in_flight == 1


async def test_a_call_that_waits_out_a_cooled_key_is_not_refused_but_errors_keep_their_class() -> None:
    """A retry that the queue can't serve in time ends with what the service said."""
    transport = ScriptedTransport(default=reply(status=429, retry_after=30))
    async with client_of(transport, timeout=10.0) as client:
        error = await caught(RateLimitError, client.chat(MODEL, "x"))

    assert error.attempts == 1
    assert transport.total == 1


# --- a full queue -----------------------------------------------------------------------------------


async def test_a_full_queue_gives_the_newest_of_the_least_urgent_up_for_a_more_urgent_call() -> None:
    """The one who has least to lose hears at once that it lost its place, and when to come back."""
    transport = steady(delay=1.0)
    recorder = Recorder()
    async with client_of(transport, limit=1, queue_size=4, hooks=[recorder]) as client:
        await client.chat(MODEL, "first")
        (blocker,) = start(client.chat(MODEL, "blocker"))
        await turns()
        low = start(*spread_calls(client, 2, lambda i: f"low-{i}", priority=Priority.LOW))
        normal = start(*spread_calls(client, 2, lambda i: f"normal-{i}"))
        await turns()
        (high,) = start(client.chat(MODEL, "high", priority=Priority.HIGH))
        error = await caught(QueueFullError, low[1])
        assert "a HIGH call took this one's place" in str(error)
        assert error.retry_after == pytest.approx(5.0, abs=0.1)
        assert (error.sent, error.attempts) == (False, 0)
        (late,) = start(client.chat(MODEL, "late"))
        await caught(QueueFullError, low[0])
        refused = await caught(QueueFullError, client.chat(MODEL, "one too many"))
        assert "took this one's place" not in str(refused)
        await asyncio.gather(blocker, *normal, high, late)

        assert [event.error for event in recorder.of(QueueRefused)] == ["queue_full"] * 3
        assert_at_rest(client, transport)


async def test_a_call_that_comes_back_for_another_attempt_loses_its_place_to_nobody() -> None:
    """What was admitted stays admitted: eviction is for newcomers."""
    failing = True

    def script(_: Outgoing) -> Step:
        return reply(status=429, retry_after=5) if failing else reply()

    async with client_of(ScriptedTransport(script), limit=2, queue_size=1) as client:
        returning = start(*spread_calls(client, 2, priority=Priority.LOW))
        await asyncio.sleep(1)
        failing = False
        (low,) = start(client.chat(MODEL, "low", priority=Priority.LOW))
        await turns()
        (high,) = start(client.chat(MODEL, "high", priority=Priority.HIGH))
        await caught(QueueFullError, low)
        await caught(QueueFullError, client.chat(MODEL, "another", priority=Priority.HIGH))

        assert len(await asyncio.gather(*returning, high)) == 3
        assert_at_rest(client)


async def test_a_call_that_was_hurried_is_no_longer_the_least_urgent() -> None:
    """Its place among newcomers moves with its priority."""
    async with client_of(steady(delay=1.0), limit=1, queue_size=2) as client:
        (blocker,) = start(client.chat(MODEL, "blocker"))
        await turns()
        hurried, low = start(*spread_calls(client, 2, priority=Priority.LOW))
        await turns()
        queue = core(client).queue
        call = next(call for call in queue.calls() if call.sequence == 2)
        core(client).hurry(call, Priority.HIGH)
        (high,) = start(client.chat(MODEL, "high", priority=Priority.HIGH))
        await caught(QueueFullError, low)
        await caught(QueueFullError, client.chat(MODEL, "y", priority=Priority.HIGH))
        await asyncio.gather(blocker, hurried, high)
        assert_at_rest(client)


def _asked(sent: Sent) -> str:
    return str(sent.json()["messages"][0]["content"])


# --- shares by tokens -------------------------------------------------------------------------------


async def test_a_tenant_with_long_prompts_gets_fewer_turns() -> None:
    """Ten times the tokens: a tenth of the turns, once tenants are told apart."""
    transport = steady()
    async with client_of(transport, limit=1, queue_size=500) as client:
        (blocker,) = start(client.chat(MODEL, "blocker"))
        await turns()
        calls = spread_calls(client, 60, lambda i: "long " * 2400, tenant="long", max_tokens=100)
        calls += spread_calls(client, 60, lambda i: "short " * 166, tenant="short", max_tokens=100)
        tasks = start(*calls)
        await asyncio.gather(blocker, *tasks)
    served = [_asked(sent).split()[0] for sent in transport.requests][1:45]

    # 12,000 bytes against 1,000, and 100 tokens of answer each: 3,700 tokens to 410.
    assert served.count("long") == pytest.approx(44 / 10, abs=2)


async def test_a_tenant_gets_service_by_its_weight() -> None:
    """``tenants={"gold": 3.0}``: three turns to one."""
    transport = steady()
    async with client_of(transport, limit=1, queue_size=500, tenants={"gold": 3.0}) as client:
        (blocker,) = start(client.chat(MODEL, "blocker"))
        await turns()
        calls = spread_calls(client, 60, lambda i: "gold", tenant="gold")
        calls += spread_calls(client, 60, lambda i: "else", tenant="else")
        await asyncio.gather(blocker, *start(*calls))
    served = Counter(_asked(sent) for sent in transport.requests[1:41])

    assert served["gold"] == pytest.approx(30, abs=2)


async def _waits_of_light(virtual_clock: VirtualTime, heavy: int) -> list[float]:
    """Ten light tenants with a call a second each, beside one with so many calls at once, all the time."""
    waits: list[float] = []
    transport = ScriptedTransport(lambda _: reply(delay=0.2), keep=1)
    async with client_of(transport, limit=5, queue_size=2000) as client:
        over = False

        async def light(tenant: str) -> None:
            for _ in range(40):
                answer = await client.chat(MODEL, "short", tenant=tenant)
                assert answer.served is not None
                waits.append(answer.served.timings.queue_s)
                await asyncio.sleep(1.0)

        async def heavily() -> None:
            while not over:
                await client.chat(MODEL, "long " * 100, tenant="heavy")

        flood = start(*(heavily() for _ in range(heavy)))
        await asyncio.gather(*(light(f"light-{n}") for n in range(10)))
        over = True
        await asyncio.gather(*flood)
    return sorted(waits)


async def test_one_heavy_tenant_does_not_move_the_waits_of_ten_light_ones(
    virtual_clock: VirtualTime,
) -> None:
    """A thousand calls of one tenant: the others wait for a permit, and hardly for each other."""
    few = await _waits_of_light(virtual_clock, 5)
    many = await _waits_of_light(virtual_clock, 1000)

    assert many[int(0.99 * len(many))] <= few[int(0.99 * len(few))] + 0.2
    assert many[int(0.99 * len(many))] <= 0.5
