"""Streams: the same stations, chunk by chunk, and never a quiet short answer."""

from __future__ import annotations

import asyncio
import gc

import orjson
import pytest

from asyncapi import (
    AuthenticationError,
    Breaker,
    ConfigError,
    ConnectError,
    ConnectionLostError,
    DeadlineExceededError,
    Key,
    RateLimitError,
    ReadTimeoutError,
    Retry,
    ServerError,
    StreamInterruptedError,
    Timeout,
)
from asyncapi.testing import VirtualTime
from asyncapi.testing.scripted import ScriptedTransport, Step, fail, hang, reply, stream
from asyncapi.types.events import CallFinished, VerdictGiven
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
    turns,
)

pytestmark = pytest.mark.virtual_time

WORDS = ("It ", "is ", "a ", "long ", "story.")


def _event(*choices: tuple[int, str, str | None]) -> bytes:
    listed = [{"index": i, "delta": {"content": t}, "finish_reason": r} for i, t, r in choices]
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": listed}
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def _error_event(kind: str = "server_error") -> bytes:
    return b"data: " + orjson.dumps({"error": {"message": "no", "type": kind, "code": kind}}) + b"\n\n"


async def test_a_stream_gives_its_chunks_and_then_the_whole_answer() -> None:
    """Chunks as they come, the response at the end, one call counted."""
    recorder = Recorder()
    transport = ScriptedTransport([stream(WORDS, delay=0.5, interval=0.1)])
    async with client_of(transport, hooks=[recorder]) as client:
        async with client.stream(MODEL, "x") as answer:
            texts = [chunk.text async for chunk in answer]
        assert_at_rest(client, transport)

    assert "".join(texts) == "It is a long story."
    assert answer.response.text == "It is a long story."
    assert answer.response.timings.first_token_s == pytest.approx(0.5, abs=0.01)
    assert answer.response.request_id == answer.request_id
    (finished,) = recorder.of(CallFinished)
    assert (finished.outcome, finished.attempts) == ("ok", 1)
    assert finished.usage is not None


async def test_collect_gives_the_whole_answer() -> None:
    """One line for who doesn't want the chunks."""
    async with client_of(ScriptedTransport([stream(WORDS)])) as client:
        response = await read(client.stream(MODEL, "x"))

    assert response.text == "It is a long story."


async def test_leaving_early_frees_permit_and_connection_at_once() -> None:
    """``break`` after the first chunk: the next call goes in the same moment."""
    transport = ScriptedTransport([stream(WORDS, interval=10.0), reply("next")])
    async with client_of(transport, limit=1) as client:
        async with client.stream(MODEL, "x") as answer:
            async for _ in answer:
                break
        assert (transport.in_flight, transport.aborted) == (0, 1)
        assert core(client).semaphore.in_flight == 0
        assert (await client.chat(MODEL, "y")).text == "next"
        assert [chunk async for chunk in answer] == []

        calls = client.statistics().endpoints["openai"].calls
        assert (calls.succeeded, calls.cancelled) == (1, 1)
        with pytest.raises(ConfigError, match="read to its end"):
            _ = answer.response


async def test_an_exception_in_the_body_frees_everything_and_is_the_callers_own() -> None:
    """What the reader raises passes through."""
    transport = ScriptedTransport([stream(WORDS, interval=10.0)])
    async with client_of(transport) as client:

        async def careless() -> None:
            async with client.stream(MODEL, "x") as answer:
                async for _ in answer:
                    raise KeyError("mine")

        await caught(KeyError, careless())
        assert_at_rest(client, transport)


@pytest.mark.parametrize("after", range(1, 6))
async def test_a_cut_stream_raises_with_the_part_that_arrived(after: int) -> None:
    """Cut after any chunk: a typed error, the part in it, never a short answer."""
    transport = ScriptedTransport([stream(WORDS, interval=0.1, cut_after=after)])
    async with client_of(transport) as client:
        got: list[str] = []
        answer = client.stream(MODEL, "x")
        error = await caught(StreamInterruptedError, read(answer, got))
        assert_at_rest(client, transport)

    assert "".join(got) == "".join(WORDS[:after])
    assert getattr(error.partial, "text", None) == "".join(got)
    assert isinstance(error.__cause__, ConnectionLostError)
    assert (error.attempts, error.endpoint, error.request_id) == (1, "openai", answer.request_id)


