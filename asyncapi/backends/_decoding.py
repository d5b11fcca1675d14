"""What several translators need on the way back: counts and times, checked."""

from __future__ import annotations

from datetime import datetime
from typing import Any

__all__ = ["count", "seconds"]


def count(value: Any) -> int | None:
    """A number of tokens, None for everything that is none: absent is not zero."""
    return value if type(value) is int and value >= 0 else None


def seconds(value: Any) -> float | None:
    """Unix time of an RFC 3339 text, None for everything else."""
    try:
        return datetime.fromisoformat(value).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
