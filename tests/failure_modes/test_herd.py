"""Thundering herd: two hundred callers are sent away for two seconds, and come back in the same millisecond.

Or too early: because "0.5" was read as 0, a date as nothing, and an hour as a reason to ask again at once
(deer-flow#4294, jcode#1183).
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from asyncapi import AsyncAPIError, RateLimitError, Retry
from asyncapi.emulator import Emulator, Fault, Faults, Step, Timing
from asyncapi.testing import virtual_time
from asyncapi.testing.scripted import ScriptedTransport, reply
from asyncapi.testing.scripted import Step as Answer
from asyncapi.types.wire import Outgoing
from tests.core import worlds as scripted
from tests.failure_modes.worlds import MODEL, client_of


def _throttled_first(headers: dict[str, str], first: int) -> ScriptedTransport:
    def script(request: Outgoing) -> Answer:
        throttled = transport.total <= first
        return reply(status=429, headers=headers) if throttled else reply("fine", delay=0.05)

    transport = ScriptedTransport(script)
    return transport


def test_two_hundred_who_were_sent_away_come_back_late_enough_and_spread() -> None:
    """Nobody before the 2 s are over; then no more at a time than the limit, not all in one instant."""
    transport = _throttled_first({"Retry-After": "2"}, first=20)

    async def main() -> None:
        client = scripted.client_of(transport, limit=20, queue_size=500, retry=Retry(attempts=8, reserve=50))
        answers = await asyncio.gather(*scripted.spread_calls(client, 200))
        assert {answer.text for answer in answers} == {"fine"}
        scripted.assert_at_rest(client, transport)
        await client.aclose()

    with virtual_time(seed=1) as time:
        time.run(main())

    sent = [request.time for request in transport.requests]
    early, late = sent[:20], sent[20:]
    assert max(early) < 0.1
    assert min(late) >= 2.0
    assert transport.peak_in_flight <= 20
    assert max(Counter(round(moment, 3) for moment in late).values()) <= 20
    assert max(late) > 2.3


def _date(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        pytest.param({"Retry-After": "2"}, 2.0, 2.3, id="seconds"),
        pytest.param({"Retry-After": "0.5"}, 0.5, 0.6, id="half a second"),
        pytest.param({"retry-after-ms": "1500"}, 1.5, 1.7, id="milliseconds"),
        pytest.param({"Retry-After": "date"}, 8.0, 12.0, id="a date"),
        pytest.param({"Retry-After": "-5"}, 0.0, 20.0, id="negative"),
        pytest.param({"Retry-After": "soon"}, 0.0, 20.0, id="a word"),
        pytest.param({"Retry-After": "3600"}, 3600.0, 3961.0, id="an hour"),
        pytest.param(
            {
                "x-ratelimit-limit-requests": "10",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "6m0s",
            },
            36.0,
            400.0,
            id="a Go duration",
        ),
    ],
)
def test_every_way_to_say_when_is_understood(headers: dict[str, str], least: float, most: float) -> None:
    """The next request leaves no earlier, and not much later, in every dialect."""
    given = {name: _date(10.0) if value == "date" else value for name, value in headers.items()}
    transport = _throttled_first(given, first=1)

    async def main() -> None:
        client = scripted.client_of(transport, timeout=None, retry=Retry(cap=20.0))
        assert (await client.chat(MODEL, "x", timeout=None)).text == "fine"
        await client.aclose()

    with virtual_time(seed=2) as time:
        time.run(main())

    first, second = (request.time for request in transport.requests)
    assert least <= second - first <= most


def test_a_wait_of_a_week_is_the_callers_to_decide() -> None:
    """Not waited for, not asked again: the error says when."""
    transport = _throttled_first({"Retry-After": "604800"}, first=1)

    async def main() -> RateLimitError:
        client = scripted.client_of(transport, timeout=None)
        error: RateLimitError = await scripted.caught(RateLimitError, client.chat(MODEL, "x", timeout=None))
        await client.aclose()
        return error

    with virtual_time() as time:
        error = time.run(main())

    assert error.retry_after == 604800
    assert transport.total == 1


@pytest.mark.slow
@pytest.mark.parametrize("fault", [kind for kind in Fault if re.match("429_(?!bare)", kind)])
async def test_the_service_sees_nobody_early(fault: Fault) -> None:
    """Over real sockets, by the service's own clock: fifty callers, four of whom are told to wait."""
    steps = tuple(Step(fault) for _ in range(4))
    faults = Faults(steps=steps, retry_after=0.3)
    async with Emulator(timing=Timing.instant(), faults=faults) as emulator:
        async with client_of(emulator.base_urls["openai"], limit=4, queue_size=50) as client:
            results = await asyncio.gather(*(client.chat(MODEL, "x") for _ in range(50)))
            assert not any(isinstance(result, AsyncAPIError) for result in results)
        assert emulator.early_retries() == []
        assert len(emulator.records) == 54
