"""The clock jumps, the schedule follows the seed, and what would hang is an error."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import math
import os
import random
import subprocess
import sys
import threading
import time as wall
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import pytest

from asyncapi.testing import (
    DeadlockError,
    LivelockError,
    UnhandledLoopError,
    VirtualNetworkError,
    VirtualTime,
    VirtualTimeError,
    virtual_time,
)

TURNS_S = 1e-3  # far more than the microseconds that a handful of turns costs


def about(seconds: float) -> Any:
    return pytest.approx(seconds, abs=TURNS_S)


# -- the clock ----------------------------------------------------------------------------------------------


def test_clock_jumps_to_exactly_the_timer() -> None:
    """A timer fires at its own time, to the last bit, and no wall time passes."""
    seen: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_at(0.1 + 0.2, lambda: seen.append(loop.time()))
        loop.call_at(7200.7, lambda: seen.append(loop.time()))
        await asyncio.sleep(10_000)

    began = wall.perf_counter()
    with virtual_time() as time:
        time.run(main())

        assert seen == [0.1 + 0.2, 7200.7]
        assert time.elapsed == about(10_000)
    assert wall.perf_counter() - began < 1


def test_a_day_of_steady_work_takes_less_than_two_seconds() -> None:
    """24 simulated hours with a wake-up each ten seconds cost less than 2 s of CPU."""

    async def main() -> None:
        for _ in range(24 * 360):
            await asyncio.sleep(10)

    began = wall.process_time()
    with virtual_time() as time:
        time.run(main())

        assert time.elapsed == pytest.approx(86_400, abs=1)
    assert wall.process_time() - began < 2


def test_clock_begins_where_it_is_told_to() -> None:
    """`start` moves `now`, and `elapsed` counts from there."""
    with virtual_time(start=1.7e9) as time:
        time.run(asyncio.sleep(60))

        assert time.now == about(1.7e9 + 60)
        assert time.elapsed == about(60)


def test_each_turn_moves_the_clock_even_where_floats_are_coarse() -> None:
    """A timer that is due "now" can't spin: the clock has moved when it runs, also at a huge start."""

    async def main() -> int:
        loop = asyncio.get_running_loop()
        due, spins = loop.time() + 1e-16, 0
        while loop.time() <= due:
            await asyncio.sleep(1e-16)
            spins += 1
        return spins

    for start in (0.0, 1.7e9, 1e15):
        with virtual_time(start=start, step_limit=1000) as time:
            assert time.run(main()) <= 3


def test_timers_of_equal_time_run_in_the_order_they_were_armed() -> None:
    """Twelve timers at one instant run first armed, first run, in one turn."""
    order: list[int] = []
    moments: set[float] = set()

    def fire(number: int) -> None:
        order.append(number)
        moments.add(asyncio.get_running_loop().time())

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for number in range(12):
            loop.call_at(5.0, fire, number)
        await asyncio.sleep(6)

    with virtual_time() as time:
        time.run(main())

    assert order == list(range(12))
    assert moments == {5.0}


def test_timer_in_the_past_runs_in_the_next_turn() -> None:
    """The clock never goes back."""

    async def main() -> float:
        await asyncio.sleep(10)
        loop = asyncio.get_running_loop()
        fired = loop.create_future()
        loop.call_at(1.0, lambda: fired.set_result(loop.time()))
        return float(await fired)

    with virtual_time() as time:
        assert time.run(main()) == about(10)


def test_cancelled_timers_neither_fire_nor_stay() -> None:
    """100,000 cancelled timeouts leave the heap small, and the clock does not jump to them."""

    async def main() -> int:
        loop = asyncio.get_running_loop()
        kept = [loop.call_at(50.0 + n, int) for n in range(10)]
        for n in range(100_000):
            loop.call_at(10.0 + n % 7, int).cancel()
        kept[0].cancel()
        await asyncio.sleep(100)
        kept[1].cancel()  # it has fired: nothing to do
        return len(loop._timers)  # type: ignore[attr-defined]

    with virtual_time() as time:
        time.run(asyncio.sleep(0))
        assert time.run(main()) == 0
        assert time.elapsed == about(100)


