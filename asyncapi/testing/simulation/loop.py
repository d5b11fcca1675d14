"""Virtual time whose loop is watched between its turns, and whose timers may be late."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextvars import Context
from typing import TypeVarTuple

from asyncapi.testing.simulation.scenario import Chaos
from asyncapi.testing.virtual_loop import VirtualLoop
from asyncapi.testing.virtual_time import VirtualTime

__all__ = ["WatchedLoop", "WatchedTime"]

_Ts = TypeVarTuple("_Ts")


class WatchedLoop(VirtualLoop):
    """A virtual loop that shows itself after each turn and each jump of its clock.

    State: ``after_turn`` and ``after_jump`` (set once the run has something to look at), ``calm`` (timers are
    punctual from then on).
    """

    def __init__(self, rng: random.Random, chaos: Chaos) -> None:
        super().__init__(rng, shuffle=chaos.shuffle, start=0.0)
        self._lateness = random.Random(rng.random())
        self._chaos = chaos
        self.calm = not chaos.late
        self.after_turn: Callable[[], None] | None = None
        self.after_jump: Callable[[float, float], None] | None = None

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Arm a timer; by chance it fires late, as on a loop that is busy."""
        if not self.calm and self._lateness.random() < self._chaos.late:
            when += self._lateness.random() * self._chaos.late_by
        return super().call_at(when, callback, *args, context=context)

    def _jump(self) -> None:
        then = self._now
        super()._jump()
        if self.after_jump is not None:
            self.after_jump(then, self._now)

    def _run_once(self) -> None:
        super()._run_once()
        if self.after_turn is not None:
            self.after_turn()


class WatchedTime(VirtualTime):
    """Virtual time on such a loop."""

    def __init__(self, seed: int, chaos: Chaos, *, step_limit: int) -> None:
        super().__init__(seed, shuffle=chaos.shuffle, start=0.0, step_limit=step_limit)
        self._chaos = chaos

    def _new_loop(self) -> WatchedLoop:
        return WatchedLoop(random.Random(self.seed), self._chaos)

    @property
    def loop(self) -> WatchedLoop:
        """The event loop itself."""
        loop = super().loop
        assert isinstance(loop, WatchedLoop)
        return loop
