"""What every service has in common: faults, limits, slots, records and request ids, in its own dialect."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from asyncapi.emulator import ALL, DIALECTS, Emulator, Faults, Limits, Timing

from .wire import KEYS, Got, Wire

CUT = (aiohttp.ClientError, ConnectionError)
HEADERS = {**KEYS, "x-goog-api-key": "AIza-test", "x-request-id": "one"}
USER = [{"role": "user", "content": "Hi"}]


@dataclass(frozen=True, slots=True)
class Call:
    """A fine request of one service: where, what, and what proves that its stream is complete."""

    path: str
    body: Any
    proof: bytes = b""


PARTS = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
TENSORS = [{"name": "input0", "shape": [2], "datatype": "FP32", "data": [1, 2]}]
SHORT = {**PARTS, "generationConfig": {"maxOutputTokens": 6}}
SHORT_CHAT = {"model": "m", "messages": USER, "stream": True, "max_tokens": 6}
SHORT_TEXT = {"inputs": "Hi", "parameters": {"max_new_tokens": 6}}
RESPONSE = {"model": "m", "input": "Hi", "stream": True, "max_output_tokens": 4}
PLAIN = {
    "gemini": Call("/gemini/v1/models/m:generateContent", PARTS),
    "hf_tgi": Call("/hf_tgi/generate", {"inputs": "Hi"}),
    "ovms": Call("/ovms/v2/models/double/infer", {"inputs": TENSORS}),
    "llvm": Call("/llvm/models/m/infer", {"input": "Hi"}),
}
STREAMS = {
    "gemini": Call("/gemini/v1/models/m:streamGenerateContent?alt=sse", SHORT, b"finishReason"),
    "gemini-array": Call("/gemini/v1/models/m:streamGenerateContent", SHORT, b"finishReason"),
    "hf_tgi": Call("/hf_tgi/generate_stream", SHORT_TEXT, b"generated_tokens"),
    "hf_tgi-chat": Call("/hf_tgi/v1/chat/completions", SHORT_CHAT, b"[DONE]"),
    "ovms": Call("/ovms/v3/chat/completions", SHORT_CHAT, b"[DONE]"),
    "responses": Call("/openai/v1/responses", RESPONSE, b"response.incomplete"),
    "opea-gateway": Call("/opea/v1/chatqna", {"messages": "Hi", "max_tokens": 6}, b"[DONE]"),
}
STATUSES = {
    # 429, 500, 503, 529, quota, revoked, a bad path
    "gemini": (429, 500, 503, 503, 429, 400, 404),
    "hf_tgi": (429, 500, 503, 429, 503, 401, 404),
    "ovms": (429, 500, 503, 503, 503, 401, 404),
    "llvm": (429, 500, 503, 503, 503, 401, 404),
}


async def send(wire: Wire, call: Call) -> Got:
    """One request."""
    return await wire.post(call.path, call.body, HEADERS)


async def received(wire: Wire, call: Call) -> tuple[bytes, bool]:
    """What arrives, and whether it ended cleanly."""
    data = b""
    async with wire.session.post(wire.url + call.path, json=call.body, headers=HEADERS) as response:
        assert response.status == 200
        try:
            async for part in response.content.iter_any():
                data += part
        except CUT:
            return data, False
    return data, True


@pytest.fixture
async def quick() -> AsyncIterator[Emulator]:
    """An emulator whose slow bytes are not slow, and whose silence is short."""
    faults = Faults(byte_pause=0, silence_for=0.01)
    async with Emulator(timing=Timing.instant(), faults=faults) as running:
        yield running


@pytest.mark.parametrize("service", STATUSES)
async def test_refusals_have_the_services_statuses(emulator: Emulator, wire: Wire, service: str) -> None:
    """Each fault in the words of the service, once; and the next request is good."""
    call = PLAIN[service]
    emulator.script(["429_seconds", "500", "503", "529", "quota", "revoked"])
    statuses = [(await send(wire, call)).status for _ in range(6)]
    good = await send(wire, call)
    lost = await wire.post(f"/{service}/nowhere/at/all", {}, HEADERS)

    assert (*statuses, lost.status) == STATUSES[service]
    assert good.status == 200
    assert emulator.attempts("one") == 8


@pytest.mark.parametrize("service", PLAIN)
async def test_plain_answers_are_cut_garbled_and_slowed(quick: Emulator, wire: Wire, service: str) -> None:
    """Cuts break the connection, slow bytes and a cut behind the answer harm nothing."""
    call = PLAIN[service]
    wire = Wire(wire.session, quick.url)
    good = await send(wire, call)
    quick.script(["slow_bytes", "garbled", "stream_error", "cut_after"])
    slow, garbled, error, whole = [await send(wire, call) for _ in range(4)]
    await asyncio.sleep(0.01)
    quick.script(["cut_before", "cut_body", "silence"])
    for _ in range(3):
        with pytest.raises(CUT):
            await send(wire, call)

    assert len(slow.body) == len(whole.body) == len(good.body)
    assert garbled.body != good.body
    assert error.status >= 424


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("kind", ["cut_stream", "cut_body"])
async def test_cut_streams_hold_no_proof(emulator: Emulator, wire: Wire, stream: str, kind: str) -> None:
    """Something arrives, nothing that says that it is all."""
    call = STREAMS[stream]
    emulator.script([kind])
    data, clean = await received(wire, call)
    whole, _ = await received(wire, call)

    assert data
    assert not clean
    assert call.proof not in data
    assert call.proof in whole


@pytest.mark.parametrize("stream", STREAMS)
async def test_streams_fail_garble_and_trickle(quick: Emulator, wire: Wire, stream: str) -> None:
    """An error in the middle ends the stream early; garbled and slow ones go on to their end."""
    call = STREAMS[stream]
    wire = Wire(wire.session, quick.url)
    good, _ = await received(wire, call)
    quick.script(["stream_error", "garbled", "slow_bytes", "cut_after"])
    failed, _ = await received(wire, call)
    garbled, _ = await received(wire, call)
    slow, _ = await received(wire, call)
    after, _ = await received(wire, call)

    assert failed != good
    assert garbled != good
    assert b"\xef\xbf\xbd" in garbled
    assert len(slow) == len(after) == len(good)


@pytest.mark.parametrize("service", PLAIN)
async def test_limits_hold_for_every_service(emulator: Emulator, wire: Wire, service: str) -> None:
    """The second request of a minute is refused: as limited, or as too many for a server of one's own."""
    emulator.set_limits(Limits(requests_per_minute=1))
    first = await send(wire, PLAIN[service])
    second = await send(wire, PLAIN[service])

    assert first.status == 200
    assert second.status in (429, 503)


