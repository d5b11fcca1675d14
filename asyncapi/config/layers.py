"""Which source wins: Python, then environment, then TOML, then the profile, value by value.

A layer is what one source says: settings of an endpoint by field, sections (``retry``, ``timeout``)
as tables that may be partial. Layers are laid over each other; only then are structs made of them,
so that ``retry = { attempts = 7 }`` in TOML leaves the profile's other retry values alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any, TypeAlias, Union

import msgspec

from asyncapi.config.fields import Hint, fields_of, members, structs_in
from asyncapi.config.profiles import Profile
from asyncapi.config.settings import AIMD, Endpoint, KeyPool

__all__ = [
    "SCALARS",
    "SECTIONS",
    "SHORT",
    "FileEndpoint",
    "Layer",
    "file_layer",
    "kind_of",
    "lay",
    "made",
    "profile_layer",
    "python_layer",
    "section",
    "table_of",
]

Layer: TypeAlias = Mapping[str, object]

SECTIONS: Mapping[str, tuple[type[msgspec.Struct], ...]] = {
    name: structs
    for name, field in fields_of(Endpoint).items()
    if name in fields_of(Profile) and (structs := structs_in(field.type))
}
"""The settings that are tables, and their structs: several where there are several kinds."""

SHORT: Mapping[str, Hint] = {
    name: Union[bare]  # noqa: UP007  of types known only here
    for name, structs in SECTIONS.items()
    if (bare := tuple(m for m in members(fields_of(Endpoint)[name].type) if m not in (*structs, NoneType)))
}
"""The sections that have a short form, a bare value, and its type."""

SCALARS: Mapping[str, Hint] = {
    name: field.type
    for name, field in {**fields_of(Endpoint), "strategy": fields_of(KeyPool)["strategy"]}.items()
    if name not in (*SECTIONS, "backend", "name", "base_url", "keys", "headers", "tenants", "profile")
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
    """A section as a table: a struct's fields; a bare value (``timeout=2.0``) stands for the first.

    A section of several kinds says in ``kind`` which it is.
    """
    if isinstance(value, msgspec.Struct):
        return {**kind_of(type(value)), **msgspec.structs.asdict(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if value == "adaptive":
        return {**kind_of(AIMD)}
    first = SECTIONS[name][0]
    return {**kind_of(first), next(iter(fields_of(first))): value}


def kind_of(struct: type[msgspec.Struct]) -> Layer:
    """What tells this struct's table from those of its section's other kinds; nothing where it is alone."""
    config = struct.__struct_config__
    return {config.tag_field: config.tag} if config.tag_field else {}


def made(name: str, table: Layer) -> tuple[type[msgspec.Struct], dict[str, Any]]:
    """The struct that a section's whole table is for, and its fields."""
    for struct in SECTIONS[name]:
        kind = kind_of(struct)
        if kind.items() <= table.items():
            return struct, {field: value for field, value in table.items() if field not in kind}
    raise AssertionError(f"{name} of an unknown kind: {table}")


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
    rest: Layer = {"strict": False, "requests_per_second": None, "hedge": None, "strategy": "round_robin"}
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
    """Layers over each other, the last on top, tables of the same kind merged."""
    result: dict[str, object] = {}
    for layer in layers:
        for name, value in layer.items():
            below = result.get(name)
            if isinstance(value, Mapping) and isinstance(below, Mapping):
                value = {**below, **value} if value.get("kind") == below.get("kind") else value
            result[name] = value
    return result
