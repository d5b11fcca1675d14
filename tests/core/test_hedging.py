"""Second copies: fewer slow answers, no more requests than the budget, and nothing left of the loser."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from asyncapi import (
    Breaker,
    Client,
    Endpoint,
    Hedge,
    InvalidRequestError,
    Key,
    ReadTimeoutError,
    Retry,
    Route,
    ServerError,
    StreamInterruptedError,
)
from asyncapi._core.race import Race
from asyncapi.testing import VirtualTime, virtual_time
from asyncapi.testing.scripted import ScriptedTransport, Step, hang, reply, stream
from asyncapi.types.events import (
    CallFinished,
    HedgeEnded,
    HedgeSent,
    RetryScheduled,
    TransportSent,
    VerdictGiven,
)
from asyncapi.types.wire import Outgoing
from tests.core.worlds import (
    MODEL,
    Recorder,
    assert_at_rest,
    caught,
    client_of,
    core,
    key_of,
    outcomes,
    read,
    start,
    turns,
    vectors,
)

pytestmark = pytest.mark.virtual_time

#: Copies at once and for every call, so that one test needs few calls.
EAGER = Hedge(after=1.0, budget=1.0)


def streams(request: Outgoing) -> bool:
    """Whether a stream is asked for."""
    return b'"stream":true' in (request.body or b"")


def answers(*delays: float) -> Callable[[Outgoing], Step]:
    """The n-th request is answered after the n-th delay, as what it asks for; infinity is never."""
    left = list(delays)
    number = 0

    def answer(request: Outgoing) -> Step:
        nonlocal number
        number += 1
        delay = left.pop(0)
        if delay == float("inf"):
            return hang()
        if streams(request):
            return stream([f"n{number} ", "end"], delay=delay, interval=0.1)
        return reply(f"n{number}", delay=delay)

    return answer


async def asked(client: Client, kind: str, **options: Any) -> Any:
    """A whole answer, however it is asked for."""
    options = {"idempotent": True, **options}
    if kind == "chat":
        return await client.chat(MODEL, "q", **options)
    return await read(client.stream(MODEL, "q", **options))


def check_counts(recorder: Recorder) -> None:
    """No send twice unless retried or hedged, and every send has its verdict."""
    sent = Counter(event.request_id for event in recorder.of(TransportSent))
    extra = Counter(event.request_id for event in recorder.of(RetryScheduled))
    extra.update(event.request_id for event in recorder.of(HedgeSent))
    for finished in recorder.of(CallFinished):
        if finished.operation == "embed":
            continue  # members of a batch, whose requests have the first one's id
        assert sent[finished.request_id] == finished.attempts <= 1 + extra[finished.request_id]
    numbers = [(event.request_id, event.attempt) for event in recorder.of(TransportSent)]
    judged = [(event.request_id, event.attempt) for event in recorder.of(VerdictGiven)]
    assert len(set(numbers)) == len(numbers)
    assert sorted(judged) == sorted(numbers)
    assert len(recorder.of(HedgeSent)) == len(recorder.of(HedgeEnded))


# --- what it is for ---------------------------------------------------------------------------


async def served(
    hedge: Hedge | None, share: float, kind: str = "chat", number: int = 2000, slow: float = 10.0
) -> tuple[list[float], int, Client]:
    """Times of calls in order, and requests beyond one each: 0.15 to 0.25 s, a share of them slower."""
    rng, loop = random.Random(1), asyncio.get_running_loop()

    def answer(request: Outgoing) -> Step:
        delay = rng.uniform(0.15, 0.25) * (slow if rng.random() < share else 1.0)
        return stream(["a", "b"], delay=delay) if streams(request) else reply("x", delay=delay)

    transport, times = ScriptedTransport(answer, keep=1), []
    async with client_of(transport, limit=200, hedge=hedge) as client:

        async def one(i: int) -> None:
            await asyncio.sleep(i * 0.02)
            began = loop.time()
            await asked(client, kind)
            times.append(loop.time() - began)

        await asyncio.gather(*(one(i) for i in range(number)))
        await turns()
        assert_at_rest(client, transport)
    return sorted(times), transport.total - number, client


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["chat", "stream"])
async def test_slow_answers_are_overtaken(kind: str) -> None:
    """5 % of answers take ten times as long: with copies after 0.3 s p99 falls from 2.4 s to 0.55 s."""
    without, none, _ = await served(None, 0.05, kind)
    times, extra, client = await served(Hedge(after=0.3, budget=0.06), 0.05, kind)
    hedges = client.statistics().endpoints["openai"].hedges

    assert none == 0
    assert without[-20] > 2.0
    assert times[-20] < 0.6
    assert 0 < extra == hedges.sent <= 0.06 * 2000
    assert hedges.won + hedges.lost == hedges.sent
    assert hedges.won > 0.9 * hedges.sent


@pytest.mark.slow
async def test_late_is_learnt_from_what_is_usual() -> None:
    """After p95 and within 2 %, where 1 % are slow: the usual settings."""
    without, _, _ = await served(None, 0.01)
    times, extra, client = await served(Hedge(), 0.01)

    assert without[-20] > 1.5
    assert times[-20] < 0.5
    assert 0 < extra <= 0.02 * 2000
    assert client.statistics().endpoints["openai"].requests == 2000 + extra


@pytest.mark.slow
async def test_a_slow_outage_is_not_multiplied() -> None:
    """loki#4826: everything is slow at once, every call is late, and copies stay within their budget."""
    _, extra, _ = await served(Hedge(after=0.3), 1.0, number=1000)

    assert extra <= 0.02 * 1000


