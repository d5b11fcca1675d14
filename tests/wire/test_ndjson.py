"""The NDJSON reader: lines, whatever way the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncapi.wire import ndjson
from asyncapi.wire.ndjson import NDJSONReader

STREAM = b'{"a":1}\n\n{"b":"\xc3\xa9"}\n{"done":true}\n'
LINES = [b'{"a":1}', b'{"b":"\xc3\xa9"}', b'{"done":true}']


def read(*pieces: bytes) -> list[bytes]:
    """The lines of these pieces, and of the stream's end."""
    reader = NDJSONReader()
    lines = [line for piece in pieces for line in reader.feed(piece)]
    return lines + reader.close()


@pytest.mark.parametrize("line_break", [b"\n", b"\r", b"\r\n"])
def test_every_line_break_and_single_bytes_give_the_same_lines(line_break: bytes) -> None:
    """LF, CR and CRLF, whole and byte by byte."""
    data = STREAM.replace(b"\n", line_break)

    assert read(data) == LINES
    assert read(*(bytes([byte]) for byte in data)) == LINES


@given(st.lists(st.sampled_from([b"a", b"\n", b"\r", b"bc\nd", b" "]), max_size=12))
def test_any_pieces_give_the_lines_of_the_whole(pieces: list[bytes]) -> None:
    """Where the network cuts does not matter."""
    assert read(*pieces) == read(b"".join(pieces))


def test_an_unfinished_line_comes_at_the_close() -> None:
    """It may be cut, or only miss its line break."""
    reader = NDJSONReader()

    assert reader.feed(b'{"a":1}\n{"b"') == [b'{"a":1}']
    assert reader.pending
    assert reader.close() == [b'{"b"']
    assert not reader.pending


def test_a_line_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """In pieces as well as whole."""
    monkeypatch.setattr(ndjson, "MAXIMUM", 20)
    pieces, whole = NDJSONReader(), NDJSONReader()

    assert pieces.feed(b"1\n" + b"x" * 30) == [b"1"]
    assert pieces.error is not None
    assert (pieces.feed(b"2\n"), pieces.close()) == ([], [])
    assert whole.feed(b"x" * 30 + b"\n") == []
    assert whole.error is not None
