"""The table at the end: every call, counted by its caller, by the client and by the services."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from asyncapi.cli.demo.work import Ledger
from asyncapi.emulator import Counts
from asyncapi.telemetry.values import EndpointStatistics, Statistics
from asyncapi.types.requests import Priority

__all__ = ["Account", "Row", "account"]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint, or a route, whose requests are counted with its targets.

    ``asked`` to ``refused`` are the callers' counts; ``sent``, ``retries`` and ``spared`` (requests that
    others carried along in a batch) the client's; ``received`` is the service's own.

    Units: seconds.
    """

    name: str
    asked: int
    answered: int
    failed: int
    refused: int
    sent: int
    retries: int
    spared: int
    received: int
    opened: int
    p50_s: float | None
    p95_s: float | None

    @property
    def balanced(self) -> bool:
        """Whether every call has an end, and every request sent was received."""
        return self.asked == self.answered + self.failed + self.refused and self.sent == self.received


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """All of it.

    ``statuses`` are the services' answers, "none" those cut before one; ``waits`` medians by priority;
    ``moved`` how many times a call went on to the next target of its route.

    Units: seconds.
    """

    rows: tuple[Row, ...]
    total: Row
    faults: Mapping[str, int]
    errors: Mapping[str, int]
    statuses: Mapping[str, int]
    waits: Mapping[str, float]
    checked: int
    right: int
    moved: int = 0

    @property
    def balanced(self) -> bool:
        """Whether the counts of all three agree, and every answer is the one to its question."""
        return all(row.balanced for row in self.rows) and self.checked == self.right


def account(ledger: Ledger, statistics: Statistics, counts: Counts, moved: int = 0) -> Account:
    """What callers, client and services counted, side by side; routes come after the endpoints."""
    endpoints = statistics.endpoints
    routes = sorted(ledger.asked.keys() - endpoints.keys())
    rows = (
        *(
            _row(name, ledger, s, counts.by_service.get(s.backend, 0))
            for name, s in sorted(endpoints.items())
        ),
        *(_row(name, ledger, EndpointStatistics(), 0) for name in routes),
    )
    return Account(
        rows=rows,
        total=_total(rows),
        faults=dict(sorted(counts.by_fault.items())),
        errors=dict(ledger.errors),
        statuses={str(status or "none"): count for status, count in _by_status(counts)},
        waits={priority.name: _median(ledger.waits[priority]) for priority in Priority},
        checked=ledger.checked,
        right=ledger.right,
        moved=moved,
    )


def _row(name: str, ledger: Ledger, s: EndpointStatistics, received: int) -> Row:
    return Row(
        name=name,
        asked=ledger.asked[name],
        answered=ledger.answered[name],
        failed=ledger.failed[name],
        refused=ledger.refused[name],
        sent=s.requests,
        retries=s.retries,
        spared=s.batches.calls - s.batches.count,
        received=received,
        opened=s.breaker.opened,
        p50_s=s.service_time.p50,
        p95_s=s.service_time.p95,
    )


def _by_status(counts: Counts) -> list[tuple[int | None, int]]:
    return sorted(counts.by_status.items(), key=lambda pair: pair[0] or 999)


def _total(rows: tuple[Row, ...]) -> Row:
    names = ("asked", "answered", "failed", "refused", "sent", "retries", "spared", "received", "opened")
    sums = {name: sum(getattr(row, name) for row in rows) for name in names}
    return Row(name="all", p50_s=None, p95_s=None, **sums)


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0
