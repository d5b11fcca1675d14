"""What the emulator remembers, how it keeps time, and how it closes."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from asyncapi.emulator import Emulator, Timing, answer_text, key_digest, question_digest

from .wire import CHAT, KEYS, Wire, text_in, until

BODY = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


async def test_a_request_is_recorded_with_all_its_marks(emulator: Emulator, wire: Wire) -> None:
    """Service, path, key digest, id, model, question, size, status."""
    await wire.post(CHAT["openai"], BODY, {**KEYS, "x-request-id": "one"})
    (record,) = emulator.records

    assert (record.service, record.path) == ("openai", CHAT["openai"])
    assert record.key_digest == key_digest("sk-test")
    assert "sk-test" not in repr(record)
    assert (record.request_id, record.model, record.status) == ("one", "m", 200)
    assert record.question == question_digest("Hi")
    assert record.body_bytes == len(json.dumps(BODY))
    assert (record.fault, record.aborted) == (None, False)
    assert record.time >= 0


@pytest.mark.parametrize(
    ("path", "body", "question"),
    [
        ("/openai/v1/completions", {"model": "m", "prompt": "a"}, "a"),
        ("/openai/v1/embeddings", {"model": "m", "input": ["a", "b"]}, "a\nb"),
        ("/hf_tei/rerank", {"query": "q", "texts": ["a"]}, "q"),
        ("/hf_tei/embed", {"inputs": [[1]]}, ""),
        ("/opea/v1/chat/completions", {"messages": [{"role": "system", "content": "s"}]}, ""),
    ],
)
async def test_any_request_is_known_by_its_text(
    emulator: Emulator, wire: Wire, path: str, body: Any, question: str
) -> None:
    """The digest is of what the request is about."""
    await wire.post(path, body)

    assert emulator.records[0].question == question_digest(question)


async def test_attempts_are_counted_by_request_id(emulator: Emulator, wire: Wire) -> None:
    """By either header."""
    for name in ("x-request-id", "x-client-request-id"):
        await wire.post(CHAT["openai"], BODY, {**KEYS, name: "one"})

    assert emulator.attempts("one") == 2
    assert emulator.attempts("two") == 0


async def test_early_retries_are_found(emulator: Emulator, wire: Wire) -> None:
    """Coming back before the time is early, after it is not; others' waits do not matter."""
    emulator.faults = emulator.faults.with_options(retry_after=0.045)
    emulator.script(["429_ms", "429_ms"])
    one, two = ({**KEYS, "x-request-id": name} for name in ("one", "two"))
    await wire.post(CHAT["openai"], BODY, one)
    await wire.post(CHAT["openai"], BODY, one)
    await wire.post(CHAT["openai"], BODY, two)
    await wire.post(CHAT["openai"], BODY)
    await asyncio.sleep(0.05)
    await wire.post(CHAT["openai"], BODY, one)

    assert [record.time for record in emulator.early_retries()] == [emulator.records[1].time]
    assert emulator.early_retries(tolerance=1.0) == []


async def test_another_key_is_never_early(emulator: Emulator, wire: Wire) -> None:
    """A wait is asked of one key."""
    emulator.script(["429_seconds"])
    for key in ("one", "two"):
        await wire.post(CHAT["openai"], BODY, {"authorization": f"Bearer {key}", "x-request-id": "same"})

    assert [record.status for record in emulator.records] == [429, 200]
    assert emulator.early_retries() == []


async def test_counts_go_by_service_status_and_fault(emulator: Emulator, wire: Wire) -> None:
    """Everything that arrived, and what became of it."""
    emulator.script(["500"])
    await wire.chat("openai")
    await wire.chat("claude")
    counts = emulator.counts()

    assert counts.received == 2
    assert counts.by_service == {"openai": 1, "claude": 1}
    assert counts.by_status == {500: 1, 200: 1}
    assert counts.by_fault == {"500": 1}


async def test_memory_is_bounded_but_counters_go_on() -> None:
    """record_limit keeps the last ones."""
    async with (
        Emulator(timing=Timing.instant(), record_limit=2) as emulator,
        aiohttp.ClientSession() as session,
    ):
        for number in range(3):
            await Wire(session, emulator.url).chat("openai", model=f"m{number}")

    assert [record.model for record in emulator.records] == ["m1", "m2"]
    assert emulator.counts().received == 3


async def test_peaks_are_kept_by_service_and_in_total(emulator: Emulator, wire: Wire) -> None:
    """Requests that overlap are counted together."""
    emulator.timing = Timing(0.05, 0)
    assert emulator.timing.first_token == 0.05
    await asyncio.gather(wire.chat("openai"), wire.chat("openai"), wire.chat("claude"))

    peak = emulator.peak_in_flight
    assert (peak["openai"], peak["claude"], peak["total"]) == (2, 1, 3)
    assert emulator.in_flight["total"] == 0


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_client_that_leaves_is_an_abort(emulator: Emulator, wire: Wire, streamed: bool) -> None:
    """In the wait before the answer, or in the middle of a stream."""
    emulator.timing = Timing(0.0 if streamed else 5.0, 5.0)
    body = {**BODY, "stream": streamed}
    asked = asyncio.ensure_future(wire.post(CHAT["openai"], body))
    await until(lambda: emulator.in_flight["total"] == 1)
    asked.cancel()
    await until(lambda: emulator.in_flight["total"] == 0)

    assert emulator.aborts == 1
    assert emulator.records[0].aborted


