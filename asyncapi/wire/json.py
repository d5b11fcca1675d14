"""JSON in and out, with errors that say whose text could not be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from asyncapi.errors import ConfigError, DecodeError
from asyncapi.wire.masking import excerpt

__all__ = ["HEADERS", "dumps", "loads", "loads_object", "merge"]

#: The headers of a JSON body, one object for every request.
HEADERS: Mapping[str, str] = {"Content-Type": "application/json"}

_HTML = (b"<!doctype", b"<html", b"<head", b"<body")


def loads(body: bytes, service: str) -> Any:
    """The JSON value of a reply's body.

    Raises:
        DecodeError: It is not JSON; the message has the service and the start of the body.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise DecodeError(f"{service} answered {_what(body)}", body=body) from None


def loads_object(body: bytes, service: str) -> dict[str, Any]:
    """The JSON object of a reply's body.

    Raises:
        DecodeError: It is not a JSON object.
    """
    value = loads(body, service)
    if type(value) is not dict:
        raise DecodeError(f"{service} answered JSON that is not an object: {excerpt(body, 200)}", body=body)
    return value


def _what(body: bytes) -> str:
    start = body[:64].lstrip().lower()
    if not start and not body.strip():
        return "an empty body where JSON was expected"
    kind = "an HTML page" if start.startswith(_HTML) else "something"
    return f"{kind} that is not JSON: {excerpt(body, 200)}"


def dumps(value: Any, service: str) -> bytes:
    """The value as JSON.

    Raises:
        ConfigError: It holds something that JSON can't express.
    """
    try:
        return orjson.dumps(value, default=_plain)
    except orjson.JSONEncodeError as error:
        raise ConfigError(f"the request to {service} can't be written as JSON: {error}") from None


def _plain(value: object) -> object:
    """Mappings that are not dictionaries, such as read-only views."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a JSON type")


def merge(base: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``extra`` merged in: objects key by key, everything else replaced. Neither is changed."""
    merged = dict(base)
    for key, value in extra.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return merged
