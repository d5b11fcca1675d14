"""Faults: what each kind does to the wire, chance and script, outages."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from asyncapi.emulator import ALL, TRANSIENT, Emulator, Fault, Faults, Step, Timing, parse_faults
from asyncapi.emulator.faults import FaultPlan

from .wire import CHAT, KEYS, Wire, text_in, until

CUT = (aiohttp.ClientError, ConnectionError)
STREAMED = ["openai", "groq", "vllm", "opea", "claude", "ollama"]


@asynccontextmanager
async def faulty(faults: Faults) -> AsyncIterator[tuple[Emulator, Wire]]:
    """An emulator with faults and a client for it."""
    async with (
        Emulator(timing=Timing.instant(), faults=faults) as emulator,
        aiohttp.ClientSession() as session,
    ):
        yield emulator, Wire(session, emulator.url)


async def received_of(wire: Wire, service: str) -> tuple[bytes, bool]:
    """What arrives of a streamed answer, and whether it ended cleanly."""
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    body["max_tokens"] = 4096
    data = b""
    async with wire.session.post(wire.url + CHAT[service], json=body, headers=KEYS) as response:
        assert response.status == 200
        try:
            async for part in response.content.iter_any():
                data += part
        except CUT:
            return data, False
    return data, True


@pytest.mark.parametrize(
    ("kind", "status"), [("500", 500), ("503", 503), ("529", 529), ("quota", 402), ("revoked", 401)]
)
async def test_claude_refuses_by_fault(emulator: Emulator, wire: Wire, kind: str, status: int) -> None:
    """One answer only: the next is good."""
    emulator.script([kind])

    assert (await wire.chat("claude")).status == status
    assert (await wire.chat("claude")).status == 200
    assert emulator.counts().by_fault == {kind: 1}


@pytest.mark.parametrize("service", ["openai", "vllm", "opea", "ollama"])
async def test_others_have_no_529(emulator: Emulator, wire: Wire, service: str) -> None:
    """They say 503 instead; a local server without money also for quota."""
    emulator.script(["529", "500", "quota", "429_bare"])
    statuses = [(await wire.chat(service)).status for _ in range(4)]

    assert statuses == [503, 500, 429 if service == "openai" else 503, 429]


@pytest.mark.parametrize(
    ("kind", "header", "value"),
    [
        ("429_seconds", "retry-after", "1"),
        ("429_float", "retry-after", "0.3"),
        ("429_ms", "retry-after-ms", "300"),
        ("429_reset", "x-ratelimit-reset-requests", "300ms"),
    ],
)
async def test_rate_limits_tell_their_wait(
    emulator: Emulator, wire: Wire, kind: str, header: str, value: str
) -> None:
    """Each form in its header, and the promise in the record."""
    emulator.script([kind])
    got = await wire.chat("openai")

    assert (got.status, got.headers[header]) == (429, value)
    assert emulator.records[0].retry_after_until is not None


async def test_rate_limits_may_tell_a_date_or_nothing(emulator: Emulator, wire: Wire) -> None:
    """A date in the near future; nothing at all and no promise."""
    emulator.script(["429_date", "429_bare"])
    date = await wire.chat("openai")
    bare = await wire.chat("openai")

    wait = parsedate_to_datetime(date.headers["retry-after"]) - parsedate_to_datetime(date.headers["date"])
    assert 0 <= wait.total_seconds() <= 2
    assert "retry-after" not in bare.headers
    assert emulator.records[1].retry_after_until is None


async def test_sticky_faults_stay_with_their_key() -> None:
    """The key that is hit stays revoked or exhausted; others live on."""
    faults = Faults.script(["revoked", "quota"]).with_options(sticky=True)
    async with faulty(faults) as (_, wire):
        body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}

        async def status(key: str) -> int:
            return (await wire.post(CHAT["openai"], body, {"authorization": f"Bearer {key}"})).status

        statuses = [await status(key) for key in ("a", "b", "a", "b", "c")]

    assert statuses == [401, 429, 401, 429, 200]


async def test_cut_before_sends_no_byte(emulator: Emulator, wire: Wire) -> None:
    """The connection closes without an answer, and the record has no status."""
    emulator.script(["cut_before"])
    with pytest.raises(CUT):
        await wire.chat("openai")

    assert emulator.records[0].status is None
    assert emulator.aborts == 0


@pytest.mark.parametrize("kind", ["cut_body", "cut_stream"])
async def test_cut_body_sends_half(emulator: Emulator, wire: Wire, kind: str) -> None:
    """Status, headers and half of the body; a stream's cut does the same to a plain answer."""
    emulator.script([kind])
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    async with wire.session.post(wire.url + CHAT["openai"], json=body, headers=KEYS) as response:
        half = await response.content.read(10)
        assert response.status == 200
        assert half.startswith(b'{"id":')
        with pytest.raises(CUT):
            await response.read()


async def test_an_answer_without_a_body_is_cut_before_its_head(emulator: Emulator, wire: Wire) -> None:
    """Its head alone would be all of it; the HTTP client beneath asks a second time by itself."""
    emulator.script(["cut_body"])
    async with wire.session.get(f"{wire.url}/opea/health") as response:
        assert response.status == 200

    assert [record.fault for record in emulator.records] == ["cut_body", None]


