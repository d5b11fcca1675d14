"""A world drawn at random: every setting, every fault, every kind of call, so that many seeds meet
everything.
"""

from __future__ import annotations

import random
from typing import Literal

from asyncapi.config import (
    AIMD,
    Batch,
    Breaker,
    Endpoint,
    Hedge,
    Key,
    KeyPool,
    KeyStrategy,
    Outliers,
    Retry,
    Route,
    Timeout,
)
from asyncapi.config.route import RouteStrategy
from asyncapi.testing.simulation.plan import keys_of
from asyncapi.testing.simulation.scenario import (
    Action,
    Bursty,
    Chaos,
    Fault,
    FaultKind,
    Kind,
    Load,
    LogNormal,
    Poisson,
    Scenario,
    Service,
)

__all__ = ["random_scenario"]

_FAULTS: tuple[tuple[FaultKind, tuple[float, ...]], ...] = (
    ("outage", (0.0,)),
    ("errors", (0.0,)),
    ("overloaded", (0.0, 0.5, 5.0)),
    ("throttled", (0.0, 0.2, 3.0, 30.0)),
    ("rejected", (0.0,)),
    ("revoked", (0.0,)),
    ("quota", (0.0,)),
    ("garbage", (0.0,)),
    ("hang", (0.0,)),
    ("cut", (0.0,)),
    ("brownout", (3.0, 20.0)),
    ("slots", (1.0, 4.0)),
)
_KEY_CHANGES: tuple[Literal["remove", "add", "restore"], ...] = ("remove", "add", "restore")
_STRATEGIES: tuple[KeyStrategy, ...] = ("round_robin", "least_loaded", "weighted", "adaptive")
_LETTERS = "abcd"


def random_scenario(seed: int) -> Scenario:
    """The world of this seed: one or two endpoints, 40 to 250 calls, and trouble."""
    rng = random.Random(f"scenario/{seed}")
    names = ("main", "spare")[: rng.choice((1, 1, 1, 2))]
    duration = rng.choice((2.0, 10.0, 60.0, 300.0))
    endpoints = tuple(_endpoint(name, rng) for name in names)
    routed = len(names) == 2
    alike = rng.random() < 0.15
    return Scenario(
        name=f"random-{seed}",
        endpoints=endpoints,
        services={str(e.name): _service(e, rng) for e in endpoints},
        routes={"both": _route(names, rng)} if routed else {},
        single_flight=alike,
        loads=tuple(_load(names, duration, alike, rng) for _ in range(rng.choice((1, 1, 2, 3)))),
        faults=tuple(_fault(names, duration, rng) for _ in range(rng.choice((0, 1, 2, 4, 6)))),
        actions=_actions(endpoints, duration, rng),
        chaos=_chaos(rng),
        duration=duration,
    )


def _endpoint(name: str, rng: random.Random) -> Endpoint:
    rates = (None, None, 60.0, 600.0, 3000.0)
    tokens = rng.choice(((None,), (None,), (None, 2000.0, 50_000.0)))
    pace = rng.choice((None, None, None, None, 20.0))
    return Endpoint(
        "openai",
        name=name,
        keys=KeyPool(
            tuple(
                Key(
                    f"sk-{name}-{letter}",
                    name=letter,
                    requests_per_minute=rng.choice(rates),
                    tokens_per_minute=rng.choice(tokens),
                )
                for letter in _LETTERS[: rng.choice((1, 1, 2, 4))]
            ),
            strategy=rng.choice(_STRATEGIES),
        ),
        limit=rng.choice((1, 2, 5, 20, 64, AIMD(initial=2, maximum=50), AIMD(initial=20, maximum=100))),
        queue_size=rng.choice((0 if pace is None else 1, 3, 20, 100, 1000)),
        strict=rng.random() < 0.1,
        hedge=_hedge(rng),
        retry=Retry(
            attempts=rng.choice((1, 2, 4, 8)),
            base=rng.choice((0.0, 0.1, 0.5)),
            cap=rng.choice((0.5, 5.0, 20.0)),
            budget=rng.choice((0.0, 0.1, 0.5)),
            reserve=rng.choice((0, 3, 10)),
        ),
        breaker=Breaker(
            failure_threshold=rng.choice((1, 3, 5, 20)),
            reset_after=rng.choice((0.5, 5.0, 30.0)),
            reset_maximum=rng.choice((30.0, 60.0)),
            window=rng.choice((5, 20, 50)),
            minimum_calls=rng.choice((3, 10)),
            failure_rate=rng.choice((0.2, 0.5, 1.0)),
            slow_after=rng.choice((None, None, 1.0, "auto")),
            probes=rng.choice((1, 1, 3)),
            successes=rng.choice((1, 2, 4)),
        ),
        batch=Batch(size=rng.choice((1, 4, 10)), wait=rng.choice((0.0, 0.01, 0.2))),
        timeout=Timeout(
            total=60.0,
            first_byte=rng.choice((None, None, 2.0)),
            idle=rng.choice((None, 0.5, 5.0)),
            first_token=rng.choice((None, None, 2.0)),
        ),
        requests_per_second=pace,
    )


