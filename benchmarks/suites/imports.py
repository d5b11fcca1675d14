"""CPU of a fresh interpreter that imports a package."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator

from benchmarks.measure import Row, summary
from benchmarks.suites import Plan

__all__ = ["run"]

_CODE = (
    "import resource; import {}; r = resource.getrusage(resource.RUSAGE_SELF); print(r.ru_utime + r.ru_stime)"
)


async def run(plan: Plan) -> AsyncIterator[Row]:
    """With the interpreter's own start, in turn."""
    names = {"bare": "aiohttp", "ours": "asyncapi", "python alone": "sys"}
    micros: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(plan.rounds):
        for name, package in names.items():
            command = [sys.executable, "-c", _CODE.format(package)]
            ran = subprocess.run(command, capture_output=True, check=True)  # noqa: ASYNC221
            micros[name].append(float(ran.stdout) * 1e6)
    for name, samples in micros.items():
        yield Row("imports", f"import {names[name]}", name, summary(samples, micros["bare"]))
