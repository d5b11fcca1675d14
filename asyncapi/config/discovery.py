"""Which services the environment holds keys or URLs for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from asyncapi.config.environment import value_of
from asyncapi.config.keys import key_variables, resolve_keys
from asyncapi.config.resolve import service_url
from asyncapi.config.settings import Endpoint
from asyncapi.errors import ConfigError
from asyncapi.types.wire import Service

__all__ = ["Discovery", "discover", "survey"]


class Discovery(msgspec.Struct, frozen=True, kw_only=True):
    """What the environment holds for one service. Names only, no values: safe to print.

    ``variables`` are those seen, ``keys`` how many different keys they hold, ``problem`` what is wrong
    with them, ``remedy`` what to set when it was not found.
    """

    service: str
    found: bool
    variables: tuple[str, ...] = ()
    base_url: str = ""
    keys: int = 0
    problem: str = ""
    remedy: str = ""


def discover(services: Iterable[Service], environment: Mapping[str, str]) -> tuple[Endpoint, ...]:
    """An endpoint for each service whose key the environment holds, or its URL if it needs no key."""
    return tuple(Endpoint(row.service) for row in survey(services, environment) if row.found)


def survey(services: Iterable[Service], environment: Mapping[str, str]) -> tuple[Discovery, ...]:
    """One row for each service: what was found for it, what not, and what to set."""
    return tuple(_examine(service, environment) for service in services)


def _examine(service: Service, environment: Mapping[str, str]) -> Discovery:
    held = key_variables(service, environment)
    urls = tuple(name for name in service.url_env if value_of(name, environment))[:1]
    remedy = _remedy(service, has_key=bool(held), has_url=bool(urls))
    problems: list[str] = []
    keys, url = 0, ""
    try:
        keys = len(resolve_keys(None, service, environment)) if held else 0
    except ConfigError as error:
        problems.append(error.message)
    try:
        url = service_url(service, environment)
    except ConfigError as error:
        problems.append(error.message)
    return Discovery(
        service=service.name,
        found=not remedy,
        variables=held + urls,
        base_url=url,
        keys=keys,
        problem="; ".join(problems),
        remedy=remedy,
    )


def _remedy(service: Service, *, has_key: bool, has_url: bool) -> str:
    wanted: list[str] = []
    if service.needs_key and not has_key:
        wanted.append(" or ".join(service.key_env) or "keys of an Endpoint")
    if not has_url and not (service.needs_key and service.base_url):
        wanted.append(" or ".join(service.url_env) or "base_url of an Endpoint")
    return f"set {' and '.join(wanted)}" if wanted else ""
