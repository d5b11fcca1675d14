"""What the demo asks, of whom, how urgently, and what became of it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

from asyncapi.cli.demo.errands import ERRANDS, Errand, Task, fitting
from asyncapi.client import Client
from asyncapi.errors import AsyncAPIError, NotSentError
from asyncapi.objects import Objects
from asyncapi.types.requests import Priority
from asyncapi.types.responses import Response

__all__ = ["PROMPTS", "ROUTE", "Ledger", "Work"]

#: The name of the demo's route, and how the table calls it.
ROUTE, _ROUTE_ROW = "smart", "route smart"

PROMPTS = (
    "Summarise this ticket in one line: the invoice shows the old address.",
    "Translate into French: the train leaves at nine.",
    "Is this review positive? 'Arrived broken, refunded within a day.'",
    "Write a title for a photo of a heron in fog.",
    "Which of these is a prime: 51, 53, 57?",
    "Explain to a child why the sky is blue.",
    "Extract the dates: we met in May 2019 and again last June.",
    "Suggest a shorter name for a function called compute_the_total_sum.",
    "What is the capital of Mongolia?",
    "Give me three words that rhyme with 'queue'.",
    "Rewrite politely: send me the report now.",
    "How many legs do two spiders and an ant have?",
)
_SHARES = ((Priority.HIGH, 0.15), (Priority.NORMAL, 0.6), (Priority.LOW, 0.25))


class Ledger:
    """What callers asked and got, counted by the callers themselves, not by the client.

    State: counters by endpoint, and how long answers of each priority had waited.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.checked = self.right = 0
        self.waits: dict[Priority, list[float]] = defaultdict(list)

    def check(self, right: bool) -> None:
        """Note whether an answer is the one to its question."""
        self.checked += 1
        self.right += right

    @property
    def open(self) -> int:
        """Calls without an end so far."""
        ended = self.answered.total() + self.refused.total() + self.failed.total()
        return self.asked.total() - ended


