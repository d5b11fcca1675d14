"""Answers kept for the next time the same is asked.

::

    keys.py     a request to the key under which its answer is kept
    rules.py    which requests may share an answer, and which answers are worth keeping
    codec.py    an answer to bytes and back
    memory.py   a store in memory, bounded in bytes
    sqlite.py   a store in one file, shared by processes
    exact.py    the exact cache: keys, store and age together
    patient.py  a store of one's own, waited for only so long
    opening.py  from settings to a cache
    guard.py    whether two texts may get the same answer, by their words
    reading.py  what the guard sees of a text
    words.py    its tables
    neighbours.py  vectors, and which are nearest
    semantic.py  the semantic cache: group, vector, guard
    calibration.py  which threshold suits an embedding model

Nothing here schedules: the core asks, and sends where the answer is not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncapi.caching.memory import MemoryStore
from asyncapi.caching.sqlite import SQLiteStore

if TYPE_CHECKING:
    from asyncapi.caching.calibration import Calibration, Pair, Point, calibrate
    from asyncapi.caching.guard import safe_to_share

__all__ = ["Calibration", "MemoryStore", "Pair", "Point", "SQLiteStore", "calibrate", "safe_to_share"]


def __getattr__(name: str) -> Any:
    """The parts of the semantic cache, imported when they are asked for: their tables take 20 ms."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from asyncapi.caching import calibration, guard

    return getattr(guard if name == "safe_to_share" else calibration, name)
