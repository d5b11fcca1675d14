"""Texts with fields: ``"Translate {text} into {target[language]}"``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import Formatter
from typing import Any

import orjson

from asyncapi.errors import ConfigError

__all__ = ["MissingFieldError", "Template"]

_STEP = re.compile(r"\[([^\[\]]+)\]")


class MissingFieldError(ValueError):
    """A row lacks a field of the template; the text names it and those that exist."""


class Template:
    """A text whose ``{field}`` places are filled from a row.

    ``{{`` and ``}}`` are literal braces, ``{a[b]}`` and ``{a.b}`` reach into objects, ``{a[0]}`` into
    lists, ``{price:.2f}`` formats. A field that is no string is written as JSON. Attributes of Python
    objects are out of reach.

    Raises:
        ConfigError: The template can't be read.
    """

    def __init__(self, text: str, *, name: str = "prompt") -> None:
        self.text = text
        self._parts: list[tuple[str, str | None, str]] = []
        try:
            for literal, field, spec, conversion in Formatter().parse(text):
                if conversion is not None:
                    raise ValueError(f"!{conversion} after a field is not supported")
                if field == "":
                    raise ValueError("a place without a field name")
                self._parts.append((literal, field, spec or ""))
        except ValueError as error:
            raise ConfigError(
                f"{name}: {error} in {text!r}; a place is {{field}}, a literal brace is doubled"
            ) from error

    @property
    def fields(self) -> tuple[str, ...]:
        """The places, in order."""
        return tuple(field for _, field, _ in self._parts if field is not None)

    def render(self, row: Mapping[str, Any]) -> str:
        """The text filled from ``row``.

        Raises:
            MissingFieldError: A field that the row doesn't have, or a format that doesn't fit its value.
        """
        return "".join(
            literal if field is None else literal + _written(_value(row, field), spec, field)
            for literal, field, spec in self._parts
        )


def _value(row: Mapping[str, Any], field: str) -> Any:
    if field in row:
        return row[field]
    head, bracket, _ = field.partition("[")
    steps = [(key, f"[{key}]") for key in _STEP.findall(field)] if bracket else []
    if head not in row:
        head, *rest = head.split(".")
        steps = [(key, f".{key}") for key in rest] + steps
    if head not in row:
        raise MissingFieldError(f"no field {head!r}; the fields are: {_names(row)}")
    value, path = row[head], head
    for key, shown in steps:
        value = _item(value, key, path)
        path += shown
    return value


def _item(value: Any, key: str, path: str) -> Any:
    if isinstance(value, Mapping) and key in value:
        return value[key]
    if isinstance(value, list):
        if key.lstrip("-").isdigit() and -len(value) <= int(key) < len(value):
            return value[int(key)]
        raise MissingFieldError(f"no item {key} in {path!r}, a list of {len(value)}")
    if isinstance(value, Mapping):
        raise MissingFieldError(f"no field {key!r} in {path!r}; the fields are: {_names(value)}")
    raise MissingFieldError(f"no field {key!r} in {path!r}, which is no object: {value!r:.40}")


def _names(row: Mapping[str, Any]) -> str:
    names = [str(name) for name in row]
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "") or "none"


def _written(value: Any, spec: str, field: str) -> str:
    if spec:
        try:
            return format(value, spec)
        except (ValueError, TypeError) as error:
            raise MissingFieldError(f"{{{field}:{spec}}} can't format {value!r:.40}: {error}") from error
    return value if isinstance(value, str) else orjson.dumps(value).decode()
