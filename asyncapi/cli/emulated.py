"""``--emulate``: the emulator that a command talks to, and endpoints with keys that are none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from asyncapi.cli.options import Where
from asyncapi.config import Endpoint, Key, Settings
from asyncapi.errors import ConfigError, UnknownModelError

if TYPE_CHECKING:
    from asyncapi.emulator import Emulator

__all__ = ["EVERY_FAULT", "emulated_settings", "fake_keys", "new_emulator"]

#: The value of ``--faults`` that means: everything at once (see ``rehearsal``).
EVERY_FAULT = "all"
_RATE = 0.1
_KEYS = 4


def new_emulator(where: Where, **options: Any) -> Emulator:
    """An emulator as the options ask for.

    Raises:
        ConfigError: An option can't be read.
    """
    from asyncapi.emulator import Emulator, Faults, parse_faults, parse_limits

    try:
        if where.faults == EVERY_FAULT:
            faults = Faults.everything(_RATE, where.seed)
        else:
            faults = parse_faults(where.faults) if where.faults else Faults()
        limits = parse_limits(where.limits) if where.limits else None
    except ValueError as error:
        raise ConfigError(f"--{error}") from None
    return Emulator(where.seed, faults=faults, limits=limits, **options)


def emulated_settings(
    emulator: Emulator, settings: Settings, providers: Iterable[str], faults: str | None = None
) -> Settings:
    """The endpoints asked for, at the emulator's addresses, and the routes that they serve.

    With every fault at once an endpoint has several keys, as some of them will be lost. A cache of the
    settings is left alone: pretended answers don't belong in it.

    Raises:
        UnknownModelError: The emulator doesn't speak as one of them.
    """
    known = {endpoint.name or endpoint.backend: endpoint for endpoint in settings.endpoints}
    urls = emulator.base_urls
    count = _KEYS if faults == EVERY_FAULT else 1
    found = {}
    for name in tuple(providers) or (*known, *(url for url in urls if url not in known)):
        endpoint = known.get(name, Endpoint(name))
        backend = endpoint.backend
        if backend not in urls:
            raise UnknownModelError(f"the emulator doesn't speak as {backend!r}; it knows {', '.join(urls)}")
        found[name] = replace(endpoint, base_url=urls[backend], keys=fake_keys(backend, count))
    served = {
        name: route
        for name, route in settings.routes.items()
        if all(target.partition(":")[0] in found for target in route.targets)
    }
    return replace(settings, endpoints=tuple(found.values()), routes=served, cache=None)


def fake_keys(service: str, count: int = 1) -> tuple[Key, ...]:
    """Keys that the emulator takes, in the form that the service's are written in."""
    from asyncapi.emulator.dialects.s3_wire import SECRET

    secret = f":{SECRET}" if service == "s3_kit" else ""
    return tuple(Key(f"emulated-key-{n}{secret}", name=f"key-{n}") for n in range(1, count + 1))
