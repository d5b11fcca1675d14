"""What the emulator received: one record a request, counters, and an optional journal on disk."""

import os
from collections import Counter, deque
from dataclasses import dataclass
from hashlib import blake2b
from io import FileIO

import orjson


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it arrived, and what became of it.

    ``status`` is None while no answer has begun (and for ever, where a fault cut the connection before).
    ``aborted`` says that the client left before its answer was complete. ``question`` is the digest that the
    answer to the same text contains, see ``question_digest``.

    Units: ``time`` and ``retry_after_until`` are seconds since the emulator's start.
    """

    time: float
    service: str
    path: str
    key_digest: str
    request_id: str
    model: str
    question: str
    body_bytes: int
    fault: str | None
    status: int | None
    aborted: bool
    retry_after_until: float | None


@dataclass(slots=True)
class Visit:
    """A request that may still be on its way: the mutable side of ``Received``."""

    time: float
    service: str
    path: str
    key: str
    request_id: str
    model: str
    question: str
    body_bytes: int
    fault: str | None = None
    status: int | None = None
    aborted: bool = False
    retry_after_until: float | None = None

    def frozen(self) -> Received:
        """This request as a record."""
        return Received(
            self.time,
            self.service,
            self.path,
            key_digest(self.key),
            self.request_id,
            self.model,
            self.question,
            self.body_bytes,
            self.fault,
            self.status,
            self.aborted,
            self.retry_after_until,
        )


@dataclass(frozen=True, slots=True)
class Counts:
    """How many requests arrived; ``by_status`` counts finished ones, with None for those never answered."""

    received: int
    by_service: dict[str, int]
    by_status: dict[int | None, int]
    by_fault: dict[str, int]


def key_digest(key: str) -> str:
    """A short digest that stands for an API key in records; empty for no key."""
    return blake2b(key.encode(), digest_size=6).hexdigest() if key else ""


class Records:
    """Everything received, oldest first.

    Args:
        limit: How many requests are remembered; None for all. Counters go on beyond it.
        journal: A file that gets one JSON line at every arrival, so that it can be counted across processes.
    """

    def __init__(self, limit: int | None, journal: str | os.PathLike[str] | None) -> None:
        self._visits: deque[Visit] = deque(maxlen=limit)
        self._journal_path = journal
        self._journal: FileIO | None = None
        self.in_flight: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()
        self.clear()

    def open(self) -> None:
        """Open the journal, if there is one."""
        if self._journal_path is not None:
            # Unbuffered and in append mode: a line is in the file before its request is answered.
            self._journal = FileIO(self._journal_path, "ab")

    def clear(self) -> None:
        """Forget everything but the requests that are still in flight."""
        self._visits.clear()
        self._received = 0
        self._by_service: Counter[str] = Counter()
        self._by_status: Counter[int | None] = Counter()
        self._by_fault: Counter[str] = Counter()
        self.aborts = 0
        self.keys_in_url = 0
        self.peak = Counter(self.in_flight)

    def arrive(self, visit: Visit) -> None:
        """Note a request that has just been read and whose fault is decided."""
        self._visits.append(visit)
        self._received += 1
        self._by_service[visit.service] += 1
        if visit.fault is not None:
            self._by_fault[visit.fault] += 1
        for name in (visit.service, "total"):
            self.in_flight[name] += 1
            if self.in_flight[name] > self.peak[name]:
                self.peak[name] = self.in_flight[name]
        if self._journal is not None:
            self._journal.write(_line(visit))

    def finish(self, visit: Visit) -> None:
        """Note that a request is over, one way or another."""
        self.in_flight[visit.service] -= 1
        self.in_flight["total"] -= 1
        self._by_status[visit.status] += 1
        self.aborts += visit.aborted

    def snapshot(self) -> list[Received]:
        """All remembered requests, oldest first."""
        return [visit.frozen() for visit in self._visits]

    def counts(self) -> Counts:
        """How many arrived, by service, status and fault."""
        return Counts(self._received, dict(self._by_service), dict(self._by_status), dict(self._by_fault))

    def attempts(self, request_id: str) -> int:
        """How often a request id arrived."""
        return sum(visit.request_id == request_id for visit in self._visits)

    def early_retries(self, tolerance: float) -> list[Received]:
        """Requests that came again before the wait had passed that the same id with the same key was told."""
        until: dict[tuple[str, str], float] = {}
        early = []
        for visit in self._visits:
            if not visit.request_id:
                continue
            asked = (visit.request_id, visit.key)
            if visit.time < until.get(asked, 0.0) - tolerance:
                early.append(visit.frozen())
            if visit.retry_after_until is not None:
                until[asked] = visit.retry_after_until
        return early

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None


def _line(visit: Visit) -> bytes:
    return orjson.dumps(
        {
            "time": round(visit.time, 6),
            "service": visit.service,
            "path": visit.path,
            "key_digest": key_digest(visit.key),
            "request_id": visit.request_id,
            "model": visit.model,
            "question": visit.question,
            "body_bytes": visit.body_bytes,
            "fault": visit.fault,
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )
