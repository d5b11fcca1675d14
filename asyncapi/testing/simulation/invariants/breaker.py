"""Breaker and limit: legal moves, few probes, and nothing counted that is not their business."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator

from asyncapi.testing.simulation.evidence import Evidence
from asyncapi.testing.simulation.history import LeaseReturned, LeaseTaken
from asyncapi.types.events import BreakerChanged

__all__ = ["INVARIANTS"]

_LEGAL = {("closed", "open"), ("open", "half-open"), ("half-open", "open"), ("half-open", "closed")}
_BAD = ("failed", "slow")


def the_breaker_moves_legally(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """Closed, open, half-open, and from there to either: each change begins where the last one ended."""
    states: defaultdict[str, str] = defaultdict(lambda: "closed")
    for at, change in evidence.history.of(BreakerChanged):
        name = change.endpoint
        if (change.old, change.new) not in _LEGAL or change.old != states[name]:
            yield at, f"the breaker of {name} was {states[name]} and went from {change.old} to {change.new}"
        states[name] = change.new


def nothing_is_granted_while_open(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """No lease is granted while the breaker is open; while it is half-open only probes are."""
    for at, lease in evidence.history.of(LeaseTaken):
        if lease.breaker == "open" or lease.probe is not (lease.breaker == "half-open"):
            probe = "a probe" if lease.probe else "no probe"
            yield at, f"{lease.call} got a lease, {probe}, while {lease.endpoint} was {lease.breaker}"


def probes_are_few(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """Of one half-open period, at most ``Breaker.probes`` are out at a time; none are while it is not
    half-open.
    """
    out: Counter[tuple[str, int]] = Counter()
    probes: dict[tuple[str, int], tuple[str, int]] = {}
    for at, what in evidence.history:
        if isinstance(what, LeaseTaken) and what.probe:
            period = (what.endpoint, what.generation)
            probes[what.endpoint, what.lease] = period
            out[period] += 1
            most = evidence.settings[what.endpoint].breaker.probes
            if out[period] > most:
                yield at, f"{what.endpoint} has {out[period]} probes out, {most} are allowed"
        elif isinstance(what, LeaseReturned):
            period = probes.pop((what.endpoint, what.lease), ("", 0))
            out[period] -= 1
    yield from evidence.seen_of("probes_are_few")


def the_breaker_opens_for_a_reason(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """It opens on a failure, after enough of them: never for a throttled, refused or cancelled call."""
    bad: Counter[tuple[str, int]] = Counter()
    opening: dict[str, float] = {}
    for at, what in evidence.history:
        if isinstance(what, BreakerChanged) and (what.old, what.new) == ("closed", "open"):
            opening[what.endpoint] = at
        elif isinstance(what, LeaseReturned):
            period = (what.endpoint, what.generation)
            bad[period] += what.verdict in _BAD
            if what.endpoint in opening:
                moment = opening.pop(what.endpoint)
                settings = evidence.settings[what.endpoint].breaker
                needed = min(
                    settings.failure_threshold, math.ceil(settings.failure_rate * settings.minimum_calls)
                )
                if what.verdict not in _BAD or bad[period] < needed:
                    yield (
                        moment,
                        f"{what.endpoint} opened on {what.verdict}, after {bad[period]} of {needed} failures",
                    )


def stale_permits_change_nothing(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """A call from before the breaker's last change can't change it when it ends."""
    for at, lease in evidence.history.of(LeaseReturned):
        before, after = lease.generations
        if before != after and lease.generation != before:
            yield at, f"{lease.call}, granted in period {lease.generation}, moved the breaker from {before}"


def the_limit_is_cut_once(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """One congestion cuts an adaptive limit once: a call from before the last cut does not cut it
    again.
    """
    cut: dict[str, float] = {}
    for at, lease in evidence.history.of(LeaseReturned):
        before, after = lease.limits
        # A ramp begins when the breaker closes, and takes back one by one the places of earlier calls.
        if after >= before - 1 or lease.generations[0] != lease.generations[1]:
            continue
        if lease.granted <= cut.get(lease.endpoint, -1.0):
            yield at, f"{lease.endpoint} went from {before} to {after} for a call from before its last cut"
        cut[lease.endpoint] = at


INVARIANTS = (
    the_breaker_moves_legally,
    nothing_is_granted_while_open,
    probes_are_few,
    the_breaker_opens_for_a_reason,
    stale_permits_change_nothing,
    the_limit_is_cut_once,
)
