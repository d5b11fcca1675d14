"""The event loop behind `virtual_time`: its clock jumps, its schedule comes from a seed.

One turn of the loop::

    nothing ready? ── no timer armed ──> DeadlockError, with the names of the tasks that wait
         │
         └─ jump: the clock becomes exactly the earliest live timer
    due timers join the ready list (armed first, runs first)
    with probability `shuffle` the ready list is permuted
    the ready list runs, then the clock pays one tick (a microsecond)

Nothing here depends on addresses, wall clocks or global counters: tasks and futures hash by their number in
this loop, so that a set of them (a TaskGroup keeps one) has the same order in every process.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import os
import random
import threading
import weakref
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar, TypeVarTuple

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")
_TICK_S = 1e-6
_COMPACT_AT = 100
_SHOWN = 10
_ASYNCIO_FOLDER = os.path.dirname(asyncio.__file__)


class VirtualTimeError(Exception):
    """What virtual time raises about the code under test; the base of the errors below."""


class DeadlockError(VirtualTimeError):
    """Nothing is ready and no timer is armed, so that nothing can ever happen again.

    Attributes:
        tasks: The names of the tasks that wait, in the order of their creation.
    """

    def __init__(self, message: str, tasks: tuple[str, ...]) -> None:
        super().__init__(message)
        self.tasks = tasks


class LivelockError(VirtualTimeError):
    """The loop turned `step_limit` times and was not done.

    Attributes:
        tasks: The names of the tasks that were about to run.
    """

    def __init__(self, message: str, tasks: tuple[str, ...]) -> None:
        super().__init__(message)
        self.tasks = tasks


class VirtualNetworkError(VirtualTimeError):
    """Something asked a virtual loop for a socket, a pipe or a process."""


@dataclass(frozen=True, slots=True)
class LoopError:
    """One call of the loop's exception handler: an error that had nobody to go to.

    Attributes:
        message: What asyncio said about it.
        exception: The exception itself, if there was one.
        source: The name of the task, or the text of the callback or generator, that failed; None if unknown.
        at_s: The virtual time of the report.
    """

    message: str
    exception: BaseException | None
    source: str | None
    at_s: float


class _VirtualFuture(asyncio.Future[Any]):
    """A future that hashes by its number, so that sets of futures have the same order in every run."""

    __slots__ = ("_number",)
    _number: int

    def __hash__(self) -> int:
        try:
            return self._number
        except AttributeError:
            self._number = next(self.get_loop()._numbers)  # type: ignore[attr-defined]
            return self._number


class _VirtualTask(asyncio.Task[Any]):
    """A task that hashes by its number, so that sets of tasks have the same order in every run."""

    __slots__ = ("_number",)
    _number: int

    __hash__ = _VirtualFuture.__hash__


class _WeakRegister(weakref.WeakKeyDictionary[Any, None]):
    """A weak set that iterates in the order of insertion (WeakSet iterates by address)."""

    def add(self, item: object) -> None:
        self[item] = None

    def discard(self, item: object) -> None:
        self.pop(item, None)


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop whose time is a number: it jumps to the next timer instead of waiting.

    State: _now, _timers with _cancelled_timers, _ready (of the base class), _turns, _handles, _errors,
    _tasks and _asyncgens (weak).
    """

    _ready: deque[asyncio.Handle]
    _stopping: bool
    _default_executor: Executor | None
    _check_closed: Callable[[], None]

    def __init__(self, rng: random.Random, *, shuffle: float, start: float) -> None:
        super().__init__()
        self.set_debug(False)
        self._random = rng
        self._shuffle = shuffle
        self._now = start
        # A tick that the float could not hold would let a timer in the past spin for ever.
        self._tick_s = max(_TICK_S, 4 * math.ulp(start))
        self._timers: list[tuple[float, int, Any]] = []
        self._timer_numbers = itertools.count()
        self._cancelled_timers = 0
        self._turns = 0
        self._turn_limit = math.inf
        self._handles = 0
        self._errors: list[LoopError] = []
        self._numbers = itertools.count(1)
        self._task_numbers = itertools.count(1)
        self._tasks = _WeakRegister()
        self._asyncgens: Any = _WeakRegister()
        self._thread = threading.get_ident()

    # -- the clock ------------------------------------------------------------------------------------------

    def time(self) -> float:
        """The virtual time, in seconds."""
        return self._now

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Arm a timer. Timers of equal time run in the order in which they were armed, unless shuffled."""
        self._check_closed()
        if math.isnan(when):
            raise ValueError("a timer can't be armed for NaN seconds")
        timer: Any = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._timer_numbers), timer))
        timer._scheduled = True
        return timer  # type: ignore[no-any-return]

    def _timer_handle_cancelled(self, handle: Any) -> None:
        if not handle._scheduled:
            return
        self._cancelled_timers += 1
        if self._cancelled_timers > _COMPACT_AT and 2 * self._cancelled_timers > len(self._timers):
            # `handle` itself is marked after this call, hence it stays and stays counted.
            self._timers = [entry for entry in self._timers if not entry[2].cancelled()]
            heapq.heapify(self._timers)
            self._cancelled_timers = 1

    def _jump(self) -> None:
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)[2]._scheduled = False
            self._cancelled_timers -= 1
        if not timers or timers[0][0] == math.inf:
            raise self._deadlock()
        self._now = max(self._now, timers[0][0])

    def _run_once(self) -> None:
        ready = self._ready
        if not ready and not self._stopping:
            self._jump()
        now = self._now
        timers = self._timers
        while timers and timers[0][0] <= now:
            timer = heapq.heappop(timers)[2]
            timer._scheduled = False
            if timer.cancelled():
                self._cancelled_timers -= 1
            else:
                ready.append(timer)

        self._turns += 1
        if self._turns > self._turn_limit:
            raise self._livelock()
        todo = len(ready)
        if todo > 1 and self._shuffle and self._random.random() < self._shuffle:
            # In place: call_soon appends to this very deque.
            permuted = list(ready)
            self._random.shuffle(permuted)
            ready.clear()
            ready.extend(permuted)
        self._handles += todo
        for _ in range(todo):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()
        self._now = now + self._tick_s

    # -- tasks and futures ----------------------------------------------------------------------------------

    def create_future(self) -> asyncio.Future[Any]:
        """A future that belongs to this loop."""
        return _VirtualFuture(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, _T], *, name: str | None = None, **options: Any
    ) -> asyncio.Task[_T]:
        """A task that runs `coro`; without a name it is Task-1, Task-2, … in the order of this loop."""
        self._check_closed()
        name = f"Task-{next(self._task_numbers)}" if name is None else name
        task: asyncio.Task[_T]
        if self.get_task_factory() is None:
            task = _VirtualTask(coro, loop=self, name=name, **options)
        else:
            task = super().create_task(coro, name=name, **options)
        self._tasks.add(task)
        return task

    def pending(self) -> list[asyncio.Task[Any]]:
        """The tasks that are not done, in the order of their creation."""
        return [task for task in self._tasks if not task.done()]

    def live_timers(self) -> list[float]:
        """When each timer that is armed will fire, earliest first."""
        return sorted(when for when, _, timer in self._timers if not timer.cancelled())

    # -- threads --------------------------------------------------------------------------------------------

    def call_soon_threadsafe(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """`call_soon`; from another thread an error, because threads have no place in a simulation."""
        if threading.get_ident() != self._thread:
            raise VirtualTimeError("virtual time has one thread: call_soon_threadsafe came from another one")
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., _T], *args: Any
    ) -> asyncio.Future[_T]:
        """Run `func` here and now, as if on a thread that needs no time; the future returned is done."""
        self._check_closed()
        future = self.create_future()
        asyncio._set_running_loop(None)
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whatever the function raises belongs to who awaits it
            future.set_exception(error)
        finally:
            asyncio._set_running_loop(self)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Shut down an executor that was set; functions ran inline, so that nothing is waited for."""
        executor, self._default_executor = self._default_executor, None
        if executor is not None:
            executor.shutdown(wait=True)

    # -- errors ---------------------------------------------------------------------------------------------

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep the error for `loop_errors`; after the loop is closed nobody reads those, so log it then."""
        if self.is_closed():
            super().default_exception_handler(context)
            return
        source = (
            context.get("task") or context.get("future") or context.get("handle") or context.get("asyncgen")
        )
        name = source.get_name() if isinstance(source, asyncio.Task) else source and repr(source)
        self._errors.append(LoopError(context["message"], context.get("exception"), name, self._now))

    def collect_unretrieved(self) -> None:
        """Report the tasks that failed and that nobody asked, now instead of at some garbage collection."""
        for task in list(self._tasks):
            if task.done() and not task.cancelled() and getattr(task, "_log_traceback", False):
                context = {
                    "message": "Task exception was never retrieved",
                    "exception": task.exception(),
                    "task": task,
                }
                self.call_exception_handler(context)

    def _deadlock(self) -> DeadlockError:
        tasks = self.pending()
        waiting = ", ".join(f"{task.get_name()!r}{_where(task)}" for task in tasks[:_SHOWN])
        more = f" and {len(tasks) - _SHOWN} more" if len(tasks) > _SHOWN else ""
        return DeadlockError(
            f"deadlock at {self._now:.6f} s: nothing is ready and no timer is armed; "
            f"{len(tasks)} task(s) wait: {waiting}{more}; "
            "set the event or answer the future that they wait for, or cancel them",
            tuple(task.get_name() for task in tasks),
        )

    def _livelock(self) -> LivelockError:
        owners = [getattr(handle._callback, "__self__", None) for handle in self._ready]  # type: ignore[attr-defined]
        names = tuple(owner.get_name() for owner in owners if isinstance(owner, asyncio.Task))
        return LivelockError(
            f"step limit reached at {self._now:.6f} s after {self._turns} turns; about to run: "
            f"{', '.join(map(repr, names[:_SHOWN])) or 'callbacks only'}; if that is no endless loop, raise "
            "step_limit",
            names,
        )

    def close(self) -> None:
        """Close the loop and forget its timers."""
        super().close()
        self._timers.clear()


def _where(task: asyncio.Task[Any]) -> str:
    """Where a task waits: the innermost line that is not asyncio's own."""
    place = ""
    step: Any = task.get_coro()
    while step is not None:
        frame = getattr(step, "cr_frame", None) or getattr(step, "ag_frame", None)
        if frame is not None and os.path.dirname(frame.f_code.co_filename) != _ASYNCIO_FOLDER:
            code = frame.f_code
            place = f" in {code.co_qualname} ({os.path.basename(code.co_filename)}:{frame.f_lineno})"
        step = getattr(step, "cr_await", None) or getattr(step, "ag_await", None)
    return place


# -- what a simulation has not ------------------------------------------------------------------------------


def _without_network(name: str) -> Callable[..., NoReturn]:
    def refuse(self: VirtualLoop, *args: object, **options: object) -> NoReturn:
        raise VirtualNetworkError(
            f"virtual time has no network: use ScriptedTransport (loop.{name} was called)"
        )

    refuse.__name__ = name
    return refuse


for _name in (
    *("add_reader", "add_writer", "remove_reader", "remove_writer", "getaddrinfo", "getnameinfo"),
    *("create_connection", "create_datagram_endpoint", "create_server", "create_unix_connection"),
    *(
        "create_unix_server",
        "connect_accepted_socket",
        "start_tls",
        "sendfile",
        "sock_accept",
        "sock_connect",
    ),
    *("sock_recv", "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into", "sock_sendall", "sock_sendfile"),
    *("sock_sendto", "connect_read_pipe", "connect_write_pipe", "subprocess_exec", "subprocess_shell"),
):
    setattr(VirtualLoop, _name, _without_network(_name))
