"""Batches: calls that travel together, and share the answer out again."""

from __future__ import annotations

import asyncio

import pytest

from asyncapi import (
    AsyncAPIError,
    Batch,
    ClientClosedError,
    ConfigError,
    ConnectionLostError,
    DecodeError,
    EmbedResponse,
    Extra,
    InvalidRequestError,
    Key,
    Priority,
    ReadTimeoutError,
    Retry,
    ServerError,
    Timeout,
)
from asyncapi.testing import VirtualTime
from asyncapi.testing.scripted import ScriptedTransport, Step, hang, reply
from asyncapi.types.events import BatchFlushed, CallFinished
from asyncapi.types.wire import Outgoing
from tests.core.worlds import (
    MODEL,
    Recorder,
    assert_at_rest,
    caught,
    client_of,
    outcomes,
    start,
    texts_of,
    turns,
    vectors,
)

pytestmark = pytest.mark.virtual_time

EIGHT = Batch(size=8, wait=0.01)


def _service(delay: float = 0.05) -> ScriptedTransport:
    return ScriptedTransport(lambda request: vectors(request, delay=delay))


@pytest.mark.slow
async def test_ten_thousand_embeddings_awaited_separately_are_three_hundred_and_thirteen_requests() -> None:
    """Batched by 32, each caller gets its own vector."""
    transport = _service()
    async with client_of(transport, limit=5, queue_size=400, batch=Batch(size=32)) as client:
        answers = await asyncio.gather(*(client.embed(MODEL, str(i)) for i in range(10_000)))

        assert [answer.vectors[0][0] for answer in answers] == [float(i) for i in range(10_000)]
        assert transport.total == 313
        batches = client.statistics().endpoints["openai"].batches
        assert (batches.count, batches.calls) == (313, 10_000)
        assert_at_rest(client, transport)


async def test_one_poisoned_text_fails_alone() -> None:
    """The service refuses a whole batch for one text: halves find it, 31 others get their vectors."""

    def script(request: Outgoing) -> Step:
        return reply("too long", status=400) if "13" in texts_of(request) else vectors(request)

    transport = ScriptedTransport(script)
    async with client_of(transport, batch=Batch(size=32)) as client:
        answers = await outcomes(client.embed(MODEL, str(i)) for i in range(32))
        assert_at_rest(client, transport)

    failed = [i for i, answer in enumerate(answers) if not isinstance(answer, EmbedResponse)]
    assert failed == [13]
    assert type(answers[13]) is InvalidRequestError
    assert transport.total <= 1 + 2 * 5  # two halves on each of log2(32) levels


async def test_one_text_that_no_json_can_hold_fails_alone() -> None:
    """A lone surrogate is refused while the batch is encoded; its neighbours go on."""
    transport = _service()
    async with client_of(transport, batch=EIGHT) as client:
        answers = await outcomes(client.embed(MODEL, t) for t in ("1", "2", "\ud800", "4"))

    assert [type(answer) for answer in answers] == [EmbedResponse, EmbedResponse, ConfigError, EmbedResponse]


