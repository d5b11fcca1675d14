"""Objects through the whole client, against the emulator: what it guards, counts, cancels and gives up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from asyncapi import Client, Endpoint
from asyncapi.config import Breaker, Fixed, Key, Retry, Timeout
from asyncapi.emulator import POISON, Emulator, Limits, Timing
from asyncapi.emulator.dialects.s3 import S3
from asyncapi.emulator.records import key_digest
from asyncapi.errors import (
    AuthenticationError,
    CircuitOpenError,
    ConfigError,
    ConnectError,
    ConnectionLostError,
    MissingKeyError,
    NotFoundError,
    OverloadedError,
    QueueFullError,
    ReadTimeoutError,
    ServerError,
    StreamInterruptedError,
)
from asyncapi.objects import MIB, Objects
from asyncapi.types.objects import ObjectResponse
from tests.witness.s3_operations import OPERATIONS, Store, store

SECRET = "emulator-secret"
KEY = f"AKTEST:{SECRET}"
BUCKET = "s3_kit:bucket"
QUICK = Retry(base=0.001, cap=0.002)
ONCE = Retry(attempts=1)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials, no profile, no address of this machine's."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name in ("S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_ENDPOINT", "S3_KIT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def dialect() -> S3:
    """The store inside the emulator."""
    return S3()


@pytest.fixture
async def emulator(dialect: S3) -> AsyncIterator[Emulator]:
    """A store, instantly."""
    async with Emulator(timing=Timing.instant(), services=[dialect]) as running:
        yield running


def url_of(emulator: Emulator) -> str:
    """The store's address."""
    return emulator.base_urls["s3_kit"]


def client_of(emulator: Emulator, *, keys: tuple[str | Key, ...] = (KEY,), **settings: Any) -> Client:
    """A client of the emulator's store, quick to try again."""
    given = {"retry": QUICK, **settings}
    endpoint = Endpoint("s3_kit", base_url=url_of(emulator), keys=keys, **given)
    return Client([endpoint], environment={}, log=False, seed=0)


async def until(seen: Callable[[], object]) -> None:
    """Wait for something that only the emulator can see."""
    while not seen():  # noqa: ASYNC110  it has no event for it
        await asyncio.sleep(0.001)


def uploads(dialect: S3) -> list[str]:
    """The keys of uploads that nobody ended."""
    return [upload.key for upload in dialect._store._uploads.values()]