def test_nan_is_no_time_for_a_timer() -> None:
    """A NaN would corrupt the heap, so it is refused."""
    with virtual_time() as time, pytest.raises(ValueError, match="NaN"):
        time.loop.call_at(math.nan, print)


def test_a_cancelled_timer_that_is_due_is_skipped() -> None:
    """A timer cancelled while another one of its instant is still ahead does not run."""
    ran: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_at(1.0, ran.append, "a")
        loop.call_at(1.0, ran.append, "b").cancel()
        loop.call_soon(ran.append, "c").cancel()
        await asyncio.sleep(2)

    with virtual_time() as time:
        time.run(main())

    assert ran == ["a"]


# -- what would hang ----------------------------------------------------------------------------------------


def test_deadlock_names_the_tasks_and_where_they_wait() -> None:
    """Two tasks that wait for each other are an error with their names and lines, not a test that hangs."""

    async def consume(queue: asyncio.Queue[int]) -> None:
        await queue.get()

    async def main() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            group.create_task(consume(queue), name="consumer-7")

    with virtual_time() as time:
        with pytest.raises(DeadlockError) as caught:
            time.run(main())

        assert caught.value.tasks == ("main", "consumer-7")
        assert "'consumer-7' in test_deadlock" in str(caught.value)
        assert "consume (test_virtual_time.py:" in str(caught.value)


def test_deadlock_shortens_a_long_list() -> None:
    """With a hundred parked tasks the message names ten; the attribute has them all."""

    async def park() -> None:
        await asyncio.Event().wait()

    async def agen() -> AsyncGenerator[int, None]:
        await park()
        yield 1

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(99):
                group.create_task(park())
            async for _ in agen():
                pass

    with virtual_time() as time:
        with pytest.raises(DeadlockError, match="and 90 more") as caught:
            time.run(main())

        assert len(caught.value.tasks) == 100


def test_waiting_for_ever_is_a_deadlock() -> None:
    """A timer at infinity never fires, so it does not count as armed."""
    with virtual_time() as time, pytest.raises(DeadlockError):
        time.run(asyncio.sleep(math.inf))


def test_livelock_hits_the_step_limit() -> None:
    """Tasks that hand the turn to each other for ever are stopped, and named."""

    async def spin() -> None:
        while True:  # noqa: ASYNC110 - the livelock itself
            await asyncio.sleep(0)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(spin(), name="spinner")

    with virtual_time(step_limit=1000) as time:
        with pytest.raises(LivelockError, match="'spinner'") as caught:
            time.run(main())

        assert caught.value.tasks == ("spinner",)
        assert time.statistics().turns == 1001


def test_callbacks_alone_can_livelock() -> None:
    """The step limit also holds where no task is involved; and None is no limit."""

    def again() -> None:
        asyncio.get_running_loop().call_soon(again)

    async def main() -> None:
        again()
        await asyncio.Event().wait()

    with virtual_time(step_limit=100) as time, pytest.raises(LivelockError, match="callbacks only"):
        time.run(main())
    with virtual_time(step_limit=None) as time:
        time.run(asyncio.sleep(1))


def test_step_limit_counts_each_run_anew() -> None:
    """Two runs of 60 turns pass under a limit of 100."""

    async def main() -> None:
        for _ in range(60):
            await asyncio.sleep(0)

    with virtual_time(step_limit=100) as time:
        time.run(main())
        time.run(main())


# -- the schedule -------------------------------------------------------------------------------------------


