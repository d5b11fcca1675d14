"""Bodies of forms with files.

Source: RFC 7578; WHATWG HTML, "Multipart form data", for the escapes in names.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from asyncapi.errors import ConfigError

__all__ = ["Form"]

_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
_BOUNDARY = b"asyncapi-form-boundary"


class Form:
    """A form on its way: fields and files in the order in which they were added.

    The body depends on nothing but what was added, so an attempt repeats it byte by byte.
    """

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[tuple[bytes, bytes]] = []

    def field(self, name: str, value: Any) -> None:
        """A text field; None adds nothing.

        A list repeats the field as ``name[]``, a mapping gives ``name[key]``: so the services want it.

        Raises:
            ConfigError: A value that has no text form.
        """
        if value is None:
            return
        if isinstance(value, Mapping):
            for key, inner in value.items():
                self.field(f"{name}[{key}]", inner)
        elif isinstance(value, list | tuple):
            for inner in value:
                self.field(f"{name}[]", inner)
        else:
            head = f'Content-Disposition: form-data; name="{name.translate(_ESCAPES)}"'
            self._parts.append((_bytes(head), _plain(name, value)))

    def file(self, name: str, data: bytes, filename: str, media_type: str) -> None:
        """A file.

        Raises:
            ConfigError: The media type can't stand in a header.
        """
        if not media_type.isascii() or not media_type.isprintable():
            raise ConfigError(f"media_type: expected something like audio/wav, got {media_type!r:.80}")
        names = f'name="{name.translate(_ESCAPES)}"; filename="{filename.translate(_ESCAPES)}"'
        head = f"Content-Disposition: form-data; {names}\r\nContent-Type: {media_type}"
        self._parts.append((_bytes(head), data))

    def encode(self) -> tuple[bytes, str]:
        """The body and its Content-Type."""
        boundary = self._boundary()
        pieces: list[bytes] = []
        for head, data in self._parts:
            pieces += (b"--", boundary, b"\r\n", head, b"\r\n\r\n", data, b"\r\n")
        pieces += (b"--", boundary, b"--\r\n")
        return b"".join(pieces), f"multipart/form-data; boundary={boundary.decode()}"

    def _boundary(self) -> bytes:
        """Bytes that occur in no part: a hash of the parts, where somebody wrote the usual ones into one."""
        boundary, number = _BOUNDARY, 0
        while any(boundary in head or boundary in data for head, data in self._parts):
            digest = blake2b(str(number).encode(), digest_size=16)
            for _, data in self._parts:
                digest.update(data)
            boundary, number = digest.hexdigest().encode(), number + 1
        return boundary


def _plain(name: str, value: Any) -> bytes:
    match value:
        case str():
            return _bytes(value)
        case bool():
            return b"true" if value else b"false"
        case int() | float():
            return str(value).encode()
    raise ConfigError(f"{name}: a form holds texts and numbers, got {type(value).__name__}")


def _bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"a form's text can't be written as UTF-8: {error.reason}") from None
