"""Profiles: the defaults of everything that guards an endpoint, by one word."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from asyncapi.config.fields import Amount, check_fields, did_you_mean, quoted
from asyncapi.config.settings import AIMD, Batch, Breaker, Fixed, OnOpen, Retry, Shed, Timeout
from asyncapi.errors import ConfigError

__all__ = ["PROFILES", "Profile", "profile"]


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an endpoint gets where nothing else is said. The fields mean what they mean in ``Endpoint``."""

    limit: Fixed | AIMD = Fixed(5)
    queue_size: Amount = 100
    retry: Retry = Retry()
    breaker: Breaker = Breaker()
    batch: Batch = Batch()
    timeout: Timeout = Timeout()
    on_open: OnOpen = "fail"
    shed: Shed = "hopeless"

    def __post_init__(self) -> None:
        check_fields(self, "profile")


PROFILES: Mapping[str, Profile] = {
    # 5 in flight, 100 queued, breaker 5 failures / 30 s, batch 10: what most services stand at once.
    "balanced": Profile(),
    # Many short calls to a service that scales: more in flight, fuller batches, a breaker that a few
    # failures among hundreds in flight don't open.
    "high-throughput": Profile(
        limit=Fixed(64),
        queue_size=10_000,
        retry=Retry(attempts=5, base=0.25, budget=0.1, reserve=50),
        breaker=Breaker(failure_threshold=20, window=200, minimum_calls=40),
        batch=Batch(size=64, wait=0.02),
    ),
    # Every call shall succeed in the end, however long it takes: waits out an outage.
    "high-reliability": Profile(
        limit=Fixed(5),
        queue_size=1_000,
        retry=Retry(attempts=8, cap=60.0, budget=0.5, reserve=50),
        breaker=Breaker(reset_after=15.0, reset_maximum=120.0),
        timeout=Timeout(total=1800.0, connect=10.0, idle=120.0),
        on_open="wait",
    ),
    # A small machine or a model on it: little at a time, little in memory.
    "low-resource": Profile(
        limit=Fixed(2),
        queue_size=20,
        retry=Retry(attempts=3, reserve=5),
        breaker=Breaker(window=20, minimum_calls=5),
        batch=Batch(size=8, wait=0.02),
    ),
}


def profile(name: str) -> Profile:
    """The profile of this name.

    Raises:
        ConfigError: There is none; the message has the known names.
    """
    if name not in PROFILES:
        raise ConfigError(f"unknown profile {quoted(name)}; {did_you_mean(name, PROFILES)}")
    return PROFILES[name]