def schedule(seed: int | None, shuffle: float) -> str:
    """A hash of everything that happened, in order: tasks, times, groups that abort, sets of futures."""
    history: list[object] = []

    async def work(number: int, queue: asyncio.PriorityQueue[tuple[int, int]], rng: random.Random) -> None:
        for step in range(20):
            await asyncio.sleep(rng.choice((0, 0.1, 0.25)))
            queue.put_nowait((rng.randrange(3), number))
            history.append((number, step, await queue.get(), asyncio.get_running_loop().time()))

    async def fail(number: int) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            history.append(("cancelled", number))

    async def boom() -> None:
        raise KeyError

    async def abort() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                group.create_task(fail(number))
            await asyncio.sleep(0)
            group.create_task(boom())

    async def main() -> None:
        rng = random.Random(1)
        queue: asyncio.PriorityQueue[tuple[int, int]] = asyncio.PriorityQueue()
        async with asyncio.TaskGroup() as group:
            for number in range(12):
                group.create_task(work(number, queue, rng))
        with pytest.raises(ExceptionGroup):
            await abort()
        loop = asyncio.get_running_loop()
        futures = {loop.create_future(): n for n in range(40)}
        history.extend(futures[future] for future in set(futures))
        history.append(sorted(task.get_name() for task in asyncio.all_tasks()))

    with virtual_time(seed, shuffle=shuffle) as time:
        time.run(main())
        history.append(time.statistics())
    return hashlib.sha256(repr(history).encode()).hexdigest()


def test_same_seed_gives_the_same_schedule_byte_for_byte() -> None:
    """The hash of the history repeats, also where sets of tasks decide the order."""
    noise = [object() for _ in range(1001)]
    first = schedule(7, 0.5)
    del noise[::2]

    assert schedule(7, 0.5) == first
    assert schedule(None, 0.0) == schedule(3, 0.0)


def test_seeds_differ_and_no_shuffle_means_no_difference() -> None:
    """Ten seeds give ten schedules; a shuffle is needed for that."""
    assert len({schedule(seed, 0.5) for seed in range(10)}) == 10
    assert len({schedule(seed, 0.0) for seed in range(3)}) == 1


@pytest.mark.slow
def test_schedule_is_the_same_in_another_process() -> None:
    """Neither addresses nor hash randomisation reach the schedule."""
    code = "from test_virtual_time import schedule; print(schedule(7, 0.5))"
    folder = os.path.dirname(__file__)
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=folder,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }

    assert outputs == {schedule(7, 0.5)}


def test_a_seed_that_was_drawn_is_told() -> None:
    """Shuffling without a seed draws one, and a failure says how to repeat it."""

    async def main() -> None:
        raise KeyError("x")

    with virtual_time(shuffle=0.5) as time, pytest.raises(KeyError) as caught:
        time.run(main())

    assert f"virtual_time(seed={time.seed}, shuffle=0.5)" in caught.value.__notes__[0]


def test_shuffle_finds_a_race_that_plain_order_hides() -> None:
    """A read-modify-write across an await survives first-in-first-out and not a shuffle."""

    async def main() -> list[str]:
        order: list[str] = []

        async def say(word: str) -> None:
            await asyncio.sleep(0)
            order.append(word)

        async with asyncio.TaskGroup() as group:
            group.create_task(say("write"))
            group.create_task(say("read"))
        return order

    def outcomes(shuffle: float) -> set[tuple[str, ...]]:
        found = set()
        for seed in range(20):
            with virtual_time(seed, shuffle=shuffle) as time:
                found.add(tuple(time.run(main())))
        return found

    assert outcomes(0.0) == {("write", "read")}
    assert outcomes(1.0) == {("write", "read"), ("read", "write")}


# -- asyncio's own parts ------------------------------------------------------------------------------------


