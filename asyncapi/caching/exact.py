"""The exact cache: the answer to a request that was asked before, word for word."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

from asyncapi.abc import Store
from asyncapi.caching.codec import decode, encode
from asyncapi.caching.rules import CACHED, keepable, repeatable
from asyncapi.types.kept import Kept
from asyncapi.types.requests import Request
from asyncapi.types.responses import Chunk, Response

__all__ = ["ExactCache"]


class ExactCache:
    """Answers under the keys of their requests, each until it is too old.

    Args:
        store: Where they are.
        default: Seconds for the operations that are cached anyway (see ``rules``).
        ttl: Seconds for single operations; 0 for those that shall not be cached.
        now: Unix time (seconds).
    """

    def __init__(
        self,
        store: Store,
        default: float = 86_400.0,
        ttl: Mapping[str, float] | None = None,
        now: Callable[[], float] = time.time,  # noqa: TID251  an age means the same after a restart
    ) -> None:
        self._store = store
        self._ttl = {**dict.fromkeys(CACHED, default), **(ttl or {})}
        self._now = now

    def ttl(self, request: Request) -> float:
        """For how many seconds an answer to it is kept: 0 for none, infinity for ever."""
        return self._ttl.get(request.operation, 0.0) if repeatable(request) else 0.0

    async def get(self, key: bytes, ttl: float, *, stream: bool = False) -> Kept | None:
        """The answer, unless it is older than ``ttl`` seconds or can't be read."""
        entry = await self._store.get(key)
        if entry is None:
            return None
        try:
            kept = decode(entry, self._now(), stream=stream)
        except ValueError:  # of another version, or damaged: as good as none
            await self._store.delete(key)
            return None
        return kept if kept.age_s < ttl or ttl == math.inf else None

    async def put(self, key: bytes, ttl: float, response: Response, chunks: Sequence[Chunk] = ()) -> bool:
        """Keep an answer for ``ttl`` seconds, if it is worth it; whether it is kept."""
        if not keepable(response):
            return False
        entry = encode(response, chunks, created=self._now())
        if entry is None:
            return False
        await self._store.put(key, entry, ttl)
        return True

    async def aclose(self) -> None:
        """Write what is not written yet."""
        await self._store.aclose()
