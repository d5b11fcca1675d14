"""Every invariant can fail: each is fed a history in which it does not hold, and one in which it does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest

from asyncapi import Breaker, Endpoint, Key, Retry
from asyncapi.telemetry.values import Calls, EndpointStatistics
from asyncapi.testing.simulation import (
    INVARIANTS,
    Entry,
    Evidence,
    History,
    Plan,
    PlannedCall,
    Service,
    check,
)
from asyncapi.testing.simulation.history import (
    CallBegan,
    CallEnded,
    Calm,
    CancelAsked,
    KeyChanged,
    LeaseReturned,
    LeaseTaken,
    RequestArrived,
    RequestEnded,
)
from asyncapi.types.events import (
    BreakerChanged,
    CallFinished,
    KeyCooled,
    KeyParked,
    QueueEntered,
    RetryScheduled,
    TransportSent,
    VerdictGiven,
)

Story = list[tuple[float, Any]]

PLAN = Plan(
    name="test",
    seed=0,
    endpoints=(
        Endpoint(
            "openai",
            name="main",
            base_url="https://main.sim/v1",
            keys=(
                Key("sk-a", name="a", requests_per_minute=2.0, tokens_per_minute=100.0),
                Key("sk-b", name="b"),
            ),
            retry=Retry(attempts=2, budget=0.0, reserve=1),
            breaker=Breaker(failure_threshold=2, probes=1, reset_after=10.0, reset_maximum=20.0),
        ),
    ),
    services={"main": Service()},
    calls=(
        PlannedCall(number=0, at=0.0),
        PlannedCall(number=1, at=0.0, kind="stream"),
        PlannedCall(number=2, at=0.0, kind="embed"),
    ),
)


def evidence(story: Iterable[tuple[float, Any]], flights: bool = False, **more: Any) -> Evidence:
    """A run in which this happened."""
    plan = msgspec.structs.replace(PLAN, single_flight=flights)
    return Evidence(plan, History(entries=[Entry(at, what) for at, what in story]), **more)


def began(call: str = "c0", *, priority: str = "NORMAL", deadline: float = 60.0) -> CallBegan:
    """A caller awaits a call."""
    return CallBegan(call, "chat", "main:m", priority, "", deadline)


def finished(call: str = "c0", outcome: str = "ok") -> CallFinished:
    """The client counted a call."""
    return CallFinished(
        endpoint="main",
        request_id=call,
        backend="openai",
        operation="chat",
        model="m",
        key="a",
        outcome=outcome,
        attempts=1,
        queue_wait_s=0.0,
        service_s=0.0,
        first_token_s=None,
        total_s=0.0,
        usage=None,
        tag="",
    )


def taken(call: str = "c0", **more: Any) -> LeaseTaken:
    """A lease was granted."""
    values: dict[str, Any] = {
        "endpoint": "main",
        "call": call,
        "lease": 1,
        "key": "a",
        "breaker": "closed",
        "generation": 0,
        "probe": False,
        "in_flight": 1,
        "limit": 5,
        "priority": "NORMAL",
        "tenant": "",
        "tag": None,
        "cost": 1.0,
        "queued": False,
        "plain": True,
        "attempts": 0,
    }
    return LeaseTaken(**(values | more))


def returned(call: str = "c0", **more: Any) -> LeaseReturned:
    """A lease was given back."""
    values: dict[str, Any] = {
        "endpoint": "main",
        "call": call,
        "lease": 1,
        "verdict": "ok",
        "sent": True,
        "granted": 0.0,
        "generation": 0,
        "generations": (0, 0),
        "limits": (5, 5),
    }
    return LeaseReturned(**(values | more))


def arrived(call: str = "c0", number: int = 1, key: str = "sk-a", kind: str = "chat") -> RequestArrived:
    """A service got a request."""
    return RequestArrived("main", number, call, key, kind, (call,), "q1", 10)


def sent(call: str = "c0", attempt: int = 1) -> TransportSent:
    """The client sent a request."""
    return TransportSent(endpoint="main", request_id=call, key="a", attempt=attempt, body_bytes=1)


def again(call: str = "c0", error: str = "server_error") -> RetryScheduled:
    """The client says that it will try again."""
    return RetryScheduled(endpoint="main", request_id=call, key="a", attempt=1, delay_s=0.0, error=error)


def judged(call: str = "c0") -> VerdictGiven:
    """An attempt was judged."""
    return VerdictGiven(
        endpoint="main", request_id=call, key="a", attempt=1, verdict="ok", error="", service_s=0.0
    )


def entered(call: str = "c0", priority: str = "NORMAL") -> QueueEntered:
    """A call waits."""
    return QueueEntered(endpoint="main", request_id=call, priority=priority, waiting=1)


def changed(old: str, new: str) -> BreakerChanged:
    """The breaker moved."""
    return BreakerChanged(endpoint="main", old=old, new=new, reason="")


def cooled(seconds: float, key: str = "a") -> KeyCooled:
    """A key rests."""
    return KeyCooled(endpoint="main", key=key, seconds_s=seconds)


def ended(call: str = "c0", outcome: str = "ok", **more: Any) -> CallEnded:
    """A caller has its answer."""
    return CallEnded(call, outcome, **more)


def queued(call: str, tag: float, **more: Any) -> LeaseTaken:
    """A waiting call was granted its lease."""
    return taken(call, tag=tag, queued=True, **more)


def spent(number: int, at: float) -> Story:
    """A request that used 50 tokens of a key that has 100 a minute."""
    return [(at, arrived(number=number)), (at + 1.0, RequestEnded("main", number, "200", None, 50))]


LOW = {"priority": "LOW", "tenant": ""}
#: Of each invariant: a story that breaks it, and one like it that does not.
STORIES: dict[str, tuple[Story, Story]] = {
    "every_call_ends_once": (
        [(0, began()), (1, finished()), (1, finished()), (1, ended())],
        [(0, began()), (1, finished()), (1, ended())],
    ),
    "outcomes_agree": (
        [(0, began()), (1, finished(outcome="cancelled")), (1, ended())],
        [(0, began()), (1, finished()), (1, ended())],
    ),
    "cancellations_get_through": (
        [(0, began()), (1, CancelAsked("c0", "patience")), (2, ended())],
        [(0, began()), (1, CancelAsked("c0", "patience")), (2, ended(outcome="cancelled"))],
    ),
    "nobody_is_cancelled_unasked": (
        [(0, began()), (2, ended(outcome="cancelled"))],
        [(0, began()), (1, CancelAsked("c0", "patience")), (2, ended(outcome="cancelled"))],
    ),
    "deadlines_are_kept": (
        [(0, began(deadline=5.0)), (5.1, ended(outcome="timeout"))],
        [(0, began(deadline=5.0)), (5.0, ended(outcome="timeout"))],
    ),
    "answers_belong_to_their_calls": (
        [(0, began()), (1, ended(outcome="the answer of another call"))],
        [(0, began()), (1, ended(outcome="server_error"))],
    ),
    "streams_are_whole": (
        [(0, began("c1")), (1, ended("c1", read=3))],
        [(0, began("c1")), (1, ended("c1", read=4))],
    ),
    "leases_are_returned_once": (
        [(0, taken()), (1, returned()), (1, returned())],
        [(0, taken()), (1, returned())],
    ),
    "the_limit_is_kept": ([(0, taken(in_flight=6, limit=5))], [(0, taken(in_flight=5, limit=5))]),
    "nothing_is_sent_without_a_lease": (
        [(0, taken()), (1, returned()), (1, arrived())],
        [(0, taken()), (1, arrived()), (1, returned())],
    ),
    "nothing_is_sent_for_nobody": (
        [(0, began()), (1, ended(outcome="cancelled")), (1, arrived())],
        [(0, began()), (1, arrived()), (1, ended(outcome="cancelled"))],
    ),
    "nothing_is_sent_too_late": (
        [(0, began(deadline=5.0)), (6, arrived())],
        [(0, began(deadline=5.0)), (5, arrived())],
    ),
    "every_request_is_judged": (
        [(0, sent()), (0, arrived()), (1, RequestEnded("main", 1, "200"))],
        [(0, sent()), (0, arrived()), (1, RequestEnded("main", 1, "200")), (1, judged())],
    ),
    "nothing_is_sent_twice": (
        [(0, sent()), (1, sent(attempt=2))],
        [(0, sent()), (1, again()), (1, sent(attempt=2))],
    ),
    "identical_calls_share_a_request": (
        [(0, arrived()), (1, arrived(number=2))],
        [(0, arrived()), (1, RequestEnded("main", 1, "200")), (1, arrived(number=2))],
    ),
    "attempts_are_bounded": (
        [(0, sent()), (1, sent(attempt=2)), (2, sent(attempt=3))],
        [(0, sent()), (1, again(error="authentication")), (1, sent(attempt=2)), (2, sent(attempt=3))],
    ),
    "retries_stay_in_their_budget": (
        [(0, sent()), (1, again()), (2, again())],
        [(0, sent()), (1, again()), (2, again(error="connect"))],
    ),
    "flows_are_served_in_order": (
        [(0, entered("c0")), (1, entered("c1")), (2, queued("c1", 0.0)), (3, queued("c0", 0.0))],
        [(0, entered("c0")), (1, entered("c1")), (2, queued("c0", 0.0)), (3, queued("c1", 0.0))],
    ),
    "the_smallest_tag_goes_first": (
        [(0, entered("c0")), (1, entered("c1")), (2, queued("c1", 2.0)), (3, queued("c0", 1.0))],
        [(0, entered("c0")), (1, entered("c1")), (2, queued("c0", 1.0)), (3, queued("c1", 2.0))],
    ),
    "nobody_starves": (
        [
            *[(0.0, began(f"c{n}", priority="LOW")) for n in range(4)],
            (0, began("c9", priority="HIGH")),
            (1, entered("c9", "HIGH")),
            *[(1.0, entered(f"c{n}", "LOW")) for n in range(4)],
            *[(2.0 + n, queued(f"c{n}", float(n), **LOW)) for n in range(4)],
            (9, queued("c9", 0.0, priority="HIGH")),
        ],
        [
            *[(0.0, began(f"c{n}", priority="LOW")) for n in range(4)],
            (0, began("c9", priority="HIGH")),
            (1, entered("c9", "HIGH")),
            *[(1.0, entered(f"c{n}", "LOW")) for n in range(4)],
            (2, queued("c0", 0.0, **LOW)),
            (2, queued("c9", 0.0, priority="HIGH")),
            *[(2.0 + n, queued(f"c{n}", float(n), **LOW)) for n in range(1, 4)],
        ],
    ),
    "rates_are_kept": (
        [(0.0, arrived()), (30.0, arrived("c1")), (59.9, arrived("c2"))],
        [(0.0, arrived()), (30.0, arrived("c1")), (60.0, arrived("c2")), (60.0, arrived("c2", key="sk-b"))],
    ),
    "token_rates_are_kept": (
        [entry for n in range(4) for entry in spent(n, 10.0 * n)],
        [entry for n in range(4) for entry in spent(n, 30.0 * n)],
    ),
    "resting_keys_are_not_used": (
        [(0, cooled(10.0)), (1, cooled(2.0)), (5, taken())],
        [(0, cooled(10.0)), (1, KeyChanged("main", "a", "restore")), (5, taken()), (6, taken(key="b"))],
    ),
    "retry_after_is_kept": (
        [(0, arrived()), (1, RequestEnded("main", 1, "429", 5.0)), (3, arrived("c1", 2))],
        [(0, arrived()), (1, RequestEnded("main", 1, "429", 5.0)), (3, arrived("c1", 2, "sk-b"))],
    ),
    "the_breaker_moves_legally": (
        [(0, changed("closed", "half-open"))],
        [
            (0, changed("closed", "open")),
            (1, changed("open", "half-open")),
            (2, changed("half-open", "closed")),
        ],
    ),
    "nothing_is_granted_while_open": (
        [(0, taken(breaker="open"))],
        [(0, taken()), (1, taken(breaker="half-open", probe=True))],
    ),
    "probes_are_few": (
        [
            (0, taken(breaker="half-open", probe=True, generation=2, lease=1)),
            (1, taken(breaker="half-open", probe=True, generation=2, lease=2)),
        ],
        [
            (0, taken(breaker="half-open", probe=True, generation=2, lease=1)),
            (1, returned(lease=1)),
            (1, taken(breaker="half-open", probe=True, generation=2, lease=2)),
        ],
    ),
    "the_breaker_opens_for_a_reason": (
        [(0, returned(verdict="failed")), (1, changed("closed", "open")), (1, returned(verdict="throttled"))],
        [(0, returned(verdict="failed")), (1, changed("closed", "open")), (1, returned(verdict="failed"))],
    ),
    "stale_permits_change_nothing": (
        [(0, returned(generation=1, generations=(3, 4)))],
        [(0, returned(generation=1, generations=(3, 3))), (1, returned(generation=3, generations=(3, 4)))],
    ),
    "the_limit_is_cut_once": (
        [(1, returned(limits=(10, 7))), (2, returned(limits=(7, 4), granted=0.5))],
        [(1, returned(limits=(10, 7))), (2, returned(limits=(7, 4), granted=1.5))],
    ),
    "the_service_recovers": (
        [(0, Calm()), (1, began("c3")), (2, ended("c3", "timeout"))],
        [(0, Calm()), (1, began("c3")), (2, ended("c3"))],
    ),
}
#: Invariants that are looked at between the steps of a run, or at its end.
SEEN = ("permits_are_leases", "the_queue_is_bounded", "the_queue_counts_right", "nobody_waits_for_nothing")
AT_THE_END: dict[str, dict[str, Any]] = {
    "it_ends": {"stuck": "DeadlockError: nothing is ready"},
    "nothing_is_left": {"left": ("main still has 1 leases",)},
    "the_loop_is_silent": {"loop_errors": ("a task failed",)},
    "statistics_agree": {"statistics": {"main": EndpointStatistics(calls=Calls(succeeded=1))}},
}


def named(name: str) -> Callable[[Evidence], Any]:
    """The invariant of this name."""
    return next(invariant for invariant in INVARIANTS if invariant.__name__ == name)


@pytest.mark.parametrize("name", STORIES)
def test_a_story_that_breaks_it_is_found(name: str) -> None:
    """Told with what was seen, and nothing is found in the story that keeps it."""
    broken, kept = STORIES[name]
    flights = name == "identical_calls_share_a_request"

    assert list(named(name)(evidence(broken, flights)))
    assert list(named(name)(evidence(kept, flights))) == []


@pytest.mark.parametrize("name", SEEN)
def test_what_is_seen_between_two_steps_is_told(name: str) -> None:
    """With the moment in which it was seen first."""
    found = list(named(name)(evidence([], seen={(name, "what was seen"): 3.5})))

    assert found == [(3.5, "what was seen")]
    assert list(named(name)(evidence([]))) == []


@pytest.mark.parametrize("name", AT_THE_END)
def test_what_is_left_at_the_end_is_told(name: str) -> None:
    """A run that is stuck, things that are left, errors that nobody saw, wrong counts."""
    assert list(named(name)(evidence([], **AT_THE_END[name])))
    assert list(named(name)(evidence([]))) == []


def test_no_invariant_is_left_out() -> None:
    """Each that is checked is shown to fail here."""
    assert {invariant.__name__ for invariant in INVARIANTS} == {*STORIES, *SEEN, *AT_THE_END}


def test_each_says_what_it_holds() -> None:
    """In its docstring: it is the text of the documentation."""
    assert all((invariant.__doc__ or "").strip() for invariant in INVARIANTS)


def test_a_call_that_never_ends_is_found() -> None:
    """Also one that was counted though nobody asked for it."""
    told = [what for _, what in named("every_call_ends_once")(evidence([(0, began()), (1, finished("c7"))]))]

    assert told == ["c0 never ended", "c7 was counted 1 times and nobody asked for it"]


def test_a_lease_that_is_kept_is_found() -> None:
    """At the end of the run."""
    assert list(named("leases_are_returned_once")(evidence([(0, taken())]))) == [
        (None, "c0 never gave lease 1 of main back")
    ]


def test_a_parked_key_rests_too() -> None:
    """And a rest of the whole endpoint is one of every key."""
    parked = KeyParked(endpoint="main", key="a", reason="authentication", seconds_s=300.0)
    resting = named("resting_keys_are_not_used")

    assert list(resting(evidence([(0, parked), (299, taken())])))
    assert list(resting(evidence([(0, cooled(10.0, key="")), (9, taken(key="b"))])))


def test_a_service_that_recovers_too_late_is_found() -> None:
    """The bound is the breaker's rest and some patience."""
    late = [(0.0, Calm()), (1.0, began("c3")), (1000.0, ended("c3"))]

    assert list(named("the_service_recovers")(evidence(late)))


def test_violations_are_few_and_in_order() -> None:
    """The earliest first, and at most five of each kind."""
    story = [(float(n), taken(f"c{n}", in_flight=9)) for n in range(20, 0, -1)]

    found = [v for v in check(evidence(story)) if v.invariant == "the_limit_is_kept"]

    assert [violation.at for violation in found] == [16.0, 17.0, 18.0, 19.0, 20.0]
    assert str(found[0]) == "the_limit_is_kept, at 16.000000 s: main has 9 in flight, its limit is 5"