@pytest.mark.virtual_time
async def test_timeouts_fire_on_time(virtual_clock: VirtualTime) -> None:
    """`asyncio.timeout`, `timeout_at` and `wait_for` cut off at their instant."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(30):
            await asyncio.Event().wait()
    assert virtual_clock.elapsed == about(30)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout_at(45):
            await asyncio.sleep(3600)
    assert virtual_clock.now == about(45)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.sleep(3600), 15)
    assert virtual_clock.now == about(60)
    async with asyncio.timeout(5):
        await asyncio.sleep(1)
    assert not virtual_clock.pending_timers()
    assert not virtual_clock.pending_tasks()


@pytest.mark.virtual_time(3, shuffle=0.3)
async def test_primitives_work() -> None:
    """Queues, semaphores, events, conditions, groups, gather, wait and as_completed do what they do."""
    queue: asyncio.PriorityQueue[int] = asyncio.PriorityQueue(maxsize=2)
    gate, limit, condition = asyncio.Event(), asyncio.Semaphore(2), asyncio.Condition()
    running, most = 0, 0

    async def produce() -> None:
        await gate.wait()
        for number in (3, 1, 2):
            await queue.put(number)

    async def hold() -> None:
        nonlocal running, most
        async with limit:
            running += 1
            most = max(most, running)
            await asyncio.sleep(1)
            running -= 1

    async def notify() -> None:
        async with condition:
            condition.notify_all()

    async with asyncio.TaskGroup() as group:
        group.create_task(produce())
        for _ in range(6):
            group.create_task(hold())
        gate.set()
        got = [await queue.get() for _ in range(3)]
        async with condition:
            waker = group.create_task(notify())
            await condition.wait()
        await waker

    assert sorted(got) == [1, 2, 3]
    assert most == 2
    assert asyncio.get_running_loop().time() == about(3)
    assert list(await asyncio.gather(asyncio.sleep(2, "a"), asyncio.sleep(1, "b"))) == ["a", "b"]
    tasks = [asyncio.create_task(asyncio.sleep(n, n)) for n in (3, 1, 2)]
    done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result() for task in done] == [1]
    assert len(waiting) == 2
    assert [await item for item in asyncio.as_completed(tasks)] == [1, 2, 3]


@pytest.mark.virtual_time
async def test_cancellation_reaches_the_awaited_thing() -> None:
    """A cancelled task gets CancelledError at its await, and cleans up."""
    seen: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            seen.append("cleaned")

    task = asyncio.create_task(work())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert seen == ["cancelled", "cleaned"]
    assert asyncio.get_running_loop().time() == about(1)


@pytest.mark.virtual_time
async def test_executor_runs_inline() -> None:
    """A thread's work happens at once, sees no running loop, and its errors come back."""
    loop = asyncio.get_running_loop()
    future = loop.run_in_executor(None, lambda: (threading.current_thread(), asyncio._get_running_loop()))

    assert future.done()
    assert await future == (threading.current_thread(), None)
    assert await asyncio.to_thread(pow, 2, 10) == 1024
    with pytest.raises(ZeroDivisionError):
        await loop.run_in_executor(None, lambda: 1 / 0)
    assert asyncio.get_running_loop() is loop


@pytest.mark.virtual_time
async def test_call_soon_threadsafe_works_in_the_same_thread_only() -> None:
    """From the loop's thread it is call_soon; from another one it is an error."""
    loop = asyncio.get_running_loop()
    called = loop.create_future()
    loop.call_soon_threadsafe(called.set_result, "here")

    def elsewhere() -> None:
        try:
            loop.call_soon_threadsafe(print)
        except VirtualTimeError as error:
            errors.append(error)

    errors: list[Exception] = []
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()

    assert await called == "here"
    assert "one thread" in str(errors[0])


@pytest.mark.virtual_time
async def test_all_tasks_and_names() -> None:
    """`all_tasks` sees this loop's tasks; unnamed ones are numbered from 1 in each loop."""
    task = asyncio.create_task(asyncio.sleep(1))

    assert {t.get_name() for t in asyncio.all_tasks()} == {"main", "Task-1"}
    await task


@pytest.mark.virtual_time
async def test_task_factory_is_used() -> None:
    """A factory that the code under test sets makes the tasks."""
    made: list[str] = []

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        made.append(coro.__name__)
        return asyncio.Task(coro, loop=loop, **options)

    asyncio.get_running_loop().set_task_factory(factory)

    assert await asyncio.create_task(asyncio.sleep(1, "x")) == "x"
    assert made == ["sleep"]


NETWORK_CALLS: list[Callable[[asyncio.AbstractEventLoop], object]] = [
    lambda loop: loop.create_connection(asyncio.Protocol, "127.0.0.1", 80),
    lambda loop: loop.getaddrinfo("localhost", 80),
    lambda loop: loop.add_reader(0, print),
    lambda loop: loop.subprocess_exec(asyncio.SubprocessProtocol, "true"),
]