async def test_cut_after_closes_behind_a_whole_answer(emulator: Emulator, wire: Wire) -> None:
    """The body is complete, plain or streamed, and the connection is not kept."""
    emulator.script(["cut_after", "cut_after"])
    plain = await wire.chat("openai", "Hi")
    await asyncio.sleep(0.01)
    data, _ = await received_of(wire, "openai")

    assert text_in("openai", plain.json)
    assert data.endswith(b"data: [DONE]\n\n")
    await asyncio.sleep(0.01)
    assert (await wire.chat("openai")).status == 200


@pytest.mark.parametrize("service", STREAMED)
@pytest.mark.parametrize("kind", ["cut_stream", "cut_body"])
async def test_a_cut_stream_holds_no_proof(emulator: Emulator, wire: Wire, service: str, kind: str) -> None:
    """Some events arrive, none that says the answer is complete."""
    emulator.script([kind])
    data, clean = await received_of(wire, service)

    assert data
    assert not clean
    for proof in (b"[DONE]", b'"finish_reason":"stop"', b"message_stop", b'"done":true'):
        assert proof not in data


@pytest.mark.parametrize("service", STREAMED)
async def test_a_stream_can_fail_in_its_middle(emulator: Emulator, wire: Wire, service: str) -> None:
    """An error event inside a 200 stream; vLLM says [DONE] even then."""
    emulator.script(["stream_error"])
    data, clean = await received_of(wire, service)

    assert clean
    assert b'"error"' in data
    assert (b"[DONE]" in data) is (service == "vllm")
    assert b'"done":true' not in data


async def test_stream_error_of_a_plain_request_is_a_500(emulator: Emulator, wire: Wire) -> None:
    """Its nearest neighbour."""
    emulator.script(["stream_error"])

    assert (await wire.chat("openai")).status == 500


@pytest.mark.parametrize("service", STREAMED)
async def test_a_garbled_event_is_no_json(emulator: Emulator, wire: Wire, service: str) -> None:
    """One event of the stream cannot be read, the others can."""
    emulator.script(["garbled"])
    data, _ = await received_of(wire, service)

    lines = data.decode().splitlines()
    datas = [line.removeprefix("data: ") for line in lines if "{" in line]
    broken = 0
    for text in datas:
        try:
            json.loads(text)
        except ValueError:
            broken += 1
    assert broken == 1
    assert len(datas) > 5


async def test_a_garbled_body_is_no_json(emulator: Emulator, wire: Wire) -> None:
    """Status 200, and bytes that cannot be read."""
    emulator.script(["garbled"])
    got = await wire.chat("openai")

    assert got.status == 200
    with pytest.raises(ValueError, match=r"Unterminated|Expecting|delimiter"):
        json.loads(got.body)


@pytest.mark.parametrize("streamed", [False, True])
async def test_slow_bytes_are_still_right(emulator: Emulator, wire: Wire, streamed: bool) -> None:
    """One byte at a time, and the same answer in the end."""
    emulator.faults = Faults(byte_pause=0)
    good = await wire.chat("vllm", "Hi", stream=streamed, max_tokens=2)
    emulator.script(["slow_bytes"])
    slow = await wire.chat("vllm", "Hi", stream=streamed, max_tokens=2)

    assert len(slow.body) == len(good.body)
    assert slow.body[-20:] == good.body[-20:]


async def test_silence_lasts_until_the_client_leaves(emulator: Emulator, wire: Wire) -> None:
    """No answer; the client's leaving is seen as an abort."""
    emulator.script(["silence"])
    asked = asyncio.ensure_future(wire.chat("openai"))
    await until(lambda: emulator.in_flight["total"] == 1)
    asked.cancel()
    await until(lambda: emulator.in_flight["total"] == 0)

    assert emulator.aborts == 1
    assert emulator.records[0].aborted


async def test_silence_may_end_in_a_cut() -> None:
    """silence_for bounds it."""
    async with faulty(Faults.script(["silence"]).with_options(silence_for=0.01)) as (emulator, wire):
        with pytest.raises(CUT):
            await wire.chat("openai")

        assert emulator.aborts == 0


async def test_silence_ends_with_the_emulator() -> None:
    """Closing does not wait for the silent, and does not call them aborted."""
    async with aiohttp.ClientSession() as session:
        async with Emulator(timing=Timing.instant(), faults=Faults.script(["silence"])) as emulator:
            asked = asyncio.ensure_future(Wire(session, emulator.url).chat("openai"))
            await until(lambda: emulator.in_flight["total"] == 1)
        with pytest.raises(CUT):
            await asked

    assert emulator.aborts == 0


