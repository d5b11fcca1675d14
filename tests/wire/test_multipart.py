"""Forms with files, read back by the standard library's parser."""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP
from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncapi.errors import ConfigError
from asyncapi.wire.multipart import Form


def raw_parts(form: Form) -> list[tuple[str, bytes]]:
    """Head and data of every part."""
    body, content_type = form.encode()
    boundary = content_type.partition("boundary=")[2].encode()
    first, *pieces, last = body.split(b"--" + boundary)
    assert (first, last) == (b"", b"--\r\n")
    parts = []
    for piece in pieces:
        head, _, data = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        parts.append((head.decode(), data.removesuffix(b"\r\n")))
    return parts


def fields(form: Form) -> list[tuple[str, str]]:
    """Name and text of every field."""
    return [(head.partition('name="')[2][:-1], data.decode()) for head, data in raw_parts(form)]


def test_a_form_is_what_other_parsers_read() -> None:
    """A text and a file."""
    form = Form()
    form.field("model", "whisper")
    form.file("file", b"RIFF\r\n\x00\xff", "a b.wav", "audio/wav")
    body, content_type = form.encode()
    message = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body
    )
    text, file = message.iter_parts()

    assert (text.get_param("name", header="content-disposition"), text.get_content()) == ("model", "whisper")
    assert (file.get_filename(), file.get_content_type()) == ("a b.wav", "audio/wav")
    assert file.get_payload(decode=True) == b"RIFF\r\n\x00\xff"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, []),
        ("a\nb", [("f", "a\nb")]),
        ("", [("f", "")]),
        (True, [("f", "true")]),
        (False, [("f", "false")]),
        (0, [("f", "0")]),
        (0.5, [("f", "0.5")]),
        (["word", "segment"], [("f[]", "word"), ("f[]", "segment")]),
        (("x",), [("f[]", "x")]),
        ([], []),
        ({"anchor": "created_at", "seconds": 3600}, [("f[anchor]", "created_at"), ("f[seconds]", "3600")]),
        ({"a": {"b": [1, 2]}}, [("f[a][b][]", "1"), ("f[a][b][]", "2")]),
    ],
)
def test_values_become_texts_and_nested_ones_get_brackets(value: Any, expected: Any) -> None:
    """Repeated fields and keys in brackets, as the services' own tools send them."""
    form = Form()
    form.field("f", value)

    assert fields(form) == expected


@pytest.mark.parametrize("value", [b"bytes", object(), {1, 2}, "\ud800", [object()]])
def test_what_is_no_text_is_refused(value: Any) -> None:
    """Rather than its repr sent."""
    with pytest.raises(ConfigError):
        Form().field("f", value)


@pytest.mark.parametrize("media_type", ["audio/wav\r\nX: y", "a\nb", "ä"])
def test_a_media_type_can_not_add_headers(media_type: str) -> None:
    """It comes from the caller."""
    with pytest.raises(ConfigError, match="media_type"):
        Form().file("f", b"", "f", media_type)


def test_names_are_escaped() -> None:
    """As browsers do it: quotes and line breaks can't end a header."""
    form = Form()
    form.field('a"\r\nb', "x")
    form.file("f", b"y", '"\r\n.wav', "audio/wav")

    assert [head for head, _ in raw_parts(form)] == [
        'Content-Disposition: form-data; name="a%22%0D%0Ab"',
        'Content-Disposition: form-data; name="f"; filename="%22%0D%0A.wav"\r\nContent-Type: audio/wav',
    ]


@given(
    st.lists(st.binary(max_size=30), max_size=3),
    st.lists(st.integers(0, 2), max_size=3, unique=True),
)
def test_the_boundary_is_in_no_part(files: list[bytes], known: list[int]) -> None:
    """Also where the parts hold boundaries that were seen before."""
    contents = [*files, b"--asyncapi-form-boundary--\r\n" * len(known)]
    contents += [
        blake2b(str(n).encode() + b"".join(contents), digest_size=16).hexdigest().encode() for n in known
    ]
    form = Form()
    for data in contents:
        form.file("f", data, "f", "audio/wav")

    assert [data for _, data in raw_parts(form)] == contents
    assert form.encode() == form.encode()
