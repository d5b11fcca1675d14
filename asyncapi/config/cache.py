"""Settings of the stations before the route: the cache, and what its hits are worth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from asyncapi.config.fields import Count, Seconds, SecondsOrZero, check_fields, shown
from asyncapi.config.semantic import Semantic
from asyncapi.errors import ConfigError

__all__ = ["DAY", "Cache", "Price", "SingleFlight"]

#: Which identical calls in flight share a request: all, none, or those with one right answer.
SingleFlight: TypeAlias = bool | Literal["deterministic"]

DAY = 86_400.0

_Store: TypeAlias = Annotated[Any, msgspec.Meta(description='"memory", "sqlite", or in Python any Store')]
_Ttl: TypeAlias = Annotated[
    Mapping[str, SecondsOrZero], msgspec.Meta(description="a table of seconds by operation")
]
_Money: TypeAlias = Annotated[float, msgspec.Meta(ge=0, description="an amount of money of 0 or more")]


class Cache(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Answers kept for the next time the same is asked.

    ``store`` is "memory", "sqlite" (with the ``path`` of its file) or an object with the methods of
    ``asyncapi.abc.Store``. ``max_bytes`` bounds the first two: 64 MiB in memory, 1 GiB on disk if
    nothing is said. ``ttl`` is how long an answer is good, in seconds, for all operations that are
    cached or by operation (the others stay at one day); 0 is not at all, infinity for ever.
    ``patience`` is how long a store of your own may take, in seconds, before the call goes on without it.
    ``semantic`` finds answers by meaning, too.
    """

    store: _Store = "memory"
    path: str = ""
    max_bytes: Count | None = None
    ttl: SecondsOrZero | _Ttl = DAY
    patience: Seconds = 1.0
    semantic: Semantic | None = None

    def __post_init__(self) -> None:
        check_fields(self, "cache")
        if isinstance(self.store, str):
            self._check_named()
        elif not all(
            callable(getattr(self.store, name, None)) for name in ("get", "put", "delete", "aclose")
        ):
            raise ConfigError(f'cache.store: expected "memory", "sqlite" or a Store, got {shown(self.store)}')
        elif self.path or self.max_bytes is not None:
            raise ConfigError("cache: path and max_bytes are for the named stores; give them to the store")

    def _check_named(self) -> None:
        if self.store not in ("memory", "sqlite"):
            raise ConfigError(f'cache.store: expected "memory" or "sqlite", got {shown(self.store)}')
        if bool(self.path) != (self.store == "sqlite"):
            needed = "is missing" if self.store == "sqlite" else 'is for store "sqlite"'
            raise ConfigError(f"cache.path: {needed}")


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a model's tokens cost, in money of any currency per million.

    ``cache_read`` and ``cache_write`` are for tokens of the service's own prompt cache; None is ``input``.
    None is built in: prices change, and contracts differ.
    """

    input: _Money
    output: _Money = 0.0
    cache_read: _Money | None = None
    cache_write: _Money | None = None

    def __post_init__(self) -> None:
        check_fields(self, "price")
        for name in self.__struct_fields__:
            if getattr(self, name) == math.inf:
                raise ConfigError(f"price.{name}: expected an amount of money of 0 or more, got infinity")

    def cost(
        self,
        input_tokens: int = 0,
        output_tokens: int = 0,
        cache_read_tokens: int = 0,
        cache_write_tokens: int = 0,
    ) -> float:
        """What so many tokens cost; ``input_tokens`` include those read from and written to the cache."""
        read, write = (
            self.input if price is None else price for price in (self.cache_read, self.cache_write)
        )
        plain = max(0, input_tokens - cache_read_tokens - cache_write_tokens)
        money = plain * self.input + output_tokens * self.output
        return (money + cache_read_tokens * read + cache_write_tokens * write) / 1e6
