"""A world in which everything goes wrong at once, from one seed: and what must hold all the same.

Chats, streams and embeddings of several tenants and priorities, cancelled at random moments, some in the
very turn of their grant; a service that fails, throttles, revokes, hangs and cuts; keys that come and go;
now and then a client that is closed in the middle.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from asyncapi import (
    AsyncAPIError,
    Batch,
    Breaker,
    ClientClosedError,
    ConfigError,
    ConnectError,
    ConnectionLostError,
    Key,
    Priority,
    Retry,
    Timeout,
)
from asyncapi._core.call import Call
from asyncapi._core.lease import Lease
from asyncapi._core.worker import Worker
from asyncapi.testing import virtual_time
from asyncapi.testing.scripted import ScriptedTransport, Step, fail, hang, reply, stream
from asyncapi.types.events import CallFinished, Event, VerdictGiven
from asyncapi.types.wire import Outgoing
from tests.core.worlds import MODEL, Recorder, assert_at_rest, client_of, core, quota_reply, vectors

__all__ = ["Outcome", "run"]

WORDS = ("a ", "b ", "c ", "d ")


@dataclass
class Outcome:
    """What a run came to: its history, and how its calls ended."""

    history: list[tuple[object, ...]]
    ended: Counter[str]
    requests: int
    hit_at_grant: int
    breaker_opened: int
    elapsed: float


@dataclass
class World:
    """One run. State: everything below."""

    seed: int
    calls: int
    random: random.Random = field(init=False)
    well: bool = False
    started: set[str] = field(default_factory=set)
    refused_early: set[str] = field(default_factory=set)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    ended: Counter[str] = field(default_factory=Counter)
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    hit_at_grant: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        rng = self.random
        self.limit = rng.choice((1, 5, 20))
        self.span = self.calls / (self.limit * rng.choice((3, 10, 30)))
        self.closes = rng.random() < 0.3
        self.grief = rng.choice((0.0, 0.05, 0.3))
        self.trouble = rng.choice((0.1, 0.3, 0.8))
        self.recorder = Recorder(detail=True)
        self.transport = ScriptedTransport(self.answer, keep=1)
        pace = rng.choice((None, None, None, 30.0))
        self.client = client_of(
            self.transport,
            keys=[Key(f"sk-{n}", name=n, requests_per_minute=rng.choice((None, 3000.0))) for n in "abcd"],
            hooks=[self.recorder],
            seed=self.seed,
            limit=self.limit,
            queue_size=rng.choice((10, 100, 1000)),
            retry=Retry(base=0.1, cap=1.0),
            breaker=Breaker(reset_after=2.0, reset_maximum=10.0, probes=rng.choice((1, 3))),
            batch=Batch(size=8, wait=0.05),
            timeout=Timeout(total=20.0, first_byte=rng.choice((None, 2.0)), idle=3.0),
            requests_per_second=pace,
            strict=rng.random() < 0.2,
        )

    # --- the service --------------------------------------------------------------------------

    def answer(self, request: Outgoing) -> Step:
        """Whatever chance has for this request."""
        rng = self.random
        if not self.well and rng.random() < self.trouble:
            return self.mishap(request)
        delay = rng.random() * 0.3
        if request.url.endswith("/embeddings"):
            return vectors(request, delay=delay)
        if request.body and b'"stream":true' in request.body:
            return stream(WORDS, delay=delay, interval=rng.choice((0.0, 0.01, 0.2)))
        return reply("fine", delay=delay)

    def mishap(self, request: Outgoing) -> Step:
        """One of the ways in which a service fails."""
        rng = self.random
        choices: list[tuple[int, Step]] = [
            (20, reply(status=500, delay=rng.random() * 0.1)),
            (10, reply(status=429, retry_after=rng.choice((0.05, 1.0)))),
            (5, reply(status=429)),
            (5, reply("busy", status=529, retry_after=0.2)),
            (1, reply(status=401)),
            (1, quota_reply()),
            (10, reply(status=400)),
            (10, fail(ConnectError("refused"), delay=0.01)),
            (10, fail(ConnectionLostError("lost", sent=True), delay=0.1)),
            (5, reply(b"garbage")),
            (4, hang()),
            (10, stream(WORDS, interval=0.05, cut_after=rng.randrange(5))),
            (5, stream(WORDS, interval=0.05, hang_after=rng.randrange(5))),
        ]
        return rng.choices([step for _, step in choices], [weight for weight, _ in choices])[0]

    # --- the callers --------------------------------------------------------------------------

    async def call(self, name: str, kind: float, options: dict[str, Any]) -> None:
        """One call of any kind; how it ended is counted."""
        self.started.add(name)
        try:
            if kind < 0.45:
                await self.client.chat(MODEL, "x", request_id=name, **options)
            elif kind < 0.7:
                await self.stream(name, kind, options)
            else:
                await self.client.embed(MODEL, name.removeprefix("c"), request_id=name, **options)
        except asyncio.CancelledError:
            self.ended["cancelled"] += 1
            raise
        except (TimeoutError, AsyncAPIError) as error:
            if isinstance(error, (ClientClosedError, ConfigError)) and not getattr(error, "endpoint", ""):
                self.refused_early.add(name)
            self.ended[type(error).__name__] += 1
        else:
            self.ended["ok"] += 1

    async def stream(self, name: str, kind: float, options: dict[str, Any]) -> None:
        """Some read to the end, some leave early, some are slow."""
        async with self.client.stream(MODEL, "x", request_id=name, **options) as answer:
            async for _ in answer:
                if kind < 0.5:
                    break
                if kind > 0.65:
                    await asyncio.sleep(0.1)

    def options(self) -> dict[str, Any]:
        """What chance makes of a call."""
        rng = self.random
        options: dict[str, Any] = {"priority": rng.choice(list(Priority)), "tenant": rng.choice("xyz")}
        if rng.random() < 0.15:
            options["key"] = rng.choice("abcd")
        if rng.random() < 0.2:
            options["timeout"] = rng.choice((0.05, 0.5, 5.0))
        if rng.random() < 0.3:
            options["on_open"] = "wait"
        return options

    def begin(self, name: str) -> None:
        """Start one call, and have it cancelled at some moment, or not."""
        rng, loop = self.random, asyncio.get_running_loop()
        task = loop.create_task(self.call(name, rng.random(), self.options()), name=name)
        self.tasks[name] = task
        if rng.random() < 0.7:
            self.timers.append(loop.call_later(rng.choice((0.0, 0.1, 1.0, 5.0)) * rng.random(), task.cancel))

    def tamper(self) -> None:
        """Keys come, go and are put back to work."""
        rng, keys = self.random, self.client.keys("openai")
        name = rng.choice("abcd")
        if name not in keys.names():
            keys.add(Key(f"sk-{name}", name=name))
        elif rng.random() < 0.3:
            keys.remove(name)
        else:
            keys.restore(name)

    def strike(self, call: Call) -> None:
        """Cancel a call's owner in the turn of its grant."""
        task = self.tasks.get(call.id)
        if task is not None and self.random.random() < self.grief:
            self.hit_at_grant += 1
            task.cancel()

    # --- the run ------------------------------------------------------------------------------

    async def live(self) -> None:
        """Chaos, then health, then rest."""
        rng, loop = self.random, asyncio.get_running_loop()
        moments = sorted(rng.random() * self.span for _ in range(self.calls))
        closing = rng.random() * self.span if self.closes else None
        core(self.client)
        for i, moment in enumerate(moments):
            if moment > loop.time():
                await asyncio.sleep(moment - loop.time())
            if closing is not None and moment > closing:
                closing = None
                drained = self.client.aclose(drain=rng.choice((0.0, 0.05, 5.0)))
                self.tasks["closing"] = asyncio.ensure_future(drained)
                await asyncio.sleep(0)
            self.begin(f"c{i}")
            if i % 50 == 0:
                self.check()
                self.tamper()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        for timer in self.timers:
            timer.cancel()
        await asyncio.sleep(0.01)
        assert_at_rest(self.client, self.transport)
        if not self.closes:
            await self.recover()
        await self.client.aclose()

    def check(self) -> None:
        """What holds at every moment."""
        endpoint = core(self.client) if not self.client._runtime._shutdown.closed else None
        if endpoint is None:
            return
        queue, calls = endpoint.queue, list(endpoint.queue.calls())
        assert endpoint.semaphore.in_flight <= self.limit
        assert self.transport.in_flight <= endpoint.semaphore.in_flight
        assert queue.qsize() == len(calls)
        newcomers = [call for waiting in queue._newcomers for call in waiting.values()]
        assert {call.id for call in newcomers} == {call.id for call in calls if not call.attempts}
        assert len(newcomers) == queue._new <= queue.bound
        assert endpoint.breaker.probes <= endpoint.breaker.settings.probes

    async def recover(self) -> None:
        """A healthy service and callers who wait: all are served, and the breaker closes."""
        self.well = True
        keys = self.client.keys("openai")
        for name in "abcd":
            if name not in keys.names():
                keys.add(Key(f"sk-{name}", name=name))
            keys.restore(name)
        for _ in range(5):
            await self.client.chat(MODEL, "x", on_open="wait", timeout=None)
        statistics = self.client.statistics().endpoints["openai"]
        assert statistics.breaker.state == "closed"

    def account(self) -> None:
        """Every call ended once, every request was answered for once."""
        finished = Counter(event.request_id for event in self.recorder.of(CallFinished))
        ours = Counter({name: n for name, n in finished.items() if name.startswith("c")})
        assert set(ours.values()) <= {1}
        assert set(ours) == self.started - self.refused_early
        assert sum(self.ended.values()) == len(self.started)
        verdicts = len(self.recorder.of(VerdictGiven))
        statistics = self.client.statistics().endpoints["openai"]
        assert verdicts == self.transport.total == statistics.requests
        assert statistics.calls.finished == sum(finished.values())
        assert statistics.peak_in_flight <= self.limit


