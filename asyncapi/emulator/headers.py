"""Times as services write them into headers: Go durations, RFC 3339, HTTP dates, seconds, milliseconds."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime


def go_duration(seconds: float) -> str:
    """A Go duration as OpenAI and Groq write it: ``12ms``, ``7.66s``, ``6m0s``, ``1h0m0s``."""
    milliseconds = math.ceil(seconds * 1000 - 1e-6)
    if milliseconds <= 0:
        return "0s"
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    text = f"{rest / 1000:g}s"
    if minutes >= 60:
        return f"{minutes // 60}h{minutes % 60}m{text}"
    return f"{minutes}m{text}" if minutes else text


def rfc3339(at: float) -> str:
    """A moment (seconds since 1970) as Anthropic writes it, rounded up to a whole second."""
    return datetime.fromtimestamp(math.ceil(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_micros(at: float) -> str:
    """A moment (seconds since 1970) with microseconds, as Ollama writes it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True, slots=True)
class Wait:
    """Headers that ask a client to wait, and how long they really ask for (seconds, None for not at all)."""

    headers: dict[str, str]
    seconds: float | None


def wait_headers(form: str, delay: float, now: float) -> Wait:
    """The headers that ask for ``delay`` seconds in one of the forms seen in the wild.

    Args:
        form: ``seconds`` (whole), ``float``, ``date``, ``ms``, ``reset`` (Go duration), ``both``
            (whole seconds and the exact milliseconds, as OpenAI does) or ``bare`` (nothing).
        delay: Seconds to wait. Whole seconds and dates are rounded up, as their grain is a second.
        now: Seconds since 1970.
    """
    # Rounded up to a millisecond, so that the text never asks for less than the number says.
    delay = math.ceil(delay * 1000 - 1e-6) / 1000
    whole = math.ceil(delay)
    if form == "seconds":
        return Wait({"retry-after": str(whole)}, whole)
    if form == "float":
        return Wait({"retry-after": f"{delay:.3f}".rstrip("0").rstrip(".")}, delay)
    if form == "date":
        target = math.ceil(now + delay)
        return Wait({"retry-after": format_datetime(datetime.fromtimestamp(target, UTC), True)}, target - now)
    if form == "ms":
        return Wait({"retry-after-ms": str(round(delay * 1000))}, delay)
    if form == "both":
        return Wait({"retry-after": str(whole), "retry-after-ms": str(round(delay * 1000))}, delay)
    if form == "reset":
        reset = go_duration(delay)
        return Wait({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": reset}, delay)
    return Wait({}, None)