async def test_what_was_not_waited_for_counts_as_slow() -> None:
    """Else the losers would be missing among the times, and the usual would seem ever shorter."""
    transport = ScriptedTransport(answers(*[0.1] * 50, *[float("inf"), 0.1] * 5))
    async with client_of(transport, hedge=Hedge(after="p75", budget=1.0, least=0.2)) as client:
        for _ in range(55):
            await asked(client, "chat")
        learner = core(client).learner
    assert learner is not None
    assert learner.times is not None
    (quantiles,) = learner.times._kinds.values()

    assert [round(sample, 2) for sample in quantiles._sorted] == [0.1] * 55 + [0.3] * 5


# --- who wins ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["chat", "stream"])
async def test_the_copy_wins(kind: str, virtual_clock: VirtualTime) -> None:
    """The first answer counts, the other request is cancelled; served, statistics and events say so."""
    recorder = Recorder(detail=True)
    transport = ScriptedTransport(answers(50.0, 0.5))
    keys = (Key("sk-a", name="one"), Key("sk-b", name="two"))
    async with client_of(transport, keys=keys, hooks=[recorder], hedge=EAGER) as client:
        answer = await asked(client, kind)
        await turns()
        assert_at_rest(client, transport)
        counted = client.statistics().endpoints["openai"]

    assert answer.text.startswith("n2")
    assert virtual_clock.elapsed < 2.0
    assert (transport.total, transport.aborted) == (2, 1 + (kind == "stream"))  # nothing follows its end mark
    assert [key_of(sent) for sent in transport.requests] == ["sk-a", "sk-b"]
    assert (answer.served.key, answer.attempts) == ("two", 2)
    assert 0.4 < answer.served.timings.service_s < 1.0
    (sent,), (ended,) = recorder.of(HedgeSent), recorder.of(HedgeEnded)
    (finished,) = recorder.of(CallFinished)
    assert (sent.attempt, sent.to, sent.key, sent.after_s) == (2, "openai", "two", 1.0)
    assert (ended.won, finished.outcome, finished.attempts, finished.key) == (True, "ok", 2, "two")
    assert sorted(e.verdict for e in recorder.of(VerdictGiven)) == ["ignored", "ok"]
    assert (counted.hedges.sent, counted.hedges.won, counted.requests) == (1, 1, 2)
    check_counts(recorder)


@pytest.mark.parametrize("kind", ["chat", "stream"])
async def test_the_call_itself_wins(kind: str) -> None:
    """It was late, but first: the copy is cancelled, and its prompt counted as sent twice."""
    recorder = Recorder(detail=True)
    transport = ScriptedTransport(answers(1.5, 50.0))
    async with client_of(transport, hooks=[recorder], hedge=EAGER) as client:
        answer = await asked(client, kind)
        assert (transport.in_flight, core(client).semaphore.in_flight) == (0, 0)  # the loser is gone already
        await turns()
        assert_at_rest(client, transport)
        hedges = client.statistics().endpoints["openai"].hedges

    assert answer.text.startswith("n1")
    assert (answer.attempts, transport.aborted) == (2, 1 + (kind == "stream"))
    assert (hedges.sent, hedges.won, hedges.lost) == (1, 0, 1)
    assert hedges.input_tokens == (answer.usage.input_tokens if kind == "chat" else 0)
    check_counts(recorder)


