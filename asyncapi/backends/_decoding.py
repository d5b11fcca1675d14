"""What several translators need on the way back: counts, times and vectors, checked."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from asyncapi.errors import DecodeError
from asyncapi.types.responses import Token

__all__ = ["count", "digits", "header_count", "seconds", "tokens", "vectors"]


def count(value: Any) -> int | None:
    """A number of tokens, None for everything that is none: absent is not zero."""
    return value if type(value) is int and value >= 0 else None


def digits(text: Any) -> int | None:
    """The number that a text of digits means, None for everything else."""
    plain = isinstance(text, str) and len(text) < 16 and text.isascii() and text.isdigit()
    return int(text) if plain else None


def header_count(headers: Mapping[str, str], name: str) -> int | None:
    """A number of tokens in a header."""
    return digits(headers.get(name))


def seconds(value: Any) -> float | None:
    """Unix time of an RFC 3339 text, None for everything else."""
    try:
        return datetime.fromisoformat(value).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def vectors(values: list[Any], expected: int, service: str) -> tuple[array[float], ...]:
    """One vector for each text, all of one dimension.

    Raises:
        DecodeError: They are not.
    """
    if len(values) != expected:
        raise DecodeError(f"{service} answered {len(values)} vectors for {expected} texts")
    try:
        found = tuple([array("f", value) for value in values])
    except (TypeError, OverflowError, ValueError) as error:
        raise DecodeError(f"{service} answered a vector that can't be read: {error}") from error
    dimensions = {len(vector) for vector in found}
    if len(dimensions) > 1 or 0 in dimensions:
        raise DecodeError(f"{service} answered vectors of dimensions {sorted(dimensions)}")
    return found


def tokens(entries: Any, service: str) -> tuple[Token, ...]:
    """The tokens of one text, as the servers of Hugging Face write them.

    Raises:
        DecodeError: They are none.
    """
    if not isinstance(entries, list):
        raise DecodeError(f"{service}: the tokens are not a list: {entries!r:.200}")
    return tuple([_token(entry, service) for entry in entries])


def _token(entry: Any, service: str) -> Token:
    match entry:
        case {"id": int(ident)} if type(ident) is int:
            text = entry.get("text")
            return Token(
                id=ident,
                text=text if isinstance(text, str) else None,
                start=count(entry.get("start")),
                stop=count(entry.get("stop")),
                special=entry.get("special") is True,
            )
    raise DecodeError(f"{service}: a token of an unexpected shape: {entry!r:.200}")
