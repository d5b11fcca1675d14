"""What the invariants look at after a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import msgspec

from asyncapi.backends import get_backend
from asyncapi.backends.completed import completed
from asyncapi.config import Endpoint, Resolved, resolve
from asyncapi.telemetry.values import EndpointStatistics
from asyncapi.testing.simulation.history import CallEnded, History, KeyChanged
from asyncapi.testing.simulation.plan import keys_of
from asyncapi.testing.simulation.scenario import Plan, PlannedCall

__all__ = ["Evidence", "Violation"]


class Violation(msgspec.Struct, frozen=True):
    """Something that must never happen, and did: the invariant's name, what was seen, and when (None: at
    the end).
    """

    invariant: str
    what: str
    at: float | None = None

    def __str__(self) -> str:
        when = "at the end" if self.at is None else f"at {self.at:.6f} s"
        return f"{self.invariant}, {when}: {self.what}"


@dataclass
class Evidence:
    """A run's plan and history, and what it left behind.

    Attributes:
        plan: What was to happen.
        history: What happened.
        seen: What did not hold between two steps: (invariant, what) and when it was seen first.
        left: What was not given back when no call was under way.
        pending: Tasks and timers that outlived the client.
        loop_errors: What reached the loop's exception handler.
        stuck: The deadlock or livelock that ended the run, if one did.
        statistics: The client's own statistics at the end.
    """

    plan: Plan
    history: History
    seen: Mapping[tuple[str, str], float] = field(default_factory=dict)
    left: Sequence[str] = ()
    pending: Sequence[str] = ()
    loop_errors: Sequence[str] = ()
    stuck: str | None = None
    statistics: Mapping[str, EndpointStatistics] | None = None

    @cached_property
    def settings(self) -> dict[str, Resolved]:
        """Each endpoint's settings, with what its profile says where they are silent."""
        return {str(endpoint.name): _resolved(endpoint) for endpoint in self.plan.endpoints}

    @cached_property
    def endpoints(self) -> dict[str, Endpoint]:
        """The endpoints by name."""
        return {str(endpoint.name): endpoint for endpoint in self.plan.endpoints}

    @cached_property
    def ends(self) -> dict[str, tuple[float, CallEnded]]:
        """How and when each call ended, for those that did."""
        return {ended.call: (at, ended) for at, ended in self.history.of(CallEnded)}

    @cached_property
    def per_minute(self) -> dict[str, dict[str, float]]:
        """By endpoint, the requests per minute of each key that has a limit; by its secret, as services see
        it.
        """
        return {
            name: {key.value: key.requests_per_minute for key in keys_of(e) if key.requests_per_minute}
            for name, e in self.endpoints.items()
        }

    @cached_property
    def tokens_per_minute(self) -> dict[str, dict[str, float]]:
        """The same for tokens."""
        return {
            name: {key.value: key.tokens_per_minute for key in keys_of(e) if key.tokens_per_minute}
            for name, e in self.endpoints.items()
        }

    @property
    def slack(self) -> float:
        """How late something may be without being wrong (seconds): lateness of timers, turns, a slot of
        deadlines.
        """
        return 0.01 + 3 * self.plan.chaos.late_by

    @cached_property
    def _calls(self) -> dict[str, PlannedCall]:
        return {f"c{call.number}": call for call in self.plan.calls}

    def kind(self, call: str) -> str:
        """What kind of call it is."""
        planned = self._calls.get(call)
        return planned.kind if planned is not None else "chat"

    def plain(self, call: str) -> bool:
        """Whether it may use any key, and keeps the place that it was given; a batch may get a better one."""
        planned = self._calls.get(call)
        if self.plan.single_flight:
            return False  # who joins a flight may hurry it
        return planned is None or (planned.key is None and planned.kind != "embed")

    def wishes(self, call: str) -> tuple[object, ...]:
        """What a call wants beside its question: those that want different things don't share a request."""
        planned = self._calls.get(call)
        return (
            (call,) if planned is None else (planned.key, planned.on_open, planned.max_tokens, planned.tenant)
        )

    def routed(self, call: str) -> bool:
        """Whether it goes to a route, where each target counts it."""
        planned = self._calls.get(call)
        return planned is not None and planned.model in self.plan.routes

    def seen_of(self, invariant: str) -> Iterator[tuple[float | None, str]]:
        """What of this invariant did not hold between two steps."""
        return ((at, what) for (name, what), at in self.seen.items() if name == invariant)

    def tampered(self) -> bool:
        """Whether keys came or went."""
        return bool(self.history.of(KeyChanged))


def _resolved(endpoint: Endpoint) -> Resolved:
    return resolve(
        endpoint, completed(get_backend(endpoint.backend)).service, profile="balanced", environment={}
    )
