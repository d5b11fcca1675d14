"""Rows of a JSONL or CSV file, gzipped or not, one at a time."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import msgspec
import orjson

from asyncapi.errors import ConfigError

__all__ = [
    "CsvSource",
    "JsonlSource",
    "LineError",
    "Row",
    "Source",
    "Survey",
    "open_source",
    "spool",
    "survey",
]

_BLOCK = 1 << 20
_BOM = b"\xef\xbb\xbf"
_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)


class LineError(ValueError):
    """A line that can't be sent; the text says why."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """One record: ``index`` from 0 among the records, ``line`` from 1 in the file, and its content."""

    index: int
    line: int
    content: bytes | list[str]


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an input before it is read: enough to recognise it and to size the index.

    ``lines`` is an upper bound of its rows. ``digest`` is of the content, uncompressed.
    """

    path: str
    size: int
    mtime_ns: int
    lines: int
    digest: str


class Source(Protocol):
    """A file as rows."""

    def __iter__(self) -> Iterator[Row]:
        """The rows from the start; may be called again."""
        ...

    def fields(self, row: Row, /) -> dict[str, Any]:
        """The row as an object.

        Raises:
            LineError: It is none.
        """
        ...


class JsonlSource:
    """One JSON object a line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Row]:
        index = 0
        with _opened(self._path) as file:
            for line, content in enumerate(file, 1):
                if line == 1:
                    content = content.removeprefix(_BOM)
                if content.strip():
                    yield Row(index, line, content)
                    index += 1

    def fields(self, row: Row, /) -> dict[str, Any]:
        """The line's JSON object."""
        try:
            value = orjson.loads(cast(bytes, row.content))
        except orjson.JSONDecodeError as error:
            raise LineError(f"not JSON: {error}") from None
        if not isinstance(value, dict):
            raise LineError(f"expected a JSON object, got {cast(bytes, row.content).strip()!r:.60}")
        return value


class CsvSource:
    """Comma-separated values under a header line; a quoted field may hold line breaks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.header: list[str] = []

    def __iter__(self) -> Iterator[Row]:
        csv.field_size_limit(max(csv.field_size_limit(), 1 << 30))  # prompts are longer than 128 KiB
        with _opened(self._path) as file:
            text = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="")
            reader = csv.reader(text, strict=False)
            self.header = next(reader, [])
            index, line = 0, reader.line_num + 1
            for content in reader:
                if content:
                    yield Row(index, line, content)
                    index += 1
                line = reader.line_num + 1

    def fields(self, row: Row, /) -> dict[str, Any]:
        """The record under the names of the header."""
        values = cast(list[str], row.content)
        if len(values) != len(self.header):
            raise LineError(f"{len(values)} columns, but the header has {len(self.header)}")
        try:
            "".join(values).encode()
        except UnicodeEncodeError:
            raise LineError("not UTF-8") from None
        return dict(zip(self.header, values, strict=True))


def open_source(path: Path, form: str) -> Source:
    """The reader for a file: by ``form`` ("jsonl", "csv"), or by its name ("auto")."""
    if form == "auto":
        form = "csv" if path.name.removesuffix(".gz").endswith(".csv") else "jsonl"
    return CsvSource(path) if form == "csv" else JsonlSource(path)


def survey(
    path: Path, *, known: Survey | None = None, cancelled: Callable[[], bool] = lambda: False
) -> Survey:
    """Read a file once, in constant memory, to count its lines and take its digest.

    A file that looks the same as in ``known`` (path, size, time of its last change) is not read again.

    Raises:
        ConfigError: It can't be read.
        InterruptedError: ``cancelled()`` turned true meanwhile.
    """
    try:
        status = path.stat()
        if known and (str(path), status.st_size, status.st_mtime_ns) == (
            known.path,
            known.size,
            known.mtime_ns,
        ):
            return known
        lines, digest = _counted(path, cancelled)
    except _DAMAGED as error:
        raise ConfigError(f"{path} is a damaged gzip file: {error}") from error
    except InterruptedError:
        raise
    except OSError as error:
        raise ConfigError(f"can't read {path}: {error.strerror or error}") from error
    return Survey(
        path=str(path), size=status.st_size, mtime_ns=status.st_mtime_ns, lines=lines, digest=digest
    )


def _counted(path: Path, cancelled: Callable[[], bool]) -> tuple[int, str]:
    digest, lines, last = hashlib.blake2b(digest_size=16), 0, b""
    with _opened(path) as file:
        while block := file.read(_BLOCK):
            if cancelled():
                raise InterruptedError("stopped while reading the input")
            digest.update(block)
            # A lone carriage return ends a CSV record too; one too many does no harm.
            lines += block.count(b"\n") + block.count(b"\r") - block.count(b"\r\n")
            last = block[-1:]
    return lines + (last not in (b"", b"\n")), digest.hexdigest()


def spool(
    target: Path, stream: BinaryIO | None = None, *, cancelled: Callable[[], bool] = lambda: False
) -> None:
    """Copy standard input to ``target``, so that it can be counted, read again and recognised.

    Raises:
        ConfigError: The disk is full.
        InterruptedError: ``cancelled()`` turned true meanwhile.
    """
    source = stream or sys.stdin.buffer
    try:
        with target.open("wb") as file:
            while block := source.read(_BLOCK):
                if cancelled():
                    raise InterruptedError("stopped while reading standard input")
                file.write(block)
    except InterruptedError:
        raise
    except OSError as error:
        raise ConfigError(f"can't copy standard input to {target}: {error.strerror or error}") from error


def _opened(path: Path) -> BinaryIO:
    """The uncompressed bytes, whatever the file is called: gzip is known by its first two bytes."""
    file = path.open("rb", buffering=_BLOCK)
    if file.read(2) != b"\x1f\x8b":
        file.seek(0)
        return file
    file.close()
    return cast(BinaryIO, gzip.open(path, "rb"))
