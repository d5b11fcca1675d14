"""Limits under a crowd: five hundred coroutines find the same free place, and all of them take it.

Windows that begin anew at every full minute let twice the limit through around it, and a clock that is set
opens or shuts the gate (litellm PR#2798, #5783, #18953).
"""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left

import pytest

from asyncapi import Fixed, Key
from asyncapi.emulator import Emulator, Limits, Timing
from asyncapi.testing import virtual_time
from asyncapi.testing.scripted import ScriptedTransport, reply
from tests.core import worlds as scripted
from tests.failure_modes.worlds import MODEL, client_of


def busiest(times: list[float], window: float = 60.0) -> int:
    """The most requests in any half-open window."""
    return max(bisect_left(times, start + window - 1e-9) - i for i, start in enumerate(times))


@pytest.mark.parametrize("start", [0.0, 59.999, 1e9], ids=["at zero", "at a minute's edge", "far from it"])
@pytest.mark.parametrize("keys", [1, 3])
def test_five_hundred_at_once_keep_to_the_rate_in_every_window(start: float, keys: int) -> None:
    """100 a minute and key: never more in any 60 s, at least 95 of 100 used, none refused by the service."""
    transport = ScriptedTransport(lambda _: reply("fine", delay=0.5))
    pool = [Key(f"sk-{n}", name=f"k{n}", requests_per_minute=100) for n in range(keys)]

    async def main() -> None:
        client = scripted.client_of(transport, keys=pool, limit=64, queue_size=1_000)
        await asyncio.gather(*scripted.spread_calls(client, 500, timeout=None))
        await client.aclose()

    with virtual_time(start=start) as time:
        time.run(main())

    for n in range(keys):
        times = [s.time for s in transport.requests if s.headers["Authorization"].endswith(f"sk-{n}")]
        assert busiest(times) <= 100
        assert (len(times) - 1) / (times[-1] - times[0]) >= 0.95 * 100 / 60


def test_a_crowd_that_comes_and_goes_keeps_to_the_rate() -> None:
    """Bursts at odd moments, half of them cancelled: what was not sent is given back, no more."""
    rng = random.Random(11)
    transport = ScriptedTransport(lambda _: reply("fine", delay=0.2 * rng.random()))

    async def main() -> None:
        client = scripted.client_of(
            transport, keys=[Key("sk-a", requests_per_minute=60)], limit=8, queue_size=1_000
        )
        tasks = []
        for burst in range(30):
            for call in scripted.spread_calls(client, rng.randrange(1, 40), timeout=None):
                tasks.append(asyncio.ensure_future(call))
                if rng.random() < 0.5:
                    asyncio.get_running_loop().call_later(20 * rng.random(), tasks[-1].cancel)
            await asyncio.sleep(rng.choice((0.1, 5.0, 31.0, 60.0)) + 0.01 * burst)
        await scripted.outcomes(tasks)
        scripted.assert_at_rest(client, transport)
        await client.aclose()

    with virtual_time() as time:
        time.run(main())

    assert busiest([sent.time for sent in transport.requests]) <= 60


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1, 7])
async def test_five_hundred_at_once_are_never_more_in_flight_than_allowed(limit: int) -> None:
    """The service counts, over real sockets."""
    async with Emulator(timing=Timing(first_token=0.002), services=["openai"]) as emulator:
        async with client_of(
            emulator.base_urls["openai"], limit=Fixed(limit), queue_size=500, batch=None
        ) as client:
            calls = 500 if limit > 1 else 50
            await asyncio.gather(*(client.chat(MODEL, "x") for _ in range(calls)))
            assert client.statistics().endpoints["openai"].peak_in_flight == limit
        assert max(emulator.peak_in_flight.values()) == limit


async def test_a_rate_that_only_the_service_knows_costs_a_few_429s_and_no_answer() -> None:
    """Its headers say what is left: calls wait for it instead of asking in vain."""
    limits = Limits(requests_per_minute=1_200)
    async with Emulator(timing=Timing.instant(), limits=limits, services=["openai"]) as emulator:
        async with client_of(emulator.base_urls["openai"], limit=8, queue_size=200) as client:
            emulator.set_limits(Limits(requests_per_minute=600))  # a burst of 600 would hide it
            answers = await asyncio.gather(*(client.chat(MODEL, "x", timeout=60) for _ in range(100)))
            assert len(answers) == 100
            throttled = client.statistics().endpoints["openai"].keys["key-1"].throttled
            assert throttled <= 8
        assert emulator.early_retries() == []