class Work:
    """Sends the demo's traffic.

    Args:
        client: To send with.
        operations: What each endpoint offers.
        seed: The same seed asks the same at the same times.

    State: ``ledger``; the tasks under way are in the group given to ``run``.
    """

    def __init__(self, client: Client, operations: dict[str, frozenset[str]], seed: int) -> None:
        self._client, self._operations, self._seed = client, operations, seed
        self._dice = random.Random(seed)
        self._number = 0
        self.ledger = Ledger()

    async def run(self, seconds: float) -> None:
        """Steady traffic for so long, and a burst of unhurried work in its first third; ends when all has."""
        loop = asyncio.get_running_loop()
        begun, burst = loop.time(), False
        async with asyncio.TaskGroup() as group:
            while (elapsed := loop.time() - begun) < seconds:
                calls = self._steady()
                if not burst and elapsed > seconds * 0.22:
                    calls, burst = self._burst(), True
                for call in calls:
                    group.create_task(call)
                await asyncio.sleep(0.1)

    def _steady(self) -> Iterator[Coroutine[Any, Any, None]]:
        """A tenth of a second of every endpoint's traffic."""
        for name, offered in self._operations.items():
            if "chat" in offered and self._chance(0.4):
                yield self._chat(name, streamed=self._chance(0.4))
            if "object" in offered and self._chance(0.3):
                yield self._objects(name)
            for errand in ERRANDS:
                if errand.operation in offered and self._chance(errand.share):
                    yield from (self._errand(name, errand) for _ in range(errand.at_once))
        if self._chance(0.4):
            yield self._routed()

    def _chance(self, share: float) -> bool:
        return self._dice.random() < share

    def _burst(self) -> Iterator[Coroutine[Any, Any, None]]:
        """Twenty calls at once for every chat endpoint, none of them urgent."""
        for name, offered in self._operations.items():
            if "chat" in offered:
                yield from (self._chat(name, streamed=False, priority=Priority.LOW) for _ in range(20))

    def _priority(self) -> Priority:
        return self._dice.choices([p for p, _ in _SHARES], [share for _, share in _SHARES])[0]

    def _prompt(self) -> str:
        self._number += 1
        return f"{self._dice.choice(PROMPTS)} (question {self._number})"

    async def _chat(self, name: str, *, streamed: bool, priority: Priority | None = None) -> None:
        prompt, priority = self._prompt(), priority or self._priority()
        async with self._counted(name, priority) as outcome:
            options = _options(priority)
            if streamed:
                async with self._client.stream(f"{name}:demo-model", prompt, **options) as stream:
                    text = "".join([chunk.text async for chunk in stream])
                outcome.response = stream.response
            else:
                outcome.response = await self._client.chat(f"{name}:demo-model", prompt, **options)
                text = outcome.response.text
            self.ledger.check(fitting(prompt, text))

    async def _routed(self) -> None:
        """A chat whose caller doesn't mind which service answers."""
        prompt, priority = self._prompt(), self._priority()
        async with self._counted(_ROUTE_ROW, priority) as outcome:
            outcome.response = await self._client.chat(ROUTE, prompt, priority=priority, timeout=20.0)
            self.ledger.check(fitting(prompt, outcome.response.text))

    async def _errand(self, name: str, errand: Errand) -> None:
        priority = self._priority()
        others = tuple(self._dice.sample(PROMPTS, 4))
        task = Task(self._client, name, self._seed, self._prompt(), others, _options(priority))
        async with self._counted(name, priority) as outcome:
            outcome.response, right = await errand.do(task)
            self.ledger.check(right)

    async def _objects(self, name: str) -> None:
        """An object's whole life: put, listed, got, deleted, and gone; what fails ends it early."""
        text, priority = self._prompt(), self._priority()
        store = self._client.objects(f"{name}:bucket", **_options(priority))
        key, data = f"notes/{self._number}/text", text.encode()
        for step in _life(store, key, data):
            async with self._counted(name, priority) as outcome:
                self.ledger.check(await step())
            if outcome.failed:
                return

    def _counted(self, name: str, priority: Priority) -> _Counted:
        return _Counted(self.ledger, name, priority)


def _options(priority: Priority) -> dict[str, Any]:
    """Urgent calls want to know at once that a service is down; the others wait for it."""
    return {"priority": priority, "timeout": 20.0, "on_open": "fail" if priority is Priority.HIGH else "wait"}


def _life(store: Objects, key: str, data: bytes) -> Iterator[Callable[[], Awaitable[bool]]]:
    """The stations of an object, each with whether it is as it should be there."""

    async def put() -> bool:
        return (await store.put(key, data)).size == len(data)

    async def listed() -> bool:
        return [stored.key async for stored in store.list(key)] == [key]

    async def got() -> bool:
        return await store.get(key) == data

    async def deleted() -> bool:
        await store.delete(key)
        return True

    async def gone() -> bool:
        return [stored.key async for stored in store.list(key)] == []

    yield from (put, listed, got, deleted, gone)


class _Counted:
    """Counts one call from its beginning to its end, whatever that is.

    State: the ``response`` that the caller puts here, where it is one; whether the call ``failed``.
    """

    def __init__(self, ledger: Ledger, name: str, priority: Priority) -> None:
        self._ledger, self._name, self._priority = ledger, name, priority
        self.response: Any = None
        self.failed = False

    async def __aenter__(self) -> _Counted:
        self._ledger.asked[self._name] += 1
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        ledger = self._ledger
        if error is None:
            ledger.answered[self._name] += 1
            if isinstance(self.response, Response):
                ledger.waits[self._priority].append(self.response.timings.queue_s)
            return False
        if not isinstance(error, AsyncAPIError):
            return False
        self.failed = True
        (ledger.refused if isinstance(error, NotSentError) else ledger.failed)[self._name] += 1
        ledger.errors[error.kind] += 1
        return True
