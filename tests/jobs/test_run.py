"""Whole runs with a client that answers at once."""

import asyncio
import errno
import io
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asyncapi import Client, jobs
from asyncapi.errors import (
    AsyncAPIError,
    AuthenticationError,
    ConfigError,
    InvalidRequestError,
    MissingKeyError,
    QuotaExhaustedError,
    ServerError,
    UnknownModelError,
)
from asyncapi.jobs.results import row_of
from asyncapi.jobs.run import run
from asyncapi.types.requests import Priority, Request
from asyncapi.types.responses import Response

from .fakes import FakeClient, Finished, Notes, batch_line, echo, read_jsonl, text_of, write_jsonl


class Case:
    """A folder with an input, and runs over it."""

    def __init__(self, folder: Path, rows: int = 50) -> None:
        self.output = folder / "out.jsonl"
        self.input = write_jsonl(folder / "in.jsonl", ({"q": f"q{i}"} for i in range(rows)))
        self.notes = Notes()
        self.stop = jobs.Stop()

    async def run(self, client: FakeClient | None = None, **settings: Any) -> jobs.Summary:
        """One run, by default with a prompt."""
        defaults: dict[str, Any] = {"model": "fake:m", "prompt": "{q}"}
        defaults |= {"input": str(self.input), "output": self.output}
        made = jobs.RunSettings(**(defaults | settings))
        self.notes, self.stop = Notes(), jobs.Stop()
        return await jobs.run(client or FakeClient(), made, reporter=self.notes, stop=self.stop)

    def ids(self) -> list[str]:
        """The ids in the output, in order."""
        return [line["custom_id"] for line in read_jsonl(self.output)]


def test_a_client_is_what_a_run_needs() -> None:
    """The type checker reads this one."""
    client: jobs.Mapper = Client()

    assert client


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """Fifty rows."""
    return Case(tmp_path)


async def test_every_row_gets_its_line(case: Case) -> None:
    """As an OpenAI Batch output, in the order in which they finish."""
    client = FakeClient()
    summary = await case.run(client, concurrency=7, priority=Priority.LOW, timeout=9.0)
    lines = read_jsonl(case.output)

    assert sorted(case.ids()) == sorted(f"request-{i}" for i in range(1, 51))
    assert case.ids() != [f"request-{i}" for i in range(1, 51)]
    for line in lines:
        number = int(line["custom_id"].removeprefix("request-")) - 1
        assert line["response"]["body"]["choices"][0]["message"]["content"] == f"q{number}"[::-1]
    assert client.peak == 7
    assert client.options == {"priority": Priority.LOW, "on_open": "wait", "timeout": 9.0}
    assert (summary.rows, summary.sent, summary.succeeded, summary.remaining) == (50, 50, 50, 0)
    assert (summary.input_tokens, summary.output_tokens) == (150, 100)
    assert summary.latency_p50_s == pytest.approx(0.01, rel=0.05)
    assert (summary.exit_code, summary.complete) == (0, True)
    assert case.notes.ended == 1


async def test_a_finished_run_sends_nothing_again(case: Case) -> None:
    """The output doesn't change by a byte."""
    await case.run()
    before = case.output.read_bytes()
    client = FakeClient()
    summary = await case.run(client)

    assert client.calls == []
    assert (summary.done_before, summary.remaining, summary.exit_code) == (50, 0, 0)
    assert case.output.read_bytes() == before


async def test_batch_lines_of_every_kind(case: Case) -> None:
    """Bad ones are reported, accounted for, and stop nobody."""
    with case.input.open("w") as file:
        file.write('{"custom_id": "a", "body": {"model": "m", "messages": "one"}}\n')
        file.write("not json\n\n")
        file.write('{"custom_id": "b", "url": "/v1/nothing", "body": {}}\n')
        file.write('{"custom_id": "c", "body": {"model": "m", "messages": "two"}}\n')
        file.write('{"custom_id": "a", "body": {"model": "m", "messages": "again"}}\n')
    summary = await case.run(model="fake:", prompt=None)

    assert case.ids() == ["line-2", "line-4", "a", "c"] or sorted(case.ids()) == [
        "a",
        "c",
        "line-2",
        "line-4",
    ]
    assert (summary.rows, summary.succeeded, summary.bad, summary.duplicates) == (5, 2, 2, 1)
    assert (summary.remaining, summary.failed_in_output, summary.exit_code) == (0, 2, 1)
    assert case.notes.notes == [
        next(note for note in case.notes.notes if note.startswith("line 2: not JSON")),
        "line 4: url: expected one of /v1/chat/completions, /v1/embeddings, got '/v1/nothing'",
        "line 6: id 'a' was used on line 1 already: not sent",
    ]


