"""Batches that a service refuses as too large, and what is learned from that. And: to each its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi import Batch, ContextLengthError, EmbedResponse, InvalidRequestError, Priority
from asyncapi.testing import VirtualTime, virtual_time
from asyncapi.testing.scripted import Reply, ScriptedTransport, reply
from asyncapi.types.wire import Outgoing
from tests.core.worlds import (
    MODEL,
    assert_at_rest,
    caught,
    client_of,
    core,
    outcomes,
    start,
    texts_of,
    turns,
    vectors,
)

Script = Callable[[Outgoing], Reply]


def _takes(most: int, status: int = 422, text: str = "batch size is above the maximum") -> Script:
    """A service that takes so many texts."""

    def script(request: Outgoing) -> Reply:
        if len(texts_of(request)) > most:
            return reply(text, status=status)
        return vectors(request, delay=0.01)

    return script


def _sizes(transport: ScriptedTransport) -> list[int]:
    return [len(texts_of(request)) for request in transport.requests]


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    ("status", "text"),
    [(422, "batch size 64 > maximum allowed batch size 16"), (400, "no"), (413, "Payload Too Large")],
)
async def test_a_batch_that_is_too_large_fails_nobody_and_the_next_is_smaller(status: int, text: str) -> None:
    """Whether the service says so, or only takes the halves of what it refused."""
    transport = ScriptedTransport(_takes(16, status, text))
    async with client_of(transport, limit=50, batch=Batch(size=64)) as client:
        for _ in range(3):
            answers = await asyncio.gather(*(client.embed(MODEL, str(i)) for i in range(64)))
            assert [answer.vectors[0][0] for answer in answers] == [float(i) for i in range(64)]
        assert_at_rest(client, transport)

    assert _sizes(transport)[0] == 64
    assert max(_sizes(transport)[1:]) <= 32
    assert max(_sizes(transport)[7:]) <= 17


@pytest.mark.virtual_time
async def test_what_one_model_refuses_says_nothing_of_another() -> None:
    """Learned by operation and model."""
    transport = ScriptedTransport(_takes(8))
    async with client_of(transport, batch=Batch(size=32)) as client:
        await asyncio.gather(*(client.embed(MODEL, str(i)) for i in range(32)))
        sizes = core(client).batcher.sizes

        assert sizes.limit("embed", "m").items == 8
        assert sizes.limit("embed", "other").items == 2048


@pytest.mark.virtual_time
async def test_a_poisoned_text_teaches_nothing() -> None:
    """One text was at fault, not the size."""

    def script(request: Outgoing) -> Reply:
        return reply("no", status=400) if "13" in texts_of(request) else vectors(request)

    async with client_of(ScriptedTransport(script), batch=Batch(size=32)) as client:
        await outcomes(client.embed(MODEL, str(i)) for i in range(32))

        assert core(client).batcher.sizes.limit("embed", "m").items == 2048


@pytest.mark.virtual_time
async def test_a_body_too_large_is_halved_by_its_bytes() -> None:
    """413: long texts go in smaller batches, short ones as before."""

    def script(request: Outgoing) -> Reply:
        assert request.body is not None
        return reply(status=413) if len(request.body) > 2_000 else vectors(request)

    transport = ScriptedTransport(script)
    async with client_of(transport, batch=Batch(size=16)) as client:
        for _ in range(2):
            await asyncio.gather(*(client.embed(MODEL, "1" * 300) for _ in range(16)))
        before = transport.total
        await asyncio.gather(*(client.embed(MODEL, "1") for _ in range(16)))

    assert transport.total == before + 1
    assert max(_sizes(transport)[-5:-1]) <= 6


@pytest.mark.virtual_time
async def test_bytes_are_counted_as_they_are_encoded() -> None:
    """A character of four bytes counts four: what is known to be too large is not sent."""

    def script(request: Outgoing) -> Reply:
        assert request.body is not None
        return reply(status=413) if len(request.body) > 2_000 else vectors(request)

    transport = ScriptedTransport(script)
    async with client_of(transport, batch=Batch(size=16)) as client:
        core(client).batcher.sizes.refused("embed", "m", "bytes", 4_000)
        answers = await outcomes(client.embed(MODEL, "\u0661" * 200) for _ in range(16))  # a digit, 2 bytes

    assert {type(answer) for answer in answers} == {EmbedResponse}
    assert max(len(request.body or b"") for request in transport.requests) <= 2_000


@pytest.mark.virtual_time
async def test_one_callers_own_list_is_cut_when_it_is_too_long() -> None:
    """Its answer is put together again; another list is cut before it is sent."""
    transport = ScriptedTransport(_takes(10))
    async with client_of(transport) as client:
        texts = [str(i) for i in range(50)]
        for _ in range(2):
            answer = await client.embed(MODEL, texts)
            assert [vector[0] for vector in answer.vectors] == [float(i) for i in range(50)]
        assert_at_rest(client, transport)

    assert answer.usage.input_tokens == 150
    assert max(_sizes(transport)[8:]) <= 12


@pytest.mark.virtual_time
async def test_a_single_text_that_is_too_large_is_its_callers_error() -> None:
    """It can't be halved; and it is not taken for the size of a batch."""
    transport = ScriptedTransport(default=reply(status=413))
    async with client_of(transport) as client:
        await caught(ContextLengthError, client.embed(MODEL, "1"))
        error = await caught(ContextLengthError, client.embed(MODEL, ["1", "2", "3"]))
        assert_at_rest(client, transport)

    assert error.attempts >= 3


