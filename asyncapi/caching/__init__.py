"""Answers kept for the next time the same is asked.

::

    keys.py     a request to the key under which its answer is kept
    rules.py    which requests may share an answer, and which answers are worth keeping
    codec.py    an answer to bytes and back
    memory.py   a store in memory, bounded in bytes
    sqlite.py   a store in one file, shared by processes
    exact.py    the exact cache: keys, store and age together
    opening.py  from settings to a cache
    guard.py    whether two texts may get the same answer, by their words
    reading.py  what the guard sees of a text
    words.py    its tables

Nothing here schedules: the core asks, and sends where the answer is not there.
"""

from asyncapi.caching.memory import MemoryStore
from asyncapi.caching.sqlite import SQLiteStore

__all__ = ["MemoryStore", "SQLiteStore"]
