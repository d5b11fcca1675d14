"""Keys: what one meets is no other's trouble."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from asyncapi import (
    ChatResponse,
    Client,
    ConfigError,
    Endpoint,
    Key,
    KeyPool,
    NoKeyAvailableError,
    QuotaExhaustedError,
    RateLimitError,
    Retry,
    Timeout,
)
from asyncapi.testing import VirtualTime
from asyncapi.testing.scripted import ScriptedTransport, Step, hang, reply, stream
from asyncapi.types.events import KeyParked, QueueRefused, RetryScheduled
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
    quota_reply,
    read,
    spread_calls,
    start,
    steady,
    turns,
)

pytestmark = pytest.mark.virtual_time

A, B, C, D = (Key(f"sk-{name}", name=name) for name in "abcd")


def _once(first: Step) -> Callable[[Outgoing], Step]:
    """The first request with key a gets this, every other its key's name."""
    seen: Counter[str] = Counter()

    def script(request: Outgoing) -> Step:
        seen[key_of(request)] += 1
        return first if key_of(request) == "sk-a" and seen["sk-a"] == 1 else reply(key_of(request))

    return script


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "2"}, 2.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"Retry-After": "3600"}, 3600.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "-5"}, 0.0),
        ({"Retry-After": "soon"}, 0.0),
        ({"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-remaining-requests": "0"}, 360.0),
    ],
)
async def test_nothing_leaves_with_a_key_before_its_retry_after(
    headers: dict[str, str], seconds: float
) -> None:
    """Whatever dialect the delay is in, also for calls that were queued before and came after."""
    transport = ScriptedTransport(_once(reply(status=429, headers=headers)))
    async with client_of(transport, keys=[A], limit=3, timeout=Timeout(total=None)) as client:
        first = start(*spread_calls(client, 1))
        await asyncio.sleep(0.01)
        later = start(*spread_calls(client, 20))
        answers = await outcomes([*first, *later])
        assert_at_rest(client, transport)

    assert {type(answer) for answer in answers} == {ChatResponse}
    times = [sent.time for sent in transport.requests]
    assert times[0] < 0.001
    assert times[1] >= seconds
    assert times[1] <= max(1.1 * seconds, 1.0) + 0.1


async def test_a_date_says_when_too() -> None:
    """Retry-After as an HTTP date, read against the answer's own Date."""
    now = datetime.now(UTC).replace(microsecond=0)
    dates = {
        "Date": format_datetime(now, usegmt=True),
        "Retry-After": format_datetime(now + timedelta(seconds=7), usegmt=True),
    }
    transport = ScriptedTransport(_once(reply(status=429, headers=dates)))
    async with client_of(transport, keys=[A]) as client:
        await client.chat(MODEL, "x")

    assert transport.requests[1].time >= 6.0


async def test_a_later_shorter_rest_does_not_shorten_the_first() -> None:
    """Two in flight are throttled, 10 s and then 1 s: nothing leaves for 10 s."""
    answers = [reply(status=429, retry_after=10, delay=0.1), reply(status=429, retry_after=1, delay=0.2)]
    transport = ScriptedTransport(answers, default=reply("fine"))
    async with client_of(transport, keys=[A], limit=2) as client:
        await outcomes(spread_calls(client, 4))

    assert transport.requests[2].time >= 10.1


async def test_another_key_is_used_at_once(virtual_clock: VirtualTime) -> None:
    """A throttled call moves on without a wait, and its key rests for everybody."""
    transport = ScriptedTransport(_once(reply(status=429, retry_after=30)))
    async with client_of(transport, keys=[A, B]) as client:
        answers = await asyncio.gather(*spread_calls(client, 6))
        assert virtual_clock.elapsed < 0.01
        assert sum(key_name == "sk-a" for key_name in [a.text for a in answers]) <= 2
        assert client.statistics().endpoints["openai"].keys["a"].state == "cooling"
        assert (await client.chat(MODEL, "y")).served.key == "b"


async def test_used_up_quota_parks_the_key_and_the_call_goes_on_with_another() -> None:
    """Money is no rate: the key is out for an hour, the caller notices nothing."""
    recorder = Recorder()
    transport = ScriptedTransport(_once(quota_reply()))
    async with client_of(transport, keys=[A, B], hooks=[recorder], retry=Retry(attempts=1)) as client:
        answer = await client.chat(MODEL, "x")
        assert (answer.text, answer.attempts) == ("sk-b", 2)
        assert client.statistics().endpoints["openai"].keys["a"].state == "quota_exhausted"

    assert [(e.key, e.reason) for e in recorder.of(KeyParked)] == [("a", "quota_exhausted")]


