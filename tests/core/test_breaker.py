"""The breaker at work: what opens it, what doesn't, and how it comes back."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from asyncapi import (
    Breaker,
    ChatResponse,
    CircuitOpenError,
    DeadlineExceededError,
    ReadTimeoutError,
    Retry,
    ServerError,
)
from asyncapi.testing import VirtualTime
from asyncapi.testing.scripted import ScriptedTransport, Step, hang, reply
from asyncapi.types.events import BreakerChanged
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
    text_of,
    turns,
)

pytestmark = pytest.mark.virtual_time

NO_RETRY = Retry(attempts=1)


class Patient:
    """A service that fails while ``ill``, hangs while ``silent``, else answers after ``delay``."""

    def __init__(self, delay: float = 0.1) -> None:
        self.ill = True
        self.silent = False
        self.delay = delay
        self.transport = ScriptedTransport(self._answer)

    def _answer(self, _: Outgoing) -> Step:
        if self.silent:
            return hang()
        return reply(status=500) if self.ill else reply("well", delay=self.delay)


def _state(client: object) -> str:
    return str(client.statistics().endpoints["openai"].breaker.state)  # type: ignore[attr-defined]


async def test_it_opens_after_five_failures_and_refuses_at_once(virtual_clock: VirtualTime) -> None:
    """Five requests reach the ill service, the sixth call is told when to come back."""
    recorder = Recorder()
    patient = Patient()
    async with client_of(patient.transport, retry=NO_RETRY, hooks=[recorder]) as client:
        for _ in range(5):
            await caught(ServerError, client.chat(MODEL, "x"))
        error = await caught(CircuitOpenError, client.chat(MODEL, "x"))
        assert virtual_clock.elapsed < 0.01
        assert patient.transport.total == 5
        assert client.statistics().endpoints["openai"].breaker.opened == 1

    assert 15.0 <= error.retry_after <= 30.0
    assert (error.sent, error.attempts, error.retryable) == (False, 0, True)
    assert [(e.old, e.new, e.reason) for e in recorder.of(BreakerChanged)] == [
        ("closed", "open", "5 failures in a row")
    ]


async def test_a_retry_that_the_open_breaker_refuses_ends_with_the_services_error() -> None:
    """Its own attempts opened it: what it hears is the failure, not the consequence."""
    patient = Patient()
    breaker = Breaker(failure_threshold=2)
    async with client_of(patient.transport, breaker=breaker) as client:
        error = await caught(ServerError, client.chat(MODEL, "x"))
        assert (error.attempts, _state(client)) == (2, "open")
        assert_at_rest(client, patient.transport)


async def test_on_open_wait_waits_for_the_service_to_recover(virtual_clock: VirtualTime) -> None:
    """Nothing is sent while it is open; then probes, then everyone."""
    patient = Patient()
    async with client_of(patient.transport, retry=NO_RETRY, on_open="wait") as client:
        await outcomes(spread_calls(client, 5))
        patient.ill = False
        waiting = start(*spread_calls(client, 20))
        await asyncio.sleep(14.9)
        assert patient.transport.total == 5
        answers = await asyncio.gather(*waiting)
        assert {answer.text for answer in answers} == {"well"}
        assert 15 <= virtual_clock.elapsed < 31
        assert _state(client) == "closed"
        assert_at_rest(client, patient.transport)


@pytest.mark.parametrize("probes", [1, 3])
async def test_exactly_so_many_probes_under_five_hundred_callers(probes: int) -> None:
    """Half-open, the service sees the probes and nobody else, whoever asks."""
    patient = Patient()
    breaker = Breaker(probes=probes, successes=1000)
    async with client_of(
        patient.transport, limit=50, queue_size=600, retry=NO_RETRY, breaker=breaker
    ) as client:
        await outcomes(spread_calls(client, 5))
        patient.ill, patient.silent = False, True
        await asyncio.sleep(30.1)
        patient.transport.peak_in_flight = 0
        callers = start(*spread_calls(client, 400, on_open="wait"), *spread_calls(client, 100))
        await asyncio.sleep(20)
        assert patient.transport.total == 5 + probes
        assert patient.transport.peak_in_flight == probes
        kinds = Counter(type(call.exception()) for call in callers if call.done())
        # The first of 500 were let through as probes; all who may not wait were refused.
        assert kinds == {CircuitOpenError: 100}
        for call in callers:
            call.cancel()
        await outcomes(callers)
        assert_at_rest(client, patient.transport)


async def test_a_cancelled_probe_gives_its_place_back() -> None:
    """better-ccflare#349 could never close again: here the next caller is the next probe."""
    patient = Patient()
    async with client_of(patient.transport, retry=NO_RETRY) as client:
        await outcomes(spread_calls(client, 5))
        patient.ill, patient.silent = False, True
        await asyncio.sleep(30.1)
        probe = asyncio.ensure_future(client.chat(MODEL, "x"))
        await turns()
        await caught(CircuitOpenError, client.chat(MODEL, "y"))
        probe.cancel()
        await outcomes([probe])
        assert core(client).breaker.probes == 0
        patient.silent = False
        answers = [await client.chat(MODEL, "z") for _ in range(2)]
        assert (len(answers), _state(client)) == (2, "closed")


