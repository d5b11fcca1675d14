"""The deadlines of many calls on one timer.

``asyncio.timeout_at`` arms a timer of the loop for each call: 7 of the 19 us that scheduling a call
took, almost always for nothing. Here a call takes a place in a slot of a millisecond, and only the
earliest slot has a timer.
"""

from __future__ import annotations

import asyncio
from heapq import heapify, heappop, heappush
from types import TracebackType

__all__ = ["Deadline", "Deadlines"]

#: Slots per second. A call is ended at most one slot late, never early.
_PER_SECOND = 1024


class Deadlines:
    """The places of one event loop.

    State: the ``_slots`` with their places, their numbers in a heap (``_order``, which may hold numbers of
    slots that are gone), and the ``_timer``, armed for the slot ``_armed`` while there are any.
    """

    def __init__(self) -> None:
        self._slots: dict[int, dict[Deadline, None]] = {}  # in order of entry: a set's would be chance
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._armed = 0

    def within(self, deadline: float | None) -> Deadline:
        """A context that ends with ``TimeoutError`` at ``deadline`` (the loop's time), None for never."""
        return Deadline(self, deadline)

    def enter(self, place: Deadline, deadline: float) -> int:
        """Take a place; its slot's number."""
        number = int(deadline * _PER_SECOND) + 1
        slot = self._slots.get(number)
        if slot is None:
            self._slots[number] = {place: None}
            heappush(self._order, number)
            if self._timer is None or number < self._armed:
                self._arm(number)
        else:
            slot[place] = None
        return number

    def leave(self, place: Deadline, number: int) -> None:
        """Give the place back."""
        slots = self._slots
        slot = slots.get(number)
        if slot is None:
            return
        slot.pop(place, None)
        if slot:
            return
        del slots[number]
        if not slots:
            self._stop()
            self._order.clear()
        elif len(self._order) > 64 + 2 * len(slots):
            self._order[:] = slots
            heapify(self._order)

    def _arm(self, number: int) -> None:
        self._stop()
        self._armed = number
        self._timer = asyncio.get_running_loop().call_at(number / _PER_SECOND, self._due)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        for place in self._slots.pop(self._armed, ()):
            place.expire()
        while self._order and self._order[0] not in self._slots:
            heappop(self._order)
        if self._order:
            self._arm(self._order[0])


class Deadline:
    """Cancels the task inside at the deadline, and turns that cancellation into ``TimeoutError``.

    As ``asyncio.timeout_at`` does it: a cancellation by somebody else stays one.

    State: the ``_task`` with the cancellations it had before, the ``_number`` of its slot, and whether it
    ``expired``.
    """

    __slots__ = ("_cancelling", "_deadline", "_deadlines", "_number", "_task", "expired")

    def __init__(self, deadlines: Deadlines, deadline: float | None) -> None:
        self._deadlines = deadlines
        self._deadline = deadline
        self._number = 0
        self.expired = False

    def __enter__(self) -> Deadline:
        deadline = self._deadline
        if deadline is None:
            return self
        task = asyncio.current_task()
        assert task is not None, "calls are awaited inside a task"
        self._task, self._cancelling = task, task.cancelling()
        self._number = self._deadlines.enter(self, deadline)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._number:
            self._deadlines.leave(self, self._number)
        if self.expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """The time is over."""
        self.expired = True
        self._task.cancel()
