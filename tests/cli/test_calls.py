"""chat, embed and models, end to end against the embedded emulator."""

import io
import json
from pathlib import Path
from typing import cast

import pytest

from asyncapi.abc import ServiceBackend
from asyncapi.backends import get_backend, known_backends
from asyncapi.emulator import question_digest

from .conftest import Run

#: The services of each operation that a command has.
OFFERED = {
    operation: [
        name
        for name in known_backends()
        if operation in cast(ServiceBackend, get_backend(name)).service.operations
    ]
    for operation in ("chat", "embed", "models")
}
ROUTE = """
[endpoints.main]
backend = "openai"
[endpoints.claude]
backend = "claude"
[routes.smart]
targets = ["main:gpt-5-mini", "claude:claude-sonnet-5"]
"""


def test_chat_streams_the_answer(run: Run) -> None:
    """Nothing but the answer on stdout, ended by a line break."""
    ran = run("chat", "openai:gpt-5", "hello", "--emulate", "--seed", "3")

    assert ran.code == 0
    assert question_digest("hello") in ran.out
    assert ran.out.endswith("\n")
    assert ran.err == ""


@pytest.mark.parametrize("service", OFFERED["chat"])
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


@pytest.mark.parametrize("service", OFFERED["embed"])
def test_every_service_with_vectors_embeds(run: Run, service: str) -> None:
    """With a key that is none, in the form of the service's own."""
    model = "org/embed-small" if service == "llvm" else "m"
    ran = run("embed", f"{service}:{model}", "one", "--emulate")

    assert (ran.code, ran.err) == (0, "")
    assert len(json.loads(ran.out)["embedding"]) > 2


def test_embed_needs_a_text(run: Run) -> None:
    """Or a dash."""
    ran = run("embed", "hf_tei:m")

    assert ran.code == 2
    assert "give a TEXT or more" in ran.err


@pytest.mark.parametrize("service", OFFERED["models"])
def test_every_service_lists_its_models(run: Run, service: str) -> None:
    """That has any list of them."""
    ran = run("models", f"{service}:", "--emulate")

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"{service}:")


def test_a_store_has_no_models(run: Run) -> None:
    """It says who has."""
    ran = run("models", "s3_kit", "--emulate")

    assert ran.code == 2
    assert "s3_kit does not offer 'models'; these do: claude" in ran.err


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


def test_chat_takes_a_route_of_the_file(run: Run, tmp_path: Path) -> None:
    """By its name, without a colon."""
    path = tmp_path / "routes.toml"
    path.write_text(ROUTE)
    ran = run("chat", "smart", "hello", "--emulate", "--config", path)
    other = run("chat", "clever", "hello", "--emulate", "--config", path)
    alone = run("chat", "claude:m", "hello", "--emulate", "--config", path, "--json")

    assert (ran.code, ran.err) == (0, "")
    assert question_digest("hello") in ran.out
    assert other.code == 2
    assert "expected provider:model or a route (smart)" in other.err
    assert json.loads(alone.out)["text"]


def test_chat_moves_along_a_route_of_the_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the client does: nobody is at the first target, so the second one is asked."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-any")
    monkeypatch.setenv("ASYNCAPI_RETRY_ATTEMPTS", "1")
    dead = 'backend = "openai"\nbase_url = "http://127.0.0.1:9/v1"'
    (tmp_path / "asyncapi.toml").write_text(ROUTE.replace('backend = "openai"', dead))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-any")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:8")
    ran = run("chat", "smart", "hello", "--no-stream")

    assert ran.code == 1
    assert "[endpoint claude" in ran.err