async def test_the_last_keys_quota_is_the_callers_error_and_the_next_call_is_refused() -> None:
    """First the service's own word, then a refusal that says when and how to go on."""
    recorder = Recorder()
    transport = ScriptedTransport(default=quota_reply())
    async with client_of(transport, keys=[A], hooks=[recorder]) as client:
        first = await caught(QuotaExhaustedError, client.chat(MODEL, "x"))
        second = await caught(NoKeyAvailableError, client.chat(MODEL, "y"))
        assert_at_rest(client, transport)

    assert (first.sent, first.attempts) == (True, 1)
    assert (second.sent, second.attempts) == (False, 0)
    assert second.retry_after == pytest.approx(3600, abs=1)
    assert "a (quota_exhausted)" in str(second)
    assert transport.total == 1
    assert recorder.of(RetryScheduled) == []  # nothing was left to retry with
    assert [event.error for event in recorder.of(QueueRefused)] == ["no_key"]


async def test_one_revoked_key_among_four_never_costs_a_visible_failure() -> None:
    """Every call succeeds, and the dead key is asked once in five minutes."""

    def script(request: Outgoing) -> Step:
        return reply(status=401) if key_of(request) == "sk-b" else reply("fine", delay=0.1)

    transport = ScriptedTransport(script)
    async with client_of(transport, keys=[A, B, C, D], queue_size=500, retry=Retry(attempts=1)) as client:
        answers = await outcomes(spread_calls(client, 400))
        assert {type(answer) for answer in answers} == {ChatResponse}
        with_b = [sent for sent in transport.requests if key_of_sent(sent.headers) == "sk-b"]
        assert len(with_b) == 1
        assert client.statistics().endpoints["openai"].keys["b"].state == "authentication"
        assert_at_rest(client, transport)

        await asyncio.sleep(301)
        await client.chat(MODEL, "x", key="a")
        assert client.statistics().endpoints["openai"].keys["b"].state == "ready"


def key_of_sent(headers: object) -> str:
    """The secret in a request that came."""
    return str(headers["Authorization"]).removeprefix("Bearer ")  # type: ignore[index]


async def test_calls_that_wait_for_a_key_that_is_parked_meanwhile_are_refused() -> None:
    """They would wait for an hour."""
    transport = ScriptedTransport([reply(delay=1.0), quota_reply()], default=hang())
    async with client_of(transport, keys=[A], limit=1) as client:
        calls = start(*spread_calls(client, 5))
        results = await outcomes(calls)
        assert_at_rest(client, transport)

    assert [type(r) for r in results] == [ChatResponse, QuotaExhaustedError] + [NoKeyAvailableError] * 3


async def test_a_key_added_while_running_lets_waiting_calls_go(virtual_clock: VirtualTime) -> None:
    """The only key rests for a minute; the new one goes at once."""
    transport = ScriptedTransport(_once(reply(status=429, retry_after=60)))
    async with client_of(transport, keys=[A]) as client:
        waiting = start(*spread_calls(client, 3))
        await asyncio.sleep(1)
        client.keys("openai").add(B)
        answers = await asyncio.gather(*waiting)
        assert virtual_clock.elapsed < 1.1
        assert answers[0].text == "sk-b"
        assert client.keys("openai").names() == ("a", "b")


async def test_a_new_secret_under_a_known_name_replaces_the_old_one() -> None:
    """Calls under way keep the old one; the count of the new one begins at zero."""
    transport = ScriptedTransport(lambda request: reply(key_of(request), delay=1.0))
    async with client_of(transport, keys=[A]) as client:
        under_way = start(*spread_calls(client, 2))
        await turns()
        client.keys("openai").add(Key("sk-new", name="a"))
        assert client.statistics().endpoints["openai"].keys["a"].in_flight == 0
        later = await client.chat(MODEL, "x")
        answers = await asyncio.gather(*under_way)
        assert ([a.text for a in answers], later.text) == (["sk-a"] * 2, "sk-new")
        assert_at_rest(client, transport)


async def test_a_key_added_without_a_name_never_takes_the_place_of_another() -> None:
    """key-1 was removed, so the pool of two has a key-3 already: the new one is another one."""
    async with client_of(steady(), keys=["sk-1", "sk-2", "sk-3"]) as client:
        keys = client.keys("openai")
        keys.remove("key-1")
        keys.add(Key("sk-4"))

        assert len(keys.names()) == 3
        assert {"key-2", "key-3"} < set(keys.names())
        assert len({key.headers["Authorization"] for key in core(client).keys.keys}) == 3


