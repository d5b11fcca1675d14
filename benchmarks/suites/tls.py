"""The plain call over TLS, with an authority made for the run."""

from __future__ import annotations

from collections.abc import AsyncIterator

from benchmarks.certificates import certificates
from benchmarks.measure import Row
from benchmarks.suites import Plan
from benchmarks.suites.plain import calls

__all__ = ["run"]


async def run(plan: Plan) -> AsyncIterator[Row]:
    """At 1, 64 and 512 in flight."""
    with certificates() as files:
        async for row in calls(plan, "tls", files):
            yield row