async def test_a_stream_that_ends_without_its_proof_is_interrupted() -> None:
    """A clean end of the body is no proof: finish reason and [DONE] are missing."""
    transport = ScriptedTransport([stream(raw=[_event((0, "half", None))])])
    async with client_of(transport) as client:
        error = await caught(StreamInterruptedError, read(client.stream(MODEL, "x")))
        assert_at_rest(client, transport)

    assert getattr(error.partial, "text", None) == "half"
    assert error.__cause__ is not error


async def test_an_error_before_the_first_chunk_is_retried() -> None:
    """Nothing was delivered yet: 500, a cut, an error event, an empty stream, then the answer."""
    transport = ScriptedTransport(
        [
            reply(status=500),
            stream(WORDS, cut_after=0),
            stream(raw=[_error_event()]),
            stream(raw=[]),
            stream(WORDS),
        ]
    )
    async with client_of(transport, retry=Retry(attempts=5), breaker=Breaker(failure_threshold=9)) as client:
        response = await read(client.stream(MODEL, "x"))
        assert_at_rest(client, transport)

    assert response.text == "It is a long story."
    assert response.attempts == 5


async def test_an_error_event_after_the_first_chunk_is_never_retried() -> None:
    """Content was delivered: the stream is interrupted, with the service's error as the cause."""
    transport = ScriptedTransport([stream(raw=[_event((0, "He", None)), _error_event()])])
    async with client_of(transport) as client:
        error = await caught(StreamInterruptedError, read(client.stream(MODEL, "x")))
        assert transport.total == 1
        assert_at_rest(client, transport)

    assert isinstance(error.__cause__, ServerError)


async def test_an_error_in_the_same_piece_as_a_chunk_comes_after_the_chunk() -> None:
    """What arrived is delivered first."""
    transport = ScriptedTransport([stream(raw=[_event((0, "He", None)) + _error_event()])])
    async with client_of(transport) as client:
        async with client.stream(MODEL, "x") as answer:
            assert (await anext(answer)).text == "He"
            await caught(StreamInterruptedError, anext(answer))
        assert_at_rest(client, transport)


async def test_a_rate_limit_inside_a_stream_cools_the_key_for_everyone() -> None:
    """A throttled answer is one wherever it is said: the next call takes the other key."""

    def script(request: Outgoing) -> Step:
        if request.body and b'"stream":true' in request.body:
            return stream(raw=[_event((0, "He", None)), _error_event("rate_limit_exceeded")])
        return reply(key_of(request))

    keys = (Key("sk-a", name="a"), Key("sk-b", name="b"))
    async with client_of(ScriptedTransport(script), keys=keys) as client:
        error = await caught(StreamInterruptedError, read(client.stream(MODEL, "x", key="a")))
        assert isinstance(error.__cause__, RateLimitError)
        state = client.statistics().endpoints["openai"].keys["a"]
        assert (state.throttled, state.state) == (1, "cooling")


async def test_a_refused_stream_ends_with_the_services_error() -> None:
    """A 401 before any chunk is an ordinary error, with its whole body read."""
    body = orjson.dumps({"error": {"message": "bad key", "type": "invalid_request_error", "code": "x"}})
    answer = stream(raw=[body[:10], body[10:]])
    refused = type(answer)(401, {"Content-Type": "application/json"}, answer.pieces)
    async with client_of(ScriptedTransport([refused])) as client:
        with pytest.raises(AuthenticationError, match="bad key"):
            await read(client.stream(MODEL, "x"))
        assert_at_rest(client)


async def test_an_error_without_a_body_is_an_error_all_the_same() -> None:
    """Nothing to read, and no second read either."""
    empty = stream(raw=[])
    async with client_of(ScriptedTransport([type(empty)(404, {}, ())])) as client:
        error = (await outcomes([client.stream(MODEL, "x").__aenter__()]))[0]
        assert getattr(error, "status", None) == 404


async def test_a_silent_stream_is_ended_after_the_idle_time(virtual_clock: VirtualTime) -> None:
    """Two chunks, then silence: 3 s later an error, and the connection is gone."""
    transport = ScriptedTransport([stream(WORDS, interval=1.0, hang_after=2)])
    async with client_of(transport, timeout=Timeout(idle=3.0)) as client:
        error = await caught(StreamInterruptedError, read(client.stream(MODEL, "x")))
        assert virtual_clock.elapsed == pytest.approx(4.0, abs=0.01)
        assert_at_rest(client, transport)

    assert isinstance(error.__cause__, ReadTimeoutError)
    assert getattr(error.partial, "text", None) == "It is "