@pytest.mark.parametrize(
    "answer", [reply(status=400), reply(status=404), reply(status=403), reply(status=422)]
)
async def test_the_callers_mistakes_never_open_it(answer: Step) -> None:
    """A hundred bad requests say nothing of the service's health."""
    async with client_of(ScriptedTransport(default=answer), queue_size=200) as client:
        await outcomes(spread_calls(client, 100))
        assert _state(client) == "closed"


async def test_rate_limits_never_open_it() -> None:
    """429 is the key's business."""
    transport = ScriptedTransport(default=reply(status=429, retry_after=0.01))
    async with client_of(transport, queue_size=200, retry=Retry(attempts=2, reserve=100)) as client:
        await outcomes(spread_calls(client, 50))
        assert _state(client) == "closed"


async def test_cancelled_calls_never_open_it() -> None:
    """A hundred callers who lose patience are not a hundred failures."""
    transport = ScriptedTransport(default=hang())
    async with client_of(transport, limit=100) as client:
        calls = start(*spread_calls(client, 100))
        await asyncio.sleep(1)
        for call in calls:
            call.cancel()
        await outcomes(calls)
        assert _state(client) == "closed"
        assert transport.aborted == 100
        assert_at_rest(client, transport)


async def test_a_service_that_never_answers_opens_it() -> None:
    """Five deadlines that passed in its hands are five failures."""
    transport = ScriptedTransport(default=hang())
    async with client_of(transport) as client:
        results = await outcomes(spread_calls(client, 5, timeout=2.0))
        assert {type(result) for result in results} == {ReadTimeoutError}
        assert _state(client) == "open"


async def test_a_deadline_too_short_for_the_service_is_not_its_failure() -> None:
    """It usually takes a second: who gives it a tenth proves nothing."""
    transport = ScriptedTransport(default=reply(delay=1.0))
    async with client_of(transport) as client:
        await client.chat(MODEL, "x")
        await outcomes(spread_calls(client, 50, timeout=0.1))
        assert _state(client) == "closed"
        assert_at_rest(client, transport)


async def test_a_hung_probe_counts_as_failed_after_the_rest_that_it_was_given(
    virtual_clock: VirtualTime,
) -> None:
    """A silent service can't hold the breaker half-open: after 30 s it opens again."""
    patient = Patient()
    async with client_of(patient.transport, retry=NO_RETRY) as client:
        await outcomes(spread_calls(client, 5))
        patient.ill, patient.silent = False, True
        await asyncio.sleep(30.1)
        probe = asyncio.ensure_future(client.chat(MODEL, "probe", timeout=None))
        waiting = start(*spread_calls(client, 10, on_open="wait", timeout=None))
        await asyncio.sleep(30.1)
        assert _state(client) == "open"
        patient.silent = False
        await asyncio.gather(*waiting)
        assert _state(client) == "closed"
        assert virtual_clock.elapsed < 125  # at most 30 s of rest, 30 s of hanging, 60 s of rest, 2 probes
        # The old probe's end changes nothing: it is of an earlier generation.
        probe.cancel()
        await outcomes([probe])
        assert _state(client) == "closed"
        assert_at_rest(client, patient.transport)


