"""The end: the run ends, nothing is left, everything works again."""

from __future__ import annotations

from collections.abc import Iterator

from asyncapi.testing.simulation.evidence import Evidence
from asyncapi.testing.simulation.history import Calm, RequestEnded
from asyncapi.types.events import CallFinished, RetryScheduled, VerdictGiven

__all__ = ["INVARIANTS"]

#: What a recovery may take beside the breaker's rest: a minute of used-up rate, and the answers (seconds).
_PATIENCE_S = 180.0


def it_ends(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """No deadlock, no livelock, no failure of the run itself."""
    if evidence.stuck is not None:
        yield None, evidence.stuck


def nothing_is_left(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """At rest no permit, place, token or probe is out; after closing no task and no timer is left."""
    for what in (*evidence.left, *evidence.pending):
        yield None, what


def the_loop_is_silent(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """Nothing reaches the loop's exception handler."""
    for what in evidence.loop_errors:
        yield None, what


def the_service_recovers(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """Once services are healthy, callers that come back are all answered, in bounded time, and
    breakers close.
    """
    calm = evidence.history.of(Calm)
    if not calm:
        return
    asked = max((r.retry_after or 0.0 for _, r in evidence.history.of(RequestEnded)), default=0.0)
    bound = calm[0][0]
    for settings in evidence.settings.values():
        bound += max(settings.breaker.reset_maximum, 1.1 * asked) + _PATIENCE_S
    for at, end in evidence.ends.values():
        if int(end.call[1:]) >= evidence.plan.beyond:
            if end.outcome not in ("ok", "queue_full", "circuit_open"):
                yield at, f"after everything was well again, {end.call} ended as {end.outcome}"
            elif at > bound:
                yield at, f"{end.call} ended as {end.outcome} {at - calm[0][0]:.1f} s after all was well"


def statistics_agree(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """What ``Client.statistics`` counts is what happened."""
    if evidence.statistics is None:
        return
    for name, told in evidence.statistics.items():
        history = evidence.history
        found = {
            "calls": sum(event.endpoint == name for _, event in history.of(CallFinished)),
            "requests": sum(event.endpoint == name for _, event in history.of(VerdictGiven)),
            "retries": sum(event.endpoint == name for _, event in history.of(RetryScheduled)),
        }
        said = {"calls": told.calls.finished, "requests": told.requests, "retries": told.retries}
        for what, count in found.items():
            if said[what] != count:
                yield None, f"{name}: statistics say {said[what]} {what}, there were {count}"


INVARIANTS = (it_ends, nothing_is_left, the_loop_is_silent, the_service_recovers, statistics_agree)
