"""The settings themselves: what an endpoint is, and how it queues, limits, retries, breaks and batches.

Frozen, and checked when they are made. Times are seconds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec.structs import force_setattr

from asyncapi.config.fields import (
    Amount,
    Count,
    Misfit,
    Portion,
    Positive,
    Seconds,
    SecondsOrZero,
    Share,
    check_fields,
    fields_of,
    shown,
)
from asyncapi.config.secret import flaw, is_variable
from asyncapi.config.urls import base_url as checked_url
from asyncapi.errors import ConfigError

__all__ = [
    "AIMD",
    "Batch",
    "Breaker",
    "Endpoint",
    "Fixed",
    "Hedge",
    "Key",
    "KeyPool",
    "KeyStrategy",
    "OnOpen",
    "Retry",
    "Shed",
    "Timeout",
]

KeyStrategy: TypeAlias = Literal["round_robin", "least_loaded", "weighted", "adaptive"]
OnOpen: TypeAlias = Literal["fail", "wait"]
Shed: TypeAlias = Literal["never", "hopeless", "overdue"]
Adaptive: TypeAlias = Literal["adaptive"]
Auto: TypeAlias = Literal["auto"]

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _demand(condition: bool, where: str, problem: str) -> None:
    if not condition:
        raise ConfigError(f"{where}: {problem}")


class Fixed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="fixed"):
    """At most ``limit`` attempts in flight."""

    limit: Count = 5

    def __post_init__(self) -> None:
        check_fields(self, "limit")


class AIMD(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="aimd", kw_only=True
):
    """A limit on attempts in flight that finds out what the service bears.

    Begins at ``initial``, grows while everything is in use and answers come as fast as ever, and is cut
    when the service is overloaded: never below ``minimum``, never above ``maximum``.
    """

    initial: Count = 5
    maximum: Count = 64
    minimum: Count = 1

    def __post_init__(self) -> None:
        check_fields(self, "limit")
        _demand(
            self.minimum <= self.initial <= self.maximum,
            "limit.initial",
            f"expected {self.minimum} (limit.minimum) to {self.maximum} (limit.maximum), got {self.initial}",
        )


class Timeout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long things may take.

    Units: seconds; None is no limit. ``total`` the whole call, queue and retries included;
    ``connect`` one TCP and TLS handshake; ``first_byte`` from sending to the answer's first byte;
    ``idle`` between two pieces of a streamed answer; ``first_token`` from sending to the first chunk
    of a stream that says something: a role, a ping or a count of tokens does not.

    ``minimum_rate`` (bytes a second) is the least that a stream must bring once its answer has begun:
    it may fall behind it by ``rate_window`` seconds. Time that the reader takes does not count.
    """

    total: Seconds | None = 600.0
    connect: Seconds | None = 5.0
    first_byte: Seconds | None = None
    idle: Seconds | None = 60.0
    first_token: Seconds | None = None
    minimum_rate: Positive | None = None
    rate_window: Seconds = 30.0

    def __post_init__(self) -> None:
        check_fields(self, "timeout")
        for name in ("minimum_rate", "rate_window"):
            _demand(getattr(self, name) != math.inf, f"timeout.{name}", "expected a finite number, got inf")
        for name in self.__struct_fields__:
            if getattr(self, name) == math.inf:  # TOML has inf, but nothing for None
                force_setattr(self, name, None)


