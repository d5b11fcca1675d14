"""Calls: each ends once, in time, with its own answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from asyncapi import errors
from asyncapi.errors import AsyncAPIError
from asyncapi.testing.simulation.bodies import CHUNKS
from asyncapi.testing.simulation.evidence import Evidence
from asyncapi.testing.simulation.history import CallBegan, CancelAsked
from asyncapi.types.events import CallFinished

__all__ = ["INVARIANTS"]

_KINDS = {
    cls.kind for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, AsyncAPIError)
}
_OUTCOMES = _KINDS | {"ok", "cancelled"}


def every_call_ends_once(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """Each call that a caller began ends exactly once, for its caller and for the client's hooks."""
    began = Counter(began.call for _, began in evidence.history.of(CallBegan))
    ended = Counter(what.call for what in (end for _, end in evidence.ends.values()))
    finished = Counter(event.request_id for _, event in evidence.history.of(CallFinished))
    for call in began:
        if not ended[call]:
            yield None, f"{call} never ended"
            continue
        if evidence.plan.single_flight:
            continue  # the client counts flights
        wanted = int(evidence.ends[call][1].met)
        if finished[call] != wanted and not evidence.routed(call):
            yield None, f"{call} was counted {finished[call]} times, not {wanted}"
    for call, count in finished.items():
        if call not in began and not evidence.plan.single_flight:
            yield None, f"{call} was counted {count} times and nobody asked for it"


def outcomes_agree(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """The client counts a call as what its caller saw; a stream left early counts as cancelled."""
    for at, event in evidence.history.of(CallFinished):
        found = evidence.ends.get(event.request_id)
        if found is None or evidence.plan.single_flight or evidence.routed(event.request_id):
            continue
        end = found[1]
        left = end.left or (end.outcome == "cancelled" and evidence.kind(end.call) == "stream")
        if event.outcome != end.outcome and not (left and event.outcome in ("ok", "cancelled")):
            yield at, f"{end.call} counts as {event.outcome}, its caller saw {end.outcome}"


def cancellations_get_through(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """A caller that is cancelled before its end sees the cancellation, nothing else."""
    for at, asked in evidence.history.of(CancelAsked):
        found = evidence.ends.get(asked.call)
        if found is not None and found[1].outcome != "cancelled":
            yield at, f"{asked.call} was cancelled ({asked.why}) and ended as {found[1].outcome}"


def nobody_is_cancelled_unasked(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """No cancellation of the client's own making reaches a caller."""
    asked = {asked.call for _, asked in evidence.history.of(CancelAsked)}
    for at, end in evidence.ends.values():
        if end.outcome == "cancelled" and end.call not in asked:
            yield at, f"{end.call} was cancelled by nobody"


def deadlines_are_kept(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """No call lasts beyond its deadline, apart from the pauses that its own reader makes."""
    pauses = {f"c{call.number}": call.pause * (CHUNKS + 3) for call in evidence.plan.calls if call.pause}
    for _, began in evidence.history.of(CallBegan):
        found = evidence.ends.get(began.call)
        latest = began.deadline + pauses.get(began.call, 0.0) + evidence.slack
        if found is not None and found[0] > latest:
            yield found[0], f"{began.call} ended {found[0] - began.deadline:.3f} s after its deadline"


def answers_belong_to_their_calls(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """Every caller gets its own answer, or an error of this package."""
    for at, end in evidence.ends.values():
        if end.outcome not in _OUTCOMES:
            yield at, f"{end.call} got {end.outcome}"


def streams_are_whole(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """A stream that ends well has all of its parts: a cut one is never taken for a short answer."""
    for at, end in evidence.ends.values():
        if (
            end.outcome == "ok"
            and not end.left
            and evidence.kind(end.call) == "stream"
            and end.read != CHUNKS
        ):
            yield at, f"{end.call} ended well with {end.read} of {CHUNKS} parts"


INVARIANTS = (
    every_call_ends_once,
    outcomes_agree,
    cancellations_get_through,
    nobody_is_cancelled_unasked,
    deadlines_are_kept,
    answers_belong_to_their_calls,
    streams_are_whole,
)
