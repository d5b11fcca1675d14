"""From the tables of a TOML file to structs, with errors that name the place."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, TypeVar, get_args

import msgspec

from asyncapi.config.fields import (
    Hint,
    Misfit,
    accepts_none,
    did_you_mean,
    expected,
    fields_of,
    fit,
    members,
    origin_of,
    quoted,
    shown,
    structs_in,
)
from asyncapi.config.layers import kind_of
from asyncapi.config.secret import looks_secret
from asyncapi.errors import ConfigError

__all__ = ["Place", "build", "read_fields", "read_value"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LABELS = {
    "AIMD": "limit",
    "Fixed": "limit",
    "KeyPool": "keys",
}  # as the structs call themselves in their messages
_S = TypeVar("_S", bound=msgspec.Struct)


class Place(msgspec.Struct, frozen=True):
    """Where in which file: ``asyncapi.toml: endpoints.openai-main.limit``."""

    source: str
    path: str = ""

    def child(self, name: str) -> Place:
        """The place of a key in the table here."""
        shown_name = name if _BARE.fullmatch(name) else quoted(name)
        return Place(self.source, f"{self.path}.{shown_name}" if self.path else shown_name)

    def item(self, index: int) -> Place:
        """The place of an item, counted from 0, in the array here."""
        return Place(self.source, f"{self.path}[{index}]")

    def error(self, problem: str) -> ConfigError:
        """What to raise for a problem here."""
        return ConfigError(f"{self}: {problem}")

    def check_names(self, table: Iterable[str], known: Collection[str]) -> None:
        """Refuse unknown keys in the table here.

        Raises:
            ConfigError: There is one; the message has the nearest known one.
        """
        for name in table:
            if name not in known and looks_secret(name):
                raise self.error(f"unknown key, {quoted(name)}; {did_you_mean(name, known)}")
            if name not in known:
                raise self.child(name).error(f"unknown key; {did_you_mean(name, known)}")

    def __str__(self) -> str:
        return f"{self.source}: {self.path}" if self.path else self.source


def read_value(raw: object, hint: Hint, place: Place) -> Any:
    """A value, read as its setting's type has it, tables and arrays of tables as structs.

    Raises:
        ConfigError: It is not accepted.
    """
    structs = structs_in(hint)
    if isinstance(raw, Mapping) and structs:
        struct = _meant(raw, structs, place)
        return build(struct, read_fields(raw, struct, place), place)
    item = _item_type(hint)
    if isinstance(raw, list) and item is not None:
        return tuple(read_value(value, item, place.item(n)) for n, value in enumerate(raw))
    if raw == "none" and accepts_none(hint) and float in map(_bare, members(hint)):
        return None
    try:
        return fit(raw, hint, field=_field(place))
    except Misfit as misfit:
        raise place.error(str(misfit)) from None


def read_fields(
    raw: Mapping[str, object], cls: type[msgspec.Struct], place: Place, partial: Collection[str] = ()
) -> dict[str, Any]:
    """The fields of a struct that a table gives, each checked alone.

    Those in ``partial`` stay tables (checked too), to be laid over others later.

    Raises:
        ConfigError: A key is unknown or missing, or a value is not accepted.
    """
    fields = fields_of(cls)
    tag = cls.__struct_config__.tag_field
    place.check_names(raw, (*fields, tag) if tag else tuple(fields))
    for name, field in fields.items():
        if field.required and name not in raw:
            raise place.error(f"{name} is missing; add {name} = ... ({expected(field.type)})")
    values: dict[str, Any] = {}
    for name, value in raw.items():
        at = place.child(name)
        if name == tag:
            continue  # it chose the struct
        if name in partial and isinstance(value, Mapping):
            struct = _meant(value, structs_in(fields[name].type), at)
            values[name] = {**kind_of(struct), **read_fields(value, struct, at)}
        else:
            values[name] = read_value(value, fields[name].type, at)
    return values


def build(cls: type[_S], values: Mapping[str, Any], place: Place) -> _S:
    """A struct of values that were read.

    Raises:
        ConfigError: They don't fit together.
    """
    try:
        return cls(**values)
    except ConfigError as error:
        label = _LABELS.get(cls.__name__, cls.__name__.lower())
        raise ConfigError(f"{place}{_after(label, error.message)}") from None


def _after(label: str, message: str) -> str:
    """A struct's own message without its label, as the place says where it is."""
    rest = message.removeprefix(label)
    return rest if rest != message and rest[0] in ".:" else f": {message}"


def _meant(
    raw: Mapping[str, object], structs: tuple[type[msgspec.Struct], ...], place: Place
) -> type[msgspec.Struct]:
    """Which struct a table is for: the one that its ``kind`` names, else the first with all of its keys."""
    tag = structs[0].__struct_config__.tag_field
    if tag is None:
        return structs[0]
    if tag in raw:
        kinds = [struct for struct in structs if struct.__struct_config__.tag == raw[tag]]
        if not kinds:
            known = " or ".join(f'"{struct.__struct_config__.tag}"' for struct in structs)
            raise place.child(tag).error(f"expected {known}, got {shown(raw[tag])}")
        return kinds[0]
    return next((s for s in structs if fields_of(s).keys() >= raw.keys()), structs[0])


def _bare(hint: Hint) -> Hint:
    return get_args(hint)[0] if origin_of(hint) is Annotated else hint


def _item_type(hint: Hint) -> Hint | None:
    """What an array of this type holds, None when the type accepts no array."""
    arrays = (_bare(member) for member in members(hint))
    return next((get_args(array)[0] for array in arrays if origin_of(array) is tuple), None)


def _field(place: Place) -> str:
    """The field that a place is in: its last name, without the index of an array's item."""
    return re.sub(r"\[[0-9]+\]$", "", place.path).rpartition(".")[2]
