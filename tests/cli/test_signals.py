"""Signals, to a process of its own: the first ends a command cleanly, the second one ends it now."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

pytestmark = pytest.mark.slow

#: A service that takes connections and never says a word: what waits for it waits until it is ended.
MUTE = """
import asyncio, sys
async def main():
    async def mute(reader, writer):
        await reader.readuntil()
        print("asked", flush=True)
        await reader.read()
    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@contextmanager
def running(command: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that does not outlive the test."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1, **options
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def mute_service() -> Iterator[tuple[str, IO[str]]]:
    """Its address, and a line for each request that it got."""
    with running([sys.executable, "-c", MUTE]) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1", process.stdout


def asyncapi(folder: Path, *words: str, **variables: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """A command of ours in this folder, without the settings of the machine."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), **variables}
    command = [sys.executable, "-X", "dev", "-m", "asyncapi", *words]
    return running(command, cwd=folder, env=environment)


def until(process: subprocess.Popen[str], words: str) -> None:
    """Until the process has said so, on stderr."""
    assert process.stderr is not None
    while line := process.stderr.readline():
        if words in line:
            return
    raise AssertionError(f"it ended without saying {words!r}")


def test_a_second_ctrl_c_ends_a_bulk_run_at_once(tmp_path: Path) -> None:
    """The first one waits for what is in flight, here without end; the second one does not."""
    (tmp_path / "in.jsonl").write_text("".join(f'{{"q": "{i}"}}\n' for i in range(20)))
    words = ("run", "in.jsonl", "-o", "out.jsonl", "--model", "openai:m", "--prompt", "{q}", "--grace", "600")
    with (
        mute_service() as (url, asked),
        asyncapi(tmp_path, *words, OPENAI_API_KEY="sk", OPENAI_BASE_URL=url) as process,
    ):
        asked.readline()
        process.send_signal(signal.SIGINT)
        until(process, "Ctrl-C again ends it now")
        time.sleep(0.2)
        assert process.poll() is None
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        shown = process.communicate(timeout=60)[1]

    assert time.monotonic() - began < 3.0
    assert process.returncode == 130
    assert "the same command continues" in shown
    assert "Traceback" not in shown


def test_one_ctrl_c_is_enough_for_a_single_call(tmp_path: Path) -> None:
    """There is nothing to drain: it ends, with the shell's usual code."""
    with (
        mute_service() as (url, asked),
        asyncapi(tmp_path, "chat", "openai:m", "hi", OPENAI_API_KEY="sk", OPENAI_BASE_URL=url) as process,
    ):
        asked.readline()
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        shown = process.communicate(timeout=60)[1]

    assert time.monotonic() - began < 3.0
    assert process.returncode == 130
    assert shown.endswith("asyncapi: interrupted\n")
    assert "Traceback" not in shown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_emulator_ends_though_a_client_holds_on(tmp_path: Path, number: signal.Signals) -> None:
    """One signal ends it, cleanly; a second one would be the system's own."""
    with asyncapi(tmp_path, "emulate", "--faults", "rate=1,kinds=silence") as server:
        assert server.stdout is not None
        url = next(line.split()[1] for line in server.stdout if line.startswith("openai "))
        words = ("chat", "openai:m", "hi", "--trace")
        with asyncapi(tmp_path, *words, OPENAI_API_KEY="sk", OPENAI_BASE_URL=url) as caller:
            until(caller, "sent")
            began = time.monotonic()
            server.send_signal(number)
            server.communicate(timeout=60)

    assert time.monotonic() - began < 3.0
    assert server.returncode == 0
