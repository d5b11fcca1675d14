"""Permit leak: a call that is cancelled at the wrong moment takes its permit with it.

The gateway counts it in flight for ever; after enough of them nothing goes through any more, and only a
restart helps (litellm#27955, #20256, #9178).
"""

from __future__ import annotations

import asyncio
import random

import pytest

from asyncapi import AsyncAPIError, Breaker, Retry, Timeout
from asyncapi.emulator import Emulator, Fault, Faults, Timing
from asyncapi.testing import virtual_time
from asyncapi.testing.scripted import Reply, ScriptedTransport, Step, hang, reply, stream
from asyncapi.types.wire import Outgoing
from tests.core import worlds as scripted
from tests.failure_modes.worlds import MODEL, assert_all_given_back, client_of, until


@pytest.mark.parametrize("calls", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_calls_cancelled_at_any_moment_give_everything_back(calls: int) -> None:
    """Queued, connecting, in the head, in the body, in a stream, in backoff: cancelled by chance.

    In flight, waiting and kept tokens return to zero, and the next calls go at once.
    """
    rng = random.Random(7)

    def script(request: Outgoing) -> Step:
        slow: tuple[Reply, ...] = (reply("late", delay=rng.random()), reply(status=503, delay=rng.random()))
        if request.body and b'"stream":true' in request.body:
            return stream(["a"] * 20, delay=rng.random(), interval=0.05)
        return hang() if rng.random() < 0.2 else rng.choice(slow)

    transport = ScriptedTransport(script, keep=0)

    async def main() -> None:
        client = scripted.client_of(transport, limit=16, queue_size=calls, breaker=Breaker(enabled=False))
        tasks = []
        for i in range(calls):
            use = scripted.read(client.stream(MODEL, "x")) if i % 3 else client.chat(MODEL, "x")
            tasks.append(asyncio.ensure_future(use))
            asyncio.get_running_loop().call_later(rng.expovariate(1.0), tasks[-1].cancel)
            await asyncio.sleep(0.01 * rng.random())
        results = await scripted.outcomes(tasks)
        assert sum(isinstance(result, asyncio.CancelledError) for result in results) > calls / 2
        scripted.assert_at_rest(client, transport)
        await client.aclose()

    with virtual_time(seed=7, shuffle=0.3) as time:
        time.run(main())


@pytest.mark.parametrize("place", ["head", "body", "stream"])
async def test_the_service_sees_within_a_second_that_nobody_waits(place: str) -> None:
    """A model must not go on writing for a caller who has left: its connection is closed."""
    timing = Timing(first_token=30.0) if place == "head" else Timing(per_token=0.02)
    faults = Faults(1.0, [Fault.SLOW_BYTES], byte_pause=0.05) if place == "body" else None
    async with (
        Emulator(timing=timing, faults=faults) as emulator,
        client_of(emulator.base_urls["openai"], limit=2) as client,
    ):
        use = scripted.read(client.stream(MODEL, "x")) if place == "stream" else client.chat(MODEL, "x")
        task = asyncio.ensure_future(use)
        await until(lambda: len(emulator.records) == 1, seconds=5.0)
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until(lambda: emulator.records[0].aborted)
        emulator.timing = Timing.instant()
        emulator.faults = None
        await assert_all_given_back(client, emulator)


async def test_a_call_cancelled_between_two_attempts_sends_no_other() -> None:
    """It holds nothing there, and a cancelled call is never tried again."""
    async with (
        Emulator(faults=Faults(1.0, [Fault.UNAVAILABLE])) as emulator,
        client_of(emulator.base_urls["openai"], retry=Retry(base=5.0, cap=5.0)) as client,
    ):
        task = asyncio.ensure_future(client.chat(MODEL, "x"))
        await until(lambda: len(emulator.records) == 1, seconds=5.0)
        await until(lambda: client.statistics().endpoints["openai"].retries == 1)
        task.cancel()
        assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
        await assert_all_given_back(client)
        assert len(emulator.records) == 1


@pytest.mark.slow
async def test_deadlines_give_everything_back_as_well() -> None:
    """A timeout is a cancellation by somebody else: five hundred of them over real sockets."""
    breaker = Breaker(enabled=False)
    async with (
        Emulator(timing=Timing(first_token=0.05)) as emulator,
        client_of(emulator.base_urls["openai"], limit=20, queue_size=500, breaker=breaker) as client,
    ):
        limits = [Timeout(total=0.02 + 0.001 * i) for i in range(500)]
        calls = (client.chat(MODEL, "x", timeout=limit) for limit in limits)
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert {True} == {not isinstance(r, BaseException) or isinstance(r, AsyncAPIError) for r in results}
        assert any(isinstance(result, AsyncAPIError) for result in results)
        await assert_all_given_back(client, emulator)