async def test_silence_before_the_first_chunk_is_retried(virtual_clock: VirtualTime) -> None:
    """A role delta without content, then nothing: another attempt after the idle time."""
    opening = b'data: {"id":"c","object":"chat.completion.chunk","model":"m","choices":[]}\n\n'
    transport = ScriptedTransport([stream(raw=[opening], hang_after=1), stream(WORDS)])
    async with client_of(transport, timeout=Timeout(idle=3.0)) as client:
        assert (await read(client.stream(MODEL, "x"))).attempts == 2
    assert 3.0 <= virtual_clock.elapsed < 4.0


async def test_a_reader_that_is_slow_between_chunks_is_not_the_services_fault() -> None:
    """The idle time counts only while someone reads."""
    recorder = Recorder()
    transport = ScriptedTransport([stream(WORDS)])
    async with client_of(transport, timeout=Timeout(idle=3.0, total=None), hooks=[recorder]) as client:
        assert (await read(client.stream(MODEL, "x"), pause=100)).text == "It is a long story."

    assert [event.verdict for event in recorder.of(VerdictGiven)] == ["ok"]


async def test_a_deadline_that_the_reader_let_pass_is_not_the_services_fault() -> None:
    """It thought for 20 s between two chunks: the stream ends, the breaker learns nothing."""
    recorder = Recorder()
    transport = ScriptedTransport(default=stream(WORDS, interval=0.1))
    breaker = Breaker(failure_threshold=1)
    async with client_of(transport, timeout=Timeout(total=10.0), hooks=[recorder], breaker=breaker) as client:
        await caught(StreamInterruptedError, read(client.stream(MODEL, "x"), pause=20))
        assert client.statistics().endpoints["openai"].breaker.state == "closed"

    assert [event.verdict for event in recorder.of(VerdictGiven)] == ["ignored"]


async def test_a_stream_that_outlasts_its_deadline_ends_then(virtual_clock: VirtualTime) -> None:
    """Never silent, never done: the total time ends it, and that counts for the breaker."""
    recorder = Recorder()
    transport = ScriptedTransport([stream(["x"] * 1000, interval=1.0)])
    async with client_of(transport, timeout=Timeout(total=10.5), hooks=[recorder]) as client:
        with pytest.raises(StreamInterruptedError, match=r"did not end its stream within 10\.5 s"):
            await read(client.stream(MODEL, "x"))
        assert virtual_clock.elapsed == pytest.approx(10.5, abs=0.01)
        assert_at_rest(client, transport)

    assert [event.verdict for event in recorder.of(VerdictGiven)] == ["failed"]


async def test_a_stream_that_never_begins_ends_at_its_deadline(virtual_clock: VirtualTime) -> None:
    """While waiting for the first chunk the total time is the call's own."""
    transport = ScriptedTransport([hang()])
    async with client_of(transport, timeout=2.0) as client:
        await caught(ReadTimeoutError, client.stream(MODEL, "x").__aenter__())
        assert virtual_clock.elapsed == pytest.approx(2.0, abs=0.01)
        assert_at_rest(client, transport)


async def test_the_time_to_the_first_byte_has_a_limit_of_its_own(virtual_clock: VirtualTime) -> None:
    """A head that never comes is given up after it, and retried."""
    transport = ScriptedTransport([hang(), stream(WORDS)])
    async with client_of(transport, timeout=Timeout(first_byte=1.5)) as client:
        assert (await read(client.stream(MODEL, "x"))).attempts == 2
    assert 1.5 <= virtual_clock.elapsed < 2.1


async def test_a_stream_that_waits_for_its_permit_can_be_refused_by_deadline() -> None:
    """Nothing was sent, and the error says so."""
    transport = ScriptedTransport([hang()])
    async with client_of(transport, limit=1) as client:
        blocker = asyncio.ensure_future(client.chat(MODEL, "x"))
        await turns()
        error = await caught(DeadlineExceededError, client.stream(MODEL, "y", timeout=1.0).__aenter__())
        blocker.cancel()
        await outcomes([blocker])
        assert error.sent is False
        assert_at_rest(client, transport)


