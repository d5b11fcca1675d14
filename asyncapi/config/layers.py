"""Which source wins: Python, then environment, then TOML, then the profile, value by value.

A layer is what one source says: settings of an endpoint by field, sections (``retry``, ``timeout``)
as tables that may be partial. Layers are laid over each other; only then are structs made of them,
so that ``retry = { attempts = 7 }`` in TOML leaves the profile's other retry values alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from asyncapi.config.fields import Hint, fields_of, members, structs_in
from asyncapi.config.profiles import Profile
from asyncapi.config.settings import Endpoint, KeyPool

__all__ = [
    "SCALARS",
    "SECTIONS",
    "SHORT",
    "FileEndpoint",
    "Layer",
    "file_layer",
    "lay",
    "profile_layer",
    "python_layer",
    "section",
    "table_of",
]

Layer: TypeAlias = Mapping[str, object]

SECTIONS: Mapping[str, type[msgspec.Struct]] = {
    name: structs[0]
    for name, field in fields_of(Endpoint).items()
    if name in fields_of(Profile) and (structs := structs_in(field.type))
}
"""The settings that are tables, and their structs."""

SHORT = frozenset(name for name in SECTIONS if len(members(fields_of(Endpoint)[name].type)) > 2)
"""The sections that have a short form, a bare value: neither their struct nor None."""

SCALARS: Mapping[str, Hint] = {
    name: field.type
    for name, field in {**fields_of(Endpoint), "strategy": fields_of(KeyPool)["strategy"]}.items()
    if name not in (*SECTIONS, "backend", "name", "base_url", "keys", "headers", "profile")
}
"""The settings that are single values, and their types. ``strategy`` stands in for ``keys.strategy``."""


class FileEndpoint(Endpoint, frozen=True, forbid_unknown_fields=True):
    """An endpoint that was read from TOML. Use it like any other.

    It remembers what the file said (``tables``), as whole values can't tell what was given from what
    was filled in, where it stood (``place``), and how it was read (``original``): a field that was
    replaced since then counts as given in Python.
    """

    place: str = ""
    tables: Mapping[str, Any] = {}
    original: Endpoint | None = None


def section(name: str, value: object) -> dict[str, object]:
    """A section as a table: a struct's fields; a bare value (``timeout=2.0``) stands for the first."""
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    return {next(iter(fields_of(SECTIONS[name]))): value}


def table_of(given: Mapping[str, object]) -> Layer:
    """The layer that these fields of an endpoint are."""
    layer: dict[str, object] = {}
    for name, value in given.items():
        if name in SECTIONS:
            layer[name] = section(name, value)
        elif name in SCALARS:
            layer[name] = value
        elif isinstance(value, KeyPool):
            layer["strategy"] = value.strategy
    return layer


def profile_layer(profile: Profile) -> Layer:
    """What a profile says, and what no profile changes."""
    rest: Layer = {"strict": False, "requests_per_second": None, "strategy": "round_robin"}
    return {**rest, **table_of({name: getattr(profile, name) for name in fields_of(Profile)})}


def file_layer(endpoint: Endpoint) -> Layer:
    """What the file says that an endpoint was read from."""
    return endpoint.tables if isinstance(endpoint, FileEndpoint) else {}


def python_layer(endpoint: Endpoint) -> Layer:
    """What was given in Python. A field at its default counts as not given."""
    before = endpoint.original if isinstance(endpoint, FileEndpoint) else None
    before = before or Endpoint(endpoint.backend)
    values = {name: getattr(endpoint, name) for name in fields_of(Endpoint)}
    return table_of({name: value for name, value in values.items() if value != getattr(before, name)})


def lay(*layers: Layer) -> Layer:
    """Layers over each other, the last on top, tables merged."""
    result: dict[str, object] = {}
    for layer in layers:
        for name, value in layer.items():
            below = result.get(name)
            both = isinstance(value, Mapping) and isinstance(below, Mapping)
            result[name] = {**below, **value} if both else value  # type: ignore[dict-item]
    return result
