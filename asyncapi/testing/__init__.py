"""Tools for testing what you build on `asyncapi`: simulated time, and a switch that forbids the network.

virtual_time       a runner whose clock jumps: hours of timeouts and backoffs in milliseconds, from a seed
forbid_network     no socket leaves the machine while it is active
ScriptedTransport  answers from a script of reply, stream, hang and fail; remembers what was sent
simulation         a package: whole worlds of services and callers, from a seed, with every invariant checked

With pytest they are also markers: ``@pytest.mark.virtual_time(seed=3)`` and ``@pytest.mark.forbid_network``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncapi.testing.network import NetworkForbiddenError, NetworkGuard, forbid_network
from asyncapi.testing.virtual_time import (
    DeadlockError,
    LivelockError,
    LoopError,
    UnhandledLoopError,
    VirtualNetworkError,
    VirtualTime,
    VirtualTimeError,
    VirtualTimeStatistics,
    virtual_time,
)

if TYPE_CHECKING:
    from asyncapi.testing.scripted import (
        ScriptedTransport,
        ScriptExhaustedError,
        Sent,
        fail,
        hang,
        reply,
        stream,
    )

__all__ = [
    "DeadlockError",
    "LivelockError",
    "LoopError",
    "NetworkForbiddenError",
    "NetworkGuard",
    "ScriptExhaustedError",
    "ScriptedTransport",
    "Sent",
    "UnhandledLoopError",
    "VirtualNetworkError",
    "VirtualTime",
    "VirtualTimeError",
    "VirtualTimeStatistics",
    "fail",
    "forbid_network",
    "hang",
    "reply",
    "stream",
    "virtual_time",
]

_SCRIPTED = frozenset(
    {"ScriptExhaustedError", "ScriptedTransport", "Sent", "fail", "hang", "reply", "stream"}
)


def __getattr__(name: str) -> object:
    # Late: pytest loads this package for its plugin in every project where it is installed.
    if name in _SCRIPTED:
        from asyncapi.testing import scripted

        return getattr(scripted, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SCRIPTED})
