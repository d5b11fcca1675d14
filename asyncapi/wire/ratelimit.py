"""When to come back: Retry-After and all its dialects.

Delays come as seconds, milliseconds, HTTP dates, RFC 3339 times, Go durations ("2m59.56s"),
protobuf durations ("45.8s"), Unix times, and prose ("try again in 7.66s"). What can't be read is
ignored; what lies in the past is 0.

Source: RFC 9110, 10.2.3; the rate-limit pages of OpenAI, Groq, Anthropic and Gemini.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

__all__ = ["delay", "duration", "lowered", "retry_after"]

_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
# "ms" is tried before "m": 12ms is not 12 minutes.
_PIECE = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d)")
_SPOKEN_START = re.compile(
    r"(?:try(?:ing)? again|retry(?:ing)?|wait)(?:\s+(?:in|after|for|at least|about))*\s*[:=]?\s*",
    re.IGNORECASE,
)
_SPOKEN = re.compile(
    r"([0-9]+(?:\.[0-9]+)?)\s*(milliseconds?|seconds?|secs?|minutes?|mins?|hours?|days?|ms|s|m|h|d)(?![a-z])"
    r"(?:,?\s*(?:and\s+)?)?",
    re.IGNORECASE,
)
_SPOKEN_UNITS = {"mil": 1e-3, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_EPOCH = 1e9
_EPOCH_MS = 1e11
_DIMENSIONS = ("requests", "tokens", "input-tokens", "output-tokens")


def lowered(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with lower-case names, whatever kind of mapping they came in."""
    return {name.lower(): value for name, value in headers.items()}


def duration(text: str) -> float | None:
    """Seconds of a Go or protobuf duration ("6m0s", "12ms", "45.837906927s"), None for anything else."""
    text = text.strip()
    negative = text.startswith("-")
    position = 1 if negative else 0
    total = 0.0
    if position == len(text):
        return None
    while position < len(text):
        piece = _PIECE.match(text, position)
        if piece is None:
            return None
        total += float(piece[1]) * _SECONDS[piece[2]]
        position = piece.end()
    return _finite(-total if negative else total)


def delay(text: str, now: float) -> float | None:
    """Seconds from ``now`` (Unix time) until what the text says, in any of the forms; None for garbage."""
    text = text.strip()
    try:
        number = float(text)
    except ValueError:
        seconds = duration(text)
        return seconds if seconds is not None else _until(text, now)
    if not math.isfinite(number):
        return None
    if number >= _EPOCH_MS:
        number = number / 1000 - now
    elif number >= _EPOCH:
        number -= now
    return _finite(number)


def retry_after(
    headers: Mapping[str, str],
    body: Any = None,
    message: str = "",
    *,
    now: float | None = None,
    exhausted: bool = True,
) -> float | None:
    """Seconds after which the service wants to see us again, None when it did not say.

    The first that can be read wins: ``retry-after-ms``, ``retry-after``, a RetryInfo in the body,
    the reset times of the limits that are used up, the message's prose.

    Args:
        headers: The reply's headers.
        body: The reply's JSON, if it is JSON.
        message: The service's message.
        now: Unix time for absolute times without a ``date`` header; default: the wall clock. The
            reply's own ``date`` wins over it, because clocks differ.
        exhausted: Whether a limit that is used up counts; for a failure that is no rate limit it
            does not.
    """
    names = lowered(headers)
    clock = _now(names, now)
    try:
        seconds = _finite(float(names.get("retry-after-ms", "")) / 1000)
    except ValueError:
        seconds = None
    if seconds is None and "retry-after" in names:
        seconds = delay(names["retry-after"], clock)
    if seconds is None:
        seconds = _retry_info(body)
    if seconds is None and exhausted:
        seconds = _exhausted(names, clock)
    return _spoken(message) if seconds is None else seconds


def _now(names: Mapping[str, str], now: float | None) -> float:
    date = _date(names["date"]) if "date" in names else None
    if date is not None:
        return date
    return datetime.now(UTC).timestamp() if now is None else now


def _until(text: str, now: float) -> float | None:
    moment = _date(text)
    if moment is None:
        try:
            parsed = datetime.fromisoformat(text)
            moment = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return None
    return _finite(moment - now)


def _date(text: str) -> float | None:
    try:
        parsed = parsedate_to_datetime(text)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def _finite(seconds: float) -> float | None:
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _count(text: str | None) -> int | None:
    try:
        return max(0, int(float(text))) if text else None
    except (ValueError, OverflowError):
        return None


def _retry_info(body: Any) -> float | None:
    error = body[0] if isinstance(body, list) and body else body
    error = error.get("error") if isinstance(error, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(detail.get("retryDelay"), str):
            return duration(detail["retryDelay"])
    return None


def _exhausted(names: dict[str, str], now: float) -> float | None:
    """Seconds until the last of the limits that are used up is back."""
    resets = []
    for dimension in _DIMENSIONS:
        remaining, reset = (
            names.get(f"x-ratelimit-{what}-{dimension}", names.get(f"anthropic-ratelimit-{dimension}-{what}"))
            for what in ("remaining", "reset")
        )
        if reset is not None and _count(remaining) == 0:
            resets.append(delay(reset, now))
    return max((reset for reset in resets if reset is not None), default=None)


def _spoken(message: str) -> float | None:
    message = message[:2000]
    for start in _SPOKEN_START.finditer(message):
        total, position = 0.0, start.end()
        while piece := _SPOKEN.match(message, position):
            unit = piece[2].lower()
            total += (
                float(piece[1])
                * _SPOKEN_UNITS[unit if unit == "ms" else unit[:3] if unit[:3] == "mil" else unit[0]]
            )
            position = piece.end()
        if position > start.end():
            return _finite(total)
    return None
