"""The SSE reader: framing, whatever way the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncapi.wire import sse
from asyncapi.wire.sse import SSEReader

STREAM = (
    b": hello\n\n"
    b'data: {"a":1}\n\n'
    b'event: delta\ndata: {"b":"\xc3\xa9\xe4\xbd\xa0"}\n\n'
    b"data:no space\nid: 7\nretry: 10\ndata: two lines\n\n"
    b"data\n\n"
    b"event: named\nid: 9\ndata: x\n\n"
    b'{"error":"bare"}\n\n'
    b"data: [DONE]\n\n"
)
EVENTS = [
    ("", b'{"a":1}'),
    ("delta", b'{"b":"\xc3\xa9\xe4\xbd\xa0"}'),
    ("", b"no space\ntwo lines"),
    ("named", b"x"),
    ("error", b'{"error":"bare"}'),
    ("", b"[DONE]"),
]
BREAKS = [b"\n", b"\r", b"\r\n"]


def read(*pieces: bytes) -> list[tuple[str, bytes]]:
    """The events of these pieces, and of the stream's end."""
    reader = SSEReader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    return events + reader.close()


@pytest.mark.parametrize("line_break", BREAKS)
def test_every_line_break_gives_the_same_events(line_break: bytes) -> None:
    """LF, CR and CRLF are the same."""
    assert read(STREAM.replace(b"\n", line_break)) == EVENTS


@pytest.mark.parametrize("line_break", BREAKS)
def test_one_byte_at_a_time_gives_the_same_events(line_break: bytes) -> None:
    """Also where a piece ends between CR and LF, or within a character."""
    assert read(*(bytes([byte]) for byte in STREAM.replace(b"\n", line_break))) == EVENTS


@given(cuts=st.lists(st.integers(0, len(STREAM) * 2)), line_break=st.sampled_from(BREAKS))
def test_any_cuts_give_the_same_events(cuts: list[int], line_break: bytes) -> None:
    """Where the network cuts does not matter."""
    data = STREAM.replace(b"\n", line_break)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})

    assert read(*(data[a:b] for a, b in pairwise(places))) == EVENTS


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_garbage_never_raises(pieces: list[bytes]) -> None:
    """Any bytes are read as some events or none."""
    assert all(data for _, data in read(*pieces))


def test_an_event_is_delivered_with_its_blank_line_and_not_later() -> None:
    """A CR that may be half of a CRLF does not hold an event back."""
    reader = SSEReader()

    steps = [(reader.feed(piece), reader.pending) for piece in (b"data: 1\r\n\r", b"\ndata: 2\r", b"\n\r\n")]

    assert steps == [([("", b"1")], False), ([], True), ([("", b"2")], False)]


def test_a_byte_order_mark_is_skipped() -> None:
    """As the specification asks."""
    assert read(b"\xef\xbb\xbfdata: 1\n\n") == [("", b"1")]


def test_a_bare_error_line_before_data_comes_first() -> None:
    """A failure written into a stream by a server that forgot to frame it."""
    assert read(b'{"error":1}\ndata: 2\n\n') == [("error", b'{"error":1}'), ("", b"2")]


def test_an_unfinished_event_comes_at_the_close() -> None:
    """What to make of it is for the dialect to say."""
    reader = SSEReader()

    assert reader.feed(b"data: [DON") == []
    assert reader.close() == [("", b"[DON")]
    assert reader.close() == []


def test_an_event_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, and the events before it are delivered."""
    monkeypatch.setattr(sse, "MAXIMUM", 20)
    reader = SSEReader()

    assert reader.feed(b"data: 1\n\ndata: " + b"x" * 30) == [("", b"1")]
    assert reader.error is not None
    assert reader.feed(b"data: 2\n\n") == []
    assert reader.close() == []


def test_an_event_over_the_limit_in_one_piece_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit does not depend on how the bytes are cut; many small events are no large one."""
    monkeypatch.setattr(sse, "MAXIMUM", 20)
    small, large = SSEReader(), SSEReader()

    assert len(small.feed(b"data: 1\n\n" * 10)) == 10
    assert small.error is None
    assert large.feed(b"data: " + b"x" * 30 + b"\n\n") == []
    assert large.error is not None
