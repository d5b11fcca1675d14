"""One run: a client on virtual time, its callers, its services, and whoever disturbs them."""

from __future__ import annotations

import asyncio
import random
from typing import Any, Literal, TypeAlias

import msgspec

from asyncapi._core.call import Call
from asyncapi.client import Client
from asyncapi.errors import AsyncAPIError, CircuitOpenError, QueueFullError
from asyncapi.testing.simulation.history import (
    CallBegan,
    CallEnded,
    Calm,
    CancelAsked,
    ClientClosed,
    Happening,
    History,
    KeyChanged,
)
from asyncapi.testing.simulation.loop import WatchedLoop
from asyncapi.testing.simulation.network import Network
from asyncapi.testing.simulation.plan import keys_of
from asyncapi.testing.simulation.scenario import Action, Plan, PlannedCall
from asyncapi.testing.simulation.spy import Mischief, Spy
from asyncapi.types.requests import Priority

_Change: TypeAlias = Literal["remove", "restore", "add"]

__all__ = ["RECOVERY_CALLS", "World"]

#: Calls that every endpoint must answer once all is well.
RECOVERY_CALLS = 4
_EVERY = 32
_TO_A_KEY: tuple[_Change, ...] = ("remove", "restore")
_TO_NO_KEY: tuple[_Change, ...] = ("add",)
_LETTERS = "word " * 8192