async def test_a_repeated_id_is_not_sent_by_a_later_run_either(case: Case) -> None:
    """Although its first row is done and not sent now."""
    rows = [batch_line(name, f"{name}{i}") for i, name in enumerate("abcab")]
    write_jsonl(case.input, rows)
    await case.run(model="fake:", prompt=None)
    client = FakeClient()
    summary = await case.run(client, model="fake:", prompt=None)

    assert client.calls == []
    assert (summary.duplicates, summary.done_before, summary.remaining) == (2, 3, 0)
    assert sorted(case.ids()) == ["a", "b", "c"]


async def test_only_ten_bad_lines_are_shown(case: Case) -> None:
    """A file of the wrong kind doesn't flood the terminal."""
    with case.input.open("a") as file:
        file.write("x\n" * 30)
    summary = await case.run()

    assert summary.bad == 30
    assert len(case.notes.notes) == 11
    assert case.notes.notes[-1] == "further ones are counted, not shown"


async def test_rows_without_an_id_of_their_own_are_not_parsed_again(case: Case) -> None:
    """Numbered ids are known without reading the row; given ids have to be compared."""
    write_jsonl(case.input, [{"q": "a", "id": 1}, {"q": "b", "id": 2}, {"q": "c", "id": 1}])
    summary = await case.run(id="{id}")

    assert (summary.succeeded, summary.duplicates) == (2, 1)


def flaky(failures: int, error: AsyncAPIError) -> Any:
    """An answer function that fails the first calls for every text that ends in 7."""

    def answer(request: Request, attempt: int) -> Response | AsyncAPIError:
        return error if text_of(request).endswith("7") and attempt <= failures else echo(request, attempt)

    return answer


DOWN = ServerError("down", status=503, attempts=4)
BAD = InvalidRequestError("bad", status=400, attempts=1)


async def test_what_may_pass_is_tried_again_at_the_end(case: Case) -> None:
    """And leaves no failure behind when it does pass."""
    client = FakeClient(flaky(1, DOWN))
    summary = await case.run(client)

    assert len(client.calls) == 55
    assert {text_of(call) for call in client.calls[50:]} == {"q7", "q17", "q27", "q37", "q47"}
    assert (summary.sent, summary.succeeded, summary.failed, summary.retries) == (55, 50, 0, 15)
    assert sorted(case.ids()) == sorted(f"request-{i}" for i in range(1, 51))


async def test_what_does_not_pass_is_written_as_failed(case: Case) -> None:
    """After the last pass, once."""
    client = FakeClient(flaky(9, DOWN))
    summary = await case.run(client, passes=3)
    failed = [line for line in read_jsonl(case.output) if line["error"]]

    assert len(client.calls) == 60
    assert (summary.succeeded, summary.failed, summary.exit_code) == (45, 5, 1)
    assert len(case.ids()) == len(set(case.ids())) == 50
    assert failed[0]["error"]["code"] == "server_error"
    assert failed[0]["response"]["status_code"] == 503


async def test_a_fault_of_the_request_is_not_tried_again(case: Case) -> None:
    """It would fail in the same way."""
    client = FakeClient(flaky(9, BAD))
    summary = await case.run(client)

    assert len(client.calls) == 50
    assert (summary.failed, summary.exit_code) == (5, 1)


async def test_failed_rows_are_left_alone_until_asked_for(case: Case) -> None:
    """Running again sends nothing; --retry-failed sends the failed ones, and each id stays there once."""
    await case.run(FakeClient(flaky(9, BAD)))
    again = FakeClient()
    assert (await case.run(again)).exit_code == 1
    assert again.calls == []

    summary = await case.run(again, retry_failed=True)

    assert len(again.calls) == 5
    assert (summary.succeeded, summary.done_before, summary.failed_in_output) == (5, 45, 0)
    assert summary.exit_code == 0
    assert sorted(case.ids()) == sorted(f"request-{i}" for i in range(1, 51))


