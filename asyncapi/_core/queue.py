"""The endpoint's queue: a bounded ``asyncio.PriorityQueue`` whose cancelled entries cost nothing."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterator
from typing import TypeAlias

from asyncapi._core.call import Call
from asyncapi.types.requests import Priority

__all__ = ["CallQueue", "Entry"]

#: How many are let aside for the sake of one behind them that has a key of its own.
MOST_ASIDE = 64

#: (start tag, sequence, call): the sequence makes ties first come first served, and keeps the heap
#: from ever comparing two calls.
Entry: TypeAlias = tuple[float, int, Call]


class CallQueue(asyncio.PriorityQueue[Entry]):
    """Waiting calls, smallest start tag first.

    A call that is cancelled or expires is only marked (``discard``, O(1)): its entry is dropped when
    it reaches the head, or when more than half of the heap is dead. So cancelling 30,000 waiting
    calls costs no more each than cancelling 100.

    State: the heap (of the base class); the entries set ``_aside`` (they wait for keys, and must not
    hold up those that have others); how many of both are ``_live``, and ``_choosy`` about their key; the
    ``_newcomers`` among them by priority, oldest first, and how many there are (``_new``). Calls that
    were admitted before and come back for another attempt are none: the bound is for newcomers, and so
    is eviction.
    """

    def __init__(self, bound: int) -> None:
        super().__init__()
        self.bound = bound
        self._aside: list[Entry] = []
        self._choosy = 0
        self._live = 0
        self._newcomers: tuple[dict[int, Call], ...] = tuple({} for _ in Priority)
        self._new = 0

    def _init(self, maxsize: int) -> None:
        self._queue: list[Entry] = []

    def qsize(self) -> int:
        """How many live calls wait."""
        return self._live

    def empty(self) -> bool:
        """Whether no live call waits in line (beside those set aside)."""
        while self._queue and not self._queue[0][2].waiting:
            heapq.heappop(self._queue)
        return not self._queue

    def head(self) -> Call:
        """Whose turn it is, only after ``empty`` said that there is one."""
        return self._queue[0][2]

    def full(self) -> bool:
        """Whether a newcomer would be one too many."""
        return self._new >= self.bound

    def put_nowait(self, item: Entry) -> None:
        """Add a call. Whether there is room for a newcomer is asked before."""
        call = item[2]
        if not call.attempts:
            self._newcomers[call.options.priority][call.sequence] = call
            self._new += 1
        self._live += 1
        if call.options.key is not None or call.options.user is not None:
            self._choosy += 1
        heapq.heappush(self._queue, item)

    def get_nowait(self) -> Entry:
        """The head, out of the queue."""
        item = heapq.heappop(self._queue)
        self._gone(item[2])
        return item

    def last_below(self, priority: Priority) -> Call | None:
        """Who has least to lose: the newest newcomer of the least urgent priority below this one."""
        for calls in reversed(self._newcomers[priority + 1 :]):
            if calls:
                return next(reversed(calls.values()))
        return None

    @property
    def picky(self) -> bool:
        """Whether it is worth letting the head aside: somebody who asks for a key of their own may wait."""
        return self._choosy > 0 and len(self._aside) < MOST_ASIDE

    def set_aside(self) -> None:
        """The head, which only its keys keep waiting, lets the next in line go first."""
        self._aside.append(heapq.heappop(self._queue))

    def bring_back(self) -> None:
        """Those set aside take their places again."""
        for item in self._aside:
            heapq.heappush(self._queue, item)
        self._aside.clear()

    def discard(self, call: Call) -> None:
        """A waiting call leaves at once. The caller has marked it as not waiting."""
        self._gone(call)
        dead = len(self._queue) + len(self._aside) - self._live
        if dead > 64 and dead * 2 > len(self._queue):
            self.bring_back()
            self._queue[:] = [entry for entry in self._queue if entry[2].waiting]
            heapq.heapify(self._queue)

    def move(self, call: Call) -> None:
        """A waiting call got another tag: its entry goes to the place of that. Takes O(n), and is rare."""
        for entries in (self._queue, self._aside):
            entries[:] = [(call.tag or 0.0, e[1], call) if e[2] is call else e for e in entries]
        heapq.heapify(self._queue)
        self.keep(call, call.options.priority)

    def keep(self, call: Call, priority: Priority) -> None:
        """A waiting call is as urgent as ``priority`` from now on, when somebody has to make room."""
        if not call.attempts:
            for calls in self._newcomers:
                calls.pop(call.sequence, None)
            self._newcomers[priority][call.sequence] = call

    def calls(self) -> Iterator[Call]:
        """The live calls, in no particular order."""
        return (entry[2] for entry in (*self._queue, *self._aside) if entry[2].waiting)

    def _gone(self, call: Call) -> None:
        """It waits no longer, and is no newcomer any more."""
        self._live -= 1
        if call.options.key is not None or call.options.user is not None:
            self._choosy -= 1
        if call.attempts:
            return
        self._new -= 1
        try:
            del self._newcomers[call.options.priority][call.sequence]
        except KeyError:  # it counts as more urgent than its flow
            for calls in self._newcomers:
                calls.pop(call.sequence, None)
