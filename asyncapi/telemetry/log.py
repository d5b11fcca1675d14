"""structlog events for every station, through the standard logger ``asyncapi``: quiet until configured.

Levels: a finished call is INFO, what needs an operator's eye (breaker, parked key, unreadable
answer) WARNING, the rest DEBUG. Context variables bound by the caller with ``structlog.contextvars``
are kept. No event holds a secret or any text of prompt or answer.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import structlog

from asyncapi.types.events import (
    BreakerChanged,
    CacheFailed,
    CacheHit,
    CallFinished,
    DecodeFailed,
    Event,
    FlightShared,
    KeyParked,
    RouteEjected,
    VerdictGiven,
)
from asyncapi.types.usage import Usage

__all__ = ["LogHook"]

_LOGGER = logging.getLogger("asyncapi")
# Without a handler of its own, the standard library would print warnings of an unconfigured program.
_LOGGER.addHandler(logging.NullHandler())

_LEVELS: dict[type[Event], int] = {
    CallFinished: logging.INFO,
    CacheHit: logging.INFO,
    FlightShared: logging.INFO,
    BreakerChanged: logging.WARNING,
    CacheFailed: logging.WARNING,
    KeyParked: logging.WARNING,
    RouteEjected: logging.WARNING,
    DecodeFailed: logging.WARNING,
}


class LogHook:
    """Writes events to a structlog logger.

    Args:
        logger: Where to; None is the standard library's logger ``asyncapi``, whose level decides.
        detail: Whether the events inside a call are wanted; None asks the logger whether it takes DEBUG.
    """

    def __init__(self, logger: Any = None, *, detail: bool | None = None) -> None:
        self._standard = logger is None
        self._logger = logger if logger is not None else _standard_logger()
        self._detail = detail

    @property
    def detail(self) -> bool:
        """Whether the events inside a call are wanted."""
        return _LOGGER.isEnabledFor(logging.DEBUG) if self._detail is None else self._detail

    def wants(self, kind: type[Event], /) -> bool:
        """The verdict on each attempt is detail to a reader of logs."""
        return kind is not VerdictGiven or self.detail

    def on_event(self, event: Event, /) -> None:
        """Write it, if its level is wanted. One that is not costs 0.2 us."""
        level = _LEVELS.get(type(event), logging.DEBUG)
        if self._standard and not _LOGGER.isEnabledFor(level):
            return
        self._logger.log(level, event.name, **fields(event))


def fields(event: Event) -> dict[str, Any]:
    """The event's fields as plain values, without those that are empty."""
    values = msgspec.structs.asdict(event)
    usage = values.pop("usage", None)
    if isinstance(usage, Usage):
        values |= msgspec.structs.asdict(usage)
        values.pop("source")
    return {name: value for name, value in values.items() if value not in ("", None)}


def _standard_logger() -> Any:
    return structlog.wrap_logger(
        _LOGGER,
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.processors.EventRenamer("event"),
            structlog.stdlib.render_to_log_kwargs,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
