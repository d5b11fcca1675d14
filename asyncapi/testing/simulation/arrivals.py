"""When calls come: processes with a formula, and recordings of real traffic.

Source: the recordings are the Azure LLM inference trace 2023 (Patel et al., Splitwise, ISCA 2024,
CC-BY-4.0) and ServeGen's m-small (Apache-2.0).
"""

from __future__ import annotations

import csv
import gzip
import itertools
import os
import random
import tarfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple, assert_never

from asyncapi.testing.simulation.scenario import Bursty, Poisson, Trace

__all__ = ["VARIABLE", "Arrival", "arrivals", "recorded"]

#: The variable that names the folder with the recordings.
VARIABLE = "ASYNCAPI_DATA"

#: Calls a second and coefficient of variation of the gaps, measured on the recordings.
_LIKE = {"azure-conv": (5.53, 1.09), "azure-code": (2.57, 13.15), "servegen": (1174.0, 2.0)}
_FILES = {
    "azure-conv": "azure/AzureLLMInferenceTrace_conv.csv.gz",
    "azure-code": "azure/AzureLLMInferenceTrace_code.csv.gz",
    "servegen": "servegen/m-small_traces.tar.xz",
}
_WINDOW_S = 600.0


class Arrival(NamedTuple):
    """One call: when, and what the recording says of it (None where it says nothing)."""

    at: float
    tenant: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


def arrivals(process: Poisson | Bursty | Trace, rng: random.Random, end: float) -> Iterator[Arrival]:
    """The calls from 0.0 to ``end`` seconds, in order."""
    match process:
        case Poisson():
            return _renewal(process.rate, 1.0, rng, end)
        case Bursty():
            return _renewal(process.rate, process.cv, rng, end)
        case Trace():
            return _trace(process, rng, end)
        case _:
            assert_never(process)


def recorded(name: str) -> Path | None:
    """Where a recording lies, None if it is not here."""
    folder = os.environ.get(VARIABLE)
    path = Path(folder) / _FILES[name] if folder else None
    return path if path is not None and path.exists() else None


def _renewal(rate: float, cv: float, rng: random.Random, end: float) -> Iterator[Arrival]:
    """Gaps of a Gamma distribution with mean ``1 / rate`` and this coefficient of variation."""
    if rate <= 0.0:
        return
    shape = 1.0 / (cv * cv)
    scale = 1.0 / (rate * shape)
    now = 0.0
    while True:
        now += rng.expovariate(rate) if cv == 1.0 else rng.gammavariate(shape, scale)
        if now >= end:
            return
        yield Arrival(now)


def _trace(trace: Trace, rng: random.Random, end: float) -> Iterator[Arrival]:
    path = recorded(trace.name)
    if path is None:
        rate, cv = _LIKE[trace.name]
        yield from _renewal(rate * trace.speed * trace.thin, cv, rng, end)
        return
    if trace.name == "servegen":
        yield from _servegen(path, trace, rng, end)
        return
    for at, tokens_in, tokens_out in _azure(path):
        moment = (at - trace.start) / trace.speed
        if moment >= end:
            return
        if moment >= 0.0 and (trace.thin >= 1.0 or rng.random() < trace.thin):
            yield Arrival(moment, None, tokens_in, tokens_out)


@cache
def _azure(path: Path) -> list[tuple[float, int, int]]:
    """Seconds since the first call, tokens in, tokens out."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        # Ten millionths of a second: one digit more than Python reads.
        rows = [
            (datetime.fromisoformat(row["TIMESTAMP"][:26]), row["ContextTokens"], row["GeneratedTokens"])
            for row in csv.DictReader(file)
        ]
    first = rows[0][0]
    return sorted((((at - first).total_seconds(), int(a), int(b)) for at, a, b in rows), key=lambda r: r[0])


@cache
def _windows(path: Path) -> list[tuple[str, list[tuple[float, float]]]]:
    """Per client the rate and the coefficient of variation of each window of ten minutes."""
    clients = []
    with tarfile.open(path) as archive:
        for member in sorted(archive.getmembers(), key=lambda m: m.name):
            file = archive.extractfile(member) if member.name.endswith("-trace.csv") else None
            if file is not None:
                rows = csv.reader(line.decode() for line in file)
                name = Path(member.name).name.removesuffix("-trace.csv")
                clients.append((name, [(float(row[1]), float(row[2] or 0.0)) for row in rows]))
    return clients


def _servegen(path: Path, trace: Trace, rng: random.Random, end: float) -> list[Arrival]:
    """Each client's windows one after the other, from the one in which ``start`` lies."""
    found: list[Arrival] = []
    for name, windows in _windows(path):
        first = int(trace.start / _WINDOW_S)
        found += _client(name, itertools.islice(windows, first, None), trace, rng, end)
    return sorted(found)


def _client(
    name: str, windows: Iterable[tuple[float, float]], trace: Trace, rng: random.Random, end: float
) -> Iterator[Arrival]:
    length = _WINDOW_S / trace.speed
    begin = 0.0
    for rate, cv in windows:
        if begin >= end:
            return
        for arrival in _renewal(rate * trace.speed * trace.thin, cv or 1.0, rng, min(length, end - begin)):
            yield Arrival(begin + arrival.at, name)
        begin += length
