"""What a bulk run costs that is killed again and again: nothing but what was in flight.

    python -m benchmarks.kill_resume [INPUT --prompt TEMPLATE] [--kills 20] [--concurrency 16]

Starts an emulator in a process of its own that notes every arrival on disk, runs ``asyncapi run``
against it in another process, ends that with SIGKILL at random moments, and lets it continue, until
the output is whole. Then it counts: lines in the output, different ids among them, and questions that
reached the emulator more than once. Of these there can be no more than were in flight at the kills,
so at most the concurrency for each kill. Exit code 1 when anything doesn't hold.

Without INPUT it makes 1,000 rows of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import orjson

from asyncapi.emulator import Emulator, Timing

_ROWS = 1_000
#: The least and the most that a run lives after its first request, in seconds.
_LIFE = (0.0, 0.6)
_TIMING = Timing(first_token=0.1, per_token=0.001, jitter=0.1)


async def serve(journal: Path) -> None:
    """Answer until killed; prints where."""
    async with Emulator(timing=_TIMING, services=["openai"], journal=journal) as emulator:
        print(emulator.url, flush=True)
        await asyncio.Event().wait()


class Proof:
    """One proof in a folder.

    State: the processes are started and ended by its methods; ``in_flight`` at each kill, as the
    emulator saw it the moment before.
    """

    def __init__(self, folder: Path, arguments: argparse.Namespace, url: str) -> None:
        self.output, self.journal = folder / "out.jsonl", folder / "journal"
        self._url = url
        self._command = [sys.executable, "-m", "asyncapi", "run", arguments.input, "-o", str(self.output)]
        self._command += ["--model", "openai:m", "--prompt", arguments.prompt, "--quiet"]
        self._command += ["--concurrency", str(arguments.concurrency)]
        self._environment = {
            **os.environ,
            "OPENAI_API_KEY": "any",
            "OPENAI_BASE_URL": f"{url}/openai/v1",
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        self.in_flight: list[int] = []

    def kill_once(self, chance: random.Random) -> bool:
        """Run, and kill at a random moment after the first request; False when it ended before."""
        before = self.stats()["received"]
        process = subprocess.Popen(self._command, env=self._environment)
        while process.poll() is None and self.stats()["received"] == before:
            time.sleep(0.002)
        time.sleep(chance.uniform(*_LIFE))
        in_flight = self.stats()["in_flight"]["total"]
        process.send_signal(signal.SIGKILL)
        if process.wait() != -signal.SIGKILL:
            return False
        self.in_flight.append(in_flight)
        return True

    def finish(self) -> int:
        """Run to the end; its exit code."""
        return subprocess.run(self._command, env=self._environment, check=False).returncode

    def stats(self) -> dict[str, Any]:
        """What the emulator counted."""
        with urllib.request.urlopen(f"{self._url}/__emulator__/stats") as reply:
            found: dict[str, Any] = orjson.loads(reply.read())
        return found

    def arrivals(self) -> Counter[str]:
        """How often each question reached the emulator, from its journal."""
        return Counter(orjson.loads(line)["question"] for line in self.journal.read_bytes().splitlines())


def prove(proof: Proof, kills: int, concurrency: int, seed: int) -> bool:
    """Kill, continue, count, print."""
    chance, begun = random.Random(seed), time.perf_counter()
    done = sum(proof.kill_once(chance) for _ in range(kills))
    code = proof.finish()
    ids = [orjson.loads(line)["custom_id"] for line in proof.output.read_bytes().splitlines()]
    seen = proof.arrivals()
    twice, repeats = sum(count > 1 for count in seen.values()), seen.total() - len(seen)
    print(f"kills            {done} in {time.perf_counter() - begun:.0f} s, last exit code {code}")
    print(f"results          {len(ids):,}, unique ids {len(set(ids)):,}, questions {len(seen):,}")
    print(f"requests         {seen.total():,} received; {twice:,} questions came more than once")
    print(f"repeated         {repeats:,} requests")
    print(f"in flight        {sum(proof.in_flight):,} at the kills together, as the emulator saw them")
    print(f"bound            {done * concurrency:,} = {done} kills x {concurrency} at a time")
    return code == 0 and len(ids) == len(set(ids)) == len(seen) and repeats <= done * concurrency


def own_rows(folder: Path) -> str:
    """A file of rows that nobody else has."""
    path = folder / "in.jsonl"
    path.write_bytes(b"".join(b'{"q": "What is %d plus one?"}\n' % number for number in range(_ROWS)))
    return str(path)


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kill_resume")
    parser.add_argument("input", nargs="?", help="JSONL or CSV; default rows of its own")
    parser.add_argument("--prompt", default="{q}")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        asyncio.run(serve(arguments.serve))
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arguments.input = arguments.input or own_rows(folder)
        command = [sys.executable, "-m", "benchmarks.kill_resume", "--serve", str(folder / "journal")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as emulator:
            assert emulator.stdout is not None
            try:
                proof = Proof(folder, arguments, emulator.stdout.readline().strip())
                good = prove(proof, arguments.kills, arguments.concurrency, arguments.seed)
            finally:
                emulator.kill()
    print("every row once, and no kill cost more than it may" if good else "THIS IS WRONG")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
