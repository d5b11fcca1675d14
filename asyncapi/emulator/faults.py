"""What can go wrong on purpose: by chance from a seed, by script, or for a window of time."""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum


class Fault(StrEnum):
    """One way to fail. The ``429_*`` kinds differ in how they tell the client to wait."""

    RATE_LIMIT_SECONDS = "429_seconds"
    RATE_LIMIT_FLOAT = "429_float"
    RATE_LIMIT_DATE = "429_date"
    RATE_LIMIT_MS = "429_ms"
    RATE_LIMIT_RESET = "429_reset"
    RATE_LIMIT_BARE = "429_bare"
    SERVER_ERROR = "500"
    UNAVAILABLE = "503"
    OVERLOADED = "529"
    QUOTA = "quota"
    REVOKED = "revoked"
    CUT_BEFORE = "cut_before"
    CUT_BODY = "cut_body"
    CUT_STREAM = "cut_stream"
    CUT_AFTER = "cut_after"
    SILENCE = "silence"
    SLOW_BYTES = "slow_bytes"
    GARBLED = "garbled"
    STREAM_ERROR = "stream_error"


ALL: tuple[Fault, ...] = tuple(Fault)
"""Every kind."""

TRANSIENT: tuple[Fault, ...] = tuple(kind for kind in Fault if kind not in (Fault.QUOTA, Fault.REVOKED))
"""Every kind that a patient client survives with the same key."""