async def test_the_exact_order_of_the_output_is_the_order_of_arrival(case: Case) -> None:
    """The journal's row numbers match."""
    await case.run(concurrency=3)

    lines = case.output.read_bytes().splitlines(keepends=True)
    assert [f"request-{(row_of(line) or 0) + 1}" for line in lines] == case.ids()


@pytest.mark.parametrize(("model", "error"), [("nix:m", UnknownModelError), ("keyless:m", MissingKeyError)])
async def test_an_endpoint_that_cannot_be_used_refuses_the_run(
    case: Case, model: str, error: type[ConfigError]
) -> None:
    """Nothing is sent or written, and the corrected command just runs."""
    client = FakeClient()
    with pytest.raises(error):
        await case.run(client, model=model)
    assert client.calls == []
    assert not case.output.exists()

    assert (await case.run()).succeeded == 50


@pytest.mark.parametrize("prompt", ["{q}", None])
async def test_a_route_answers_every_line(case: Case, prompt: str | None) -> None:
    """Whatever model the lines name themselves."""
    if prompt is None:
        write_jsonl(case.input, [batch_line("a", "hi", model="gpt-6")])
    client = FakeClient()

    assert (await case.run(client, model="smart", prompt=prompt)).exit_code == 0
    assert {request.model for request in client.calls} == {"smart"}


async def test_an_unknown_endpoint_of_one_line_fails_that_line(case: Case) -> None:
    """Where lines bring their own models."""
    models = ["fake:m", "nix:m", "fake:m", "nix:n"]
    write_jsonl(case.input, [batch_line(f"{i}", f"{i}", model=model) for i, model in enumerate(models)])
    client = FakeClient()
    summary = await case.run(client, model="", prompt=None)

    assert len(client.calls) == 2
    assert (summary.succeeded, summary.failed, summary.sent) == (2, 2, 4)
    assert [line["error"]["code"] for line in read_jsonl(case.output) if line["error"]] == ["config"] * 2


@pytest.mark.parametrize(
    "error", [AuthenticationError("revoked", status=401), QuotaExhaustedError("", status=429)]
)
async def test_a_run_without_a_good_key_stops_early(tmp_path: Path, error: AsyncAPIError) -> None:
    """The rows are not failed but left, for the same command with a good key."""
    case = Case(tmp_path, rows=500)
    client = FakeClient(lambda *_: error)
    summary = await case.run(client, concurrency=30)

    assert len(client.calls) < 100
    assert "the last 30 items all failed" in summary.stopped
    assert (summary.exit_code, summary.failed, summary.remaining) == (2, 0, 500)
    assert (await case.run()).succeeded == 500


async def test_a_run_in_which_everything_fails_stops_early(tmp_path: Path) -> None:
    """A wrong parameter costs dozens of calls, not all; unless told to keep going."""
    case = Case(tmp_path, rows=200)
    summary = await case.run(FakeClient(lambda *_: BAD), concurrency=10)

    assert summary.exit_code == 2
    assert 20 <= summary.failed < 50

    summary = await case.run(FakeClient(lambda *_: BAD), concurrency=10, keep_going=True, retry_failed=True)
    assert (summary.failed, summary.exit_code) == (200, 1)


async def test_a_run_that_had_answers_goes_on_through_failures(tmp_path: Path) -> None:
    """Also when they came in an earlier run."""
    case = Case(tmp_path, rows=200)
    await case.run(FakeClient(lambda r, n: BAD if text_of(r) > "q19" else echo(r, n)))
    summary = await case.run(FakeClient(lambda *_: BAD), retry_failed=True)

    assert not summary.stopped
    assert summary.remaining == 0


async def test_a_failure_of_the_account_in_the_last_pass_is_written(case: Case) -> None:
    """When it is not a streak."""
    error = AuthenticationError("revoked", status=401)
    summary = await case.run(FakeClient(flaky(9, error)), passes=1)

    assert (summary.failed, summary.remaining) == (5, 0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"input": "none.jsonl"}, "no such file: none.jsonl"),
        ({"input": "."}, "is a folder"),
        ({"prompt": "{text}"}, "none of the first 20 lines can be sent; line 1: no field 'text'; .*: q"),
        ({"prompt": None, "model": "fake:"}, "line 1: no OpenAI Batch line"),
        ({"output": Path("/dev/full")}, "no regular file"),
        ({"output": Path("none/out.jsonl")}, "no such folder"),
    ],
)
async def test_what_cannot_run_is_refused(case: Case, settings: dict[str, Any], words: str) -> None:
    """Before anything is sent or written."""
    with pytest.raises(ConfigError, match=words):
        await case.run(**settings)
    assert not case.output.exists()
    assert not case.output.with_name("out.jsonl.journal").exists()


