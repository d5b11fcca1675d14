"""What each setting accepts, in types and in words: one description for Python, TOML and environment.

The descriptions are ``msgspec.Meta`` annotations at the fields of the settings.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo, force_setattr

from asyncapi.config.secret import looks_secret
from asyncapi.errors import ConfigError

__all__ = [
    "Amount",
    "Count",
    "Hint",
    "Misfit",
    "Portion",
    "Positive",
    "Seconds",
    "SecondsOrZero",
    "Share",
    "accepts_none",
    "check_fields",
    "did_you_mean",
    "expected",
    "fields_of",
    "fit",
    "members",
    "origin_of",
    "quoted",
    "shown",
    "structs_in",
]

Hint: TypeAlias = Any  # a type, an alias or a union: Python has no narrower word for all three

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1, description="an integer of 1 or more")]
Amount: TypeAlias = Annotated[int, msgspec.Meta(ge=0, description="an integer of 0 or more")]
Positive: TypeAlias = Annotated[float, msgspec.Meta(gt=0, description="a number above 0")]
Share: TypeAlias = Annotated[float, msgspec.Meta(ge=0, description="a share of 0 or more")]
Portion: TypeAlias = Annotated[float, msgspec.Meta(gt=0, le=1, description="a share above 0, at most 1")]
Seconds: TypeAlias = Annotated[float, msgspec.Meta(gt=0, description="a number of seconds above 0")]
SecondsOrZero: TypeAlias = Annotated[
    float, msgspec.Meta(ge=0, description="a number of seconds of 0 or more")
]

_WORDS: Mapping[object, str] = {
    str: "a string",
    bool: "true or false",
    tuple: "an array",
}
_SECRET = frozenset({"base_url", "headers", "keys", "pool", "value"})  # their values are never repeated


class Misfit(ValueError):
    """A value that its setting does not accept. The message never holds the value."""


def fields_of(cls: type[msgspec.Struct]) -> Mapping[str, FieldInfo]:
    """A struct's fields by name, their types resolved."""
    return {field.name: field for field in _fields(cls)}


@cache
def _fields(cls: type[msgspec.Struct]) -> tuple[FieldInfo, ...]:
    return msgspec.structs.fields(cls)


def members(hint: Hint) -> tuple[Hint, ...]:
    """The alternatives of a union, or the type itself."""
    return get_args(hint) if origin_of(hint) in (Union, types.UnionType) else (hint,)


def accepts_none(hint: Hint) -> bool:
    """Whether None is among the alternatives."""
    return types.NoneType in members(hint)


def structs_in(hint: Hint) -> tuple[type[msgspec.Struct], ...]:
    """The structs among the alternatives."""
    return tuple(m for m in members(hint) if isinstance(m, type) and issubclass(m, msgspec.Struct))


def origin_of(hint: Hint) -> object:
    """What a generic type or alias is one of. (``get_origin``, which mypy narrows to ParamSpec here.)"""
    return get_origin(hint)


def expected(hint: Hint) -> str:
    """What a type accepts, in words."""
    said = (_described(member) for member in members(hint) if member is not types.NoneType)
    return " or ".join(dict.fromkeys(said))


def _described(hint: Hint) -> str:
    origin = origin_of(hint)
    if origin is Annotated:
        return str(get_args(hint)[1].description)
    if origin is Literal:
        values = [f'"{value}"' for value in get_args(hint)]
        return "one of " + ", ".join(values) if len(values) > 1 else values[0]
    if structs_in(hint):
        return f"{'an' if hint.__name__[0] in 'AEIOU' else 'a'} {hint.__name__} table"
    return _WORDS.get(origin or hint, str(hint))


def quoted(text: str) -> str:
    """A text in quotes, or its length when it might be a secret."""
    if looks_secret(text):
        return f"a string of {len(text)} characters"
    return '"' + text.encode("unicode_escape").decode().replace('"', '\\"') + '"'


def shown(value: object, field: str = "") -> str:
    """A value as messages show it: short, and without anything that might be a secret."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float() if field not in _SECRET and abs(value) < 1e18:
            return repr(value)
        case int() | float():
            return "a number"
        case str() if field not in _SECRET:
            return quoted(value)
        case str():
            return "a string"
        case None:
            return "nothing"
        case Mapping():
            return "a table"
        case list() | tuple():
            return "an array"
        case _:
            return f"a {type(value).__name__}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, else all of them."""
    import difflib  # here, as programs without mistakes start faster

    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near and len(names) > 8:  # too many to read
        return f'did you mean "{near[0]}"?'
    guess = f'did you mean "{near[0]}"? ' if near else ""
    return f"{guess}Known: {', '.join(names)}"


def fit(value: object, hint: Hint, *, field: str = "", strict: bool = True) -> Any:
    """The value as its type has it (an array as tuple, an integer as number).

    Raises:
        Misfit: It is not accepted; says what would be.
    """
    try:
        return msgspec.convert(value, hint, strict=strict)
    except (msgspec.ValidationError, OverflowError):
        # From None: the original message may hold the value.
        raise Misfit(f"expected {expected(hint)}, got {shown(value, field)}") from None


def check_fields(struct: msgspec.Struct, label: str) -> None:
    """Check every field of a struct made in Python, and keep each as its type has it.

    Raises:
        ConfigError: ``label.field: expected ..., got ...``.
    """
    for field in _fields(type(struct)):
        try:
            value = fit(getattr(struct, field.name), field.type, field=field.name)
        except Misfit as misfit:
            where = field.name if field.name == label else f"{label}.{field.name}"
            raise ConfigError(f"{where}: {misfit}") from None
        force_setattr(struct, field.name, value)
