"""Tokens per minute: what a call will use is reserved when it is sent, and corrected when it ends.

A call is asked for its tokens before anybody knows them. So they are estimated: the input from the
size of its body, by what earlier calls of that model had; the output from what the request allows,
or else from the mean of earlier answers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping
from typing import Literal, NamedTuple, TypeAlias

from asyncapi.policies.rates import EPSILON_S, Allowance

__all__ = ["KINDS", "Charge", "Estimates", "Kind", "TokenMeter", "TokenRate", "Tokens"]

Kind: TypeAlias = Literal["tokens", "input_tokens", "output_tokens"]
#: What may be limited, in the order of the fields of ``Tokens``.
KINDS: tuple[Kind, ...] = ("tokens", "input_tokens", "output_tokens")

MINUTE_S = 60.0
#: Takes within this time are one entry of the log: it is short, and the window that much longer.
GRAIN_S = 0.2
#: Two requests may arrive closer together than they left: the window is that much longer, too.
SLACK_S = 0.3
#: How much of a minute's tokens may go at once after a pause. The rest is spread.
BURST = 0.1
#: How many models are remembered, the longest unused forgotten first.
MODELS = 200
#: What is believed of a model that was not seen yet: tokens of a byte, and of an answer.
TOKENS_A_BYTE = 0.3
TOKENS_AN_ANSWER = 256.0
#: The weight of the past against one more answer: about the last hundred count.
MEMORY = 0.99


class Tokens(NamedTuple):
    """Tokens of one call by kind: input and output together, and each."""

    total: int
    input: int
    output: int


class _Entry:
    """Tokens that were taken within one grain. State: ``amount``, and ``ends`` (-inf once it has)."""

    __slots__ = ("amount", "ends")

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.amount = 0


class TokenRate:
    """A limit that no window of 60 s exceeds, for amounts of any size.

    Two bounds in one. A log of what was taken in the last minute is exact: the sum of any window stays
    within the limit, however large the amounts are. And like a GCRA it spreads them, so that a minute's
    tokens don't all go in its first second: a take is let through as soon as the last one is paid for
    but for a tenth of a minute, whatever its own amount. So a large amount waits no longer for its turn
    than a small one, and in the log only for what it needs: it never starves, as long as whoever is next
    in line keeps the turn.

    State: the ``_log`` of entries, oldest first; their sum ``_used``; the theoretical ``_arrival`` of the
    next take (seconds). Amounts are whole numbers, so that no correction leaves a rest behind.
    """

    def __init__(self, limit: float) -> None:
        self.limit = max(1, int(limit))
        self._interval = MINUTE_S / self.limit
        self._tolerance = BURST * MINUTE_S
        self._arrival = float("-inf")
        self._log: deque[_Entry] = deque()
        self._used = 0

    def wait(self, amount: int, now: float) -> float:
        """Seconds until ``take`` may be called for this amount, 0.0 for now.

        More than the limit counts as the limit: it goes when nothing else is in the window.
        """
        self._forget(now)
        wait = self._arrival - self._tolerance - now
        excess = self._used + min(amount, self.limit) - self.limit
        if excess > 0:
            for entry in self._log:
                excess -= entry.amount
                if excess <= 0:
                    wait = max(wait, entry.ends - now)
                    break
        return wait if wait > EPSILON_S else 0.0

    def share(self, now: float) -> float:
        """What is left of the last minute's limit, 0 to 1."""
        self._forget(now)
        return max(0.0, 1.0 - self._used / self.limit)

    def take(self, amount: int, now: float) -> _Entry:
        """Reserve, only after ``wait(amount, now)`` returned 0.0: the entry to correct later."""
        self._arrival = max(self._arrival, now) + amount * self._interval
        return self._add(amount, now)

    def correct(self, entry: _Entry, reserved: int, used: int, now: float) -> None:
        """What was ``reserved`` turned out to be ``used``.

        Less is given back where it was taken. More is charged now: the service may count it then or
        now, and now is the later of the two.
        """
        more = used - reserved
        if more > 0:
            self._arrival = max(self._arrival, now) + more * self._interval
            self._add(more, now)
            return
        self._arrival += more * self._interval
        self._forget(now)
        if entry.ends > now:
            entry.amount += more
            self._used += more

    def _add(self, amount: int, now: float) -> _Entry:
        self._forget(now)
        log = self._log
        ends = now + MINUTE_S + SLACK_S
        if not log or ends > log[-1].ends:
            log.append(_Entry(ends + GRAIN_S))
        entry = log[-1]
        entry.amount += amount
        self._used += amount
        return entry

    def _forget(self, now: float) -> None:
        log = self._log
        while log and log[0].ends <= now:
            self._used -= log.popleft().amount


class Charge:
    """What one attempt reserved with its key.

    State: ``amount``, and the ``entries`` in the rates, dropped when they are corrected.
    """

    __slots__ = ("amount", "entries", "marks")

    def __init__(self, amount: Tokens, entries: list[_Entry], marks: tuple[int, ...]) -> None:
        self.amount = amount
        self.entries = entries
        self.marks = marks