def run(seed: int, calls: int, *, shuffle: float = 0.2) -> Outcome:
    """One run of the world of this seed. Raises what doesn't hold."""
    world = World(seed, calls)
    grant = Worker._grant

    def striking(worker: Worker, call: Call, now: float, lease: Lease) -> None:
        early = world.random.random() < 0.5
        if early:
            world.strike(call)
        grant(worker, call, now, lease)
        if not early:
            world.strike(call)

    with pytest.MonkeyPatch.context() as patch, virtual_time(seed, shuffle=shuffle) as clock:
        patch.setattr(Worker, "_grant", striking)
        clock.run(world.live())
        assert clock.pending_tasks() == ()
        assert clock.pending_timers() == ()
        elapsed = clock.elapsed
    world.account()
    return Outcome(
        history=[_told(event) for event in world.recorder.events],
        ended=world.ended,
        requests=world.transport.total,
        hit_at_grant=world.hit_at_grant,
        breaker_opened=world.client.statistics().endpoints["openai"].breaker.opened,
        elapsed=elapsed,
    )


def _told(event: Event) -> tuple[object, ...]:
    fields = {name: getattr(event, name) for name in event.__struct_fields__ if name != "request_id"}
    mine = event.request_id if event.request_id.startswith("c") else ""
    return (event.name, mine, *fields.values())
