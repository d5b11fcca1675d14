"""What a call may cost, counted: the same on any machine, however busy it is.

Through the whole client (queue, limits, keys, deadline, retries, statistics, logs, the OpenAI backend)
with a transport that answers from memory, on a loop whose clock stands still:

- ``functions``: Python functions of the package entered or resumed,
- ``builtins``: calls from there into C,
- ``handles``, ``timers``, ``tasks``: what the event loop was asked for,
- ``peak_bytes``: memory taken at most while it runs,
- ``kept_blocks``: allocations still there afterwards.

    python -m benchmarks.budget             compare with budget.toml, exit with 1 if anything is above
    python -m benchmarks.budget --update    write what is measured as the new budget
    python -m benchmarks.budget --callgrind count the processor's instructions, too, under valgrind
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import tracemalloc
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import Context
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import asyncapi
from asyncapi.types.wire import Outgoing, WireResponse
from benchmarks.adapters import KEY, MODEL, PROMPT
from benchmarks.target import CHAT, CHUNKS, events

__all__ = ["BUDGET", "Loop", "above", "budget", "in_memory", "measured"]

BUDGET = Path(__file__).parent / "budget.toml"
_PACKAGE = str(Path(asyncapi.__file__).parent)
_MODEL = f"openai:{MODEL}"
_JSON = {"Content-Type": "application/json"}
_EVENTS = {"Content-Type": "text/event-stream"}
#: Comprehensions are functions in Python 3.11 and none in later ones.
_INLINED = frozenset({"<listcomp>", "<dictcomp>", "<setcomp>"})

_VERSION = float(f"{sys.version_info[0]}.{sys.version_info[1]}")

One = Callable[[asyncapi.Client], Awaitable[object]]


class Loop(asyncio.SelectorEventLoop):
    """Counts what it is asked for; its clock stands still, so that no timer depends on chance.

    State: ``counts``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def time(self) -> float:
        return 1000.0

    def call_soon(  # type: ignore[override]  # asyncio's is generic
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        self.counts["handles"] += 1
        return super().call_soon(callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        self.counts["timers"] += 1
        return super().call_at(when, callback, *args, context=context)

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        self.counts["tasks"] += 1
        return super().create_task(coro, **options)


class _Memory:
    """A transport that answers from memory, in the loop's next turn; a stream's chunks come one by one."""

    async def send(self, request: Outgoing, /) -> WireResponse:
        await asyncio.sleep(0)  # as a socket would
        return WireResponse(status=200, headers=_JSON, body=CHAT)

    async def open(self, request: Outgoing, /) -> _Chunks:
        return _Chunks()

    async def aclose(self) -> None:
        """Nothing to close."""


class _Chunks:
    """State: what is left to read."""

    status = 200
    headers = _EVENTS

    def __init__(self) -> None:
        first, *rest = events()
        self._left = [first.partition(b"\r\n\r\n")[2], *rest][::-1]

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        return self._left.pop() if self._left else b""

    def close(self) -> None:
        """Nothing to close."""

    def fail(self, error: Exception) -> None:
        raise error


def in_memory(limit: int, **settings: Any) -> asyncapi.Client:
    """A client with everything on, whose service is in memory; ``settings`` for what is off by itself."""
    endpoint = asyncapi.Endpoint("openai", base_url="http://memory/v1", keys=(KEY,), limit=limit)
    return asyncapi.Client([endpoint], transport=_Memory(), **settings)


async def _call(client: asyncapi.Client) -> None:
    await client.chat(_MODEL, PROMPT)


async def _queued(client: asyncapi.Client) -> None:
    """Ten at once with room for one: nine wait in the queue."""
    await asyncio.gather(*(client.chat(_MODEL, PROMPT) for _ in range(10)))


async def _stream(client: asyncapi.Client) -> None:
    async with client.stream(_MODEL, PROMPT) as stream:
        count = len([chunk async for chunk in stream])
    assert count >= CHUNKS - 2, count


#: Shape to how it is done once, the client it is done with, and how many of the named thing that is.
_SHAPES: dict[str, tuple[One, Callable[[], asyncapi.Client], int]] = {
    "call": (_call, partial(in_memory, 64), 1),
    "queued_call": (_queued, partial(in_memory, 1), 10),
    "streamed_chunk": (_stream, partial(in_memory, 64), CHUNKS),
    "cached_call": (_call, partial(in_memory, 64, cache=asyncapi.Cache()), 1),
}


def measured() -> dict[str, dict[str, float]]:
    """Shape to counts, each for one call or chunk."""
    found = {}
    for name, (one, made, each) in _SHAPES.items():
        loop = Loop()
        try:
            counts = loop.run_until_complete(_counted(loop, one, made))
        finally:
            loop.close()
        found[name] = {what: round(number / each, 2) for what, number in counts.items()}
    return found


async def _counted(loop: Loop, one: One, made: Callable[[], asyncapi.Client]) -> dict[str, float]:
    async with made() as client:
        for _ in range(50):
            await one(client)
        repeats = 20
        counts = Counter[str]()
        before = Counter(loop.counts)
        sys.setprofile(_counter(counts))
        try:
            for _ in range(repeats):
                await one(client)
        finally:
            sys.setprofile(None)
        counts.update(loop.counts)
        counts.subtract(before)
        names = ("functions", "builtins", "handles", "timers", "tasks")
        return {name: counts[name] / repeats for name in names} | await _memory(one, client)


def _counter(counts: Counter[str]) -> Callable[[FrameType, str, Any], None]:
    def count(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if code.co_filename.startswith(_PACKAGE) and code.co_name not in _INLINED:
            if event == "call":
                counts["functions"] += 1
            elif event == "c_call":
                counts["builtins"] += 1

    return count


async def _memory(one: One, client: asyncapi.Client) -> dict[str, float]:
    """The smallest of some peaks, and what is left of many calls."""
    peaks = []
    gc.collect()
    gc.freeze()  # what is there already need not be looked through again
    tracemalloc.start()
    try:
        for _ in range(5):
            gc.collect()
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            await one(client)
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    gc.collect()
    blocks = sys.getallocatedblocks()
    for _ in range(100):
        await one(client)
    gc.collect()
    kept = (sys.getallocatedblocks() - blocks) / 100
    gc.unfreeze()
    return {"peak_bytes": float(min(peaks)), "kept_blocks": max(0.0, kept)}


def budget() -> dict[str, dict[str, float]]:
    """What ``budget.toml`` allows."""
    return tomllib.loads(BUDGET.read_text(encoding="utf-8"))


def above(found: dict[str, dict[str, float]], allowed: dict[str, dict[str, float]]) -> list[str]:
    """What costs more than it may, in words.

    Functions implemented in C are called by other ways in other versions of Python: they are compared
    in the one that the budget was measured with. Memory is not compared under a tracer (coverage),
    which keeps things of its own.
    """
    other = {"builtins"} if allowed["measured_with"]["python"] != _VERSION else set()
    if sys.gettrace() is not None:
        other.add("peak_bytes")
    return [
        f"{shape}: {what} is {number:g}, allowed are {allowed[shape][what]:g}"
        for shape, counts in found.items()
        for what, number in counts.items()
        if number > allowed[shape][what] and what not in other
    ]


def _written(found: dict[str, dict[str, float]]) -> str:
    """A budget of what was found; memory, which differs between versions of Python, with some room."""
    lines = [
        "# What a call through the whole client may cost, counted (see benchmarks/budget.py).",
        "# Changed on purpose only: python -m benchmarks.budget --update, and why in the commit.",
        "",
        "[measured_with]",
        f"python = {_VERSION:g}",
    ]
    for shape, counts in found.items():
        room = {"peak_bytes": math.ceil(counts["peak_bytes"] * 1.25 / 100) * 100, "kept_blocks": 0.5}
        lines += ["", f"[{shape}]", *(f"{what} = {number:g}" for what, number in (counts | room).items())]
    return "\n".join(lines) + "\n"


def _instructions(shape: str) -> float | None:
    """Instructions of one call or chunk: those of many less those of few. None without valgrind."""
    if shutil.which("valgrind") is None:
        return None
    totals, few, each = [], 20, _SHAPES[shape][2]
    many = few + 2_000 // each
    for repeats in (few, many):
        with tempfile.NamedTemporaryFile() as out:
            command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}", sys.executable]
            command += ["-m", "benchmarks.budget", "--repeat", shape, str(repeats)]
            ran = subprocess.run(
                command, capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "0"}
            )
            totals.append(int(re.findall(r"Collected : (\d+)", ran.stderr)[-1]))
    return (totals[1] - totals[0]) / (many - few) / each


async def _repeat(shape: str, repeats: int) -> None:
    one, made, _ = _SHAPES[shape]
    async with made() as client:
        for _ in range(repeats):
            await one(client)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.budget",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--update", action="store_true", help="write budget.toml")
    parser.add_argument("--callgrind", action="store_true", help="count instructions, too (a minute)")
    parser.add_argument(
        "--repeat", nargs=2, metavar=("SHAPE", "TIMES"), help="only perform it (for profilers)"
    )
    given = parser.parse_args()
    if given.repeat:
        asyncio.run(_repeat(given.repeat[0], int(given.repeat[1])))
        return 0
    found = measured()
    if given.update:
        BUDGET.write_text(_written(found), encoding="utf-8")
    allowed = budget()
    print(f"Python {platform.python_version()}\n\n| shape | what | counted | allowed |\n|---|---|---:|---:|")
    for shape, counts in found.items():
        for what, number in counts.items():
            print(f"| {shape} | {what} | {number:g} | {allowed[shape][what]:g} |")
    if given.callgrind:
        for shape in _SHAPES:
            executed = _instructions(shape)
            shown = "valgrind is not installed" if executed is None else f"{executed:,.0f}"
            print(f"| {shape} | instructions | {shown} | |", flush=True)
    failures = above(found, allowed)
    print("\n".join(failures) or "\nwithin the budget")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
