"""Brings output and index of an earlier run into agreement, whatever it died of."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson

from asyncapi.jobs.index import Index
from asyncapi.jobs.results import row_of, succeeded

__all__ = ["Recovery"]

_BLOCK = 1 << 16


class Recovery:
    """Opens the index of an output; ``notes`` says for a person what was healed.

    The order of the steps makes each of them safe to be killed in: a new output replaces the old one
    at once, the index is removed before that, and a missing index is read anew from the output.

    Raises (both methods):
        OSError: The disk is full or the place not writable.
    """

    def __init__(self, output: Path, folder: Path, rows: int) -> None:
        self._output = output
        self._path = folder / "index"
        self._new_index = folder / "index.new"
        self._new_output = folder / "output.new"
        self._rows = rows
        self.notes: list[str] = []

    def index(self, *, trusted: bool) -> Index:
        """The index, in agreement with the output. Not ``trusted``, it is read anew from the output."""
        self._cut_torn_line()
        if trusted and self._path.exists() and self._path.stat().st_size == self._rows * 8:
            index = Index(self._path, self._rows)
            if self._catch_up(index):
                return index
            index.close()
        return self._rebuilt()

    def without_failures(self, index: Index) -> Index:
        """The index after the failed lines were taken out of the output; closes the one given."""
        failed = index.counts()[1]
        if not failed:
            return index
        index = self._compacted(index, lambda _, __, line: succeeded(line))
        self.notes.append(f"took {_lines(failed, 'failed')} out of the output to send again")
        return index

    def _cut_torn_line(self) -> None:
        """Cut what follows the last line break."""
        with self._output.open("rb") as file:
            size = end = file.seek(0, os.SEEK_END)
            while end:
                start = max(0, end - _BLOCK)
                file.seek(start)
                if (found := file.read(end - start).rfind(b"\n")) >= 0:
                    end = start + found + 1
                    break
                end = start
        if end < size:
            os.truncate(self._output, end)
            self.notes.append(f"cut a torn last line of {size - end} bytes")

    def _catch_up(self, index: Index) -> bool:
        """Adopt the lines after the last indexed one; False when index and output disagree."""
        start, last = 0, index.last()
        if last is not None:
            row, offset = last
            line = next(self._read(offset), (0, b""))[1]
            if row_of(line) != row:
                return False
            start = offset + len(line)
        adopted = 0
        for offset, line in self._read(start):
            if not self._adopt(index, offset, line):
                return False
            adopted += 1
        if adopted:
            self.notes.append(f"adopted {_lines(adopted, 'whole')} that the index didn't have yet")
        return True

    def _rebuilt(self) -> Index:
        """A new index, from a reading of the whole output; lines that are none are taken out."""
        self._path.unlink(missing_ok=True)
        self._new_index.unlink(missing_ok=True)
        index, damaged = Index(self._new_index, self._rows), 0
        for offset, line in self._read(0):
            damaged += not (_is_json(line) and self._adopt(index, offset, line))
        if self._output.stat().st_size:
            self.notes.append("read the index anew from the output")
        if damaged:
            self.notes.append(f"took {_lines(damaged, 'unreadable or repeated')} out of the output")
            return self._compacted(index, lambda row, offset, _: index.offset(row) == offset)
        index.rename(self._path)
        return index

    def _adopt(self, index: Index, offset: int, line: bytes) -> bool:
        row = row_of(line)
        if row is None or row >= self._rows or index.done(row):
            return False
        index.set(row, offset, failed=not succeeded(line))
        return True

    def _compacted(self, index: Index, keep: Callable[[int, int, bytes], bool]) -> Index:
        """The index of the output without some lines; closes the one given."""
        try:
            with self._new_output.open("wb", buffering=1 << 20) as file:
                for offset, line in self._read(0):
                    row = row_of(line)
                    if row is not None and row < self._rows and keep(row, offset, line):
                        file.write(line)
                file.flush()
                os.fsync(file.fileno())
        finally:
            index.close()
        self._path.unlink(missing_ok=True)
        self._new_index.unlink(missing_ok=True)
        self._new_output.chmod(self._output.stat().st_mode)
        self._new_output.replace(self._output)
        fresh = Index(self._path, self._rows)
        for offset, line in self._read(0):
            self._adopt(fresh, offset, line)
        return fresh

    def _read(self, start: int) -> Iterator[tuple[int, bytes]]:
        with self._output.open("rb", buffering=1 << 20) as file:
            file.seek(start)
            for line in file:
                yield start, line
                start += len(line)


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _lines(count: int, kind: str) -> str:
    return f"{count} {kind} line{'s' * (count != 1)}"
