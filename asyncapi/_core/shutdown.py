"""How a client ends: no newcomers, time for what is under way, then everything is closed."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from asyncapi.abc import Transport

if TYPE_CHECKING:
    from asyncapi._core.endpoint import Endpoint

__all__ = ["Closing", "Shutdown"]


class Closing(Protocol):
    """What is closed with the client."""

    async def aclose(self) -> None:
        """Close it."""
        ...


class Shutdown:
    """The end of some endpoints and transports; more may be added until then.

    State: ``begun`` (no newcomers), ``closed``, ``_rested`` (time to look whether everything has ended),
    and ``_closing``, held by whoever closes.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint], transports: Mapping[str, Transport]) -> None:
        self._endpoints = endpoints
        self._transports = transports
        self.begun = self.closed = False
        self._rested = asyncio.Event()
        self._closing = asyncio.Lock()

    async def aclose(self, drain: float) -> None:
        """Let what is under way end for ``drain`` seconds; then close endpoints, then transports.

        Whoever cancels this, or closes without ``drain`` meanwhile, closes now.
        """
        self.begun = True
        try:
            if drain > 0.0 and not self.closed:
                await self._rest(drain)
        finally:
            await self._close()

    def joins(self, endpoint: Endpoint) -> None:
        """An endpoint lets no newcomers in, and tells when it has nothing under way."""
        endpoint.drain(self._rested.set)

    async def _rest(self, seconds: float) -> None:
        for endpoint in self._endpoints.values():
            self.joins(endpoint)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds if seconds < math.inf else None):
                # Seen only from here: a call that goes on to its route's next target is nowhere for a moment.
                while not self.closed and any(endpoint.calls for endpoint in self._endpoints.values()):
                    self._rested.clear()
                    await self._rested.wait()

    async def _close(self) -> None:
        self.closed = True
        self._rested.set()
        async with self._closing:
            try:
                for endpoint in self._endpoints.values():
                    await endpoint.aclose()
            finally:
                for transport in self._transports.values():
                    await transport.aclose()
