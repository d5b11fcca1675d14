"""What attempts teach about an endpoint and its keys, for whoever chooses among them.

An endpoint has a ``Learner`` only if something that is switched on needs one: its keys' strategy, or a
route that chooses by what was learnt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from asyncapi.policies.hedging import Times
from asyncapi.policies.load import Load
from asyncapi.policies.verdict import Verdict

if TYPE_CHECKING:
    from asyncapi._core.lease import Lease

__all__ = ["Learner", "Watcher"]

#: Told of an attempt's end: the model that was asked, whether that was good, and when (seconds).
Watcher: TypeAlias = Callable[[str, bool, float], None]

#: A slow answer is one: how long it took weighs enough. To a watcher it is no good one.
_ANSWERED = frozenset({Verdict.OK, Verdict.SLOW})


class Learner:
    """State: the endpoint's ``load``, the ``times`` of its answers if calls are hedged by them, and the
    ``watchers`` that are told of every good or bad end.
    """

    def __init__(self, times: Times | None = None) -> None:
        self.load = Load()
        self.times = times
        self.watchers: list[Watcher] = []

    def first_token(self, lease: Lease, seconds: float, now: float) -> None:
        """A stream's first token came: that is how long it took, however long the stream will last."""
        self._observe(lease, seconds, now)

    def settled(
        self, lease: Lease, verdict: Verdict, seconds: float, retry_after: float | None, now: float
    ) -> None:
        """An attempt that was sent has ended. An ignored one teaches nothing."""
        key, request = lease.key.load, lease.call.request
        if verdict is Verdict.FAILED:
            self.load.punish(now, retry_after)
        elif verdict in _ANSWERED and not request.streams:
            self._observe(lease, seconds, now)
        if key is not None and (verdict is Verdict.FAILED or verdict is Verdict.THROTTLED):
            key.punish(now, retry_after)
        if verdict in _ANSWERED or verdict is Verdict.FAILED:
            for watcher in self.watchers:
                watcher(request.model, verdict is Verdict.OK, now)

    def _observe(self, lease: Lease, seconds: float, now: float) -> None:
        self.load.observe(seconds, now)
        if self.times is not None:
            self.times.add(lease.call.request, seconds)
        if lease.key.load is not None:
            lease.key.load.observe(seconds, now)