async def test_in_time_there_is_no_copy_and_no_timer(virtual_clock: VirtualTime) -> None:
    """Most calls."""
    transport = ScriptedTransport(answers(0.9, 0.9, 0.9))
    async with client_of(transport, hedge=EAGER) as client:
        for kind in ("chat", "stream", "chat"):
            await asked(client, kind)
        await turns()
        assert transport.total == 3
        assert virtual_clock.pending_timers() == ()


async def test_a_failed_copy_changes_nothing() -> None:
    """The call goes on, without a retry in its name, and whatever the copy met is settled."""
    recorder = Recorder(detail=True)
    steps: list[Step] = [reply("fine", delay=3.0), reply(status=500, delay=0.1)]
    transport = ScriptedTransport(steps)
    async with client_of(transport, hooks=[recorder], hedge=EAGER) as client:
        answer = await asked(client, "chat")
        await turns()
        assert_at_rest(client, transport)

    assert answer.text == "fine"
    assert recorder.of(RetryScheduled) == []
    assert Counter(e.verdict for e in recorder.of(VerdictGiven)) == Counter(ok=1, failed=1)
    check_counts(recorder)


@pytest.mark.parametrize("kind", ["chat", "stream"])
async def test_when_the_call_fails_its_copy_may_still_answer(kind: str) -> None:
    """gRPC A6: a failure waits for the copies that are out."""
    recorder = Recorder(detail=True)
    good = answers(1.0)
    steps = [lambda _: reply(status=500, delay=1.5), good]
    transport = ScriptedTransport(lambda request: steps.pop(0)(request))
    async with client_of(transport, hooks=[recorder], hedge=EAGER, retry=Retry(attempts=1)) as client:
        answer = await asked(client, kind)
        await turns()
        assert_at_rest(client, transport)

    assert answer.text.startswith("n1")
    assert recorder.of(HedgeEnded)[0].won
    check_counts(recorder)


async def test_when_both_fail_the_call_has_its_own_error() -> None:
    """And it says how often was sent."""
    steps: list[Step] = [reply("a", status=500, delay=1.5), reply("b", status=503, delay=1.0)]
    async with client_of(ScriptedTransport(steps), hedge=EAGER, retry=Retry(attempts=1)) as client:
        error = await caught(ServerError, asked(client, "chat"))

    assert error.attempts == 2


async def test_an_error_that_the_copy_would_share_ends_both() -> None:
    """A request at fault is so everywhere."""
    transport = ScriptedTransport([reply(status=400, delay=1.5), hang()])
    async with client_of(transport, hedge=EAGER) as client:
        await caught(InvalidRequestError, asked(client, "chat"))
        await turns()
        assert_at_rest(client, transport)

    assert transport.aborted == 1


async def test_a_retry_is_watched_anew(virtual_clock: VirtualTime) -> None:
    """Late is counted from sending: neither the first attempt's time nor the backoff counts."""
    recorder = Recorder(detail=True)
    steps: list[Step] = [reply(status=500, delay=0.9), reply("b", delay=50.0), reply("c", delay=0.1)]
    transport = ScriptedTransport(steps)
    retry = Retry(base=0.5, cap=0.5)
    async with client_of(transport, hooks=[recorder], hedge=EAGER, retry=retry) as client:
        answer = await asked(client, "chat")

    first, second, copy = transport.requests
    assert answer.text == "c"
    assert copy.time - second.time == pytest.approx(1.0, abs=0.01)
    assert second.time > first.time + 0.9
    assert answer.attempts == 3
    check_counts(recorder)


async def test_a_stream_has_no_copy_once_it_has_begun() -> None:
    """What was said is not said twice, however slow the rest is."""
    transport = ScriptedTransport([stream(["a"] * 5, delay=0.5, interval=5.0), hang()])
    async with client_of(transport, hedge=EAGER) as client:
        await asked(client, "stream")

    assert transport.total == 1


