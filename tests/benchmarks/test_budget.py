"""The gate: what a call may cost, counted, and proof that it notices."""

import asyncio

import pytest

import asyncapi._core.perform
import asyncapi.client
from asyncapi._core.call import Call
from asyncapi.types.responses import Response
from benchmarks import budget

Counts = dict[str, dict[str, float]]


def test_a_call_costs_no_more_than_its_budget() -> None:
    """If it must: ``python -m benchmarks.budget --update``, and say why in the commit."""
    assert budget.above(budget.measured(), budget.budget()) == []


def test_the_same_code_gives_the_same_counts() -> None:
    """Nothing in them depends on chance, time or load."""
    first, second = budget.measured(), budget.measured()

    assert _counts(first) == _counts(second)


def test_one_needless_task_a_call_fails_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a careless commit might add it."""
    perform = asyncapi._core.perform.perform

    async def careless(call: Call) -> Response:
        return await asyncio.create_task(perform(call))

    monkeypatch.setattr(asyncapi.client, "perform", careless)
    failures = budget.above(budget.measured(), budget.budget())

    assert any(failure.startswith("call: tasks is 1, allowed are 0") for failure in failures)
    assert any(failure.startswith("call: handles is") for failure in failures)
    assert any(failure.startswith("queued_call: tasks is 2") for failure in failures)


def test_one_needless_function_a_call_fails_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the package's own, called once more."""
    call = asyncapi.runtime.Runtime.call

    def careless(
        self: asyncapi.runtime.Runtime, request: asyncapi.Request, options: asyncapi.client.CallOptions
    ) -> Call:
        self.knows("openai")
        return call(self, request, options)

    monkeypatch.setattr(asyncapi.runtime.Runtime, "call", careless)
    failures = budget.above(budget.measured(), budget.budget())

    assert any(failure.startswith("call: functions is") for failure in failures)


def test_what_stays_in_memory_fails_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object kept for each call."""
    perform = asyncapi._core.perform.perform
    kept: list[object] = []

    async def careless(call: Call) -> Response:
        kept.append((call, object()))
        return await perform(call)

    monkeypatch.setattr(asyncapi.client, "perform", careless)
    failures = budget.above(budget.measured(), budget.budget())

    assert any(failure.startswith("call: kept_blocks is") for failure in failures)


def _counts(found: Counts) -> Counts:
    names = ("functions", "builtins", "handles", "timers", "tasks")
    return {shape: {name: counts[name] for name in names} for shape, counts in found.items()}
