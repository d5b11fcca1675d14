"""Ending a run early."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

__all__ = ["Stop"]


class Stop:
    """Ends a run early: the first request stops reading and drains, the second one ends it now.

    State: ``requested`` how often; ``_scope`` the time limit of the pass that runs.
    """

    def __init__(self) -> None:
        self.requested = 0
        self._grace = 0.0
        self._scope: asyncio.Timeout | None = None

    def request(self) -> None:
        """Ask for the end; safe to call from a signal handler of the loop."""
        self.requested += 1
        self._arm()

    def drain(self) -> None:
        """Start the grace period without asking for the end: whoever calls this reads no more."""
        self._arm()

    @contextlib.asynccontextmanager
    async def watch(self, grace: float) -> AsyncIterator[None]:
        """Run a block until it ends or the grace period after a request does."""
        self._grace = grace
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None) as self._scope:
                if self.requested:
                    self._arm()
                yield
        self._scope = None

    def _arm(self) -> None:
        if self._scope is not None:
            now = asyncio.get_running_loop().time()
            until = now if self.requested > 1 else now + self._grace
            before = self._scope.when()
            self._scope.reschedule(until if before is None else min(before, until))
