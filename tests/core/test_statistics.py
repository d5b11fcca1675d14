"""What is told and counted: ids, headers, error attributes, timings, events, statistics."""

from __future__ import annotations

import asyncio
import contextvars
import logging

import pytest
import structlog

from asyncapi import (
    AsyncAPIError,
    Client,
    ConfigError,
    Endpoint,
    Key,
    NotFoundError,
    Retry,
    ServerError,
    Timeout,
)
from asyncapi.telemetry.stats import MOST_NAMES, Collector
from asyncapi.telemetry.values import Live
from asyncapi.testing import VirtualTime
from asyncapi.testing.scripted import ScriptedTransport, Step, hang, reply, stream
from asyncapi.types.events import CallFinished, Event
from asyncapi.types.usage import Usage
from asyncapi.types.wire import Outgoing, WireResponse
from tests.core.worlds import (
    MODEL,
    Recorder,
    caught,
    client_of,
    outcomes,
    quota_reply,
    read,
    spread_calls,
    start,
    steady,
    turns,
    vectors,
)

pytestmark = pytest.mark.virtual_time


async def test_every_call_has_an_id_of_its_own_that_goes_out_with_it() -> None:
    """The same id in header, answer and event: what a support case needs."""
    recorder = Recorder()
    transport = steady()
    async with client_of(transport, hooks=[recorder]) as client:
        answers = await outcomes(spread_calls(client, 3))
        own = await client.chat(MODEL, "x", request_id="mine")

    ids = [getattr(answer, "request_id", "") for answer in answers]
    assert len(set(ids)) == 3
    assert own.request_id == "mine"
    sent = [sent.headers["X-Request-ID"] for sent in transport.requests]
    assert sent == [*ids, "mine"] == [event.request_id for event in recorder.of(CallFinished)]


async def test_every_attempt_of_a_call_carries_the_same_id() -> None:
    """One call is one id, however often it is sent."""
    transport = ScriptedTransport([reply(status=500), reply("fine")])
    async with client_of(transport) as client:
        answer = await client.chat(MODEL, "x")

    assert {sent.headers["X-Request-ID"] for sent in transport.requests} == {answer.request_id}


async def test_an_error_says_whose_it_is() -> None:
    """Endpoint, id and attempts, in attributes and in the message."""
    transport = ScriptedTransport(default=reply(status=500))
    async with client_of(transport, retry=Retry(attempts=2)) as client:
        error = await caught(ServerError, client.chat(MODEL, "x", request_id="mine"))

    assert (error.endpoint, error.request_id, error.attempts) == ("openai", "mine", 2)
    assert "[endpoint openai, request mine, attempts 2]" in str(error)


async def test_timings_say_where_the_time_went() -> None:
    """1 s of waiting, 1 s of service, 2 s in all."""
    async with client_of(steady(delay=1.0), limit=1) as client:
        _, second = await asyncio.gather(*spread_calls(client, 2))

    assert second.timings.queue_s == pytest.approx(1.0, abs=0.001)
    assert second.timings.service_s == pytest.approx(1.0, abs=0.001)
    assert second.timings.total_s == pytest.approx(2.0, abs=0.001)
    assert second.timings.first_token_s is None


async def test_each_way_to_end_is_counted_as_what_it_is() -> None:
    """Succeeded, failed, refused, cancelled; requests and retries beside them."""

    def script(request: Outgoing) -> Step:
        assert request.body is not None
        for word, answer in (("bad", reply(status=404)), ("slow", hang()), ("flaky", None)):
            if word.encode() in request.body:
                return answer or (reply("fine") if transport.total == 3 else reply(status=500))
        return reply("fine")

    transport = ScriptedTransport(script)
    async with client_of(transport, limit=1, queue_size=0) as client:
        await client.chat(MODEL, "fine")
        await client.chat(MODEL, "flaky")
        await outcomes([client.chat(MODEL, "bad")])
        slow, refused = start(client.chat(MODEL, "slow"), client.chat(MODEL, "no place"))
        await turns()
        slow.cancel()
        await outcomes([slow, refused])
        statistics = client.statistics().endpoints["openai"]

    calls = statistics.calls
    assert (calls.succeeded, calls.failed, calls.refused, calls.cancelled, calls.finished) == (2, 1, 1, 1, 5)
    assert calls.failures == {"not_found": 1, "queue_full": 1}
    assert (statistics.requests, statistics.retries) == (5, 1)
    assert statistics.keys["key-1"].ok == 2
    assert statistics.queue_wait.count == 5
    assert statistics.service_time.count == 2


async def test_a_call_that_was_sent_is_never_counted_as_refused() -> None:
    """Whatever its error's kind: refused means that it cost nothing."""
    collector = Collector()
    common = {"endpoint": "e", "backend": "b", "operation": "chat", "model": "m", "key": "k", "tag": ""}
    times = {"queue_wait_s": 0.0, "service_s": 0.0, "first_token_s": None, "total_s": 0.0, "usage": None}
    for attempts in (0, 1):
        collector.on_event(CallFinished(outcome="closed", attempts=attempts, **common, **times))  # type: ignore[arg-type]
    calls = collector.snapshot({"e": _live()}).endpoints["e"].calls

    assert (calls.refused, calls.failed) == (1, 1)


def _live() -> Live:
    return Live(
        backend="b",
        waiting=0,
        queue_size=0,
        in_flight=0,
        peak_in_flight=0,
        limit=1,
        breaker="closed",
        keys={},
    )


def _finished(i: int) -> CallFinished:
    return CallFinished(
        endpoint="e",
        request_id=str(i),
        backend="b",
        operation="chat",
        model=f"model-{i}",
        key="k",
        outcome="ok",
        attempts=1,
        queue_wait_s=0.0,
        service_s=0.1,
        first_token_s=None,
        total_s=0.1,
        usage=Usage(input_tokens=1, source="reported"),
        tag=f"tag-{i}",
    )


@pytest.mark.slow
def test_a_million_models_and_tags_take_bounded_memory() -> None:
    """litellm#12685: the first ones by name, the rest as "other", the sums exact."""
    collector = Collector()
    for i in range(1_000_000):
        collector.on_event(_finished(i))
    statistics = collector.snapshot({"e": _live()}).endpoints["e"]

    assert len(statistics.models) == len(statistics.tags) == MOST_NAMES + 1
    assert statistics.models["other"].succeeded == 1_000_000 - MOST_NAMES
    assert statistics.usage.input_tokens == 1_000_000


async def test_statistics_can_be_reset_and_what_is_in_flight_stays() -> None:
    """Counters from zero, the live numbers as they are."""
    async with client_of(steady(delay=1.0)) as client:
        await client.chat(MODEL, "x", tag="t")
        (call,) = start(client.chat(MODEL, "y"))
        await turns()
        client.reset_statistics()
        statistics = client.statistics().endpoints["openai"]
        assert (statistics.calls.finished, statistics.requests, statistics.tags) == (0, 0, {})
        assert statistics.in_flight == 1
        await call
        assert client.statistics().endpoints["openai"].calls.succeeded == 1


async def test_no_event_and_no_log_line_holds_a_secret_or_a_text() -> None:
    """Keys by name only, no prompt, no answer; in reprs neither."""
    recorder = Recorder(detail=True)
    lines: list[str] = []

    class Log:
        def __getattr__(self, level: str) -> object:
            return lambda *args, **kwargs: lines.append(f"{level} {args} {kwargs}")

    def script(request: Outgoing) -> Step:
        if request.url.endswith("/embeddings"):
            return vectors(request)
        if request.body and b"stream" in request.body:
            return stream(["an-answer"])
        return {1: quota_reply(), 2: reply(status=429), 3: reply(status=500)}.get(
            transport.total, reply("an-answer")
        )

    transport = ScriptedTransport(script)
    keys = [Key("sk-very-secret-1"), Key("sk-very-secret-2")]
    endpoint = Endpoint("openai", base_url="https://ai.test/v1", keys=tuple(keys))
    async with Client(
        [endpoint], transport=transport, hooks=[recorder], log=Log(), environment={}, seed=1
    ) as client:
        await client.chat(MODEL, "a-prompt")
        await read(client.stream(MODEL, "a-prompt"))
        await client.embed(MODEL, "1")
        told = [repr(event) for event in recorder.events] + lines
        told += [repr(client.statistics()), repr(client._runtime.endpoint("openai").keys.keys)]

    assert len({type(event) for event in recorder.events}) >= 6
    for word in ("sk-very-secret", "a-prompt", "an-answer"):
        assert [line for line in told if word in line] == []


async def test_a_hook_that_raises_fails_no_call_and_is_reported(virtual_clock: VirtualTime) -> None:
    """Its bug is the loop's to report; the hooks after it are told all the same."""

    class Broken:
        detail = False

        def on_event(self, event: Event, /) -> None:
            raise ZeroDivisionError(event.name)

    recorder = Recorder()
    async with client_of(steady(), hooks=[Broken(), recorder]) as client:
        assert (await client.chat(MODEL, "x")).text == "fine"

    assert len(recorder.of(CallFinished)) == 1
    errors = virtual_clock.take_loop_errors()
    assert {type(error.exception) for error in errors} == {ZeroDivisionError}


async def test_detail_events_are_made_only_for_who_asks() -> None:
    """A plain hook is told once per call and request."""
    plain, detailed = Recorder(), Recorder(detail=True)
    async with client_of(steady(), hooks=[plain, detailed]) as client:
        await client.chat(MODEL, "x")

    assert not any(event.detail for event in plain.events)
    assert any(event.detail for event in detailed.events)


async def test_context_variables_of_the_caller_are_seen_by_transport_and_hooks() -> None:
    """The work is done in the caller's own task."""
    user = contextvars.ContextVar("user", default="nobody")
    seen: list[str] = []

    class Seeing:
        detail = False

        def on_event(self, event: Event, /) -> None:
            seen.append(user.get())

    def script(_: Outgoing) -> Step:
        seen.append(user.get())
        return reply("fine")

    async with client_of(ScriptedTransport(script), limit=1, hooks=[Seeing()]) as client:

        async def as_user(name: str) -> None:
            user.set(name)
            await client.chat(MODEL, "x")

        await outcomes([as_user("ada"), as_user("bob")])

    assert seen == ["ada"] * 3 + ["bob"] * 3


async def test_the_log_has_one_quiet_line_per_event(caplog: pytest.LogCaptureFixture) -> None:
    """structlog by default, quiet until logging is configured."""
    caplog.set_level(logging.DEBUG)
    endpoint = Endpoint("openai", base_url="https://ai.test/v1", keys=("sk-a",))
    with structlog.testing.capture_logs() as captured:
        async with Client([endpoint], transport=steady(), environment={}) as client:
            await client.chat(MODEL, "x")
    assert all("sk-a" not in str(line) for line in captured)


async def test_options_of_a_view_hold_for_its_calls_only() -> None:
    """with_options shares everything but the defaults."""
    transport = steady(delay=5.0)
    async with client_of(transport, keys=[Key("sk-a", name="a"), Key("sk-b", name="b")]) as client:
        hasty = client.with_options(timeout=Timeout(total=1.0), key="b")
        (error,) = await outcomes([hasty.chat(MODEL, "x")])
        assert isinstance(error, AsyncAPIError)
        assert (await client.chat(MODEL, "x", key="a")).served.key == "a"
        assert (await hasty.chat(MODEL, "x", timeout=None)).served.key == "b"
        assert hasty.statistics() == client.statistics()


async def test_an_option_that_does_not_exist_is_refused() -> None:
    """A typing error in a keyword must not be ignored quietly."""
    async with client_of(steady()) as client:
        await caught(ConfigError, client.embed(MODEL, "x", prioritty=1))  # type: ignore[call-arg]
        await caught(ConfigError, client.chat(MODEL, "x", prioritty=1))  # type: ignore[call-arg]
        with pytest.raises(ConfigError, match="prioritty"):
            client.with_options(prioritty=1)  # type: ignore[call-arg]


async def test_a_backend_of_ones_own_needs_four_members() -> None:
    """Service, error and stream have defaults."""
    openai = client_of(steady())._runtime._backend("openai")

    class Mine:
        name = "mine"
        base_url = "https://mine.test"

        def encode(self, request: object) -> object:
            return openai.encode(request)  # type: ignore[arg-type]

        def authorize(self, secret: str) -> dict[str, str]:
            return {"X-Key": secret}

        def decode(self, request: object, answer: WireResponse) -> object:
            return openai.decode(request, answer)  # type: ignore[arg-type]

    transport = ScriptedTransport([reply("mine"), reply(status=404), stream(["a"])])
    async with Client(
        backends=[Mine()],  # type: ignore[list-item]
        transport=transport,
        log=False,
        environment={"MINE_API_KEY": "k"},
    ) as client:
        assert (await client.chat("mine:m", "x")).text == "mine"
        await caught(NotFoundError, client.chat("mine:m", "x"))
        error = await outcomes([read(client.stream("mine:m", "x"))])
        assert "has no stream()" in str(error[0])
    assert transport.requests[0].headers["X-Key"] == "k"
