"""Keys: their rates hold in every window, and their rest is kept."""

from __future__ import annotations

import math
from collections import Counter, defaultdict, deque
from collections.abc import Iterator

from asyncapi.testing.simulation.evidence import Evidence
from asyncapi.testing.simulation.history import KeyChanged, LeaseTaken, RequestArrived, RequestEnded
from asyncapi.testing.simulation.services import WINDOW_S
from asyncapi.types.events import KeyCooled, KeyParked

__all__ = ["INVARIANTS"]

#: A grant reaches its service some turns of the loop later.
_ON_THE_WAY_S = 1e-3


def rates_are_kept(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """In every window of 60 s a service counts no more requests of a key than its
    ``requests_per_minute``.
    """
    times: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for at, request in evidence.history.of(RequestArrived):
        limit = evidence.per_minute[request.service].get(request.key)
        if limit is None:
            continue
        arrived = times[request.service, request.key]
        arrived.append(at)
        count = math.floor(limit)
        if len(arrived) > count and at - arrived[-1 - count] < WINDOW_S - _ON_THE_WAY_S:
            within = at - arrived[-1 - count]
            yield at, f"{request.service} got {count + 1} requests of one key within {within:.6f} s"


def token_rates_are_kept(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """In no window of 60 s a key uses more than a quarter above its ``tokens_per_minute``, and one call.

    Nobody knows before what an answer will use: what was guessed wrong is corrected when it is there.
    """
    used = {ended.number: ended.tokens for _, ended in evidence.history.of(RequestEnded)}
    windows: defaultdict[tuple[str, str], deque[tuple[float, int]]] = defaultdict(deque)
    sums: Counter[tuple[str, str]] = Counter()
    for at, request in evidence.history.of(RequestArrived):
        limit = evidence.tokens_per_minute[request.service].get(request.key)
        if limit is None:
            continue
        place, tokens = (request.service, request.key), used.get(request.number, 0)
        window = windows[place]
        window.append((at, tokens))
        sums[place] += tokens
        while window[0][0] <= at - WINDOW_S:
            sums[place] -= window.popleft()[1]
        if sums[place] > 1.25 * limit + max(amount for _, amount in window):
            yield (
                at,
                f"{request.service} served {sums[place]} tokens of one key in 60 s, {limit:g} are allowed",
            )


def resting_keys_are_not_used(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """A key that cools or is parked gets nothing until its rest is over; a rest is never shortened."""
    until: dict[tuple[str, str], float] = {}
    for at, what in evidence.history:
        if isinstance(what, KeyCooled | KeyParked):
            place = (what.endpoint, what.key)
            until[place] = max(until.get(place, 0.0), at + what.seconds_s)
        elif isinstance(what, KeyChanged):
            until.pop((what.endpoint, what.key), None)
        elif isinstance(what, LeaseTaken):
            rest = max(until.get((what.endpoint, what.key), 0.0), until.get((what.endpoint, ""), 0.0))
            if at < rest - 1e-6:
                yield at, f"{what.call} got key {what.key} of {what.endpoint}, which rests until {rest:.6f} s"


def retry_after_is_kept(evidence: Evidence) -> Iterator[tuple[float | None, str]]:
    """A service that said when to come back is left alone until then: by that key for a 429, by all
    for a 503.
    """
    keys: dict[int, str] = {}
    until: dict[tuple[str, str], float] = {}
    renewed = evidence.tampered()
    for at, what in evidence.history:
        if isinstance(what, RequestArrived):
            keys[what.number] = what.key
            rest = max(until.get((what.service, what.key), 0.0), until.get((what.service, ""), 0.0))
            if at < rest - _ON_THE_WAY_S:
                yield (
                    at,
                    f"{what.service} got a request {rest - at:.3f} s before the time that it had asked for",
                )
        elif isinstance(what, RequestEnded) and what.retry_after and what.how in ("429", "503"):
            if what.how == "429" and renewed:
                continue  # an operator may put a key back to work at any time
            place = (what.service, keys[what.number] if what.how == "429" else "")
            # A request granted in the same turn is on its way already.
            until[place] = max(until.get(place, 0.0), at + what.retry_after)


INVARIANTS = (rates_are_kept, token_rates_are_kept, resting_keys_are_not_used, retry_after_is_kept)