@pytest.mark.parametrize("service", PLAIN)
async def test_slots_and_records_count_every_service(wire: Wire, service: str) -> None:
    """With one slot answers come one after another; every request is seen, none stays."""
    async with Emulator(timing=Timing(0.001, 0.0, concurrency=1)) as emulator:
        ours = Wire(wire.session, emulator.url)
        replies = await asyncio.gather(*(send(ours, PLAIN[service]) for _ in range(4)))

        assert [got.status for got in replies] == [200] * 4
        assert emulator.counts().by_service == {service: 4}
        assert emulator.peak_in_flight[service] >= 2
        assert emulator.in_flight[service] == 0


async def test_a_storm_over_all_services_leaves_the_server_well() -> None:
    """Every kind on every service: nothing hangs, nothing stays in flight."""
    faults = Faults(0.7, ALL, 5, silence_for=0.01, byte_pause=0)
    async with (
        Emulator(timing=Timing.instant(), faults=faults) as emulator,
        aiohttp.ClientSession() as session,
    ):
        wire = Wire(session, emulator.url)

        async def one(call: Call) -> None:
            with suppress(*CUT):
                await send(wire, call)

        await asyncio.gather(*(one(call) for call in [*PLAIN.values(), *STREAMS.values()] * 6))
        emulator.faults = Faults()

        assert emulator.in_flight["total"] == 0
        assert (await send(wire, next(iter(PLAIN.values())))).status == 200


@pytest.mark.slow
async def test_no_wrong_body_is_a_fault_of_the_server(wire: Wire) -> None:
    """Bodies of all shapes at every route: refused or answered, never a crash."""
    bodies = [
        b"[]",
        b"{",
        b'{"model": 1, "input": 1, "messages": 1, "inputs": {}, "contents": 3}',
        b'{"model":"m"}',
    ]
    async with Emulator(timing=Timing.instant(), require_key=False) as emulator:
        ours = Wire(wire.session, emulator.url)
        for dialect in DIALECTS.values():
            for method, path in dialect().routes:
                target = f"/{path}x" if path.endswith("/") else f"/{path}"
                for raw in bodies if method == "POST" else []:
                    got = await ours.post(target, raw=raw, headers={})
                    assert got.status < 500, (target, raw, got.body)
                if method == "GET":
                    assert (await ours.get(target, {})).status < 500


def test_every_dialect_has_a_name_and_a_place() -> None:
    """The base URL begins with the name."""
    assert all(dialect.base_path.split("/")[1] == name for name, dialect in DIALECTS.items())
