"""A simulator: the real client and its core in virtual time, against services that a scenario describes.

::

    result = simulate(SCENARIOS["outage"], seed=7)
    assert not result.violations
    print(result.summary.outcomes)

Everything comes from the seed: the same scenario and seed give the same history, byte for byte. What must
hold in every run is checked: see ``INVARIANTS``. A plan that failed is made small with ``shrink``, kept
with ``Plan.to_json`` and run again with ``run_plan``. On the command line: ``python -m
asyncapi.testing.simulation``.
"""

from __future__ import annotations

from asyncapi.testing.simulation.evidence import Evidence, Violation
from asyncapi.testing.simulation.generator import random_scenario
from asyncapi.testing.simulation.history import Entry, Happening, History
from asyncapi.testing.simulation.invariants import INVARIANTS, check
from asyncapi.testing.simulation.named import SCENARIOS
from asyncapi.testing.simulation.plan import draw
from asyncapi.testing.simulation.run import Result, Sample, Summary, run_plan, simulate
from asyncapi.testing.simulation.scenario import (
    Action,
    Bursty,
    Chaos,
    Fault,
    Load,
    LogNormal,
    Plan,
    PlannedCall,
    Poisson,
    Scenario,
    Service,
    Trace,
)
from asyncapi.testing.simulation.shrink import shrink

__all__ = [
    "INVARIANTS",
    "SCENARIOS",
    "Action",
    "Bursty",
    "Chaos",
    "Entry",
    "Evidence",
    "Fault",
    "Happening",
    "History",
    "Load",
    "LogNormal",
    "Plan",
    "PlannedCall",
    "Poisson",
    "Result",
    "Sample",
    "Scenario",
    "Service",
    "Summary",
    "Trace",
    "Violation",
    "check",
    "draw",
    "random_scenario",
    "run_plan",
    "shrink",
    "simulate",
]
