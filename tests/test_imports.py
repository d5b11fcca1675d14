"""What ``import asyncapi`` brings along, and what it costs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAVY = ("aiohttp", "structlog", "aiobotocore", "botocore", "click", "rich", "numpy", "pytest")
#: CPU seconds of one import, measured in a process of its own.
CLOCK = "import time; t = time.process_time(); import {}; print(time.process_time() - t)"


def python(code: str) -> str:
    """What a fresh interpreter prints, undisturbed by whatever measures this one."""
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=quiet)
    return done.stdout


def test_nothing_heavy_is_imported() -> None:
    """Transports, logging and the command line are imported when they are first needed."""
    loaded = python("import sys, asyncapi; print(*sys.modules)").split()

    assert {"asyncapi", "asyncapi.client"} <= set(loaded)
    assert not {name for name in loaded if name.partition(".")[0] in HEAVY}


@pytest.mark.slow
def test_importing_costs_less_than_importing_aiohttp() -> None:
    """In CPU time, at most 1.3 times as much; the best of rounds that take turns."""
    ours, theirs = (
        min(costs)
        for costs in zip(
            *((float(python(CLOCK.format(name))) for name in ("asyncapi", "aiohttp")) for _ in range(3)),
            strict=True,
        )
    )

    assert ours <= 1.3 * theirs
