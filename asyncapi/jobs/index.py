"""Where the result of every row stands: 8 bytes a row in a file beside the output.

A row's value is 0 (nothing known), 1 (deferred to the next pass), or ``(offset + 1) * 2 + failed``
with the offset of its line in the output. The greatest value is therefore the line written last.

Read through a shared mapping, written by ``pwrite``: a full disk is an ``OSError`` there, while a
store into a mapping without space behind it would kill the process.
"""

from __future__ import annotations

import mmap
import os
import sys
from array import array
from pathlib import Path

__all__ = ["Index"]

_DEFERRED = 1
_BLOCK = 1 << 16


class Index:
    """The map of one output. Its file is made new unless it has the right size.

    Shapes: ``rows`` values of 8 bytes, in the machine's byte order.
    """

    def __init__(self, path: Path, rows: int) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if os.fstat(self._fd).st_size != rows * 8:
                os.ftruncate(self._fd, 0)
                os.ftruncate(self._fd, rows * 8)
            self._map = mmap.mmap(self._fd, rows * 8, access=mmap.ACCESS_READ) if rows else None
        except BaseException:
            os.close(self._fd)
            raise
        self._values = memoryview(self._map or b"").cast("Q")
        self.rows = rows
        self.lost = False

    def done(self, row: int) -> bool:
        """Whether the row has a line."""
        return self._values[row] > _DEFERRED

    def deferred(self, row: int) -> bool:
        """Whether the row waits for the next pass."""
        return self._values[row] == _DEFERRED

    def offset(self, row: int) -> int:
        """Where the row's line starts in the output."""
        return (self._values[row] >> 1) - 1

    def set(self, row: int, offset: int, *, failed: bool) -> None:
        """Note the row's line."""
        self._write(row, (offset + 1) * 2 + failed)

    def defer(self, row: int) -> None:
        """Note that the row waits for the next pass."""
        self._write(row, _DEFERRED)

    def last(self) -> tuple[int, int] | None:
        """Row and offset of the line written last, None before there is one."""
        greatest = max(self._values, default=0)
        if greatest <= _DEFERRED:
            return None
        return self._row(greatest), (greatest >> 1) - 1

    def counts(self) -> tuple[int, int]:
        """How many rows have an answer, and how many a failure."""
        done = failed = 0
        for start in range(0, self.rows, _BLOCK):
            block = array("Q", self._values[start : start + _BLOCK].tobytes())
            having = len(block) - block.count(0) - block.count(_DEFERRED)
            bad = sum(value & 1 for value in block) - block.count(_DEFERRED) if having else 0
            done, failed = done + having - bad, failed + bad
        return done, failed

    def rename(self, path: Path) -> None:
        """Give the file its final name."""
        self._path = self._path.replace(path)

    def abandon(self) -> None:
        """Remove the file: the next start rebuilds it from the output."""
        self.lost = True
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Give file and memory back."""
        self._values.release()
        if self._map is not None:
            self._map.close()
        os.close(self._fd)

    def _row(self, value: int) -> int:
        start = 0
        while value not in (block := array("Q", self._values[start : start + _BLOCK].tobytes())):
            start += _BLOCK
        return start + block.index(value)

    def _write(self, row: int, value: int) -> None:
        if not 0 <= row < self.rows:
            raise IndexError(f"row {row} of {self.rows}")
        os.pwrite(self._fd, value.to_bytes(8, sys.byteorder), row * 8)
