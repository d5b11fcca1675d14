"""Guards over streams: the first token, the floor on throughput, and what binds a call to its target."""

from __future__ import annotations

import orjson
import pytest

from asyncapi import Client, Endpoint, ReadTimeoutError, Retry, StreamInterruptedError, Timeout
from asyncapi.testing import VirtualTime
from asyncapi.testing.scripted import Reply, ScriptedTransport, Step, reply, stream
from asyncapi.types.events import RouteMoved, VerdictGiven
from asyncapi.types.wire import Outgoing
from tests.core.worlds import MODEL, Recorder, assert_at_rest, caught, client_of, read

pytestmark = pytest.mark.virtual_time

WORDS = ("It ", "is ", "a ", "long ", "story.")
PING = b": ping\n\n"


def _event(delta: dict[str, object], **fields: object) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": None}]
    chunk = {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": choices} | fields
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


ROLE = _event({"role": "assistant", "content": ""})
#: What says nothing, as servers send it before the first token.
EMPTY = {
    "a ping": PING,
    "a role": ROLE,
    "a role and fields with nothing in them": _event(
        {"role": "assistant", "content": None, "function_call": None, "annotations": []}
    ),
    "a count of tokens": _event(
        {"role": "assistant", "content": ""}, usage={"prompt_tokens": 9, "completion_tokens": 0}
    ),
}


def _endless(opening: bytes, then: bytes, interval: float) -> Reply:
    return stream(raw=[opening, *[then] * 10_000], interval=interval)


# --- the first token ----------------------------------------------------------------------------


@pytest.mark.parametrize("empty", EMPTY.values(), ids=EMPTY)
async def test_a_service_that_says_nothing_is_given_up_after_the_time_to_the_first_token(
    empty: bytes, virtual_clock: VirtualTime
) -> None:
    """It was never silent, so neither the first byte's time nor the idle time ends it."""
    transport = ScriptedTransport([_endless(empty, empty, 1.0), stream(WORDS)])
    timeout = Timeout(first_byte=5.0, idle=5.0, first_token=20.0)
    async with client_of(transport, timeout=timeout) as client:
        answer = await read(client.stream(MODEL, "x"))
        assert_at_rest(client, transport)

    assert (answer.text, answer.attempts) == ("It is a long story.", 2)
    assert 20.0 <= virtual_clock.elapsed < 21.0


async def test_without_another_attempt_the_caller_is_told_what_was_missing() -> None:
    """The error names the endpoint and the time."""
    transport = ScriptedTransport([_endless(ROLE, PING, 1.0)])
    async with client_of(transport, timeout=Timeout(first_token=20.0), retry=Retry(attempts=1)) as client:
        error = await caught(ReadTimeoutError, client.stream(MODEL, "x").__aenter__())
        assert_at_rest(client, transport)

    assert "openai sent no first token within 20.0 s" in str(error)
    assert (error.retryable, error.sent) == (True, True)


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "Hi"},
        {"reasoning_content": "Hm"},
        {"refusal": "No"},
        {"tool_calls": [{"index": 0, "id": "t", "function": {"name": "f", "arguments": ""}}]},
        {"audio": {"data": "AAAA"}},
    ],
    ids=lambda delta: next(iter(delta)),
)
async def test_whatever_says_something_is_a_first_token(delta: dict[str, object]) -> None:
    """Thoughts, refusals, tool calls and what chunks have no field for count as well as text."""
    transport = ScriptedTransport([stream(raw=[ROLE, _event(delta)], interval=4.0, hang_after=2)])
    async with client_of(transport, timeout=Timeout(first_token=5.0)) as client:
        async with client.stream(MODEL, "x") as answer:
            await anext(answer)
        assert transport.total == 1
        assert_at_rest(client, transport)


async def test_what_says_nothing_is_delivered_before_what_does() -> None:
    """It waits for the first token; it is not lost."""
    pieces = [EMPTY["a count of tokens"], _event({"content": "Hi"})]
    transport = ScriptedTransport([stream(raw=pieces, interval=1.0, hang_after=2)])
    async with client_of(transport) as client, client.stream(MODEL, "x") as answer:
        first, second = await anext(answer), await anext(answer)

    assert first.usage is not None
    assert first.usage.input_tokens == 9
    assert second.text == "Hi"


async def test_what_a_failed_attempt_said_before_its_first_token_is_forgotten() -> None:
    """Counts of an attempt that gave nothing don't stand before another attempt's answer."""
    transport = ScriptedTransport([stream(raw=[EMPTY["a count of tokens"]], cut_after=1), stream(WORDS)])
    async with client_of(transport) as client, client.stream(MODEL, "x") as answer:
        first = await anext(answer)

    assert (first.text, first.usage) == ("It ", None)


