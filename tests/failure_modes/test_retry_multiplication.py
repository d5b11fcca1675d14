"""Retry multiplication: an SDK retries inside of a client that retries inside of a gateway that retries.

Three times three times three are 27 requests for one call, at the moment when the service can bear least
(litellm PR#7130: 30 sessions made 187 calls an hour).
"""

from __future__ import annotations

import asyncio

import pytest

from asyncapi import AsyncAPIError, Breaker, Retry
from asyncapi.emulator import Emulator, Fault, Faults
from asyncapi.testing import virtual_time
from asyncapi.testing.scripted import ScriptedTransport, reply
from asyncapi.types.objects import ObjectRequest
from tests.core import worlds as scripted
from tests.failure_modes.worlds import MODEL, client_of

PATIENT = Breaker(enabled=False)


@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.CUT_BEFORE, Fault.CUT_BODY, Fault.UNAVAILABLE])
async def test_the_service_counts_exactly_as_many_attempts_as_were_allowed(
    attempts: int, fault: Fault
) -> None:
    """Nothing below us tries again: not the transport, not a connection that was kept open."""
    retry = Retry(attempts=attempts, base=0.001, cap=0.001)
    async with Emulator(faults=Faults(1.0, [fault])) as emulator:
        async with client_of(emulator.base_urls["openai"], retry=retry, breaker=PATIENT) as client:
            for _ in range(3):
                with pytest.raises(AsyncAPIError) as caught:
                    await client.chat(MODEL, "x")
                assert caught.value.attempts == attempts
        assert len(emulator.records) == 3 * attempts


@pytest.mark.slow
async def test_a_wrapped_sdk_is_told_to_try_once() -> None:
    """S3 is spoken through aiobotocore, which would retry four times by itself."""
    async with Emulator(faults=Faults(1.0, [Fault.SERVER_ERROR])) as emulator:
        retry = Retry(attempts=3, base=0.001, cap=0.001)
        url = emulator.base_urls["s3_kit"]
        async with client_of(url, backend="s3_kit", keys=("id:secret",), retry=retry) as client:
            with pytest.raises(AsyncAPIError) as caught:
                await client.call(ObjectRequest(model="s3_kit:bucket", action="get", key="a"))
            assert caught.value.attempts == 3
        assert len(emulator.records) == 3


@pytest.mark.slow
@pytest.mark.parametrize("budget", [0.1, 0.2])
def test_a_minute_of_total_failure_is_not_multiplied(budget: float) -> None:
    """200 callers ask again and again for 60 s: what arrives is at most (1 + budget) times that."""
    transport = ScriptedTransport(lambda _: reply(status=500, delay=0.05), keep=0)
    asked = 0

    async def main() -> None:
        nonlocal asked
        client = scripted.client_of(
            transport, limit=50, queue_size=500, breaker=PATIENT, retry=Retry(budget=budget, reserve=10)
        )

        async def caller() -> None:
            nonlocal asked
            while asyncio.get_running_loop().time() < 60.0:
                asked += 1
                with pytest.raises(AsyncAPIError):
                    await client.chat(MODEL, "x")
                await asyncio.sleep(2.0)

        await asyncio.gather(*(caller() for _ in range(200)))
        scripted.assert_at_rest(client, transport)
        await client.aclose()

    with virtual_time(seed=1) as time:
        time.run(main())

    assert asked > 4_000
    assert transport.total <= (1 + budget) * asked + 10
