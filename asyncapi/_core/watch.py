"""Ends streams whose service is silent, too slow, or beyond the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from asyncapi.abc import WireStream
from asyncapi.errors import AsyncAPIError, ReadTimeoutError
from asyncapi.policies.throughput import Floor

if TYPE_CHECKING:
    from asyncapi._core.call import Call

__all__ = ["Watch"]

_ROUNDING_S = 1e-9  # a timer that fires a rounding too early must not be armed again for ever


class Watch:
    """Ends a stream whose service is silent for too long or too slow, or that lasts beyond its deadline.

    One timer that moves itself on, instead of one for each chunk. Time that the reader takes between
    two chunks is not the service's silence.

    State: the ``call`` whose deadline counts; ``since`` (when the pending read began, None while nobody
    reads), ``kept_waiting`` (the deadline passed while nobody read), the ``_floor`` once the answer has
    begun, and the ``_timer``.
    """

    def __init__(self, call: Call, wire: WireStream) -> None:
        self.call = call
        self._wire = wire
        self.clock = call.endpoint.clock
        self._idle = call.timeout.idle
        self._floor: Floor | None = None
        self.since: float | None = None
        self.kept_waiting = False
        self._timer: asyncio.TimerHandle | None = None
        self._arm(self.clock())

    def metered(self, rate: float, window: float) -> WireStream:
        """The same wire, from now on held to ``rate`` bytes a second."""
        floor = self._floor = Floor(rate, window)
        self.stop()
        self._arm(self.clock())
        return _Metered(self._wire, floor, self.clock)

    def stop(self) -> None:
        """No more watching."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, since: float) -> None:
        ends = [t for t in (self._idle and since + self._idle, self.call.deadline) if t is not None]
        if self._floor is not None:
            ends.append(since + self._floor.left)
        if ends:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, min(ends) - self.clock()), self._look)

    def _look(self) -> None:
        self._timer = None
        now, name, floor = self.clock(), self.call.endpoint.name, self._floor
        since = now if self.since is None else self.since
        waited = now - since + _ROUNDING_S
        if self.call.deadline is not None and now >= self.call.deadline:
            total = self.call.timeout.total
            self.kept_waiting = self.since is None
            self._wire.fail(
                ReadTimeoutError(f"{name} did not end its stream within {total} s", retryable=False)
            )
        elif self._idle is not None and waited >= self._idle:
            self._wire.fail(ReadTimeoutError(f"{name} was silent for {self._idle} s in its stream"))
        elif floor is not None and waited >= floor.left:
            slow = f"fell {floor.window:g} s behind {floor.rate:g} bytes a second in its stream"
            self._wire.fail(ReadTimeoutError(f"{name} {slow}"))
        else:
            self._arm(since)


class _Metered:
    """A wire that counts bytes and waiting against a floor. Made only where a floor is set."""

    def __init__(self, wire: WireStream, floor: Floor, clock: Callable[[], float]) -> None:
        self._wire = wire
        self._floor = floor
        self._clock = clock

    @property
    def status(self) -> int:
        return self._wire.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._wire.headers

    async def read(self) -> bytes:
        began = self._clock()
        data = await self._wire.read()
        self._floor.read(self._clock() - began, len(data))
        return data

    def fail(self, error: AsyncAPIError, /) -> None:
        self._wire.fail(error)

    def close(self) -> None:
        self._wire.close()