# Stream-only kinds on a plain request, and the nearest thing that a plain request can suffer.
PLAIN_NEIGHBOUR = {Fault.CUT_STREAM: Fault.CUT_BODY, Fault.STREAM_ERROR: Fault.SERVER_ERROR}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a script: the next matching request gets ``fault`` (None: it is answered well).

    A request matches when its path contains ``path``, its model is ``model`` and its body contains ``body``,
    each as far as given.
    """

    fault: Fault | None
    path: str | None = None
    model: str | None = None
    body: str | None = None

    def matches(self, path: str, model: str, body: bytes) -> bool:
        """Whether this step is meant for such a request."""
        return (
            (self.path is None or self.path in path)
            and (self.model is None or self.model == model)
            and (self.body is None or self.body.encode() in body)
        )


@dataclass(frozen=True, slots=True)
class Faults:
    """Which requests fail, and how.

    Args:
        rate: Chance in [0, 1] that a request is hit.
        kinds: What it may be hit by, each as likely.
        seed: The same seed hits the same arrivals with the same kinds.
        steps: A script; while a step matches a request, chance does not touch it.
        retry_after: What the 429 kinds ask a client to wait.
        silence_for: How long ``silence`` lasts before the connection is cut; None: until the client leaves.
        byte_pause: Pause of ``slow_bytes`` after every 32nd byte.
        sticky: ``quota`` and ``revoked`` stay with the key that they hit.
        outage_at: (start, length) after the emulator's start: everything fails in that window.
        outage_kind: How: ``503``, or ``cut_before``.

    Units: seconds.
    """

    rate: float = 0.0
    kinds: Sequence[Fault | str] = ALL
    seed: int = 0
    steps: tuple[Step, ...] = ()
    retry_after: float = 0.3
    silence_for: float | None = None
    byte_pause: float = 0.001
    sticky: bool = False
    outage_at: tuple[float, float] | None = None
    outage_kind: Fault | str = Fault.UNAVAILABLE

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise ValueError(f"Faults.rate: expected a chance from 0 to 1, got {self.rate}")
        if not self.kinds:
            raise ValueError("Faults.kinds: expected one kind or more")
        object.__setattr__(self, "kinds", tuple(fault_named(kind) for kind in self.kinds))
        object.__setattr__(self, "outage_kind", fault_named(self.outage_kind))

    @classmethod
    def everything(cls, rate: float = 0.1, seed: int = 0) -> "Faults":
        """All kinds but quota and revoked, which a client must take as permanent for its key."""
        return cls(rate, TRANSIENT, seed)

    @classmethod
    def script(
        cls,
        kinds: Iterable[Fault | Step | str | None],
        *,
        path: str | None = None,
        model: str | None = None,
        body: str | None = None,
    ) -> "Faults":
        """The next requests that match get these kinds in turn; None is a good answer."""
        return cls(steps=script_steps(kinds, path=path, model=model, body=body))

    def with_options(self, **options: object) -> "Faults":
        """The same with some fields changed."""
        return replace(self, **options)  # type: ignore[arg-type]


def script_steps(
    kinds: Iterable[Fault | Step | str | None],
    *,
    path: str | None = None,
    model: str | None = None,
    body: str | None = None,
) -> tuple[Step, ...]:
    """Steps of a script, all with the same match; ready-made steps keep their own."""
    return tuple(
        kind
        if isinstance(kind, Step)
        else Step(None if kind is None else fault_named(kind), path, model, body)
        for kind in kinds
    )


def fault_named(name: Fault | str) -> Fault:
    """The fault of that name.

    Raises:
        ValueError: Lists the names there are.
    """
    try:
        return Fault(name)
    except ValueError:
        raise ValueError(f"unknown fault {str(name)!r}; expected one of {', '.join(Fault)}") from None


class FaultPlan:
    """Faults at work: what is left of the script, and the dice.

    State that changes: ``_steps`` shrinks as steps are used up, ``_dice`` moves with every arrival.
    """

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._kinds = tuple(fault_named(kind) for kind in faults.kinds)
        self._dice = random.Random(faults.seed)
        self._steps = list(faults.steps)

    def add(self, steps: Iterable[Step]) -> None:
        """Put more steps at the end of the script."""
        self._steps.extend(steps)

    def next(self, path: str, model: str, body: bytes) -> Fault | None:
        """What the request that just arrived is hit by."""
        for position, step in enumerate(self._steps):
            if step.matches(path, model, body):
                del self._steps[position]
                return step.fault
        if self.faults.rate and self._dice.random() < self.faults.rate:
            return self._dice.choice(self._kinds)
        return None


def parse_faults(text: str) -> Faults:
    """Faults from a command line.

    ``rate=0.1,kinds=429_seconds+500,outage=2:3``; also ``kinds=all``, ``kinds=transient``, ``seed=7``,
    ``retry_after=0.3``, ``silence_for=1``, ``outage_kind=cut_before``, ``sticky=true``. A rate without kinds
    means the transient ones.

    Raises:
        ValueError: Names the word that is wrong and what would be right.
    """
    options: dict[str, object] = {"kinds": TRANSIENT}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, value = part.partition("=")
        if name not in _PARSERS:
            raise ValueError(f"faults: unknown word {name!r}; expected one of {', '.join(_PARSERS)}")
        field, parse, expected = _PARSERS[name]
        try:
            options[field] = parse(value)
        except ValueError as error:
            hint = f" ({error})" if name in ("kinds", "outage_kind") else ""
            raise ValueError(f"faults: {name}: expected {expected}, got {value!r}{hint}") from None
    return Faults().with_options(**options)


def _kinds(text: str) -> tuple[Fault, ...]:
    named = {"all": ALL, "transient": TRANSIENT}
    return named.get(text) or tuple(fault_named(name) for name in text.split("+"))


def _window(text: str) -> tuple[float, float]:
    start, _, length = text.partition(":")
    return _seconds(start), _seconds(length)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError(text)
    return value


def _chance(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError(text)
    return value


def _yes_or_no(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


_PARSERS: dict[str, tuple[str, Callable[[str], object], str]] = {
    "rate": ("rate", _chance, "a chance from 0 to 1"),
    "kinds": ("kinds", _kinds, "kinds joined by +"),
    "seed": ("seed", int, "an integer"),
    "outage": ("outage_at", _window, "START:LENGTH in seconds"),
    "outage_kind": ("outage_kind", fault_named, "503 or cut_before"),
    "retry_after": ("retry_after", _seconds, "seconds"),
    "silence_for": ("silence_for", _seconds, "seconds"),
    "sticky": ("sticky", _yes_or_no, "true or false"),
}
