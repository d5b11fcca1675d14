"""What is simulated: services, their faults, and the calls that come.

A ``Scenario`` says how likely things are; ``plan.draw`` makes of it, with a seed, a ``Plan`` that says
every call and every fault. All times are virtual seconds.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from asyncapi.config import Endpoint, Route

__all__ = [
    "Action",
    "Bursty",
    "Chaos",
    "Fault",
    "FaultKind",
    "Kind",
    "Load",
    "LogNormal",
    "Plan",
    "PlannedCall",
    "Poisson",
    "Scenario",
    "Service",
    "Trace",
]

Kind: TypeAlias = Literal["chat", "stream", "embed"]
FaultKind: TypeAlias = Literal[
    "outage",  # nothing listens: connections are refused
    "errors",  # answers of status 500
    "overloaded",  # answers of status 503; ``value`` is their Retry-After, 0 for none
    "throttled",  # answers of status 429; ``value`` likewise
    "rejected",  # answers of status 400
    "revoked",  # answers of status 401
    "quota",  # answers of status 429 that say that the money is used up
    "garbage",  # answers that can't be read
    "hang",  # no answer, or a stream that falls silent
    "cut",  # the connection is lost in the middle
    "brownout",  # everything takes ``value`` times as long
    "slots",  # the service has ``value`` slots
]


class LogNormal(msgspec.Struct, frozen=True):
    """A distribution with a long tail: half of all values are below ``median``, none above ``most``.

    ``sigma`` is the standard deviation of the logarithm; 0.0 makes every value the median.
    """

    median: float
    sigma: float = 0.0
    most: float = 1e9

    def draw(self, rng: random.Random) -> float:
        """One value."""
        if not self.sigma:
            return self.median
        return min(self.most, self.median * math.exp(self.sigma * rng.gauss(0.0, 1.0)))


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """How a service behaves while it is well.

    An answer takes ``first_token`` seconds and ``per_token`` for each further token. With more than
    ``slots`` requests in flight everything takes ``(in flight / slots) ** slowdown`` times as long: with
    1.0 throughput stays what the slots give, above it falls. Beyond ``maximum`` requests are refused with
    status 503. The rates are limits per key, counted exactly over every window of 60 s; a request counts
    with its prompt and its ``max_tokens`` until it ends, then with what it used. ``headers``: whether
    answers say what is left of them; ``retry_after``: whether a refusal says when to come back.
    """

    first_token: LogNormal = LogNormal(0.2, 0.3)
    per_token: float = 0.005
    slots: int | None = None
    slowdown: float = 1.0
    maximum: int | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    headers: bool = True
    retry_after: bool = True


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong with a service for a while.

    It meets a ``share`` of the requests; only those of ``keys`` where some are named, only those of
    ``service`` (the name of an endpoint) where one is.
    """

    kind: FaultKind
    start: float
    end: float
    share: float = 1.0
    value: float = 0.0
    service: str = ""
    keys: tuple[str, ...] = ()


class Poisson(msgspec.Struct, frozen=True):
    """Calls that know nothing of each other, ``rate`` a second."""

    rate: float


class Bursty(msgspec.Struct, frozen=True):
    """Calls that come in clumps: gaps are Gamma distributed with coefficient of variation ``cv`` (1.0:
    Poisson).

    Real traffic to language models shows 1 to 25.
    """

    rate: float
    cv: float = 5.0


