"""Tokens per minute at work: reserved before, settled after, never more than the limit at the service."""

from __future__ import annotations

import asyncio
import random
from collections import deque

import orjson
import pytest

from asyncapi import (
    ChatResponse,
    ConnectionLostError,
    DeadlineExceededError,
    Key,
    Retry,
    Timeout,
)
from asyncapi.policies.tokens import TokenRate
from asyncapi.testing import VirtualTime
from asyncapi.testing.scripted import Reply, ScriptedTransport, Step, fail, hang, reply
from asyncapi.types.wire import Outgoing
from tests.core.worlds import (
    MODEL,
    assert_at_rest,
    caught,
    client_of,
    core,
    outcomes,
    start,
    turns,
    vectors,
)

pytestmark = pytest.mark.virtual_time

MINUTE = 60.0
NO_RETRY = Retry(attempts=1)


def _answer(entered: int, answered: int, delay: float) -> Reply:
    usage = {"prompt_tokens": entered, "completion_tokens": answered, "total_tokens": entered + answered}
    message = {"role": "assistant", "content": "fine"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return reply({"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage}, delay=delay)


class Service:
    """Counts in a sliding minute of its own: reserves what a request allows, corrects it at its end.

    State: the ``log`` of (time, [requests, tokens]), what it sums to, how many were ``refused``, how many
    tokens were ``used``.
    """

    def __init__(self, clock: VirtualTime, requests: int, tokens: int, seed: int = 1) -> None:
        self.clock, self.requests, self.tokens = clock, requests, tokens
        self.random = random.Random(seed)
        self.log: deque[tuple[float, list[int]]] = deque()
        self.sum = [0, 0]
        self.refused = self.used = 0
        self.last = 0.0

    def __call__(self, request: Outgoing) -> Step:
        now = self.clock.elapsed
        while self.log and self.log[0][0] <= now - MINUTE:
            _, (one, amount) = self.log.popleft()
            self.sum[0] -= one
            self.sum[1] -= amount
        assert request.body is not None
        entered = int(len(request.body) * 0.3)
        most = orjson.loads(request.body)["max_completion_tokens"]
        if self.sum[0] + 1 > self.requests or self.sum[1] + entered + most > self.tokens:
            self.refused += 1
            return reply(status=429, retry_after=1)
        charge = [1, entered + most]
        self.log.append((now, charge))
        self.sum[0] += 1
        self.sum[1] += charge[1]
        delay, answered = self.random.uniform(0.2, 1.0), self.random.randint(most * 9 // 10, most)
        self.used += entered + answered
        self.last = now

        def correct() -> None:
            self.sum[1] -= most - answered
            charge[1] -= most - answered

        asyncio.get_running_loop().call_later(delay, correct)
        return _answer(entered, answered, delay)


@pytest.mark.slow
@pytest.mark.parametrize(("requests", "tokens"), [(600, 10_000_000), (100_000, 200_000)])
async def test_ten_thousand_callers_use_a_minute_whole_and_never_too_much(
    virtual_clock: VirtualTime, requests: int, tokens: int
) -> None:
    """98 % of whichever limit binds, and not one 429 that could be avoided."""
    service, rng = Service(virtual_clock, requests, tokens), random.Random(2)
    key = Key("sk-one", requests_per_minute=requests, tokens_per_minute=tokens)
    async with client_of(
        ScriptedTransport(service, keep=1), keys=[key], limit=500, queue_size=10_000, timeout=Timeout(None)
    ) as client:
        answers = await outcomes(
            client.chat(MODEL, "word " * rng.randint(1, 60), max_tokens=rng.randint(50, 400))
            for _ in range(10_000)
        )

        assert {type(answer) for answer in answers} == {ChatResponse}
        assert service.refused == 0
        minutes = service.last / MINUTE
        used = max(10_000 / requests, service.used / tokens) / minutes
        assert used >= 0.98
        assert_at_rest(client)


async def test_wrong_estimates_are_settled_with_what_was_used(virtual_clock: VirtualTime) -> None:
    """Ten times what was thought, or a tenth: the minute after is as long as the truth says."""
    rng, used = random.Random(5), 0

    def script(_: Outgoing) -> Step:
        nonlocal used
        entered = int(100 * 10 ** rng.uniform(-1, 1))
        used += entered + 20
        return _answer(entered, 20, 0.5)

    key = Key("sk-one", tokens_per_minute=20_000)
    transport = ScriptedTransport(script, keep=1)
    async with client_of(transport, keys=[key], limit=50, queue_size=3000, timeout=Timeout(None)) as client:
        await outcomes(client.chat(MODEL, "word " * rng.randint(1, 60)) for _ in range(700))
        minutes = virtual_clock.elapsed / MINUTE

        assert used / minutes == pytest.approx(20_000, rel=0.1)
        await asyncio.sleep(120)
        rate = _rate(core(client).keys.keys[0].meter)
        assert rate.wait(20_000, virtual_clock.elapsed) == 0.0
        assert rate._used == 0


def _rate(meter: object) -> TokenRate:
    rates = meter._rates  # type: ignore[attr-defined]
    assert isinstance(rates[0][1], TokenRate)
    return rates[0][1]


@pytest.mark.parametrize(
    ("step", "left"),
    [
        (_answer(7, 5, 0.1), "used"),
        (reply(status=429), "nothing"),
        (reply(status=400), "input"),
        (reply(status=500), "all"),
        (fail(ConnectionLostError("cut")), "all"),
    ],
)
async def test_what_a_failure_is_charged(step: Step, left: str) -> None:
    """Refused: nothing. A bad request: its input. Whatever may have been worked on: all."""
    key = Key("sk-one", tokens_per_minute=20_000)
    async with client_of(ScriptedTransport([step]), keys=[key], retry=NO_RETRY) as client:
        await outcomes([client.chat(MODEL, "x", max_tokens=100)])
        body = 0.3 * 78
        expected = {"used": 12, "nothing": 0, "input": body, "all": body + 100}[left]

        assert _rate(core(client).keys.keys[0].meter)._used == pytest.approx(expected, abs=12)
        assert_at_rest(client)


async def test_a_cancelled_call_is_charged_if_it_was_sent() -> None:
    """One in flight keeps its reservation, one in the queue has none."""
    key = Key("sk-one", tokens_per_minute=20_000)
    async with client_of(ScriptedTransport(default=hang()), keys=[key], limit=1) as client:
        sent, queued = start(*(client.chat(MODEL, "x", max_tokens=n) for n in (100, 1000)))
        await turns()
        sent.cancel()
        queued.cancel()
        await outcomes([sent, queued])

        assert _rate(core(client).keys.keys[0].meter)._used == pytest.approx(125, abs=15)
        assert_at_rest(client)


async def test_a_large_call_is_not_starved_by_small_ones(virtual_clock: VirtualTime) -> None:
    """Nine tenths of a minute for one call, and small ones that never stop coming."""
    ended: dict[str, float] = {}

    async def one(name: str, most: int) -> None:
        await client.chat(MODEL, name, max_tokens=most)
        ended[name] = virtual_clock.elapsed

    key = Key("sk-one", tokens_per_minute=10_000)
    service = ScriptedTransport(lambda _: _answer(20, 100, 0.1), keep=1)
    async with client_of(service, keys=[key], limit=50, queue_size=1000, timeout=Timeout(None)) as client:
        early = start(*(one(f"early-{n}", 100) for n in range(100)))
        (large,) = start(one("large", 8_000))
        late = start(*(one(f"late-{n}", 100) for n in range(200)))
        await asyncio.gather(*early, large, *late)

        before = max(at for name, at in ended.items() if name.startswith("early"))
        after = min(at for name, at in ended.items() if name.startswith("late"))
        assert before < ended["large"] <= before + 61
        assert ended["large"] <= after


async def test_a_service_that_says_few_tokens_are_left_is_not_run_into(virtual_clock: VirtualTime) -> None:
    """400 left of 6,000: a call for 1,000 waits until they are back, without a 429."""
    headers = {
        "x-ratelimit-limit-requests": "1000",
        "x-ratelimit-remaining-requests": "900",
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "400",
    }
    transport = ScriptedTransport([reply("one", headers=headers), reply("two")])
    async with client_of(transport) as client:
        await client.chat(MODEL, "x", max_tokens=10)
        await client.chat(MODEL, "x", max_tokens=1000)

        assert virtual_clock.elapsed == pytest.approx(6.2, abs=0.3)
        assert_at_rest(client, transport)


async def test_tokens_are_not_counted_while_nothing_limits_them() -> None:
    """More than half is left: no estimate is made, no meter kept."""
    headers = {
        "x-ratelimit-limit-requests": "1000",
        "x-ratelimit-remaining-requests": "900",
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "4000",
    }
    async with client_of(ScriptedTransport(default=reply("one", headers=headers))) as client:
        for _ in range(3):
            await client.chat(MODEL, "x")
        endpoint = core(client)

        assert not endpoint.keys.metered
        assert endpoint.keys.keys[0].meter is None


async def test_a_call_that_its_deadline_can_not_wait_for_is_refused_at_once(
    virtual_clock: VirtualTime,
) -> None:
    """The minute's tokens are gone: whoever has 5 s hears it now."""
    key = Key("sk-one", tokens_per_minute=1_000)
    async with client_of(ScriptedTransport(default=_answer(10, 900, 0.1)), keys=[key]) as client:
        await client.chat(MODEL, "x", max_tokens=900)
        error = await caught(DeadlineExceededError, client.chat(MODEL, "x", max_tokens=900, timeout=5.0))

        assert error.retry_after == pytest.approx(60, abs=8)
        assert virtual_clock.elapsed < 1.0


async def test_a_batch_that_needs_less_than_was_reserved_lets_the_next_one_go() -> None:
    """Reserved unseen, by what others had; once it is encoded, who waits for the rest is told at once."""
    transport = ScriptedTransport(vectors_of_many)
    key = Key("sk-one", tokens_per_minute=1_000)
    async with client_of(transport, keys=[key], limit=5, timeout=Timeout(None)) as client:
        await client.embed("openai:m", ["0" * 2000])
        await asyncio.gather(*(client.embed(f"openai:{model}", ["1"]) for model in "mn"))

        first, second, third = (sent.time for sent in transport.requests)
        assert second > first + 20.0  # both waited, and the worker let them go
        assert third == pytest.approx(second, abs=1.5)
        assert_at_rest(client)


def vectors_of_many(request: Outgoing) -> Step:
    """Answers a list, and says that it had 0.3 tokens a byte."""
    assert request.body is not None
    return vectors(request, tokens=int(0.3 * len(request.body)), delay=10.0)
