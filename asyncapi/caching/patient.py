"""A store that hangs is a store that fails."""

from __future__ import annotations

import asyncio

from asyncapi.abc import Store

__all__ = ["PatientStore"]


class PatientStore:
    """Another store, for which nobody waits longer than ``seconds``.

    For stores that go over a network. Those of this package answer at once, and a timer for each call
    would cost as much as their answer.
    """

    def __init__(self, store: Store, seconds: float) -> None:
        self._store = store
        self._seconds = seconds

    async def get(self, key: bytes, /) -> bytes | None:
        """What is there; ``TimeoutError`` if that takes too long."""
        async with asyncio.timeout(self._seconds):
            return await self._store.get(key)

    async def put(self, key: bytes, value: bytes, ttl: float, /) -> None:
        """Keep it; the same."""
        async with asyncio.timeout(self._seconds):
            await self._store.put(key, value, ttl)

    async def delete(self, key: bytes, /) -> None:
        """Forget it; the same."""
        async with asyncio.timeout(self._seconds):
            await self._store.delete(key)

    async def aclose(self) -> None:
        """Close it, however long that takes."""
        await self._store.aclose()
