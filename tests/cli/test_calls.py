"""chat, embed and models, end to end against the embedded emulator."""

import io
import json
from pathlib import Path

import pytest

from asyncapi.emulator import question_digest

from .conftest import Run


def test_chat_streams_the_answer(run: Run) -> None:
    """Nothing but the answer on stdout, ended by a line break."""
    ran = run("chat", "openai:gpt-5", "hello", "--emulate", "--seed", "3")

    assert ran.code == 0
    assert question_digest("hello") in ran.out
    assert ran.out.endswith("\n")
    assert ran.err == ""


@pytest.mark.parametrize("service", ["openai", "groq", "claude", "ollama", "vllm", "opea"])
def test_chat_gives_the_same_whole_as_streamed(run: Run, service: str) -> None:
    """Of every service, with the options it takes."""
    options = ["--emulate", "--system", "Be brief.", "--max-tokens", "50", "--temperature", "0"]
    streamed = run("chat", f"{service}:m", "hello", *options)
    whole = run("chat", f"{service}:m", "hello", *options, "--no-stream")

    assert streamed.out == whole.out != ""


@pytest.mark.parametrize("text", [["-"], []])
def test_chat_reads_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch, text: list[str]) -> None:
    """With a dash, or when it is no terminal."""
    monkeypatch.setattr("sys.stdin", io.StringIO("from a pipe"))

    assert question_digest("from a pipe") in run("chat", "claude:m", *text, "--emulate").out


def test_chat_without_a_text_on_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It doesn't wait for one."""
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    ran = run("chat", "claude:m")

    assert ran.code == 2
    assert "give a TEXT" in ran.err


def test_chat_as_json(run: Run) -> None:
    """One object with everything."""
    found = json.loads(run("chat", "claude:m", "hello", "--emulate", "--json").out)

    assert question_digest("hello") in found["text"]
    assert found["attempts"] == 1
    assert found["usage"]["input_tokens"] > 0
    assert found["raw"]["role"] == "assistant"


def test_chat_trace_names_the_stations(run: Run) -> None:
    """On stderr, with their times, in order."""
    ran = run("chat", "openai:m", "hello", "--emulate", "--trace", "--timeout", "9")
    stations = [line.split("ms", 1)[1].split()[0] for line in ran.err.splitlines()]

    assert [s for s in stations if s != "queue"] == ["limit", "transport", "stream", "verdict", "call"]
    assert question_digest("hello") in ran.out


def test_a_call_that_fails_is_one(run: Run) -> None:
    """After its attempts."""
    ran = run("chat", "openai:m", "hello", "--emulate", "--no-stream", "--faults", "rate=1,kinds=revoked")

    assert ran.code == 1
    assert ran.err.startswith("asyncapi: error: ")


def test_a_cut_stream_ends_its_line(run: Run) -> None:
    """The part that came is shown, the error stands on a line of its own."""
    ran = run("chat", "openai:m", "hello", "--emulate", "--faults", "rate=1,kinds=cut_stream")

    assert ran.code == 1
    assert ran.out == "" or ran.out.endswith("\n")
    assert ran.err.startswith("asyncapi: error: ")


def test_embed_gives_a_line_for_each_text(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order; from arguments and from standard input alike."""
    given = run("embed", "hf_tei:m", "one", "two", "--emulate")
    monkeypatch.setattr("sys.stdin", io.StringIO("one\n\ntwo\n"))
    piped = run("embed", "hf_tei:m", "-", "--emulate")
    lines = [json.loads(line) for line in given.out.splitlines()]

    assert [(line["index"], line["text"]) for line in lines] == [(0, "one"), (1, "two")]
    assert len(lines[0]["embedding"]) > 2
    assert given.out == piped.out
    assert (
        len(json.loads(run("embed", "openai:m", "a", "--dimensions", "5", "--emulate").out)["embedding"]) == 5
    )


def test_embed_needs_a_text(run: Run) -> None:
    """Or a dash."""
    ran = run("embed", "hf_tei:m")

    assert ran.code == 2
    assert "give a TEXT or more" in ran.err


def test_models_can_be_used_as_they_are_printed(run: Run) -> None:
    """With their provider; or as JSON with all that is known."""
    lines = run("models", "groq:", "--emulate").out.splitlines()
    found = [json.loads(line) for line in run("models", "groq", "--emulate", "--json").out.splitlines()]

    assert lines == [f"groq:{model['id']}" for model in found] != []


def test_endpoints_of_a_file_are_emulated_under_their_names(run: Run, tmp_path: Path) -> None:
    """With their own settings."""
    (tmp_path / "asyncapi.toml").write_text('[endpoints.main]\nbackend = "claude"\nlimit = 2\n')

    assert run("chat", "main:m", "hello", "--emulate").code == 0
    ran = run("chat", "main:m", "hello")
    assert ran.code == 2
    assert "asyncapi.toml" in ran.err
    assert "ANTHROPIC_API_KEY" in ran.err
