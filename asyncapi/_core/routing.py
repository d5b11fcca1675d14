"""Routes: several targets behind one name, tried in order until one answers.

Each target is a call of its own, with its own endpoint's queue, limit, breaker and retries; all of
them share one deadline. A stream moves on only before its first chunk.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from asyncapi.errors import AsyncAPIError
from asyncapi.policies.routing import may_move

__all__ = ["first_that_answers"]

T = TypeVar("T")


async def first_that_answers(
    targets: Sequence[str],
    attempt: Callable[[str, bool], Awaitable[T]],
    moved: Callable[[str, str, AsyncAPIError], None],
) -> T:
    """The first target's result that is one.

    Args:
        targets: In the order in which they are tried.
        attempt: Tries one; is told whether it is the last, for which waiting is better than failing.
        moved: Told of every move, from, to and why.

    Raises:
        AsyncAPIError: The last target's error, with notes on those before it; or the first one that
            another target would share.
    """
    notes: list[str] = []
    for target, following in zip(targets, [*targets[1:], None], strict=True):
        try:
            return await attempt(target, following is None)
        except AsyncAPIError as error:
            if following is None or not may_move(error):
                for note in notes:
                    error.add_note(note)
                raise
            notes.append(f"before that, {target}: {error}")
            moved(target, following, error)
    raise AssertionError("a route has at least one target")