async def test_queued_calls_are_refused_when_it_opens_and_the_patient_stay() -> None:
    """on_open=fail is said of the time in the queue too."""
    failing = True

    def script(request: Outgoing) -> Step:
        return reply(status=500, delay=1.0) if failing else reply(text_of(request))

    async with client_of(ScriptedTransport(script), limit=5, retry=NO_RETRY) as client:
        first = start(*spread_calls(client, 5))
        impatient = start(*spread_calls(client, 10))
        patient = start(*spread_calls(client, 10, on_open="wait"))
        results = await outcomes([*first, *impatient])
        failing = False
        assert Counter(type(result) for result in results) == {ServerError: 5, CircuitOpenError: 10}
        assert {type(answer) for answer in await outcomes(patient)} == {ChatResponse}
        assert_at_rest(client)


async def test_a_deadline_before_the_breaker_may_close_is_refused_at_once() -> None:
    """Waiting is allowed, but 10 s won't be enough."""
    patient = Patient()
    async with client_of(patient.transport, retry=NO_RETRY, on_open="wait") as client:
        await outcomes(spread_calls(client, 5))
        error = await caught(DeadlineExceededError, client.chat(MODEL, "x", timeout=10.0))
        assert 15 <= error.retry_after <= 30
        assert patient.transport.total == 5


async def test_a_failed_probe_doubles_the_rest() -> None:
    """30 s, then 60 s, up to the maximum; each is drawn from its upper half."""
    patient = Patient()
    async with client_of(patient.transport, retry=NO_RETRY) as client:
        rests = []
        await outcomes(spread_calls(client, 5))
        for _ in range(5):
            error = await caught(CircuitOpenError, client.chat(MODEL, "x"))
            rests.append(error.retry_after)
            await asyncio.sleep(error.retry_after)
            await caught(ServerError, client.chat(MODEL, "probe"))

    for rest, most in zip(rests, [30, 60, 120, 240, 300], strict=True):
        assert most / 2 <= rest <= most


async def test_a_service_that_is_healthy_again_gets_all_its_callers_back() -> None:
    """After any outage the breaker closes by itself once calls come and succeed."""
    patient = Patient(delay=0.01)
    async with client_of(patient.transport, retry=NO_RETRY, on_open="wait", queue_size=500) as client:
        await outcomes(spread_calls(client, 50))
        patient.ill = False
        answers = await outcomes(spread_calls(client, 300))
        assert {type(answer) for answer in answers} == {ChatResponse}
        assert _state(client) == "closed"


async def test_while_a_probe_is_out_nobody_is_refused_for_its_deadline(virtual_clock: VirtualTime) -> None:
    """The time after which a probe counts as hung is no earliest start: it may be back at once."""
    transport = ScriptedTransport([reply(status=500), reply(delay=0.5)], default=reply())
    breaker = Breaker(failure_threshold=1, reset_after=10)
    async with client_of(transport, breaker=breaker, retry=NO_RETRY, on_open="wait") as client:
        await outcomes([client.chat(MODEL, "trip")])
        await asyncio.sleep(11)
        answers = await outcomes(spread_calls(client, 5, timeout=3.0))

        assert {type(answer) for answer in answers} == {ChatResponse}
        assert virtual_clock.elapsed < 12


async def test_a_call_whose_turn_comes_too_late_is_refused_at_its_turn(virtual_clock: VirtualTime) -> None:
    """Let in while the breaker was closed, it hears of the outage once it is next, not at its deadline."""
    transport = ScriptedTransport([reply(status=500, delay=1.0)], default=reply())
    breaker = Breaker(failure_threshold=1, reset_after=60)
    async with client_of(transport, limit=1, breaker=breaker, retry=NO_RETRY, on_open="wait") as client:
        first, hurried, patient = start(
            client.chat(MODEL, "trip"), client.chat(MODEL, "x", timeout=30.0), client.chat(MODEL, "y")
        )
        error = await caught(DeadlineExceededError, hurried)
        assert virtual_clock.elapsed == pytest.approx(1.0, abs=0.01)
        assert 30 <= error.retry_after <= 60
        await outcomes([first, patient])
        assert_at_rest(client, transport)


async def test_a_disabled_breaker_never_opens() -> None:
    """It counts, and lets everything through."""
    patient = Patient()
    async with client_of(patient.transport, retry=NO_RETRY, breaker=Breaker(enabled=False)) as client:
        results = await outcomes(spread_calls(client, 60))
        assert {type(result) for result in results} == {ServerError}
        assert _state(client) == "closed"
