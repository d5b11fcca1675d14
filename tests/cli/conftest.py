"""The command line in this process: nothing of the machine's own settings, an empty folder."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from asyncapi.cli import main


class Ran(msgspec.Struct):
    """What a command did."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in an empty folder, without keys or settings of the machine."""
    for name in list(os.environ):
        if any(word in name for word in ("API", "OLLAMA", "_URL", "_TOKEN", "_HOST", "ASYNCAPI")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def command(*arguments: object) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        return Ran(int(caught.value.code or 0), shown.out, shown.err)

    return command