async def test_a_script_matches_path_model_and_body(emulator: Emulator, wire: Wire) -> None:
    """Steps wait for their request; None is a good answer; a ready-made step keeps its match."""
    emulator.script(["500", None, "503"], path="/chat/", model="a", body="marked")
    emulator.script([Step(Fault.UNAVAILABLE, model="b")])

    async def status(model: str, text: str) -> int:
        return (await wire.chat("openai", text, model=model)).status

    assert await status("a", "other") == 200
    assert await status("x", "marked") == 200
    assert (await wire.chat("claude", "marked", model="a")).status == 200
    assert [await status("a", "marked") for _ in range(4)] == [500, 200, 503, 200]
    assert await status("b", "any") == 503


def test_chance_hits_at_its_rate_and_repeats() -> None:
    """The same seed hits the same arrivals with the same kinds."""

    def hits(seed: int) -> list[Fault | None]:
        plan = FaultPlan(Faults(0.1, ALL, seed))
        return [plan.next("/", "m", b"") for _ in range(5000)]

    first = hits(1)
    assert first == hits(1)
    assert first != hits(2)
    assert 400 < sum(kind is not None for kind in first) < 600
    assert {kind for kind in first if kind} == set(ALL)


def test_everything_leaves_keys_alive() -> None:
    """A patient client with one key survives all of these."""
    faults = Faults.everything(0.2)

    assert faults.rate == 0.2
    assert set(faults.kinds) == set(TRANSIENT) == set(ALL) - {Fault.QUOTA, Fault.REVOKED}


@pytest.mark.parametrize("kind", ["503", "cut_before"])
async def test_an_outage_by_hand_stops_everything(emulator: Emulator, wire: Wire, kind: str) -> None:
    """All services fail in the window, and answer after it."""
    emulator.outage(60, kind)
    for service in ("openai", "ollama"):
        if kind == "503":
            assert (await wire.chat(service)).status == 503
        else:
            with pytest.raises(CUT):
                await wire.chat(service)
    emulator.outage(0)

    assert (await wire.chat("openai")).status == 200
    assert emulator.counts().by_fault == {"outage": 2}


async def test_an_outage_can_be_planned() -> None:
    """The window counts from the start."""
    async with faulty(Faults(outage_at=(0.0, 60.0), outage_kind="cut_before")) as (emulator, wire):
        with pytest.raises(CUT):
            await wire.chat("openai")
        emulator.faults = Faults(outage_at=(60.0, 1.0))

        assert (await wire.chat("openai")).status == 200


async def test_faults_can_be_replaced(emulator: Emulator, wire: Wire) -> None:
    """At run time, and taken away."""
    emulator.faults = Faults(1.0, ["500"])
    assert (await wire.chat("openai")).status == 500
    emulator.faults = Faults()

    assert emulator.faults.rate == 0
    assert (await wire.chat("openai")).status == 200


async def test_every_kind_leaves_the_server_well() -> None:
    """A storm of all kinds over all services: nothing stays in flight, the next call is good."""
    faults = Faults(0.8, ALL, 3, silence_for=0.01, byte_pause=0)
    async with faulty(faults) as (emulator, wire):
        dice = random.Random(0)

        async def one(number: int) -> None:
            service = dice.choice(STREAMED)
            with suppress(*CUT):
                await wire.chat(service, str(number), stream=dice.random() < 0.5)

        await asyncio.gather(*(one(number) for number in range(120)))
        await until(lambda: emulator.in_flight["total"] == 0)
        emulator.faults = Faults()

        assert emulator.counts().received == 120
        assert (await wire.chat("openai")).status == 200


def test_faults_are_parsed_from_a_command_line() -> None:
    """All words at once."""
    parsed = parse_faults(
        "rate=0.1,kinds=429_seconds+500,outage=2:3,outage_kind=cut_before,seed=7,retry_after=0.5,"
        "silence_for=1,sticky=true"
    )

    assert parsed == Faults(
        0.1,
        (Fault.RATE_LIMIT_SECONDS, Fault.SERVER_ERROR),
        7,
        retry_after=0.5,
        silence_for=1.0,
        sticky=True,
        outage_at=(2.0, 3.0),
        outage_kind=Fault.CUT_BEFORE,
    )
    assert parse_faults("rate=0.1") == Faults.everything(0.1)
    assert set(parse_faults("kinds=all").kinds) == set(ALL)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("chance=1", "unknown word 'chance'"),
        ("rate=2", "rate: expected a chance from 0 to 1, got '2'"),
        ("rate=x", "rate: expected a chance"),
        ("kinds=500+oops", "unknown fault 'oops'"),
        ("outage=2", "outage: expected START:LENGTH in seconds, got '2'"),
        ("retry_after=-1", "retry_after: expected seconds"),
        ("sticky=maybe", "sticky: expected true or false"),
        ("outage_kind=quake", "unknown fault 'quake'"),
    ],
)
def test_bad_faults_are_named(text: str, words: str) -> None:
    """The error says which word and what would be right."""
    with pytest.raises(ValueError, match=words):
        parse_faults(text)


@pytest.mark.parametrize(
    ("fields", "words"), [({"rate": 1.5}, "rate"), ({"kinds": ()}, "kinds"), ({"kinds": ["x"]}, "'x'")]
)
def test_bad_settings_are_refused(fields: dict[str, Any], words: str) -> None:
    """At construction, not at the first request."""
    with pytest.raises(ValueError, match=words):
        Faults(**fields)