async def test_a_copys_stream_that_breaks_later_is_the_calls() -> None:
    """Once it has won it is the stream, with its lease and its end."""
    recorder = Recorder(detail=True)
    transport = ScriptedTransport([hang(), stream(["a ", "b "], interval=0.1, cut_after=2)])
    async with client_of(transport, hooks=[recorder], hedge=EAGER) as client:
        seen: list[str] = []
        await caught(StreamInterruptedError, read(client.stream(MODEL, "q", idempotent=True), seen))
        await turns()
        assert_at_rest(client, transport)

    assert seen == ["a ", "b "]
    assert [e.outcome for e in recorder.of(CallFinished)] == ["stream_interrupted"]
    check_counts(recorder)


async def test_context_variables_of_the_caller_reach_the_copy() -> None:
    """It is the same call."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nobody")
    seen: list[str] = []

    def answer(_: Outgoing) -> Step:
        seen.append(variable.get())
        return reply("x", delay=2.0)

    async with client_of(ScriptedTransport(answer), hedge=EAGER) as client:
        variable.set("caller")
        await asked(client, "chat")

    assert seen == ["caller", "caller"]


async def test_copies_of_batches_answer_all_members() -> None:
    """A whole batch is copied, as one request."""
    transport = ScriptedTransport(
        lambda request: vectors(request, delay=50.0 if transport.total == 1 else 0.1)
    )
    async with client_of(transport, hedge=EAGER) as client:
        found = await asyncio.gather(*(client.embed(MODEL, str(i)) for i in range(4)))
        await turns()
        assert_at_rest(client, transport)

    assert transport.total == 2
    assert [float(answer.vectors[0][0]) for answer in found] == [0.0, 1.0, 2.0, 3.0]
    assert {answer.attempts for answer in found} == {2}


# --- who may ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "options", "copies"),
    [
        ({}, {}, 1),
        ({}, {"idempotent": None}, 0),
        ({}, {"idempotent": False}, 0),
        ({"hedge": None}, {}, 0),
        ({"hedge": False}, {}, 0),
        ({"hedge": Hedge(after=1.0, budget=0.02)}, {}, 0),
        ({"hedge": Hedge(budget=1.0)}, {}, 0),
        ({"limit": 1}, {}, 0),
        ({"requests_per_second": 100.0}, {}, 0),
        ({"retry": Retry(reserve=0, budget=0.0)}, {}, 0),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["chat", "stream"])
async def test_a_copy_is_sent_only_where_nothing_is_against_it(
    kind: str, settings: dict[str, Any], options: dict[str, Any], copies: int
) -> None:
    """Not without the caller's word, samples, both budgets and room; the call is answered all the same."""
    transport = ScriptedTransport(answers(3.0, 0.1))
    async with client_of(transport, **{"hedge": EAGER, **settings}) as client:
        answer = await asked(client, kind, **options)
        await turns()
        assert_at_rest(client, transport)

    assert transport.total == 1 + copies
    assert answer.text.startswith("n2" if copies else "n1")


async def test_a_busy_endpoint_sends_no_copies() -> None:
    """Four of five permits in use: the fifth is for a call."""
    transport = ScriptedTransport(lambda _: reply("x", delay=5.0))
    async with client_of(transport, limit=5, hedge=EAGER) as client:
        await asyncio.gather(*(asked(client, "chat") for _ in range(4)))
        assert transport.total == 4
        await asyncio.gather(*(asked(client, "chat") for _ in range(3)))
        assert transport.total == 4 + 3 + 1


async def test_a_queue_that_waits_sends_no_copies() -> None:
    """Whoever waits comes first, though there is room."""
    transport = ScriptedTransport(lambda _: reply("x", delay=5.0))
    keys = (Key("sk-a", name="one"), Key("sk-b", name="two", requests_per_minute=1))
    async with client_of(transport, keys=keys, limit=10, hedge=EAGER) as client:
        await client.chat(MODEL, "q", key="two")
        waiting = start(client.chat(MODEL, "q", key="two"))
        await turns()
        before = transport.total
        await asked(client, "chat", key="one")
        assert transport.total == before + 1
        for task in waiting:
            task.cancel()
        await outcomes(waiting)


async def test_an_ill_endpoint_gets_no_copies() -> None:
    """Half-open, a probe is one probe."""
    steps: list[Step] = [reply(status=500), reply("x", delay=3.0)]
    breaker = Breaker(failure_threshold=1, reset_after=1.0, probes=3, successes=5)
    transport = ScriptedTransport(steps)
    retry = Retry(attempts=1)
    async with client_of(transport, breaker=breaker, hedge=EAGER, retry=retry) as client:
        await outcomes([asked(client, "chat")])
        await asyncio.sleep(1.1)
        await asked(client, "chat")

    assert transport.total == 2


