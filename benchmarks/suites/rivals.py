"""Other libraries as they are really used, each beside bare aiohttp in a process of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson

from benchmarks.measure import Row
from benchmarks.rivals import known
from benchmarks.servers import plain_server, target
from benchmarks.suites import Plan
from benchmarks.target import CHUNKS

__all__ = ["run"]

_ROOT = Path(__file__).parents[2]
#: All that a rival sees of the machine's environment: no key, no proxy, no setting.
_ENVIRONMENT = {"PATH": os.defpath, "HOME": "/nonexistent", "PYTHONPATH": str(_ROOT), "DO_NOT_TRACK": "1",
                "LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # fmt: skip


async def run(plan: Plan) -> AsyncIterator[Row]:
    """Plain calls with 64 in flight and 16 streams in bursts; those not installed are left out, and named."""
    for name, title, python in _contenders():
        with plain_server() as server:
            count = 100 * plan.scale if name not in ("bare", "ours") else 500 * plan.scale
            report = await _child(plan, python, name, server.url, "call", 64, count)
        if report is None:
            continue
        extra = {"import_s": report["import_cpu_s"]}
        yield Row("rivals", "plain call, 64 in flight", title, report["figures"][name] | extra)
        with target() as server:
            report = await _child(plan, python, name, server.url, "stream", 16, 16 * plan.scale)
        if report is not None:
            figures = report["figures"][name]
            each = {"cpu_us": figures["cpu_us"] / CHUNKS, "per_second": figures["per_second"] * CHUNKS}
            yield Row("rivals", "streamed chunk, 16 streams in bursts", title, figures | each)


def _contenders() -> list[tuple[str, str, str]]:
    rows = [("ours", "asyncapi, everything on", sys.executable)]
    for name, rival in known().items():
        if name == "bare":
            continue
        if rival.installed:
            rows.append((name, rival.title, str(rival.python)))
        else:
            print(
                f"{rival.title} is not installed: python -m benchmarks.rivals install {name}", file=sys.stderr
            )
    return rows


async def _child(
    plan: Plan, python: str, name: str, url: str, kind: str, in_flight: int, count: int
) -> dict[str, Any] | None:
    command = [python, "-m", "benchmarks.rivals.child", name, url, "--kind", kind]
    command += [
        "--in-flight",
        str(in_flight),
        "--count",
        str(max(count, in_flight)),
        "--rounds",
        str(plan.rounds),
    ]
    command += ["--uvloop"] * plan.uvloop
    ran = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False, env=_ENVIRONMENT, cwd=_ROOT
    )
    if ran.returncode:
        print(f"{name}, {kind}: {ran.stderr.strip()[-400:]}", file=sys.stderr)
        return None
    report: dict[str, Any] = orjson.loads(ran.stdout.strip().splitlines()[-1])
    return report
