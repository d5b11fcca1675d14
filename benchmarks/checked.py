"""Contenders whose every answer is compared with what the target sends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from benchmarks.adapters import Adapter
from benchmarks.target import STREAMED, TEXT

__all__ = ["WrongAnswer", "call", "stream"]


class WrongAnswer(AssertionError):
    """A contender that gives anything else has no time to be measured."""


def call(adapter: Adapter) -> Callable[[], Awaitable[None]]:
    """A plain call that must give the target's text."""
    return _checked(adapter.call, TEXT)


def stream(adapter: Adapter) -> Callable[[], Awaitable[None]]:
    """A streamed call that must give the target's words."""
    return _checked(adapter.stream, STREAMED)


def _checked(ask: Callable[[], Awaitable[str]], expected: str) -> Callable[[], Awaitable[None]]:
    async def one() -> None:
        if (text := await ask()) != expected:
            raise WrongAnswer(f"expected {expected[:40]!r}..., got {text[:40]!r}...")

    return one
