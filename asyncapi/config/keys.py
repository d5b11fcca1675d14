"""API keys: from settings or from the environment, ready to use, never shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from asyncapi.config.secret import flaw
from asyncapi.config.settings import Key, KeyPool
from asyncapi.errors import ConfigError, MissingKeyError
from asyncapi.types.wire import Service

__all__ = ["ResolvedKey", "key_variables", "resolve_keys"]


class ResolvedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key with its secret. The fields mean what they mean in ``Key``."""

    name: str
    secret: str
    weight: float = 1.0
    requests_per_minute: float | None = None
    users: tuple[str, ...] = ()
    tokens_per_minute: float | None = None
    input_tokens_per_minute: float | None = None
    output_tokens_per_minute: float | None = None

    def __repr__(self) -> str:
        return f"ResolvedKey({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """All fields, the secret hidden."""
        values = msgspec.structs.asdict(self)
        return [*(values | {"secret": "***"}).items()]


def key_variables(service: Service, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The variables that hold keys for a service, in order: ``NAME``, then ``NAME_1`` to ``NAME_n``.

    For each of ``service.key_env``; numbers may have gaps. Blank ones don't count.
    """
    found: dict[str, None] = {}
    for base in service.key_env:
        numbered = re.compile(re.escape(base) + r"_([0-9]+)")
        matches = [(int(m[1]), name) for name in environment if (m := numbered.fullmatch(name))]
        names = (base, *(name for _, name in sorted(matches)))
        found.update((name, None) for name in names if environment.get(name, "").strip())
    return tuple(found)


def resolve_keys(
    given: KeyPool | tuple[Key | str, ...] | None, service: Service, environment: Mapping[str, str]
) -> tuple[ResolvedKey, ...]:
    """The keys of an endpoint: those given, else all that the environment holds for its service.

    Raises:
        MissingKeyError: The service needs a key and there is none, or a named variable is not set.
        ConfigError: A key can't be one (a space, a line break), or two have the same name.
    """
    explicit = given.pool or None if isinstance(given, KeyPool) else given
    if explicit is None:
        keys = _without_copies(
            _from_variable(Key(env=v), environment) for v in key_variables(service, environment)
        )
    else:
        keys = tuple(
            _resolve(Key(k) if isinstance(k, str) else k, n, environment) for n, k in enumerate(explicit, 1)
        )
    if not keys and service.needs_key:
        raise MissingKeyError(_missing(service, environment, none_given=explicit is not None))
    names = [key.name for key in keys]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"keys: two are named {twice[0]}; give each a name of its own")
    return keys


def _resolve(key: Key, number: int, environment: Mapping[str, str]) -> ResolvedKey:
    if key.env:
        return _from_variable(key, environment)
    return _made(key, key.name or f"key-{number}", key.value)


def _from_variable(key: Key, environment: Mapping[str, str]) -> ResolvedKey:
    secret = environment.get(key.env)
    if secret is None:
        raise MissingKeyError(f"keys: the variable {key.env} is not set; export it, or take the key out")
    if not secret.strip():
        raise MissingKeyError(f"keys: the variable {key.env} is set but empty")
    wrong = flaw(secret)
    if wrong:
        raise ConfigError(f"keys: the value of {key.env} {wrong} (not shown here); set it to the bare key")
    return _made(key, key.name or key.env, secret)


def _made(key: Key, name: str, secret: str) -> ResolvedKey:
    return ResolvedKey(
        name=name,
        secret=secret,
        weight=key.weight,
        requests_per_minute=key.requests_per_minute,
        users=key.users,
        tokens_per_minute=key.tokens_per_minute,
        input_tokens_per_minute=key.input_tokens_per_minute,
        output_tokens_per_minute=key.output_tokens_per_minute,
    )


def _without_copies(keys: Iterable[ResolvedKey]) -> tuple[ResolvedKey, ...]:
    first: dict[str, ResolvedKey] = {}
    for key in keys:
        first.setdefault(key.secret, key)
    return tuple(first.values())


def _missing(service: Service, environment: Mapping[str, str], *, none_given: bool) -> str:
    if none_given:
        return f"{service.name} needs an API key, and keys is empty; give one, or leave keys out"
    if not service.key_env:
        return f"{service.name} needs an API key; give one in keys"
    blank = [name for name in service.key_env if name in environment]
    hint = f" ({', '.join(blank)} is set but empty)" if blank else ""
    looked = ", ".join(f"{name}, {name}_1 to {name}_n" for name in service.key_env)
    return f"{service.name} needs an API key; looked for {looked}{hint}; export one of them, or give keys"