@pytest.mark.virtual_time
@pytest.mark.parametrize("call", NETWORK_CALLS)
async def test_sockets_say_what_to_use_instead(call: Callable[[asyncio.AbstractEventLoop], object]) -> None:
    """Anything that needs a real file descriptor is a clear error."""
    with pytest.raises(VirtualNetworkError, match="virtual time has no network: use ScriptedTransport"):
        call(asyncio.get_running_loop())


@pytest.mark.virtual_time
@pytest.mark.parametrize("host", ["example.com", "127.0.0.1"])
async def test_aiohttp_gets_the_clear_error(host: str) -> None:
    """A session works up to its first connection, and then says why not."""
    async with aiohttp.ClientSession() as session:
        with pytest.raises(VirtualNetworkError, match="ScriptedTransport"):
            await session.get(f"http://{host}/")


# -- errors that nobody awaits ------------------------------------------------------------------------------


def test_failing_callback_fails_the_test() -> None:
    """What reaches the loop's exception handler is raised when virtual time ends."""

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)

    with pytest.raises(UnhandledLoopError, match="ZeroDivisionError") as caught, virtual_time() as time:
        time.run(main())  # returns: the errors can be looked at until the end

    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value.errors[0].at_s == about(0)


def test_errors_that_were_taken_are_forgiven() -> None:
    """`take_loop_errors` hands them over, with the task's name, and virtual time ends in peace."""

    async def boom() -> None:
        raise KeyError("lost")

    async def main() -> None:
        task = asyncio.create_task(boom(), name="orphan")
        await asyncio.sleep(1)
        kept.append(task)

    kept: list[asyncio.Task[None]] = []
    with virtual_time() as time:
        time.run(main())
        (error,) = time.take_loop_errors()

        assert error.source == "orphan"
        assert isinstance(error.exception, KeyError)
        assert "never retrieved" in error.message
        assert time.loop_errors == ()


def test_error_without_an_exception_is_raised_too() -> None:
    """A message alone is enough to fail."""
    with pytest.raises(UnhandledLoopError, match="odd"), virtual_time(1, shuffle=0.1) as time:
        time.loop.call_exception_handler({"message": "odd"})


def test_own_exception_handler_keeps_its_errors() -> None:
    """Code that sets a handler gets the errors; one that fails itself is reported."""
    seen: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: seen.append(context["message"]))
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)
        loop.set_exception_handler(lambda loop, context: context["nonsense"])
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)

    with virtual_time() as time:
        time.run(main())
        (error,) = time.take_loop_errors()

    assert len(seen) == 1
    assert isinstance(error.exception, KeyError)


def test_the_bodys_own_error_wins_and_names_the_others() -> None:
    """An exception on its way out is not replaced; what the loop knows is added as a note."""

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as caught, virtual_time() as time:
        time.run(main())

    assert "ZeroDivisionError" in caught.value.__notes__[0]


def test_errors_after_the_end_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody reads `loop_errors` of a closed loop, so asyncio's logger gets them."""
    with virtual_time() as time:
        pass
    time.loop.call_exception_handler({"message": "too late"})

    assert "too late" in caplog.text


# -- the end of a run ---------------------------------------------------------------------------------------


def test_leftover_tasks_can_be_seen_and_are_cancelled() -> None:
    """A run leaves its tasks as asyncio.Runner does; the end cancels them, oldest first."""
    ended: list[str] = []

    async def forever(name: str) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(name)

    async def main() -> None:
        tasks.extend(asyncio.create_task(forever(name), name=name) for name in ("a", "b", "c"))
        await asyncio.sleep(1)

    tasks: list[asyncio.Task[None]] = []
    with virtual_time() as time:
        time.run(main())

        assert time.pending_tasks() == ("a", "b", "c")
        assert time.pending_timers() == pytest.approx((1000,) * 3, abs=TURNS_S)
        time.run(asyncio.sleep(100))
        assert time.elapsed == about(101)
        assert not ended
    assert ended == ["a", "b", "c"]
    assert all(task.cancelled() for task in tasks)
    assert time.elapsed == about(101)


