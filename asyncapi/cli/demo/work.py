"""What the demo asks, of whom, how urgently, and what became of it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Coroutine, Iterator
from typing import Any

from asyncapi.client import Client
from asyncapi.emulator import question_digest
from asyncapi.errors import AsyncAPIError, NotSentError
from asyncapi.types.requests import Priority

__all__ = ["PROMPTS", "Ledger", "Work"]

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
        self._client, self._operations = client, operations
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
            if "chat" in offered and self._dice.random() < 0.6:
                yield self._chat(name, self._priority(), streamed=self._dice.random() < 0.4)
            if "embed" in offered and self._dice.random() < 0.3:
                yield from (self._embed(name, self._priority()) for _ in range(4))
            if "rerank" in offered and self._dice.random() < 0.2:
                yield self._rerank(name, self._priority())

    def _burst(self) -> Iterator[Coroutine[Any, Any, None]]:
        """Twenty calls at once for every chat endpoint, none of them urgent."""
        for name, offered in self._operations.items():
            if "chat" in offered:
                yield from (self._chat(name, Priority.LOW, streamed=False) for _ in range(20))

    def _priority(self) -> Priority:
        return self._dice.choices([p for p, _ in _SHARES], [share for _, share in _SHARES])[0]

    def _prompt(self) -> str:
        self._number += 1
        return f"{self._dice.choice(PROMPTS)} (question {self._number})"

    async def _chat(self, name: str, priority: Priority, *, streamed: bool) -> None:
        prompt = self._prompt()
        async with self._counted(name, priority) as outcome:
            options = _options(priority)
            if streamed:
                async with self._client.stream(f"{name}:demo-model", prompt, **options) as stream:
                    text = "".join([chunk.text async for chunk in stream])
                outcome.response = stream.response
            else:
                outcome.response = await self._client.chat(f"{name}:demo-model", prompt, **options)
                text = outcome.response.text
            self.ledger.check(question_digest(prompt) in text)

    async def _embed(self, name: str, priority: Priority) -> None:
        async with self._counted(name, priority) as outcome:
            outcome.response = await self._client.embed(
                f"{name}:demo-embedding", self._prompt(), **_options(priority)
            )
            self.ledger.check(len(outcome.response.vectors) == 1)

    async def _rerank(self, name: str, priority: Priority) -> None:
        documents = self._dice.sample(PROMPTS, 4)
        async with self._counted(name, priority) as outcome:
            outcome.response = await self._client.rerank(
                f"{name}:demo-reranker", query=self._prompt(), documents=documents, **_options(priority)
            )
            self.ledger.check(sorted(r.index for r in outcome.response.results) == [0, 1, 2, 3])

    def _counted(self, name: str, priority: Priority) -> _Counted:
        return _Counted(self.ledger, name, priority)


def _options(priority: Priority) -> dict[str, Any]:
    """Urgent calls want to know at once that a service is down; the others wait for it."""
    return {"priority": priority, "timeout": 20.0, "on_open": "fail" if priority is Priority.HIGH else "wait"}


class _Counted:
    """Counts one call from its beginning to its end, whatever that is."""

    def __init__(self, ledger: Ledger, name: str, priority: Priority) -> None:
        self._ledger, self._name, self._priority = ledger, name, priority
        self.response: Any = None

    async def __aenter__(self) -> _Counted:
        self._ledger.asked[self._name] += 1
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        ledger = self._ledger
        if error is None:
            ledger.answered[self._name] += 1
            ledger.waits[self._priority].append(self.response.timings.queue_s)
            return False
        if not isinstance(error, AsyncAPIError):
            return False
        (ledger.refused if isinstance(error, NotSentError) else ledger.failed)[self._name] += 1
        ledger.errors[error.kind] += 1
        return True
