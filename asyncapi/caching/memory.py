"""A store in memory: gone with its process."""

from __future__ import annotations

from collections import OrderedDict

from asyncapi.errors import ConfigError

__all__ = ["MEMORY_BYTES", "MemoryStore"]

MEMORY_BYTES = 64 << 20

#: What an entry takes beside its value: the key, two objects' heads, a node and a slot of the dictionary.
_OVERHEAD = 300


class MemoryStore:
    """Keeps the most recently used answers, at most ``max_bytes`` of them with everything around them.

    One client or several may use it, in one event loop.

    State: the ``_entries``, least recently used first, and their size in ``bytes``.
    """

    def __init__(self, max_bytes: int = MEMORY_BYTES) -> None:
        if max_bytes < 1:
            raise ConfigError(f"max_bytes: expected 1 or more, got {max_bytes!r}")
        self.max_bytes = max_bytes
        self.bytes = 0
        self._entries: OrderedDict[bytes, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, key: bytes, /) -> bytes | None:
        """What was put there last, None if it isn't there."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    async def put(self, key: bytes, value: bytes, ttl: float, /) -> None:
        """Keep it, and drop what was not used for longest. A value larger than everything is not kept."""
        self._drop(key)
        size = len(value) + _OVERHEAD
        if size > self.max_bytes:
            return
        self._entries[key] = value
        self.bytes += size
        while self.bytes > self.max_bytes:
            self._drop(next(iter(self._entries)))

    async def delete(self, key: bytes, /) -> None:
        """Forget it, if it is there."""
        self._drop(key)

    async def aclose(self) -> None:
        """Nothing to write; what is there stays."""

    def _drop(self, key: bytes) -> None:
        value = self._entries.pop(key, None)
        if value is not None:
            self.bytes -= len(value) + _OVERHEAD
