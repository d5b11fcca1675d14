"""Profiles: the defaults by one word."""

from __future__ import annotations

import pytest

from asyncapi.config import PROFILES, Batch, Breaker, Fixed, Profile, Retry, Timeout, profile
from asyncapi.errors import ConfigError


def test_balanced_has_the_defaults() -> None:
    """5 in flight, 100 queued, breaker 5 failures / 30 s, batches of 10."""
    balanced = profile("balanced")

    assert (balanced.limit, balanced.queue_size, balanced.on_open) == (Fixed(5), 100, "fail")
    assert (balanced.breaker.failure_threshold, balanced.breaker.reset_after) == (5, 30.0)
    assert balanced.batch.size == 10
    assert balanced == Profile(retry=Retry(), breaker=Breaker(), batch=Batch(), timeout=Timeout())


def test_the_others_differ_in_the_direction_of_their_name() -> None:
    """More at once, longer patience, or less of everything."""
    balanced, fast = profile("balanced"), profile("high-throughput")
    patient, small = profile("high-reliability"), profile("low-resource")

    assert (small.limit, balanced.limit, fast.limit) == (Fixed(2), Fixed(5), Fixed(64))
    assert small.queue_size < balanced.queue_size < fast.queue_size
    assert patient.retry.attempts > balanced.retry.attempts
    assert patient.on_open == "wait"
    assert PROFILES.keys() == {"balanced", "high-throughput", "high-reliability", "low-resource"}


def test_an_unknown_profile_is_refused_with_the_nearest_and_all_names() -> None:
    """A slip of the finger costs one look."""
    with pytest.raises(ConfigError) as caught:
        profile("high-trughput")

    assert str(caught.value) == (
        'unknown profile "high-trughput"; did you mean "high-throughput"? '
        "Known: balanced, high-reliability, high-throughput, low-resource"
    )


def test_a_profile_of_ones_own_is_checked() -> None:
    """Its fields follow the same rules."""
    with pytest.raises(ConfigError, match=r"profile\.queue_size: expected an integer of 0 or more, got -1"):
        Profile(queue_size=-1)
