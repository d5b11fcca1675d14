"""The benchmark of batching: its arrivals, and the bound that it holds batching to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.arrivals import arrivals
from benchmarks.batching import BASE, DEFAULT, WAYS, plots, simulated, table

TRACE = Path(os.environ.get("ASYNCAPI_DATA", "/nowhere"), "azure/AzureLLMInferenceTrace_conv.csv.gz")


def test_arrivals_of_our_own_come_in_order_at_the_same_times_every_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From a seed, about five and a half a second."""
    monkeypatch.delenv("ASYNCAPI_DATA", raising=False)
    title, times = arrivals("conv", 2_000)

    assert title == "bursts of our own"
    assert len(times) == 2_000
    assert times == sorted(times) == arrivals("conv", 2_000)[1]
    assert 4.0 < len(times) / times[-1] < 7.0


@pytest.mark.skipif(not TRACE.is_file(), reason="ASYNCAPI_DATA names no folder with Azure's traces")
def test_a_recorded_trace_is_read_in_order_and_played_again_when_it_is_too_short() -> None:
    """20,000 calls of a trace of 19,366."""
    title, times = arrivals("conv", 20_000)

    assert title == "Azure 2023 conv"
    assert len(times) == 20_000
    assert times[0] == 0.0
    assert times == sorted(times)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conv", "code"])
@pytest.mark.parametrize("load", [1.0, BASE, 4.0 * BASE, 16.0 * BASE])
def test_batching_adds_no_more_to_the_99th_percentile_than_its_bound(name: str, load: float) -> None:
    """At any load; and it never sends more requests than there are calls."""
    times = [time / load for time in arrivals(name, 1_500)[1]]
    alone, batched = simulated(WAYS["each alone"], times), simulated(WAYS[DEFAULT], times)

    assert batched.p99 - alone.p99 <= 10.0
    assert alone.requests == 1_500
    assert batched.requests <= 1_500
    found = {"load": {"each alone": alone, DEFAULT: batched}}
    assert f"| {batched.requests:,} |" in table(found)


def test_plots_name_every_way_once() -> None:
    """Also those whose lines end at the same place."""
    result = simulated(WAYS["each alone"], [0.01 * n for n in range(20)])
    pictures = plots({"1x": dict.fromkeys(WAYS, result), "4x": dict.fromkeys(WAYS, result)})

    assert sorted(pictures) == ["batching-latency.svg", "batching-requests.svg"]
    for picture in pictures.values():
        assert picture.count(">each alone<") == picture.count(">adaptive<") == 1
