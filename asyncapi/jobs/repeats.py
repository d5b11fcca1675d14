"""Rows that ask what another row asks: one is sent, the others get its answer."""

from __future__ import annotations

import asyncio
from typing import Literal, TypeAlias

from msgspec.structs import replace

from asyncapi.caching.keys import request_key
from asyncapi.jobs.duplicates import SeenRequests
from asyncapi.jobs.items import Item
from asyncapi.jobs.journal import Journal

__all__ = ["Repeats"]

#: So many rows wait for the answer to another one, at most; then no further row is read.
MOST_WAITING = 10_000

Place: TypeAlias = Literal["first", "done", "deferred", "waits"]


class Repeats:
    """Who asked first, and who waits for whose answer.

    What is done is looked up in the output, so no answer is held here, and a run that is continued knows
    as much as one that was not interrupted.

    State: the first row of every request that was ``_seen``; the rows that were sent and are not settled
    (``_asking``), and those that wait for them (``_waiting``), ``_count`` in all; ``_room`` while there
    is some.
    """

    def __init__(self, journal: Journal, rows: int) -> None:
        self._journal = journal
        self._seen = SeenRequests(rows)
        self._asking: dict[int, Item] = {}
        self._waiting: dict[int, list[Item]] = {}
        self._count = 0
        self._room = asyncio.Event()
        self._room.set()

    def first(self, item: Item) -> int:
        """The row that makes this request first: the item's own if it is that."""
        key = request_key(item.request, item.request.model.partition(":")[0].encode())
        return item.index if key is None else self._seen.first(key, item.index)

    async def place(self, item: Item) -> tuple[Place, int]:
        """What is to become of an item, and the row that asks first.

        "first" is sent; "done" has its answer in the output; "deferred" will be tried in the next pass,
        like the row before it; "waits" gets its answer when that row gets its own.
        """
        first = self.first(item)
        if first == item.index:
            return "first", first
        await self._room.wait()
        if first in self._asking:
            self._waiting.setdefault(first, []).append(replace(item, request=self._asking[first].request))
            self._count += 1
            if self._count >= MOST_WAITING:
                self._room.clear()
            return "waits", first
        if self._journal.done(first):
            return "done", first
        return ("deferred" if self._journal.deferred(first) else "first"), first

    def sent(self, item: Item) -> None:
        """It is under way."""
        self._asking[item.index] = item

    def settled(self, item: Item) -> list[Item]:
        """It has ended: those that wait for it."""
        self._asking.pop(item.index, None)
        waiting = self._waiting.pop(item.index, [])
        self._count -= len(waiting)
        if self._count < MOST_WAITING:
            self._room.set()
        return waiting

    def close(self) -> None:
        """Give the memory back."""
        self._seen.close()
