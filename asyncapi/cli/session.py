"""A client for one command: configured, or with an emulator behind it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from msgspec.structs import replace

from asyncapi.abc import Hook
from asyncapi.cli.defaults import BULK_PROFILE, with_defaults
from asyncapi.cli.emulated import emulated_settings, new_emulator
from asyncapi.cli.options import Where
from asyncapi.client import Client
from asyncapi.config import Cache, Settings, find, load
from asyncapi.errors import ConfigError

if TYPE_CHECKING:
    from asyncapi.emulator import Emulator

__all__ = ["Opened", "execute", "new_emulator", "open_both", "open_client", "providers_of", "settings_of"]

T = TypeVar("T")


class Opened(NamedTuple):
    """A client, and the emulator behind it if there is one."""

    client: Client
    emulator: Emulator | None


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


def providers_of(where: Where, model: str) -> list[str]:
    """The endpoints that "provider:model", or a route of the configuration file, leads to.

    Raises:
        ConfigError: It is neither.
    """
    provider, colon, _ = model.partition(":")
    if colon and provider:
        return [provider]
    routes = settings_of(where).routes
    if model in routes:
        return list(dict.fromkeys(target.partition(":")[0] for target in routes[model].targets))
    known = f" or a route ({', '.join(routes)})" if routes else ""
    raise ConfigError(f"expected provider:model{known}, such as openai:gpt-5-mini, got {model!r}")


@contextlib.asynccontextmanager
async def open_both(
    where: Where,
    providers: Iterable[str] = (),
    *,
    hooks: Iterable[Hook] = (),
    in_flight: int | None = None,
    cache: str | None = None,
) -> AsyncIterator[Opened]:
    """A client for a command, and its emulator.

    Args:
        where: Configured services, or an emulator of the ``providers``.
        providers: The endpoints that the command will ask; none for all.
        hooks: For the client.
        in_flight: For bulk work: how many calls shall be in flight where no setting says how many may.
        cache: The file of a cache, over what the settings say of one.
    """
    settings = settings_of(where)
    chosen = where.profile or settings.profile
    emulator = None
    async with contextlib.AsyncExitStack() as stack:
        if where.emulate:
            emulator = await stack.enter_async_context(new_emulator(where))
            settings = emulated_settings(emulator, settings, providers, where.faults)
        elif where.faults or where.limits:
            raise ConfigError("--faults and --limits are the emulator's: give --emulate too")
        environment = with_defaults(
            settings, os.environ, in_flight=in_flight, emulated=where.emulate, profile=chosen
        )
        if in_flight is not None and not chosen:
            settings = replace(settings, profile=BULK_PROFILE)
        client = Client(
            settings,
            profile=where.profile,
            hooks=hooks,
            cache=Cache("sqlite", cache) if cache else None,
            log=False,
            environment=environment,
        )
        yield Opened(await stack.enter_async_context(client), emulator)


@contextlib.asynccontextmanager
async def open_client(
    where: Where, providers: Iterable[str] = (), *, hooks: Iterable[Hook] = (), cache: str | None = None
) -> AsyncIterator[Client]:
    """The same for a command that needs the client alone."""
    async with open_both(where, providers, hooks=hooks, cache=cache) as opened:
        yield opened.client
