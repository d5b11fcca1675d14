"""Runs that are killed without warning, in real processes."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .fakes import read_jsonl, write_jsonl

WORKER = str(Path(__file__).with_name("worker.py"))
ROWS, CONCURRENCY, KILLS = 6000, 10, 8


@pytest.mark.slow
def test_a_run_killed_at_random_moments_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    """Each id is in the output once, and a kill costs no more calls than were in flight.

    Of ten lines three ask what another one asks: they are never sent, and get its answer.
    """
    asked = [i if i % 10 < 7 else i - i % 10 for i in range(ROWS)]
    source = write_jsonl(tmp_path / "in.jsonl", ({"q": f"q{i}"} for i in asked))
    output, calls = tmp_path / "out.jsonl", tmp_path / "calls"
    command = [sys.executable, WORKER, str(source), str(output), str(calls)]
    chance, kills = random.Random(3), 0
    for _ in range(KILLS):
        before = output.stat().st_size if output.exists() else 0
        process = subprocess.Popen(command)
        while process.poll() is None and (not output.exists() or output.stat().st_size == before):
            time.sleep(0.001)
        time.sleep(chance.random() * 0.03)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    finished = subprocess.run(command, check=False)
    lines = read_jsonl(output)
    ids = [line["custom_id"] for line in lines]
    texts = {
        line["custom_id"]: line["response"]["body"]["choices"][0]["message"]["content"] for line in lines
    }

    assert kills >= 3, "the runs ended before they could be killed: make the input longer"
    assert finished.returncode == 0
    assert len(ids) == len(set(ids)) == ROWS
    assert texts == {f"request-{row + 1}": f"q{i}"[::-1] for row, i in enumerate(asked)}
    assert len(calls.read_bytes().splitlines()) <= len(set(asked)) + kills * CONCURRENCY
