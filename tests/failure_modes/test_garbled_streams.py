"""Cut and garbled streams: half an answer that looks like a whole one.

A connection lost after the third chunk ends the loop, and nobody is told (portkey#1797, litellm#40404,
#36168, bifrost#5395). Here a stream is whole by its dialect's own proof, or it is an error with the part that
arrived.
"""

from __future__ import annotations

import asyncio
import re

import orjson
import pytest

from asyncapi import AsyncAPIError, Client, Endpoint, Retry, StreamInterruptedError
from asyncapi.emulator import Emulator, Fault, Faults, Timing
from asyncapi.testing.scripted import stream
from asyncapi.types.responses import ChatResponse
from tests.core.worlds import outcomes, read
from tests.failure_modes.worlds import MODEL, client_of, head, misbehaving

SERVICES = ("openai", "claude", "gemini", "groq", "ollama", "vllm", "hf_tgi", "opea", "ovms")
BREAKS = (Fault.CUT_STREAM, Fault.CUT_BODY, Fault.GARBLED, Fault.STREAM_ERROR, Fault.CUT_AFTER)
ONCE = Retry(attempts=1)


@pytest.mark.parametrize("fault", BREAKS)
@pytest.mark.parametrize("service", SERVICES)
async def test_a_broken_stream_is_whole_or_an_error_in_every_dialect(service: str, fault: Fault) -> None:
    """Never a short answer without a word: what was read is a beginning of it, and the error has it."""
    faults = Faults.script([None, fault])
    async with Emulator(timing=Timing(0.0, 0.0002), faults=faults, services=[service]) as emulator:
        endpoint = Endpoint(service, base_url=emulator.base_urls[service], keys=("sk",), retry=ONCE)
        async with Client([endpoint], log=False, environment={}) as client:
            whole = (await read(client.stream(f"{service}:m", "x"))).text
            texts: list[str] = []
            (end,) = await outcomes([read(client.stream(f"{service}:m", "x"), texts)])
            if fault is Fault.CUT_AFTER:
                assert isinstance(end, ChatResponse)
                assert end.text == whole == "".join(texts)
            else:
                assert isinstance(end, AsyncAPIError)
                assert whole.startswith("".join(texts))
            if isinstance(end, StreamInterruptedError) and isinstance(end.partial, ChatResponse):
                assert whole.startswith(end.partial.text)
            assert client.statistics().endpoints[service].in_flight == 0


WORDS = ("Grüße, ", "日本", " 🎉", "!")
EVENTS = b"".join(stream(WORDS).pieces)
USAGE = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}


def _with_usage_beside_choices(data: bytes) -> bytes:
    """The usage in a chunk that has choices, as some servers send it."""
    events = data.split(b"\n\n")
    last = next(i for i, event in enumerate(events) if b'"finish_reason":"stop"' in event)
    event = orjson.loads(events[last].removeprefix(b"data: ")) | {"usage": USAGE}
    events[last] = b"data: " + orjson.dumps(event)
    return b"\n\n".join(events)


WIRES = {
    "as it is": EVENTS,
    "CRLF": EVENTS.replace(b"\n", b"\r\n"),
    "comments and pings": EVENTS.replace(b"data:", b": ping\n\ndata:"),
    "usage beside choices": _with_usage_beside_choices(EVENTS),
    "no [DONE], but a finish_reason": EVENTS.replace(b"data: [DONE]\n\n", b""),
}


@pytest.mark.parametrize("size", [1, 7, 65536], ids=["1 byte", "7 bytes", "all at once"])
@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
async def test_however_the_network_cuts_it_the_answer_is_whole(wire: bytes, size: int) -> None:
    """Segments of one byte, cut inside of characters and line ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head("text/event-stream"))
        for i in range(0, len(wire), size):
            writer.write(wire[i : i + size])
            await asyncio.sleep(0)
        await writer.drain()
        writer.close()

    async with misbehaving(serve) as url, client_of(url, retry=ONCE) as client:
        texts: list[str] = []
        answer = await read(client.stream(MODEL, "x"), texts)

    assert answer.text == "".join(texts) == "".join(WORDS)


@pytest.mark.parametrize("cut", range(1, len(EVENTS), 97))
async def test_cut_at_any_byte_it_is_an_error_with_what_arrived(cut: int) -> None:
    """Also where the cut is a clean end of the body: only the proof of the dialect counts."""
    finish = re.search(rb'"finish_reason":"stop".*?\n\n', EVENTS)
    assert finish is not None

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head("text/event-stream") + EVENTS[:cut])
        await writer.drain()
        writer.close()

    async with misbehaving(serve) as url, client_of(url, retry=ONCE) as client:
        texts: list[str] = []
        if cut >= finish.end() - 2:
            assert (await read(client.stream(MODEL, "x"), texts)).text == "".join(WORDS)
            return
        with pytest.raises(StreamInterruptedError) as caught:
            await read(client.stream(MODEL, "x"), texts)

    assert "".join(WORDS).startswith("".join(texts))
    assert getattr(caught.value.partial, "text", "") == "".join(texts)


@pytest.mark.parametrize("first", ["before", "after"])
async def test_another_target_answers_only_before_the_first_token(first: str) -> None:
    """A role and a cut: the next target. A word and a cut: an error, as no other answer goes on from it."""
    role = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
    word = b'data: {"choices":[{"index":0,"delta":{"content":"Once "}}]}\n\n'

    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head("text/event-stream", length=9999) + role + (word if first == "after" else b""))
        await writer.drain()
        await asyncio.sleep(0.02)

    async with misbehaving(broken) as url, Emulator(timing=Timing.instant()) as emulator:
        endpoints = [
            Endpoint("openai", name="one", base_url=url, keys=("sk",), retry=ONCE),
            Endpoint("openai", name="two", base_url=emulator.base_urls["openai"], keys=("sk",)),
        ]
        routes = {"smart": ["one:m", "two:m"]}
        async with Client(endpoints, routes=routes, log=False, environment={}) as client:
            if first == "before":
                texts: list[str] = []
                answer = await read(client.stream("smart", "x"), texts)
                assert answer.text == "".join(texts)
                assert answer.endpoint == "two"
            else:
                with pytest.raises(StreamInterruptedError) as caught:
                    await read(client.stream("smart", "x"))
                assert getattr(caught.value.partial, "text", None) == "Once "
                assert len(emulator.records) == 0
