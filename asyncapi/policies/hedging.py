"""Whether a second copy of a call may be sent, and when: what is safe, how slow is slow, how many in all.

Sources: Dean and Barroso, "The Tail at Scale", 2013 (a copy after the 95th percentile); Finagle's backup
requests and gRPC A6 (a budget, drawn on together with that of the retries).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from math import ceil

from asyncapi.config import Hedge
from asyncapi.types.objects import ObjectRequest
from asyncapi.types.requests import Request

__all__ = ["HedgeBudget", "Quantiles", "Times", "quantile_of", "repeatable"]

#: Asked twice, these give the same answer and change nothing at the service.
_READS = frozenset(
    {
        "classify",
        "count_tokens",
        "embed",
        "embed_sparse",
        "infer",
        "models",
        "moderate",
        "rerank",
        "score",
        "tokenize",
    }
)
_OBJECT_READS = frozenset({"get", "head", "list"})
#: How many operations and models an endpoint keeps times of; those beyond are not hedged by quantile.
MOST_KINDS = 64
#: How much of a quiet time's budget can be spent at once.
_MOST_SAVED = 10.0


def repeatable(request: Request, idempotent: bool | None) -> bool:
    """Whether a request may be sent twice: as its caller says, else by what it asks for."""
    if idempotent is not None:
        return idempotent
    if isinstance(request, ObjectRequest):
        return request.action in _OBJECT_READS
    return request.operation in _READS


class HedgeBudget:
    """Copies that may still be sent: each call that could have one adds a share, each copy takes one.

    State: ``tokens``. Over any run, copies <= share * calls.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self.tokens = 0.0

    @property
    def left(self) -> bool:
        """Whether it has the price of one copy."""
        return self.tokens >= 1.0 - 1e-9  # fifty deposits of 0.02 are worth one in binary arithmetic, too

    def deposit(self) -> None:
        """A call is being sent."""
        self.tokens = min(_MOST_SAVED, self.tokens + self._share)

    def withdraw(self) -> None:
        """A copy is being sent, only while something is ``left``."""
        self.tokens -= 1.0


class Quantiles:
    """Quantiles of the latest samples, exactly.

    Adding one costs two binary searches and two moves within a list of 200 numbers, some 1 us.

    State: the ``_latest`` samples as they came, and ``_sorted``.
    """

    __slots__ = ("_latest", "_sorted")

    def __init__(self, window: int = 200) -> None:
        self._latest: deque[float] = deque(maxlen=window)
        self._sorted: list[float] = []

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, sample: float) -> None:
        """One more; beyond the window the oldest is forgotten."""
        latest = self._latest
        if len(latest) == latest.maxlen:
            del self._sorted[bisect_left(self._sorted, latest[0])]
        latest.append(sample)
        insort(self._sorted, sample)

    def at(self, share: float) -> float:
        """The smallest sample that so many are not above, only when there is one."""
        return self._sorted[max(0, ceil(share * len(self._sorted)) - 1)]


class Times:
    """How long answers take at one endpoint, by operation and model; of streams the first token.

    State: the ``_kinds`` seen, at most ``MOST_KINDS``.
    """

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str, bool], Quantiles] = {}

    def add(self, request: Request, seconds: float) -> None:
        """An answer took that long; or, of one that was not waited for, at least that long."""
        kind = (request.operation, request.model, request.streams)
        quantiles = self._kinds.get(kind)
        if quantiles is None:
            if len(self._kinds) >= MOST_KINDS:
                return
            quantiles = self._kinds[kind] = Quantiles()
        quantiles.add(seconds)

    def at(self, request: Request, share: float, minimum: int) -> float | None:
        """The quantile of requests like this one, None before there are ``minimum`` samples."""
        quantiles = self._kinds.get((request.operation, request.model, request.streams))
        return quantiles.at(share) if quantiles is not None and len(quantiles) >= minimum else None


def quantile_of(settings: Hedge) -> float | None:
    """The share that ``after`` names ("p95" is 0.95), None when it is a number of seconds."""
    return float(settings.after[1:]) / 100.0 if isinstance(settings.after, str) else None