@pytest.mark.parametrize("empty", EMPTY.values(), ids=EMPTY)
async def test_a_route_moves_on_when_nothing_was_said_yet(empty: bytes) -> None:
    """A role chunk, a ping and a cut: the next target answers, and the reader sees one whole answer."""

    def script(request: Outgoing) -> Step:
        return stream(raw=[empty], cut_after=1) if "one.test" in request.url else stream(WORDS)

    recorder = Recorder()
    endpoints = [
        Endpoint(
            "openai", name=name, base_url=f"https://{name}.test/v1", keys=("sk-a",), retry=Retry(attempts=1)
        )
        for name in ("one", "two")
    ]
    transport = ScriptedTransport(script)
    routes = {"smart": ["one:m", "two:m"]}
    async with Client(
        endpoints, routes=routes, transport=transport, hooks=[recorder], log=False, environment={}
    ) as client:
        texts: list[str] = []
        assert (await read(client.stream("smart", "x"), texts)).text == "It is a long story."
        assert "".join(texts) == "It is a long story."
        assert_at_rest(client, transport)

    assert [event.to for event in recorder.of(RouteMoved)] == ["two:m"]


async def test_after_the_first_token_no_other_target_is_asked() -> None:
    """A second answer would not continue the first."""
    transport = ScriptedTransport(default=stream(raw=[ROLE, _event({"content": "Hi"})], cut_after=2))
    endpoints = [
        Endpoint("openai", name=name, base_url=f"https://{name}.test/v1", keys=("sk-a",))
        for name in ("one", "two")
    ]
    routes = {"smart": ["one:m", "two:m"]}
    async with Client(endpoints, routes=routes, transport=transport, log=False, environment={}) as client:
        error = await caught(StreamInterruptedError, read(client.stream("smart", "x")))
        assert_at_rest(client, transport)

    assert transport.total == 1
    assert getattr(error.partial, "text", None) == "Hi"


async def test_a_plain_call_does_not_know_a_first_token() -> None:
    """Its answer comes whole: the time to the first byte is for it."""
    transport = ScriptedTransport([reply("late", delay=9.0)])
    async with client_of(transport, timeout=Timeout(first_token=5.0)) as client:
        assert (await client.chat(MODEL, "x")).text == "late"


# --- the floor on throughput --------------------------------------------------------------------


async def test_a_trickle_is_ended_although_it_is_never_silent(virtual_clock: VirtualTime) -> None:
    """One byte every 10 s, held to 10 bytes a second: over after a window of 30 s, with what arrived."""
    recorder = Recorder()
    whole = b"".join(stream(WORDS).pieces)
    opening = whole[: whole.index(b"\n\n") + 2]
    trickle = [opening, *(whole[i : i + 1] for i in range(len(opening), len(whole)))]
    transport = ScriptedTransport([stream(raw=trickle, interval=10.0)])
    timeout = Timeout(total=None, idle=60.0, minimum_rate=10.0)
    async with client_of(transport, timeout=timeout, hooks=[recorder]) as client:
        error = await caught(StreamInterruptedError, read(client.stream(MODEL, "x")))
        assert virtual_clock.elapsed == pytest.approx(30.3, abs=0.1)
        assert_at_rest(client, transport)

    assert "openai fell 30 s behind 10 bytes a second" in str(error)
    assert isinstance(error.__cause__, ReadTimeoutError)
    assert getattr(error.partial, "text", None) == "It "
    assert [event.verdict for event in recorder.of(VerdictGiven)] == ["failed"]
    assert transport.aborted == 1


async def test_a_stream_that_keeps_to_the_rate_is_left_alone(virtual_clock: VirtualTime) -> None:
    """Slow, but as quick as was asked for: about 180 bytes every 10 s."""
    transport = ScriptedTransport([stream(["x"] * 60, interval=10.0)])
    async with client_of(transport, timeout=Timeout(total=None, minimum_rate=10.0)) as client:
        assert (await read(client.stream(MODEL, "x"))).text == "x" * 60
    assert virtual_clock.elapsed >= 590.0


async def test_a_slow_reader_is_not_a_slow_service() -> None:
    """Only waiting for the service counts, not what the reader does between two chunks."""
    transport = ScriptedTransport([stream(WORDS, interval=1.0)])
    timeout = Timeout(total=None, minimum_rate=100.0, rate_window=3.0)
    async with client_of(transport, timeout=timeout) as client:
        assert (await read(client.stream(MODEL, "x"), pause=100)).text == "It is a long story."


async def test_thinking_before_the_first_token_is_not_slowness() -> None:
    """The floor is for an answer that has begun; until then the time to the first token is."""
    whole = stream(WORDS).pieces
    transport = ScriptedTransport([stream(raw=[*[PING] * 50, *whole], interval=1.0)])
    timeout = Timeout(minimum_rate=50.0, rate_window=10.0)
    async with client_of(transport, timeout=timeout) as client:
        assert (await read(client.stream(MODEL, "x"))).text == "It is a long story."


async def test_silence_is_still_told_as_silence() -> None:
    """The shorter of both limits ends the stream, and says which it was."""
    transport = ScriptedTransport([stream(WORDS, hang_after=2)])
    timeout = Timeout(idle=3.0, minimum_rate=10.0)
    async with client_of(transport, timeout=timeout) as client:
        error = await caught(StreamInterruptedError, read(client.stream(MODEL, "x")))

    assert "was silent for 3.0 s" in str(error)
