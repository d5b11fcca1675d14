"""Whose turn it is: start-time fair queueing over flows.

A flow is (tenant, priority). Each call gets a start tag; the smallest goes first. Flows that both
wait share service by weight: between two of them the normalised service differs by at most one
call of each, so that nobody starves and nobody can push in. ``Strict`` serves priorities strictly
instead: HIGH first, whatever waits below it.

Source: Goyal, Vin, Cheng, "Start-time Fair Queueing", SIGCOMM 1996.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

from asyncapi.types.requests import Priority

__all__ = ["WEIGHTS", "Fair", "Order", "Strict"]

WEIGHTS = {Priority.HIGH: 16.0, Priority.NORMAL: 4.0, Priority.LOW: 1.0}


class Order(Protocol):
    """Gives waiting calls their place in the queue."""

    def enter(self, tenant: Hashable, priority: Priority, cost: float) -> float:
        """The start tag of a call that begins to wait; the smallest goes first."""
        ...

    def granted(self, tenant: Hashable, priority: Priority, tag: float, cost: float) -> None:
        """A waiting call got its turn."""
        ...

    def left(self, tenant: Hashable, priority: Priority, tag: float, cost: float) -> None:
        """A waiting call left without its turn."""
        ...


class _Flow:
    __slots__ = ("finish", "served", "waiting")

    def __init__(self, finish: float) -> None:
        self.finish = finish  # finish tag of the newest call
        self.served = finish  # finish tag of the newest call that got its turn
        self.waiting = 0


class Fair:
    """Start-time fair queueing.

    State: ``_virtual`` time (start tag of the call served last), per flow its finish tags, and how
    many calls are ``_waiting``. Flows without a claim are forgotten, so memory is bounded by what waits.
    """

    def __init__(self) -> None:
        self._virtual = 0.0
        self._flows: dict[tuple[Hashable, Priority], _Flow] = {}
        self._waiting = 0
        self._sweep_at = 64

    def enter(self, tenant: Hashable, priority: Priority, cost: float) -> float:
        """The start tag: where the flow's newest call ends, or now."""
        flow = self._flows.get((tenant, priority))
        if flow is None:
            if len(self._flows) >= self._sweep_at:
                self._sweep()
            flow = self._flows[tenant, priority] = _Flow(self._virtual)
        start = max(self._virtual, flow.finish)
        flow.finish = start + cost / WEIGHTS[priority]
        flow.waiting += 1
        self._waiting += 1
        return start

    def granted(self, tenant: Hashable, priority: Priority, tag: float, cost: float) -> None:
        """Virtual time moves to the tag of the call being served."""
        self._virtual = max(self._virtual, tag)
        flow = self._flows[tenant, priority]
        flow.served = max(flow.served, tag + cost / WEIGHTS[priority])
        self._one_less(tenant, priority, flow)

    def left(self, tenant: Hashable, priority: Priority, tag: float, cost: float) -> None:
        """The flow doesn't pay for what it did not get: the newest call's share is given back."""
        flow = self._flows[tenant, priority]
        if flow.finish == tag + cost / WEIGHTS[priority]:
            flow.finish = tag
        self._one_less(tenant, priority, flow)

    def _one_less(self, tenant: Hashable, priority: Priority, flow: _Flow) -> None:
        flow.waiting -= 1
        self._waiting -= 1
        if not self._waiting:
            # Nothing waits: nobody is owed anything, and tags start again from zero, which also
            # keeps them small enough for exact arithmetic.
            self._flows.clear()
            self._virtual = 0.0
        elif not flow.waiting:
            # Whatever was cancelled behind the last served call is forgotten here at the latest.
            flow.finish = flow.served

    def _sweep(self) -> None:
        self._flows = {k: f for k, f in self._flows.items() if f.waiting or f.finish > self._virtual}
        self._sweep_at = 64 + 2 * len(self._flows)


class Strict:
    """Strict priority, first come first served within one. LOW may starve: use it knowingly."""

    def enter(self, tenant: Hashable, priority: Priority, cost: float) -> float:
        """The priority itself; ties go by arrival."""
        return float(priority)

    def granted(self, tenant: Hashable, priority: Priority, tag: float, cost: float) -> None:
        """Keeps no account."""

    def left(self, tenant: Hashable, priority: Priority, tag: float, cost: float) -> None:
        """Keeps no account."""
