"""From a scenario and a seed to a plan: every call, drawn."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import cast

import msgspec

from asyncapi.config import Endpoint, Key, KeyPool
from asyncapi.errors import ConfigError
from asyncapi.testing.simulation.arrivals import Arrival, arrivals
from asyncapi.testing.simulation.scenario import Load, Plan, PlannedCall, Scenario, Service

__all__ = ["draw", "keys_of"]


def draw(scenario: Scenario, seed: int) -> Plan:
    """The plan of this scenario and this seed.

    Raises:
        ConfigError: An endpoint of the scenario can't be simulated.
    """
    rng = random.Random(seed)
    endpoints = tuple(_placed(endpoint) for endpoint in scenario.endpoints)
    keys = {cast(str, e.name): [key.name for key in keys_of(e)] for e in endpoints}
    drawn = [
        _call(load, place, arrival, rng, keys)
        for place, load in enumerate(scenario.loads)
        for arrival in _arrivals(load, rng, scenario.duration)
    ]
    drawn.sort(key=lambda call: call.at)
    calls = tuple(msgspec.structs.replace(call, number=number) for number, call in enumerate(drawn))
    return Plan(
        name=scenario.name,
        seed=seed,
        endpoints=endpoints,
        services={name: scenario.services.get(name, Service()) for name in keys},
        routes=scenario.routes,
        calls=calls,
        faults=scenario.faults,
        actions=scenario.actions,
        chaos=scenario.chaos,
        single_flight=scenario.single_flight,
        recovery=scenario.recovery,
    )


def keys_of(endpoint: Endpoint) -> tuple[Key, ...]:
    """The keys of an endpoint, each with the name that it goes by."""
    given = endpoint.keys.pool if isinstance(endpoint.keys, KeyPool) else endpoint.keys or ()
    keys = [key if isinstance(key, Key) else Key(key) for key in given]
    return tuple(
        key if key.name else msgspec.structs.replace(key, name=f"key-{number}")
        for number, key in enumerate(keys, 1)
    )


def _placed(endpoint: Endpoint) -> Endpoint:
    """The endpoint under its own name, at an address of the simulation, with names for its keys."""
    name = endpoint.name or endpoint.backend
    keys = keys_of(endpoint)
    if not keys or any(key.env for key in keys):
        raise ConfigError(f"endpoint {name}: a simulated endpoint has keys with values, such as 'sk-a'")
    pool = endpoint.keys
    placed = msgspec.structs.replace(pool, pool=keys) if isinstance(pool, KeyPool) else keys
    return msgspec.structs.replace(endpoint, name=name, base_url=f"https://{name}.sim/v1", keys=placed)


def _arrivals(load: Load, rng: random.Random, duration: float) -> Iterator[Arrival]:
    end = min(load.end, duration) - load.start
    found = arrivals(load.arrivals, rng, end)
    for arrival in itertools.islice(found, load.calls):
        yield arrival._replace(at=load.start + arrival.at)


def _call(
    load: Load, place: int, arrival: Arrival, rng: random.Random, keys: dict[str, list[str]]
) -> PlannedCall:
    kind = rng.choice(load.kinds)
    names = keys.get(load.model.partition(":")[0], [])
    streams = kind == "stream"
    drawn_in, drawn_out = load.input_tokens.draw(rng), load.output_tokens.draw(rng)
    given_in, given_out = arrival.input_tokens, arrival.output_tokens
    return PlannedCall(
        number=0,
        at=arrival.at,
        asks=None if load.alike is None else 1000 * place + rng.randrange(load.alike),
        kind=kind,
        model=load.model,
        priority=rng.choice(load.priorities),
        tenant=arrival.tenant if arrival.tenant is not None else _tenant(load.tenants, rng),
        timeout=rng.choice(load.timeout),
        input_tokens=max(1, round(drawn_in) if given_in is None else given_in),
        output_tokens=max(1, round(drawn_out) if given_out is None else given_out),
        max_tokens=load.max_tokens,
        cancel_after=rng.expovariate(1.0 / load.patience) if rng.random() < load.cancelled else None,
        key=rng.choice(names) if names and rng.random() < load.pinned else None,
        on_open="wait" if rng.random() < load.waiting else "fail",
        session=None if load.sessions is None else f"s{rng.randrange(load.sessions)}",
        repeatable=bool(load.repeatable) and rng.random() < load.repeatable,
        leaves_after=rng.randrange(3) if streams and rng.random() < load.leaving else None,
        pause=rng.choice((0.01, 0.3)) if streams and rng.random() < load.slow else 0.0,
    )


def _tenant(tenants: tuple[str, ...], rng: random.Random) -> str:
    if len(tenants) == 1:
        return tenants[0]
    shares = [1.0 / rank for rank in range(1, len(tenants) + 1)]
    return rng.choices(tenants, shares)[0]
