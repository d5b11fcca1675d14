"""run, end to end against the embedded emulator."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncapi.cli.defaults import BULK_PROFILE
from asyncapi.config import PROFILES
from asyncapi.emulator import Emulator, question_digest

from .conftest import Run
from .test_calls import ROUTE

PROMPT = ["--model", "openai:m", "--prompt", "{q}", "--emulate"]


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Thirty rows."""
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"q": f"question {i}", "n": i}) + "\n" for i in range(30)))
    return path


def results(path: str = "out.jsonl") -> list[dict[str, Any]]:
    """The lines of an output."""
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_every_answer_belongs_to_its_question(run: Run, questions: Path) -> None:
    """Through a real client and real connections."""
    ran = run("run", questions, "-o", "out.jsonl", *PROMPT, "--id", "row-{n}")

    assert ran.code == 0
    assert ran.out == ""
    assert "30 lines: 30 sent, 30 answered, 0 failed" in ran.err
    assert "out.jsonl is whole" in ran.err
    for line in results():
        text = line["response"]["body"]["choices"][0]["message"]["content"]
        assert question_digest(f"question {line['custom_id'].removeprefix('row-')}") in text


def test_lines_that_ask_the_same_are_sent_once(run: Run, tmp_path: Path) -> None:
    """Thirty of a hundred; the summary says what it saved, and the emulator that it is true."""
    lines = [{"q": f"What is {i if i % 10 < 7 else i // 10 * 10}?"} for i in range(100)]
    Path("in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    Path("asyncapi.toml").write_text('[prices]\n"openai:m" = { input = 1000.0, output = 1000.0 }\n')
    ran = run("run", "in.jsonl", "-o", "out.jsonl", *PROMPT, "--json")

    assert ran.code == 0
    summary = json.loads(ran.out)
    assert (summary["emulator"]["received"], summary["repeated"], summary["succeeded"]) == (70, 30, 100)
    assert "saved 30 requests, " in ran.err
    assert "in money: 30 lines asked what another one asks" in ran.err
    saved = summary["saved_input_tokens"] + summary["saved_output_tokens"]
    assert summary["saved_money"] == pytest.approx(saved / 1000)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """One that outlives a command."""
    loop, running = asyncio.new_event_loop(), Emulator()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(running.start(), loop).result()
        yield running
        asyncio.run_coroutine_threadsafe(running.aclose(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_cache_answers_the_next_run_and_a_chat(
    run: Run, questions: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent for what is in the file."""
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    monkeypatch.setenv("OPENAI_BASE_URL", emulator.base_urls["openai"])
    options = ("--model", "openai:m", "--prompt", "{q}", "--cache", "c.db")

    ran = [run("run", questions, "-o", out, *options) for out in ("one.jsonl", "two.jsonl")]
    said = run("chat", "openai:m", "question 3", "--cache", "c.db")

    assert [each.code for each in (*ran, said)] == [0, 0, 0]
    assert "saved" not in ran[0].err
    assert "saved 30 requests, " in ran[1].err
    assert "30 answers from the cache" in ran[1].err
    assert emulator.counts().received == 30
    (line,) = (line for line in results("one.jsonl") if line["custom_id"] == "request-4")
    assert said.out.strip() == line["response"]["body"]["choices"][0]["message"]["content"]


def test_the_same_command_again_sends_nothing(run: Run, questions: Path) -> None:
    """And tells so as JSON when asked."""
    run("run", questions, "-o", "out.jsonl", *PROMPT)
    ran = run("run", questions, "-o", "out.jsonl", *PROMPT, "--json", "--quiet")
    summary = json.loads(ran.out)

    assert (ran.code, ran.err) == (0, "")
    assert (summary["sent"], summary["done_before"], summary["complete"]) == (0, 30, True)


@pytest.mark.parametrize("service", ["claude", "ollama", "groq", "vllm"])
def test_a_batch_file_runs_anywhere(run: Run, tmp_path: Path, service: str) -> None:
    """The same OpenAI Batch lines, the same shape of results."""
    body = {"model": "gpt-6", "messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 20}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    (tmp_path / "in.jsonl").write_text(json.dumps(line) + "\n")
    ran = run("run", "in.jsonl", "-o", "out.jsonl", "--model", f"{service}:", "--emulate")
    [result] = results()

    assert ran.code == 0
    assert result["response"]["body"]["object"] == "chat.completion"
    assert question_digest("hi") in result["response"]["body"]["choices"][0]["message"]["content"]


def test_embedding_lines(run: Run, tmp_path: Path) -> None:
    """Batched on the way, apart in the output."""
    lines = [
        {"custom_id": f"e{i}", "url": "/v1/embeddings", "body": {"model": "m", "input": f"text {i}"}}
        for i in range(9)
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    assert run("run", "in.jsonl", "-o", "out.jsonl", "--model", "hf_tei:", "--emulate").code == 0
    assert all(len(line["response"]["body"]["data"]) == 1 for line in results())


def test_lines_with_whole_model_names_need_no_model(run: Run, tmp_path: Path) -> None:
    """Each goes where it says."""
    lines = [{"custom_id": s, "body": {"model": f"{s}:m", "messages": "hi"}} for s in ("openai", "claude")]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    assert run("run", "in.jsonl", "-o", "out.jsonl", "--emulate").code == 0


def test_options_reach_the_service(run: Run, tmp_path: Path) -> None:
    """CSV, system message, parameters of any kind."""
    (tmp_path / "in.csv").write_text("id,q\n1,Why?\n")
    options = ["--system", "You are {id}.", "--max-tokens", "7", "--temperature", "0", "--param", "top_p=0.5"]
    options += ["--param", "verbosity=low", "--priority", "low", "--timeout", "9", "--format", "csv"]
    ran = run("run", "in.csv", "-o", "out.jsonl", *PROMPT, *options)

    assert ran.code == 0
    assert results()[0]["response"]["body"]["usage"]["completion_tokens"] <= 7


def test_failures_end_with_one_and_can_be_sent_again(run: Run, questions: Path) -> None:
    """With the command that the advice names."""
    with questions.open("a") as file:
        file.write("broken\n")
    faults = ["--faults", "rate=0.3,kinds=revoked", "--keep-going", "--passes", "1"]
    ran = run("run", questions, "-o", "out.jsonl", *PROMPT, *faults)
    again = run("run", questions, "-o", "out.jsonl", *PROMPT, "--retry-failed")

    assert ran.code == 1
    assert "line 31: not JSON" in ran.err
    assert "--retry-failed sends them again" in ran.err
    assert again.code == 1
    assert "out.jsonl is whole; 1 line of it failed" in again.err
    assert len({line["custom_id"] for line in results()}) == len(results()) == 31


def test_another_input_is_refused(run: Run, questions: Path) -> None:
    """And --overwrite starts anew."""
    run("run", questions, "-o", "out.jsonl", *PROMPT)
    other = ["--model", "openai:other", "--prompt", "{q}", "--emulate"]
    ran = run("run", questions, "-o", "out.jsonl", *other)

    assert ran.code == 2
    assert "model was 'openai:m', is 'openai:other'" in ran.err
    assert run("run", questions, "-o", "out.jsonl", *other, "--overwrite").code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.jsonl", "-o", "out.jsonl", *PROMPT], "no such file: none.jsonl"),
        (["in.jsonl", *PROMPT], "Missing option '-o'"),
        (["in.jsonl", "-o", "out.jsonl", *PROMPT, "--param", "x"], "expected KEY=JSON"),
        (
            ["in.jsonl", "-o", "out.jsonl", "--model", "openai:m", "--prompt", "{q}"],
            "openai needs an API key",
        ),
        (
            ["in.jsonl", "-o", "out.jsonl", "--model", "nix:m", "--prompt", "{q}"],
            "no endpoint is called 'nix'",
        ),
        (["in.jsonl", "-o", "out.jsonl", "--model", "m", "--prompt", "{q}"], "expected provider:model"),
        (
            ["in.jsonl", "-o", "out.jsonl", "--model", "openai:m", "--prompt", "{x}", "--emulate"],
            "no field 'x'",
        ),
        (["in.jsonl", "-o", "out.jsonl", "--model", "openai:", "--emulate"], "no OpenAI Batch line"),
    ],
)
def test_what_cannot_run_is_said_at_once(run: Run, questions: Path, arguments: list[str], words: str) -> None:
    """With 2, before anything is sent."""
    ran = run("run", *arguments)

    assert ran.code == 2
    assert ran.err.startswith("asyncapi: error: ")
    assert words in ran.err
    assert not Path("out.jsonl").exists()


def test_a_run_without_a_good_key_says_why_it_stops(run: Run, tmp_path: Path) -> None:
    """And what is safe."""
    (tmp_path / "in.jsonl").write_text("".join(f'{{"q": "{i}"}}\n' for i in range(300)))
    ran = run("run", "in.jsonl", "-o", "out.jsonl", *PROMPT, "--faults", "rate=1,kinds=revoked")

    assert ran.code == 2
    assert "stopped: the last 64 items all failed" in ran.err
    assert "out.jsonl is safe and holds 0 of 300 lines: the same command continues" in ran.err


@pytest.mark.slow
def test_every_fault_at_once(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Transient faults of all kinds, a key lost, an outage, a key without money: every row is answered.

    The emulator counts: no more requests than the profile's budget of retries allows, none too early.
    """
    monkeypatch.setenv("ASYNCAPI_TIMEOUT_FIRST_BYTE", "1")
    rows = 400
    (tmp_path / "in.jsonl").write_text("".join(f'{{"q": "question {i}"}}\n' for i in range(rows)))
    options = ["--faults", "all", "--json", "--concurrency", "16"]
    ran = run("run", "in.jsonl", "-o", "out.jsonl", *PROMPT, *options)
    summary = json.loads(ran.out)
    emulator = summary["emulator"]

    assert (ran.code, summary["succeeded"], summary["failed_in_output"]) == (0, rows, 0)
    assert len({line["custom_id"] for line in results()}) == len(results()) == rows
    assert rows < emulator["received"] <= (1 + PROFILES[BULK_PROFILE].retry.budget) * rows
    assert emulator["spoilt"] > 0.05 * rows
    assert emulator["early"] == 0
    for words in ("a key is revoked", "an outage of 2 s begins", "a key is out of money"):
        assert f"emulator: {words}" in ran.err
    assert f"the emulator received {emulator['received']:,} requests" in ran.err


def test_a_route_of_the_file(run: Run, questions: Path, tmp_path: Path) -> None:
    """By its name; another name without a colon is refused."""
    (tmp_path / "routes.toml").write_text(ROUTE)
    command = ["run", questions, "-o", "out.jsonl", "--prompt", "{q}", "--config", "routes.toml", "--emulate"]
    ran = run(*command, "--model", "smart")
    other = run(*command, "--model", "clever", "--overwrite")

    assert (ran.code, len(results())) == (0, 30)
    assert other.code == 2
    assert "expected provider:model or a route (smart)" in other.err


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    """A run in a process of its own, of answers that take their time."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [
        sys.executable,
        "-X",
        "dev",
        "-m",
        "asyncapi",
        "run",
        "in.jsonl",
        "-o",
        "out.jsonl",
        *PROMPT,
        *options,
    ]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, env=environment)


def wait_for_lines(folder: Path, count: int) -> None:
    """Until the output holds so many."""
    path = folder / "out.jsonl"
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        time.sleep(0.005)


@pytest.mark.slow
def test_ctrl_c_drains_and_says_how_to_continue(tmp_path: Path, run: Run) -> None:
    """What is in flight is finished; the same command does the rest."""
    (tmp_path / "in.jsonl").write_text("".join(f'{{"q": "{i}"}}\n' for i in range(800)))
    process = start(tmp_path, "--concurrency", "4")
    wait_for_lines(tmp_path, 20)
    process.send_signal(signal.SIGINT)
    shown = process.communicate()[1]
    done = (tmp_path / "out.jsonl").read_bytes().count(b"\n")

    assert process.returncode == 130
    assert "stopping: waiting up to 30 s for what is in flight; Ctrl-C again ends it now" in shown
    assert f"holds {done:,} of 800 lines: the same command continues" in shown
    ran = run("run", "in.jsonl", "-o", "out.jsonl", *PROMPT, "--json", "--concurrency", "64")
    assert json.loads(ran.out)["sent"] == 800 - done
    assert len({line["custom_id"] for line in results()}) == 800


@pytest.mark.slow
def test_a_second_ctrl_c_ends_it_now(tmp_path: Path) -> None:
    """Though nothing answers."""
    (tmp_path / "in.jsonl").write_text("".join(f'{{"q": "{i}"}}\n' for i in range(100)))
    process = start(tmp_path, "--concurrency", "4", "--faults", "rate=0.2,kinds=silence")
    wait_for_lines(tmp_path, 1)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "stopping" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    shown = process.communicate()[1]

    assert process.returncode == 130
    assert "the same command continues" in shown
    assert "Traceback" not in shown


@pytest.mark.slow
def test_a_killed_run_continues(tmp_path: Path, run: Run) -> None:
    """With the real client, too."""
    (tmp_path / "in.jsonl").write_text("".join(f'{{"q": "{i}"}}\n' for i in range(300)))
    for kill in range(1, 4):
        process = start(tmp_path, "--concurrency", "8")
        wait_for_lines(tmp_path, kill * 30)
        process.kill()
        process.communicate()
    ran = run("run", "in.jsonl", "-o", "out.jsonl", *PROMPT)

    assert ran.code == 0
    assert len({line["custom_id"] for line in results()}) == len(results()) == 300