class _Store(Store):
    dialect: S3

    async def uploads(self) -> list[str]:
        """As the emulator has them: it lists none."""
        return uploads(self.dialect)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """The address of moto's server, in a process of its own, where moto is installed."""
    pytest.importorskip("moto.server", reason="needs moto, or tests/witness/moto.sh")
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(300):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                threading.Event().wait(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
async def test_moto_agrees(moto: str, operation: Callable[[Store], Awaitable[None]]) -> None:
    """A store that we did not write, where it is at hand."""
    async with store("moto", moto, "testkey:testsecret") as opened:
        await operation(opened)


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
async def test_the_emulator_agrees_with_real_stores(
    emulator: Emulator, dialect: S3, operation: Callable[[Store], Awaitable[None]]
) -> None:
    """The same operations that the witnesses are asked for."""
    if operation.__name__ == "large_bodies_spare_what_is_there":
        pytest.skip("the emulator checks no condition when an upload is completed")
    async with store("emulator", url_of(emulator), KEY) as opened:
        own = _Store(**vars(opened))
        own.dialect = dialect
        await operation(own)


# --- attempts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["put", "get", "head", "list", "delete", "delete_many", "copy", "stream"])
async def test_only_our_layer_tries_again(emulator: Emulator, action: str) -> None:
    """SlowDown twice: three requests at the store for three attempts, and one for one."""
    async with client_of(emulator) as client, client_of(emulator, retry=ONCE) as hasty:
        await client.objects(BUCKET).put("a", b"x")
        for objects, slow, attempts in (
            (client.objects(BUCKET), 2, 3),
            (hasty.objects(BUCKET), 1, 1),
        ):
            emulator.reset()
            emulator.script(["429_bare"] * slow)
            if attempts == 1:
                with pytest.raises(OverloadedError) as error:
                    await perform(objects, action)
                assert (error.value.code or "503", error.value.status) in (("SlowDown", 503), ("503", 503))
                assert error.value.attempts == 1
            else:
                await perform(objects, action)
            assert len(emulator.records) == attempts
        assert client.statistics().endpoints["s3_kit"].retries == 2


async def perform(objects: Objects, action: str) -> None:
    """One request of that kind."""
    match action:
        case "put":
            await objects.put("b", b"x")
        case "get":
            await objects.get("a")
        case "head":
            await objects.head("a")
        case "list":
            await objects.page()
        case "delete":
            await objects.delete("never")
        case "delete_many":
            await objects.delete_many(["never"])
        case "copy":
            await objects.copy("a", "b")
        case "stream":
            async with objects.open("a") as stream:
                await stream.collect()


async def test_a_connection_that_was_kept_open_is_no_reason_for_a_second_request(emulator: Emulator) -> None:
    """The HTTP library would send a GET again by itself: here an attempt is one request."""
    async with client_of(emulator, retry=ONCE) as client:
        objects = client.objects(BUCKET)
        await objects.put("a", b"x")
        for call in (objects.get("a"), objects.put("a", b"y")):
            emulator.reset()
            emulator.script(["cut_before"])
            with pytest.raises(ConnectionLostError):
                await call
            await objects.head("a")
            assert len(emulator.records) == 2


async def test_aws_settings_for_retries_change_nothing(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS_MAX_ATTEMPTS and AWS_RETRY_MODE are for others."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "7")
    monkeypatch.setenv("AWS_RETRY_MODE", "adaptive")
    async with client_of(emulator, retry=ONCE) as client:
        emulator.script(["500"] * 3)
        with pytest.raises(ServerError):
            await client.objects(BUCKET).page()

    assert len(emulator.records) == 1


async def test_bodies_are_sent_again_whole(emulator: Emulator) -> None:
    """Whatever an attempt before took of them."""
    data = bytes(range(256)) * 4000
    async with client_of(emulator) as client:
        emulator.script(["500", "cut_before", "503"])
        await client.objects(BUCKET).put("a", data)

        assert await client.objects(BUCKET).get("a") == data


# --- guards -----------------------------------------------------------------------------------


async def test_breaker_queue_and_limit_guard_a_store(emulator: Emulator) -> None:
    """As they guard any service."""
    emulator.timing = Timing(first_token=0.02)
    async with client_of(emulator, limit=Fixed(2), queue_size=3) as client:
        objects = client.objects(BUCKET)
        await objects.put("a", b"x")
        answers = await asyncio.gather(*(objects.get("a") for _ in range(8)), return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, QueueFullError)]

        assert len(refused) == 3
        assert answers.count(b"x") == 5
        assert emulator.peak_in_flight["s3_kit"] == 2
    emulator.reset()
    async with client_of(emulator, retry=ONCE, breaker=Breaker(failure_threshold=3)) as client:
        objects = client.objects(BUCKET)
        emulator.script(["503"] * 3)
        for _ in range(3):
            with pytest.raises(OverloadedError):
                await objects.get("a")
        with pytest.raises(CircuitOpenError):
            await objects.get("a")

        assert len(emulator.records) == 3
        assert client.statistics().endpoints["s3_kit"].breaker.state == "open"


async def test_several_access_keys_take_turns_and_stand_in(emulator: Emulator) -> None:
    """Round robin; a revoked one is parked, and the call goes on with another."""
    keys = (f"AKONE:{SECRET}", f"AKTWO:{SECRET}", "AKTHREE:wrong")
    async with client_of(emulator, keys=keys) as client:
        objects = client.objects(BUCKET)
        emulator.revoke("AKTWO")
        for n in range(6):
            await objects.put(f"k{n}", b"x")
        row = client.statistics().endpoints["s3_kit"]

    used = [record.key_digest for record in emulator.records]
    assert used.count(key_digest("AKTWO")) == used.count(key_digest("AKTHREE")) == 1
    assert used.count(key_digest("AKONE")) == 6
    assert [row.keys[f"key-{n}"].state for n in (1, 2, 3)] == ["ready", "authentication", "authentication"]
    assert row.calls.succeeded == 6


async def test_the_last_key_that_is_refused_is_the_callers_to_know(emulator: Emulator) -> None:
    """One request a key, no more."""
    async with client_of(emulator, keys=("AKONE:wrong", "AKTWO:wrong")) as client:
        with pytest.raises(AuthenticationError) as error:
            await client.objects(BUCKET).get("a")

    assert error.value.code == "SignatureDoesNotMatch"
    assert len(emulator.records) == 2


async def test_secrets_of_one_access_key_are_not_mixed_up(emulator: Emulator) -> None:
    """A key that is replaced while running: the same name at the store, another secret."""
    async with client_of(emulator, keys=(Key("AKONE:wrong", name="k"),)) as client:
        objects = client.objects(BUCKET)
        with pytest.raises(AuthenticationError):
            await objects.put("a", b"x")
        client.keys("s3_kit").add(Key(f"AKONE:{SECRET}", name="k"))

        assert (await objects.put("a", b"x")).etag


async def test_limits_of_the_store_are_waited_out(emulator: Emulator) -> None:
    """SlowDown once the minute is used up."""
    emulator.set_limits(Limits(requests_per_minute=2))
    async with client_of(emulator, retry=ONCE) as client:
        objects = client.objects(BUCKET)
        await objects.put("a", b"x")
        await objects.get("a")
        with pytest.raises(OverloadedError):
            await objects.get("a")


# --- credentials ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variables",
    [
        {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": SECRET},
        {"S3_ACCESS_KEY": "AK", "S3_SECRET_KEY": SECRET},
        {"S3_KIT_API_KEY": f"AK:{SECRET}"},
        {"S3_KIT_API_KEY_1": f"AK:{SECRET}", "S3_KIT_API_KEY_2": f"AK:{SECRET}:token"},
    ],
    ids=lambda variables: next(iter(variables)),
)
async def test_credentials_and_address_come_from_the_environment(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    """The names of AWS, those of other tools, and ours."""
    for name, value in (variables | {"S3_ENDPOINT": url_of(emulator)}).items():
        monkeypatch.setenv(name, value)
    async with Client(log=False) as client:
        for n in range(len(variables)):
            await client.objects(BUCKET).put(f"k{n}", b"x")

    assert {record.key_digest for record in emulator.records} == {key_digest("AK")}


async def test_without_credentials_nothing_is_sent(emulator: Emulator) -> None:
    """The message says which variables."""
    async with client_of(emulator, keys=()) as client:
        with pytest.raises(MissingKeyError, match="AWS_ACCESS_KEY_ID") as error:
            await client.objects(BUCKET).get("a")

    assert (error.value.attempts, len(emulator.records)) == (1, 0)


async def test_secrets_show_nowhere(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in logs at DEBUG, errors with all they carry, reprs; signatures and tokens neither."""
    caplog.set_level(logging.DEBUG)
    hidden = ("wrong-secret", SECRET, "session-token", "Signature=", "hidden-key")
    shown = []
    async with client_of(emulator, keys=("AKBAD:wrong-secret:session-token", KEY)) as client:
        objects = client.objects(BUCKET)
        await objects.put("a", b"x")
        url = await objects.presign("a")
        with pytest.raises(ConfigError) as wrong:
            await objects.get("a", PartNumber="hidden-key", SSECustomerKey="hidden-key")
        with pytest.raises(ConfigError, match="has a type that S3 doesn't take") as unfit:
            await objects.put("a", b"x", Metadata={"x": 5}, SSECustomerKey="hidden-key")
        with pytest.raises(NotFoundError) as missing:
            await objects.get("never")
        emulator.revoke("AKTEST")
        with pytest.raises(AuthenticationError) as refused:
            await objects.get("a")
        for error in (wrong.value, unfit.value, missing.value, refused.value):
            shown += [str(error), repr(error), repr(vars(error)), repr(error.__cause__)]
        shown += [repr(client), repr(vars(client._runtime)), repr(client.statistics())]

    assert "X-Amz-Signature=" in url
    assert wrong.value.message.endswith("Invalid type for parameter PartNumber")
    assert not [(text, word) for text in (*shown, caplog.text) for word in hidden if word in text]


# --- streams, cuts and cancellation -----------------------------------------------------------


async def test_a_cut_object_is_tried_again_or_told(emulator: Emulator) -> None:
    """Whole, or not at all; a stream that gave bytes is not begun anew."""
    data = bytes(3 * MIB)
    async with client_of(emulator) as client:
        objects = client.objects(BUCKET)
        await objects.put("a", data)
        emulator.script(["cut_body"])
        assert await objects.get("a") == data
        emulator.script(["cut_body"])
        stream = objects.open("a")
        with pytest.raises(StreamInterruptedError) as cut:
            async with stream:
                await stream.collect()

        assert isinstance(cut.value.partial, ObjectResponse)
        assert cut.value.partial.objects[0].size == len(data)
        assert isinstance(cut.value.__cause__, ConnectionLostError)
        assert client.statistics().endpoints["s3_kit"].in_flight == 0


async def test_damaged_bytes_are_noticed(emulator: Emulator) -> None:
    """By the store's own sum: a whole object is asked for again, a stream ends before its last piece."""
    data = bytes(1000) * 300
    async with client_of(emulator) as client:
        objects = client.objects(BUCKET)
        await objects.put("a", data)
        emulator.script(["garbled"])
        assert await objects.get("a") == data
        emulator.script(["garbled"])
        stream = objects.open("a")
        with pytest.raises(StreamInterruptedError, match="Checksum"):
            async with stream:
                await stream.collect()

        assert client.statistics().endpoints["s3_kit"].requests == 4


@pytest.mark.parametrize("action", ["get", "put", "list", "stream"])
async def test_a_cancelled_call_closes_its_connection(emulator: Emulator, action: str) -> None:
    """At once: the store sees the client leave, and permit and statistics are in order."""
    async with client_of(emulator) as client:
        objects = client.objects(BUCKET)
        await objects.put("a", b"x")
        emulator.script(["silence"])
        task = asyncio.ensure_future(perform(objects, action))
        await until(lambda: emulator.in_flight["s3_kit"])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not emulator.in_flight["s3_kit"])
        row = client.statistics().endpoints["s3_kit"]

    assert (row.in_flight, row.calls.cancelled) == (0, 1)


async def test_a_stream_left_early_closes_its_connection(emulator: Emulator) -> None:
    """In the middle of a large object."""
    async with client_of(emulator) as client:
        objects = client.objects(BUCKET)
        await objects.put("a", bytes(15 * MIB))
        async with objects.open("a") as stream:
            await anext(stream)
        await until(lambda: not emulator.in_flight["s3_kit"])

        assert client.statistics().endpoints["s3_kit"].in_flight == 0


@pytest.mark.parametrize("limits", [Timeout(total=0.2), Timeout(first_byte=0.2)], ids=["total", "first byte"])
async def test_silence_ends_a_call(emulator: Emulator, limits: Timeout) -> None:
    """By its deadline, or by the limit for the first byte, which every action keeps."""
    async with client_of(emulator, retry=ONCE) as patient:
        await patient.objects(BUCKET).put("a", b"x")  # the first call has a connection to make
        client = patient.with_options(timeout=limits)
        objects = client.objects(BUCKET)
        await objects.put("a", b"x")
        assert [o.key async for o in objects.list()] == ["a"]
        assert await objects.get("a") == b"x"
        assert await objects.presign("a")
        with pytest.raises(NotFoundError):
            await objects.head("never")
        emulator.script(["silence"])
        with pytest.raises(ReadTimeoutError):
            await objects.get("a")


async def test_a_silent_stream_is_ended(emulator: Emulator) -> None:
    """Between two pieces, with the part that came."""
    async with client_of(emulator, timeout=Timeout(idle=0.1)) as client:
        objects = client.objects(BUCKET)
        await objects.put("a", bytes(range(250)) * 40)
        emulator.faults = emulator.faults.with_options(byte_pause=0.3)
        emulator.script(["slow_bytes"])
        with pytest.raises(StreamInterruptedError, match="silent") as cut:
            async with objects.open("a") as stream:
                await stream.collect()

    assert isinstance(cut.value.__cause__, ReadTimeoutError)


# --- uploads in parts -------------------------------------------------------------------------


async def test_a_failed_upload_is_aborted(emulator: Emulator, dialect: S3) -> None:
    """A part that fails for good, and a last step that does."""
    for script in ([None, "500"], [None, None, None, "500"]):
        async with client_of(emulator, retry=ONCE, limit=Fixed(1)) as client:
            emulator.script(script)
            with pytest.raises(ServerError) as error:
                await client.objects(BUCKET).put("big", bytes(6 * MIB), part_size=5 * MIB)
            emulator.faults = None

        assert uploads(dialect) == []
        assert error.value.code == "InternalError"
        assert not hasattr(error.value, "__notes__")


async def test_an_upload_that_cant_be_aborted_says_so(emulator: Emulator, dialect: S3) -> None:
    """The error of the upload stays the error; its note names what remains."""
    async with client_of(emulator, retry=ONCE, limit=Fixed(1)) as client:
        emulator.script([None, "500", "500"])
        with pytest.raises(ServerError) as error:
            await client.objects(BUCKET).put("big", bytes(6 * MIB), part_size=5 * MIB)

    assert uploads(dialect) == ["big"]
    assert "'big' was not aborted" in error.value.__notes__[0]


async def test_a_full_queue_does_not_keep_an_upload_from_being_aborted(
    emulator: Emulator, dialect: S3
) -> None:
    """The same crowd that refused a part would refuse the end of it."""
    async with client_of(emulator, limit=Fixed(1), queue_size=1) as client:
        objects = client.objects(BUCKET)
        await objects.put("a", b"x")
        emulator.script([None, "silence"])
        emulator.faults = emulator.faults.with_options(silence_for=0.2)
        with pytest.raises(QueueFullError):
            await objects.put("big", bytes(21 * MIB), part_size=5 * MIB)
        crowd = [asyncio.ensure_future(objects.get("a")) for _ in range(2)]
        await asyncio.gather(*crowd, return_exceptions=True)

    assert uploads(dialect) == []


async def test_an_upload_cancelled_before_it_has_an_id_is_aborted(emulator: Emulator, dialect: S3) -> None:
    """The store began it; its answer is waited for, to end what it names."""
    emulator.timing = Timing(first_token=0.1)
    async with client_of(emulator) as client:
        put = asyncio.ensure_future(client.objects(BUCKET).put("big", bytes(6 * MIB), part_size=5 * MIB))
        await until(lambda: emulator.records)
        put.cancel()
        with pytest.raises(asyncio.CancelledError):
            await put

    assert uploads(dialect) == []
    assert [record.path for record in emulator.records] == ["/s3_kit/bucket/big"] * 2


async def test_an_upload_that_never_got_an_id_is_let_go(
    emulator: Emulator, dialect: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled while the store is silent: after a moment, and without anything to abort."""
    monkeypatch.setattr("asyncapi.objects._GRACE", 0.05)
    async with client_of(emulator) as client:
        emulator.script(["silence"])
        put = asyncio.ensure_future(client.objects(BUCKET).put("big", bytes(6 * MIB), part_size=5 * MIB))
        await until(lambda: emulator.in_flight["s3_kit"])
        put.cancel()
        with pytest.raises(asyncio.CancelledError):
            await put

    assert uploads(dialect) == []


async def test_an_abort_of_what_is_gone_is_no_failure(emulator: Emulator, dialect: S3) -> None:
    """Somebody else ended it, or the last step was done and only its answer was lost."""
    async with client_of(emulator) as client:
        emulator.script([None, "silence", "silence"])
        put = asyncio.ensure_future(client.objects(BUCKET).put("big", bytes(6 * MIB), part_size=5 * MIB))
        await until(lambda: len(emulator.records) >= 3)
        dialect._store._uploads.clear()
        put.cancel()
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await put

    assert len(emulator.records) == 4
    assert not hasattr(cancelled.value, "__notes__")


async def test_an_upload_of_a_client_that_is_closed_is_told(emulator: Emulator) -> None:
    """Nothing can be sent any more, not even its end."""
    client = client_of(emulator)
    async with client:
        emulator.script([None, "silence"])
        put = asyncio.ensure_future(client.objects(BUCKET).put("big", bytes(6 * MIB), part_size=5 * MIB))
        await until(lambda: len(emulator.records) >= 2)
    (error,) = await asyncio.gather(put, return_exceptions=True)

    assert isinstance(error, Exception)
    assert "was not aborted" in error.__notes__[0]


# --- batches, routes, loops -------------------------------------------------------------------


async def test_every_key_of_a_bulk_delete_has_its_own_fate(emulator: Emulator) -> None:
    """Of callers who don't know of each other, in one request."""
    async with client_of(emulator) as client:
        objects = client.objects(BUCKET)
        await objects.put("a", b"x")
        emulator.reset()
        ours, theirs, none = await asyncio.gather(
            objects.delete_many(["a", POISON, "a", POISON]),
            objects.delete_many([POISON, "c"]),
            objects.delete_many([]),
        )

        assert list(ours) == list(theirs) == [POISON]
        assert ours[POISON].startswith("InternalError: ")
        assert none == {}
        assert len(emulator.records) == 1
        with pytest.raises(NotFoundError):
            await objects.head("a")


def route_of(emulator: Emulator, dead: str) -> Client:
    """A dead store and a live one behind one name."""
    endpoints = [
        Endpoint("s3_kit", name="dead", base_url=dead, keys=(KEY,), retry=ONCE),
        Endpoint("s3_kit", name="live", base_url=url_of(emulator), keys=(KEY,), retry=QUICK),
    ]
    routes = {"anywhere": ["dead:bucket", "live:bucket"]}
    return Client(endpoints, routes=routes, environment={}, log=False, seed=0)


async def test_a_route_leads_from_a_dead_store_to_a_live_one(emulator: Emulator) -> None:
    """Whole and streamed, listed page by page, and in parts, which all go to the same store."""
    async with route_of(emulator, "http://127.0.0.1:9") as client:
        here, there = client.objects("live:bucket"), client.objects("anywhere")
        with pytest.raises(ConnectError):
            await client.objects("dead:bucket").get("a")
        await here.put("a", b"hello")

        assert await there.get("a") == b"hello"
        async with there.open("a") as stream:
            assert [chunk.data async for chunk in stream] == [b"hello"]
        for n in range(5):
            await there.put(f"k{n}", b"x")
        assert [o.key async for o in there.list("k", page_size=2)] == [f"k{n}" for n in range(5)]
        assert (await there.copy("a", "b")).etag
        assert (await there.put("big", bytes(6 * MIB), part_size=5 * MIB)).size == 6 * MIB
        assert len(await here.get("big")) == 6 * MIB


async def test_steps_of_an_upload_don_t_move_to_another_store(emulator: Emulator, dialect: S3) -> None:
    """What one store began, another has never heard of."""
    async with Emulator(timing=Timing.instant(), services=["s3_kit"]) as other:
        async with route_of(emulator, url_of(other)) as client:
            other.script(["503"])  # for the beginning alone: it is up again for the parts
            await client.objects("anywhere").put("big", bytes(6 * MIB), part_size=5 * MIB)

            assert (await client.objects("live:bucket").head("big")).size == 6 * MIB
        assert len(other.records) == 1
    assert uploads(dialect) == []


def test_two_loops_have_two_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, and nothing of the first is left."""

    async def once() -> bytes:
        async with (
            Emulator(timing=Timing.instant(), services=["s3_kit"]) as emulator,
            client_of(emulator) as client,
            client_of(emulator) as other,
        ):
            await client.objects(BUCKET).put("a", b"x")
            return await other.objects(BUCKET).get("a")

    assert [asyncio.run(once()) for _ in range(2)] == [b"x", b"x"]


SCRIPT = """
import asyncio, gc
from asyncapi import Client, Endpoint
from asyncapi.emulator import Emulator, Timing

async def main():
    async with Emulator(timing=Timing.instant(), services=["s3_kit"]) as emulator:
        endpoint = Endpoint("s3_kit", base_url=emulator.base_urls["s3_kit"], keys=("AK:emulator-secret",))
        async with Client([endpoint], environment={}, log=False) as client:
            objects = client.objects("s3_kit:bucket")
            await objects.put("big", bytes(12 << 20), part_size=5 << 20)
            await objects.get("big")
            async with objects.open("big") as stream:
                await anext(stream)
            emulator.script(["silence"])
            left = asyncio.ensure_future(objects.get("big"))
            await asyncio.sleep(0.05)
            stream = await objects.open("big").__aenter__()
    await asyncio.gather(left, return_exceptions=True)
    del stream, left
    gc.collect()

asyncio.run(main())
gc.collect()
print("done")
"""


@pytest.mark.slow
def test_closing_leaves_no_warning() -> None:
    """With a call under way and a stream that nobody left, every warning an error."""
    quiet = ("-X", "dev", "-W", "error", "-c", SCRIPT)
    done = subprocess.run([sys.executable, *quiet], capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]

    assert (done.stdout, said) == ("done\n", [])