async def test_stats_are_told_to_other_processes(emulator: Emulator, wire: Wire) -> None:
    """As JSON, and forgotten on request."""
    await wire.chat("openai")
    stats = (await wire.get("/__emulator__/stats")).json
    await wire.post("/__emulator__/reset")

    assert stats["received"] == 1
    assert stats["by_status"] == {"200": 1}
    assert stats["peak_in_flight"]["total"] == 1
    assert emulator.records == []
    assert emulator.counts().received == 0


async def test_a_journal_has_a_line_before_the_answer(tmp_path: Path) -> None:
    """It can be counted after anyone was killed, and is appended to by the next run."""
    journal = tmp_path / "received.jsonl"
    for _ in range(2):
        async with (
            Emulator(timing=Timing.instant(), journal=journal) as emulator,
            aiohttp.ClientSession() as session,
        ):
            await Wire(session, emulator.url).chat("openai", "Hi")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]

    assert len(lines) == 2
    assert lines[0]["question"] == question_digest("Hi")
    assert lines[0]["service"] == "openai"
    assert "sk-test" not in journal.read_text()


async def test_a_plain_answer_takes_its_tokens_time(emulator: Emulator, wire: Wire) -> None:
    """First token, input tokens, output tokens, jitter."""
    emulator.timing = Timing(0.005, 0.001, 0.001, 0.001)
    loop = asyncio.get_running_loop()
    start = loop.time()
    await wire.chat("openai", "x" * 40, max_tokens=10)

    assert loop.time() - start >= 0.005 + 0.010 + 0.014


async def test_a_stream_is_paced_token_by_token(emulator: Emulator, wire: Wire) -> None:
    """The first event comes long before the last."""
    emulator.timing = Timing(0.0, 0.004)
    loop = asyncio.get_running_loop()
    body = {**BODY, "stream": True, "max_tokens": 12}
    async with wire.session.post(wire.url + CHAT["openai"], json=body, headers=KEYS) as response:
        start = loop.time()
        times = [loop.time() async for _ in response.content.iter_any()]

    # A busy machine may join some events, not all of them.
    assert len(times) >= 3
    assert times[-1] - start >= 0.030


async def test_slots_serve_one_after_the_other() -> None:
    """With one slot, three calls take three times as long, in the order of arrival."""
    async with (
        Emulator(timing=Timing(0.01, 0.0, concurrency=1)) as emulator,
        aiohttp.ClientSession() as session,
    ):
        wire = Wire(session, emulator.url)
        loop = asyncio.get_running_loop()
        start = loop.time()
        await asyncio.gather(*(wire.chat("openai") for _ in range(3)))

        assert loop.time() - start >= 0.03


@pytest.mark.parametrize(("fields", "words"), [({"first_token": -1}, "0 or more"), ({"concurrency": 0}, "1")])
def test_bad_timings_are_refused(fields: dict[str, Any], words: str) -> None:
    """Negative times and no slots at all."""
    with pytest.raises(ValueError, match=words):
        Timing(**fields)


async def test_runs_with_one_seed_are_equal_twice() -> None:
    """Bodies and headers, but for the clock."""

    async def run() -> list[str]:
        async with (
            Emulator(7, Timing.instant()) as emulator,
            aiohttp.ClientSession() as session,
        ):
            wire = Wire(session, emulator.url)
            return [text_in(name, (await wire.chat(name, "Hi")).json) for name in CHAT]

    first = await run()
    assert first == await run()
    assert first[0] == answer_text(7, "m", "Hi")


async def test_the_application_can_be_mounted_elsewhere() -> None:
    """Below another prefix it answers the same."""
    emulator = Emulator(timing=Timing.instant())
    outer = web.Application()
    outer.add_subapp("/pretend", emulator.app)
    runner = web.AppRunner(outer, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession() as session:
        got = await Wire(session, f"http://127.0.0.1:{port}/pretend").chat("openai", "Hi")
    await runner.cleanup()
    await emulator.aclose()

    assert text_in("openai", got.json) == answer_text(0, "m", "Hi")


async def test_a_taken_port_is_an_error_that_leaves_nothing_open(emulator: Emulator) -> None:
    """The second emulator on a port fails cleanly."""
    second = Emulator(port=emulator.port)
    with pytest.raises(OSError, match="address already in use"):
        await second.start()


async def test_closing_twice_is_fine_and_leaves_no_task() -> None:
    """Only this test runs on the loop afterwards."""
    emulator = Emulator(timing=Timing(5.0))
    await emulator.start()
    async with aiohttp.ClientSession() as session:
        asked = asyncio.ensure_future(Wire(session, emulator.url).chat("openai"))
        await until(lambda: emulator.in_flight["total"] == 1)
        await emulator.aclose()
        with pytest.raises(aiohttp.ClientError):
            await asked
    await emulator.aclose()

    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_urls_are_the_sdks_base_urls() -> None:
    """What each SDK takes as its base URL."""
    emulator = Emulator(host="::1", port=8080)

    assert emulator.url == "http://[::1]:8080"
    assert emulator.base_urls["openai"] == "http://[::1]:8080/openai/v1"
    assert emulator.base_urls["groq"] == "http://[::1]:8080/groq"
    assert emulator.base_urls["claude"] == "http://[::1]:8080/claude"