@pytest.mark.virtual_time
async def test_halves_keep_their_place_though_the_queue_is_full() -> None:
    """What was admitted stays admitted: a refused batch fails none of its members."""
    transport = ScriptedTransport(_takes(4))
    async with client_of(transport, limit=1, queue_size=2, batch=Batch(size=8)) as client:
        calls = start(*(client.embed(MODEL, str(i)) for i in range(8)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        calls += start(*(client.embed(MODEL, str(i)) for i in range(8, 24)))
        answers = await asyncio.gather(*calls)
        await turns()
        assert_at_rest(client, transport)

    assert [answer.vectors[0][0] for answer in answers] == [float(i) for i in range(24)]
    assert [answer.attempts for answer in answers[:8]] == [2] * 8


@dataclass(frozen=True)
class _Member:
    texts: tuple[int, ...]
    poisoned: bool
    cancelled_after: float | None
    starts: float
    priority: Priority
    tenant: str


_members = st.lists(
    st.builds(
        _Member,
        texts=st.lists(st.integers(0, 99), min_size=1, max_size=6).map(tuple),
        poisoned=st.sampled_from([False, False, False, True]),
        cancelled_after=st.sampled_from([None, None, None, 0.0, 0.004, 0.02]),
        starts=st.sampled_from([0.0, 0.0, 0.001, 0.01, 0.03]),
        priority=st.sampled_from(Priority),
        tenant=st.sampled_from("ab"),
    ),
    min_size=1,
    max_size=20,
)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(
    members=_members,
    size=st.integers(2, 12),
    most=st.integers(1, 12),
    status=st.sampled_from([400, 413, 422]),
    limit=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_any_mix_of_sizes_poison_and_cancellations_gives_each_its_own(
    members: list[_Member], size: int, most: int, status: int, limit: int, seed: int
) -> None:
    """Each member that was not cancelled gets its vectors, or the error of its own poison; nobody else's."""

    def script(request: Outgoing) -> Reply:
        texts = texts_of(request)
        if "1000" in texts:
            return reply("a poisoned text", status=400)
        if len(texts) > most:
            return reply("batch size", status=status)
        return vectors(request, delay=0.01)

    async def one(client_call: asyncio.Task[EmbedResponse], member: _Member) -> object:
        if member.cancelled_after is not None:
            await asyncio.sleep(member.cancelled_after)
            client_call.cancel()
        return (await outcomes([client_call]))[0]

    async def run(clock: VirtualTime) -> None:
        transport = ScriptedTransport(script)
        async with client_of(transport, limit=limit, queue_size=500, batch=Batch(size=size)) as client:

            async def enter(member: _Member) -> object:
                await asyncio.sleep(member.starts)
                texts = [str(text) for text in member.texts] + (["1000"] if member.poisoned else [])
                call = client.embed(MODEL, texts, priority=member.priority, tenant=member.tenant)
                return await one(asyncio.ensure_future(call), member)

            ends = await asyncio.gather(*map(enter, members))
            await asyncio.sleep(1.0)
            assert_at_rest(client, transport)
        for member, end in zip(members, ends, strict=True):
            if isinstance(end, EmbedResponse):
                assert not member.poisoned
                assert [vector[0] for vector in end.vectors] == [float(text) for text in member.texts]
                assert end.usage.input_tokens == 3 * len(member.texts) or end.usage.source == "estimated"
            elif isinstance(end, asyncio.CancelledError):
                assert member.cancelled_after is not None
            else:
                assert isinstance(end, InvalidRequestError)
                assert member.poisoned

    with virtual_time(seed=seed, shuffle=0.3) as clock:
        clock.run(run(clock))
