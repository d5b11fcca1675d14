"""The queue: bounded, in order, fair, and never asleep while somebody could go."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from asyncapi.policies.fairness import WEIGHTS
from asyncapi.testing.simulation.evidence import Evidence
from asyncapi.testing.simulation.history import CallBegan, CallEnded, CancelAsked, LeaseTaken
from asyncapi.types.events import QueueEntered, QueueRefused
from asyncapi.types.requests import Priority

__all__ = ["INVARIANTS"]

_Flow = tuple[str, str]


def the_queue_is_bounded(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """No more newcomers wait than ``queue_size`` says."""
    return evidence.seen_of("the_queue_is_bounded")


def the_queue_counts_right(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """The queue's count is the number of calls that wait in it."""
    return evidence.seen_of("the_queue_counts_right")


def nobody_waits_for_nothing(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """Time never passes while the head of a queue could go: no wake-up is lost."""
    return evidence.seen_of("nobody_waits_for_nothing")


def permits_are_leases(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """Permits in flight, leases that are out, and the keys' counts are the same number, never below
    zero.
    """
    return evidence.seen_of("permits_are_leases")


def flows_are_served_in_order(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """Within one tenant and one priority, calls that may use any key are served first come, first
    served.
    """
    numbers: dict[tuple[str, str], int] = {}
    latest: dict[tuple[str, _Flow], int] = {}
    for number, (at, what) in enumerate(evidence.history):
        if isinstance(what, QueueEntered):
            numbers[what.endpoint, what.request_id] = number
        elif isinstance(what, LeaseTaken) and what.queued:
            entered = numbers.pop((what.endpoint, what.call), None)
            if entered is None or what.attempts or not evidence.plain(what.call):
                continue
            flow = (what.endpoint, (what.tenant, what.priority))
            if entered < latest.get(flow, -1):
                yield at, f"{what.call} is served after one of its flow that came later"
            latest[flow] = max(entered, latest.get(flow, -1))


def the_smallest_tag_goes_first(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """While a call that may use any key waits, nobody with a larger start tag is served."""
    tags: defaultdict[str, list[float]] = defaultdict(list)
    since: dict[tuple[str, str], int] = {}
    for at, what in evidence.history:
        if isinstance(what, QueueEntered):
            since[what.endpoint, what.request_id] = len(tags[what.endpoint])
        elif isinstance(what, LeaseTaken) and what.queued and what.tag is not None:
            granted = tags[what.endpoint]
            entered = since.pop((what.endpoint, what.call), None)
            if entered is not None and evidence.plain(what.call):
                highest = max(granted[entered:], default=what.tag)
                if highest > what.tag:
                    yield at, f"{what.call} with tag {what.tag:.4f} waited while {highest:.4f} was served"
            granted.append(what.tag)


class _Waiting(NamedTuple):
    flow: _Flow
    ahead: int
    served: Counter[_Flow]


class _Line:
    """One endpoint's queue as the history shows it."""

    def __init__(self) -> None:
        self.served: Counter[_Flow] = Counter()  # cost, of newcomers that had waited
        self.waiting: dict[str, _Waiting] = {}
        self.present: Counter[_Flow] = Counter()
        self.period: Counter[_Flow] = Counter()  # how many came since their flow last was empty
        self.largest = 1.0
        self.even = True

    def enter(self, call: str, flow: _Flow) -> None:
        if not self.present[flow]:
            self.period[flow] = 0
        self.present[flow] += 1
        self.period[flow] += 1
        self.waiting[call] = _Waiting(flow, self.period[flow], self.served.copy())

    def leave(self, call: str) -> _Waiting | None:
        found = self.waiting.pop(call, None)
        if found is not None:
            self.present[found.flow] -= 1
        return found

    def excess(self, found: _Waiting) -> str | None:
        """Who was served beyond the bound while this one waited."""
        weight = WEIGHTS[Priority[found.flow[1]]]
        for other, served in self.served.items():
            got = served - found.served[other]
            share = WEIGHTS[Priority[other[1]]] / weight
            # A call that cost more than was thought is paid for by those of its flow that come after it.
            own, other_s = (1, 2) if self.even else (2, 4)
            bound = self.largest * (share * (found.ahead + own) + other_s)
            if other != found.flow and got > bound + 1e-6:
                return f"{other} was served {got:g} while it waited, at most {bound:g} is fair"
        return None


def nobody_starves(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """While a call waits, another flow gets at most its weight's share of what is ahead of that call,
    and two more.

    The bound of start-time fair queueing: ``weights' ratio * (calls of its own flow ahead + 1) + 2``, in
    costs.
    """
    lines: defaultdict[str, _Line] = defaultdict(_Line)
    flows = {began.call: (began.tenant, began.priority) for _, began in evidence.history.of(CallBegan)}
    strict = {name for name, settings in evidence.settings.items() if settings.strict}
    # A flow pays later for what it got inside of another one's batch: that is not in what was ahead.
    batches = any(call.kind == "embed" for call in evidence.plan.calls)
    places: defaultdict[str, set[str]] = defaultdict(set)
    for at, what in evidence.history:
        excess = None
        if isinstance(what, QueueEntered):
            if what.request_id in flows:
                places[what.request_id].add(what.endpoint)
                flow = (flows[what.request_id][0], what.priority)
                lines[what.endpoint].enter(what.request_id, flow)
        elif isinstance(what, LeaseTaken) and what.queued:
            line = lines[what.endpoint]
            line.largest = max(line.largest, what.cost)
            line.even = line.even and what.cost == 1.0
            found = line.leave(what.call)
            if found is not None and what.plain and not what.attempts:
                excess = line.excess(found) if evidence.plain(what.call) else None
                line.served[what.tenant, what.priority] += what.cost  # type: ignore[assignment]
            name, call = what.endpoint, what.call
        elif isinstance(what, QueueRefused):
            # It left at its turn; its caller hears of it a little later, when others have been served.
            name, call = what.endpoint, what.request_id
            found = lines[name].leave(call)
            if found is not None and evidence.plain(call):
                excess = lines[name].excess(found)
        elif isinstance(what, CallEnded | CancelAsked):
            for name in places.pop(what.call, ()):
                found = lines[name].leave(what.call)
                call = what.call
                if found is not None and evidence.plain(what.call):
                    excess = excess or lines[name].excess(found)
        if excess and name not in strict and (lines[name].even or not batches):
            yield at, f"{call} at {name}: {excess}"


INVARIANTS = (
    permits_are_leases,
    the_queue_is_bounded,
    the_queue_counts_right,
    nobody_waits_for_nothing,
    flows_are_served_in_order,
    the_smallest_tag_goes_first,
    nobody_starves,
)
