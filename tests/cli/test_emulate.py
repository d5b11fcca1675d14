"""emulate: the pretend services in a process of their own."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from .conftest import Run


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_it_is_told_to_end(number: signal.Signals) -> None:
    """Prints its addresses, answers, and ends cleanly with a count."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-m", "asyncapi", "emulate"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stderr is not None
    told = ""
    while "Ctrl-C" not in told:
        told += process.stderr.readline()
    url = re.findall(r"http://\S+(?=/__emulator__/stats)", told)[0]
    body = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'
    headers = {"Authorization": "Bearer any", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/openai/v1/chat/completions", body, headers)
    with urllib.request.urlopen(request) as reply:
        assert reply.status == 200
    process.send_signal(number)
    out, err = process.communicate()

    assert process.returncode == 0
    assert f"openai     {url}/openai/v1" in re.sub(" +", "     ", out)
    assert "1 requests received: openai 1" in err
    assert "Warning" not in err


def test_a_port_that_is_taken(run: Run) -> None:
    """Is said."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = run("emulate", "--port", taken.getsockname()[1])

    assert ran.code == 2
    assert "can't listen on port" in ran.err


def test_faults_that_cannot_be_read(run: Run) -> None:
    """Are said before it starts."""
    ran = run("emulate", "--faults", "kinds=nix")

    assert ran.code == 2
    assert "unknown fault 'nix'" in ran.err