class World:
    """Everything of one run.

    State: the ``history``; the callers' ``tasks``; ``seen``, what did not hold between two steps; ``left``,
    what was not given back; the ``samples`` with the moment of the ``_next`` one.
    """

    def __init__(self, plan: Plan, sample_every: float | None = None) -> None:
        self.plan = plan
        self.history = History(self.now)
        self.network = Network(plan, self.history, self.now)
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.seen: dict[tuple[str, str], float] = {}
        self.left: list[str] = []
        self.samples: list[tuple[Any, ...]] = []
        self.statistics: Any = None
        self.ended = 0
        self.mischief = Mischief(plan.chaos.strike, plan.chaos.tamper, random.Random(f"{plan.seed}/chaos"))
        self._every, self._next = sample_every, 0.0
        self._loop: WatchedLoop
        self._turns = 0
        self._spies: list[Spy] = []
        self._keys = {str(e.name): {k.name: k for k in keys_of(e)} for e in plan.endpoints}
        self._renewed = self._asked = 0
        self._refused: dict[str, float] = {}
        self._closed = False
        self._shutting: asyncio.Task[None] | None = None
        self._client: Client

    def now(self) -> float:
        """The virtual time."""
        return self._loop.time()

    async def live(self, loop: WatchedLoop) -> None:
        """Everything that was planned, then rest, then a test of whether all is well again."""
        self._loop = loop
        plan = self.plan
        self._client = Client(
            plan.endpoints,
            routes=plan.routes,
            transport=self.network,
            hooks=[self.history],
            log=False,
            environment={},
            seed=plan.seed,
            single_flight=plan.single_flight or None,
        )
        # Ids that the client makes itself are random, so that those of two processes differ.
        self._client._runtime._prefix = "own-"
        for name in plan.services:
            self._spies.append(Spy(self._client._runtime.endpoint(name), self.history, self._strike))
        loop.after_turn, loop.after_jump = self._look, self._jumped
        await self._chaos()
        if plan.recovery and not self._closed:
            await self._recover()
        await self._close()

    # --- callers ------------------------------------------------------------------------------

    async def _chaos(self) -> None:
        loop, actions = self._loop, list(self.plan.actions)
        timers = [
            loop.call_later(action.at, self._act, action) for action in actions if action.kind != "close"
        ]
        end = min((a for a in actions if a.kind == "close"), key=lambda a: a.at, default=None)
        closing = end.at if end is not None else None
        drain = end.drain if end is not None else 0.0
        for planned in self.plan.calls:
            if closing is not None and planned.at >= closing:
                await self._wait_until(closing)
                self._shut(drain)
                closing = None
            await self._wait_until(planned.at)
            self._start(planned)
        if closing is not None:
            await self._wait_until(closing)
            self._shut(drain)
        while pending := [task for task in self.tasks.values() if not task.done()]:
            await asyncio.wait(pending)
        for timer in timers:
            timer.cancel()
        if self._shutting is not None:
            await self._shutting
        await self._rest()

    async def _wait_until(self, moment: float) -> None:
        if moment > self._loop.time():
            await asyncio.sleep(moment - self._loop.time())

    def _start(self, planned: PlannedCall) -> None:
        name = f"c{planned.number}"
        task = self._loop.create_task(self._call(planned, name), name=name)
        self.tasks[name] = task
        if planned.cancel_after is not None:
            timer = self._loop.call_later(planned.cancel_after, self._cancel, name, "patience")
            task.add_done_callback(lambda _: timer.cancel())

    def _cancel(self, name: str, why: str) -> None:
        task = self.tasks.get(name)
        if task is not None and not task.done():
            self.history.add(CancelAsked(name, why))
            task.cancel()

    async def _call(self, planned: PlannedCall, name: str) -> None:
        """One call; how it ended is noted exactly once."""
        add = self.history.add
        deadline = self.now() + planned.timeout
        add(CallBegan(name, planned.kind, planned.model, planned.priority, planned.tenant, deadline))
        options: dict[str, Any] = {
            "priority": Priority[planned.priority],
            "timeout": planned.timeout,
            "tenant": planned.tenant,
            "request_id": name,
            "on_open": planned.on_open,
        }
        if planned.repeatable:
            options["idempotent"] = True
        if planned.session is not None:
            options["session"] = planned.session
        if planned.key is not None:
            options["key"] = planned.key
        self.network.begins(planned)
        try:
            add(await self._ask(planned, name, options))
        except asyncio.CancelledError:
            add(CallEnded(name, "cancelled"))
            raise
        except AsyncAPIError as error:
            if isinstance(error, QueueFullError | CircuitOpenError):
                self._refused[name] = error.retry_after or 0.0
            met = bool(error.endpoint)
            add(CallEnded(name, error.kind, met))
        except Exception as error:  # noqa: BLE001  whatever comes out of a call that may not is a finding
            add(CallEnded(name, f"{type(error).__name__}: {error}"))
        finally:
            self.network.ends(planned)
            self.ended += 1

    async def _ask(self, planned: PlannedCall, name: str, options: dict[str, Any]) -> Happening:
        client, model = self._client, planned.model
        if planned.kind == "embed":
            reply = await client.embed(model, planned.question, **options)
            right = reply.vectors[0][0] == float(planned.question[1:])
            return CallEnded(name, "ok" if right else "the answer of another call")
        if planned.max_tokens is not None:
            options["max_tokens"] = planned.max_tokens
        prompt = f"{planned.question}|{_LETTERS[: 4 * planned.input_tokens]}"
        if planned.kind == "stream":
            return await self._read(planned, name, prompt, options)
        text = (await client.chat(model, prompt, **options)).text
        return CallEnded(name, "ok" if text == planned.question else "the answer of another call")

    async def _read(self, planned: PlannedCall, name: str, prompt: str, options: dict[str, Any]) -> CallEnded:
        read, right = 0, True
        async with self._client.stream(planned.model, prompt, **options) as stream:
            if planned.leaves_after == 0:
                return CallEnded(name, "ok", True, read, True)
            async for chunk in stream:
                if chunk.text:
                    read += 1
                    right = right and chunk.text == planned.question
                if read == planned.leaves_after:
                    return CallEnded(name, "ok", True, read, True)
                if planned.pause:
                    await asyncio.sleep(planned.pause)
        return CallEnded(name, "ok" if right else "the answer of another call", True, read)

    # --- mischief -----------------------------------------------------------------------------

    def _strike(self, call: Call) -> None:
        if self.mischief.wants_strike():
            self._cancel(call.id, "grant")
        if self.mischief.wants_tamper():
            endpoint = call.endpoint.name
            self._tamper(endpoint, self.mischief.choose(sorted(self._keys[endpoint])))

    def _tamper(self, endpoint: str, key: str) -> None:
        there = key in self._client.keys(endpoint).names()
        kind = self.mischief.choose(_TO_A_KEY if there else _TO_NO_KEY)
        # Not in the middle of a grant: an operator's code runs in a turn of its own.
        self._loop.call_soon(self._act, Action(at=0.0, kind=kind, endpoint=endpoint, key=key))

    def _act(self, action: Action) -> None:
        if self._closed:
            return
        keys = self._client.keys(action.endpoint)
        there = action.key in keys.names()
        if action.kind == "add" and not there:
            self._renewed += 1
            key = self._keys[action.endpoint][action.key]
            # Another secret of the same name: to the service it is another account.
            keys.add(msgspec.structs.replace(key, value=f"{key.name}+{self._renewed}"))
        elif action.kind == "remove" and there and len(keys.names()) > 1:
            keys.remove(action.key)
        elif action.kind == "restore" and there:
            keys.restore(action.key)
        else:
            return
        self.history.add(KeyChanged(action.endpoint, action.key, action.kind))

    # --- the end ------------------------------------------------------------------------------

    async def _rest(self) -> None:
        """Give what was cancelled its turns, then see what is left."""
        for _ in range(10):
            await asyncio.sleep(0)
        if self._closed:
            return
        for spy in self._spies:
            self.left += spy.leftovers()
        for site in self.network.sites.values():
            if site.in_flight:
                self.left.append(f"{site.name} still answers {site.in_flight} requests")

    async def _recover(self) -> None:
        """A healthy service and patient callers."""
        loop = self._loop
        loop.calm = True
        self.mischief.over = True
        for site in self.network.sites.values():
            site.well = True
            site.windows.clear()
        self.history.add(Calm())
        for name, keys in self._keys.items():
            for key in keys:
                self._act(Action(at=0.0, kind="add", endpoint=name, key=key))
                self._act(Action(at=0.0, kind="restore", endpoint=name, key=key))
        for name in self.plan.services:
            for _ in range(RECOVERY_CALLS):
                await self._ask_until_served(name)
        await self._rest()
        for spy in self._spies:
            if spy.endpoint.breaker.state.value != "closed":
                self.left.append(f"the breaker of {spy.name} is {spy.endpoint.breaker.state.value}")

    async def _ask_until_served(self, endpoint: str) -> None:
        """A caller that comes back when it is told to, as long as nothing was sent."""
        for _ in range(100):
            number = self.plan.beyond + self._asked
            self._asked += 1
            name = f"c{number}"
            planned = PlannedCall(
                number=number, at=0.0, model=f"{endpoint}:m", timeout=3600.0, output_tokens=1, on_open="wait"
            )
            self.network.expect(planned)
            self._start(planned)
            await asyncio.wait([self.tasks[name]])
            if self._refused.get(name) is None:
                return
            await asyncio.sleep(max(1.0, self._refused[name]))

    def _shut(self, drain: float) -> None:
        """Close the client beside the callers, who go on."""
        self._closed = True
        self.history.add(ClientClosed())
        self._shutting = self._loop.create_task(self._client.aclose(drain=drain), name="close")

    async def _close(self) -> None:
        if self._client._runtime._loop is not None:
            self.statistics = self._client.statistics()
        await self._client.aclose()
        for _ in range(3):
            await asyncio.sleep(0)

    # --- looking ------------------------------------------------------------------------------

    def _look(self) -> None:
        """Called after every turn of the loop."""
        self._turns += 1
        full = self._turns % _EVERY == 0
        for spy in self._spies:
            for found in spy.faults():
                self.seen.setdefault(found, self._loop.time())
            # Looking at a long queue each time would make the run quadratic.
            if full and self._turns % (1 + spy.endpoint.queue.qsize()) < _EVERY:
                for found in spy.queue_faults():
                    self.seen.setdefault(found, self._loop.time())

    def _jumped(self, then: float, now: float) -> None:
        if self._every is not None:
            while self._next <= now:
                self._sample(self._next)
                self._next += self._every
        if now - then > 1e-3 and self._loop.calm:
            for spy in self._spies:
                for found in spy.idle_fault(then):
                    self.seen.setdefault(found, then)

    def _sample(self, at: float) -> None:
        for spy in self._spies:
            endpoint = spy.endpoint
            self.samples.append(
                (
                    at,
                    spy.name,
                    endpoint.semaphore.in_flight,
                    endpoint.semaphore.limit.value,
                    endpoint.queue.qsize(),
                    endpoint.breaker.state.value,
                    self.network.sites[spy.name].in_flight,
                )
            )
