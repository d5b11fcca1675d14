"""A client for one command: configured, or with an emulator behind it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from asyncapi.abc import Hook
from asyncapi.cli.options import Where
from asyncapi.client import Client
from asyncapi.config import Endpoint, Settings, find, load
from asyncapi.errors import ConfigError, UnknownModelError

if TYPE_CHECKING:
    from asyncapi.emulator import Emulator

__all__ = ["execute", "model_parts", "new_emulator", "open_client", "settings_of"]

T = TypeVar("T")

#: What a bulk run gets where nobody said otherwise: it waits out an outage.
BULK_PROFILE = "high-reliability"


def execute(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end."""
    return asyncio.run(work)


def settings_of(where: Where) -> Settings:
    """What the configuration file says; empty without one.

    Raises:
        ConfigError: It is missing or wrong.
    """
    path = where.config or find()
    return load(path) if path else Settings()


def model_parts(text: str) -> tuple[str, str]:
    """Provider and model of "provider:model".

    Raises:
        ConfigError: It is not of that form.
    """
    provider, colon, model = text.partition(":")
    if not colon or not provider:
        raise ConfigError(f"expected provider:model, such as openai:gpt-5-mini, got {text!r}")
    return provider, model


@contextlib.asynccontextmanager
async def open_client(
    where: Where, providers: Iterable[str] = (), *, hooks: Iterable[Hook] = (), in_flight: int | None = None
) -> AsyncIterator[Client]:
    """A client for a command.

    Args:
        where: Configured services, or an emulator of the ``providers``.
        providers: The endpoints that the command will ask; none for all.
        hooks: For the client.
        in_flight: For bulk work: how many calls shall be in flight where no setting says how many may.
    """
    settings = settings_of(where)
    profile = where.profile or settings.profile or (BULK_PROFILE if in_flight else None)
    endpoints = settings.endpoints
    async with contextlib.AsyncExitStack() as stack:
        if where.emulate:
            emulator = await stack.enter_async_context(new_emulator(where))
            endpoints = _emulated(emulator, endpoints, providers)
        elif where.faults or where.limits:
            raise ConfigError("--faults and --limits are the emulator's: give --emulate too")
        client = Client(
            endpoints or None,
            profile=profile,
            hooks=hooks,
            log=False,
            environment=_environment(in_flight, emulated=where.emulate),
        )
        yield await stack.enter_async_context(client)


def new_emulator(where: Where, **options: Any) -> Emulator:
    """An emulator as the options ask for.

    Raises:
        ConfigError: An option can't be read.
    """
    from asyncapi.emulator import Emulator, Faults, parse_faults, parse_limits

    try:
        faults = parse_faults(where.faults) if where.faults else Faults()
        limits = parse_limits(where.limits) if where.limits else None
    except ValueError as error:
        raise ConfigError(f"--{error}") from None
    return Emulator(where.seed, faults=faults, limits=limits, **options)


def _emulated(
    emulator: Emulator, configured: tuple[Endpoint, ...], providers: Iterable[str]
) -> tuple[Endpoint, ...]:
    """The endpoints asked for, at the emulator's addresses and with a key that is none."""
    known = {endpoint.name or endpoint.backend: endpoint for endpoint in configured}
    urls = emulator.base_urls
    found = []
    for name in tuple(providers) or (*known, *(url for url in urls if url not in known)):
        endpoint = known.get(name, Endpoint(name))
        if endpoint.backend not in urls:
            raise UnknownModelError(
                f"the emulator doesn't speak as {endpoint.backend!r}; it knows {', '.join(urls)}"
            )
        found.append(
            msgspec.structs.replace(endpoint, base_url=urls[endpoint.backend], keys=("emulated-key",))
        )
    return tuple(found)


def _environment(in_flight: int | None, *, emulated: bool) -> Mapping[str, str]:
    """The variables, over what a bulk run or an emulator wants where none of them says otherwise.

    A service that never answers would hold an item of a patient run for half an hour.
    """
    wanted = {}
    if in_flight is not None:
        wanted = {"ASYNCAPI_LIMIT": str(in_flight), "ASYNCAPI_TIMEOUT_FIRST_BYTE": "300"}
    if emulated:
        wanted |= {"ASYNCAPI_TIMEOUT_FIRST_BYTE": "5", "ASYNCAPI_TIMEOUT_IDLE": "5"}
    return {**wanted, **os.environ}
