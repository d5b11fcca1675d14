"""Every code block of README and docs does what its page says."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import os
import shlex
import subprocess
import sys
import tomllib
import types
from pathlib import Path
from typing import Any

import click
import pytest

import asyncapi.config
from asyncapi import Client, ConfigError, cli
from asyncapi.backends import known_backends

from .pages import ROOT, Block, blocks, pages

ALL = [block for page in pages() for block in blocks(page)]
PAGES = [
    pytest.param(page, id=str(page.relative_to(ROOT)))
    for page in dict.fromkeys(block.page for block in ALL if block.language == "python")
]


def chosen(*languages: str) -> list[Any]:
    """The blocks in these languages that are not skipped."""
    return [
        pytest.param(block, id=str(block))
        for block in ALL
        if block.language in languages and "skip" not in block.directives
    ]


class Session:
    """One page's blocks in one namespace, as somebody who types them in one after the other."""

    def __init__(self, name: str, clients: list[Client]) -> None:
        self.module = types.ModuleType(name)
        self.runner = asyncio.Runner()
        self.printed = ""
        self.clients = clients

    def run(self, text: str, place: str, line: int) -> None:
        """Run a block; ``await`` outside of functions works, as in ``python -m asyncio``."""
        code = compile("\n" * (line - 1) + text, place, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            if code.co_flags & inspect.CO_COROUTINE:
                self.runner.run(self._awaited(code))
            else:
                exec(code, self.module.__dict__)
        self.printed = out.getvalue()

    def close(self) -> None:
        """What the end of the interpreter would do."""
        for client in self.clients:
            with contextlib.suppress(ConfigError):  # made by a loop of its own, and closed there
                self.runner.run(client.aclose())
        self.runner.close()

    async def _awaited(self, code: types.CodeType) -> None:
        await eval(code, self.module.__dict__)


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks_run(
    page: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Top to bottom, in one namespace, and print what the page says they print."""
    found = list(blocks(page))
    for name in [name for name in os.environ if name.endswith(("_API_KEY", "_BASE_URL", "_HOST"))]:
        monkeypatch.delenv(name)
    if any("emulator" in block.directives for block in found):
        for name, value in request.getfixturevalue("services").items():
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    clients: list[Client] = []
    make = Client.__init__

    def remembered(self: Client, *args: Any, **settings: Any) -> None:
        clients.append(self)
        make(self, *args, **settings)

    monkeypatch.setattr(Client, "__init__", remembered)
    session = Session(page.stem.replace("-", "_"), clients)
    with contextlib.closing(session):
        for block in found:
            if "setup" in block.directives:
                session.run(block.directives["setup"], f"{page} (setup)", block.line)
            if "skip" in block.directives or "pytest" in block.directives:
                continue
            if block.language == "python":
                session.run(block.text, str(page), block.line)
            elif "output" in block.directives:
                assert session.printed.splitlines() == block.text.splitlines(), str(block)


@pytest.mark.parametrize("block", [p for p in chosen("python") if "pytest" in p.values[0].directives])
def test_test_files_pass(block: Block, tmp_path: Path) -> None:
    """Tests that the docs show are tests that pass."""
    file = tmp_path / "test_shown.py"
    file.write_text(block.text, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto"]

    done = subprocess.run([*command, str(file)], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", chosen("toml"))
def test_toml_blocks_are_settings(block: Block) -> None:
    """Every TOML block is a file that loads."""
    assert asyncapi.config.read(tomllib.loads(block.text), str(block))


@pytest.mark.parametrize("block", chosen("bash"))
def test_bash_blocks_name_commands_and_options_that_exist(block: Block) -> None:
    """No page calls a command or an option of ``asyncapi`` that is not there."""
    for words in asyncapi_commands(block.text):
        command = command_named(words)
        options = {
            name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)
        }
        given = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert given <= options | {"--help"}, f"{block}: {' '.join(words)}"


@pytest.mark.parametrize("block", [p for p in chosen("bash") if "run" in p.values[0].directives])
def test_cheap_bash_blocks_run(block: Block, tmp_path: Path, services: dict[str, str]) -> None:
    """Those that are marked exit with 0."""
    tools = str(Path(sys.executable).parent)
    environment = {**os.environ, **services, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_block_that_does_not_run_says_why() -> None:
    """``skip because REASON``."""
    for block in (block for block in ALL if "skip" in block.directives):
        word, _, reason = block.directives["skip"].partition(" ")
        assert word == "because", str(block)
        assert reason, str(block)


def test_the_readme_names_every_service() -> None:
    """With the prefix that its models have."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [name for name in known_backends() if f"| `{name}:` |" not in text]

    assert not missing, "the table of services in README.md needs a row for each"


def test_ci_runs_the_readmes_command_for_the_tests() -> None:
    """The README has it once, and .ci/run takes it from there."""
    commands = [b for b in blocks(ROOT / "README.md") if b.directives.get("command") == "tests"]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    assert len(commands) == 1
    assert commands[0].text.count("\n") == 1
    assert "<!-- test: command tests -->" in script
    assert 'eval "$tests"' in script


def asyncapi_commands(text: str) -> list[list[str]]:
    """The words of every call of ``asyncapi`` in a shell text, the name itself left out."""
    calls = []
    for line in text.replace("\\\n", " ").splitlines():
        for part in line.split("#")[0].replace("&&", "|").split("|"):
            words = shlex.split(part.partition(">")[0])
            if words and Path(words[0]).name == "asyncapi":
                calls.append(words[1:])
    return calls


def command_named(words: list[str]) -> click.Command:
    """The click command that these words call."""
    command: click.Command = cli.asyncapi
    for word in words:
        if not isinstance(command, click.Group):
            break
        if not word.startswith("-"):
            found = command.get_command(click.Context(command), word)
            assert found is not None, f"asyncapi has no command {word!r}"
            command = found
    return command