async def test_a_stream_that_is_never_entered_holds_nothing_and_warns_of_nothing() -> None:
    """An object is not a call."""
    transport = ScriptedTransport()
    async with client_of(transport) as client:
        answer = client.stream(MODEL, "x")
        with pytest.raises(ConfigError, match="async with"):
            await anext(answer)
        del answer
        gc.collect()
        assert transport.total == 0
        assert_at_rest(client, transport)


async def test_a_stream_can_be_entered_only_once() -> None:
    """A second answer would be mixed with the first."""
    transport = ScriptedTransport(default=stream(WORDS))
    async with client_of(transport) as client:
        answer = client.stream(MODEL, "x")
        async with answer:
            await answer.collect()
        await caught(ConfigError, answer.__aenter__())
        assert transport.total == 1
        assert_at_rest(client, transport)


async def test_an_answer_that_arrives_in_one_piece_frees_its_permit_before_it_is_read() -> None:
    """All chunks are there: the reader may take its time, the service is done."""
    whole = b"".join(stream(WORDS).pieces)
    transport = ScriptedTransport([stream(raw=[whole]), reply("next")])
    async with client_of(transport, limit=1) as client:
        async with client.stream(MODEL, "x") as answer:
            assert core(client).semaphore.in_flight == 0
            assert (await client.chat(MODEL, "y")).text == "next"
            assert (await anext(answer)).text == "It "
        assert answer.response.text == "It is a long story."
        assert client.statistics().endpoints["openai"].calls.succeeded == 2


async def test_an_answer_in_one_piece_that_nobody_reads_is_a_success() -> None:
    """It was whole when the reader left."""
    whole = b"".join(stream(WORDS).pieces)
    async with client_of(ScriptedTransport([stream(raw=[whole])])) as client:
        async with client.stream(MODEL, "x"):
            pass
        assert client.statistics().endpoints["openai"].calls.succeeded == 1


async def test_leaving_with_the_last_chunk_unread_by_the_loop_is_a_success() -> None:
    """All chunks were taken; only StopAsyncIteration was not asked for."""
    async with client_of(ScriptedTransport([stream(["one"])])) as client:
        async with client.stream(MODEL, "x") as answer:
            while not answer_done(answer):
                await anext(answer)
        assert client.statistics().endpoints["openai"].calls.succeeded == 1


def answer_done(answer: object) -> bool:
    """Whether the whole answer is there."""
    return getattr(answer, "_response", None) is not None


async def test_two_alternatives_in_one_stream_end_when_both_did() -> None:
    """n=2: the end of the first is not the end of the answer."""
    pieces = [
        _event((0, "a", None), (1, "b", None)),
        _event((0, "A", "stop")),
        _event((1, "B", None)),
        _event((1, "!", "stop")),
        b"data: [DONE]\n\n",
    ]
    async with client_of(ScriptedTransport([stream(raw=pieces, interval=1.0)])) as client:
        response = await read(client.stream(MODEL, "x", n=2))

    assert [output.text for output in response.outputs] == ["aA", "bB!"]


async def test_one_byte_at_a_time_gives_the_same_answer() -> None:
    """The network cuts where it likes, also inside a character."""
    whole = b"".join(stream(["Grüße, ", "日本", "!"]).pieces)
    pieces = [whole[i : i + 1] for i in range(len(whole))]
    async with client_of(ScriptedTransport([stream(raw=pieces)])) as client:
        assert (await read(client.stream(MODEL, "x"))).text == "Grüße, 日本!"


async def test_a_cancelled_reader_frees_everything() -> None:
    """Cancelled in the middle of a read: counted as cancelled, the upstream sees the abort."""
    transport = ScriptedTransport([stream(WORDS, interval=1.0)])
    async with client_of(transport) as client:

        async def reader() -> None:
            async with client.stream(MODEL, "x") as answer:
                await answer.collect()

        task = asyncio.ensure_future(reader())
        await asyncio.sleep(2.5)
        task.cancel()
        await outcomes([task])
        assert (transport.in_flight, transport.aborted) == (0, 1)
        assert client.statistics().endpoints["openai"].calls.cancelled == 1
        assert_at_rest(client, transport)


async def test_a_connection_that_can_not_be_made_is_retried_for_streams_too() -> None:
    """Nothing was sent: free of the budget."""
    transport = ScriptedTransport([fail(ConnectError("refused")), stream(WORDS)])
    async with client_of(transport, retry=Retry(budget=0.0, reserve=0)) as client:
        assert (await read(client.stream(MODEL, "x"))).attempts == 2
