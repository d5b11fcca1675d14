"""The simulator itself: deterministic, complete, and it finds what is broken."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest

from asyncapi import ConfigError, Endpoint, Key
from asyncapi._core.endpoint import Endpoint as CoreEndpoint
from asyncapi._core.lease import Lease
from asyncapi.errors import ClientClosedError
from asyncapi.testing.simulation import (
    SCENARIOS,
    Action,
    Chaos,
    Fault,
    Load,
    LogNormal,
    Plan,
    Poisson,
    Scenario,
    Service,
    draw,
    random_scenario,
    run_plan,
    shrink,
    simulate,
)
from asyncapi.testing.simulation.history import CallEnded, CancelAsked, RequestArrived
from asyncapi.testing.simulation.many import Totals, run_seed, run_seeds

#: How many random worlds the suite runs; `nox -s simulate` runs more.
SEEDS = 120
QUICK = Service(first_token=LogNormal(0.1), per_token=0.001)


def small(**changes: object) -> Scenario:
    """A quiet world of ten seconds."""
    scenario = Scenario(services={"main": QUICK}, loads=(Load(arrivals=Poisson(5.0)),), duration=10.0)
    return msgspec.structs.replace(scenario, **changes)


def test_the_same_seed_gives_the_same_history_in_every_process() -> None:
    """Byte for byte, whatever the order of sets of strings."""
    code = (
        "from asyncapi.testing.simulation import *;"
        "print([simulate(random_scenario(seed), seed).digest for seed in range(6)])"
    )

    told = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for hash_seed in ("1", "2")
    ]

    assert told[0] == told[1]
    assert len(set(told[0].split(", "))) == 6


def test_two_seeds_give_two_histories() -> None:
    """Everything that is left to chance comes from the seed."""
    assert simulate(small(), 1).digest != simulate(small(), 2).digest


@pytest.mark.slow
def test_many_random_worlds_keep_every_invariant() -> None:
    """The number for every commit; a failing seed is run again by itself with --seed."""
    totals, bad = Totals(), {}
    for report in run_seeds(range(SEEDS), 1):
        totals.add(report)
        if report.violations:
            bad[report.seed] = report.violations[:3]

    assert bad == {}
    assert totals.seeds == SEEDS
    assert totals.requests > 10 * SEEDS


@pytest.mark.parametrize("name", sorted(set(SCENARIOS) - {"capacity-steps"}))
@pytest.mark.slow
def test_the_named_worlds_keep_every_invariant(name: str) -> None:
    """Each of them, and most calls of each end well."""
    result = simulate(SCENARIOS[name], 1)

    assert result.violations == ()
    assert result.summary.outcomes["ok"] > 100


def test_a_plan_can_be_kept_and_run_again() -> None:
    """As JSON, with everything in it."""
    plan = draw(random_scenario(3), 3)

    again = Plan.from_json(plan.to_json())

    assert again == plan
    assert run_plan(again).digest == run_plan(plan).digest


def test_a_leak_is_found_and_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A permit that is kept when an attempt fails: few calls and one fault are left of the world."""
    settle = CoreEndpoint.settle

    def forgetful(endpoint: CoreEndpoint, lease: Lease, *rest: Any, **more: Any) -> None:
        settle(endpoint, lease, *rest, **more)
        if len(rest) > 1:
            endpoint.semaphore.in_flight += 1

    monkeypatch.setattr(CoreEndpoint, "settle", forgetful)
    world = small(
        loads=(Load(arrivals=Poisson(20.0), timeout=(5.0,)),),
        faults=(
            Fault(kind="errors", start=0.0, end=10.0, share=0.2),
            Fault(kind="brownout", start=3.0, end=10.0, value=2.0),
        ),
    )
    result = simulate(world, 0)

    plan = shrink(result.plan, [result.violations[0].invariant], runs=120)

    assert result.violations[0].invariant == "permits_are_leases"
    assert len(plan.calls) <= 4
    assert [fault.kind for fault in plan.faults] == ["errors"]
    assert run_plan(plan).violations


