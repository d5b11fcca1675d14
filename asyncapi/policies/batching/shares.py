"""One answer's usage among several calls, and several answers' usage as one."""

from __future__ import annotations

from collections.abc import Sequence

from asyncapi.types.usage import Usage

__all__ = ["share", "total"]

_COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


def share(usage: Usage, weights: Sequence[int]) -> list[Usage]:
    """One answer's usage shared out by weight. Each count's sum is exact (largest remainder).

    Args:
        usage: What the service reported for all of them.
        weights: A size for each, 0 or more.
    """
    if len(weights) == 1:
        return [usage]
    columns = {
        name: _apportion(count, weights) for name in _COUNTS if (count := getattr(usage, name)) is not None
    }
    return [
        Usage(
            source="unknown" if usage.source == "unknown" else "estimated",
            **{name: column[i] for name, column in columns.items()},
        )
        for i in range(len(weights))
    ]


def _apportion(total: int, weights: Sequence[int]) -> list[int]:
    whole = sum(weights)
    if not whole:
        weights, whole = [1] * len(weights), len(weights)
    parts = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: -(total * weights[i] % whole))
    for i in by_remainder[: total - sum(parts)]:
        parts[i] += 1
    return parts


def total(usages: Sequence[Usage]) -> Usage:
    """The usage of all of them together; a count that none of them has stays unknown."""

    def add(name: str) -> int | None:
        counts = [count for usage in usages if (count := getattr(usage, name)) is not None]
        return sum(counts) if counts else None

    return Usage(source=usages[0].source, **{name: add(name) for name in _COUNTS})
