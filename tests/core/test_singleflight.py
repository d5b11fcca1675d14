"""Identical calls in flight share one request; nobody's end is another one's."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from asyncapi import (
    AsyncAPIError,
    Cache,
    Client,
    ClientClosedError,
    ConfigError,
    ConnectionLostError,
    DeadlineExceededError,
    Endpoint,
    Fixed,
    Key,
    Priority,
    ReadTimeoutError,
    Response,
    Retry,
    Route,
    ServerError,
    StreamInterruptedError,
    UnsupportedOperationError,
)
from asyncapi._core.deadlines import Deadlines
from asyncapi._core.singleflight import Flight, Flights
from asyncapi.testing import virtual_time
from asyncapi.testing.scripted import Reply, ScriptedTransport, Step, fail, hang, reply, stream
from asyncapi.types.events import CallFinished, FlightJoined, FlightShared
from asyncapi.types.wire import Outgoing
from tests.core.worlds import (
    MODEL,
    Recorder,
    assert_at_rest,
    caught,
    core,
    outcomes,
    read,
    start,
    steady,
    text_of,
    turns,
    vectors,
)

pytestmark = pytest.mark.virtual_time

WORDS = ("It ", "is ", "a ", "story.")


def client_of(transport: ScriptedTransport, *, single_flight: Any = True, **settings: Any) -> Client:
    """A client whose identical calls share, with one endpoint."""
    hooks, seed, cache = settings.pop("hooks", ()), settings.pop("seed", 0), settings.pop("cache", None)
    values = {"base_url": "https://ai.test/v1", "keys": ("k",), "limit": Fixed(5), **settings}
    return Client(
        [Endpoint("openai", **values)],
        transport=transport,
        single_flight=single_flight,
        cache=cache,
        hooks=hooks,
        log=False,
        environment={},
        seed=seed,
    )


def flights(client: Client) -> int:
    """How many are under way."""
    before: Any = client._runtime.before
    return len(before._flights)


async def test_a_thousand_identical_calls_are_one_request() -> None:
    """Each gets an answer of its own, under its own id, and the statistics say what was saved."""
    recorder = Recorder()
    transport = steady()
    async with client_of(transport, hooks=[recorder]) as client:
        answers = await asyncio.gather(*(client.chat(MODEL, "x") for _ in range(1000)))
        statistics = client.statistics()
        assert_at_rest(client, transport)
        assert flights(client) == 0

    assert len(transport.requests) == 1
    assert {answer.text for answer in answers} == {"fine"}
    assert len({answer.request_id for answer in answers}) == 1000
    assert [answer.served.source for answer in answers] == ["service"] + ["flight"] * 999
    assert len(recorder.of(CallFinished)) == 1
    assert {event.flight for event in recorder.of(FlightJoined)} == {answers[0].request_id}
    assert len(recorder.of(FlightShared)) == 999
    assert (statistics.flights.joined, statistics.flights.shared) == (999, 999)
    assert statistics.flights.saved.total_tokens == 999 * statistics.endpoints["openai"].usage.total_tokens


async def test_a_thousand_identical_streams_are_one_request() -> None:
    """Each reads every chunk."""
    transport = ScriptedTransport([stream(WORDS, delay=0.1, interval=0.1)])
    texts: list[list[str]] = [[] for _ in range(1000)]
    async with client_of(transport) as client:
        answers = await asyncio.gather(*(read(client.stream(MODEL, "x"), into) for into in texts))
        assert_at_rest(client, transport)
        assert flights(client) == 0

    assert len(transport.requests) == 1
    assert {"".join(text) for text in texts} == {"It is a story."}
    assert {answer.text for answer in answers} == {"It is a story."}


async def test_who_joins_a_stream_late_gets_it_from_the_start() -> None:
    """What came before is kept until the end."""
    transport = ScriptedTransport([stream(WORDS, delay=0.1, interval=1.0)])
    early: list[str] = []
    late: list[str] = []
    async with client_of(transport) as client:
        (first,) = start(read(client.stream(MODEL, "x"), early))
        await asyncio.sleep(2.5)
        seen = len([text for text in early if text])
        answer = await read(client.stream(MODEL, "x"), late)
        await first

    assert 1 < seen < 4
    assert late == early
    assert answer.text == "It is a story."
    assert len(transport.requests) == 1


async def test_a_slow_reader_holds_up_nobody() -> None:
    """Neither the other reader nor the request, whose permit is free as soon as the service is done."""
    transport = ScriptedTransport([stream(WORDS, delay=0.1, interval=0.1)])
    loop = asyncio.get_running_loop()
    async with client_of(transport) as client:
        slow, quick = start(read(client.stream(MODEL, "x"), pause=10.0), read(client.stream(MODEL, "x")))
        await quick
        took = loop.time()
        assert core(client).semaphore.in_flight == 0
        assert (await slow).text == "It is a story."

    assert took < 1.0
    assert loop.time() >= 40.0


async def test_a_flight_goes_on_when_the_first_is_cancelled() -> None:
    """Nobody leads it."""
    transport = steady(delay=1.0)
    async with client_of(transport) as client:
        first, second, third = start(*(client.chat(MODEL, "x") for _ in range(3)))
        await asyncio.sleep(0.5)
        first.cancel()
        answers = await asyncio.gather(second, third)
        assert_at_rest(client, transport)

    assert first.cancelled()
    assert [answer.text for answer in answers] == ["fine", "fine"]
    assert len(transport.requests) == 1


async def test_a_flight_that_nobody_wants_any_more_is_cancelled() -> None:
    """And who asks afterwards gets a new one."""
    transport = ScriptedTransport([hang(), reply("new")])
    async with client_of(transport) as client:
        both = start(*(client.chat(MODEL, "x") for _ in range(2)))
        await asyncio.sleep(0.5)
        for task in both:
            task.cancel()
        await turns()
        answer = await client.chat(MODEL, "x")
        assert_at_rest(client, transport)

    assert answer.text == "new"
    assert len(transport.requests) == 2


async def test_a_flight_cancelled_before_its_first_step_leaves_nothing() -> None:
    """Not even a coroutine that was never awaited."""
    begun: list[Flight] = []

    async def begin(flight: Flight) -> Response:
        begun.append(flight)
        return Response()

    shared = Flights(Deadlines())
    flight = shared.board("x", begin, None, Priority.NORMAL, "id")
    shared.leave(flight)
    await turns()

    assert (len(shared), begun) == (0, [])
    assert flight.ended
    assert isinstance(flight.failure(), ClientClosedError)
    await shared.aclose()


async def test_a_stream_left_early_by_all_is_ended() -> None:
    """The permit and the connection are free at once."""
    transport = ScriptedTransport([stream(WORDS, delay=0.1, interval=1.0)])
    async with client_of(transport) as client:
        async with client.stream(MODEL, "x") as answer:
            await anext(answer)
        await turns()
        assert_at_rest(client, transport)
        assert flights(client) == 0

        with pytest.raises(ConfigError, match="once the stream was read"):
            _ = answer.response


async def test_each_keeps_its_own_deadline() -> None:
    """The flight is as patient as the most patient; who is less so ends alone, with the truth."""
    transport = steady(delay=5.0)
    async with client_of(transport) as client:
        hasty, patient, late = start(
            client.chat(MODEL, "x", timeout=1.0),
            client.chat(MODEL, "x", timeout=None),
            client.chat(MODEL, "x", timeout=2.0),
        )
        found = await outcomes([hasty, patient, late])
        assert_at_rest(client, transport)

    first, second, third = found
    assert isinstance(first, ReadTimeoutError)
    assert "within 1.0 s" in str(first)
    assert isinstance(third, ReadTimeoutError)
    assert "within 2.0 s" in str(third)
    assert getattr(second, "text", "") == "fine"
    assert len(transport.requests) == 1


async def test_each_keeps_its_own_deadline_in_a_batch() -> None:
    """The batch is under way for the patient one, too."""
    transport = ScriptedTransport(lambda r: vectors(r, delay=5.0))
    async with client_of(transport) as client:
        hasty, patient = start(client.embed(MODEL, "7", timeout=1.0), client.embed(MODEL, "7", timeout=None))
        error = await caught(ReadTimeoutError, hasty)
        answer = await patient
        assert_at_rest(client, transport)

    assert "within 1.0 s" in str(error)
    assert answer.vectors[0][0] == 7.0
    assert len(transport.requests) == 1


async def test_the_last_deadline_ends_the_flight() -> None:
    """It is counted as what it is, and the service is blamed if it had its time."""
    recorder = Recorder()
    transport = ScriptedTransport([hang()])
    async with client_of(transport, hooks=[recorder]) as client:
        await caught(ReadTimeoutError, client.chat(MODEL, "x", timeout=1.0))
        await turns()
        assert_at_rest(client, transport)

    assert [event.outcome for event in recorder.of(CallFinished)] == [ReadTimeoutError.kind]


async def test_a_deadline_that_passes_in_the_queue_says_that_nothing_was_sent() -> None:
    """As without sharing."""
    transport = steady(delay=5.0)
    async with client_of(transport, limit=Fixed(1)) as client:
        others = start(client.chat(MODEL, "y", timeout=None))
        await turns()
        await caught(DeadlineExceededError, client.chat(MODEL, "x", timeout=1.0))
        await asyncio.gather(*others)
        assert_at_rest(client, transport)


async def test_a_stream_whose_own_deadline_passes_keeps_what_came() -> None:
    """While the other reader reads on."""
    transport = ScriptedTransport([stream(WORDS, delay=0.1, interval=1.0)])
    async with client_of(transport) as client:
        hasty, patient = start(
            read(client.stream(MODEL, "x", timeout=1.5)), read(client.stream(MODEL, "x", timeout=None))
        )
        error = await caught(StreamInterruptedError, hasty)
        assert (await patient).text == "It is a story."
        assert_at_rest(client, transport)

    assert error.partial.text == "It is "
    assert "within 1.5 s" in str(error)


async def test_who_joins_makes_a_waiting_flight_as_urgent_as_it_is() -> None:
    """A LOW call in the queue that a HIGH one joins goes first."""
    order: list[str] = []

    def script(request: Outgoing) -> Step:
        order.append(text_of(request))
        return reply("fine", delay=1.0)

    transport = ScriptedTransport(script)
    async with client_of(transport, limit=Fixed(1), strict=True) as client:
        tasks = start(client.chat(MODEL, "first"))
        await turns()
        tasks += start(client.chat(MODEL, "x", priority=Priority.LOW), client.chat(MODEL, "normal"))
        await turns()
        tasks += start(client.chat(MODEL, "x", priority=Priority.HIGH))
        await asyncio.gather(*tasks)
        assert_at_rest(client, transport)

    assert order == ["first", "x", "normal"]


@pytest.mark.parametrize("strict", [True, False])
async def test_becoming_urgent_keeps_the_queues_books(strict: bool) -> None:
    """Many flights, joined by more urgent calls and left at random: nothing is left behind."""
    rng = random.Random(3)
    transport = ScriptedTransport(lambda _: reply("fine", delay=rng.uniform(0.1, 0.5)))
    async with client_of(transport, limit=Fixed(2), strict=strict) as client:
        tasks: list[asyncio.Task[Any]] = []
        for number in range(300):
            tenant = rng.choice("ab")
            ask = client.chat(MODEL, f"{number % 40}", priority=Priority(rng.randrange(3)), tenant=tenant)
            tasks += start(ask)
            if rng.random() < 0.2:
                rng.choice(tasks).cancel()
            await asyncio.sleep(rng.choice([0.0, 0.02]))
        await outcomes(tasks)
        await turns()
        assert_at_rest(client, transport)


async def test_everybody_gets_an_error_of_its_own() -> None:
    """And nobody who comes later gets it."""
    transport = ScriptedTransport([reply(status=500), reply("new")])
    async with client_of(transport, retry=Retry(attempts=1)) as client:
        errors = await outcomes([client.chat(MODEL, "x") for _ in range(3)])
        answer = await client.chat(MODEL, "x")

    assert [type(error) for error in errors] == [ServerError] * 3
    assert len({id(error) for error in errors}) == 3
    assert answer.text == "new"
    assert len(transport.requests) == 2


async def test_a_bug_reaches_everybody() -> None:
    """As an error that names it."""
    transport = ScriptedTransport(lambda _: fail(ZeroDivisionError("oops")))
    async with client_of(transport) as client:
        errors = await outcomes([client.chat(MODEL, "x") for _ in range(2)])
        assert_at_rest(client, transport)

    assert [type(error) for error in errors] == [ZeroDivisionError, AsyncAPIError]
    assert "oops" in str(errors[1])


async def test_a_stream_that_breaks_off_breaks_off_for_all() -> None:
    """After the chunks that came."""
    transport = ScriptedTransport(
        [Reply(200, {"Content-Type": "text/event-stream"}, stream(WORDS).pieces[:3], 0.1, 0.1)]
    )
    texts: list[list[str]] = [[], []]
    async with client_of(transport) as client:
        errors = await outcomes([read(client.stream(MODEL, "x"), into) for into in texts])
        assert_at_rest(client, transport)

    assert [type(error) for error in errors] == [StreamInterruptedError] * 2
    assert errors[0] is not errors[1]
    assert texts[0] == texts[1] != []


async def test_who_wakes_and_asks_again_asks_anew() -> None:
    """The flight is gone before anybody wakes."""
    numbers = iter(range(10))
    transport = ScriptedTransport(lambda _: reply(str(next(numbers)), delay=0.1))

    async with client_of(transport) as client:

        async def twice() -> str:
            return (await client.chat(MODEL, "x")).text + (await client.chat(MODEL, "x")).text

        found = await asyncio.gather(*(twice() for _ in range(3)))

    assert found == ["01"] * 3


async def test_answers_belong_to_their_readers() -> None:
    """One that changes its vectors changes nobody else's."""
    transport = ScriptedTransport(vectors)
    async with client_of(transport) as client:

        async def embedded() -> float:
            answer = await client.embed(MODEL, "7")
            found = answer.vectors[0][0]
            answer.vectors[0][0] = -1.0
            return found

        assert await asyncio.gather(*(embedded() for _ in range(3))) == [7.0] * 3


