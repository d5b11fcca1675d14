"""Simulated hours in seconds: a runner over an event loop whose clock jumps.

::

    with virtual_time(seed=7) as time:
        result = time.run(main())
        assert time.elapsed > 3600
        assert not time.pending_tasks()

Timeouts, backoffs, rates and deadlines run with asyncio's real semantics and cost no waiting. What a real
loop shows late or never is an error here: a deadlock, a livelock, an exception that nobody saw.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import random
from collections.abc import Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

from asyncapi.testing.virtual_loop import (
    DeadlockError,
    LivelockError,
    LoopError,
    VirtualLoop,
    VirtualNetworkError,
    VirtualTimeError,
)

__all__ = [
    "DeadlockError",
    "LivelockError",
    "LoopError",
    "UnhandledLoopError",
    "VirtualNetworkError",
    "VirtualTime",
    "VirtualTimeError",
    "VirtualTimeStatistics",
    "virtual_time",
]

_T = TypeVar("_T")
_STEP_LIMIT = 10_000_000


class UnhandledLoopError(VirtualTimeError):
    """The loop's exception handler was called, and the test did not take what it got.

    Attributes:
        errors: What the handler got, in order.
    """

    def __init__(self, errors: tuple[LoopError, ...]) -> None:
        lines = [f"  at {e.at_s:.6f} s: {e.message}: {e.exception!r} (from {e.source})" for e in errors]
        super().__init__(
            f"{len(errors)} error(s) reached the loop's exception handler; await what failed, or call "
            "take_loop_errors():\n" + "\n".join(lines)
        )
        self.errors = errors


@dataclass(frozen=True, slots=True)
class VirtualTimeStatistics:
    """What a simulation has done so far.

    Attributes:
        turns: How often the loop turned.
        handles: How many callbacks and task steps ran.
        elapsed_s: Virtual seconds since the start.
    """

    turns: int
    handles: int
    elapsed_s: float


class VirtualTime:
    """The runner that `virtual_time` gives; like `asyncio.Runner`, with a clock to look at.

    Attributes:
        seed: What the schedule was shuffled with; drawn at random if shuffling was asked for without a seed.
        shuffle: The probability of a shuffle per turn.
    """

    def __init__(self, seed: int | None, *, shuffle: float, start: float, step_limit: int | None) -> None:
        if not 0.0 <= shuffle <= 1.0:
            raise ValueError(f"shuffle is a probability per turn, from 0.0 to 1.0, got {shuffle!r}")
        if not math.isfinite(start):
            raise ValueError(f"start must be a finite number of seconds, got {start!r}")
        self.seed = random.SystemRandom().getrandbits(32) if seed is None and shuffle else seed
        self.shuffle = shuffle
        self._start = start
        self._step_limit = math.inf if step_limit is None else step_limit
        self._loop: VirtualLoop | None = None
        self._context = contextvars.copy_context()

    def __enter__(self) -> VirtualTime:
        if self._loop is not None:
            raise RuntimeError("a virtual time can be entered once; make another one")
        _check_no_loop_runs()
        self._loop = self._new_loop()
        return self

    def _new_loop(self) -> VirtualLoop:
        return VirtualLoop(random.Random(self.seed), shuffle=self.shuffle, start=self._start)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        problems = self._close()
        if error is not None:
            for problem in problems:
                error.add_note(f"and when virtual time ended: {type(problem).__name__}: {problem}")
        elif problems:
            for problem in problems[1:]:
                problems[0].add_note(f"and then: {type(problem).__name__}: {problem}")
            self._note_schedule(problems[0])
            raise problems[0]

    @property
    def loop(self) -> VirtualLoop:
        """The event loop itself."""
        if self._loop is None:
            raise RuntimeError("virtual time has not begun: write `with virtual_time() as time:`")
        return self._loop

    @property
    def now(self) -> float:
        """The virtual time in seconds, as `loop.time()` gives it; begins at `start`."""
        return self.loop.time()

    @property
    def elapsed(self) -> float:
        """Virtual seconds since the start."""
        return self.loop.time() - self._start

    @property
    def loop_errors(self) -> tuple[LoopError, ...]:
        """The errors that reached the loop's exception handler and were not taken yet."""
        return tuple(self.loop._errors)

    def run(self, main: Coroutine[Any, Any, _T], *, context: contextvars.Context | None = None) -> _T:
        """The result of `main`, run in virtual time. May be called again; the clock goes on.

        Tasks that `main` leaves behind stay, like with `asyncio.Runner`: they go on in the next run, and are
        cancelled at the end of the ``with`` block.

        Args:
            main: A coroutine; its task is called ``main``.
            context: The context to run in; by default one that all runs share.

        Raises:
            DeadlockError: Nothing was ready and no timer was armed.
            LivelockError: The loop turned `step_limit` times in this run.
        """
        if not asyncio.iscoroutine(main):
            raise ValueError(f"run takes a coroutine, got {main!r}")
        try:
            self._check_idle()
        except RuntimeError:
            main.close()
            raise
        context = context or self._context
        try:
            return self._turn_until(self.loop.create_task(main, name="main", context=context))
        except BaseException as error:
            self._note_schedule(error)
            raise

    def pending_tasks(self) -> tuple[str, ...]:
        """The names of the tasks that are not done, oldest first, without the one that asks."""
        loop = self.loop
        current = asyncio.current_task(loop)
        return tuple(task.get_name() for task in loop.pending() if task is not current)

    def pending_timers(self) -> tuple[float, ...]:
        """When the timers that are armed will fire (virtual seconds), earliest first."""
        return tuple(self.loop.live_timers())

    def take_loop_errors(self) -> tuple[LoopError, ...]:
        """The errors that reached the loop's exception handler; they no longer fail the test."""
        self.loop.collect_unretrieved()
        errors = self.loop_errors
        self.loop._errors.clear()
        return errors

    def raise_loop_errors(self) -> None:
        """Raise what the loop's exception handler got, if anything, as the end of the ``with`` block does.

        Raises:
            UnhandledLoopError: There were errors; they count as taken.
        """
        errors = self.take_loop_errors()
        if errors:
            causes = [error.exception for error in errors if error.exception is not None]
            raise UnhandledLoopError(errors) from (causes[0] if causes else None)

    def statistics(self) -> VirtualTimeStatistics:
        """How much work the loop has done."""
        return VirtualTimeStatistics(self.loop._turns, self.loop._handles, self.elapsed)

    def _check_idle(self) -> None:
        if self.loop.is_closed():
            raise RuntimeError("this virtual time has ended: run inside its `with` block")
        _check_no_loop_runs()

    def _turn_until(self, future: asyncio.Future[_T]) -> _T:
        self.loop._turn_limit = self.loop._turns + self._step_limit
        return self.loop.run_until_complete(future)

    def _note_schedule(self, error: BaseException) -> None:
        if self.shuffle:
            error.add_note(f"to repeat this schedule: virtual_time(seed={self.seed}, shuffle={self.shuffle})")

    def _close(self) -> list[VirtualTimeError]:
        loop = self.loop
        problems = []
        try:
            for step in (self._cancel_tasks, self._close_generators, self.raise_loop_errors):
                try:
                    step()
                except VirtualTimeError as problem:
                    problems.append(problem)
        finally:
            loop.close()
        return problems

    def _cancel_tasks(self) -> None:
        loop = self.loop
        left = loop.pending()
        if not left:
            return
        for task in left:
            task.cancel()
        self._turn_until(asyncio.gather(*left, return_exceptions=True))
        for task in left:
            if not task.cancelled() and (error := task.exception()) is not None:
                message = "a task failed while it was cancelled"
                loop.call_exception_handler({"message": message, "exception": error, "task": task})

    def _close_generators(self) -> None:
        self._turn_until(self.loop.create_task(self.loop.shutdown_asyncgens()))
        self._turn_until(self.loop.create_task(self.loop.shutdown_default_executor()))


