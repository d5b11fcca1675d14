"""Which key goes next: several keys per endpoint, chosen by strategy, cooled and parked by what they meet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from asyncapi.config import KeyStrategy
from asyncapi.policies.affinity import bounds, ranked
from asyncapi.policies.load import Load, lighter_of_two
from asyncapi.policies.rates import EPSILON_S, GCRA, Allowance, per_minute
from asyncapi.policies.retry import Random
from asyncapi.policies.tokens import Kind, TokenMeter, Tokens

__all__ = ["KeyRing", "KeyState"]

#: How long a key rests after "wrong key" and after "no quota" before it is tried again (seconds).
REVOKED_S = 300.0
EXHAUSTED_S = 3600.0


class KeyState:
    """One key at work.

    ``auth`` are the headers that carry it, ``headers`` all that is sent with it every time: the
    secret itself is not kept, and the repr shows neither.

    State: how many were ``sent``, are ``in_flight`` and were ``ok``; ``cool_until`` and ``parked_until``
    with its ``reason`` (clock seconds); ``throttles`` in a row; ``turn``, when it last went, and
    ``current``, its place in the weighted rotation; its ``rate``, and the ``allowance`` that the service
    told; the ``meter`` of its tokens, None while nothing limits them; its ``load``, None unless the
    strategy asks for it; its headers as ``merged`` last, behind
    the request's own that they were merged with.
    """

    __slots__ = (
        "allowance",
        "auth",
        "cool_until",
        "current",
        "headers",
        "in_flight",
        "load",
        "merged",
        "meter",
        "name",
        "ok",
        "parked_until",
        "rate",
        "reason",
        "sent",
        "throttles",
        "turn",
        "users",
        "weight",
    )

    def __init__(
        self,
        name: str,
        auth: Mapping[str, str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        weight: float = 1.0,
        requests_per_minute: float | None = None,
        users: Iterable[str] = (),
        tokens_per_minute: Mapping[Kind, float | None] | None = None,
    ) -> None:
        self.name = name
        self.auth = dict(auth or {})
        self.headers = {**(headers or {}), **self.auth}
        self.merged: tuple[Mapping[str, str] | None, dict[str, str]] = (None, self.headers)
        self.weight = weight
        self.rate: GCRA | None = per_minute(requests_per_minute) if requests_per_minute else None
        self.users = frozenset(users)
        self.allowance: Allowance | None = None
        self.meter: TokenMeter | None = TokenMeter(tokens_per_minute) if tokens_per_minute else None
        self.load: Load | None = None
        self.sent = 0
        self.in_flight = 0
        self.ok = 0
        self.throttles = 0
        self.cool_until = self.parked_until = -math.inf
        self.reason = ""
        self.turn = 0
        self.current = 0.0

    def __repr__(self) -> str:
        return f"KeyState({self.name!r}, in_flight={self.in_flight}, reason={self.reason!r})"

    def merge(self, own: Mapping[str, str] | None) -> dict[str, str]:
        """The headers of a request that has its ``own``: they go over the endpoint's, never over the key's.

        Kept in ``merged``: backends give the same ones with most requests (saves 2 of 85 us a call).
        """
        auth = {name.lower() for name in self.auth}
        passed = {name: value for name, value in (own or {}).items() if name.lower() not in auth}
        merged = {**self.headers, **passed}
        self.merged = dict(own or {}), merged
        return merged

    def wait(self, now: float, tokens: Tokens | None = None) -> float:
        """Seconds until this key may go with so many tokens, parking aside."""
        wait = self.cool_until - now
        if self.rate is not None:
            wait = max(wait, self.rate.wait(now))
        if self.allowance is not None:
            wait = max(wait, self.allowance.wait(now))
        if tokens is not None and self.meter is not None:
            wait = max(wait, self.meter.wait(tokens, now))
        return wait if wait > EPSILON_S else 0.0

    def take(self, now: float) -> None:
        """Count one request that is being sent."""
        self.sent += 1
        self.in_flight += 1
        if self.rate is not None:
            self.rate.take(now)
        if self.allowance is not None:
            self.allowance.take(now)

    def headroom(self, now: float) -> float:
        """The share of its requests and tokens that is left for it, 0 to 1; 1 if nothing is known."""
        requests = 1.0 if self.allowance is None else self.allowance.share(now)
        return requests if self.meter is None else min(requests, self.meter.share(now))

    def give_back(self) -> None:
        """The request never left."""
        if self.rate is not None:
            self.rate.refund()
        if self.allowance is not None:
            self.allowance.refund()

    def told(self, remaining: float, limit: float, window: float, number: int, now: float) -> None:
        """What the answer to this key's request ``number`` (counted by ``sent``) said is left."""
        if self.allowance is None:
            self.allowance = Allowance()
        self.allowance.told(remaining, limit, window, self.sent - number, now)

    def state(self, now: float) -> str:
        """ "ready", "cooling", or why it is parked."""
        if self.parked_until > now:
            return self.reason
        return "cooling" if self.cool_until > now else "ready"

    def cool(self, until: float) -> None:
        """Rest until then; a rest is never shortened."""
        self.cool_until = max(self.cool_until, until)

    def park(self, until: float, reason: str) -> None:
        """Take the key out until then."""
        self.parked_until = max(self.parked_until, until)
        self.reason = reason

    def restore(self) -> None:
        """Back to work at once: the operator knows better."""
        self.cool_until = self.parked_until = -math.inf
        self.reason = ""


