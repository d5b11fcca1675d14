"""From an endpoint as it was written to one with every value concrete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from asyncapi.config.environment import overrides, profile_variable, scope, used, value_of
from asyncapi.config.fields import Misfit
from asyncapi.config.keys import ResolvedKey, resolve_keys
from asyncapi.config.layers import (
    SECTIONS,
    FileEndpoint,
    Layer,
    file_layer,
    lay,
    made,
    profile_layer,
    python_layer,
)
from asyncapi.config.profiles import Profile
from asyncapi.config.profiles import profile as profile_named
from asyncapi.config.settings import (
    AIMD,
    Batch,
    Breaker,
    Endpoint,
    Fixed,
    Hedge,
    KeyStrategy,
    OnOpen,
    Retry,
    Shed,
    Timeout,
)
from asyncapi.config.urls import base_url
from asyncapi.errors import ConfigError
from asyncapi.types.wire import Service

__all__ = ["Resolved", "resolve", "service_url"]


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint with every value concrete. The fields mean what they mean in ``Endpoint``.

    ``base_url`` has no slash at its end; ``profile`` is the one that filled in what nobody said.
    """

    name: str
    backend: str
    base_url: str
    keys: tuple[ResolvedKey, ...]
    strategy: KeyStrategy
    limit: Fixed | AIMD
    queue_size: int
    strict: bool
    retry: Retry
    breaker: Breaker
    batch: Batch
    timeout: Timeout
    headers: Mapping[str, str]
    tenants: Mapping[str, float]
    requests_per_second: float | None
    on_open: OnOpen
    hedge: Hedge | None
    shed: Shed
    profile: str

    def __repr__(self) -> str:
        return f"Resolved({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """All fields, header values hidden."""
        values = msgspec.structs.asdict(self)
        return [*(values | {"headers": dict.fromkeys(self.headers, "***")}).items()]


def resolve(
    endpoint: Endpoint, service: Service, *, profile: str, environment: Mapping[str, str]
) -> Resolved:
    """Every value of an endpoint, from the first that gives it: Python, environment, TOML, profile.

    A value in Python is explicit when it differs from the field's default; a struct given in Python
    (``Retry(attempts=7)``) is explicit as a whole, a table in TOML only in what it holds.

    Args:
        endpoint: As written in Python or read by ``load``.
        service: What is known of the backend: where its keys and URL are found, whether it needs them.
        profile: Used where neither endpoint nor environment (``ASYNCAPI_PROFILE``) name one. To put a
            profile above the environment, set ``Endpoint.profile``.
        environment: Variables by name, ``os.environ`` in production.

    Raises:
        MissingKeyError: The service needs a key and there is none.
        ConfigError: Anything else that is wrong or missing; says where, and what to do.
    """
    name = endpoint.name or endpoint.backend
    try:
        return _resolve(endpoint, name, service, profile, environment)
    except ConfigError as error:
        place = f"{endpoint.place}: " if isinstance(endpoint, FileEndpoint) else ""
        # The same class, so that a missing key stays one; from None, as the message is the same.
        raise type(error)(f"{place}{error.message}", endpoint=name) from None


def _resolve(
    endpoint: Endpoint, name: str, service: Service, default: str, environment: Mapping[str, str]
) -> Resolved:
    chosen, profile = _profile(endpoint, name, default, environment)
    values = lay(
        profile_layer(profile),
        file_layer(endpoint),
        overrides(name, environment),
        python_layer(endpoint),
    )
    if values["requests_per_second"] is not None and values["queue_size"] == 0:
        raise ConfigError(
            "endpoint.queue_size: expected 1 or more with requests_per_second, got 0; "
            "a call waits for its moment in the queue, and none would ever go"
        )
    return Resolved(
        name=name,
        backend=endpoint.backend,
        base_url=_base_url(endpoint, name, service, environment),
        keys=resolve_keys(endpoint.keys, service, environment),
        headers=endpoint.headers,
        tenants=endpoint.tenants,
        profile=chosen,
        **_concrete(values, name, environment),
    )


def _profile(
    endpoint: Endpoint, name: str, default: str, environment: Mapping[str, str]
) -> tuple[str, Profile]:
    variable = profile_variable(name, environment)
    written = endpoint.profile
    if written and not _from_file(endpoint, "profile"):
        return written, profile_named(written)
    if variable is None:
        return written or default, profile_named(written or default)
    chosen = environment[variable].strip()
    try:
        return chosen, profile_named(chosen)
    except ConfigError as error:
        raise ConfigError(f"{variable}: {error.message}") from None


def _from_file(endpoint: Endpoint, field: str) -> bool:
    """Whether a field is as the file has it, so that the environment wins over it."""
    if not isinstance(endpoint, FileEndpoint):
        return False
    return bool(getattr(endpoint, field) == getattr(endpoint.original, field))


def _concrete(values: Layer, name: str, environment: Mapping[str, str]) -> dict[str, Any]:
    concrete = dict(values)
    for section in SECTIONS:
        struct, fields = made(section, cast(Layer, values[section]))
        try:
            concrete[section] = struct(**fields)
        except ConfigError as error:
            variables = used(section, name, environment)
            blame = f" (set: {', '.join(variables)})" if variables else ""
            raise ConfigError(f"{error.message}{blame}") from None
    if isinstance(concrete["hedge"], bool):
        concrete["hedge"] = Hedge() if concrete["hedge"] else None
    return concrete


def _base_url(endpoint: Endpoint, name: str, service: Service, environment: Mapping[str, str]) -> str:
    variable = f"{scope(name)}BASE_URL"
    written = endpoint.base_url
    if written is not None and not (_from_file(endpoint, "base_url") and value_of(variable, environment)):
        return base_url(service.normalise_url(written) if service.normalise_url else written)
    own = (variable,) if scope(name) else ()
    url = service_url(service, environment, first=own)
    if not url:
        named = f"set {' or '.join(service.url_env)}, or " if service.url_env else ""
        raise ConfigError(f"{service.name} has no address of its own; {named}give Endpoint.base_url")
    return url


def service_url(service: Service, environment: Mapping[str, str], *, first: tuple[str, ...] = ()) -> str:
    """Where a service is: the first variable that is set, else its usual address, else empty.

    Raises:
        ConfigError: The variable holds no URL that can be used; names it, and doesn't repeat its value.
    """
    for variable in (*first, *service.url_env):
        text = value_of(variable, environment)
        if text is not None:
            try:
                return base_url(service.normalise_url(text) if service.normalise_url else text)
            except ConfigError as error:
                raise ConfigError(f"{variable}: {error.message}") from None
            except Misfit as misfit:
                raise ConfigError(f"{variable}: {misfit}") from None
    return service.base_url.rstrip("/")
