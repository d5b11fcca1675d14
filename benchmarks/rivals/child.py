"""One rival beside bare aiohttp, in the rival's own environment; prints the figures as JSON.

Run by ``benchmarks.suites.rivals`` as ``python -m benchmarks.rivals.child NAME URL ...``.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import platform
import time
import warnings
from typing import Any

import orjson

from benchmarks import checked
from benchmarks.adapters import opened
from benchmarks.measure import compare, pin, spread

__all__ = ["measured"]

_PACKAGES = ("aiohttp", "openai", "httpx", "httpx2", "litellm", "any-llm-sdk", "langchain-openai",
             "pydantic-ai-slim", "tensorzero")  # fmt: skip


async def measured(
    name: str, url: str, kind: str, in_flight: int, count: int, rounds: int, ca: str | None = None
) -> dict[str, dict[str, float]]:
    """Figures of both by name; ``kind`` is "call" or "stream"."""
    check = checked.call if kind == "call" else checked.stream
    async with opened("bare", url, in_flight, ca) as bare, opened(name, url, in_flight, ca) as rival:
        asks = {"bare": check(bare), name: check(rival)}
        for ask in asks.values():
            # A system takes a few thousand new connections at a time (net.core.somaxconn).
            for some in range(1_000, in_flight, 1_000):
                await spread(ask, some)(some)
        contenders = {who: spread(ask, in_flight) for who, ask in asks.items()}
        return await compare(contenders, count, rounds, "bare")


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("url")
    parser.add_argument("--kind", default="call")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ca")
    parser.add_argument("--uvloop", action="store_true")
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # the rivals' own
    pin(0)
    started = time.process_time()
    importlib.import_module(f"benchmarks.adapters.{given.name}")
    imported = time.process_time() - started
    work: Any = measured(
        given.name, given.url, given.kind, given.in_flight, given.count, given.rounds, given.ca
    )
    if given.uvloop:
        import uvloop

        figures = uvloop.run(work)
    else:
        figures = asyncio.run(work)
    report = {
        "figures": figures,
        "import_cpu_s": imported,
        "versions": _versions(),
        "python": platform.python_version(),
    }
    print("\n" + orjson.dumps(report).decode())


if __name__ == "__main__":
    main()
