"""Newline-delimited JSON, read as the bytes arrive."""

from __future__ import annotations

from asyncapi.errors import DecodeError
from asyncapi.wire.sse import MAXIMUM, LineBreaks

__all__ = ["NDJSONReader"]


class NDJSONReader:
    """Cuts a stream into lines; empty ones are skipped.

    ``error`` is set, and nothing more is read, once a line exceeds 16 MiB.
    """

    __slots__ = ("_breaks", "_rest", "error")

    def __init__(self) -> None:
        self._breaks = LineBreaks()
        self._rest = bytearray()
        self.error: DecodeError | None = None

    @property
    def pending(self) -> bool:
        """Whether bytes of an unfinished line are held."""
        return bool(self._rest.strip())

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that these bytes complete."""
        if self.error is not None:
            return []
        data = self._breaks.feed(data)
        rest = self._rest
        if rest or not data.endswith(b"\n"):
            end = data.rfind(b"\n")
            if end < 0:
                rest += data
                data = b""
            else:
                rest += data[:end]
                data, rest[:] = bytes(rest), data[end + 1 :]
            if len(rest) > MAXIMUM:
                self._refuse(bytes(rest[:1024]))
        return self._lines(data)

    def close(self) -> list[bytes]:
        """What the stream's end leaves: at most one line, possibly cut."""
        data = bytes(self._rest)
        self._rest.clear()
        return self._lines(data) if self.error is None else []

    def _lines(self, data: bytes) -> list[bytes]:
        lines = [line for line in data.split(b"\n") if line and not line.isspace()]
        if len(data) > MAXIMUM and any(len(line) > MAXIMUM for line in lines):
            self._refuse(data[:1024])
            return []
        return lines

    def _refuse(self, start: bytes) -> None:
        self._rest.clear()
        self.error = DecodeError(f"a line of the stream exceeds {MAXIMUM} bytes", body=start)
