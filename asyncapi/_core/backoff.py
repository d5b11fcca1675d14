"""Where calls wait for their next attempt."""

from __future__ import annotations

import asyncio

__all__ = ["Backoff"]


class Backoff:
    """Calls that wait, holding nothing, until they may try again. Closing ends their wait.

    State: the ``_waiting`` futures, in order of entry.
    """

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], None] = {}

    async def sleep(self, seconds: float) -> None:
        """Return when the time is over, or at once when everything ends."""
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        timer = loop.call_later(seconds, _wake, waiter)
        self._waiting[waiter] = None
        try:
            await waiter
        finally:
            timer.cancel()
            del self._waiting[waiter]

    def end(self) -> None:
        """Let all of them go on."""
        for waiter in self._waiting:
            _wake(waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