class Trace(msgspec.Struct, frozen=True):
    """Calls as they came to a real service, ``speed`` times as fast, ``thin`` of them (1.0: all).

    ``name`` is "azure-conv" or "azure-code" (recorded arrivals with their token counts) or "servegen" (43
    clients, drawn from recorded rates and burstiness; each is a tenant). The recordings are looked for in
    the folder that the variable ``ASYNCAPI_DATA`` names; without them a ``Bursty`` process of the same rate
    and burstiness stands in.
    """

    name: Literal["azure-conv", "azure-code", "servegen"]
    speed: float = 1.0
    thin: float = 1.0
    start: float = 0.0


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """A stream of calls to one target.

    Choices are drawn evenly from the tuples: repeat an entry to make it likelier. ``tenants`` get shares that
    fall as 1, 1/2, 1/3 and so on. ``timeout`` is each call's total. ``alike`` is how many different things
    are asked; None: each call asks something of its own. ``sessions`` is how many there are, None for none.
    Shares are probabilities: ``repeatable`` calls may be hedged; ``cancelled`` by the caller after a time
    around ``patience``, ``pinned`` to one key, ``waiting`` for an open breaker instead of failing at once,
    ``leaving`` a stream early, ``slow`` at reading one.
    """

    model: str = "main:m"
    arrivals: Poisson | Bursty | Trace = Poisson(5.0)
    start: float = 0.0
    end: float = 1e9
    calls: int | None = None
    kinds: tuple[Kind, ...] = ("chat",)
    priorities: tuple[str, ...] = ("NORMAL",)
    tenants: tuple[str, ...] = ("",)
    timeout: tuple[float, ...] = (60.0,)
    input_tokens: LogNormal = LogNormal(20.0)
    output_tokens: LogNormal = LogNormal(100.0, 0.8, 4000.0)
    max_tokens: int | None = None
    alike: int | None = None
    repeatable: float = 0.0
    sessions: int | None = None
    cancelled: float = 0.0
    patience: float = 1.0
    pinned: float = 0.0
    waiting: float = 0.0
    leaving: float = 0.0
    slow: float = 0.0


class Chaos(msgspec.Struct, frozen=True, kw_only=True):
    """What a loop and its callers may do at the worst moment. All of them are probabilities, but ``late_by``.

    ``shuffle`` the ready list in a turn; ``strike``: cancel a caller in the very turn in which it is
    granted its lease; ``late``: a timer fires up to ``late_by`` seconds late; ``tamper``: a key is removed,
    added or restored at the moment of a grant.
    """

    shuffle: float = 0.0
    strike: float = 0.0
    late: float = 0.0
    late_by: float = 0.0
    tamper: float = 0.0


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator does: to a key, or to the client, which then has ``drain`` seconds to end."""

    at: float
    kind: Literal["remove", "add", "restore", "close"]
    endpoint: str = ""
    key: str = ""
    drain: float = 0.0


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A small world: endpoints with the services behind them, what goes wrong, and who calls.

    ``services`` are found by the name of the endpoint; one that is not named there is a plain ``Service``.
    The endpoints must speak OpenAI's dialect. Calls begin within ``duration`` seconds; when the last has
    ended, a ``recovery`` phase with healthy services asks whether everything works again.
    """

    name: str = "scenario"
    story: str = ""
    endpoints: tuple[Endpoint, ...] = (Endpoint("openai", name="main", keys=("sk-a",)),)
    services: Mapping[str, Service] = {}
    routes: Mapping[str, Route] = {}
    loads: tuple[Load, ...] = (Load(),)
    faults: tuple[Fault, ...] = ()
    actions: tuple[Action, ...] = ()
    chaos: Chaos = Chaos()
    single_flight: bool = False
    duration: float = 60.0
    recovery: bool = True


class PlannedCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call with everything that its caller will do."""

    number: int
    at: float
    asks: int | None = None
    kind: Kind = "chat"
    model: str = "main:m"
    priority: str = "NORMAL"
    tenant: str = ""
    timeout: float = 60.0
    input_tokens: int = 20
    output_tokens: int = 100
    max_tokens: int | None = None
    cancel_after: float | None = None
    key: str | None = None
    on_open: Literal["fail", "wait"] = "fail"
    repeatable: bool = False
    session: str | None = None
    leaves_after: int | None = None
    pause: float = 0.0

    @property
    def question(self) -> str:
        """What services see of it: its own name, or one that those share that ask the same."""
        return f"c{self.number}" if self.asks is None else f"q{self.asks}"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run, call by call. The same plan gives the same history, byte for byte."""

    name: str
    seed: int
    endpoints: tuple[Endpoint, ...]
    services: Mapping[str, Service]
    calls: tuple[PlannedCall, ...]
    routes: Mapping[str, Route] = {}
    faults: tuple[Fault, ...] = ()
    actions: tuple[Action, ...] = ()
    chaos: Chaos = Chaos()
    single_flight: bool = False
    recovery: bool = True

    @property
    def beyond(self) -> int:
        """The first number that no planned call has: calls of the recovery begin there."""
        return 1 + max((call.number for call in self.calls), default=-1)

    def to_json(self) -> bytes:
        """The plan as a file that ``from_json`` reads."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)

    @classmethod
    def from_json(cls, text: bytes | str) -> Plan:
        """The plan that ``to_json`` wrote."""
        return msgspec.json.decode(text, type=cls)
