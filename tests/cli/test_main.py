"""The group: help, version, exit codes, errors in one line."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from asyncapi import cli
from asyncapi.errors import ServerError

from .conftest import Run

HEAVY = ("aiohttp", "rich", "structlog", "asyncapi.emulator", "asyncapi.jobs", "aiobotocore")


def test_help_lists_every_command(run: Run) -> None:
    """With what each does."""
    ran = run("--help")

    assert ran.code == 0
    assert all(
        f"  {name} " in ran.out for name in ("demo", "run", "chat", "embed", "models", "doctor", "emulate")
    )


@pytest.mark.parametrize("name", ["demo", "run", "chat", "embed", "models", "doctor", "emulate"])
def test_every_command_has_help_with_an_example(run: Run, name: str) -> None:
    """To copy and try."""
    ran = run(name, "--help")

    assert ran.code == 0
    assert "Example" in ran.out
    assert f"asyncapi {name}" in ran.out.partition("Example")[2]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["chat", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    """It answers at once."""
    code = (
        "import sys; from asyncapi.cli import main\n"
        f"try: main({arguments!r})\n"
        f"except SystemExit: print('heavy:', *[n for n in {HEAVY!r} if n in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.splitlines()[-1] == "heavy:"


def test_version(run: Run) -> None:
    """With the distribution's name, which is not the import's."""
    assert run("--version").out.startswith("asyncapi-inference 0.")


def test_no_command_shows_help(run: Run) -> None:
    """As a usage error."""
    ran = run()

    assert ran.code == 2
    assert "demo" in ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nix"], "No such command 'nix'"),
        (["chat"], "Missing argument 'PROVIDER:MODEL'. (asyncapi chat --help shows how)"),
        (["chat", "a:b", "hi", "--nix"], "No such option"),
        (["chat", "gpt", "hi"], "expected provider:model, such as openai:gpt-5-mini, got 'gpt'"),
        (["chat", "openai:gpt", "hi"], "openai needs an API key; looked for OPENAI_API_KEY"),
        (["chat", "opneai:gpt", "hi"], "no endpoint is called 'opneai'; did you mean 'openai'?"),
        (
            ["chat", "a:b", "hi", "--faults", "rate=1"],
            "--faults and --limits are the emulator's: give --emulate",
        ),
        (["chat", "openai:b", "hi", "--emulate", "--faults", "rate=x"], "--faults: rate: expected a chance"),
        (["chat", "openai:b", "hi", "--emulate", "--limits", "x=1"], "--limits: unknown word 'x'"),
        (["chat", "nix:b", "hi", "--emulate"], "the emulator doesn't speak as 'nix'; it knows openai"),
        (["models", "openai", "--config", "none.toml"], "none.toml: there is no such file"),
        (["models", "openai", "--profile", "nix"], "unknown profile"),
    ],
)
def test_wrong_usage_is_one_line_and_two(run: Run, arguments: list[str], words: str) -> None:
    """What is wrong, and what to do; exit code 2."""
    ran = run(*arguments)

    assert ran.code == 2
    assert ran.err.startswith("asyncapi: error: ")
    assert ran.err.count("\n") == 1
    assert words in ran.err
    assert ran.out == ""


def raising(error: BaseException) -> Any:
    """A command that raises."""

    def fail() -> None:
        raise error

    return click.Command("chat", callback=fail)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "\nasyncapi: interrupted\n"),
        (ServerError("down", status=503, endpoint="openai"), 1, "asyncapi: error: down [endpoint openai]\n"),
        (click.FileError("x", "gone"), 2, "asyncapi: error: Could not open file 'x': gone\n"),
    ],
)
def test_exit_codes(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, words: str
) -> None:
    """Interrupted, failed, wrong."""
    monkeypatch.setattr(cli._Commands, "get_command", lambda *_: raising(error))
    ran = run("chat")

    assert (ran.code, ran.err) == (code, words)


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no error of the user's."""
    monkeypatch.setattr(cli._Commands, "get_command", lambda *_: raising(ZeroDivisionError()))

    with pytest.raises(ZeroDivisionError):
        cli.main(["chat"])


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_error() -> None:
    """asyncapi ... | head -1"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    texts = [f"text {i}" for i in range(300)]
    command = [sys.executable, "-X", "dev", "-m", "asyncapi", "embed", "hf_tei:m", *texts, "--emulate"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    shown = process.stderr.read().decode()
    process.stderr.close()

    assert process.wait() == 1
    assert "Traceback" not in shown
    assert "Exception" not in shown


@pytest.mark.slow
def test_ctrl_c_ends_a_call() -> None:
    """With the shell's usual code, without a traceback."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "asyncapi", "chat", "openai:m", "hi", "--emulate", "--trace"]
    command += ["--faults", "rate=1,kinds=silence"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, text=True)
    assert process.stderr is not None
    while "sent" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    shown = process.stderr.read()
    process.stderr.close()

    assert process.wait() == 130
    assert shown.endswith("asyncapi: interrupted\n")
    assert "Traceback" not in shown