def test_task_that_fails_while_cancelled_is_reported() -> None:
    """An error in the clean-up of a leftover task is not lost."""

    async def clumsy() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            raise KeyError("clean-up")

    async def main() -> None:
        tasks.append(asyncio.create_task(clumsy()))
        await asyncio.sleep(1)

    tasks: list[asyncio.Task[None]] = []
    with pytest.raises(UnhandledLoopError, match="clean-up"), virtual_time() as time:
        time.run(main())


def test_task_that_refuses_to_end_is_a_deadlock() -> None:
    """A task that swallows its cancellation and waits on is named; the loop is closed all the same."""

    async def stubborn() -> None:
        never = asyncio.Event()
        while True:
            try:
                await never.wait()
            except asyncio.CancelledError:
                continue
            except GeneratorExit:
                return

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        tasks.append(asyncio.create_task(stubborn(), name="stubborn"))
        await asyncio.sleep(1)

    tasks: list[asyncio.Task[None]] = []
    with pytest.raises(DeadlockError, match="'stubborn'") as caught, virtual_time() as time:
        time.run(main())

    assert "ZeroDivisionError" in caught.value.__notes__[0]
    assert time.loop.is_closed()
    tasks[0]._log_destroy_pending = False  # type: ignore[attr-defined]


def test_async_generators_are_closed_at_the_end() -> None:
    """A generator left half way gets its finally block run."""
    closed: list[int] = []

    async def numbers(number: int) -> AsyncGenerator[int, None]:
        try:
            while True:
                yield number
        finally:
            await asyncio.sleep(1)
            closed.append(number)

    async def main() -> None:
        for number in range(3):
            generators.append(numbers(number))
            await anext(generators[-1])
        await generators[0].aclose()
        async for _ in numbers(7):
            break  # dropped here: the finalizer hook closes it
        await asyncio.sleep(5)

    generators: list[AsyncGenerator[int, None]] = []
    with virtual_time() as time:
        time.run(main())
        assert closed == [0, 7]

    assert closed == [0, 7, 1, 2]


def test_default_executor_is_shut_down() -> None:
    """An executor that the code under test sets does not leak, and was not needed."""
    executor = ThreadPoolExecutor(1)

    async def main() -> threading.Thread:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(executor)
        return await loop.run_in_executor(None, threading.current_thread)

    with virtual_time() as time:
        assert time.run(main()) is threading.current_thread()

    with pytest.raises(RuntimeError, match="shutdown"):
        executor.submit(print)


def test_runs_share_a_context_unless_told_otherwise() -> None:
    """Context variables set in one run are there in the next, like with asyncio.Runner."""
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)

    async def bump() -> int:
        variable.set(variable.get() + 1)
        return variable.get()

    with virtual_time() as time:
        assert [time.run(bump()), time.run(bump())] == [1, 2]
        assert time.run(bump(), context=contextvars.copy_context()) == 1
    assert variable.get() == 0


# -- wrong use ----------------------------------------------------------------------------------------------


def test_wrong_arguments_are_named() -> None:
    """Each mistake has its message."""
    with pytest.raises(ValueError, match="probability"):
        virtual_time(shuffle=1.5)
    with pytest.raises(ValueError, match="finite"):
        virtual_time(start=math.inf)
    with pytest.raises(RuntimeError, match="has not begun"):
        _ = virtual_time().now
    with virtual_time() as time:
        with pytest.raises(ValueError, match="takes a coroutine"):
            time.run(42)  # type: ignore[arg-type]
        with pytest.raises(RuntimeError, match="entered once"):
            time.__enter__()
    with pytest.raises(RuntimeError, match="has ended"):
        time.run(asyncio.sleep(0))


async def test_entering_inside_a_loop_is_refused() -> None:
    """Virtual time is a runner: inside a coroutine there is already a loop."""
    with pytest.raises(RuntimeError, match="await instead"):
        virtual_time().__enter__()


@pytest.mark.virtual_time
async def test_running_inside_a_run_is_refused(virtual_clock: VirtualTime) -> None:
    """The coroutine that can't be run is closed, so that no warning follows."""
    with pytest.raises(RuntimeError, match="await instead"):
        virtual_clock.run(asyncio.sleep(0))