async def test_input_and_output_must_differ(case: Case) -> None:
    """Or the input would be gone."""
    with pytest.raises(ConfigError, match="the same file"):
        await case.run(output=case.input)


async def test_a_changed_input_is_refused(case: Case) -> None:
    """Rows would be taken for others."""
    await case.run()
    with case.input.open("a") as file:
        file.write('{"q": "new"}\n')

    with pytest.raises(ConfigError, match="belongs to another run: input was in"):
        await case.run()
    assert (await case.run(overwrite=True)).succeeded == 51


async def test_an_unwritable_journal_is_refused(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reserve doesn't fit."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ConfigError, match="No space left on device; nothing was sent"):
        await case.run()


async def test_an_unreadable_manifest_is_refused(case: Case) -> None:
    """With the advice to start anew."""
    await case.run()
    (case.output.parent / "out.jsonl.journal" / "manifest.json").write_text("{")

    with pytest.raises(ConfigError, match="--overwrite starts anew"):
        await case.run()
    assert (await case.run(overwrite=True)).succeeded == 50


async def test_an_empty_input_is_done_at_once(case: Case) -> None:
    """Nothing in, nothing out."""
    case.input.write_text("")
    summary = await case.run()

    assert (summary.rows, summary.exit_code, case.output.read_bytes()) == (0, 0, b"")


class DiskFull:
    """A disk that is full after so many lines; ``reserve`` says whether giving it up helps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, case: Case, *, after: int, reserve: bool) -> None:
        self._write, self._left, self._helps = os.write, after, reserve
        self._reserve = case.output.with_name("out.jsonl.journal") / "reserve"
        monkeypatch.setattr(os, "write", self.write)

    def write(self, fd: int, data: bytes) -> int:
        """Stands in for ``os.write``."""
        if not data.startswith(b'{"id":"batch_req'):
            return self._write(fd, data)
        if self._left <= 0 and (self._reserve.exists() or not self._helps):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._left -= 1
        return self._write(fd, data)


@pytest.mark.parametrize("reserve", [True, False])
async def test_a_full_disk_stops_the_run_cleanly(
    case: Case, monkeypatch: pytest.MonkeyPatch, reserve: bool
) -> None:
    """What was in flight goes into the reserve; the same command continues when there is room."""
    client = FakeClient()
    with monkeypatch.context() as patch:
        DiskFull(patch, case, after=20, reserve=reserve)
        summary = await case.run(client, concurrency=8)

    assert summary.stopped == "can't write the output: No space left on device"
    assert summary.exit_code == 2
    assert summary.lost == (0 if reserve else 8)
    assert len(client.calls) == 28
    assert len(case.ids()) == summary.succeeded == (28 if reserve else 20)
    rest = FakeClient()
    assert (await case.run(rest)).exit_code == 0
    assert len(rest.calls) == 50 - summary.succeeded
    assert len(set(case.ids())) == len(case.ids()) == 50


class SlowClient(FakeClient):
    """Answers ``quick`` requests at once, the rest on ``release``; ``cancelled`` tells that it was closed."""

    quick = 5
    cancelled = False
    release: asyncio.Event

    async def map(self, requests: AsyncIterator[Request], /, *, max_in_flight: int, **options: Any) -> Any:
        """Results as they finish."""
        held = [await anext(requests) for _ in range(max_in_flight)]
        self.release = asyncio.Event()
        try:
            for index in range(self.quick):
                yield Finished(index, held[index], response=echo(held[index], 1))
            await self.release.wait()
            for index in range(self.quick, max_in_flight):
                yield Finished(index, held[index], response=echo(held[index], 1))
            assert [item async for item in requests] == []
        finally:
            self.cancelled = True


async def until(condition: Any) -> None:
    """Let the loop run until it is so."""
    while not condition():  # noqa: ASYNC110 - what it waits for has no event
        await asyncio.sleep(0.001)


async def test_a_stop_drains_what_is_in_flight(case: Case) -> None:
    """Nothing that was paid for is lost."""
    client = SlowClient()
    task = asyncio.ensure_future(case.run(client, concurrency=10))
    await until(lambda: case.output.exists() and len(case.output.read_bytes().splitlines()) == 5)
    case.stop.request()
    client.release.set()
    summary = await task

    assert summary.interrupted
    assert (summary.succeeded, summary.remaining, summary.exit_code) == (10, 40, 130)
    assert (await case.run()).sent == 40


@pytest.mark.parametrize(("grace", "requests"), [(0.0, 1), (60.0, 2), (60.0, 3)])
async def test_a_stop_ends_when_its_grace_does_or_at_the_second_request(
    case: Case, grace: float, requests: int
) -> None:
    """What is in flight is cancelled then and sent again by the next run."""
    client = SlowClient()
    task = asyncio.ensure_future(case.run(client, concurrency=10, grace=grace))
    await until(lambda: case.output.exists() and len(case.output.read_bytes().splitlines()) == 5)
    for _ in range(requests):
        case.stop.request()
    summary = await task

    assert client.cancelled
    assert (summary.succeeded, summary.remaining, summary.exit_code) == (5, 45, 130)
    assert (await case.run()).sent == 45


async def test_a_stop_while_the_input_is_read(case: Case) -> None:
    """Before anything was sent."""
    stop = jobs.Stop()
    stop.request()
    made = jobs.RunSettings(input=str(case.input), output=case.output, model="fake:m", prompt="{q}")

    assert (await run(FakeClient(), made, stop=stop)).exit_code == 130


async def test_standard_input_is_copied_and_recognised(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same pipe again continues; another one is refused."""

    def piped(content: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))

    content = case.input.read_bytes()
    piped(content)
    assert (await case.run(input="-")).succeeded == 50
    piped(content)
    assert (await case.run(input="-")).done_before == 50
    piped(content + b"{}\n")
    with pytest.raises(ConfigError, match="belongs to another run"):
        await case.run(input="-")