async def test_cancelling_one_member_leaves_the_others() -> None:
    """Before the flush it is left out, after it the answer is shared out around it."""
    transport = _service()
    async with client_of(transport, batch=EIGHT) as client:
        tasks = [asyncio.ensure_future(client.embed(MODEL, str(i))) for i in range(6)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        await asyncio.sleep(0.01)
        tasks[4].cancel()
        results = await outcomes(tasks)

        assert [texts_of_sent(transport, i) for i in range(transport.total)] == [["0", "1", "3", "4", "5"]]
        alive = [r.vectors[0][0] for r in results if isinstance(r, EmbedResponse)]
        assert alive == [0.0, 1.0, 3.0, 5.0]
        calls = client.statistics().endpoints["openai"].calls
        assert (calls.succeeded, calls.cancelled) == (4, 2)
        assert_at_rest(client, transport)


def texts_of_sent(transport: ScriptedTransport, index: int) -> list[str]:
    """The texts in one request that came."""
    return list(transport.requests[index].json()["input"])


async def test_a_batch_is_cancelled_when_its_last_member_is() -> None:
    """The upstream sees the abort; nothing runs for nobody."""
    transport = ScriptedTransport(default=hang())
    async with client_of(transport, batch=EIGHT) as client:
        tasks = [asyncio.ensure_future(client.embed(MODEL, str(i))) for i in range(3)]
        await asyncio.sleep(0.1)
        for task in tasks[:2]:
            task.cancel()
        await asyncio.sleep(0.1)
        assert transport.in_flight == 1
        tasks[2].cancel()
        await outcomes(tasks)
        await turns()

        assert (transport.in_flight, transport.aborted) == (0, 1)
        assert_at_rest(client, transport)


async def test_a_batch_is_cancelled_when_its_last_member_is_though_others_were_answered() -> None:
    """After a bisection one half is answered; when the other's members go, it has nobody left."""

    def script(request: Outgoing) -> Step:
        texts = texts_of(request)
        if len(texts) == 4:
            return reply("no", status=400)
        return vectors(request) if "0" in texts else hang()

    transport = ScriptedTransport(script)
    async with client_of(transport, batch=EIGHT) as client:
        tasks = [asyncio.ensure_future(client.embed(MODEL, str(i), timeout=None)) for i in range(4)]
        await asyncio.sleep(1.0)
        assert [task.done() for task in tasks] == [True, True, False, False]
        for task in tasks[2:]:
            task.cancel()
        await outcomes(tasks)
        await turns()

        assert transport.in_flight == 0
        assert_at_rest(client, transport)


async def test_halves_are_not_sent_for_members_that_are_gone() -> None:
    """A bisection leaves out who was cancelled meanwhile."""
    transport = ScriptedTransport(
        lambda request: (
            reply("no", status=400, delay=1.0) if len(texts_of(request)) == 4 else vectors(request)
        )
    )
    async with client_of(transport, batch=EIGHT) as client:
        tasks = [asyncio.ensure_future(client.embed(MODEL, str(i))) for i in range(4)]
        await asyncio.sleep(0.5)
        tasks[0].cancel()
        tasks[1].cancel()
        await outcomes(tasks)

    assert [texts_of_sent(transport, i) for i in range(transport.total)] == [list("0123"), ["2", "3"]]


async def test_usage_is_shared_exactly() -> None:
    """In proportion to the texts' lengths, and the sum is what the service said."""
    transport = ScriptedTransport(lambda request: vectors(request, tokens=101))
    async with client_of(transport, batch=EIGHT) as client:
        answers = await asyncio.gather(*(client.embed(MODEL, "1" * n) for n in (1, 2, 3, 4)))

        shares = [answer.usage.input_tokens for answer in answers]
        assert sum(share or 0 for share in shares) == 101
        assert shares == sorted(shares, key=lambda n: n or 0)
        assert client.statistics().endpoints["openai"].usage.input_tokens == 101


async def test_a_lone_call_on_an_idle_endpoint_is_not_held_at_all(virtual_clock: VirtualTime) -> None:
    """Where nothing is under way, waiting for company gains nothing."""
    async with client_of(_service(delay=0.0), batch=Batch(size=8, wait=5.0)) as client:
        await client.embed(MODEL, "1")

    assert virtual_clock.elapsed < 0.001


async def test_a_batch_gathers_until_its_turn_comes() -> None:
    """On a busy endpoint it waits in the queue anyway; whoever comes meanwhile goes along."""
    recorder = Recorder()
    transport = _service(delay=1.0)
    async with client_of(transport, limit=1, batch=Batch(size=8, wait=0.01), hooks=[recorder]) as client:
        calls = start(client.embed(MODEL, "0"))
        for i in range(1, 5):
            await asyncio.sleep(0.2)
            calls += start(client.embed(MODEL, str(i)))
        await asyncio.gather(*calls)

    assert [texts_of_sent(transport, i) for i in range(transport.total)] == [["0"], ["1", "2", "3", "4"]]
    flushed = recorder.of(BatchFlushed)
    assert [(event.reason, event.items, event.size) for event in flushed] == [("idle", 1, 1), ("turn", 4, 4)]
    assert [event.waited_s for event in flushed] == pytest.approx([0.0, 0.8], abs=1e-4)


async def test_an_answer_of_the_wrong_length_fails_clearly_for_every_member() -> None:
    """Vectors can't be told apart: nobody gets another's."""
    data = [{"object": "embedding", "index": 0, "embedding": [1.0]}]
    transport = ScriptedTransport(default=reply({"data": data, "model": "m"}))
    async with client_of(transport, batch=EIGHT) as client:
        calls = start(*(client.embed(MODEL, str(i)) for i in range(3)))
        errors = [await caught(DecodeError, call) for call in calls]
        assert_at_rest(client, transport)

    assert all("1" in str(error) and "3" in str(error) for error in errors)
    assert len({id(error) for error in errors}) == 3


async def test_each_member_gets_an_error_of_its_own_with_its_own_id() -> None:
    """One error raised twice would carry the other caller's traceback."""
    transport = ScriptedTransport(default=reply(status=500))
    async with client_of(transport, batch=EIGHT, retry=Retry(attempts=2, base=0.01, cap=0.01)) as client:
        errors = await outcomes(client.embed(MODEL, str(i), request_id=f"id-{i}") for i in range(3))

    assert all(isinstance(error, ServerError) for error in errors)
    found = [(e.request_id, e.attempts, e.endpoint) for e in errors if isinstance(e, AsyncAPIError)]
    assert found == [(f"id-{i}", 2, "openai") for i in range(3)]


async def test_a_member_whose_deadline_passes_in_flight_hears_that_it_was_sent() -> None:
    """Its batch goes on for the others; the member must not be told that nothing left."""
    recorder = Recorder()
    transport = _service(delay=5.0)
    async with client_of(transport, batch=EIGHT, hooks=[recorder]) as client:
        hasty = asyncio.ensure_future(client.embed(MODEL, "1", timeout=1.0))
        patient = asyncio.ensure_future(client.embed(MODEL, "2", timeout=10.0))
        error = await caught(ReadTimeoutError, hasty)
        assert (await patient).vectors[0][0] == 2.0

        assert (error.sent, error.attempts) == (True, 1)
        assert client.statistics().endpoints["openai"].calls.refused == 0
        assert_at_rest(client, transport)


async def test_a_batch_is_as_patient_as_its_most_patient_member() -> None:
    """One member without a deadline takes it from the batch."""
    transport = _service(delay=5000.0)
    async with client_of(transport, batch=EIGHT) as client:
        answers = await outcomes(
            [client.embed(MODEL, "1", timeout=3.0), client.embed(MODEL, "2", timeout=Timeout(total=None))]
        )

    assert [type(answer) for answer in answers] == [ReadTimeoutError, EmbedResponse]


async def test_a_batch_that_outlives_every_deadline_ends_with_them() -> None:
    """Members of one deadline and their batch end at the same instant."""
    transport = ScriptedTransport(default=hang())
    async with client_of(transport, batch=EIGHT) as client:
        answers = await outcomes(client.embed(MODEL, str(i), timeout=2.0) for i in range(3))
        await turns()
        assert_at_rest(client, transport)

    assert {type(answer) for answer in answers} == {ReadTimeoutError}


async def test_a_list_longer_than_the_service_takes_is_cut_and_joined() -> None:
    """2,500 texts for a service that takes 2,048 are two requests and one answer."""
    transport = _service()
    async with client_of(transport) as client:
        answer = await client.embed(MODEL, [str(i) for i in range(2_500)])

    assert [vector[0] for vector in answer.vectors] == [float(i) for i in range(2_500)]
    assert answer.usage.input_tokens == 7_500
    assert (transport.total, answer.attempts) == (2, 2)


async def test_when_one_piece_fails_the_call_fails_and_its_other_pieces_are_cancelled(
    virtual_clock: VirtualTime,
) -> None:
    """The caller does not wait for a piece that can't help any more."""

    def script(request: Outgoing) -> Step:
        return hang() if "0" in texts_of(request) else reply(status=403)

    transport = ScriptedTransport(script)
    async with client_of(transport) as client:
        error = await outcomes([client.embed(MODEL, [str(i) for i in range(5_000)])])
        await turns()

        assert isinstance(error[0], AsyncAPIError)
        assert virtual_clock.elapsed < 1.0
        assert transport.aborted == 1
        assert_at_rest(client, transport)


async def test_requests_that_differ_travel_apart_and_one_with_extras_alone() -> None:
    """Same model, dimensions, user and key, and no extras: only those are merged."""
    transport = _service()
    async with client_of(transport, batch=EIGHT) as client:
        await asyncio.gather(
            client.embed(MODEL, "1"),
            client.embed(MODEL, "2"),
            client.embed(MODEL, "3", dimensions=7),
            client.embed(MODEL, "4", extra=Extra(body={"x": 1})),
            client.embed(MODEL, "5", extra=Extra(body={"x": 1})),
        )

    assert sorted(texts_of_sent(transport, i) for i in range(4)) == [["1", "2"], ["3"], ["4"], ["5"]]


async def test_a_batch_has_the_urgency_of_its_most_urgent_member() -> None:
    """One HIGH member takes the whole batch past what waits."""
    transport = _service(delay=1.0)
    async with client_of(transport, limit=1, batch=Batch(size=2, wait=0.01)) as client:
        first = asyncio.ensure_future(client.embed(MODEL, ["0", "0"]))
        await turns()
        low = [
            asyncio.ensure_future(client.embed(MODEL, ["1", "1"], priority=Priority.LOW)) for _ in range(3)
        ]
        await turns()
        mixed = [
            asyncio.ensure_future(client.embed(MODEL, "2", priority=Priority.LOW)),
            asyncio.ensure_future(client.embed(MODEL, "3", priority=Priority.HIGH)),
        ]
        await asyncio.gather(first, *low, *mixed)

    assert [texts_of_sent(transport, i) for i in range(5)].index(["2", "3"]) <= 2


async def test_full_batches_leave_at_once_and_large_items_close_the_batch_before() -> None:
    """5 + 4 items don't fit into 8: the five leave without them."""
    transport = _service()
    recorder = Recorder()
    async with client_of(transport, batch=Batch(size=8, wait=0.1), hooks=[recorder]) as client:
        await asyncio.gather(
            client.embed(MODEL, ["1"] * 5), client.embed(MODEL, ["2"] * 4), client.embed(MODEL, ["3"] * 4)
        )

    assert [len(texts_of_sent(transport, i)) for i in range(2)] == [5, 8]
    assert [event.reason for event in recorder.of(BatchFlushed)] == ["full", "full"]


async def test_a_size_of_one_turns_gathering_off() -> None:
    """Each call is its own request."""
    transport = _service()
    async with client_of(transport, batch=Batch(size=1)) as client:
        await asyncio.gather(*(client.embed(MODEL, str(i)) for i in range(3)))

    assert transport.total == 3


async def test_closing_ends_members_that_gather_wait_or_are_under_way() -> None:
    """Each hears it once, and only those that were not sent are told so."""
    transport = ScriptedTransport(default=hang())
    recorder = Recorder()
    client = client_of(transport, limit=1, batch=Batch(size=2, wait=1.0), hooks=[recorder])
    async with client:
        sent = [asyncio.ensure_future(client.embed(MODEL, "1")) for _ in range(2)]
        await turns()
        waiting = [asyncio.ensure_future(client.embed(MODEL, "2")) for _ in range(2)]
        gathering = asyncio.ensure_future(client.embed(MODEL, "3"))
        await turns()
    errors = await outcomes([*sent, *waiting, gathering])

    assert transport.aborted == 1
    assert len(recorder.of(CallFinished)) == 5
    assert [type(error) for error in errors] == [ConnectionLostError] * 2 + [ClientClosedError] * 3
    assert [e.sent for e in errors if isinstance(e, AsyncAPIError)] == [True, True, False, False, False]
    calls = client.statistics().endpoints["openai"].calls
    assert (calls.failed, calls.refused) == (2, 3)


async def test_a_member_that_comes_after_the_close_is_refused() -> None:
    """Also when the close happens between its check and its place."""
    client = client_of(_service(), batch=EIGHT)
    call = client.embed(MODEL, "1")
    await client.embed(MODEL, "0")
    endpoint = client._runtime.endpoint("openai")
    endpoint.closed = True
    await caught(ClientClosedError, call)
    await client.aclose()


async def test_a_bug_in_the_transport_reaches_every_member(virtual_clock: VirtualTime) -> None:
    """An exception of a foreign kind is wrapped, chained and reported."""

    def script(_: Outgoing) -> Step:
        raise RuntimeError("a bug")

    async with client_of(ScriptedTransport(script), batch=EIGHT) as client:
        errors = await outcomes(client.embed(MODEL, str(i)) for i in range(2))
        await turns()
        assert_at_rest(client)

    assert [type(error) for error in errors] == [AsyncAPIError] * 2
    assert all(isinstance(e.__cause__, RuntimeError) for e in errors if isinstance(e, AsyncAPIError))
    assert [str(e.exception) for e in virtual_clock.take_loop_errors()] == ["a bug"]


async def test_members_hear_what_was_dropped_from_their_request() -> None:
    """Warnings of the merged request belong to each of its members."""
    transport = _service()
    async with client_of(transport, batch=EIGHT) as client:
        core_backend = client._runtime.endpoint("openai").backend
        encode = core_backend.encode

        class Warning_:
            def __getattr__(self, name: str) -> object:
                return getattr(core_backend, name)

            def encode(self, request: object) -> object:
                import msgspec

                return msgspec.structs.replace(encode(request), warnings=("dropped",))  # type: ignore[arg-type]

        client._runtime.endpoint("openai").backend = Warning_()  # type: ignore[assignment]
        answers = await asyncio.gather(client.embed(MODEL, "1"), client.embed(MODEL, "2"))

    assert [answer.warnings for answer in answers] == [("dropped",), ("dropped",)]


async def test_the_wait_of_a_refused_batchs_halves_is_told() -> None:
    """Each half waits for the key's rate again: its members' time in the queue grows by that."""
    recorder = Recorder()
    transport = ScriptedTransport(lambda _: reply(status=400))
    keys = [Key("sk-a", requests_per_minute=60.0)]
    async with client_of(transport, keys=keys, hooks=[recorder], batch=Batch(size=2)) as client:
        await outcomes([client.embed(MODEL, text) for text in "12"])

    waits = sorted(event.queue_wait_s for event in recorder.of(CallFinished))
    assert waits == [pytest.approx(1.0, abs=0.01), pytest.approx(2.0, abs=0.01)]