@pytest.mark.parametrize(
    ("hedge", "retry", "copies"),
    [
        (Hedge(after=1.0, budget=0.05), Retry(), 3),
        (EAGER, Retry(reserve=4, budget=0.0), 4),
        (EAGER, Retry(reserve=4, budget=0.1), 10),
    ],
)
async def test_copies_use_up_both_budgets(hedge: Hedge, retry: Retry, copies: int) -> None:
    """Sixty calls, all of them late: their share of copies, and no more than retries are left."""
    transport = ScriptedTransport(lambda _: reply("x", delay=2.0))
    async with client_of(transport, limit=200, hedge=hedge, retry=retry) as client:
        await asyncio.gather(*(asked(client, "chat") for _ in range(60)))

    assert transport.total - 60 == copies


async def test_a_single_key_is_used_twice_and_a_resting_one_not_at_all() -> None:
    """Another replica may be behind the same address; a key that rests is left alone."""
    transport = ScriptedTransport(answers(3.0, 0.1))
    async with client_of(transport, hedge=EAGER) as client:
        await asked(client, "chat")
    assert transport.total == 2

    keys = (Key("sk-a", name="one"), Key("sk-b", name="two"))
    transport = ScriptedTransport(answers(3.0, 0.1))
    async with client_of(transport, keys=keys, hedge=EAGER) as client:
        core(client).keys.keys[1].cool(100.0)
        await asked(client, "chat")
    assert [key_of(sent) for sent in transport.requests] == ["sk-a", "sk-a"]


# --- routes -----------------------------------------------------------------------------------


def routed(
    answer: Callable[[str, Outgoing], Step], route: Route, *hooks: Recorder, **settings: Any
) -> tuple[Client, ScriptedTransport]:
    """Endpoints a and b behind the route "r"."""
    endpoints = [
        Endpoint("openai", name=name, base_url=f"http://{name}/v1", keys=(f"sk-{name}",), **settings)
        for name in "ab"
    ]
    transport = ScriptedTransport(lambda request: answer(request.url.removeprefix("http://")[0], request))
    client = Client(
        endpoints, routes={"r": route}, transport=transport, hooks=hooks, log=False, environment={}, seed=1
    )
    return client, transport


@pytest.mark.parametrize("kind", ["chat", "stream", "embed"])
async def test_a_routes_copy_goes_to_its_next_target(kind: str) -> None:
    """Who answered is who served: endpoint, model, statistics and the end of a drain."""
    recorder = Recorder(detail=True)

    def answer(place: str, request: Outgoing) -> Step:
        if place == "a":
            return hang()
        assert b'"model":"large"' in (request.body or b"")
        if kind == "embed":
            return vectors(request, delay=0.2)
        return stream(["b"], delay=0.2) if streams(request) else reply("b", delay=0.2)

    client, transport = routed(answer, Route(("a:small", "b:large"), hedge=EAGER), recorder)
    async with client:
        if kind == "chat":
            found: Any = await client.chat("r", "q", idempotent=True)
        elif kind == "embed":
            found = await client.embed("r", "7")
        else:
            found = await read(client.stream("r", "q", idempotent=True))
        await turns()
        assert_at_rest(client, transport)
        assert [endpoint.calls for endpoint in client._runtime.made.values()] == [0, 0]
        counted = client.statistics().endpoints

    assert (found.endpoint, found.attempts) == ("b", 2)
    assert (counted["a"].hedges.sent, counted["a"].hedges.won) == (1, 1)
    assert (counted["a"].calls.finished, counted["b"].calls.succeeded) == (0, 1)
    assert dict(counted["b"].models).keys() == {"large"}
    (sent,) = recorder.of(HedgeSent)
    assert (sent.endpoint, sent.to, sent.key) == ("a", "b", "key-1")


async def test_a_routes_copy_keeps_away_from_targets_without_room() -> None:
    """The next one is ill: the one after it gets the copy, or nobody."""
    down = Breaker(failure_threshold=1, reset_after=300.0)
    client, transport = routed(
        lambda place, _: reply(status=500) if place == "b" else reply("a", delay=3.0),
        Route(("a:m", "b:m"), hedge=EAGER),
        breaker=down,
        retry=Retry(attempts=1),
    )
    async with client:
        await outcomes([client.chat("b:m", "q")])
        found = await client.chat("r", "q", idempotent=True)

    assert (found.endpoint, transport.total) == ("a", 2)


