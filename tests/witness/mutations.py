"""Damage to answers: of bytes, of lines, of JSON; and changes of framing that must change nothing."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable
from typing import Any, TypeAlias

Mutator: TypeAlias = Callable[[bytes, random.Random], bytes]

#: Bytes that parsers trip over.
TOKENS = (
    b"",
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\r",
    b"\n",
    b"\n\n",
    b"\r\n\r\n",
    b"data: ",
    b"data: [DONE]\n\n",
    b"data: {}\n\n",
    b"data: null\n\n",
    b"data: []\n\n",
    b"event: error\n",
    b'{"error": {"message": "x", "code": 7}}\n',
    b"null",
    b"NaN",
    b"1e999",
    b'"',
    b"{",
    b"}",
    b"[" * 300,
    b"\\ud800",
    b"b'",
    b"<html><body>502</body></html>",
)
#: Values that no answer has where they will be put.
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    7,
    2**31,
    2**63,
    -(2**63) - 1,
    10**40,
    0.5,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\ud800",
    "\x00",
    "-1",
    "ü🙂" * 3,
    [],
    {},
    [None],
    [[]],
    [{}],
    {"a": 1},
    {"": None},
    ["x"],
    [1.5],
    {"error": "x"},
    {"error": {"message": None, "type": 5}},
)


def flip(data: bytes, chance: random.Random) -> bytes:
    """A byte changed."""
    at = chance.randrange(len(data))
    return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]


def delete(data: bytes, chance: random.Random) -> bytes:
    """A piece lost."""
    start, end = _span(data, chance)
    return data[:start] + data[end:]


def double(data: bytes, chance: random.Random) -> bytes:
    """A piece twice."""
    start, end = _span(data, chance)
    return data[:end] + data[start:]


def insert(data: bytes, chance: random.Random) -> bytes:
    """Bytes that don't belong."""
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.choice(TOKENS) + data[at:]


def lines(data: bytes, chance: random.Random) -> bytes:
    """A line lost, doubled or elsewhere."""
    rows = data.splitlines(keepends=True)
    at = chance.randrange(len(rows))
    row = rows.pop(at)
    match chance.randrange(3):
        case 0:
            rows.insert(chance.randrange(len(rows) + 1), row)
        case 1:
            rows[at:at] = [row, row]
    return b"".join(rows)


def events(data: bytes, chance: random.Random) -> bytes:
    """An event lost, doubled or elsewhere."""
    blocks = data.split(b"\n\n")
    at = chance.randrange(len(blocks))
    block = blocks.pop(at)
    match chance.randrange(3):
        case 0:
            blocks.insert(chance.randrange(len(blocks) + 1), block)
        case 1:
            blocks[at:at] = [block, block]
    return b"\n\n".join(blocks)


def values(data: bytes, chance: random.Random) -> bytes:
    """One to three values of the JSON, or of one line's JSON, replaced, lost, doubled or renamed."""
    rows = data.split(b"\n")
    places = [place for place, row in enumerate(rows) if b"{" in row or b"[" in row]
    if not places:
        return flip(data, chance)
    at = chance.choice(places)
    start = rows[at].index(b"data:") + 5 if rows[at].startswith(b"data:") else 0
    try:
        value = json.loads(rows[at][start:])
    except ValueError:
        try:
            value, rows, at, start = json.loads(data), [data], 0, 0
        except ValueError:
            return insert(data, chance)
    for _ in range(chance.randint(1, 3)):
        value = changed(value, chance)
    rows[at] = rows[at][:start] + json.dumps(value, ensure_ascii=True).encode()
    return b"\n".join(rows)


def changed(value: Any, chance: random.Random) -> Any:
    """A copy with something else at a random place, the deeper places as likely as the others."""
    if not isinstance(value, dict | list) or not value or chance.random() < 0.15:
        return chance.choice(VALUES)
    if isinstance(value, dict):
        key = chance.choice(list(value))
        match chance.randrange(8):
            case 0:
                return {name: inner for name, inner in value.items() if name != key}
            case 1:
                return {name if name != key else "other": inner for name, inner in value.items()}
        return {**value, key: changed(value[key], chance)}
    at = chance.randrange(len(value))
    match chance.randrange(8):
        case 0:
            return value[:at] + value[at + 1 :]
        case 1:
            return [*value, value[at]]
        case 2:
            return value[::-1]
    return [*value[:at], changed(value[at], chance), *value[at + 1 :]]


#: Any damage at all: an answer that is whole in itself, or an error.
DAMAGE: tuple[Mutator, ...] = (flip, delete, double, insert, lines, events, values, values, values, values)


def cut(data: bytes, chance: random.Random) -> bytes:
    """The beginning only."""
    return data[: chance.randrange(len(data))]


def reframed_stream(data: bytes, chance: random.Random) -> bytes:
    """The same events with other line ends, and comments between them."""
    ends = chance.choice((b"\n", b"\r\n", b"\r"))
    blocks = data.split(b"\n\n")
    with_comments = b"\n\n".join(
        b": ping\n\n" + block if block and chance.random() < 0.2 else block for block in blocks
    )
    return with_comments.replace(b"\n", ends)


def reframed_lines(data: bytes, chance: random.Random) -> bytes:
    """The same lines of JSON, written otherwise."""
    return b"".join(
        json.dumps(json.loads(row), ensure_ascii=chance.random() < 0.5).encode()
        + chance.choice((b"\n", b"\r\n", b"\n\n"))
        for row in data.splitlines()
        if row.strip()
    )


def reframed_json(data: bytes, chance: random.Random, *, unknown: bool) -> bytes:
    """The same JSON with other spaces and escapes, and an ``unknown`` field."""
    value = json.loads(data)
    if unknown and isinstance(value, dict) and chance.random() < 0.3:
        value = {**value, "x_unknown_" + chance.choice(string.ascii_letters): 1}
    indent = chance.choice((None, 1, 4, "\t"))
    made = json.dumps(value, ensure_ascii=chance.random() < 0.5, indent=indent).encode()
    return chance.choice((b"", b" ", b"\n\n")) + made + chance.choice((b"", b"\r\n", b" "))


def pieces(data: bytes, chance: random.Random) -> list[bytes]:
    """The data as chunks of random sizes; now and then single bytes."""
    if chance.random() < 0.02:
        return [data[at : at + 1] for at in range(len(data))]
    found = []
    while data:
        size = chance.choice((1, 7, 64, 512, 4096))
        found.append(data[:size])
        data = data[size:]
    return found


def _span(data: bytes, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(data))
    return start, min(len(data), start + 1 + int(chance.expovariate(0.05)))