DIFFERENT: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"temperature": 0.1}, {"temperature": 0.2}),
    ({"tenant": "a"}, {"tenant": "b"}),
    ({"key": "one"}, {"key": "two"}),
    ({"on_open": "wait"}, {"on_open": "fail"}),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
async def test_what_is_asked_otherwise_is_not_shared(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Another parameter, tenant or key."""
    transport = steady()
    async with client_of(transport, keys=(Key("k", name="one"), Key("l", name="two"))) as client:
        await asyncio.gather(*(client.chat(MODEL, "x", **options) for options in (one, other)))

    assert len(transport.requests) == 2


@pytest.mark.parametrize(
    ("client_says", "call_says", "parameters", "sent"),
    [
        (None, None, {}, 2),
        (None, None, {"temperature": 0}, 2),
        (None, True, {}, 1),
        (True, None, {}, 1),
        (True, False, {}, 2),
        (False, None, {"temperature": 0}, 2),
        ("deterministic", None, {}, 2),
        ("deterministic", None, {"temperature": 0}, 1),
        ("deterministic", None, {"seed": 5}, 1),
        ("deterministic", True, {}, 1),
    ],
)
async def test_who_says_what_is_shared(
    client_says: Any, call_says: bool | None, parameters: dict[str, Any], sent: int
) -> None:
    """The call, else the client, else nobody."""
    transport = steady()
    options = parameters if call_says is None else {**parameters, "single_flight": call_says}
    async with client_of(transport, single_flight=client_says) as client:
        await asyncio.gather(*(client.chat(MODEL, "x", **options) for _ in range(2)))

    assert len(transport.requests) == sent


async def test_views_of_a_client_share() -> None:
    """With other options for the scheduler they still ask the same."""
    transport = steady()
    async with client_of(transport, single_flight=None) as client:
        views = [client.with_options(single_flight=True, tag=tag) for tag in "ab"]
        await asyncio.gather(*(view.chat(MODEL, "x") for view in views), client.chat(MODEL, "x"))

    assert len(transport.requests) == 2


async def test_a_client_that_closes_ends_its_flights() -> None:
    """With the truth about what was sent; no task is left."""
    transport = ScriptedTransport(lambda _: hang())
    client = client_of(transport, limit=Fixed(1))
    tasks = start(*(client.chat(MODEL, text) for text in ("x", "x", "y", "y")))
    await turns()
    await client.aclose()
    errors = await outcomes(tasks)

    assert [type(error) for error in errors] == [ConnectionLostError] * 2 + [ClientClosedError] * 2
    assert_at_rest(client, transport)


async def test_what_a_service_does_not_offer_is_refused_as_ever() -> None:
    """To each of them."""
    async with client_of(steady()) as client:
        errors = await outcomes([client.rerank(MODEL, query="q", documents=["d"]) for _ in range(2)])

    assert [type(error) for error in errors] == [UnsupportedOperationError] * 2


ROUTES: list[tuple[Route, Callable[[Outgoing], Step], int]] = [
    (Route(("a:m", "b:m"), weights=(1, 1)), lambda _: reply("fine", delay=0.1), 1),
    (Route(("a:m", "b:m")), lambda r: reply(status=401) if "//a." in r.url else reply("fine", delay=0.1), 2),
]


@pytest.mark.parametrize(("route", "script", "sent"), ROUTES)
async def test_a_route_is_flown_once(route: Route, script: Callable[[Outgoing], Step], sent: int) -> None:
    """A hundred calls choose their target together, and move on together; streams as well."""
    transport = ScriptedTransport(
        lambda r: stream(["fine"]) if b'"stream":true' in (r.body or b"") and "//b." in r.url else script(r)
    )
    endpoints = [Endpoint("openai", n, base_url=f"https://{n}.test/v1", keys=("k",)) for n in "ab"]
    client = Client(
        endpoints, routes={"r": route}, transport=transport, single_flight=True, log=False, environment={}
    )
    async with client:
        answers = await asyncio.gather(*(client.chat("r", "x") for _ in range(100)))
        assert len(transport.requests) == sent
        if sent == 2:
            streamed = await asyncio.gather(*(read(client.stream("r", "x")) for _ in range(100)))
            assert {answer.text for answer in streamed} == {"fine"}
            assert len(transport.requests) == 3  # the key that was refused is parked
        assert_at_rest(client, transport)

    assert {answer.text for answer in answers} == {"fine"}


async def test_a_target_of_a_route_keeps_its_own_deadline() -> None:
    """Where the callers name none."""
    transport = ScriptedTransport(lambda r: hang() if "//a." in r.url else reply("fine"))
    endpoints = [
        Endpoint(
            "openai", n, base_url=f"https://{n}.test/v1", keys=("k",), timeout=3.0, retry=Retry(attempts=1)
        )
        for n in "ab"
    ]
    client = Client(
        endpoints,
        routes={"r": ["a:m", "b:m"]},
        transport=transport,
        single_flight=True,
        log=False,
        environment={},
    )
    async with client:
        answer = await client.chat("r", "x")

    assert answer.endpoint == "b"


def crowd(seed: int) -> None:
    """Calls and streams of one text come and go at random moments; the first one always goes."""
    rng = random.Random(seed)
    streams = rng.random() < 0.5

    def script(_: Outgoing) -> Step:
        if streams:
            return stream(WORDS, delay=rng.uniform(0.0, 1.0), interval=rng.uniform(0.0, 0.5))
        return reply("It is a story.", delay=rng.uniform(0.0, 2.0))

    transport = ScriptedTransport(script)

    async def main() -> None:
        async with client_of(transport, seed=seed) as client:

            async def one() -> str:
                await asyncio.sleep(rng.choice([0.0, rng.uniform(0.0, 0.5)]))
                if streams:
                    return str((await read(client.stream(MODEL, "x"))).text)
                return (await client.chat(MODEL, "x")).text

            first = asyncio.ensure_future(
                client.chat(MODEL, "x") if not streams else read(client.stream(MODEL, "x"))
            )
            await turns(rng.randrange(3))
            others = start(*(one() for _ in range(rng.randrange(1, 5))))
            await asyncio.sleep(rng.choice([0.0, rng.uniform(0.0, 2.0)]))
            first.cancel()
            assert await asyncio.gather(*others) == ["It is a story."] * len(others)
            await outcomes([first])
            await turns()
            assert_at_rest(client, transport)
            assert flights(client) == 0

    with virtual_time(seed) as time:
        time.run(main())
    assert transport.peak_in_flight <= 1


@pytest.mark.slow
def test_the_first_one_cancelled_at_a_random_moment_costs_nobody_else_anything() -> None:
    """A thousand seeds: an answer for each that stays, and never two requests at a time."""
    for seed in range(1000):
        crowd(seed)


class Storm:
    """Callers of a few questions, over a service that fails in every way; it answers with the question."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.ended = Counter[str]()
        self.transport = ScriptedTransport(self.service)

    def service(self, request: Outgoing) -> Step:
        """A whole answer more often than not."""
        rng, text = self.rng, text_of(request)
        delay, fate = rng.uniform(0.0, 1.0), rng.random()
        if fate < 0.1:
            return reply(status=rng.choice([400, 401, 429, 500, 503]), delay=delay)
        if fate < 0.15:
            return hang()
        if fate < 0.2:
            return fail(ConnectionLostError("gone", sent=True), delay=delay)
        if b'"stream":true' not in (request.body or b""):
            return reply(text, delay=delay)
        whole = stream(re.findall(r" ?\w+", text), delay=delay, interval=rng.uniform(0.0, 0.3))
        if fate < 0.3:
            return Reply(200, whole.headers, whole.pieces[: rng.randrange(1, 4)], delay, whole.interval)
        return whole

    async def caller(self, client: Client) -> None:
        """One call, whole or as a stream, read slowly or left early; what it gets must be its own."""
        rng = self.rng
        text = f"question number {rng.randrange(3)} of few"
        options: dict[str, Any] = {
            "timeout": rng.choice([0.5, 5.0, 30.0, 60.0]),
            "priority": Priority(rng.randrange(3)),
            "tenant": rng.choice(["", "", "t"]),
            "cache": rng.choice(["use", "use", "use", "refresh", "off"]),
        }
        await asyncio.sleep(rng.uniform(0.0, 5.0))
        try:
            if rng.random() < 0.5:
                assert (await client.chat(MODEL, text, **options)).text == text
            else:
                await self.reader(client.stream(MODEL, text, **options), text)
            self.ended["answered"] += 1
        except asyncio.CancelledError:
            self.ended["cancelled"] += 1
            raise
        except AsyncAPIError as error:
            self.ended[error.kind] += 1

    async def reader(self, answer: Any, text: str) -> None:
        """Reads, or leaves in the middle."""
        rng, said = self.rng, ""
        async with answer:
            async for chunk in answer:
                said += chunk.text
                await asyncio.sleep(rng.choice([0.0, 0.0, 0.3]))
                if rng.random() < 0.05:
                    return
        assert said == answer.response.text == text

    async def main(self) -> None:
        """Fifty callers, of whom some are cancelled; the client may close before they have ended."""
        rng = self.rng
        client = client_of(
            self.transport,
            seed=rng.randrange(9),
            limit=Fixed(rng.randrange(1, 4)),
            cache=rng.choice([None, Cache(ttl={"chat": 1.5}), Cache()]),
            keys=("k", "l", "m"),
        )
        tasks = start(*(self.caller(client) for _ in range(50)))
        for task in rng.sample(tasks, 15):
            asyncio.get_running_loop().call_later(rng.uniform(0.0, 6.0), task.cancel)
        if rng.random() < 0.3:
            await asyncio.sleep(rng.uniform(1.0, 5.0))
            await client.aclose(drain=rng.choice([0.0, 2.0]))
        for task, ended in zip(tasks, await outcomes(tasks), strict=True):
            assert ended is None or isinstance(ended, asyncio.CancelledError), (task, ended)
        await turns(10)
        before: Any = client._runtime.before
        assert before is None or len(before._flights) == 0
        assert_at_rest(client, self.transport)
        await client.aclose()


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 400, 100))
def test_in_any_weather_each_gets_its_own_answer_or_an_error(first: int) -> None:
    """Faults, deadlines, cancellations, slow readers and a closing client, in any order of the loop."""
    answered = 0
    for seed in range(first, first + 100):
        storm = Storm(seed)
        with virtual_time(seed, shuffle=0.3) as time:
            time.run(storm.main())
        answered += storm.ended["answered"]

    assert answered > 100 * 50 / 4
