"""Percentiles in constant memory."""

import pytest

from asyncapi.jobs.progress import Latencies, Progress, SilentReporter


def test_percentiles_are_within_five_percent() -> None:
    """Of a thousand durations from 10 ms to 10 s."""
    latencies = Latencies()
    for i in range(1, 1001):
        latencies.add(i / 100)

    assert latencies.percentile(0.5) == pytest.approx(5.0, rel=0.05)
    assert latencies.percentile(0.95) == pytest.approx(9.5, rel=0.05)
    assert latencies.percentile(1.0) == pytest.approx(10.0, rel=0.05)


def test_no_durations_have_no_percentile() -> None:
    """And absurd ones land in the outermost buckets."""
    latencies = Latencies()
    assert latencies.percentile(0.5) is None

    latencies.add(0.0)
    latencies.add(1e9)

    assert latencies.percentile(0.1) == pytest.approx(1e-4, rel=0.05)
    assert (latencies.percentile(1.0) or 0) > 100_000


def test_silence() -> None:
    """The default reporter takes everything and says nothing."""
    reporter = SilentReporter()

    reporter.started(Progress(lines=1))
    reporter.tick()
    reporter.note("x")
    reporter.finished()