def _hedge(rng: random.Random) -> Hedge | None:
    if rng.random() < 0.6:
        return None
    after: Literal["p50", "p90"] | float = rng.choice(("p50", "p90", 0.02, 0.2, 1.0))
    return Hedge(after=after, budget=rng.choice((0.02, 0.2, 1.0)), minimum=5, least=0.01)


def _route(names: tuple[str, ...], rng: random.Random) -> Route:
    outliers = Outliers(consecutive=2, interval=5.0, minimum=4, base=2.0, maximum=8.0)
    strategies: tuple[RouteStrategy, ...] = ("in_order", "least_loaded", "adaptive")
    return Route(
        tuple(f"{name}:m" for name in names),
        strategy=rng.choice(strategies),
        outliers=rng.choice((None, outliers)),
        hedge=_hedge(rng),
    )


def _service(endpoint: Endpoint, rng: random.Random) -> Service:
    return Service(
        first_token=LogNormal(rng.choice((0.001, 0.05, 0.3)), rng.choice((0.0, 0.5)), 1.5),
        per_token=rng.choice((0.0, 0.001, 0.01)),
        slots=rng.choice((None, None, 4, 16)),
        slowdown=rng.choice((1.0, 1.5)),
        maximum=rng.choice((None, None, 10)),
        requests_per_minute=rng.choice((None, None, None, 60.0, 600.0)),
        tokens_per_minute=rng.choice((None, None, None, 2000.0, 50_000.0)),
        headers=rng.random() < 0.7,
        retry_after=rng.random() < 0.7,
    )


def _load(names: tuple[str, ...], duration: float, alike: bool, rng: random.Random) -> Load:
    calls = rng.choice((20, 60, 150))
    rate = calls / duration * rng.choice((1.0, 1.0, 4.0))
    models = (*(f"{name}:m" for name in names), *(("both",) if len(names) > 1 else ()))
    kinds: tuple[tuple[Kind, ...], ...] = (
        ("chat",),
        ("chat", "stream"),
        ("embed",),
        ("chat", "chat", "stream", "embed"),
    )
    return Load(
        model=rng.choice(models),
        arrivals=rng.choice((Poisson(rate), Bursty(rate, 4.0), Bursty(rate, 15.0))),
        calls=calls,
        kinds=rng.choice(kinds),
        priorities=rng.choice((("NORMAL",), ("HIGH", "NORMAL", "LOW"), ("HIGH", "LOW", "LOW"))),
        tenants=rng.choice((("",), ("x", "y"), tuple("uvwxyz"))),
        timeout=rng.choice(((60.0,), (1.0, 60.0), (0.05, 0.5, 5.0), (600.0,))),
        output_tokens=LogNormal(rng.choice((1.0, 50.0)), rng.choice((0.0, 0.8)), 2000.0),
        max_tokens=rng.choice((None, None, 100, 1000)),
        alike=rng.choice((2, 10)) if alike else None,
        sessions=rng.choice((None, None, 3)),
        repeatable=rng.choice((0.0, 0.5, 1.0)),
        cancelled=rng.choice((0.0, 0.1, 0.5)),
        patience=rng.choice((0.01, 0.5, 10.0)),
        pinned=rng.choice((0.0, 0.0, 0.2)) if models else 0.0,
        waiting=rng.choice((0.0, 0.3, 1.0)),
        leaving=rng.choice((0.0, 0.3)),
        slow=rng.choice((0.0, 0.3)),
    )


def _fault(names: tuple[str, ...], duration: float, rng: random.Random) -> Fault:
    kind, values = rng.choice(_FAULTS)
    start = rng.random() * duration
    return Fault(
        kind=kind,
        start=start,
        end=start + rng.choice((0.1, 0.3, 1.0)) * duration,
        share=rng.choice((0.05, 0.3, 1.0)),
        value=rng.choice(values),
        service=rng.choice(names),
        keys=rng.choice(((), (), ("a",), ("a", "b"))),
    )


def _actions(endpoints: tuple[Endpoint, ...], duration: float, rng: random.Random) -> tuple[Action, ...]:
    actions: list[Action] = []
    for _ in range(rng.choice((0, 0, 2, 6))):
        endpoint = rng.choice(endpoints)
        kind = rng.choice(_KEY_CHANGES)
        key = rng.choice([key.name for key in keys_of(endpoint)])
        actions.append(Action(at=rng.random() * duration, kind=kind, endpoint=str(endpoint.name), key=key))
    if rng.random() < 0.1:
        actions.append(Action(at=rng.random() * duration, kind="close", drain=rng.choice((0.0, 1.0, 60.0))))
    return tuple(sorted(actions, key=lambda action: action.at))


def _chaos(rng: random.Random) -> Chaos:
    if rng.random() < 0.2:
        return Chaos()
    return Chaos(
        shuffle=rng.choice((0.0, 0.2, 0.5)),
        strike=rng.choice((0.0, 0.05, 0.3)),
        late=rng.choice((0.0, 0.0, 0.1)),
        late_by=rng.choice((0.01, 0.2)),
        tamper=rng.choice((0.0, 0.0, 0.05)),
    )