class KeyRing:
    """The keys of one endpoint.

    State: ``keys`` in order; whether any of them is ``metered``, so that calls must say how many tokens
    they need; the number of ``_turns`` that were given; and which keys are ``held``, until when (clock
    seconds), for a call that waits for them. An endpoint without keys has one nameless key, so that every
    lease holds one.
    """

    def __init__(
        self,
        keys: Iterable[KeyState],
        strategy: KeyStrategy = "round_robin",
        random: Random | None = None,
    ) -> None:
        self.keys: list[KeyState] = []
        self.strategy = strategy
        self._random = random
        self._turns = 0
        self.metered = False
        self.held: dict[KeyState, float] = {}
        for key in keys:
            self.add(key)

    def candidates(self, name: str | None, user: str | None) -> list[KeyState]:
        """The keys that a call may use: the pinned one, those of its user, or those of nobody."""
        if name is not None:
            return [key for key in self.keys if key.name == name]
        reserved = [key for key in self.keys if user is not None and user in key.users]
        return reserved or [key for key in self.keys if not key.users]

    def wait(
        self, now: float, name: str | None = None, user: str | None = None, tokens: Tokens | None = None
    ) -> float:
        """Seconds until ``take`` gives a key; infinity when every key for it is parked or gone."""
        keys = self.keys
        if len(keys) == 1 and name is None and user is None and not self.held:
            key = keys[0]
            return key.wait(now, tokens) if key.parked_until <= now and not key.users else math.inf
        candidates = self.candidates(name, user)
        waits = [self._wait(key, now, tokens) for key in candidates if key.parked_until <= now]
        wait = min(waits, default=math.inf)
        if wait and 0 < len(waits) < len(candidates):
            # One that is parked may be back before those that rest.
            wait = min(wait, *(k.parked_until - now for k in candidates if k.parked_until > now))
        return wait

    def hold(self, now: float, seconds: float, name: str | None, user: str | None) -> None:
        """A call is let past that could go with one of its keys after so many seconds.

        Until it has had its turn, or ``held`` is cleared, they are no one else's: those that need less of
        them would otherwise take it away for ever.
        """
        for key in self.candidates(name, user):
            self.held[key] = max(self.held.get(key, now), now + seconds)

    def _wait(self, key: KeyState, now: float, tokens: Tokens | None) -> float:
        wait = key.wait(now, tokens)
        return max(wait, self.held[key] - now) if key in self.held else wait

    def rest(self, now: float, name: str | None = None, user: str | None = None) -> float:
        """Seconds until the first of a call's keys has rested enough; rates and parking aside."""
        rests = [key.cool_until - now for key in self.candidates(name, user) if key.parked_until <= now]
        return max(0.0, min(rests, default=0.0))

    def headroom(self, now: float) -> float:
        """The share of their requests and tokens that is left for all keys together, 0 to 1."""
        return sum(key.headroom(now) for key in self.keys) / len(self.keys) if self.keys else 0.0

    def take(
        self,
        now: float,
        name: str | None = None,
        user: str | None = None,
        session: str = "",
        tokens: Tokens | None = None,
    ) -> KeyState:
        """The next key by strategy, or the session's own, counted in flight and against its rate.

        Only after ``wait`` returned 0.0 for the same call.
        """
        key = self.keys[0] if len(self.keys) == 1 else self._choose(now, name, user, session, tokens)
        key.take(now)
        return key

    def parked(self, now: float, name: str | None, user: str | None) -> list[KeyState]:
        """The candidates that are parked, for the error message."""
        return [key for key in self.candidates(name, user) if key.parked_until > now]

    def add(self, key: KeyState) -> None:
        """A further key, or a new secret under a known name (calls under way keep the old one)."""
        self.remove(key.name)
        if self.strategy == "adaptive":
            assert self._random is not None
            key.load = Load()
        self.keys.append(key)
        self.metered = self.metered or key.meter is not None

    def remove(self, name: str) -> bool:
        """Take a key out; calls under way finish with it. False if there is none of that name."""
        before = len(self.keys)
        self.keys = [key for key in self.keys if key.name != name]
        return len(self.keys) < before

    def _choose(
        self, now: float, name: str | None, user: str | None, session: str, tokens: Tokens | None
    ) -> KeyState:
        candidates = self.candidates(name, user)
        ready = [key for key in candidates if key.parked_until <= now and self._wait(key, now, tokens) == 0.0]
        if session:
            return _of_session(session, candidates, ready)
        if self.strategy == "weighted":
            return self._smooth(ready)
        # The longest unused goes first: a position in the list would be moved by calls that choose
        # among other keys, and leave some keys out for as long as calls alternate.
        if self.strategy == "adaptive":
            key = self._adapt(ready, now)
        else:
            key = min(ready, key=_load_and_turn if self.strategy == "least_loaded" else _turn)
        self._turns += 1
        key.turn = self._turns
        return key

    def _adapt(self, ready: list[KeyState], now: float) -> KeyState:
        def load(key: KeyState) -> float:
            assert key.load is not None
            return key.load.value(key.in_flight, now, weight=key.weight, headroom=key.headroom(now))

        assert self._random is not None
        return lighter_of_two(sorted(ready, key=_turn), load, self._random)

    @staticmethod
    def _smooth(ready: list[KeyState]) -> KeyState:
        # Smooth weighted round-robin, as in nginx: no bursts of the heavy key.
        total = 0.0
        for key in ready:
            key.current += key.weight
            total += key.weight
        best = max(ready, key=_current)
        best.current -= total
        return best


def _of_session(session: str, candidates: list[KeyState], ready: list[KeyState]) -> KeyState:
    """The session's best key that is ready and not loaded beyond its bound."""
    weights = [key.weight for key in candidates]
    most = bounds(sum(key.in_flight for key in candidates), weights)
    order = ranked(session, [key.name for key in candidates], weights)
    can = [place for place in order if candidates[place] in ready]
    return candidates[next((p for p in can if candidates[p].in_flight < most[p]), can[0])]


def _turn(key: KeyState) -> int:
    return key.turn


def _load_and_turn(key: KeyState) -> tuple[float, int]:
    return key.in_flight / key.weight, key.turn


def _current(key: KeyState) -> float:
    return key.current