def _check_no_loop_runs() -> None:
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("virtual time can't run inside a running event loop: await instead")


def virtual_time(
    seed: int | None = None, *, shuffle: float = 0.0, start: float = 0.0, step_limit: int | None = _STEP_LIMIT
) -> VirtualTime:
    """A context manager that runs coroutines in virtual time: the clock jumps, nothing waits.

    The same seed gives the same schedule, byte for byte: the order of tasks, timers, and sets of tasks or
    futures. (A set of strings is ordered by PYTHONHASHSEED, not by this.) Each turn of the loop costs a
    microsecond of virtual time, so that code that waits for the clock to move always sees it move; work is
    free otherwise. Functions given to an executor run at once, in this thread. There are no sockets.

    Args:
        seed: Decides every shuffle. None with `shuffle` draws one; it is in `VirtualTime.seed` and in a note
            on whatever is raised.
        shuffle: How probable it is that a turn permutes what is ready; 0.0 keeps asyncio's order. This finds
            code that depends on the order in which tasks wake, also where asyncio happens to keep it.
        start: The clock's first reading.
        step_limit: How many turns one run may take before it counts as a livelock; None for no limit.

    Units: seconds.
    """
    return VirtualTime(seed, shuffle=shuffle, start=start, step_limit=step_limit)
