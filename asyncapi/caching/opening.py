"""From settings to a cache."""

from __future__ import annotations

from collections.abc import Mapping

from asyncapi.abc import Store
from asyncapi.caching.exact import ExactCache
from asyncapi.caching.memory import MEMORY_BYTES, MemoryStore
from asyncapi.caching.patient import PatientStore
from asyncapi.caching.rules import CACHEABLE
from asyncapi.caching.sqlite import FILE_BYTES, SQLiteStore
from asyncapi.config import Cache
from asyncapi.config.cache import DAY
from asyncapi.errors import ConfigError

__all__ = ["opened"]


def opened(settings: Cache) -> ExactCache:
    """The cache that the settings ask for.

    Raises:
        ConfigError: An operation that can't be cached, or a file that can't be.
    """
    default, by_operation = DAY, {}
    if isinstance(settings.ttl, Mapping):
        by_operation = dict(settings.ttl)
        for operation in by_operation:
            if operation not in CACHEABLE:
                known = ", ".join(sorted(CACHEABLE))
                raise ConfigError(f"cache.ttl.{operation}: can't be cached; those that can are {known}")
    else:
        default = settings.ttl
    return ExactCache(_store(settings), default, by_operation)


def _store(settings: Cache) -> Store:
    match settings.store:
        case "memory":
            return MemoryStore(settings.max_bytes or MEMORY_BYTES)
        case "sqlite":
            return SQLiteStore(settings.path, max_bytes=settings.max_bytes or FILE_BYTES)
    store: Store = settings.store
    own = type(store) in (MemoryStore, SQLiteStore)  # these never hang
    return store if own else PatientStore(store, settings.patience)
