"""What happened in a run, in order: the client's events, and what callers and services saw."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from asyncapi.types.events import Event

__all__ = [
    "CallBegan",
    "CallEnded",
    "Calm",
    "CancelAsked",
    "ClientClosed",
    "Entry",
    "Happening",
    "History",
    "KeyChanged",
    "LeaseReturned",
    "LeaseTaken",
    "RequestArrived",
    "RequestEnded",
]


def _zero() -> float:
    return 0.0


class Happening(msgspec.Struct, frozen=True, gc=False):
    """The base of what the simulation itself notes, beside the events of ``asyncapi.types.events``."""


class CallBegan(Happening, frozen=True, gc=False):
    """A caller awaits ``call``. ``deadline`` is by the clock."""

    call: str
    kind: str
    model: str
    priority: str
    tenant: str
    deadline: float


class CancelAsked(Happening, frozen=True, gc=False):
    """A caller is cancelled before its end; ``why`` is "patience", or "grant" in the turn of its grant."""

    call: str
    why: str


class CallEnded(Happening, frozen=True, gc=False):
    """A caller has its answer or error. ``outcome`` is as in ``CallFinished``, or what was wrong.

    ``met``: the call got as far as an endpoint; ``read``: the chunks of a stream, if it is one; ``left``: it
    was left early.
    """

    call: str
    outcome: str
    met: bool = True
    read: int = 0
    left: bool = False


class LeaseTaken(Happening, frozen=True, gc=False):
    """Everything that a send needs was granted. ``generation`` is the breaker's, ``tag`` the queue's."""

    endpoint: str
    call: str
    lease: int
    key: str
    breaker: str
    generation: int
    probe: bool
    in_flight: int
    limit: int
    priority: str
    tenant: str
    tag: float | None
    cost: float
    queued: bool
    plain: bool
    attempts: int


class LeaseReturned(Happening, frozen=True, gc=False):
    """A lease was settled; ``verdict`` is what the breaker was told.

    ``generation`` is its permit's; ``generations`` (of the breaker) and ``limits`` are what they were before
    and after.
    """

    endpoint: str
    call: str
    lease: int
    verdict: str
    sent: bool
    granted: float
    generation: int
    generations: tuple[int, int]
    limits: tuple[int, int]


class RequestArrived(Happening, frozen=True, gc=False):
    """A service got a request; ``number`` tells it from all others, ``calls`` are those that it carries."""

    service: str
    number: int
    call: str
    key: str
    kind: str
    calls: tuple[str, ...]
    question: str
    tokens: int


class RequestEnded(Happening, frozen=True, gc=False):
    """A service is done with a request: ``how`` is its status, or "aborted", "refused", "lost"."""

    service: str
    number: int
    how: str
    retry_after: float | None = None
    tokens: int = 0


class KeyChanged(Happening, frozen=True, gc=False):
    """An operator removed, added or restored a key."""

    endpoint: str
    key: str
    change: str


class ClientClosed(Happening, frozen=True, gc=False):
    """The client begins to close."""


class Calm(Happening, frozen=True, gc=False):
    """Every planned call has ended, every service is healthy: what comes now must go well."""


class Entry(NamedTuple):
    """What happened, and when (virtual seconds)."""

    at: float
    what: Event | Happening


W = TypeVar("W", bound=Event | Happening)


class History:
    """A list of entries; also a hook, so that the client tells it everything.

    State: ``entries``, and an index of them by class.
    """

    detail = True

    def __init__(self, clock: Callable[[], float] | None = None, entries: Sequence[Entry] = ()) -> None:
        self.entries: list[Entry] = list(entries)
        self._clock = clock or _zero
        self._index: dict[type, list[tuple[float, Any]]] = {}
        self._indexed = 0

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def on_event(self, event: Event, /) -> None:
        """Keep an event of the client."""
        self.entries.append(Entry(self._clock(), event))

    def add(self, what: Happening) -> None:
        """Keep what happened now."""
        self.entries.append(Entry(self._clock(), what))

    def of(self, kind: type[W]) -> list[tuple[float, W]]:
        """The entries of one class, with their times."""
        if self._indexed != len(self.entries):
            self._index = {}
            for entry in self.entries:
                self._index.setdefault(type(entry.what), []).append(entry)
            self._indexed = len(self.entries)
        return self._index.get(kind, [])

    def digest(self) -> str:
        """A fingerprint: equal for equal histories, in every process."""
        hasher = hashlib.sha256()
        encode = msgspec.json.encode
        for at, what in self.entries:
            hasher.update(encode((at, type(what).__name__, what)))
        return hasher.hexdigest()

    def lines(self) -> Iterator[str]:
        """The history as text, for people."""
        for at, what in self.entries:
            yield f"{at:12.6f}  {what!r}"
