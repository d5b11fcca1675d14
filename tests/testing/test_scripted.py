"""A scripted transport answers in turn, keeps time by the loop's clock and counts what was abandoned."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import orjson
import pytest

from asyncapi.abc import Transport, WireStream
from asyncapi.errors import ClientClosedError, ConnectError, ConnectionLostError, ReadTimeoutError
from asyncapi.testing import virtual_time
from asyncapi.testing.scripted import (
    ScriptedTransport,
    ScriptExhaustedError,
    Step,
    fail,
    hang,
    reply,
    stream,
)
from asyncapi.types.wire import Outgoing

T = TypeVar("T")
ASK = Outgoing(method="POST", url="http://service/v1/chat?key=1", headers={"A": "b"}, body=b'{"n":1}')


def run(main: Coroutine[Any, Any, T]) -> T:
    with virtual_time() as time:
        return time.run(main)


async def read_all(answer: WireStream) -> list[tuple[float, bytes]]:
    loop = asyncio.get_running_loop()
    seen = []
    while piece := await answer.read():
        seen.append((round(loop.time(), 3), piece))
    return seen


def test_answers_come_in_turn_and_requests_are_remembered() -> None:
    """The first request gets the first answer; each request is kept with the time of its arrival."""
    transport = ScriptedTransport([reply(status=429, retry_after=7), reply("hi", delay=2.5)])

    async def main() -> list[int]:
        plain: Transport = transport
        return [(await plain.send(ASK)).status for _ in range(2)]

    assert run(main()) == [429, 200]
    first, second = transport.requests
    assert (first.method, first.url, first.headers, first.json()) == ("POST", ASK.url, {"A": "b"}, {"n": 1})
    assert second.time >= first.time
    assert (transport.total, transport.in_flight, transport.peak_in_flight) == (2, 0, 1)


def test_delay_passes_on_the_loops_clock() -> None:
    """A delayed answer takes its delay of virtual time."""

    async def main() -> float:
        await ScriptedTransport([reply("hi", delay=3600)]).send(ASK)
        return asyncio.get_running_loop().time()

    with virtual_time(start=0.0) as time:
        assert time.run(main()) == pytest.approx(3600, abs=1)


@pytest.mark.parametrize(
    ("step", "status", "body"),
    [
        (reply({"a": 1}), 200, {"a": 1}),
        (reply([1.5]), 200, [1.5]),
        (
            reply("no", status=400),
            400,
            {"error": {"message": "no", "type": "error", "code": None}},
        ),
        (
            reply(status=503),
            503,
            {"error": {"message": "Service Unavailable", "type": "error", "code": None}},
        ),
    ],
)
def test_what_is_not_bytes_is_sent_as_json(step: Any, status: int, body: object) -> None:
    """Data is sent as JSON, text with an error status as an error of OpenAI's form."""
    answer = run(ScriptedTransport([step]).send(ASK))

    assert (answer.status, orjson.loads(answer.body)) == (status, body)
    assert answer.headers["content-type"] == "application/json"


def test_text_is_a_chat_answer_and_bytes_are_left_alone() -> None:
    """Text comes wrapped as a chat completion; bytes come as they are, also none at all."""
    transport = ScriptedTransport([reply("two words"), reply(b"\x00raw", headers={"X": "1"}), reply(b"")])

    async def main() -> list[Any]:
        return [await transport.send(ASK) for _ in range(3)]

    chat, raw, empty = run(main())
    decoded = orjson.loads(chat.body)
    assert decoded["choices"][0]["message"] == {"role": "assistant", "content": "two words"}
    assert decoded["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert (raw.body, raw.headers["x"]) == (b"\x00raw", "1")
    assert "content-type" not in raw.headers
    assert (empty.body, transport.aborted) == (b"", 0)


@pytest.mark.parametrize(("seconds", "header"), [(7, "7"), (0.5, "0.5"), (120.0, "120")])
def test_retry_after_is_a_header(seconds: float, header: str) -> None:
    """The delay asked for is a Retry-After header in seconds."""
    answer = run(ScriptedTransport([reply(status=429, retry_after=seconds)]).send(ASK))

    assert answer.headers["retry-after"] == header


def test_pieces_of_a_stream_come_when_they_are_due() -> None:
    """Head and first piece after the delay, then one piece an interval; the last has usage and [DONE]."""
    transport = ScriptedTransport([stream(["Hel", "lo"], delay=1, interval=2)])

    async def main() -> list[tuple[float, bytes]]:
        answer = await transport.open(ASK)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
        assert transport.in_flight == 1
        return await read_all(answer)

    with virtual_time(start=0.0) as time:
        seen = time.run(main())
    assert [round(at) for at, _ in seen] == [1, 3, 5]
    assert orjson.loads(seen[0][1][6:])["choices"][0]["delta"] == {"role": "assistant", "content": "Hel"}
    assert orjson.loads(seen[1][1][6:])["choices"][0]["delta"] == {"content": "lo"}
    assert b'"total_tokens":2' in seen[2][1]
    assert seen[2][1].endswith(b"data: [DONE]\n\n")
    assert (transport.in_flight, transport.aborted) == (0, 0)


def test_slow_reader_finds_the_pieces_that_are_due() -> None:
    """Pieces are due by the clock, not by the reader's last read."""

    async def main() -> list[tuple[float, bytes]]:
        answer = await ScriptedTransport([stream(raw=[b"a", b"", b"b"], interval=1)]).open(ASK)
        await asyncio.sleep(10)
        return await read_all(answer)

    with virtual_time(start=0.0) as time:
        assert [(round(at), piece) for at, piece in time.run(main())] == [(10, b"a"), (10, b"b")]


def test_cut_stream_loses_the_connection_after_its_pieces() -> None:
    """After the pieces before the cut a read raises, again and again; nobody here aborted it."""
    transport = ScriptedTransport([stream(["a", "b"], cut_after=1)])

    async def main() -> None:
        answer = await transport.open(ASK)
        assert b'"a"' in await answer.read()
        for _ in range(2):
            with pytest.raises(ConnectionLostError) as caught:
                await answer.read()
            assert caught.value.sent is True
        answer.close()

    run(main())
    assert (transport.in_flight, transport.aborted) == (0, 0)


def test_stream_can_end_in_a_given_error() -> None:
    """An error of the script's choice takes the place of the end."""

    async def main() -> None:
        answer = await ScriptedTransport([stream(raw=[b"a"], error=ReadTimeoutError("silent"))]).open(ASK)
        assert await answer.read() == b"a"
        with pytest.raises(ReadTimeoutError, match="silent"):
            await answer.read()

    run(main())


def test_silent_stream_is_abandoned_by_its_reader() -> None:
    """After hang_after pieces nothing comes; a reader's own timeout ends it, its close counts as an abort."""
    transport = ScriptedTransport([stream(["a", "b"], hang_after=1)])

    async def main() -> None:
        answer = await transport.open(ASK)
        await answer.read()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await answer.read()
        assert transport.in_flight == 1
        answer.close()
        answer.close()
        with pytest.raises(ConnectionLostError, match="closed here"):
            await answer.read()

    run(main())
    assert (transport.in_flight, transport.aborted) == (0, 1)


def test_failing_a_stream_wakes_its_reader() -> None:
    """fail() gives its error to the pending read and to every later one."""
    transport = ScriptedTransport([stream(["a"], hang_after=0), stream(["a", "b"], interval=9)])

    async def main() -> None:
        for _ in range(2):
            answer = await transport.open(ASK)
            pending = asyncio.create_task(read_all(answer))
            await asyncio.sleep(1)
            answer.fail(ReadTimeoutError("idle"))
            for attempt in (pending, answer.read()):
                with pytest.raises(ReadTimeoutError, match="idle"):
                    await attempt

    run(main())
    assert (transport.in_flight, transport.aborted) == (0, 2)


def test_stream_failed_while_its_piece_is_due_raises() -> None:
    """A reader about to get a piece gets the error instead."""

    async def main() -> None:
        answer = await ScriptedTransport([stream(["a"])]).open(ASK)
        pending = asyncio.create_task(answer.read())
        await asyncio.sleep(0)
        answer.fail(ReadTimeoutError("idle"))
        with pytest.raises(ReadTimeoutError, match="idle"):
            await pending

    asyncio.run(main())


def test_whole_answer_can_be_streamed_and_a_stream_sent_whole() -> None:
    """send and open both take any answer."""
    transport = ScriptedTransport([reply(b"abc"), stream(raw=[b"a", b"b"]), stream(raw=[b"a"], cut_after=1)])

    async def main() -> None:
        assert [piece for _, piece in await read_all(await transport.open(ASK))] == [b"abc"]
        assert (await transport.send(ASK)).body == b"ab"
        with pytest.raises(ConnectionLostError):
            await transport.send(ASK)

    run(main())
    assert (transport.in_flight, transport.aborted) == (0, 0)


def test_cancelled_request_counts_as_aborted() -> None:
    """A hang, a delay and a half-read answer, each cancelled, leave nothing in flight."""
    script: list[Step] = [hang(), reply("late", delay=99), stream(["a", "b"], interval=99)]
    transport = ScriptedTransport(script)

    async def main() -> None:
        calls = [asyncio.create_task(transport.send(ASK)) for _ in script]
        await asyncio.sleep(1)
        assert transport.in_flight == 3
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        assert all(call.cancelled() for call in calls)

    run(main())
    assert (transport.in_flight, transport.peak_in_flight, transport.aborted) == (0, 3, 3)


def test_failures_are_raised_and_are_no_aborts() -> None:
    """fail() or a bare exception is raised in its turn; this package's own errors as a fresh copy."""
    refused = ConnectError("refused")
    transport = ScriptedTransport([fail(refused, delay=1), refused, KeyError("mine")])

    async def main() -> list[object]:
        return [(await asyncio.gather(transport.send(ASK), return_exceptions=True))[0] for _ in range(3)]

    first, second, third = run(main())
    assert isinstance(first, ConnectError)
    assert isinstance(second, ConnectError)
    assert len({id(first), id(second), id(refused)}) == 3
    assert isinstance(third, KeyError)
    assert (transport.in_flight, transport.aborted) == (0, 0)


def test_function_answers_by_request() -> None:
    """A function sees the request and chooses the answer."""

    def answer(request: Outgoing) -> Any:
        return ConnectError("refused") if b"2" in (request.body or b"") else reply(b"ok")

    transport = ScriptedTransport(answer)

    async def main() -> None:
        assert (await transport.send(ASK)).body == b"ok"
        with pytest.raises(ConnectError):
            await transport.send(Outgoing(method="POST", url="http://s/", headers={}, body=b"2"))

    run(main())


def test_exhausted_script_names_the_request() -> None:
    """A request beyond the script is an assertion error that says which, without the URL's query."""
    transport = ScriptedTransport([reply("hi")])

    async def main() -> None:
        await transport.send(ASK)
        with pytest.raises(
            ScriptExhaustedError, match=r"request 2, POST http://service/v1/chat; add"
        ) as caught:
            await transport.send(ASK)
        assert isinstance(caught.value, AssertionError)

    run(main())


def test_script_repeats_or_falls_back_to_its_default() -> None:
    """repeat begins again; default answers what comes after the last."""
    again = ScriptedTransport([reply(b"1"), reply(b"2")], repeat=True)
    default = ScriptedTransport([reply(b"1")], default=reply(b"x"))
    empty = ScriptedTransport(repeat=True)

    async def main() -> list[list[bytes]]:
        bodies = [[(await t.send(ASK)).body for _ in range(3)] for t in (again, default)]
        with pytest.raises(ScriptExhaustedError):
            await empty.send(ASK)
        return bodies

    assert run(main()) == [[b"1", b"2", b"1"], [b"1", b"x", b"x"]]


def test_only_the_latest_requests_are_kept() -> None:
    """keep bounds the memory; total counts on."""
    transport = ScriptedTransport(default=reply("hi"), keep=2)

    async def main() -> None:
        for n in range(5):
            await transport.send(Outgoing(method="GET", url=f"http://s/{n}", headers={}, body=None))

    run(main())
    assert [sent.url for sent in transport.requests] == ["http://s/3", "http://s/4"]
    assert transport.requests[0].json() is None
    assert transport.total == 5


def test_closed_transport_refuses() -> None:
    """After aclose a request is refused, unsent."""
    transport = ScriptedTransport(default=reply("hi"))

    async def main() -> None:
        await transport.aclose()
        with pytest.raises(ClientClosedError):
            await transport.send(ASK)

    run(main())
    assert transport.total == 0


def test_what_is_no_answer_is_refused() -> None:
    """A script of something else fails at once, and shows it."""
    with pytest.raises(AssertionError, match="oops"):
        run(ScriptedTransport(["oops"]).send(ASK))  # type: ignore[list-item]


def test_package_gives_the_scripts_names_without_loading_them_at_once() -> None:
    """What a script needs is found in asyncapi.testing, loaded when it is first asked for."""
    code = (
        "import sys, asyncapi.testing as t; before = 'asyncapi.testing.scripted' in sys.modules; "
        "from asyncapi.testing import ScriptedTransport, fail, hang, reply, stream; "
        "print(before, 'ScriptedTransport' in dir(t), hasattr(t, 'nothing'))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert shown.split() == ["False", "True", "False"]
