"""Worlds with a name: what a person wants to see the core do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from asyncapi.config import AIMD, Breaker, Endpoint, Key, Retry, Route, Timeout
from asyncapi.testing.simulation.scenario import (
    Action,
    Bursty,
    Chaos,
    Fault,
    Load,
    LogNormal,
    Poisson,
    Scenario,
    Service,
    Trace,
)

__all__ = ["SCENARIOS"]

_ALL = ("HIGH", "NORMAL", "LOW")
_CHAT = Service(first_token=LogNormal(0.3, 0.4, 5.0), per_token=0.01)


def _endpoint(
    name: str = "main", *, keys: int = 1, per_minute: float | None = None, **settings: object
) -> Endpoint:
    given = {"limit": 20, "queue_size": 500, "timeout": Timeout(total=60.0), **settings}
    pool = tuple(
        Key(f"sk-{name}-{n}", name=f"key-{n}", requests_per_minute=per_minute) for n in range(1, keys + 1)
    )
    return Endpoint("openai", name=name, keys=pool, **given)  # type: ignore[arg-type]


def _load(rate: float, **settings: object) -> Load:
    given = {"arrivals": Poisson(rate), "priorities": _ALL, "kinds": ("chat", "chat", "stream"), **settings}
    return Load(**given)  # type: ignore[arg-type]


def _steady() -> Scenario:
    """Ten calls a second to a service that is well and has room for them."""
    return Scenario(
        name="steady",
        endpoints=(_endpoint(),),
        services={"main": _CHAT},
        loads=(_load(10.0),),
        duration=120.0,
    )


def _burst() -> Scenario:
    """The same work in clumps, as recorded from a code assistant: the queue takes what the limit can't."""
    return Scenario(
        name="burst",
        endpoints=(_endpoint(),),
        services={"main": _CHAT},
        loads=(_load(0.0, arrivals=Trace("azure-code", speed=2.0, start=600.0)),),
        duration=120.0,
    )


def _outage() -> Scenario:
    """A minute without an answer: the breaker opens, probes, and closes again; patient calls wait it out."""
    return Scenario(
        name="outage",
        endpoints=(_endpoint(breaker=Breaker(reset_after=5.0, reset_maximum=30.0)),),
        services={"main": _CHAT},
        loads=(_load(8.0, waiting=0.3, timeout=(90.0,)),),
        faults=(Fault(kind="outage", start=60.0, end=120.0),),
        duration=240.0,
    )


def _brownout() -> Scenario:
    """Everything takes ten times as long for a minute, and a tenth of it fails."""
    return Scenario(
        name="brownout",
        endpoints=(_endpoint(),),
        services={"main": _CHAT},
        loads=(_load(8.0, timeout=(20.0, 60.0)),),
        faults=(
            Fault(kind="brownout", start=60.0, end=120.0, value=10.0),
            Fault(kind="errors", start=60.0, end=120.0, share=0.1),
        ),
        duration=240.0,
    )


def _rate_limits() -> Scenario:
    """More calls than two keys may send: they leave as evenly as the service counts, without a refusal."""
    return Scenario(
        name="rate-limits",
        endpoints=(_endpoint(keys=2, per_minute=300.0, limit=64, queue_size=1000),),
        services={"main": msgspec.structs.replace(_CHAT, requests_per_minute=300.0)},
        loads=(_load(12.0, arrivals=Bursty(12.0, 4.0), timeout=(60.0,)),),
        duration=180.0,
    )


def _key_revoked() -> Scenario:
    """One of four keys is revoked in the middle, another is used up: the others carry on."""
    return Scenario(
        name="key-revoked",
        endpoints=(_endpoint(keys=4),),
        services={"main": _CHAT},
        loads=(_load(10.0),),
        faults=(
            Fault(kind="revoked", start=30.0, end=1e6, keys=("key-2",)),
            Fault(kind="quota", start=60.0, end=1e6, keys=("key-3",)),
        ),
        actions=(Action(at=90.0, kind="remove", endpoint="main", key="key-2"),),
        duration=120.0,
    )


def _capacity_steps() -> Scenario:
    """A server whose slots go 32, 8, 48, 16: the adaptive limit follows."""
    steps = ((0.0, 32), (150.0, 8), (300.0, 48), (450.0, 16))
    ends = (*(start for start, _ in steps[1:]), 600.0)
    return Scenario(
        name="capacity-steps",
        endpoints=(_endpoint(limit=AIMD(initial=5, maximum=256), queue_size=2000),),
        services={"main": Service(first_token=LogNormal(0.1, 0.2), per_token=0.01, slowdown=1.0)},
        loads=(_load(60.0, output_tokens=LogNormal(90.0, 0.3, 400.0), kinds=("stream",)),),
        faults=tuple(
            Fault(kind="slots", start=start, end=end, value=slots)
            for (start, slots), end in zip(steps, ends, strict=True)
        ),
        duration=600.0,
        recovery=False,
    )


def _failover() -> Scenario:
    """Two endpoints behind a route; the first one is away for a while."""
    return Scenario(
        name="failover",
        endpoints=(_endpoint(breaker=Breaker(reset_after=5.0)), _endpoint("spare")),
        services={"main": _CHAT, "spare": _CHAT},
        routes={"both": Route(("main:m", "spare:m"))},
        loads=(_load(8.0, model="both"),),
        faults=(Fault(kind="outage", start=40.0, end=80.0, service="main"),),
        duration=120.0,
    )


def _mixed_chaos() -> Scenario:
    """Everything at once: faults of all kinds, callers that give up, keys that come and go, late timers."""
    faults = (
        Fault(kind="errors", start=10.0, end=40.0, share=0.3),
        Fault(kind="throttled", start=20.0, end=60.0, share=0.2, value=2.0),
        Fault(kind="cut", start=30.0, end=90.0, share=0.2),
        Fault(kind="hang", start=50.0, end=70.0, share=0.1),
        Fault(kind="garbage", start=60.0, end=100.0, share=0.05),
        Fault(kind="outage", start=100.0, end=110.0),
        Fault(kind="rejected", start=0.0, end=150.0, share=0.02),
    )
    return Scenario(
        name="mixed-chaos",
        endpoints=(_endpoint(keys=3, breaker=Breaker(reset_after=2.0), retry=Retry(base=0.2, cap=2.0)),),
        services={"main": _CHAT},
        loads=(
            _load(
                10.0,
                kinds=("chat", "stream", "embed"),
                tenants=("x", "y", "z"),
                timeout=(1.0, 10.0, 60.0),
                cancelled=0.2,
                leaving=0.2,
                slow=0.2,
                waiting=0.5,
            ),
        ),
        faults=faults,
        chaos=Chaos(shuffle=0.2, strike=0.1, late=0.05, late_by=0.05, tamper=0.02),
        duration=150.0,
    )


_MADE = (
    _steady,
    _burst,
    _outage,
    _brownout,
    _rate_limits,
    _key_revoked,
    _capacity_steps,
    _failover,
    _mixed_chaos,
)


def _told(make: Callable[[], Scenario]) -> Scenario:
    return msgspec.structs.replace(make(), story=make.__doc__ or "")


#: The named worlds. Each is a plain ``Scenario``: change it with ``msgspec.structs.replace``.
SCENARIOS: Mapping[str, Scenario] = MappingProxyType({s.name: s for s in map(_told, _MADE)})
