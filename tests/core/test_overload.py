"""Twice as much as can be served: who is let go, and what the others get."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from asyncapi import DeadlineExceededError, Priority, QueueFullError, Retry, Timeout
from asyncapi.errors import AsyncAPIError
from asyncapi.testing import virtual_time
from asyncapi.testing.scripted import ScriptedTransport, reply
from tests.core.worlds import MODEL, assert_at_rest, caught, client_of, core, outcomes, start, turns

SERVICE_S, LIMIT = 1.0, 10


@dataclass
class World:
    """Poisson arrivals at a service with log-normal times. State: how they ended."""

    load: float
    patience: float
    shed: str
    seconds: float = 120.0
    priorities: tuple[Priority, ...] = (Priority.NORMAL,)
    options: dict[str, Any] = field(default_factory=dict)
    good: list[tuple[Priority, float]] = field(default_factory=list)
    late: int = 0
    refused: list[float] = field(default_factory=list)
    sent: int = 0

    def run(self, seed: int = 1) -> World:
        """From the first arrival to the last answer."""
        with virtual_time(seed) as clock:
            clock.run(self._live(random.Random(seed)))
        return self

    @property
    def goodput(self) -> float:
        """Answers in time, of what the service could give."""
        return len(self.good) / (self.seconds * LIMIT / SERVICE_S)

    def percentile(self, share: float) -> float:
        """Of the time until an answer."""
        times = sorted(took for _, took in self.good)
        return times[int(share * len(times))]

    async def _live(self, rng: random.Random) -> None:
        spread = 0.5
        transport = ScriptedTransport(
            lambda _: reply("fine", delay=SERVICE_S * rng.lognormvariate(-spread * spread / 2, spread)),
            keep=1,
        )
        async with client_of(
            transport,
            limit=LIMIT,
            queue_size=200,
            retry=Retry(attempts=1),
            timeout=Timeout(total=self.patience),
            shed=self.shed,
        ) as client:
            tasks, loop = [], asyncio.get_running_loop()
            began = loop.time()

            async def one(priority: Priority) -> None:
                asked = loop.time()
                try:
                    await client.chat(MODEL, "x", priority=priority, **self.options)
                except (DeadlineExceededError, QueueFullError) as error:
                    self.refused.append(loop.time() - asked)
                    self.late += bool(error.sent)
                except AsyncAPIError:
                    self.late += 1
                else:
                    self.good.append((priority, loop.time() - asked))

            while loop.time() < began + self.seconds:
                tasks.append(asyncio.ensure_future(one(rng.choice(self.priorities))))
                await asyncio.sleep(rng.expovariate(self.load * LIMIT / SERVICE_S))
            await asyncio.gather(*tasks)
            self.sent = transport.total
            assert_at_rest(client)


@pytest.mark.slow
@pytest.mark.parametrize("patience", [4.0, 8.0, 15.0])
def test_refusing_the_hopeless_at_once_turns_work_into_answers(patience: float) -> None:
    """At twice the load most of what is sent comes too late, unless the hopeless are refused before."""
    without = World(2.0, patience, "never").run()
    refusing = World(2.0, patience, "hopeless").run()

    assert refusing.goodput > 0.85
    assert refusing.goodput > without.goodput + 0.05
    assert sorted(refusing.refused)[len(refusing.refused) // 2] < 0.01


@pytest.mark.slow
def test_letting_go_of_who_waited_for_long_keeps_answers_quick() -> None:
    """Patience of a minute: nobody is hopeless, and all wait for twenty seconds, unless some are let go."""
    waiting = World(2.0, 60.0, "hopeless").run()
    shedding = World(2.0, 60.0, "overdue").run()

    assert waiting.percentile(0.5) > 10.0
    assert shedding.percentile(0.99) < 5.0
    assert shedding.goodput > 0.85


@pytest.mark.slow
def test_low_calls_are_not_let_go() -> None:
    """They came to wait; their share is small anyway."""
    world = World(2.0, 600.0, "overdue", priorities=(Priority.NORMAL, Priority.NORMAL, Priority.LOW)).run()
    low = [took for priority, took in world.good if priority is Priority.LOW]

    assert len(low) > 0.9 * len(world.refused) / 4
    assert world.goodput > 0.85


@pytest.mark.slow
@pytest.mark.parametrize("shed", ["never", "hopeless", "overdue"])
def test_without_overload_nobody_is_let_go(shed: str) -> None:
    """Seven tenths of the load, bursts and all."""
    world = World(0.7, 15.0, shed).run()

    assert world.refused == []
    assert world.late == 0


@pytest.mark.virtual_time
async def test_a_call_whose_turn_comes_too_late_is_refused_with_the_time() -> None:
    """Twenty calls of 0.2 s wait at a limit of one: 2 s are not enough, 10 s are."""
    transport = ScriptedTransport(lambda _: reply(delay=0.2), keep=1)
    async with client_of(transport, limit=1) as client:
        await outcomes(client.chat(MODEL, "x") for _ in range(30))
        waiting = start(*(client.chat(MODEL, "x") for _ in range(21)))
        await turns()
        error = await caught(DeadlineExceededError, client.chat(MODEL, "x", timeout=2.0))
        assert error.retry_after == pytest.approx(4.0, rel=0.2)
        assert "its turn comes in about" in str(error)
        urgent = client.chat(MODEL, "x", timeout=2.0, priority=Priority.HIGH)
        patient = client.chat(MODEL, "x", timeout=10.0)
        assert len(await asyncio.gather(urgent, patient)) == 2
        await asyncio.gather(*waiting)
        assert_at_rest(client)


@pytest.mark.virtual_time
async def test_a_map_is_not_let_go(virtual_clock: object) -> None:
    """Its reader takes what comes, when it comes: a call that may be late is not refused for that."""
    transport = ScriptedTransport(lambda _: reply(delay=0.2), keep=1)
    async with client_of(transport, limit=1) as client:
        await outcomes(client.chat(MODEL, "x") for _ in range(30))
        waiting = start(*(client.chat(MODEL, "x") for _ in range(21)))
        await turns()
        call = client.chat(MODEL, "x", timeout=4.0, shed=False)
        (late,) = await outcomes([call])
        assert isinstance(late, DeadlineExceededError)
        assert "had no lease" in str(late)
        await asyncio.gather(*waiting)
        assert core(client).queue.qsize() == 0
