"""What micro-batching saves, and what it costs in latency, with calls that arrive as they really did.

    python -m benchmarks.batching [--count 10000] [--sockets] [--write]

10,000 embeddings of one text each arrive as in a real trace (see ``benchmarks.arrivals``; the folder is
named by ``ASYNCAPI_DATA``) whatever happens to those before them, and a call's time begins when it is
due. 1x is the trace at 20 times its speed: as recorded, 5.5 calls a second, they hardly ever meet.

The service works on 4 requests at a time, and takes 8 ms and 1 ms for each text of a request; the client
has 8 permits. That is simulated in virtual time, exactly, for every way of waiting; with ``--sockets``
also sent to an emulator of the same kind in a process of its own, each alone and batched.

``--write`` writes docs/benchmarks/batching.md and its plots.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

import asyncapi
from asyncapi.emulator import Emulator, Timing
from asyncapi.policies.batching import Wait
from asyncapi.testing import virtual_time
from asyncapi.testing.scripted import Reply, ScriptedTransport, reply
from benchmarks import svg
from benchmarks.arrivals import arrivals
from benchmarks.machine import machine
from benchmarks.measure import percentile, pin

FIXED_S, ITEM_S, SERVERS, PERMITS, SIZE = 0.008, 0.001, 4, 8, 32
TEXT = "a text of forty characters, ten tokens.."
BASE = 20
LOADS = {"as recorded": 1.0, "1x": BASE, "4x": 4.0 * BASE, "16x": 16.0 * BASE}
#: Calls of one round over sockets.
ROUND = 1_000
FOLDER = Path(__file__).parent.parent / "docs" / "benchmarks"


@dataclass(frozen=True)
class Window:
    """The classical way: every batch is held so long, whatever comes."""

    seconds: float

    def arrived(self, now: float) -> None:
        """Learns nothing."""

    def hold(self, room: int, busy: float) -> float:
        """Always the same."""
        return self.seconds


@dataclass(frozen=True)
class Way:
    """A way of batching: its settings, and how it waits if not as the framework does."""

    batch: asyncapi.Batch
    wait: Wait | None = None


WAYS = {
    "each alone": Way(asyncapi.Batch(size=1)),
    "never held": Way(asyncapi.Batch(size=SIZE, wait=0.0)),
    "adaptive, at most 10 ms": Way(asyncapi.Batch(size=SIZE, wait=0.01)),
    "adaptive, at most 20 ms": Way(asyncapi.Batch(size=SIZE, wait=0.02)),
    "window of 5 ms": Way(asyncapi.Batch(size=SIZE), Window(0.005)),
    "window of 20 ms": Way(asyncapi.Batch(size=SIZE), Window(0.02)),
    "window of 100 ms": Way(asyncapi.Batch(size=SIZE), Window(0.1)),
}
DEFAULT = "adaptive, at most 10 ms"


@dataclass(frozen=True)
class Result:
    """One way at one load. Units: milliseconds."""

    rate: float
    requests: int
    p50: float
    p99: float
    held: float


class Service:
    """The service's times in virtual time: first come first served by ``SERVERS``.

    State: when each of them is free again, and the ``requests`` that came.
    """

    def __init__(self) -> None:
        self._free = [0.0] * SERVERS
        self.requests = 0

    def __call__(self, request: Any) -> Reply:
        """The answer, when it is done."""
        self.requests += 1
        texts = orjson.loads(request.body)["input"]
        now = asyncio.get_running_loop().time()
        end = max(now, heapq.heappop(self._free)) + FIXED_S + ITEM_S * len(texts)
        heapq.heappush(self._free, end)
        data = [{"object": "embedding", "index": i, "embedding": [1.0]} for i in range(len(texts))]
        return reply({"object": "list", "model": "m", "data": data}, delay=end - now)


async def replay(
    way: Way, times: Sequence[float], base_url: str, transport: Any
) -> tuple[list[float], float]:
    """Every call when it is due: how long each took from then on, and how long batches were held (p99)."""
    endpoint = asyncapi.Endpoint(
        "openai", base_url=base_url, keys=("sk",), limit=PERMITS, queue_size=1_000_000,
        batch=way.batch, timeout=asyncapi.Timeout(total=None),
    )  # fmt: skip
    loop = asyncio.get_running_loop()
    took: list[float] = []

    async def one(due: float) -> None:
        answer = await client.embed("openai:m", TEXT)
        took.append(loop.time() - due)
        assert len(answer.vectors) == 1

    async with asyncapi.Client([endpoint], transport=transport, log=False, environment={}) as client:
        await client.embed("openai:m", TEXT)  # connections, imports
        if way.wait is not None:  # no setting: it is here to be compared with
            client._runtime.endpoint("openai").batcher._wait = lambda _: way.wait  # type: ignore
        client.reset_statistics()
        start = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for due in times:
                if (early := start + due - loop.time()) > 0:
                    await asyncio.sleep(early)
                tasks.create_task(one(start + due))
        held = client.statistics().endpoints["openai"].batches.held.p99 or 0.0
    return took, held


def simulated(way: Way, times: Sequence[float]) -> Result:
    """In virtual time, on a service of the same times."""
    service = Service()
    with virtual_time(step_limit=1_000_000_000) as clock:
        transport = ScriptedTransport(service, keep=1)
        took, held = clock.run(replay(way, times, "http://service.test/v1", transport))
    return _result(times, service.requests - 1, took, held)


async def sent(way: Way, times: Sequence[float], url: str) -> Result:
    """Over real sockets, to an emulator in another process."""
    before = await _received(url)
    took, held = await replay(way, times, f"{url}/openai/v1", None)
    return _result(times, await _received(url) - before - 1, took, held)


def _result(times: Sequence[float], requests: int, took: list[float], held: float) -> Result:
    p50, p99 = (1000 * percentile(took, share) for share in (0.5, 0.99))
    return Result(len(times) / times[-1], requests, p50, p99, 1000 * held)


async def _received(url: str) -> int:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.get(f"{url}/__emulator__/stats") as answer:
        return int((await answer.json())["received"])


async def serve() -> None:
    """An emulator of the same times, until killed; prints where."""
    pin(1)
    timing = Timing(FIXED_S, 0.0, per_input_token=ITEM_S / 10, concurrency=SERVERS)
    async with Emulator(timing=timing, services=["openai"]) as emulator:
        print(emulator.url, flush=True)
        await asyncio.Event().wait()


def over_sockets(times: Sequence[float]) -> dict[str, dict[str, Result]]:
    """Load to way to result, of the two ways that matter."""
    pin(0)
    command = [sys.executable, "-m", "benchmarks.batching", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as emulator:
        assert emulator.stdout is not None
        try:
            url = emulator.stdout.readline().strip()
            return {load: _in_turns(times, LOADS[load], url) for load in ("1x", "4x", "16x")}
        finally:
            emulator.kill()


def _in_turns(times: Sequence[float], speed: float, url: str) -> dict[str, Result]:
    """The two ways take turns, a thousand calls at a time: what the machine does meanwhile hits both."""
    rounds: dict[str, list[Result]] = {"each alone": [], DEFAULT: []}
    for first in range(0, len(times), ROUND):
        part = times[first : first + ROUND]
        due = [(time - part[0]) / speed for time in part]
        for name, results in rounds.items():
            results.append(asyncio.run(sent(WAYS[name], due, url)))
    found = {name: _median(results) for name, results in rounds.items()}
    print(table({f"{speed:g}": found}), file=sys.stderr, flush=True)
    return found


def _median(results: Sequence[Result]) -> Result:
    rate, p50, p99, held = (
        statistics.median(getattr(result, name) for result in results)
        for name in ("rate", "p50", "p99", "held")
    )
    return Result(rate, sum(result.requests for result in results), p50, p99, held)


def _each(
    loads: Sequence[str],
    ways: Sequence[str],
    run: Callable[[Way, Sequence[float]], Result],
    times: Sequence[float],
) -> dict[str, dict[str, Result]]:
    found: dict[str, dict[str, Result]] = {}
    for load in loads:
        due = [time / LOADS[load] for time in times]
        found[load] = {name: run(WAYS[name], due) for name in ways}
        print(table({load: found[load]}), file=sys.stderr, flush=True)
    return found


def table(found: dict[str, dict[str, Result]]) -> str:
    """Markdown: what reached the service, and the latency beside that of calls that go each alone."""
    lines = [
        "| load | calls/s | | requests | p50 ms | p99 ms | added p50 | added p99 | held p99 |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for load, ways in found.items():
        alone = ways["each alone"]
        for name, r in ways.items():
            added = f"{r.p50 - alone.p50:+,.1f} | {r.p99 - alone.p99:+,.1f}" if r is not alone else "|"
            lines.append(
                f"| {load} | {r.rate:,.0f} | {name} | {r.requests:,} | {r.p50:,.1f} | {r.p99:,.1f} | {added} "
                f"| {f'{r.held:.1f}' if r is not alone else ''} |"
            )
    return "\n".join(lines)


def plots(found: dict[str, dict[str, Result]]) -> dict[str, str]:
    """File name to SVG: requests and latency over the load."""
    shown = [name for name in WAYS if name not in ("adaptive, at most 20 ms", "window of 100 ms")]

    def series(of: Callable[[Result], float], most: float) -> dict[str, list[tuple[float, float]]]:
        lines = {n: [(w[n].rate, of(w[n])) for w in found.values() if of(w[n]) <= most] for n in shown}
        return {name.partition(",")[0]: points for name, points in lines.items() if points}

    rate = "calls a second"
    return {
        "batching-requests.svg": svg.lines(
            "Requests for 10,000 texts", rate, "requests", series(lambda r: r.requests, 1e9)
        ),
        "batching-latency.svg": svg.lines(
            "Latency, p99 (above 100 ms not shown)", rate, "ms", series(lambda r: r.p99, 100.0)
        ),
    }


def main() -> int:
    """The exit code: 1 if batching adds more to the 99th percentile than its bound."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batching")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--sockets", action="store_true", help="also over sockets; takes five minutes")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks/batching.*")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve())
        return 0
    parts: list[str] = []
    good = True
    drawn: dict[str, Any] = {}
    for name in ("conv", "code"):
        title, times = arrivals(name, given.count)
        found = _each(list(LOADS), list(WAYS), simulated, times)
        drawn = drawn or plots(found)
        parts.append(f"## {title}, in virtual time\n\n{table(found)}\n")
        good &= all(ways[DEFAULT].p99 - ways["each alone"].p99 <= 10.0 for ways in found.values())
    if given.sockets:
        title, times = arrivals("conv", given.count)
        parts.append(f"## {title}, over sockets\n\n{table(over_sockets(times))}\n")
    text = "\n".join(parts)
    print(text)
    if given.write:
        write(text, drawn)
    return 0 if good else 1


