"""Lines that ask the same: one request, a line for each, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi import Cache, Client, Endpoint, Price, jobs
from asyncapi.errors import InvalidRequestError, ServerError
from asyncapi.jobs import repeats
from asyncapi.jobs.duplicates import SeenRequests
from asyncapi.testing import virtual_time
from asyncapi.testing.scripted import ScriptedTransport, reply
from asyncapi.types.requests import Request
from asyncapi.types.responses import Response
from tests.core.worlds import text_of as sent_text

from .fakes import FakeClient, Notes, batch_line, echo, read_jsonl, text_of, write_jsonl


@settings(deadline=None)
@given(st.lists(st.binary(min_size=32, max_size=32), max_size=30), st.randoms(use_true_random=False))
def test_the_table_gives_the_first_row_of_every_request(keys: list[bytes], rng: random.Random) -> None:
    """As a dictionary would."""
    rows = [rng.choice(keys) for _ in range(200)] if keys else []
    seen, expected = SeenRequests(len(rows)), dict[bytes, int]()
    try:
        for row, key in enumerate(rows):
            assert seen.first(key, row) == expected.setdefault(key, row)
    finally:
        seen.close()


def asked(number: int) -> str:
    """Of ten lines three ask what another one asks."""
    return f"q{number if number % 10 < 7 else number // 10 * 10}"


class Case:
    """A folder with a file in which 30 % of the lines repeat a request, and runs over it."""

    def __init__(self, folder: Path, rows: int = 100) -> None:
        self.rows = rows
        self.output = folder / "out.jsonl"
        self.input = write_jsonl(folder / "in.jsonl", ({"q": asked(i)} for i in range(rows)))

    async def run(self, client: Any, **settings: Any) -> jobs.Summary:
        """One run."""
        defaults: dict[str, Any] = {"model": "fake:m", "prompt": "{q}", "concurrency": 7}
        defaults |= {"input": str(self.input), "output": self.output}
        return await jobs.run(client, jobs.RunSettings(**(defaults | settings)), reporter=Notes())

    def answers(self) -> dict[str, str]:
        """What every line got, by its id."""
        whole = self.output.read_bytes().rpartition(b"\n")[0].splitlines() if self.output.exists() else []
        lines = [orjson.loads(line) for line in whole]
        return {
            line["custom_id"]: line["response"]["body"]["choices"][0]["message"]["content"] for line in lines
        }

    def check(self) -> None:
        """Every line has the answer to its own question, once."""
        assert len(read_jsonl(self.output)) == self.rows
        assert self.answers() == {f"request-{i + 1}": asked(i)[::-1] for i in range(self.rows)}


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """A hundred rows."""
    return Case(tmp_path)


async def test_no_repeated_line_is_sent(case: Case) -> None:
    """And the summary says what that saved."""
    client = FakeClient()
    summary = await case.run(client, prices={"fake:m": Price(input=1e6, output=1e6)})

    case.check()
    assert len(client.calls) == len({text_of(call) for call in client.calls}) == 70
    assert (summary.rows, summary.sent, summary.succeeded, summary.repeated) == (100, 70, 100, 30)
    assert (summary.input_tokens, summary.saved_input_tokens) == (70 * 3, 30 * 3)
    assert (summary.output_tokens, summary.saved_output_tokens) == (70 * 2, 30 * 2)
    assert summary.saved_money == pytest.approx(30 * 5)
    assert summary.complete


async def test_each_line_can_be_sent_all_the_same(case: Case) -> None:
    """For who wants several samples of one answer."""
    client = FakeClient()
    summary = await case.run(client, ask_repeats=True)

    case.check()
    assert (len(client.calls), summary.repeated, summary.saved_money) == (100, 0, None)


async def test_a_line_gets_its_answer_from_far_before(tmp_path: Path) -> None:
    """From the output, when the request that asked first has long ended."""
    case = Case(tmp_path, 0)
    case.input = write_jsonl(case.input, ({"q": f"q{i % 40}"} for i in range(400)))
    client = FakeClient()
    summary = await case.run(client, concurrency=3)

    assert (len(client.calls), summary.repeated) == (40, 360)
    assert case.answers() == {f"request-{i + 1}": f"q{i % 40}"[::-1] for i in range(400)}
    assert summary.saved_input_tokens == 360 * 3


async def test_ids_of_their_own_and_parameters_count(tmp_path: Path) -> None:
    """The same body under two ids is one request; another temperature or model is another."""
    lines = [
        batch_line("a", "x"),
        batch_line("b", "x"),
        batch_line("c", "x", temperature=0),
        batch_line("d", "x", temperature=0.0),
        batch_line("e", "x", model="gpt-7"),
        batch_line("f", "x", user="somebody", metadata={"trace": "1"}),
        batch_line("a", "x"),
    ]
    source = write_jsonl(tmp_path / "in.jsonl", lines)
    client = FakeClient()
    settings = jobs.RunSettings(input=str(source), output=tmp_path / "out.jsonl", model="openai:")
    summary = await jobs.run(client, settings)

    assert (len(client.calls), summary.repeated, summary.duplicates) == (3, 3, 1)
    assert sorted(line["custom_id"] for line in read_jsonl(tmp_path / "out.jsonl")) == list("abcdef")


async def test_a_failure_is_everybodys(tmp_path: Path) -> None:
    """What no service takes is asked once, and written as failed for each."""

    def answer(request: Request, _: int) -> Response | InvalidRequestError:
        return InvalidRequestError("no", status=400) if text_of(request) == "q0" else echo(request, 0)

    case = Case(tmp_path, 20)
    client = FakeClient(answer)
    summary = await case.run(client)

    assert (len(client.calls), summary.succeeded, summary.failed) == (14, 16, 4)
    failed = {line["custom_id"] for line in read_jsonl(case.output) if line["error"]}
    assert failed == {"request-1", "request-8", "request-9", "request-10"}
    assert summary.saved_input_tokens == 3 * 3

    again = FakeClient()
    summary = await case.run(again, retry_failed=True)
    case.check()
    assert (len(again.calls), summary.repeated) == (1, 3)


async def test_what_may_pass_is_tried_again_once_for_all(tmp_path: Path) -> None:
    """In the next pass, by the line that asked first."""

    def answer(request: Request, time: int) -> Response | ServerError:
        return ServerError("later", status=500) if time == 1 and text_of(request) < "q2" else echo(request, 0)

    case = Case(tmp_path, 60)
    client = FakeClient(answer)
    summary = await case.run(client)

    case.check()
    first = {text for i in range(60) if (text := asked(i)) < "q2"}
    assert len(client.calls) == 42 + len(first)
    assert summary.repeated == 18


@pytest.mark.parametrize("seed", range(12))
async def test_a_run_that_is_cut_short_anywhere_goes_on(tmp_path: Path, seed: int) -> None:
    """Whatever was written when it ended, nothing that is there is asked again."""
    rng = random.Random(seed)
    case = Case(tmp_path)
    asked_for: list[str] = []
    while True:
        left = rng.randrange(1, 30)
        stop = jobs.Stop()

        def answer(request: Request, _: int) -> Response:
            nonlocal left
            left -= 1
            if left == 0:
                stop.request()  # noqa: B023  each run has its own
            return echo(request, 0)

        numbers = (int(name.removeprefix("request-")) - 1 for name in case.answers())
        known = {asked(number) for number in numbers}
        client = FakeClient(answer, seed=seed)
        settings = jobs.RunSettings(
            input=str(case.input), output=case.output, model="fake:m", prompt="{q}", concurrency=5, grace=0
        )
        summary = await jobs.run(client, settings, stop=stop)
        asked_now = [text_of(call) for call in client.calls]
        assert known.isdisjoint(asked_now)
        asked_for += asked_now
        torn = case.output.read_bytes()
        if summary.complete:
            break
        case.output.write_bytes(torn[: len(torn) - rng.randrange(40)])  # as a crash of the machine leaves it

    case.check()
    assert len(asked_for) <= 70 + 40 * 5


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=60),
    st.sets(st.integers(0, 12)),
    st.sets(st.integers(0, 12)),
    st.integers(1, 9),
)
def test_every_line_gets_the_answer_to_its_own_question(
    tmp_path_factory: pytest.TempPathFactory, rows: list[int], bad: set[int], late: set[int], concurrency: int
) -> None:
    """Over files of any repetition, with failures of both kinds: one request a question and pass."""

    def answer(request: Request, time: int) -> Response | InvalidRequestError | ServerError:
        number = int(text_of(request)[1:])
        if number in bad:
            return InvalidRequestError("no", status=400)
        return ServerError("later", status=500) if number in late and time == 1 else echo(request, 0)

    folder = tmp_path_factory.mktemp("case")
    source = write_jsonl(folder / "in.jsonl", ({"q": f"q{n}"} for n in rows))
    client = FakeClient(answer)
    settings = jobs.RunSettings(
        input=str(source),
        output=folder / "out.jsonl",
        model="fake:m",
        prompt="{q}",
        concurrency=concurrency,
        keep_going=True,
    )
    summary = asyncio.run(jobs.run(client, settings))
    lines = {
        int(line["custom_id"].removeprefix("request-")) - 1: line for line in read_jsonl(settings.output)
    }

    assert sorted(lines) == list(range(len(rows)))
    for row, number in enumerate(rows):
        if number in bad:
            assert lines[row]["error"] is not None
        else:
            text = lines[row]["response"]["body"]["choices"][0]["message"]["content"]
            assert text == f"q{number}"[::-1]
    questions = set(rows)
    assert len(client.calls) == len(questions) + len((late - bad) & questions)
    assert summary.repeated == len(rows) - len(questions)
    assert summary.succeeded + summary.failed == len(rows)


def test_those_that_wait_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the first is under way the file is not read on for ever."""
    monkeypatch.setattr(repeats, "MOST_WAITING", 20)
    source = write_jsonl(tmp_path / "in.jsonl", ({"q": "same"} for _ in range(500)))
    peak = 0

    place = repeats.Repeats.place

    async def watched(self: repeats.Repeats, item: Any) -> Any:
        nonlocal peak
        peak = max(peak, self._count)
        return await place(self, item)

    monkeypatch.setattr(repeats.Repeats, "place", watched)
    transport = ScriptedTransport(lambda r: reply(sent_text(r), delay=5.0))
    settings = jobs.RunSettings(
        input=str(source), output=tmp_path / "out.jsonl", model="openai:m", prompt="{q}"
    )

    async def main() -> jobs.Summary:
        endpoint = Endpoint("openai", base_url="https://ai.test/v1", keys=("k",))
        async with Client([endpoint], transport=transport, log=False, environment={}) as client:
            return await jobs.run(client, settings)

    with virtual_time() as time:
        summary = time.run(main())

    assert (len(transport.requests), summary.succeeded, summary.repeated) == (1, 500, 499)
    assert peak <= 20


async def test_what_the_clients_cache_answers_is_told_apart(tmp_path: Path) -> None:
    """A second file that asks the same, with the cache of the first run."""
    transport = ScriptedTransport(lambda r: reply(sent_text(r)))
    source = write_jsonl(tmp_path / "in.jsonl", ({"q": f"q{i % 5}"} for i in range(10)))
    summaries = []
    for name in ("one", "two"):
        endpoint = Endpoint("openai", base_url="https://ai.test/v1", keys=("k",))
        cache = Cache("sqlite", str(tmp_path / "c.db"))
        async with Client([endpoint], transport=transport, cache=cache, log=False, environment={}) as client:
            settings = jobs.RunSettings(
                input=str(source), output=tmp_path / name, model="openai:m", prompt="{q}"
            )
            summaries.append(await jobs.run(client, settings))

    first, second = summaries
    assert len(transport.requests) == 5
    assert (first.repeated, first.cached, second.repeated, second.cached) == (5, 0, 5, 5)
    assert second.input_tokens == 0
    assert second.saved_input_tokens == first.input_tokens + first.saved_input_tokens