async def test_a_file_that_grows_meanwhile_is_read_as_it_was(case: Case) -> None:
    """The index was sized by its first reading."""

    def answer(request: Request, attempt: int) -> Response:
        if text_of(request) == "q0":
            with case.input.open("a") as file:
                file.write('{"q": "late"}\n' * 9)
        return echo(request, attempt)

    summary = await case.run(FakeClient(answer), concurrency=2)

    assert (summary.rows, summary.succeeded) == (50, 50)


async def test_the_loop_runs_while_done_rows_are_skipped(tmp_path: Path) -> None:
    """Calls in flight don't wait for a million rows to be passed over."""
    case = Case(tmp_path, rows=2000)
    await case.run(FakeClient(lambda r, n: BAD if text_of(r) == "q1999" else echo(r, n)))
    turns, over = 0, asyncio.Event()

    async def count() -> None:
        nonlocal turns
        while not over.is_set():
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(count())
    await case.run(retry_failed=True)
    over.set()
    await task

    assert turns > 15
    assert case.notes.ticks >= 1


@pytest.mark.slow
async def test_runs_in_many_rounds_of_chance_end_complete(tmp_path: Path) -> None:
    """Stopped again and again at random places: each row once, whatever failed meanwhile."""
    case, chance = Case(tmp_path, rows=300), random.Random(5)

    def answer(request: Request, _: int) -> Response | AsyncAPIError:
        if chance.random() < 0.03:
            case.stop.request()
        ends: list[Response | AsyncAPIError] = [echo(request, 1), echo(request, 1), DOWN, BAD]
        return chance.choice(ends)

    for _ in range(30):
        concurrency, grace = chance.randrange(1, 40), chance.choice([0.0, 60.0])
        summary = await case.run(FakeClient(answer), concurrency=concurrency, grace=grace, keep_going=True)
        assert len(set(case.ids())) == len(case.ids())
        assert len(case.ids()) + summary.remaining == 300
    summary = await case.run(retry_failed=True)

    assert sorted(case.ids()) == sorted(f"request-{i}" for i in range(1, 301))
    assert summary.exit_code == 0
