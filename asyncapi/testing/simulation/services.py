"""The services behind the network: their latencies, capacities, rates and faults. No asyncio here."""

from __future__ import annotations

import math
import random
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from asyncapi.testing.simulation.bodies import CHUNKS, error_answer
from asyncapi.testing.simulation.plan import keys_of
from asyncapi.testing.simulation.scenario import Fault, Plan, Service

__all__ = ["WINDOW_S", "Answer", "Asked", "Site", "Window"]

WINDOW_S = 60.0
_JSON = {"Content-Type": "application/json"}
_EVENTS = {"Content-Type": "text/event-stream"}
#: What a refusal or an error takes to come back (seconds).
_QUICK_S = 0.02


class Window:
    """An exact sliding count: what was charged in the last 60 s.

    State: ``_charges``, each a list of its moment and its amount (which may be settled later), and their
    ``total``.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.total = 0.0
        self._charges: deque[list[float]] = deque()

    def wait(self, amount: float, now: float) -> float:
        """Seconds until ``amount`` fits, 0.0 for now, infinity if it never does."""
        self._forget(now)
        over = self.total + amount - self.limit
        if over <= 0.0:
            return 0.0
        for at, charged in self._charges:
            over -= charged
            if over <= 0.0:
                return at + WINDOW_S - now
        return math.inf

    def charge(self, amount: float, now: float) -> list[float]:
        """Count it from now on."""
        charge = [now, amount]
        self._charges.append(charge)
        self.total += amount
        return charge

    def settle(self, charge: list[float], amount: float, now: float) -> None:
        """It was another amount after all."""
        self._forget(now)
        if now - charge[0] < WINDOW_S:
            self.total += amount - charge[1]
            charge[1] = amount

    def left(self, now: float) -> int:
        """What is left of the limit."""
        self._forget(now)
        return max(0, int(self.limit - self.total))

    def _forget(self, now: float) -> None:
        charges = self._charges
        while charges and now - charges[0][0] >= WINDOW_S:
            self.total -= charges.popleft()[1]


class Asked(NamedTuple):
    """What a request says, as the service reads it: its ``questions``, the ``calls`` that ask, its tokens."""

    kind: str
    calls: tuple[str, ...]
    questions: tuple[str, ...]
    tokens_in: int
    tokens_out: int
    most_out: int


@dataclass(slots=True)
class Answer:
    """What a service decided to do with a request.

    ``body`` is None for the answer that was asked for. ``cut`` ("refused" or "lost") and ``hangs`` happen
    after ``after`` pieces of a stream, or instead of the answer.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: _JSON)
    delay: float = 0.0
    interval: float = 0.0
    body: bytes | None = None
    cut: str | None = None
    hangs: bool = False
    after: int | None = None
    retry_after: float | None = None
    charged: int = 0
    tokens: tuple[Window, list[float]] | None = None