async def test_a_key_removed_while_leased_finishes_its_calls() -> None:
    """Its count goes down with the lease; nobody new gets it."""
    transport = ScriptedTransport(lambda request: reply(key_of(request), delay=1.0))
    async with client_of(transport, keys=[A, B], limit=2) as client:
        under_way = start(*spread_calls(client, 2))
        await turns()
        client.keys("openai").remove("a")
        later = start(*spread_calls(client, 4))
        answers = await asyncio.gather(*under_way, *later)
        assert [answer.text for answer in answers] == ["sk-a"] + ["sk-b"] * 5
        assert client.statistics().endpoints["openai"].keys["a"].state == "removed"
        assert_at_rest(client, transport)


async def test_removing_a_key_refuses_the_calls_that_could_only_use_it() -> None:
    """The pinned one hears it at once, the others go on."""
    async with client_of(steady(), keys=[A, B], limit=1) as client:
        blocker, *rest = start(
            client.chat(MODEL, "0"), client.chat(MODEL, "1", key="a"), client.chat(MODEL, "2")
        )
        await turns()
        client.keys("openai").remove("a")
        error = await caught(NoKeyAvailableError, rest[0])
        assert (error.retryable, error.retry_after) == (False, None)
        assert "no key named 'a'" in str(error)
        assert (await rest[1]).served.key == "b"
        await blocker


async def test_removing_the_last_key_refuses_everyone_until_there_is_one() -> None:
    """An endpoint without keys that needs one sends nothing."""
    transport = steady()
    async with client_of(transport, keys=[A]) as client:
        client.keys("openai").remove("a")
        error = await caught(NoKeyAvailableError, client.chat(MODEL, "x"))
        assert "no key that this call may use" in str(error)
        client.keys("openai").add(B)
        assert (await client.chat(MODEL, "x")).served.key == "b"
        assert transport.total == 1


async def test_restoring_a_parked_key_lets_it_go_at_once(virtual_clock: VirtualTime) -> None:
    """The operator paid the bill: no need to wait for the hour."""
    transport = ScriptedTransport(_once(quota_reply()))
    async with client_of(transport, keys=[A]) as client:
        await caught(QuotaExhaustedError, client.chat(MODEL, "x"))
        client.keys("openai").restore("a")
        assert (await client.chat(MODEL, "x")).text == "sk-a"
        assert virtual_clock.elapsed < 1.0


async def test_restoring_a_cooling_key_wakes_the_calls_that_wait_for_it(virtual_clock: VirtualTime) -> None:
    """Nothing but the operator's word makes them go before its time."""
    transport = ScriptedTransport(_once(reply(status=429, retry_after=500)))
    async with client_of(transport, keys=[A]) as client:
        calls = start(*spread_calls(client, 3))
        await asyncio.sleep(2)
        client.keys("openai").restore("a")
        await asyncio.gather(*calls)
        assert virtual_clock.elapsed < 2.1


async def test_unknown_keys_are_named_with_those_there_are() -> None:
    """For remove and restore."""
    async with client_of(steady(), keys=[A, B]) as client:
        keys = client.keys("openai")
        with pytest.raises(ConfigError, match="no key 'z'; it has a, b"):
            keys.remove("z")
        with pytest.raises(ConfigError, match="no key 'z'; it has a, b"):
            keys.restore("z")


async def test_a_keys_requests_per_minute_are_kept_and_refunded_when_nothing_was_sent() -> None:
    """60 a minute: one a second, and a lease that was given back unused costs none."""
    transport = steady(delay=0.0)
    async with client_of(transport, keys=[Key("sk-a", name="a", requests_per_minute=60)]) as client:
        await asyncio.gather(*spread_calls(client, 20))
        times = [sent.time for sent in transport.requests]

        assert all(b - a >= 1.0 - 1e-6 for a, b in itertools.pairwise(times))
        assert times[-1] == pytest.approx(19.0, abs=0.1)


async def test_a_users_own_key_is_used_for_that_user_only() -> None:
    """Reserved keys serve their users; everyone else shares the others."""
    reserved = Key("sk-r", name="r", users=("ada",))
    transport = ScriptedTransport(lambda request: reply(key_of(request)))
    async with client_of(transport, keys=[A, reserved]) as client:
        adas = await asyncio.gather(*spread_calls(client, 4, user="ada"))
        others = await asyncio.gather(*spread_calls(client, 4, user="bob"), *spread_calls(client, 4))

    assert {answer.text for answer in adas} == {"sk-r"}
    assert {answer.text for answer in others} == {"sk-a"}


@pytest.mark.parametrize("strategy", ["round_robin", "least_loaded", "weighted"])
async def test_every_strategy_spreads_calls_over_the_keys(strategy: str) -> None:
    """Nobody's key does all the work."""
    pool = KeyPool((A, B, C), strategy=strategy)  # type: ignore[arg-type]
    transport = ScriptedTransport(lambda request: reply(key_of(request), delay=0.1))
    async with client_of(transport, keys=pool, limit=6) as client:
        answers = await asyncio.gather(*spread_calls(client, 30))

    assert Counter(answer.text for answer in answers) == {"sk-a": 10, "sk-b": 10, "sk-c": 10}


async def test_a_wait_of_hours_is_the_callers_to_decide() -> None:
    """More than an hour: the error at once, with the time in it."""
    transport = ScriptedTransport(default=reply(status=429, retry_after=7200))
    async with client_of(transport, keys=[A]) as client:
        error = await caught(RateLimitError, client.chat(MODEL, "x"))

    assert error.retry_after == 7200
    assert transport.total == 1


async def test_an_endpoint_without_keys_gets_its_first_one_while_running() -> None:
    """The nameless stand-in goes, the call under way with it finishes."""
    transport = ScriptedTransport(
        lambda request: reply(request.headers.get("Authorization", "none"), delay=1.0)
    )
    endpoint = Endpoint("vllm", base_url="http://localhost:8000/v1", keys=())
    async with Client([endpoint], transport=transport, log=False, environment={}) as client:
        under_way = asyncio.ensure_future(client.chat("vllm:m", "x"))
        await turns()
        client.keys("vllm").add(Key("sk-first"))
        assert (await client.chat("vllm:m", "y")).text == "Bearer sk-first"
        assert (await under_way).text == "none"
        assert client.keys("vllm").names() == ("key-1",)
        assert_at_rest(client, transport)


async def test_a_streams_head_that_tells_of_more_wakes_who_waits() -> None:
    """A stream settles only at its end: what its head says of the key is used at once."""
    none_left = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "0"}
    much_left = {**none_left, "x-ratelimit-remaining-requests": "30"}
    answers: list[Step] = [
        reply("a", headers=none_left, delay=0.1),
        stream(["b", "c"], headers=much_left, delay=0.2, interval=30.0),
        reply("d", headers=much_left),
    ]
    transport = ScriptedTransport(answers)
    async with client_of(transport, keys=[A], limit=2) as client:
        await client.chat(MODEL, "first")
        reader = start(read(client.stream(MODEL, "second")))
        await asyncio.sleep(0.001)
        waiting = start(*spread_calls(client, 1))
        await outcomes([*reader, *waiting])

    times = [sent.time for sent in transport.requests]
    assert times[1] == pytest.approx(1.1, abs=0.01)
    assert times[2] == pytest.approx(1.3, abs=0.01)


async def test_a_parked_key_that_is_back_lets_the_queue_go_on() -> None:
    """While the other key rests for long: nobody sleeps until that one is ready."""

    def answer(request: Outgoing) -> Step:
        if key_of(request) == "sk-a":
            return reply(status=401) if request_count(request) == 1 else reply("fine")
        return reply(status=429, retry_after=3000.0)

    seen: Counter[str] = Counter()

    def request_count(request: Outgoing) -> int:
        seen[key_of(request)] += 1
        return seen[key_of(request)]

    transport = ScriptedTransport(answer)
    async with client_of(transport, keys=[A, B], timeout=Timeout(total=None)) as client:
        (answered,) = await outcomes(spread_calls(client, 1))

    assert isinstance(answered, ChatResponse)
    assert transport.requests[-1].time == pytest.approx(300.0, abs=0.1)


async def test_a_key_that_rests_for_hours_does_not_end_the_call_while_another_is_free(
    virtual_clock: VirtualTime,
) -> None:
    """More than an hour is not waited for; the other key need not be waited for at all."""

    def answer(request: Outgoing) -> Step:
        return reply(status=429, retry_after=7200) if key_of(request) == "sk-a" else reply("fine")

    transport = ScriptedTransport(answer)
    async with client_of(transport, keys=[A, B], timeout=Timeout(total=None)) as client:
        assert (await client.chat(MODEL, "x")).text == "fine"
        assert virtual_clock.elapsed < 1.0
        error = await caught(RateLimitError, client.chat(MODEL, "x", key="a", timeout=None))

    assert error.retry_after == 7200


async def test_when_all_keys_rest_for_hours_the_call_ends_with_what_the_service_said(
    virtual_clock: VirtualTime,
) -> None:
    """Nobody is kept for two hours."""
    transport = ScriptedTransport(default=reply(status=429, retry_after=7200))
    async with client_of(transport, keys=[A, B], timeout=Timeout(total=None)) as client:
        error = await caught(RateLimitError, client.chat(MODEL, "x"))

    assert (error.attempts, error.retry_after) == (2, 7200)
    assert virtual_clock.elapsed < 1.0
