"""A plain chat call with everything on, beside a bare POST with orjson."""

from __future__ import annotations

from collections.abc import AsyncIterator

from benchmarks.certificates import Certificates
from benchmarks.measure import Row
from benchmarks.rivals.child import measured
from benchmarks.servers import plain_server
from benchmarks.suites import Plan

__all__ = ["calls", "run"]


async def run(plan: Plan) -> AsyncIterator[Row]:
    """At 1, 64 and 512 in flight."""
    async for row in calls(plan, "plain", None):
        yield row


async def calls(plan: Plan, suite: str, files: Certificates | None) -> AsyncIterator[Row]:
    """Both contenders against the fastest server, with TLS where there are certificates."""
    with plain_server(files) as server:
        for in_flight in (1, 64, 512):
            server.watch()
            count = max(500 * plan.scale, 2 * in_flight)
            found = await measured("ours", server.url, "call", in_flight, count, plan.rounds, server.ca)
            setting = f"{in_flight} in flight, {server.kind}"
            busy = {"server_busy": server.busy}
            for name, figures in found.items():
                yield Row(suite, setting, name, figures | busy)