class Site:
    """One service at work.

    State: how many requests are ``in_flight`` and the ``peak``; the ``windows`` of each key's rates;
    ``well``, once nothing goes wrong any more; how often each call came (``_tries``).
    """

    def __init__(self, name: str, plan: Plan) -> None:
        self.name = name
        self.service: Service = plan.services[name]
        self.in_flight = self.peak = 0
        self.well = False
        self._tries: Counter[str] = Counter()
        self.windows: dict[str, tuple[Window | None, Window | None]] = {}
        endpoint = next(e for e in plan.endpoints if e.name == name)
        self.names = {key.value: key.name for key in keys_of(endpoint)}
        self._faults = [fault for fault in plan.faults if fault.service in ("", name)]
        self._seed = f"{plan.seed}/{name}"
        self._random = random.Random()

    def enter(self) -> None:
        """A request is in."""
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)

    def leave(self, answer: Answer, used: int, now: float) -> None:
        """A request is out, having used so many tokens."""
        self.in_flight -= 1
        if answer.tokens is not None:
            window, charge = answer.tokens
            window.settle(charge, used, now)

    def answer(self, asked: Asked, key: str, now: float) -> Answer:
        """What to do with a request that is there now, before ``enter``.

        Its luck depends on nobody else's: so a smaller world still meets what the large one met.
        """
        first = asked.questions[0]
        self._tries[first] += 1
        self._random.seed(f"{self._seed}/{first}/{self._tries[first]}")
        faults = (
            [] if self.well else [f for f in self._faults if f.start <= now < f.end and self._meets(f, key)]
        )
        for fault in faults:
            early = _EARLY.get(fault.kind)
            if early is not None:
                return early(fault)
        charged = asked.tokens_in + asked.most_out
        refusal = self._refusal(key, charged, now)
        if refusal is not None:
            return refusal
        answer = self._served(asked, faults)
        self._charge(answer, key, charged, now)
        for fault in faults:
            self._spoil(answer, fault)
        return answer

    def _meets(self, fault: Fault, key: str) -> bool:
        if fault.keys and self.names.get(key, key.partition("+")[0]) not in fault.keys:
            return False
        return fault.share >= 1.0 or self._random.random() < fault.share

    def _refusal(self, key: str, charged: int, now: float) -> Answer | None:
        service = self.service
        if service.maximum is not None and self.in_flight >= service.maximum:
            return _refused(503, "overloaded", None)
        requests, tokens = self._windows(key)
        wait = max(
            requests.wait(1.0, now) if requests is not None else 0.0,
            tokens.wait(charged, now) if tokens is not None else 0.0,
        )
        if not wait:
            return None
        told = wait if service.retry_after and wait < math.inf else None
        return _refused(429, "rate_limit_exceeded", told)

    def _windows(self, key: str) -> tuple[Window | None, Window | None]:
        windows = self.windows.get(key)
        if windows is None:
            service = self.service
            windows = self.windows[key] = (
                Window(service.requests_per_minute) if service.requests_per_minute is not None else None,
                Window(service.tokens_per_minute) if service.tokens_per_minute is not None else None,
            )
        return windows

    def _served(self, asked: Asked, faults: list[Fault]) -> Answer:
        service = self.service
        slots, factor = service.slots, 1.0
        for fault in faults:
            if fault.kind == "slots":
                slots = max(1, int(fault.value))
            elif fault.kind == "brownout":
                factor *= fault.value
        if slots is not None and self.in_flight + 1 > slots:
            factor *= ((self.in_flight + 1) / slots) ** service.slowdown
        first = service.first_token.draw(self._random) * factor
        rest = service.per_token * max(0, asked.tokens_out - 1) * factor
        if asked.kind == "stream":
            return Answer(headers=_EVENTS, delay=first, interval=rest / CHUNKS)
        return Answer(delay=first + rest)

    def _charge(self, answer: Answer, key: str, charged: int, now: float) -> None:
        requests, tokens = self._windows(key)
        answer.charged = charged
        told: dict[str, str] = {}
        if requests is not None:
            requests.charge(1.0, now)
            told["x-ratelimit-limit-requests"] = f"{requests.limit:.0f}"
            told["x-ratelimit-remaining-requests"] = str(requests.left(now))
        if tokens is not None:
            answer.tokens = (tokens, tokens.charge(charged, now))
            told["x-ratelimit-limit-tokens"] = f"{tokens.limit:.0f}"
            told["x-ratelimit-remaining-tokens"] = str(tokens.left(now))
        if told and self.service.headers:
            answer.headers = {**answer.headers, **told}

    def _spoil(self, answer: Answer, fault: Fault) -> None:
        if fault.kind == "garbage":
            answer.body = b"<html>garbage</html>"
        elif fault.kind == "hang":
            answer.hangs, answer.after = True, self._random.randrange(CHUNKS + 1)
        elif fault.kind == "cut":
            answer.cut, answer.after = "lost", self._random.randrange(CHUNKS + 1)


def _refused(status: int, kind: str, retry_after: float | None) -> Answer:
    headers = {**_JSON, "retry-after": f"{retry_after:.6f}"} if retry_after else _JSON
    return Answer(
        status=status, headers=headers, delay=_QUICK_S, body=error_answer(kind), retry_after=retry_after
    )


_EARLY = {
    "outage": lambda fault: Answer(delay=_QUICK_S, cut="refused"),
    "errors": lambda fault: _refused(500, "server_error", None),
    "overloaded": lambda fault: _refused(503, "overloaded", fault.value or None),
    "throttled": lambda fault: _refused(429, "rate_limit_exceeded", fault.value or None),
    "rejected": lambda fault: _refused(400, "invalid_request_error", None),
    "revoked": lambda fault: _refused(401, "invalid_api_key", None),
    "quota": lambda fault: _refused(429, "insufficient_quota", None),
}