def write(text: str, drawn: dict[str, str]) -> None:
    """The page and its plots."""
    for name, picture in drawn.items():
        (FOLDER / name).write_text(picture)
    about = machine("python -m benchmarks.batching --sockets --write", "asyncio")
    about["load at the end"] = about.pop("load at the start")
    facts = "\n".join(f"- {key}: {value}" for key, value in about.items() if "server of" not in key)
    (FOLDER / "batching.md").write_text(_PAGE.format(facts=facts, tables=text))


_PAGE = """\
# What batching saves, and what it costs

10,000 embeddings of one text each, awaited one by one. They arrive as calls did at a real service, whatever
happens to those before them, and a call's time begins when it is due. 1x is the trace at 20 times its speed:
as recorded, calls hardly ever meet. The service works on 4 requests at a time and takes 8 ms and 1 ms for
each text; the client has 8 permits, and batches hold 32 texts at most.

*Added* is the latency beside the same calls going each alone, *held* how long batches waited for company or
their turn (p99). "Never held" is `Batch(wait=0)`, "adaptive, at most 10 ms" is what you get unless you say
otherwise. A window holds every batch so long, whatever comes.

![Requests that reach the service, over the load](batching-requests.svg)
![Latency over the load](batching-latency.svg)

Virtual time is exact: the same numbers on any machine, however busy. Over sockets the service is an emulator
in a process of its own, and what the machine does meanwhile is in the numbers (its load is below): the two
ways take turns, a thousand calls at a time, and shown are the medians of the rounds.

{tables}
## Made by

{facts}

Arrivals: Patel et al., "Splitwise: Efficient Generative LLM Inference Using Phase Splitting", ISCA 2024, the
Azure LLM inference traces of 2023 (github.com/Azure/AzurePublicDataset, CC-BY-4.0).
"""


if __name__ == "__main__":
    raise SystemExit(main())
