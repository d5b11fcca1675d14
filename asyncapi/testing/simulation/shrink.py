"""From a plan that fails to a small one that still fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from asyncapi.testing.simulation.run import run_plan
from asyncapi.testing.simulation.scenario import Chaos, Plan, PlannedCall

__all__ = ["shrink"]

T = TypeVar("T")
_PLAIN = PlannedCall(number=0, at=0.0)
_SIMPLER = ("cancel_after", "leaves_after", "pause", "key", "tenant", "priority", "kind", "on_open")


class _Budget:
    def __init__(self, fails: Callable[[Plan], bool], runs: int) -> None:
        self._fails, self.left = fails, runs

    def fails(self, plan: Plan) -> bool:
        """Whether the plan still fails; no, once the budget is used up."""
        if self.left <= 0:
            return False
        self.left -= 1
        return self._fails(plan)


def shrink(plan: Plan, invariants: Sequence[str] = (), *, runs: int = 400) -> Plan:
    """A smaller plan that breaks one of these invariants (any, if none is named).

    Drops calls by halves, quarters and so on (delta debugging), then faults, actions and mischief, then makes
    the calls that are left plain. The result is the smallest found within so many runs.

    Source: Zeller, Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE TSE 2002.
    """

    def fails(candidate: Plan) -> bool:
        found = {violation.invariant for violation in run_plan(candidate).violations}
        return bool(found & set(invariants)) if invariants else bool(found)

    budget = _Budget(fails, runs)
    before = None
    while plan != before and budget.left > 0:
        before = plan
        plan = _fewer(plan, "calls", budget)
        plan = _fewer(plan, "faults", budget)
        plan = _fewer(plan, "actions", budget)
        plan = _first(plan, _calmer(plan), budget)
        plan = _plainer(plan, budget)
    return plan


def _fewer(plan: Plan, field: str, budget: _Budget) -> Plan:
    """Without those of a tuple that the failure does not need."""
    size = max(1, len(getattr(plan, field)) // 2)
    while True:
        place, items = 0, getattr(plan, field)
        while place < len(items):
            rest = (*items[:place], *items[place + size :])
            candidate = _with(plan, **{field: rest})
            if budget.fails(candidate):
                plan, items = candidate, rest
            else:
                place += size
        if size == 1:
            return plan
        size //= 2


def _calmer(plan: Plan) -> Iterator[Plan]:
    yield _with(plan, chaos=Chaos())
    for name in Chaos.__struct_fields__:
        if getattr(plan.chaos, name):
            yield _with(plan, chaos=msgspec.structs.replace(plan.chaos, **{name: 0.0}))
    if plan.recovery:
        yield _with(plan, recovery=False)


def _plainer(plan: Plan, budget: _Budget) -> Plan:
    """Each call as plain as it may be."""
    if len(plan.calls) > 20:
        return plan
    for place, call in enumerate(plan.calls):
        for name in _SIMPLER:
            value = getattr(_PLAIN, name)
            if getattr(call, name) != value:
                simpler = msgspec.structs.replace(call, **{name: value})
                candidate = _with(plan, calls=(*plan.calls[:place], simpler, *plan.calls[place + 1 :]))
                if budget.fails(candidate):
                    plan, call = candidate, simpler
    return plan


def _first(plan: Plan, candidates: Iterator[Plan], budget: _Budget) -> Plan:
    return next((candidate for candidate in candidates if budget.fails(candidate)), plan)


def _with(plan: Plan, **changes: Any) -> Plan:
    return msgspec.structs.replace(plan, **changes)