class Retry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When and how often to try again.

    ``attempts`` counts the first one. The wait is full jitter over ``base * 2**n`` up to ``cap``
    (seconds), unless the service said how long. ``budget`` is the share of first attempts that may
    be added as retries, with ``reserve`` retries in hand at the start and at most ten times that saved up.
    """

    attempts: Count = 4
    base: SecondsOrZero = 0.5
    cap: SecondsOrZero = 20.0
    budget: Share = 0.2
    reserve: Amount = 10

    def __post_init__(self) -> None:
        check_fields(self, "retry")
        _demand(
            self.cap >= self.base,
            "retry.cap",
            f"expected at least retry.base ({shown(self.base)}), got {shown(self.cap)}",
        )


class Breaker(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When to stop sending to a failing service, and how to come back.

    Opens after ``failure_threshold`` failures in a row, or when, of the last ``window`` outcomes not
    older than ``window_seconds``, at least ``minimum_calls`` were seen and a share of ``failure_rate``
    failed, or a share of ``slow_rate`` were slow. Stays open half of ``reset_after`` (seconds) to all of
    it, as chance has it; that is doubled each time a probe fails, up to ``reset_maximum``. Half-open lets
    ``probes`` calls through at a time and closes after ``successes`` good ones. ``enabled=False`` counts
    but never opens.

    An answer is slow that took longer than ``slow_after`` (seconds; a stream: its first token). "auto" is
    four times what all but a twentieth of the answers took so far, and 30 s at least; None: none is slow.
    """

    failure_threshold: Count = 5
    reset_after: Seconds = 30.0
    reset_maximum: Seconds = 300.0
    window: Count = 50
    window_seconds: Seconds = 60.0
    minimum_calls: Count = 10
    failure_rate: Portion = 0.5
    slow_after: Seconds | Auto | None = None
    slow_rate: Portion = 0.9
    probes: Count = 1
    successes: Count = 2
    enabled: bool = True

    def __post_init__(self) -> None:
        check_fields(self, "breaker")
        _demand(
            self.reset_maximum >= self.reset_after,
            "breaker.reset_maximum",
            f"expected at least breaker.reset_after ({shown(self.reset_after)}), "
            f"got {shown(self.reset_maximum)}",
        )


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How compatible calls are gathered into one.

    A batch goes as soon as the service can take it, and gathers while it has to wait for its turn: at most
    ``size`` items, and never more than the service takes. ``wait`` bounds how long it is held for company
    where it could go at once; that happens only while calls come fast, and 0 forbids it. ``size=1`` turns
    gathering off.
    """

    size: Count = 10
    wait: SecondsOrZero = 0.01

    def __post_init__(self) -> None:
        check_fields(self, "batch")


class Hedge(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a call that may be sent twice gets a second copy. The first answer counts, the other is ended.

    ``after`` so many seconds from sending, or after the time that this share of such calls takes (of streams,
    to the first token), once ``minimum`` of them were seen, and not before ``least`` seconds. Copies are at
    most ``budget`` of the calls that could have one, and each also takes one from the retry budget. There
    is none while calls wait, while eight tenths of the limit are in use, or while the breaker is not closed.
    """

    after: Literal["p50", "p75", "p90", "p95", "p98", "p99"] | Seconds = "p95"
    budget: Portion = 0.02
    minimum: Count = 50
    least: SecondsOrZero = 0.05

    def __post_init__(self) -> None:
        check_fields(self, "hedge")


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An API key: its ``value``, or better the name of the variable that holds it (``env``).

    ``name`` identifies it in statistics, logs and ``key=`` arguments (default: ``env``, or
    ``key-1`` and so on). ``weight`` counts for the weighted strategy, ``requests_per_minute`` limits
    it (None: no limit), ``users`` reserves it for calls made for these user ids. ``tokens_per_minute``
    (input and output together), ``input_tokens_per_minute`` and ``output_tokens_per_minute`` limit what
    its calls use, by an estimate before each and by its real usage after it.
    """

    value: str = ""
    env: str = ""
    name: str = ""
    weight: Positive = 1.0
    requests_per_minute: Positive | None = None
    users: Annotated[tuple[str, ...], msgspec.Meta(description="an array of user ids")] = ()
    tokens_per_minute: Positive | None = None
    input_tokens_per_minute: Positive | None = None
    output_tokens_per_minute: Positive | None = None

    def __post_init__(self) -> None:
        check_fields(self, "key")
        _demand(
            bool(self.value) != bool(self.env),
            "key",
            f"expected either a value or env, got {'both' if self.value else 'neither'}",
        )
        wrong = flaw(self.value) if self.value else ""
        _demand(not wrong, "key.value", f"{wrong} (not shown here)")
        _demand(
            not self.value or self.value not in self.name, "key.name", "holds the secret; give it another"
        )
        _demand(
            not self.env or is_variable(self.env),
            "key.env",
            "expected the name of an environment variable, got something else (not shown, it might be the "
            'key itself); write env="OPENAI_API_KEY" or value="..."',
        )

    def __repr__(self) -> str:
        shown = f"env={self.env!r}" if self.env else "'***'" if self.value else "''"
        name = f", name={self.name!r}" if self.name else ""
        return f"Key({shown}{name}, weight={self.weight}, requests_per_minute={self.requests_per_minute})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("env", self.env or "***"), ("name", self.name)]


Keys: TypeAlias = Annotated[tuple[Key | str, ...], msgspec.Meta(description="an array of keys")]
Pool: TypeAlias = Annotated[tuple[Key, ...], msgspec.Meta(description="an array of Key tables")]
Tenants: TypeAlias = Annotated[Mapping[str, Positive], msgspec.Meta(description="a table of weights")]
Headers: TypeAlias = Annotated[Mapping[str, str], msgspec.Meta(description="a table of strings")]


class KeyPool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several keys for one endpoint and how to choose among them. An empty pool: those in the environment.

    ``strategy`` "round_robin" gives each its turn, "weighted" as often as its weight says, "least_loaded"
    takes the one with the least under way, and "adaptive" the better of two that chance draws: by what is
    under way, how long answers take, failures, and what the service says is left of the key's requests.
    """

    pool: Pool = ()
    strategy: KeyStrategy = "round_robin"

    def __post_init__(self) -> None:
        check_fields(self, "keys")


class Endpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One service at one address, with everything that guards it.

    None means: from the profile (``profile``, or the client's), and for ``base_url`` and ``keys``
    from the environment. ``queue_size`` is how many calls may wait; ``strict`` serves priorities
    strictly instead of 16 : 4 : 1. ``tenants`` are weights of tenants in the queue, 1 for those that are
    not named: ``{"gold": 4.0}``. ``requests_per_second`` spaces the endpoint's requests evenly.
    ``on_open`` says what a call does while the breaker is open: fail at once, or wait its turn. ``hedge``
    sends second copies of calls that take long, if they may be sent twice; True is ``Hedge()``.
    ``shed`` says which calls are let go under overload: those that can't make their deadline ("hopeless"),
    also HIGH and NORMAL ones that have waited for too long ("overdue"), or none ("never").

    Short forms: ``limit=20`` for ``Fixed(20)``, ``limit="adaptive"`` for ``AIMD()``, ``timeout=2.0``
    (seconds) for ``Timeout(total=2.0)`` with the profile's other timeouts, ``keys=("sk-a", "sk-b")`` for
    a pool of them. ``keys=()`` means none, whatever the environment holds.
    """

    backend: str
    name: str | None = None
    base_url: str | None = None
    keys: KeyPool | Keys | None = None
    limit: Fixed | AIMD | Adaptive | Count | None = None
    queue_size: Amount | None = None
    strict: bool = False
    tenants: Tenants = {}
    retry: Retry | None = None
    breaker: Breaker | None = None
    batch: Batch | None = None
    timeout: Timeout | Seconds | None = None
    headers: Headers = {}
    requests_per_second: Positive | None = None
    on_open: OnOpen | None = None
    hedge: Hedge | bool | None = None
    shed: Shed | None = None
    profile: str | None = None

    def __post_init__(self) -> None:
        check_fields(self, "endpoint")
        _check_name(self.backend, "endpoint.backend")
        if self.name is not None:
            _check_name(self.name, "endpoint.name")
        if self.base_url is not None:
            try:
                checked_url(self.base_url)
            except Misfit as misfit:
                raise ConfigError(f"endpoint.base_url: {misfit}") from None
        if isinstance(self.keys, tuple):
            force_setattr(self, "keys", tuple(_key(key, n) for n, key in enumerate(self.keys)))
        _check_headers(self.headers)

    def __repr__(self) -> str:
        return f"Endpoint({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What was given, header values hidden."""
        values = {name: getattr(self, name) for name in fields_of(Endpoint)}
        values["headers"] = dict.fromkeys(self.headers, "***")
        return [(n, v) for n, v in values.items() if not (v is None or v is False or v == {})]


def _key(given: Key | str, index: int) -> Key:
    try:
        return Key(given) if isinstance(given, str) else given
    except ConfigError as error:
        raise ConfigError(f"endpoint.keys[{index}]{error.message.removeprefix('key')}") from None


def _check_name(name: str, where: str) -> None:
    good = bool(name) and name.isprintable() and not any(c.isspace() or c == ":" for c in name)
    _demand(good, where, f"expected a name without colon and spaces, got {shown(name)}")


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        _demand(
            _HEADER_NAME.fullmatch(name) is not None,
            "endpoint.headers",
            f"expected header names of letters, digits and hyphens, got {shown(name)}",
        )
        good = value.isprintable() and value.isascii() and value == value.strip()
        _demand(
            good, f"endpoint.headers.{name}", "has a line break, a control or a non-ASCII character in it"
        )
