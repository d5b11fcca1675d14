"""The endpoint's queue: a bounded ``asyncio.PriorityQueue`` whose cancelled entries cost nothing."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterator
from typing import TypeAlias

from asyncapi._core.call import Call

__all__ = ["CallQueue", "Entry"]

#: (start tag, sequence, call): the sequence makes ties first come first served, and keeps the heap
#: from ever comparing two calls.
Entry: TypeAlias = tuple[float, int, Call]


class CallQueue(asyncio.PriorityQueue[Entry]):
    """Waiting calls, smallest start tag first.

    A call that is cancelled or expires is only marked (``discard``, O(1)): its entry is dropped when
    it reaches the head, or when more than half of the heap is dead. So cancelling 30,000 waiting
    calls costs no more each than cancelling 100.

    State: the heap (of the base class); the entries set ``_aside`` (they wait for a key of their
    own and must not hold up the others); how many of both are ``_dead``; how many are ``_returning``
    (calls that were admitted before and come back for another attempt: the bound is for newcomers).
    """

    def __init__(self, bound: int) -> None:
        super().__init__()
        self.bound = bound
        self._aside: list[Entry] = []
        self._dead = 0
        self._returning = 0

    def _init(self, maxsize: int) -> None:
        self._queue: list[Entry] = []

    def qsize(self) -> int:
        """How many live calls wait."""
        return len(self._queue) + len(self._aside) - self._dead

    def empty(self) -> bool:
        """Whether no live call waits in line (beside those set aside)."""
        while self._queue and not self._queue[0][2].waiting:
            heapq.heappop(self._queue)
            self._dead -= 1
        return not self._queue

    def head(self) -> Call:
        """Whose turn it is, only after ``empty`` said that there is one."""
        return self._queue[0][2]

    def full(self) -> bool:
        """Whether a newcomer would be one too many."""
        return self.qsize() - self._returning >= self.bound

    def put_nowait(self, item: Entry) -> None:
        """Add a call; ``asyncio.QueueFull`` if it is a newcomer and the queue is full."""
        if item[2].attempts:
            self._returning += 1
        super().put_nowait(item)

    def get_nowait(self) -> Entry:
        """The head, out of the queue."""
        item = super().get_nowait()
        if item[2].attempts:
            self._returning -= 1
        return item

    def set_aside(self, item: Entry) -> None:
        """A head that only its own key keeps waiting lets the next in line go first."""
        self._aside.append(item)
        if item[2].attempts:
            self._returning += 1

    def bring_back(self) -> None:
        """Those set aside take their places again."""
        for item in self._aside:
            heapq.heappush(self._queue, item)
        self._aside.clear()

    def discard(self, call: Call) -> None:
        """A waiting call leaves at once. The caller has marked it as not waiting."""
        self._dead += 1
        if call.attempts:
            self._returning -= 1
        if self._dead > 64 and self._dead * 2 > len(self._queue):
            self.bring_back()
            self._queue[:] = [entry for entry in self._queue if entry[2].waiting]
            heapq.heapify(self._queue)
            self._dead = 0

    def move(self, call: Call) -> None:
        """A waiting call got another tag: its entry goes to the place of that. Takes O(n), and is rare."""
        for entries in (self._queue, self._aside):
            entries[:] = [(call.tag or 0.0, e[1], call) if e[2] is call else e for e in entries]
        heapq.heapify(self._queue)

    def calls(self) -> Iterator[Call]:
        """The live calls, in no particular order."""
        return (entry[2] for entry in (*self._queue, *self._aside) if entry[2].waiting)
