"""When calls arrive: as they did at a real service, or in bursts of our own making.

The folder that ``ASYNCAPI_DATA`` names may hold ``azure/AzureLLMInferenceTrace_conv.csv.gz`` and
``..._code.csv.gz``: one hour of calls to two services each. They are read there and never copied.

Source: Patel et al., "Splitwise", ISCA 2024; github.com/Azure/AzurePublicDataset (CC-BY-4.0).
"""

from __future__ import annotations

import csv
import gzip
import os
import random
from datetime import datetime
from pathlib import Path

__all__ = ["arrivals"]


def arrivals(name: str, count: int, seed: int = 0) -> tuple[str, list[float]]:
    """What the arrivals are, and the seconds at which they come, from 0 on.

    Args:
        name: "conv" or "code" for Azure's traces, where they are; else bursts of our own.
        count: How many.
        seed: For our own.
    """
    path = Path(os.environ.get("ASYNCAPI_DATA", "/nowhere"), f"azure/AzureLLMInferenceTrace_{name}.csv.gz")
    if not path.is_file():
        return "bursts of our own", _bursts(count, random.Random(seed))
    with gzip.open(path, "rt", newline="") as file:
        rows = csv.DictReader(file)
        times = [_seconds(row["TIMESTAMP"]) for row, _ in zip(rows, range(count), strict=False)]
    start = min(times)
    times = sorted(time - start for time in times)
    while len(times) < count:  # a trace that is shorter is played again
        times += [time + times[-1] for time in times[1 : count - len(times) + 1]]
    return f"Azure 2023 {name}", times


def _seconds(text: str) -> float:
    head, _, fraction = text.partition(".")
    moment = datetime.strptime(head, "%Y-%m-%d %H:%M:%S")
    return (moment - datetime(2023, 1, 1)).total_seconds() + float(f"0.{fraction or 0}")


def _bursts(count: int, chance: random.Random) -> list[float]:
    """5.5 a second: half come alone, half in bursts of 2 to 20 that last half a second."""
    times: list[float] = []
    now = 0.0
    while len(times) < count:
        now += chance.expovariate(3.0)
        size = 1 if chance.random() < 0.92 else chance.randint(2, 20)
        times += [now + chance.random() * 0.5 * (size > 1) for _ in range(size)]
    return sorted(times[:count])
