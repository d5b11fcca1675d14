"""Tools for testing what you build on `asyncapi`: simulated time, and a switch that forbids the network.

virtual_time     a runner whose clock jumps: hours of timeouts and backoffs in milliseconds, from a seed
forbid_network   no socket leaves the machine while it is active

With pytest they are also markers: ``@pytest.mark.virtual_time(seed=3)`` and ``@pytest.mark.forbid_network``.
"""

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

__all__ = [
    "DeadlockError",
    "LivelockError",
    "LoopError",
    "NetworkForbiddenError",
    "NetworkGuard",
    "UnhandledLoopError",
    "VirtualNetworkError",
    "VirtualTime",
    "VirtualTimeError",
    "VirtualTimeStatistics",
    "forbid_network",
    "virtual_time",
]