class TokenMeter:
    """The tokens of one key: limits that were set, and what the service says is left.

    State: the ``_rates`` by kind; the ``_told`` allowances by kind; how many of each kind were
    ``_charged`` so far.
    """

    def __init__(self, limits: Mapping[Kind, float | None]) -> None:
        self._rates = tuple(
            (place, TokenRate(limit)) for place, kind in enumerate(KINDS) if (limit := limits.get(kind))
        )
        self._told: dict[int, Allowance] = {}
        self._charged = [0, 0, 0]

    def wait(self, tokens: Tokens, now: float) -> float:
        """Seconds until so many may be taken, 0.0 for now."""
        wait = 0.0
        for place, rate in self._rates:
            wait = max(wait, rate.wait(tokens[place], now))
        for place, allowance in self._told.items():
            wait = max(wait, allowance.wait(now, tokens[place]))
        return wait

    def share(self, now: float) -> float:
        """What is left, 0 to 1, of the limit that has the least of it."""
        shares = [rate.share(now) for _, rate in self._rates]
        return min(shares + [allowance.share(now) for allowance in self._told.values()], default=1.0)

    def take(self, tokens: Tokens, now: float) -> Charge:
        """Reserve them in every limit, only after ``wait`` returned 0.0."""
        charged = self._charged
        for place, amount in enumerate(tokens):
            charged[place] += amount
        for place, allowance in self._told.items():
            allowance.take(now, tokens[place])
        entries = [rate.take(tokens[place], now) for place, rate in self._rates]
        return Charge(tokens, entries, tuple(charged))

    def settle(self, charge: Charge, used: Tokens, now: float) -> None:
        """What was reserved turned out to be ``used``; all zero: it never left."""
        for (place, rate), entry in zip(self._rates, charge.entries, strict=True):
            rate.correct(entry, charge.amount[place], used[place], now)
        charge.entries = []
        if not used.total:
            for place, allowance in self._told.items():
                allowance.refund(charge.amount[place])

    def resize(self, charge: Charge, tokens: Tokens, now: float) -> None:
        """The attempt will use ``tokens`` instead, as is known before it is sent."""
        for (place, rate), entry in zip(self._rates, charge.entries, strict=True):
            rate.correct(entry, charge.amount[place], tokens[place], now)
        for place, allowance in self._told.items():
            allowance.take(now, tokens[place] - charge.amount[place])
        charge.amount = tokens

    def told(self, kind: Kind, remaining: float, limit: float, charge: Charge | None, now: float) -> None:
        """What the service says is left of a minute's ``limit``, when it answered this charge.

        Nothing is kept before half of it is gone: that costs nothing while it does not bind.
        """
        place = KINDS.index(kind)
        if place not in self._told:
            if remaining > limit / 2:
                return
            self._told[place] = Allowance()
        since = self._charged[place] - charge.marks[place] if charge is not None else 0
        self._told[place].told(remaining, limit, MINUTE_S, since, now)


class _Model:
    """What was learnt of one model: sums that fade. State: all of its slots."""

    __slots__ = ("answers", "body_bytes", "input", "output")

    def __init__(self) -> None:
        # As if one small call had been seen already: the first real one moves it, the tenth rules.
        self.body_bytes, self.input = 200.0, 200.0 * TOKENS_A_BYTE
        self.answers, self.output = 1.0, TOKENS_AN_ANSWER


class Estimates:
    """Learns tokens of a byte and tokens of an answer, by model. Sums are kept, not means of ratios:
    the estimates of many calls add up to what they used.

    State: ``_models`` by key, the longest unused first.
    """

    def __init__(self) -> None:
        self._models: dict[Hashable, _Model] = {}

    def tokens(
        self, model: Hashable, body_bytes: int | None, most: int | None, speaks: bool = True
    ) -> Tokens:
        """What a call will use.

        Args:
            model: What is learnt together.
            body_bytes: The size of the encoded request; None if it is not encoded yet.
            most: The output that the request allows; services reserve that much, too.
            speaks: Whether there is an output at all: embeddings have none.
        """
        known = self._models.get(model) or _Model()
        if body_bytes is None:
            entered = int(known.input / known.answers) + 1
        else:
            entered = int(body_bytes * known.input / known.body_bytes) + 1
        answered = 0 if not speaks else int(known.output / known.answers) + 1 if most is None else most
        return Tokens(entered + answered, entered, answered)

    def learn(self, model: Hashable, body_bytes: int, used: Tokens) -> None:
        """What a call did use."""
        known = self._models.pop(model, None) or _Model()
        self._models[model] = known
        if len(self._models) > MODELS:
            del self._models[next(iter(self._models))]
        known.body_bytes = known.body_bytes * MEMORY + body_bytes
        known.input = known.input * MEMORY + used.input
        known.answers = known.answers * MEMORY + 1.0
        known.output = known.output * MEMORY + used.output
