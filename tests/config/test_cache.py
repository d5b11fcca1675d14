"""Settings of the cache and of prices, in Python and in TOML."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from asyncapi import Cache, ConfigError, Price
from asyncapi.caching import MemoryStore
from asyncapi.caching.opening import opened
from asyncapi.config import read

WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: Cache("redis"), 'cache.store: expected "memory" or "sqlite", got "redis"'),
    (lambda: Cache(7), 'cache.store: expected "memory", "sqlite" or a Store, got 7'),
    (lambda: Cache("sqlite"), "cache.path: is missing"),
    (lambda: Cache(path="x"), 'cache.path: is for store "sqlite"'),
    (lambda: Cache(MemoryStore(), max_bytes=5), "give them to the store"),
    (lambda: Cache(ttl=-1), "cache.ttl: expected a number of seconds of 0 or more or a table"),
    (lambda: opened(Cache(ttl={"object": 5})), "cache.ttl.object: can't be cached"),
    (lambda: Price(input=-1), "price.input: expected an amount of money of 0 or more"),
    (lambda: Price(input=1, output=math.inf), "price.output: expected an amount"),
]


@pytest.mark.parametrize(("make", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_can_not_be_is_refused(make: Callable[[], Any], message: str) -> None:
    """When it is made, with what was expected."""
    with pytest.raises(ConfigError) as raised:
        make()

    assert message in str(raised.value)


def test_a_file_says_the_same() -> None:
    """The same words as in Python."""
    settings = read(
        {
            "cache": {
                "store": "sqlite",
                "path": "a.db",
                "max_bytes": 5,
                "ttl": {"embed": math.inf, "chat": 60},
            },
            "prices": {"openai:gpt-5": {"input": 1.25, "output": 10}},
            "single_flight": "deterministic",
        }
    )

    assert settings.cache == Cache("sqlite", "a.db", 5, {"embed": math.inf, "chat": 60.0})
    assert settings.prices == {"openai:gpt-5": Price(input=1.25, output=10)}
    assert settings.single_flight == "deterministic"


BAD_FILES: list[tuple[dict[str, Any], str]] = [
    ({"cache": "sqlite"}, "asyncapi.toml: cache: expected a table"),
    ({"cache": {"store": "sqlite"}}, "asyncapi.toml: cache.path: is missing"),
    ({"cache": {"ttl": "long"}}, "asyncapi.toml: cache.ttl: expected a number of seconds of 0 or more"),
    ({"cache": {"size": 1}}, "asyncapi.toml: cache.size: unknown key"),
    ({"prices": {"a:m": 5}}, 'asyncapi.toml: prices."a:m": expected a table with input and output'),
    ({"prices": {"a:m": {}}}, 'asyncapi.toml: prices."a:m": input is missing'),
    ({"prices": [1]}, "asyncapi.toml: prices: expected a table"),
    ({"single_flight": "yes"}, "asyncapi.toml: single_flight: expected"),
]


@pytest.mark.parametrize(("data", "message"), BAD_FILES, ids=[message for _, message in BAD_FILES])
def test_a_wrong_file_is_told_where(data: dict[str, Any], message: str) -> None:
    """File, place, and what was expected."""
    with pytest.raises(ConfigError) as raised:
        read(data)

    assert message in str(raised.value)


def test_what_tokens_cost() -> None:
    """Per million; what the service read from its own cache has a price of its own."""
    price = Price(input=2.0, output=10.0, cache_read=0.5)

    assert price.cost(1_000_000, 100_000) == pytest.approx(3.0)
    assert price.cost(1_000_000, 0, cache_read_tokens=600_000) == pytest.approx(1.1)
    assert price.cost(1_000_000, 0, cache_write_tokens=600_000) == pytest.approx(2.0)
