"""``asyncapi.toml``: found, read, and checked value by value.

::

    profile = "high-throughput"            # for all endpoints that name none

    [endpoints.openai-main]                # or [[endpoints]] with name = "openai-main"
    backend = "openai"
    limit   = 64
    retry   = { attempts = 7 }             # the profile's other retry values stay
    keys    = { strategy = "least_loaded", pool = [{ env = "OPENAI_KEY_A" }, { env = "OPENAI_KEY_B" }] }

    [routes.smart]                         # first that admits, then the next
    targets = ["openai-main:gpt-5", "claude:claude-sonnet-5"]

    [cache]                                # answers kept in a file
    store = "sqlite"
    path  = "answers.db"

    [prices]                               # per million tokens, to say what was saved
    "openai-main:gpt-5" = { input = 1.25, output = 10 }
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from asyncapi.config.cache import Cache, Price, SingleFlight
from asyncapi.config.fields import fields_of, shown
from asyncapi.config.layers import SECTIONS, FileEndpoint, Layer, lay, made, profile_layer, section, table_of
from asyncapi.config.profiles import profile as profile_named
from asyncapi.config.route import Route
from asyncapi.config.settings import Endpoint
from asyncapi.config.tables import Place, build, read_fields, read_value
from asyncapi.errors import ConfigError

__all__ = ["Settings", "find", "load", "read"]

FILE_NAME = "asyncapi.toml"


class Settings(msgspec.Struct, frozen=True):
    """What a file says. ``profile`` is for endpoints that name none; ``routes`` are by name.

    ``prices`` are by "endpoint:model" or route; ``cache`` and ``single_flight`` as in ``Client``.
    """

    endpoints: tuple[Endpoint, ...] = ()
    profile: str | None = None
    routes: Mapping[str, Route] = {}
    cache: Cache | None = None
    prices: Mapping[str, Price] = {}
    single_flight: SingleFlight | None = None


def find(start: str | os.PathLike[str] = ".", environment: Mapping[str, str] | None = None) -> Path | None:
    """The configuration file: ``$ASYNCAPI_CONFIG``, else ``asyncapi.toml`` in ``start``, else None.

    Args:
        start: The folder to look in; its parents are not searched.
        environment: Variables by name; None: those of this process.

    Raises:
        ConfigError: ``ASYNCAPI_CONFIG`` names no file.
    """
    named = (os.environ if environment is None else environment).get("ASYNCAPI_CONFIG", "").strip()
    if named:
        path = Path(named)
        if not path.is_file():
            raise ConfigError(f"ASYNCAPI_CONFIG: there is no file {named}; correct or unset the variable")
        return path
    path = Path(start) / FILE_NAME
    return path if path.is_file() else None


def load(path: str | os.PathLike[str]) -> Settings:
    """The settings in a TOML file.

    Raises:
        ConfigError: It can't be read, is not TOML, or a value is wrong: names file, path (line where
            the syntax is wrong), what was expected, and what it got unless that might be a secret.
    """
    import tomllib  # here, as most programs start without a file

    source = os.fspath(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{source}: there is no such file; create it or correct the path") from None
    except OSError as error:
        raise ConfigError(f"{source}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also integers of thousands of digits
        said = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "holds a value that is too large"
        raise ConfigError(f"{source}: is not valid TOML: {said}") from None
    return read(data, source)


def read(data: Mapping[str, Any], source: str = FILE_NAME) -> Settings:
    """The settings in tables as TOML gives them; ``source`` begins every message.

    Raises:
        ConfigError: As for ``load``.
    """
    place = Place(source)
    place.check_names(data, tuple(fields_of(Settings)))
    chosen = data.get("profile")
    profile = None if chosen is None else _profile_name(chosen, place.child("profile"))
    endpoints = tuple(_endpoints(data.get("endpoints", {}), place.child("endpoints"), profile))
    return Settings(
        endpoints,
        profile,
        _routes(data.get("routes", {}), place.child("routes")),
        _cache(data.get("cache"), place.child("cache")),
        _prices(data.get("prices", {}), place.child("prices")),
        read_value(data["single_flight"], SingleFlight, place.child("single_flight"))
        if "single_flight" in data
        else None,
    )


def _profile_name(chosen: object, place: Place) -> str:
    name = str(read_value(chosen, str, place))
    try:
        profile_named(name)
    except ConfigError as error:
        raise place.error(error.message) from None
    return name


def _endpoints(raw: object, place: Place, profile: str | None) -> Iterator[Endpoint]:
    seen: set[str] = set()
    for name, table, at in _named_tables(raw, place):
        endpoint = _endpoint(table, name, at, profile)
        effective = endpoint.name or endpoint.backend
        if effective in seen:
            raise at.error(f"a second endpoint named {effective}; give it a name of its own")
        seen.add(effective)
        yield endpoint


def _named_tables(raw: object, place: Place) -> Iterator[tuple[str | None, Mapping[str, Any], Place]]:
    """Each table with its name and place, from ``[endpoints.NAME]`` or ``[[endpoints]]``."""
    if not isinstance(raw, Mapping | list):
        raise place.error(f"expected tables [endpoints.NAME], got {shown(raw)}")
    named = isinstance(raw, Mapping)
    for key, table in raw.items() if isinstance(raw, Mapping) else enumerate(raw):
        at = place.child(str(key)) if named else place.item(int(key))
        if not isinstance(table, Mapping):
            raise at.error(f"expected a table, got {shown(table)}")
        if named and "name" in table:
            raise at.child("name").error("the table's own name is the endpoint's; take this one out")
        yield (str(key) if named else None), table, at


def _endpoint(raw: Mapping[str, Any], name: str | None, place: Place, default: str | None) -> FileEndpoint:
    given = read_fields(raw, Endpoint, place, partial=SECTIONS)
    if name is not None:
        given["name"] = name
    if "profile" in given:
        _profile_name(given["profile"], place.child("profile"))
    tables = table_of(given)
    base = profile_layer(profile_named(given.get("profile") or default or "balanced"))
    for field in SECTIONS.keys() & given.keys():
        whole = lay({field: base[field]}, {field: section(field, given[field])})
        struct, fields = made(field, cast(Layer, whole[field]))
        given[field] = build(struct, fields, place.child(field))
    original = build(Endpoint, given, place)
    return FileEndpoint(**given, place=str(place), tables=tables, original=original)


def _routes(raw: object, place: Place) -> dict[str, Route]:
    if not isinstance(raw, Mapping):
        raise place.error(f"expected tables [routes.NAME], got {shown(raw)}")
    routes: dict[str, Route] = {}
    for name, table in raw.items():
        at = place.child(name)
        if ":" in name or not name.strip():
            raise at.error("expected a name without a colon: names with one are endpoint:model")
        if not isinstance(table, Mapping):
            raise at.error(f'expected a table with targets = ["endpoint:model", ...], got {shown(table)}')
        routes[name] = build(Route, read_fields(table, Route, at), at)
    return routes


def _cache(raw: object, place: Place) -> Cache | None:
    if raw is None:
        return None
    if not isinstance(raw, Mapping):
        raise place.error(f'expected a table with store = "memory" or "sqlite", got {shown(raw)}')
    return build(Cache, read_fields(raw, Cache, place), place)


def _prices(raw: object, place: Place) -> dict[str, Price]:
    if not isinstance(raw, Mapping):
        raise place.error(f'expected a table of "endpoint:model" = {{ input, output }}, got {shown(raw)}')
    prices: dict[str, Price] = {}
    for name, table in raw.items():
        at = place.child(name)
        if not isinstance(table, Mapping):
            raise at.error(f"expected a table with input and output, got {shown(table)}")
        prices[name] = build(Price, read_fields(table, Price, at), at)
    return prices
