"""Multipart forms, read by hand. Source: RFC 7578 and RFC 2046, section 5.1."""

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from asyncapi.emulator.exchange import Json

_BOUNDARY = re.compile(r'boundary="?([^";]+)"?', re.IGNORECASE)
_PARAMETER = re.compile(rb'\b(name|filename)="((?:[^"\\]|\\.)*)"')
_TYPE = re.compile(rb"content-type:[ \t]*([^\r\n]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file in a form."""

    filename: str
    content_type: str
    data: bytes

    @property
    def digest(self) -> str:
        """What stands for the file's content in records and answers."""
        return blake2b(self.data, digest_size=8).hexdigest()


def read_form(content_type: str, raw: bytes) -> Json | None:
    """The fields of a form, files as ``Upload``, fields named ``x[]`` as lists; None where it is no form."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        return None
    delimiter = b"\r\n--" + found[1].encode()
    first, *parts = (b"\r\n" + raw).split(delimiter)
    if first.strip() or not parts or not parts[-1].startswith(b"--"):
        return None
    fields: Json = {}
    for part in parts[:-1]:
        head, _, data = part.partition(b"\r\n\r\n")
        names = {word.decode(): value.decode("utf-8", "replace") for word, value in _PARAMETER.findall(head)}
        _put(fields, names.get("name", ""), _value(head, names.get("filename"), data))
    return fields


def _value(head: bytes, filename: str | None, data: bytes) -> str | Upload:
    if filename is None:
        return data.decode("utf-8", "replace")
    kind = _TYPE.search(head)
    return Upload(filename, kind[1].decode().strip() if kind else "application/octet-stream", data)


def _put(fields: Json, name: str, value: Any) -> None:
    if name.endswith("[]"):
        fields.setdefault(name, []).append(value)
    else:
        fields[name] = value
