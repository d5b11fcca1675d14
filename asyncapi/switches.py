"""What an operator may do with a breaker while the program runs."""

from __future__ import annotations

from asyncapi._core.endpoint import Endpoint

__all__ = ["BreakerSwitch"]


class BreakerSwitch:
    """The breaker of one endpoint at work."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @property
    def state(self) -> str:
        """ "closed", "open", "half-open", "forced-open" or "forced-closed"."""
        return self._endpoint.breaker.state.value

    def force_open(self) -> None:
        """Send nothing until ``reset``. What is under way finishes; calls that may not wait are refused."""
        self._endpoint.breaker.force_open()

    def force_closed(self) -> None:
        """Send whatever happens until ``reset``. Outcomes are counted all the same: see the statistics."""
        self._endpoint.breaker.force_closed()

    def reset(self) -> None:
        """Closed, with nothing remembered, and on its own again."""
        self._endpoint.breaker.reset()
