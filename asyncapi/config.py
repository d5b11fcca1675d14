"""Frozen settings: what an endpoint is, and how it queues, limits, retries, breaks and batches.

Settings come from Python, from ``asyncapi.toml`` and from the environment, with the same words.
Times are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from asyncapi.errors import ConfigError

__all__ = [
    "Batch",
    "Breaker",
    "Endpoint",
    "Fixed",
    "Key",
    "KeyPool",
    "KeyStrategy",
    "OnOpen",
    "Retry",
    "Timeout",
]

KeyStrategy: TypeAlias = Literal["round_robin", "least_loaded", "weighted"]
OnOpen: TypeAlias = Literal["fail", "wait"]


def _check(condition: bool, name: str, expected: str, got: object) -> None:
    if not condition:
        raise ConfigError(f"{name}: expected {expected}, got {got!r}")


class Fixed(msgspec.Struct, frozen=True, tag_field="kind", tag="fixed"):
    """At most ``limit`` attempts in flight."""

    limit: int = 5

    def __post_init__(self) -> None:
        _check(self.limit >= 1, "limit", "an integer of 1 or more", self.limit)


class Timeout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long things may take.

    Units: seconds; None is no limit. ``total`` the whole call, queue and retries included;
    ``connect`` one TCP and TLS handshake; ``first_byte`` from sending to the answer's first byte;
    ``idle`` between two pieces of a streamed answer.
    """

    total: float | None = 600.0
    connect: float | None = 5.0
    first_byte: float | None = None
    idle: float | None = 60.0

    def __post_init__(self) -> None:
        for name in ("total", "connect", "first_byte", "idle"):
            value = getattr(self, name)
            _check(value is None or value > 0, f"timeout.{name}", "a number of seconds above 0", value)


class Retry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When and how often to try again.

    ``attempts`` counts the first one. The wait is full jitter over ``base * 2**n`` up to ``cap``
    (seconds), unless the service said how long. ``budget`` is the share of first attempts that may
    be added as retries, with ``reserve`` retries in hand at the start and at most ten times that saved up.
    """

    attempts: int = 4
    base: float = 0.5
    cap: float = 20.0
    budget: float = 0.2
    reserve: int = 10

    def __post_init__(self) -> None:
        _check(self.attempts >= 1, "retry.attempts", "an integer of 1 or more", self.attempts)
        _check(self.base >= 0, "retry.base", "a number of seconds of 0 or more", self.base)
        _check(self.cap >= self.base, "retry.cap", f"at least retry.base ({self.base})", self.cap)
        _check(self.budget >= 0, "retry.budget", "a share of 0 or more", self.budget)
        _check(self.reserve >= 0, "retry.reserve", "an integer of 0 or more", self.reserve)


class Breaker(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When to stop sending to a failing service, and how to come back.

    Opens after ``failure_threshold`` failures in a row, or when, of the last ``window`` outcomes not
    older than ``window_seconds``, at least ``minimum_calls`` were seen and a share of ``failure_rate``
    failed. Stays open ``reset_after`` seconds, doubled each time a probe fails, up to
    ``reset_maximum``. Half-open lets ``probes`` calls through at a time and closes after
    ``successes`` good ones. ``enabled=False`` counts but never opens.
    """

    failure_threshold: int = 5
    reset_after: float = 30.0
    reset_maximum: float = 300.0
    window: int = 50
    window_seconds: float = 60.0
    minimum_calls: int = 10
    failure_rate: float = 0.5
    probes: int = 1
    successes: int = 2
    enabled: bool = True

    def __post_init__(self) -> None:
        _check(self.failure_threshold >= 1, "breaker.failure_threshold", "1 or more", self.failure_threshold)
        _check(self.reset_after > 0, "breaker.reset_after", "seconds above 0", self.reset_after)
        _check(
            self.reset_maximum >= self.reset_after,
            "breaker.reset_maximum",
            f"at least breaker.reset_after ({self.reset_after})",
            self.reset_maximum,
        )
        _check(self.window >= 1, "breaker.window", "1 or more", self.window)
        _check(self.window_seconds > 0, "breaker.window_seconds", "seconds above 0", self.window_seconds)
        _check(self.minimum_calls >= 1, "breaker.minimum_calls", "1 or more", self.minimum_calls)
        _check(
            0 < self.failure_rate <= 1,
            "breaker.failure_rate",
            "a share above 0, at most 1",
            self.failure_rate,
        )
        _check(self.probes >= 1, "breaker.probes", "1 or more", self.probes)
        _check(self.successes >= 1, "breaker.successes", "1 or more", self.successes)


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How compatible calls are gathered into one.

    At most ``size`` items (and never more than the service takes) and at most ``wait`` seconds after
    the first item. ``size=1`` turns it off.
    """

    size: int = 10
    wait: float = 0.01

    def __post_init__(self) -> None:
        _check(self.size >= 1, "batch.size", "1 or more", self.size)
        _check(self.wait >= 0, "batch.wait", "seconds of 0 or more", self.wait)


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An API key: its ``value``, or better the name of the variable that holds it (``env``).

    ``name`` identifies it in statistics, logs and ``key=`` arguments (default: ``env``, or
    ``key-1`` and so on). ``weight`` counts for the weighted strategy, ``requests_per_minute`` limits
    it (None: no limit), ``users`` reserves it for calls made for these user ids.
    """

    value: str = ""
    env: str = ""
    name: str = ""
    weight: float = 1.0
    requests_per_minute: float | None = None
    users: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check(bool(self.value) != bool(self.env), "key", "either a value or env, not empty", self)
        _check(self.weight > 0, "key.weight", "a number above 0", self.weight)
        rpm = self.requests_per_minute
        _check(rpm is None or rpm > 0, "key.requests_per_minute", "a number above 0", rpm)

    def __repr__(self) -> str:
        shown = f"env={self.env!r}" if self.env else "'***'" if self.value else "''"
        name = f", name={self.name!r}" if self.name else ""
        return f"Key({shown}{name}, weight={self.weight}, requests_per_minute={self.requests_per_minute})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("env", self.env or "***"), ("name", self.name)]


class KeyPool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several keys for one endpoint and how to choose among them."""

    pool: tuple[Key, ...] = ()
    strategy: KeyStrategy = "round_robin"


class Endpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One service at one address, with everything that guards it.

    None means: from the profile (``profile``, or the client's), and for ``base_url`` and ``keys``
    from the environment. ``queue_size`` is how many calls may wait; ``strict`` serves priorities
    strictly instead of 16 : 4 : 1. ``requests_per_second`` spaces the endpoint's requests evenly.
    ``on_open`` says what a call does while the breaker is open: fail at once, or wait its turn.

    Short forms: ``limit=20`` for ``Fixed(20)``, ``timeout=2.0`` (seconds) for ``Timeout(total=2.0)``,
    ``keys=("sk-a", "sk-b")`` for a pool of them.
    """

    backend: str
    name: str | None = None
    base_url: str | None = None
    keys: KeyPool | tuple[Key | str, ...] | None = None
    limit: Fixed | int | None = None
    queue_size: int | None = None
    strict: bool = False
    retry: Retry | None = None
    breaker: Breaker | None = None
    batch: Batch | None = None
    timeout: Timeout | float | None = None
    headers: Mapping[str, str] = {}
    requests_per_second: float | None = None
    on_open: OnOpen = "fail"
    profile: str | None = None