async def test_a_route_without_hedge_uses_its_endpoints_own() -> None:
    """As every call there."""
    client, transport = routed(lambda place, _: reply("x", delay=3.0), Route(("a:m", "b:m")), hedge=EAGER)
    async with client:
        await client.chat("r", "q", idempotent=True)

    assert [sent.url.removeprefix("http://")[0] for sent in transport.requests] == ["a", "a"]


# --- ending -----------------------------------------------------------------------------------


async def test_a_deadline_ends_both() -> None:
    """One deadline for the call, however many requests it is."""
    recorder = Recorder(detail=True)
    transport = ScriptedTransport(default=hang())
    async with client_of(transport, hooks=[recorder], hedge=EAGER) as client:
        await caught(ReadTimeoutError, asked(client, "chat", timeout=3.0))
        await turns()
        assert_at_rest(client, transport)

    assert (transport.total, transport.aborted) == (2, 2)
    check_counts(recorder)


async def test_closing_ends_the_copy_and_the_call_goes_on_or_ends() -> None:
    """No task is left."""
    transport = ScriptedTransport(default=hang())
    client = client_of(transport, hedge=EAGER)
    (call,) = start(asked(client, "chat", timeout=5.0))
    await asyncio.sleep(2.0)
    assert transport.in_flight == 2
    await client.aclose()
    assert transport.in_flight == 1
    await outcomes([call])
    await turns()
    assert_at_rest(client, transport)


async def test_a_closed_endpoint_sends_no_copies() -> None:
    """What is under way may end; nothing new is sent for it."""
    transport = ScriptedTransport(answers(3.0, 0.1))
    client = client_of(transport, hedge=EAGER)
    (call,) = start(asked(client, "chat"))
    await asyncio.sleep(0.5)
    await client.aclose()
    await outcomes([call])

    assert transport.total == 1


@pytest.mark.parametrize("kind", ["chat", "stream"])
async def test_cancelled_while_the_loser_is_ended_the_winner_is_given_up_too(kind: str) -> None:
    """The call has its first chunk, its copy is being cancelled, and then its caller goes."""
    calls: list[asyncio.Task[Any]] = []

    class Strike(Recorder):
        def on_event(self, event: Any, /) -> None:
            super().on_event(event)
            if isinstance(event, VerdictGiven) and event.verdict == "ignored":
                calls[0].cancel()

    recorder, transport = Strike(detail=True), ScriptedTransport(answers(1.5, 50.0))
    async with client_of(transport, hooks=[recorder], hedge=EAGER) as client:
        calls += start(asked(client, kind))
        await outcomes(calls)
        assert calls[0].cancelled()
        await turns()
        assert_at_rest(client, transport)
    check_counts(recorder)


