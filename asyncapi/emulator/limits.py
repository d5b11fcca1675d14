"""Rate limits as the services keep them: one token bucket a key and dimension, refilled continuously."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

MINUTE, DAY = 60.0, 86_400.0
_WINDOWS = {
    "requests": MINUTE,
    "tokens": MINUTE,
    "input_tokens": MINUTE,
    "output_tokens": MINUTE,
    "requests_day": DAY,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one key may use; None is unlimited.

    Args:
        requests_per_minute: Requests that a key may send in a minute.
        tokens_per_minute: Input and output tokens together.
        concurrent: Requests of a key being answered at one time.
        requests_per_day: Groq's request headers speak of days; 1440 times the minute's by default there.
        input_tokens_per_minute: Anthropic's separate count.
        output_tokens_per_minute: Anthropic's separate count.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None
    requests_per_day: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None

    def __post_init__(self) -> None:
        for name in (entry.name for entry in fields(self)):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"Limits.{name}: expected an integer of 1 or more, got {value}")

    def by_dimension(self) -> dict[str, int]:
        """The limits that are set, by the name of their bucket."""
        every = {
            "requests": self.requests_per_minute,
            "tokens": self.tokens_per_minute,
            "input_tokens": self.input_tokens_per_minute,
            "output_tokens": self.output_tokens_per_minute,
            "requests_day": self.requests_per_day,
        }
        return {name: limit for name, limit in every.items() if limit is not None}


@dataclass(frozen=True, slots=True)
class Reading:
    """One bucket at one moment; ``reset`` is the time in seconds until it is full again."""

    limit: int
    remaining: int
    reset: float


@dataclass(frozen=True, slots=True)
class Excess:
    """A charge that did not fit: which bucket, and seconds until it would (None: it never will)."""

    dimension: str
    limit: int
    wait: float | None


class Bucket:
    """A token bucket that starts full and refills evenly over its window.

    State that changes: ``_level`` as it was at ``_at``.
    """

    def __init__(self, limit: int, window: float, now: float) -> None:
        self.limit = limit
        self._rate = limit / window
        self._level = float(limit)
        self._at = now

    def level(self, now: float) -> float:
        """What may be taken now."""
        self._level = min(self.limit, self._level + (now - self._at) * self._rate)
        self._at = now
        return self._level

    def wait(self, amount: float, now: float) -> float | None:
        """Seconds until ``amount`` fits: 0 now, None never."""
        if amount > self.limit:
            return None
        missing = amount - self.level(now)
        # A client that waits exactly as told must be let in, so the last bit of rounding is forgiven.
        return missing / self._rate if missing > 1e-6 else 0.0

    def take(self, amount: float, now: float) -> None:
        """Charge ``amount``, which fits."""
        self._level = self.level(now) - amount

    def reading(self, now: float) -> Reading:
        """The bucket as headers tell it."""
        level = self.level(now)
        return Reading(self.limit, max(0, int(level + 1e-6)), (self.limit - level) / self._rate)


class Account:
    """The buckets and the concurrent requests of one key at one service."""

    def __init__(self, limits: Limits, now: float) -> None:
        self.concurrent = limits.concurrent
        self.in_flight = 0
        self._buckets = {
            name: Bucket(limit, _WINDOWS[name], now) for name, limit in limits.by_dimension().items()
        }

    @property
    def crowded(self) -> bool:
        """Whether more requests are in flight than may be."""
        return self.concurrent is not None and self.in_flight > self.concurrent

    def charge(self, input_tokens: int, output_tokens: int, now: float) -> Excess | None:
        """Charge one request with its tokens to every bucket, or to none and say what did not fit.

        A refused request costs nothing, so that the wait it is told is true. Real services charge some of
        those as well.
        """
        amounts = {
            "requests": 1,
            "tokens": input_tokens + output_tokens,
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "requests_day": 1,
        }
        worst = self._worst_excess(amounts, now)
        if worst is None:
            for name, bucket in self._buckets.items():
                bucket.take(amounts[name], now)
        return worst

    def _worst_excess(self, amounts: Mapping[str, int], now: float) -> Excess | None:
        worst: Excess | None = None
        for name, bucket in self._buckets.items():
            wait = bucket.wait(amounts[name], now)
            if wait is None:
                return Excess(name, bucket.limit, None)
            if wait > 0 and (worst is None or wait > (worst.wait or 0.0)):
                worst = Excess(name, bucket.limit, wait)
        return worst

    def readings(self, now: float) -> dict[str, Reading]:
        """Every bucket as headers tell it."""
        return {name: bucket.reading(now) for name, bucket in self._buckets.items()}


class Ledger:
    """All accounts; one is opened when a key is first seen at a service.

    Args:
        limits: The same for every key, or by key or service name (a key's own limits win).
    """

    def __init__(self, limits: Limits | Mapping[str, Limits] | None) -> None:
        self._limits = limits
        self._accounts: dict[tuple[str, str], Account | None] = {}

    def account(self, service: str, key: str, now: float, *, by_day: bool = False) -> Account | None:
        """The account of ``key`` at ``service``; None where nothing is limited."""
        if self._limits is None:
            return None
        place = (service, key)
        if place not in self._accounts:
            limits = self._limits_of(service, key)
            if limits and by_day and limits.requests_per_minute and limits.requests_per_day is None:
                limits = replace(limits, requests_per_day=limits.requests_per_minute * 1440)
            self._accounts[place] = Account(limits, now) if limits else None
        return self._accounts[place]

    def _limits_of(self, service: str, key: str) -> Limits | None:
        if isinstance(self._limits, Mapping):
            return self._limits.get(key) or self._limits.get(service)
        return self._limits


_SHORT_NAMES = {
    "rpm": "requests_per_minute",
    "tpm": "tokens_per_minute",
    "concurrent": "concurrent",
    "rpd": "requests_per_day",
    "itpm": "input_tokens_per_minute",
    "otpm": "output_tokens_per_minute",
}


def parse_limits(text: str) -> Limits:
    """Limits from a command line: ``rpm=500,tpm=200000,concurrent=8`` (also rpd, itpm, otpm).

    Raises:
        ValueError: Names the word that is wrong and what would be right.
    """
    values: dict[str, int] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, value = part.partition("=")
        if name not in _SHORT_NAMES:
            raise ValueError(f"limits: unknown word {name!r}; expected one of {', '.join(_SHORT_NAMES)}")
        if not value.isdecimal() or int(value) < 1:
            raise ValueError(f"limits: {name}: expected an integer of 1 or more, got {value!r}")
        values[_SHORT_NAMES[name]] = int(value)
    return Limits(**values)
