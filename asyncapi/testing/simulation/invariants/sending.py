"""What is sent: only with a lease, only while somebody waits for it, and not more often than allowed."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator

from asyncapi import errors
from asyncapi.errors import AsyncAPIError
from asyncapi.policies.verdict import RetryRule, judge
from asyncapi.testing.simulation.evidence import Evidence
from asyncapi.testing.simulation.history import (
    CallBegan,
    CallEnded,
    CancelAsked,
    LeaseReturned,
    LeaseTaken,
    RequestArrived,
    RequestEnded,
)
from asyncapi.types.events import HedgeSent, RetryScheduled, RouteMoved, TransportSent, VerdictGiven

__all__ = ["INVARIANTS"]

_JUDGED = {
    cls.kind: judge(cls(""))
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, AsyncAPIError)
}
#: Errors whose retries draw nothing from the budget, and those that don't count as tries either.
_FREE = {kind for kind, judgement in _JUDGED.items() if judgement.free}
#: How long a batch's task may not know that its last member is gone: some turns of the loop.
_NEWS_S = 1e-4
_MOVES = {kind for kind in _FREE if _JUDGED[kind].retry is RetryRule.KEY}


def leases_are_returned_once(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """Every lease that is granted is given back, exactly once, whatever happens to its call."""
    out: dict[tuple[str, int], str] = {}
    for at, what in evidence.history:
        if isinstance(what, LeaseTaken):
            out[what.endpoint, what.lease] = what.call
        elif isinstance(what, LeaseReturned) and out.pop((what.endpoint, what.lease), None) is None:
            yield at, f"{what.call} gave a lease of {what.endpoint} back that it did not have"
    for (endpoint, number), call in out.items():
        yield None, f"{call} never gave lease {number} of {endpoint} back"


def the_limit_is_kept(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """When a lease is granted, no more are out than the limit says then."""
    for at, lease in evidence.history.of(LeaseTaken):
        if lease.in_flight > lease.limit:
            yield at, f"{lease.endpoint} has {lease.in_flight} in flight, its limit is {lease.limit}"


def nothing_is_sent_without_a_lease(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """A service only ever sees requests whose call holds a lease at that moment."""
    held: Counter[tuple[str, str]] = Counter()
    for at, what in evidence.history:
        if isinstance(what, LeaseTaken):
            held[what.endpoint, what.call] += 1
        elif isinstance(what, LeaseReturned):
            held[what.endpoint, what.call] -= 1
        elif isinstance(what, RequestArrived) and held[what.service, what.call] < 1:
            yield at, f"{what.service} got a request of {what.call}, which holds no lease"


def nothing_is_sent_for_nobody(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """Nothing is sent once every caller that it is for has ended or was cancelled.

    A batch and a flight have tasks of their own, which learn of it some turns of the loop later.
    """
    gone: dict[str, float] = {}
    for at, what in evidence.history:
        if isinstance(what, CallBegan):
            gone[what.call] = math.inf
        elif isinstance(what, CallEnded | CancelAsked):
            gone[what.call] = min(at, gone.get(what.call, at))
        elif isinstance(what, RequestArrived):
            shared = what.kind == "embed" or evidence.plan.single_flight
            news = at - _NEWS_S if shared else at
            if all(gone.get(call, -math.inf) <= news for call in what.calls):
                yield at, f"{what.service} got a request for {', '.join(what.calls)}, which had ended"


def nothing_is_sent_too_late(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """Nothing is sent after the deadline of every caller that it is for."""
    deadlines = {began.call: began.deadline for _, began in evidence.history.of(CallBegan)}
    for at, request in evidence.history.of(RequestArrived):
        latest = max((deadlines.get(call, at) for call in request.calls), default=at)
        if at > latest + evidence.slack:
            yield at, f"a request for {', '.join(request.calls)} was sent {at - latest:.3f} s too late"


def every_request_is_judged(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """What the client sends is what services get, and each request gets exactly one verdict."""
    for name in evidence.endpoints:
        sent = sum(event.endpoint == name for _, event in evidence.history.of(TransportSent))
        came = sum(request.service == name for _, request in evidence.history.of(RequestArrived))
        judged = sum(event.endpoint == name for _, event in evidence.history.of(VerdictGiven))
        ended = sum(request.service == name for _, request in evidence.history.of(RequestEnded))
        if not sent == came == judged == ended:
            yield None, f"{name}: {sent} sent, {came} arrived, {ended} ended there, {judged} judged"


def nothing_is_sent_twice(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """A call is sent again only after it was said that it would be retried, or moves on its route."""
    sent: Counter[tuple[str, str]] = Counter()
    again: Counter[tuple[str, str]] = Counter()
    for at, what in evidence.history:
        if isinstance(what, TransportSent) and evidence.kind(what.request_id) != "embed":
            place = (what.endpoint, what.request_id)
            sent[place] += 1
            if sent[place] > 1 + again[place]:
                yield at, f"{what.request_id} was sent {sent[place]} times, after {again[place]} retries"
        elif isinstance(what, RetryScheduled):
            again[what.endpoint, what.request_id] += 1
        elif isinstance(what, HedgeSent):
            again[what.to, what.request_id] += 1
        elif isinstance(what, RouteMoved):  # also back to a target that only rested
            place = (what.to.partition(":")[0], what.request_id)
            again[place] += bool(sent[place])


def identical_calls_share_a_request(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """With single-flight, a service never has two requests at a time that ask the same in the same way."""
    if not evidence.plan.single_flight or any(endpoint.hedge for endpoint in evidence.plan.endpoints):
        return  # a hedged call has a copy
    under_way: dict[tuple[object, ...], int] = {}
    for at, what in evidence.history:
        if isinstance(what, RequestArrived) and what.kind != "embed":
            place = (what.service, what.kind, what.question, *evidence.wishes(what.call))
            if place in under_way:
                yield at, f"{what.service} got {what.question} while it was answering it"
            under_way[place] = what.number
        elif isinstance(what, RequestEnded):
            under_way = {place: number for place, number in under_way.items() if number != what.number}


def attempts_are_bounded(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """No call is tried more often than ``Retry.attempts`` says, moves to another key aside.

    A batch that is refused goes in halves, each of them an attempt.
    """
    moves: Counter[tuple[str, str]] = Counter()
    for at, what in evidence.history:
        if isinstance(what, HedgeSent):
            # A copy has the next number; elsewhere it is the first all the same.
            moves[what.endpoint, what.request_id] += 1
            if what.to != what.endpoint:
                moves[what.to, what.request_id] += what.attempt - 1
        elif isinstance(what, RetryScheduled) and what.error in _MOVES:
            moves[what.endpoint, what.request_id] += 1
        elif isinstance(what, TransportSent) and evidence.kind(what.request_id) != "embed":
            most = evidence.settings[what.endpoint].retry.attempts
            if what.attempt - moves[what.endpoint, what.request_id] > most:
                yield at, f"{what.request_id} goes for the {what.attempt}th time, {most} are allowed"


def retries_stay_in_their_budget(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """At every moment the retries and copies of an endpoint are at most its reserve and its share of first
    attempts.
    """
    firsts: defaultdict[str, int] = defaultdict(int)
    retries: defaultdict[str, int] = defaultdict(int)
    for at, what in evidence.history:
        if isinstance(what, TransportSent):
            firsts[what.endpoint] += what.attempt == 1
        elif isinstance(what, HedgeSent) or (isinstance(what, RetryScheduled) and what.error not in _FREE):
            name = what.to if isinstance(what, HedgeSent) else what.endpoint  # where it adds load
            retries[name] += 1
            retry = evidence.settings[name].retry
            allowed = max(1.0, retry.reserve + retry.budget * firsts[name])
            if retries[name] > allowed + 1e-6:
                yield at, f"{name}: {retries[name]} retries for {firsts[name]} first attempts"


INVARIANTS = (
    leases_are_returned_once,
    the_limit_is_kept,
    nothing_is_sent_without_a_lease,
    nothing_is_sent_for_nobody,
    nothing_is_sent_too_late,
    every_request_is_judged,
    nothing_is_sent_twice,
    identical_calls_share_a_request,
    attempts_are_bounded,
    retries_stay_in_their_budget,
)
