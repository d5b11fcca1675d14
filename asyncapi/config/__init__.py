"""Settings: from Python, from ``asyncapi.toml`` and from the environment, with the same words.

::

    settings.py     the frozen settings: Endpoint, Key, Retry, Breaker, ...
    cache.py        those of the cache, and prices
    profiles.py     the defaults by one word: balanced, high-throughput, high-reliability, low-resource
    route.py        the settings of routes: Route, Outliers
    load.py         asyncapi.toml -> Settings
    environment.py  ASYNCAPI_* variables
    layers.py       which source wins: Python, environment, TOML, profile
    resolve.py      Endpoint -> Resolved: every value concrete
    discovery.py    which services the environment holds keys or URLs for

The process environment comes in as a mapping; only ``find`` reads it by itself when given none.
"""

from asyncapi.config.cache import Cache, Price, SingleFlight
from asyncapi.config.discovery import Discovery, discover, survey
from asyncapi.config.environment import unknown_variables
from asyncapi.config.keys import ResolvedKey
from asyncapi.config.load import Settings, find, load, read
from asyncapi.config.profiles import PROFILES, Profile, profile
from asyncapi.config.resolve import Resolved, resolve
from asyncapi.config.route import Outliers, Route
from asyncapi.config.semantic import Semantic
from asyncapi.config.settings import (
    AIMD,
    Batch,
    Breaker,
    Endpoint,
    Fixed,
    Hedge,
    Key,
    KeyPool,
    KeyStrategy,
    OnOpen,
    Retry,
    Shed,
    Timeout,
)

__all__ = [
    "AIMD",
    "PROFILES",
    "Batch",
    "Breaker",
    "Cache",
    "Discovery",
    "Endpoint",
    "Fixed",
    "Hedge",
    "Key",
    "KeyPool",
    "KeyStrategy",
    "OnOpen",
    "Outliers",
    "Price",
    "Profile",
    "Resolved",
    "ResolvedKey",
    "Retry",
    "Route",
    "Semantic",
    "Settings",
    "Shed",
    "SingleFlight",
    "Timeout",
    "discover",
    "find",
    "load",
    "profile",
    "read",
    "resolve",
    "survey",
    "unknown_variables",
]
