"""A store in one file, shared by the processes of one machine.

Reading happens on the event loop: an answer in the page cache takes 10 us, a hop to a thread and back
100. Writing waits for the disk, so it happens in a thread, many answers to a transaction. What is not
written yet is found all the same, in this process; a process that is killed loses the last ``delay``
seconds of answers, and nothing else: the file is in WAL mode, so a transaction is there whole or not at
all, and readers and the one writer don't wait for each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

from asyncapi.errors import ConfigError

__all__ = ["FILE_BYTES", "SQLiteStore"]

FILE_BYTES = 1 << 30

#: Marks the file as ours ("aica"), so that nobody else's database is written to.
_APPLICATION = 0x61696361
_LAYOUT = 1
_TABLES = (
    "DROP TABLE IF EXISTS answers",
    """CREATE TABLE answers (
        number  INTEGER PRIMARY KEY,    -- grows: the smallest is the oldest
        key     BLOB NOT NULL UNIQUE,
        expires REAL NOT NULL,          -- unix time
        value   BLOB NOT NULL
    )""",
    "CREATE INDEX answers_expires ON answers (expires)",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_LAYOUT}",
)
_ANY_TABLE = "SELECT 1 FROM sqlite_master LIMIT 1"
_GET = "SELECT value FROM answers WHERE key = ?"
_PUT = "INSERT OR REPLACE INTO answers (key, expires, value) VALUES (?, ?, ?)"
_DELETE = "DELETE FROM answers WHERE key = ?"
_EXPIRED = "DELETE FROM answers WHERE expires < ?"
_RANGE = "SELECT min(number), max(number) FROM answers"
_OLDEST = "DELETE FROM answers WHERE number < ?"
_PAGES = (
    "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, "
    "pragma_page_size"
)

#: Value and expiry of what is to be written, None to delete.
_Batch: TypeAlias = Mapping[bytes, tuple[bytes, float] | None]


class SQLiteStore:
    """Keeps answers in a file, beside which SQLite has two more (``-wal``, ``-shm``).

    The file can be read by its owner alone; answers are in it as they came, requests are not.
    On a network disk SQLite's locks can't be trusted: use a local one.

    Args:
        path: The file, made when it is first used.
        max_bytes: The oldest answers go when there are more bytes of them.
        delay: Seconds that an answer waits for others to be written with.
        now: Unix time (seconds).

    Raises:
        ConfigError: The folder does not exist, or (at the first use) the file is something else.

    State: the ``_reader`` and the ``_writer``, connections of the loop and of the one thread; what is
    ``_pending`` and what is just being ``_written``; ``_writing``, the work of the thread; the ``_timer``
    until then; and the ``_loop`` whose it is.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = FILE_BYTES,
        delay: float = 0.05,
        now: Callable[[], float] = time.time,  # noqa: TID251  expiry means the same to other processes
    ) -> None:
        self.path = Path(path)
        if not self.path.parent.is_dir():
            raise ConfigError(f"cache: there is no folder {self.path.parent}; make it, or correct the path")
        if max_bytes < 1:
            raise ConfigError(f"max_bytes: expected 1 or more, got {max_bytes!r}")
        self.max_bytes = max_bytes
        self._delay = delay
        self._now = now
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._pending: dict[bytes, tuple[bytes, float] | None] = {}
        self._written: _Batch = {}
        self._writing: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def get(self, key: bytes, /) -> bytes | None:
        """What was put there last, by this process or another one; None if it isn't there."""
        for batch in (self._pending, self._written):
            if key in batch:
                entry = batch[key]
                return entry[0] if entry else None
        if self._reader is None:
            self._reader = self._open()
        found = self._reader.execute(_GET, (key,)).fetchone()
        return found[0] if found else None

    async def put(self, key: bytes, value: bytes, ttl: float, /) -> None:
        """Keep it: found at once, in the file a moment later."""
        self._later(key, (value, self._now() + ttl))

    async def delete(self, key: bytes, /) -> None:
        """Forget it, if it is there."""
        self._later(key, None)

    async def flush(self) -> None:
        """Write what is not written yet.

        Raises:
            sqlite3.Error: It could not be written.
        """
        self._here()
        while self._writing is not None or self._pending:
            if self._writing is None:
                self._flush()
            writing = self._writing
            assert writing is not None
            # Unlike awaiting it, this takes a turn even if it has just ended, so that _done can run.
            await asyncio.wait([writing])
            writing.result()

    async def aclose(self) -> None:
        """Write what is not written yet and close the file. Using the store again opens it again."""
        try:
            await self.flush()
        finally:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            for connection in (self._reader, self._writer):
                if connection is not None:
                    connection.close()
            self._reader = self._writer = None
            if self._thread is not None:
                self._thread.shutdown(wait=False)
                self._thread = None

    # --- on the loop --------------------------------------------------------------------------

    def _later(self, key: bytes, entry: tuple[bytes, float] | None) -> None:
        loop = self._here()
        self._pending[key] = entry
        if self._timer is None and self._writing is None:
            self._timer = loop.call_later(self._delay, self._flush)

    def _here(self) -> asyncio.AbstractEventLoop:
        """The running loop. What another one, which has ended, was to do is not waited for."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._timer, self._writing = loop, None, None
        return loop

    def _flush(self) -> None:
        """Give what is pending to the thread, unless it is at work: then it is given more afterwards."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None or not self._pending:
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "asyncapi cache")
        self._written, self._pending = self._pending, {}
        self._writing = asyncio.get_running_loop().run_in_executor(self._thread, self._write, self._written)
        self._writing.add_done_callback(self._done)

    def _done(self, writing: asyncio.Future[None]) -> None:
        self._writing, self._written = None, {}
        if self._pending and self._timer is None:
            self._timer = writing.get_loop().call_later(self._delay, self._flush)
        if not writing.cancelled() and (error := writing.exception()) is not None:
            writing.get_loop().call_exception_handler(
                {"message": f"the cache can't write to {self.path}", "exception": error}
            )

    # --- in the thread ------------------------------------------------------------------------

    def _write(self, batch: _Batch) -> None:
        if self._writer is None:
            self._writer = self._open()
        with self._writer as transaction:
            transaction.execute("BEGIN IMMEDIATE")
            transaction.execute(_EXPIRED, (self._now(),))
            transaction.executemany(_PUT, [(k, e[1], e[0]) for k, e in batch.items() if e is not None])
            transaction.executemany(_DELETE, [(key,) for key, entry in batch.items() if entry is None])
        self._shrink(self._writer)

    def _shrink(self, connection: sqlite3.Connection) -> None:
        """Drop the oldest tenth, as often as it takes."""
        while connection.execute(_PAGES).fetchone()[0] > self.max_bytes:
            first, last = connection.execute(_RANGE).fetchone()
            if first is None:
                return
            with connection:
                connection.execute(_OLDEST, (first + math.ceil((last - first + 1) / 10),))

    # --- both ---------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL, 0o600))
        connection = sqlite3.connect(self.path, timeout=5.0, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
        except sqlite3.DatabaseError as error:
            connection.close()
            if isinstance(error, sqlite3.OperationalError):
                raise  # locked, full, not writable
            raise ConfigError(f"{self.path} is no cache: choose another path ({error})") from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        owner = connection.execute("PRAGMA application_id").fetchone()[0]
        if owner != _APPLICATION and (owner or connection.execute(_ANY_TABLE).fetchone()):
            raise ConfigError(f"{self.path} is another program's database: choose another path")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # after a power cut the last answers may be gone
        connection.execute("PRAGMA cache_size = -16384")  # 16 MiB: with 2, an answer of 1 MB takes 7 ms
        if _layout(connection) == _LAYOUT:
            return
        with connection:
            connection.execute("BEGIN IMMEDIATE")  # another process may just be doing the same
            if _layout(connection) != _LAYOUT:
                for statement in _TABLES:
                    connection.execute(statement)


def _layout(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
