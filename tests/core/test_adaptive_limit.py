"""A limit that learns, at work: what makes it smaller, what doesn't, and how it follows a service."""

from __future__ import annotations

import asyncio

import pytest

from asyncapi import AIMD, Client, Key, Retry
from asyncapi.policies.limits import AdaptiveLimit
from asyncapi.testing.scripted import ScriptedTransport, Step, hang, reply, stream
from asyncapi.types.wire import Outgoing
from benchmarks.capacity import LIMITS, measure, percentile
from tests.core.worlds import MODEL, assert_at_rest, client_of, core, outcomes, read, spread_calls

NO_RETRY = Retry(attempts=1)


def limit_of(client: Client) -> int:
    return client.statistics().endpoints["openai"].limit


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    ("answer", "keys", "after"),
    [
        (reply(status=429), ["sk-a"], 14),  # nobody said when: it has too much at once
        (reply(status=429, retry_after=0.01), ["sk-a"], 20),  # a rate: the key rests
        (reply(status=429), [Key("sk-a", requests_per_minute=1e6)], 20),
        (reply("busy", status=503), ["sk-a"], 14),
        (reply("busy", status=529), ["sk-a"], 14),
        (reply(status=500), ["sk-a"], 20),  # ill, not overloaded
        (reply(status=400), ["sk-a"], 20),
    ],
)
async def test_only_having_too_much_makes_it_smaller(answer: Step, keys: list[str | Key], after: int) -> None:
    """And a burst of refusals is one congestion."""
    async with client_of(
        ScriptedTransport(default=answer), keys=keys, limit=AIMD(initial=20), retry=NO_RETRY
    ) as client:
        client.breaker("openai").force_closed()
        await outcomes(spread_calls(client, 20))
        assert limit_of(client) == after


@pytest.mark.virtual_time
async def test_a_service_that_does_not_answer_in_time_has_too_much() -> None:
    """Twenty deadlines that passed in its hands are one congestion."""
    async with client_of(ScriptedTransport(default=hang()), limit=AIMD(initial=20)) as client:
        client.breaker("openai").force_closed()
        await outcomes(spread_calls(client, 20, timeout=5.0))
        assert limit_of(client) == 14


@pytest.mark.virtual_time
async def test_a_limit_that_grows_in_mid_stream_wakes_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first token can take a cut back; the stream itself may last for minutes."""
    answers: list[Step] = [stream(["a", "b"], delay=0.2, interval=30.0), reply("c")]
    transport = ScriptedTransport(answers)
    async with client_of(transport, limit=AIMD(initial=1)) as client:
        limit = core(client).semaphore.limit
        assert isinstance(limit, AdaptiveLimit)
        monkeypatch.setattr(limit, "first_token", lambda *_: limit._set(2.0))
        reading = asyncio.ensure_future(read(client.stream(MODEL, "x")))
        await asyncio.sleep(0.1)
        await outcomes([*spread_calls(client, 1), reading])

    assert transport.requests[1].time == pytest.approx(0.2, abs=0.01)


@pytest.mark.virtual_time
async def test_cancelled_calls_do_not_move_it() -> None:
    """Callers who lose patience say nothing of the service."""
    transport = ScriptedTransport(default=hang())
    async with client_of(transport, limit="adaptive") as client:
        calls = [asyncio.ensure_future(call) for call in spread_calls(client, 5)]
        await asyncio.sleep(1)
        for call in calls:
            call.cancel()
        await outcomes(calls)
        assert limit_of(client) == 5
        assert_at_rest(client, transport)


@pytest.mark.virtual_time
async def test_it_never_grows_while_it_is_not_used() -> None:
    """Two callers prove nothing about twenty."""

    async def caller() -> None:
        for _ in range(100):
            await client.chat(MODEL, "x")

    async with client_of(ScriptedTransport(default=reply(delay=0.1)), limit="adaptive") as client:
        await asyncio.gather(caller(), caller())
        assert limit_of(client) == 5


@pytest.mark.virtual_time
async def test_a_fixed_limit_is_told_nothing() -> None:
    """What is off costs nothing: there is nobody to tell."""
    async with client_of(ScriptedTransport(default=reply()), limit=7) as client:
        await client.chat(MODEL, "x")
        assert core(client).semaphore.learn is None


class Places:
    """A service that works on so many streams at once: the others wait for their first token."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.transport = ScriptedTransport(self._answer)

    def _answer(self, _: Outgoing) -> Step:
        waiting = max(0, self.transport.in_flight + 1 - self.number)
        return stream(("a ", "b ", "c "), delay=0.2 + 2.0 * waiting / self.number, interval=0.9)


@pytest.mark.virtual_time
async def test_streams_shrink_it_by_their_first_token() -> None:
    """Long before they end, and though none is refused."""
    service = Places(10)

    async def caller() -> None:
        for _ in range(100):
            await read(client.stream(MODEL, "x"))

    async with client_of(service.transport, limit="adaptive", queue_size=100) as client:
        callers = [asyncio.ensure_future(caller()) for _ in range(60)]
        found = []
        for _ in range(200):
            await asyncio.sleep(1)
            found.append(limit_of(client))
        for task in callers:
            task.cancel()
        await outcomes(callers)
        assert_at_rest(client, service.transport)

    assert max(found) < 40
    assert 9 <= sum(found[100:]) / 100 <= 15


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 7])
def test_it_follows_a_service_whose_capacity_changes(seed: int) -> None:
    """In steps and with noise: 95 % of the possible, and p99 within twice the service time."""
    run = measure(LIMITS["adaptive"], seed)

    print(f"seed {seed}: {run.share:.1%} of the possible, p99 {run.p99:.2f} s")
    assert run.share >= 0.95
    assert run.p99 <= 2.0


@pytest.mark.slow
def test_no_fixed_limit_does_both() -> None:
    """One that never wastes capacity lets the service queue; one that never queues wastes it."""
    small, large, none = (
        measure(LIMITS[name], 0, seconds=400) for name in ("fixed, 20", "fixed, 60", "none")
    )

    assert small.share < 0.8
    assert large.p99 > 3.0
    assert none.p99 > 7.0


@pytest.mark.slow
def test_with_more_noise_it_still_does_well() -> None:
    """Service times that differ by a fifth: compared with what they are without any waiting."""
    run = measure(LIMITS["adaptive"], 1, seconds=600, noise=0.2)

    assert run.share >= 0.94
    assert run.p99 <= 1.4 * percentile(run.own, 0.99)
