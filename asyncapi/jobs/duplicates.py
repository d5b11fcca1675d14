"""Which ids and which requests were seen, in a fixed number of bytes a row outside the heap."""

from __future__ import annotations

import mmap

__all__ = ["SeenIds", "SeenRequests"]

_MASK = (1 << 64) - 1


class SeenIds:
    """First row of every id: an open hash table of 64-bit hashes and 32-bit row numbers.

    A Python set would hold 100 bytes and more for each id. Two different ids are taken for one with
    a chance of rows² / 2⁶⁵: one in 300,000 for ten million rows.

    Shapes: ``rows`` slots of 12 bytes at a load of 0.7, in anonymous memory that is touched only as it fills.
    """

    def __init__(self, rows: int) -> None:
        self._slots = max(8, rows * 10 // 7 + 1)
        self._memory = mmap.mmap(-1, self._slots * 12)
        view = memoryview(self._memory)
        self._views = (view, view[: self._slots * 8].cast("Q"), view[self._slots * 8 :].cast("I"))

    def first(self, name: str, row: int) -> int:
        """The row that used ``name`` first: ``row`` itself when it is new."""
        _, hashes, rows = self._views
        wanted = (hash(name) & _MASK) or 1
        slot = wanted % self._slots
        while (found := hashes[slot]) != wanted:
            if not found:
                hashes[slot], rows[slot] = wanted, row
                return row
            slot = slot + 1 if slot + 1 < self._slots else 0
        return rows[slot]

    def close(self) -> None:
        """Give the memory back."""
        for view in reversed(self._views):
            view.release()
        self._memory.close()


class SeenRequests:
    """First row of every request, by its key: the same kind of table with 128 bits of the key.

    Two different requests taken for one would give one of them a wrong answer: with 128 bits the chance is
    1 in 10²⁴ for ten million rows.

    Shapes: ``rows`` slots of 20 bytes at a load of 0.7, in anonymous memory that is touched only as it fills.
    """

    def __init__(self, rows: int) -> None:
        self._slots = max(8, rows * 10 // 7 + 1)
        self._memory = mmap.mmap(-1, self._slots * 20)
        view = memoryview(self._memory)
        self._views = (view, view[: self._slots * 16].cast("Q"), view[self._slots * 16 :].cast("I"))

    def first(self, key: bytes, row: int) -> int:
        """The row that asked for ``key`` first: ``row`` itself when it is new."""
        _, keys, rows = self._views
        high, low = int.from_bytes(key[:8], "little") or 1, int.from_bytes(key[8:16], "little")
        slot = low % self._slots
        while found := keys[2 * slot]:
            if found == high and keys[2 * slot + 1] == low:
                return rows[slot]
            slot = slot + 1 if slot + 1 < self._slots else 0
        keys[2 * slot], keys[2 * slot + 1], rows[slot] = high, low, row
        return row

    def close(self) -> None:
        """Give the memory back."""
        for view in reversed(self._views):
            view.release()
        self._memory.close()
