"""What is done already: the output itself, and an index of it that survives any crash.

::

    OUT.jsonl            result lines, append only: a line is written whole, in one write
    OUT.jsonl.journal/   manifest.json  what the output belongs to
                         index          8 bytes a row: where its line is (see index.py)
                         lock           held by the one run that writes
                         reserve        space kept for the answers in flight when the disk fills up
                         input          a copy of standard input, where that is the input

A line is written first and indexed second, each by one system call; nothing is buffered here. So
whatever moment the process is killed at, the output is right, up to a torn last line, and the index
lags behind by one line at most. Opening heals both (see recovery.py): it cuts the torn line, adopts
whole lines that are not in the index, and reads the index anew from the output where they disagree,
where it is missing, and after a restart of the machine.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from asyncapi.errors import ConfigError
from asyncapi.jobs.manifest import Manifest, boot_id
from asyncapi.jobs.recovery import Recovery

__all__ = ["Journal"]

_RESERVE = 2 << 20
_BLOCK = 1 << 14


class Journal:
    """An output that is open for one run.

    State: ``_size`` the output's length; ``_reserved`` whether the reserve is still there; ``full``
    the first error that writing met, from which on the run has to stop; ``notes`` what was healed.

    Raises:
        ConfigError: The output belongs to another run or to nobody; the text says what differs.
        OSError: The disk is full or the place not writable.
    """

    def __init__(
        self,
        output: Path,
        folder: Path,
        manifest: Manifest,
        *,
        overwrite: bool = False,
        retry_failed: bool = False,
    ) -> None:
        self._reserve = folder / "reserve"
        self.full: OSError | None = None
        if overwrite:
            for path in (folder / "manifest.json", folder / "index", output):
                path.unlink(missing_ok=True)
        trusted = _admitted(output, Manifest.load(folder), manifest)
        manifest.save(folder)
        output.touch()
        recovery = Recovery(output, folder, manifest.input.lines)
        self._index = recovery.index(trusted=trusted)
        if retry_failed:
            self._index = recovery.without_failures(self._index)
        self.notes = recovery.notes
        self._fd = os.open(output, os.O_RDWR | os.O_APPEND)
        self._size = os.fstat(self._fd).st_size
        try:
            self._reserve.write_bytes(bytes(_RESERVE))
        except OSError:
            self.close()
            raise
        self._reserved = True

    @property
    def counts(self) -> tuple[int, int]:
        """How many rows have an answer in the output, and how many a failure."""
        return self._index.counts()

    def done(self, row: int) -> bool:
        """Whether the row has a line in the output."""
        return self._index.done(row)

    def deferred(self, row: int) -> bool:
        """Whether the row waits for the next pass."""
        return self._index.deferred(row)

    def line(self, row: int) -> bytes:
        """The line of a row that is done."""
        offset, found = self._index.offset(row), b""
        while not found.endswith(b"\n") and (more := os.pread(self._fd, _BLOCK, offset + len(found))):
            end = more.find(b"\n")
            found += more if end < 0 else more[: end + 1]
        return found

    def defer(self, row: int) -> None:
        """Leave the row for the next pass; without effect on the output."""
        with contextlib.suppress(OSError):  # on a full disk it is simply not done
            self._index.defer(row)

    def write(self, row: int, line: bytes, *, failed: bool) -> None:
        """Append a row's line, then index it.

        When the disk is full the reserve is given up and the line written into its space; ``full``
        tells that it is time to stop.

        Raises:
            OSError: The line could not be written; the output is as it was before.
        """
        offset = self._size
        try:
            self._append(line)
        except OSError as error:
            if not self._release(error):
                raise
            self._append(line)
        if self._index.lost:
            return
        try:
            self._index.set(row, offset, failed=failed)
        except OSError as error:
            self._release(error)
            self._index.abandon()  # with a gap in it the next run would send this row again

    def close(self) -> None:
        """Write everything to the disk and close."""
        try:
            with contextlib.suppress(OSError):
                os.fsync(self._fd)
        finally:
            self._index.close()
            os.close(self._fd)
            self._reserve.unlink(missing_ok=True)

    def _append(self, line: bytes) -> None:
        written = 0
        try:
            while written < len(line):
                written += os.write(self._fd, line[written:] if written else line)
        except OSError:
            if written:
                os.ftruncate(self._fd, self._size)
            raise
        self._size += len(line)

    def _release(self, error: OSError) -> bool:
        """Give up the reserve; whether it was there."""
        self.full = self.full or error
        had, self._reserved = self._reserved, False
        self._reserve.unlink(missing_ok=True)
        return had


def _admitted(output: Path, found: Manifest | None, manifest: Manifest) -> bool:
    """Whether the index can be trusted, if the output may be continued at all.

    Raises:
        ConfigError: It may not.
    """
    if not output.exists() or not output.stat().st_size:
        return False  # nothing in it: whatever it was begun for, it is free
    if found is None:
        raise ConfigError(
            f"{output} exists and has no journal: choose another output, or replace it with --overwrite"
        )
    if differences := found.differences(manifest):
        raise ConfigError(
            f"{output} belongs to another run: {'; '.join(differences)}. "
            "Choose another output, or start anew with --overwrite"
        )
    return bool(found.boot) and found.boot == boot_id()
