"""A breaker for keys, lighter than the endpoint's: takes a key out that fails while its peers work.

A key can be at fault in ways that the service does not say: a project that was moved, a region that is
down, a quota that answers with a 500. Its failures must not open the breaker for the others.
"""

from __future__ import annotations

from collections.abc import Sequence

from asyncapi.config import Breaker
from asyncapi.policies.keys import KeyState
from asyncapi.policies.retry import Random

__all__ = ["Ejection"]


class _Row:
    """The failures of one key. State: all of its slots."""

    __slots__ = ("began", "ejected", "length", "ok", "total")

    def __init__(self) -> None:
        self.total = 0  # ever
        self.length = 0  # since its last success
        self.ok = -1  # how many successes it had when the row began
        self.began: dict[str, tuple[int, int]] = {}  # its peers' successes and failures then
        self.ejected = 0  # how often it was taken out without a success in between


class Ejection:
    """Decides from failures only: a success costs no more than the count that the key keeps of them.

    A key is taken out after ``failure_threshold`` failures in a row, if peers of it (keys for the same
    users that are not parked) have worked, and failed at most once for four successes while it failed.
    It rests as long as an open breaker would, and again, twice as long, at its next failure. The last
    key of a pool is never taken out.

    State: the ``_rows`` of failures by key.
    """

    def __init__(self, settings: Breaker, random: Random) -> None:
        self._settings = settings
        self._random = random
        self._rows: dict[str, _Row] = {}

    def failed(self, key: KeyState, keys: Sequence[KeyState], now: float) -> float | None:
        """A call failed with ``key``: seconds to take it out for, or None to leave it in.

        Args:
            key: The key.
            keys: All keys of the endpoint.
            now: The clock, seconds.
        """
        row = self._rows.setdefault(key.name, _Row())
        row.total += 1
        peers = [peer for peer in keys if peer is not key and peer.users == key.users]
        if row.ok != key.ok:
            row.ok, row.length, row.ejected = key.ok, 0, 0
            row.began = {peer.name: self._record(peer) for peer in peers}
        row.length += 1
        settings = self._settings
        if not settings.enabled or row.length < settings.failure_threshold or key.parked_until > now:
            return None
        if not any(peer.ok and peer.parked_until <= now for peer in peers) or self._also(row, peers):
            return None
        rest = min(settings.reset_after * 2.0 ** min(row.ejected, 30), settings.reset_maximum)
        row.ejected += 1
        return rest * (0.5 + 0.5 * self._random.random())

    def _also(self, row: _Row, peers: Sequence[KeyState]) -> bool:
        """Whether its peers fail too since the row began: then it is the service that fails."""
        worked = failed = 0
        for peer in peers:
            ok, bad = self._record(peer)
            before = row.began.get(peer.name, (0, 0))
            worked += ok - before[0]
            failed += bad - before[1]
        return 4 * failed > worked

    def _record(self, key: KeyState) -> tuple[int, int]:
        row = self._rows.get(key.name)
        return key.ok, row.total if row is not None else 0