def test_a_lost_wake_up_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that never looks leaves callers waiting: the run ends all the same, and says so."""
    monkeypatch.setattr("asyncapi._core.worker.Worker.kick", lambda self: None)

    result = simulate(small(endpoints=(Endpoint("openai", name="main", keys=("sk-a",), limit=1),)), 0)

    assert {"nobody_waits_for_nothing"} <= {violation.invariant for violation in result.violations}


def test_every_fault_happens() -> None:
    """Each kind of fault shows in what callers see or how long it takes."""
    shown = {
        "outage": "connect",
        "errors": "server_error",
        "overloaded": "overloaded",
        "throttled": "rate_limited",
        "rejected": "invalid_request",
        "revoked": "no_key",
        "quota": "no_key",
        "garbage": "decode",
        "hang": "timeout",
        "cut": "connection_lost",
    }
    for kind, outcome in shown.items():
        fault = Fault(kind=kind, start=0.0, end=100.0)  # type: ignore[arg-type]
        result = simulate(small(faults=(fault,), loads=(Load(timeout=(5.0,)),)), 0)

        assert outcome in result.summary.outcomes, kind
        assert result.violations == (), kind


def test_a_slow_service_is_slower() -> None:
    """By a brownout's factor; by the slots that it has."""
    plain = simulate(small(), 0).summary.p50_s
    brown = simulate(small(faults=(Fault(kind="brownout", start=0.0, end=99.0, value=5.0),)), 0).summary.p50_s
    tight = simulate(small(services={"main": msgspec.structs.replace(QUICK, slots=1)}), 0).summary.p50_s

    assert plain is not None
    assert brown is not None
    assert tight is not None
    assert brown > 3 * plain
    assert tight > plain


def test_a_service_counts_its_limits_exactly() -> None:
    """What is above is refused, with the time until the oldest request is a minute old."""
    limited = msgspec.structs.replace(QUICK, requests_per_minute=10.0, headers=False)
    result = simulate(small(services={"main": limited}, loads=(Load(arrivals=Poisson(3.0)),)), 0)

    times = [at for at, _ in result.history.of(RequestArrived)]

    assert result.summary.answers["429"]
    assert result.summary.answers["200"] >= 10
    assert len(times) > 10
    assert result.violations == ()


def test_a_client_can_be_closed_in_the_middle() -> None:
    """Calls that come later are refused, and nothing is left."""
    result = simulate(small(actions=(Action(at=5.0, kind="close"),)), 0)

    assert result.summary.outcomes[ClientClosedError.kind] > 5
    assert result.violations == ()


def test_callers_give_up_also_in_the_turn_of_their_grant() -> None:
    """Both kinds of cancellation are in the history, and each is one for its caller."""
    world = small(
        endpoints=(Endpoint("openai", name="main", keys=("sk-a",), limit=1, queue_size=100),),
        loads=(Load(arrivals=Poisson(20.0), cancelled=0.3),),
        chaos=Chaos(strike=0.5, shuffle=0.5),
    )

    result = simulate(world, 0)

    assert {asked.why for _, asked in result.history.of(CancelAsked)} == {"patience", "grant"}
    assert result.violations == ()


def test_samples_show_the_endpoint_over_time() -> None:
    """In flight, limit, queue and breaker, at even distances."""
    result = simulate(small(), 0, sample_every=0.5)

    assert [sample.at for sample in result.samples[:3]] == [0.0, 0.5, 1.0]
    assert max(sample.in_flight for sample in result.samples) >= 1
    assert {sample.breaker for sample in result.samples} == {"closed"}


def test_the_summary_counts_what_happened() -> None:
    """Calls by outcome, requests by status, latencies of the good ones."""
    result = simulate(small(), 0)

    summary = result.summary

    assert summary.outcomes == {"ok": summary.calls}
    assert summary.answers == {"200": summary.requests}
    assert summary.p50_s is not None
    assert 0.1 < summary.p50_s < 1.0
    assert summary.elapsed_s > 9.0
    assert len(result.history.of(CallEnded)) > summary.calls  # those of the recovery are not planned ones


def test_only_what_can_be_simulated_is_taken() -> None:
    """A key from the environment has no value here."""
    endpoint = Endpoint("openai", name="main", keys=(Key(env="OPENAI_API_KEY"),))

    with pytest.raises(ConfigError, match="a simulated endpoint has keys with values"):
        simulate(small(endpoints=(endpoint,)), 0)


@pytest.mark.slow
def test_seeds_run_on_several_processes() -> None:
    """Every seed once, whichever process it ran in."""
    reports = list(run_seeds(range(12), 2))

    assert sorted(report.seed for report in reports) == list(range(12))
    assert run_seed(3) == next(report for report in reports if report.seed == 3)