@pytest.mark.parametrize("kind", ["chat", "stream"])
async def test_cancelled_in_the_turn_of_the_copys_answer_it_is_cancelled(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two cancellations at once, one of them the race's own: the caller's counts, and counts once."""
    copy = Race._run
    left: list[int] = []

    async def striking(race: Race[Any], call: Any) -> None:
        await copy(race, call)
        assert race._owner is not None
        race._owner.cancel()

    async def caller(client: Client) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            await asked(client, kind)
        finally:
            left.append(task.cancelling())

    monkeypatch.setattr(Race, "_run", striking)
    transport = ScriptedTransport(answers(50.0, 0.5))
    async with client_of(transport, hedge=EAGER) as client:
        (call,) = start(caller(client))
        await outcomes([call])
        assert (call.cancelled(), left) == (True, [1])
        await turns()
        assert_at_rest(client, transport)


async def test_two_who_share_a_flight_share_its_copy() -> None:
    """The flight is one call, and that call is late."""
    transport = ScriptedTransport(answers(50.0, 0.5, 50.0, 0.5))
    async with client_of(transport, hedge=EAGER) as client:
        for kind in ("chat", "stream"):
            both = await asyncio.gather(*(asked(client, kind, single_flight=True) for _ in range(2)))
            assert both[0].text == both[1].text != ""
        await turns()
        assert transport.total == 4
        assert_at_rest(client, transport)


async def _work(client: Client) -> None:
    await asked(client, "chat")
    await asked(client, "stream")
    await asyncio.gather(client.embed(MODEL, "1"), client.embed(MODEL, "2"))


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["copy wins", "call wins", "both at once", "call fails"])
async def test_a_cancellation_at_every_single_turn_leaves_neither_call_nor_copy(shape: str) -> None:
    """The same work, cancelled at turn 1, at turn 2, and so on to its end."""
    delays = {"copy wins": (9.0, 0.02), "call wins": (0.04, 9.0), "both at once": (0.05, 0.02)}
    for turn in range(400):
        number = 0

        def script(request: Outgoing) -> Step:
            nonlocal number
            number += 1
            first = number % 2 == 1
            if shape == "call fails":
                if first:
                    return reply(status=500, delay=0.04)
                delay = 0.02
            else:
                delay = delays[shape][not first]
            if request.url.endswith("/embeddings"):
                return vectors(request, delay=delay)
            return (
                stream(["a ", "b "], delay=delay, interval=0.01)
                if streams(request)
                else reply("x", delay=delay)
            )

        recorder = Recorder(detail=True)
        transport = ScriptedTransport(script)
        hedge = Hedge(after=0.03, budget=1.0)
        async with client_of(transport, hooks=[recorder], hedge=hedge, retry=Retry(attempts=1)) as client:
            (work,) = start(_work(client))
            for step in range(turn):
                await asyncio.sleep(0)
                if step % 3 == 0:
                    await asyncio.sleep(0.002)
            work.cancel()
            await outcomes([work])
            await turns()
            assert_at_rest(client, transport)
            assert core(client).calls == 0
            check_counts(recorder)
            if not work.cancelled():
                break
    else:
        raise AssertionError("the work was never done")
    assert turn > 20


@pytest.mark.parametrize("seed", range(30))
def test_answers_cancellations_and_deadlines_in_any_order_end_every_call_once(seed: int) -> None:
    """Many calls at once with equal times, shuffled turns: each ends once, and nothing is left."""
    rng = random.Random(seed)
    recorder = Recorder(detail=True)

    def script(request: Outgoing) -> Step:
        delay = rng.choice((0.1, 0.2, 0.3, 9.0))
        if rng.random() < 0.2:
            return reply(status=500, delay=delay)
        return (
            stream(["a ", "b "], delay=delay, interval=0.1) if streams(request) else reply("x", delay=delay)
        )

    async def main() -> None:
        transport = ScriptedTransport(script)
        settings: dict[str, Any] = {"limit": 60, "retry": Retry(base=0.1, cap=0.1), "queue_size": 5}
        async with client_of(
            transport,
            hooks=[recorder],
            hedge=Hedge(after=0.1, budget=1.0),
            breaker=Breaker(enabled=False),
            **settings,
        ) as client:
            loop = asyncio.get_running_loop()
            calls = start(
                *(
                    asked(client, rng.choice(("chat", "stream")), timeout=rng.choice((0.2, 0.3, 5.0)))
                    for _ in range(40)
                )
            )
            for call in calls:
                if rng.random() < 0.4:
                    loop.call_later(rng.choice((0.1, 0.2, 0.3, 0.4)), call.cancel)
            results = await outcomes(calls)
            await turns(20)
            assert_at_rest(client, transport)
            assert core(client).calls == 0
            assert len(recorder.of(CallFinished)) == 40
            assert transport.total == len(recorder.of(VerdictGiven))
            assert sum(call.cancelled() for call in calls) == sum(
                isinstance(result, asyncio.CancelledError) for result in results
            )
        check_counts(recorder)

    with virtual_time(seed, shuffle=0.5) as clock:
        clock.run(main())
        assert clock.pending_tasks() == ()
        assert clock.pending_timers() == ()


async def test_the_callers_task_is_as_it_was() -> None:
    """A cancellation that was the race's own leaves no trace: a timeout around many calls works as ever."""
    transport = ScriptedTransport(answers(50.0, 0.1, 50.0, 0.1, 50.0, 50.0))
    async with client_of(transport, hedge=EAGER) as client:
        task = asyncio.current_task()
        assert task is not None
        await asked(client, "chat")
        await asked(client, "stream")
        assert task.cancelling() == 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3.0):
                await asked(client, "chat")

        assert task.cancelling() == 0
        await turns()
        assert_at_rest(client, transport)
