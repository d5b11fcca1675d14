"""Whose turn it is: start-time fair queueing over flows.

A flow is (tenant, priority). Each call gets a start tag; the smallest goes first. Flows that both
wait share service by weight: between two of them the normalised service differs by at most one
call of each, so that nobody starves and nobody can push in. ``Strict`` serves priorities strictly
instead: HIGH first, whatever waits below it.

Newcomers start now, and who waits keeps the tags that follow from its own calls. In the paper now is
the tag of the call being served. Then new tenants that come for ever, as fast as calls are served, all
start at the same now, before the second call of an old one, which starves. Here now also moves on with
every call served, by its cost over the weights of all flows that are remembered, which is no faster
than if all were served at once, each in its share; but never further than one call of the newcomer
beyond the tag being served.

Nobody starves: the flows that are remembered are bounded in number, so now moves by some least step
with each call served, or stands one call of a newcomer beyond the tag being served. Either way the tags
of newcomers rise above that tag after a bounded number of calls, then it rises, and so it reaches every
tag that waits. The bound between two flows that wait holds as in the paper: tags are served in rising
order, those of a flow that waits have no gaps, and a newcomer's first is at most one call of its own
above the tag being served.

Source: Goyal, Vin, Cheng, "Start-time Fair Queueing", SIGCOMM 1996.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping
from typing import Protocol

from asyncapi.types.requests import Priority

__all__ = ["WEIGHTS", "Fair", "Order", "Strict"]

WEIGHTS = {Priority.HIGH: 16.0, Priority.NORMAL: 4.0, Priority.LOW: 1.0}
#: How many flows that don't wait, but were served more than their share, are remembered.
CLAIMS = 1000


class Order(Protocol):
    """Gives waiting calls their place in the queue. ``cost`` is that of all who wait."""

    cost: float

    def enter(self, tenant: Hashable, priority: Priority, cost: float) -> float:
        """The start tag of a call that begins to wait; the smallest goes first."""
        ...

    def ahead(self, tenant: Hashable, priority: Priority) -> float:
        """The cost of what will be served before a newcomer, if no other one comes."""
        ...

    def granted(self, tenant: Hashable, priority: Priority, tag: float, cost: float) -> None:
        """A waiting call got its turn."""
        ...

    def left(self, tenant: Hashable, priority: Priority, tag: float, cost: float) -> None:
        """A waiting call left without its turn."""
        ...

    def grew(self, tenant: Hashable, priority: Priority, more: float) -> None:
        """A call that got its turn costs ``more`` than was thought."""
        ...


class _Flow:
    __slots__ = ("ends", "finish", "gone", "served", "waiting", "weight")

    def __init__(self, finish: float, weight: float) -> None:
        self.weight = weight
        self.finish = finish  # finish tag of the newest call, of those that wait or were served
        self.served = finish  # finish tag of the newest call that got its turn
        self.waiting = 0
        self.ends: deque[float] = deque()  # finish tags of calls that wait, oldest first,
        self.gone: set[float] = set()  # and which of them left meanwhile


class Fair:
    """Start-time fair queueing.

    Args:
        tenants: Weights of tenants, 1.0 for those that are not named.

    State: the ``_tag`` served last; ``_virtual`` time, and the ``_step`` that it takes with the next one;
    per flow its finish tags; the ``_weight`` of all flows together; how many calls are ``_waiting``,
    at what ``cost``, in flows of what ``_backlog`` (their weights together).
    Flows that neither wait nor have much to lose are forgotten, so memory is bounded by what waits.
    """

    def __init__(self, tenants: Mapping[str, float] | None = None) -> None:
        self._tenants: dict[Hashable, float] = dict(tenants.items()) if tenants else {}
        self._tag = self._virtual = 0.0
        self._step = 0.0
        self._weight = self._backlog = self.cost = 0.0
        self._flows: dict[tuple[Hashable, Priority], _Flow] = {}
        self._waiting = 0
        self._sweep_at = 64

    def enter(self, tenant: Hashable, priority: Priority, cost: float) -> float:
        """The start tag: where the flow's newest call ends, or now if none waits and that is later."""
        flow = self._flows.get((tenant, priority))
        if flow is None:
            if len(self._flows) >= self._sweep_at:
                self._sweep()
            weight = WEIGHTS[priority] * self._tenants.get(tenant, 1.0)
            flow = self._flows[tenant, priority] = _Flow(self._tag, weight)
            self._weight += weight
        share, start = cost / flow.weight, flow.finish
        if not flow.waiting:  # who waits has a claim from before: a gap in its tags would take it away
            start = max(start, min(self._virtual, self._tag + share))
        flow.finish = start + share
        flow.ends.append(flow.finish)
        if not flow.waiting:
            self._backlog += flow.weight
        flow.waiting += 1
        self._waiting += 1
        self.cost += cost
        return start

    def ahead(self, tenant: Hashable, priority: Priority) -> float:
        """What is served before a newcomer's start tag, by the flows that wait: never more than all."""
        flow = self._flows.get((tenant, priority))
        start = self._tag if flow is None else flow.finish if flow.waiting else max(self._tag, flow.finish)
        return min(self.cost, (start - self._tag) * self._backlog)

    def granted(self, tenant: Hashable, priority: Priority, tag: float, cost: float) -> None:
        """Virtual time moves to the tag of the call being served, or by the share of the one before it."""
        if tag > self._tag:
            self._tag = tag
        self._virtual = max(self._virtual + self._step, tag)
        self._step = cost / self._weight
        flow = self._flows[tenant, priority]
        end = tag + cost / flow.weight
        flow.served = max(flow.served, end)
        while flow.ends and flow.ends[0] <= end:
            flow.gone.discard(flow.ends.popleft())
        self._one_less(flow, cost)

    def left(self, tenant: Hashable, priority: Priority, tag: float, cost: float) -> None:
        """The flow doesn't pay for what it did not get: its next call starts where the newest that
        still waits ends. (Calls that already wait behind this one keep their tags.)"""
        flow = self._flows[tenant, priority]
        ends, gone = flow.ends, flow.gone
        gone.add(tag + cost / flow.weight)
        while ends and ends[-1] in gone:
            gone.discard(ends.pop())
        flow.finish = ends[-1] if ends else flow.served
        if len(gone) > 64 and 2 * len(gone) > len(ends):
            flow.ends = deque(end for end in ends if end not in gone)
            gone.clear()
        self._one_less(flow, cost)

    def grew(self, tenant: Hashable, priority: Priority, more: float) -> None:
        """A call that got its turn costs ``more`` than was thought: its flow's next calls pay."""
        flow = self._flows.get((tenant, priority))
        if flow is not None:
            flow.finish += more / flow.weight
            flow.served += more / flow.weight

    def _one_less(self, flow: _Flow, cost: float) -> None:
        flow.waiting -= 1
        self._waiting -= 1
        self.cost -= cost
        if not flow.waiting:
            self._backlog -= flow.weight
        if not self._waiting:
            # Nothing waits: nobody is owed anything, and tags start again from zero, which also
            # keeps them small enough for exact arithmetic.
            self._flows.clear()
            self._tag = self._virtual = self._step = self._weight = self._backlog = self.cost = 0.0
        elif not flow.waiting:
            flow.finish = flow.served
            flow.ends.clear()
            flow.gone.clear()

    def _sweep(self) -> None:
        self._flows = {k: f for k, f in self._flows.items() if f.waiting or f.finish > self._virtual}
        if len(self._flows) > CLAIMS + 2 * self._waiting:
            # Under lasting overload by ever new tenants claims end slowly.
            # A tenant whose claim is forgotten, and who does return, gains one call.
            self._flows = {k: f for k, f in self._flows.items() if f.waiting}
        self._weight = sum(flow.weight for flow in self._flows.values())
        self._sweep_at = 64 + 2 * len(self._flows)


class Strict:
    """Strict priority, first come first served within one. LOW may starve: use it knowingly.

    State: the ``cost`` of what waits, in all and by priority (``_costs``).
    """

    def __init__(self) -> None:
        self.cost = 0.0
        self._costs = [0.0] * len(Priority)

    def enter(self, tenant: Hashable, priority: Priority, cost: float) -> float:
        """The priority itself; ties go by arrival."""
        self.cost += cost
        self._costs[priority] += cost
        return float(priority)

    def ahead(self, tenant: Hashable, priority: Priority) -> float:
        """Whatever is as urgent, or more."""
        return sum(self._costs[: priority + 1])

    def granted(self, tenant: Hashable, priority: Priority, tag: float, cost: float) -> None:
        """It waits no longer."""
        self.cost -= cost
        self._costs[priority] -= cost

    def left(self, tenant: Hashable, priority: Priority, tag: float, cost: float) -> None:
        """It waits no longer."""
        self.cost -= cost
        self._costs[priority] -= cost

    def grew(self, tenant: Hashable, priority: Priority, more: float) -> None:
        """Keeps no account."""
