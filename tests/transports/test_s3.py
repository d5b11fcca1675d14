"""The S3 transport over real sockets: servers that answer byte for byte what a test wants."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
from botocore import exceptions
from botocore.parsers import ResponseParserError

from asyncapi.errors import (
    AsyncAPIError,
    ClientClosedError,
    ConfigError,
    ConnectError,
    ConnectionLostError,
    DecodeError,
    MissingKeyError,
    ReadTimeoutError,
)
from asyncapi.transports import s3
from asyncapi.transports.s3 import S3Transport
from asyncapi.types.objects import ACCESS_KEY, AMAZON, SECRET_KEY, SESSION_TOKEN
from asyncapi.types.wire import Outgoing
from tests.transports.conftest import Authority, Peer, Servers

KEY = {ACCESS_KEY: "AK", SECRET_KEY: "the-secret", SESSION_TOKEN: "the-token"}
OBJECT = b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\nETag: "t"\r\n\r\n'


@pytest.fixture(autouse=True)
def bare_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's."""
    for name in (
        "ACCESS_KEY_ID",
        "SECRET_ACCESS_KEY",
        "SESSION_TOKEN",
        "PROFILE",
        "REGION",
        "DEFAULT_REGION",
    ):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    for name in ("S3_ACCESS_KEY", "S3_SECRET_KEY", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
async def transport(serve: Servers) -> AsyncIterator[S3Transport]:  # after its servers are there
    made = S3Transport(max_body_bytes=100_000)
    yield made
    await made.aclose()


def ask(port: int, method: str = "get_object", *, scheme: str = "http", **given: Any) -> Outgoing:
    """An operation on the key ``k`` of the bucket ``b``."""
    body = given.pop("body", None)
    headers = given.pop("headers", KEY)
    connect = given.pop("connect_timeout", 5.0)
    parameters = orjson.dumps({"Bucket": "b", "Key": "k", **given}).decode()
    return Outgoing(
        method=method,
        url=f"{scheme}://127.0.0.1:{port}?{parameters}",
        headers=headers,
        body=body,
        connect_timeout=connect,
    )


def answer(body: bytes, status: bytes = b"200 OK", *headers: bytes) -> bytes:
    """An answer of XML."""
    head = [b"HTTP/1.1 " + status, b"Content-Type: application/xml", b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*head, *headers, b"", body])


def error(code: bytes, rest: bytes = b"") -> bytes:
    """An error's XML."""
    return b"<?xml version='1.0'?><Error><Code>%b</Code><Message>m</Message>%b</Error>" % (code, rest)


async def test_an_object_comes_with_its_headers(transport: S3Transport, serve: Servers) -> None:
    """Whatever their case; the request is signed, once, and says who asks."""
    seen = []

    async def once(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.say(OBJECT % 5, b"hello")

    reply = await transport.send(ask(await serve(once)))

    assert (reply.status, reply.body, reply.headers["ETag"]) == (200, b"hello", '"t"')
    head = seen[0].decode()
    assert head.startswith("GET /b/k HTTP/1.1\r\n")
    assert "Authorization: AWS4-HMAC-SHA256 Credential=AK/" in head
    assert "/us-east-1/s3/aws4_request" in head
    assert "asyncapi/" in head
    assert "the-secret" not in head


@pytest.mark.parametrize(
    ("said", "status", "told"),
    [
        (answer(error(b"NoSuchKey"), b"404 Not Found"), 404, {"Code": "NoSuchKey", "Message": "m"}),
        (answer(error(b"SlowDown"), b"503 Slow Down"), 503, {"Code": "SlowDown", "Message": "m"}),
        (answer(b"", b"500 Oh"), 500, {"Code": "500", "Message": "Internal Server Error"}),
        (answer(b"<html>", b"502 Bad Gateway"), 502, {"Code": "502", "Message": "Bad Gateway"}),
        (answer(b"", b"304 Not Modified"), 304, {"Code": "304", "Message": "Not Modified"}),
        (
            answer(
                error(b"ExpiredToken", b"<Key>k</Key><Token-0>the-token</Token-0><Signature>s</Signature>"),
                b"400 Bad Request",
            ),
            400,
            {"Code": "ExpiredToken", "Message": "m", "Key": "k"},
        ),
    ],
)
async def test_refusals_are_answers(
    transport: S3Transport, serve: Servers, said: bytes, status: int, told: dict[str, str]
) -> None:
    """With code and message, and without what a store repeats of keys; after one request."""
    request = ask(await serve(said))
    reply = await transport.send(request)
    stream = await transport.open(request)

    assert (reply.status, orjson.loads(reply.body)) == (status, {"Error": told})
    assert (stream.status, await stream.read(), await stream.read()) == (status, reply.body, b"")
    stream.close()


async def test_an_error_inside_a_200_is_one(transport: S3Transport, serve: Servers) -> None:
    """Copies and last steps say 200 before they know."""
    port = await serve(answer(error(b"InternalError")))
    reply = await transport.send(ask(port, "copy_object", CopySource={"Bucket": "b", "Key": "old"}))

    assert (reply.status, orjson.loads(reply.body)["Error"]["Code"]) == (500, "InternalError")


async def test_half_an_answer_is_an_error(transport: S3Transport, serve: Servers) -> None:
    """botocore takes a 200 that it can't read for a failure of the store."""
    reply = await transport.send(ask(await serve(answer(b"<a><b>")), "list_parts", UploadId="u"))

    assert reply.status == 500


def test_every_exception_of_botocore_is_translated() -> None:
    """Those that take more than a loopback to provoke; only what never had a connection is unsent."""
    reset = aiohttp.ClientOSError(104, "Connection reset by peer")
    table: list[tuple[Exception, type[AsyncAPIError]]] = [
        (exceptions.ConnectTimeoutError(endpoint_url="u"), ConnectError),
        (exceptions.EndpointConnectionError(endpoint_url="u", error=socket.gaierror()), ConnectError),
        (exceptions.EndpointConnectionError(endpoint_url="u", error=reset), ConnectionLostError),
        (exceptions.ProxyConnectionError(proxy_url="u", error=reset), ConnectError),
        (exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2), ConnectionLostError),
        (exceptions.FlexibleChecksumError(error_msg="m"), DecodeError),
        (ResponseParserError("m"), DecodeError),
        (exceptions.HTTPClientError(error=ValueError("m")), ConnectionLostError),
        (exceptions.NoRegionError(), ConfigError),
        (reset, ConnectionLostError),
        (aiohttp.ClientPayloadError("m"), ConnectionLostError),
    ]

    for error, cls in table:
        ours = s3._translated(error, "host:1")
        assert type(ours) is cls
        assert "host:1" in ours.message


async def test_other_answers_are_json(transport: S3Transport, serve: Servers) -> None:
    """Times and numbers as JSON has them; opened, they are there at once."""
    xml = (
        b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key><Size>3</Size>"
        b"<LastModified>2026-11-23T06:00:00.000Z</LastModified></Contents></ListBucketResult>"
    )
    request = ask(await serve(answer(xml)), "list_objects_v2")
    request = Outgoing(
        method=request.method,
        url=request.url.replace(',"Key":"k"', ""),
        headers=KEY,
        body=None,
    )
    reply = await transport.send(request)
    stream = await transport.open(request)

    row = orjson.loads(reply.body)["Contents"][0]
    assert row == {"Key": "a", "Size": 3, "LastModified": "2026-11-23T06:00:00+00:00"}
    assert (stream.is_object, await stream.read(), await stream.read()) == (False, reply.body, b"")


async def test_url_is_signed_here_without_asking_anybody(transport: S3Transport) -> None:
    """In the new form, with the token."""
    parameters = {"ClientMethod": "get_object", "Params": {"Bucket": "b", "Key": "k"}, "ExpiresIn": 60}
    url = f"http://127.0.0.1:9?{orjson.dumps(parameters).decode()}"
    reply = await transport.send(
        Outgoing(method="generate_presigned_url", url=url, headers=KEY, body=None, connect_timeout=5.0)
    )
    made = orjson.loads(reply.body)["Url"]

    assert made.startswith("http://127.0.0.1:9/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&")
    assert "X-Amz-Expires=60" in made
    assert "the-secret" not in made


async def silent(peer: Peer) -> None:
    await peer.request()
    await peer.left()


async def leaves(peer: Peer) -> None:
    await peer.request()


async def cuts(peer: Peer) -> None:
    await peer.request()
    await peer.say(OBJECT % 50_000, bytes(20_000))
    await asyncio.sleep(0.05)


async def garbles(peer: Peer) -> None:
    await peer.request()
    await peer.say(b"who are you?\r\n\r\n")


@pytest.mark.parametrize(
    ("handler", "method", "cls", "told"),
    [
        (leaves, "get_object", ConnectionLostError, "closed before the answer was whole"),
        (leaves, "list_parts", ConnectionLostError, "closed before the answer was whole"),
        (cuts, "get_object", ConnectionLostError, "closed before the answer was whole"),
        (garbles, "get_object", (DecodeError, ConnectionLostError), "answer"),
        (OBJECT % 100_001, "get_object", DecodeError, "larger than max_body_bytes"),
    ],
)
async def test_what_goes_wrong_is_ours(
    transport: S3Transport,
    serve: Servers,
    handler: Any,
    method: str,
    cls: type[AsyncAPIError] | tuple[type[AsyncAPIError], ...],
    told: str,
) -> None:
    """No exception of another library, no parameter in a message."""
    port = await serve(handler)
    with pytest.raises(cls, match=told) as wrong:
        await transport.send(
            ask(port, method, UploadId="the-upload") if method == "list_parts" else ask(port)
        )

    assert "the-upload" not in str(wrong.value)
    assert "?" not in wrong.value.message
    assert (f"127.0.0.1:{port}" in wrong.value.message) is ("max_body_bytes" not in told)
    assert serve.connections == 1


async def test_objects_without_a_length_are_bounded_too(transport: S3Transport, serve: Servers) -> None:
    """As soon as there is too much of them, the connection is cut; a stream has no bound."""
    left = asyncio.Event()

    async def endless(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                await peer.say(b"4000\r\n", bytes(0x4000), b"\r\n")
        finally:
            left.set()

    port = await serve(endless)
    with pytest.raises(DecodeError, match="read it as a stream") as large:
        await transport.send(ask(port))
    await left.wait()
    left.clear()
    stream = await transport.open(ask(port))
    size = 0
    while size < 500_000:
        size += len(await stream.read())
    stream.close()
    stream.close()
    await left.wait()

    assert large.value.retryable is False
    with pytest.raises(ConnectionLostError, match="closed here"):
        await stream.read()


async def test_a_stream_gives_what_came_before_a_cut(transport: S3Transport, serve: Servers) -> None:
    """And then the same error as often as it is asked."""
    stream = await transport.open(ask(await serve(cuts)))
    size = 0
    cut: Exception | None = None
    while cut is None:
        try:
            size += len(await stream.read())
        except ConnectionLostError as error:
            cut = error
    with pytest.raises(ConnectionLostError) as again:
        await stream.read()
    stream.close()

    assert 0 < size <= 20_000
    assert again.value is cut


async def test_a_pending_read_can_be_ended(transport: S3Transport, serve: Servers) -> None:
    """With the error that is given; the connection is gone at once."""
    left = asyncio.Event()

    async def halts(peer: Peer) -> None:
        await peer.request()
        await peer.say(OBJECT % 50_000, b"x")
        await peer.left()
        left.set()

    stream = await transport.open(ask(await serve(halts)))
    assert await stream.read() == b"x"
    reading = asyncio.ensure_future(stream.read())
    await asyncio.sleep(0.01)
    ours = ReadTimeoutError("enough")
    stream.fail(ours)
    with pytest.raises(ReadTimeoutError) as ended:
        await reading
    await left.wait()

    assert ended.value is ours
    with pytest.raises(ReadTimeoutError):
        await stream.read()


@pytest.mark.parametrize("part", ["head", "body", "answer"])
async def test_a_cancelled_call_closes_its_connection(
    transport: S3Transport, serve: Servers, part: str
) -> None:
    """Wherever it is."""
    reached, left = asyncio.Event(), asyncio.Event()

    async def halts(peer: Peer) -> None:
        await peer.request()
        if part == "body":
            await peer.say(OBJECT % 50_000, b"x")
        elif part == "answer":
            await peer.say(answer(b"<a>")[:-1])
        reached.set()
        await peer.left()
        left.set()

    port = await serve(halts)
    request = ask(port, "list_parts", UploadId="u") if part == "answer" else ask(port)
    call = asyncio.ensure_future(transport.send(request))
    await reached.wait()
    await asyncio.sleep(0.02)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await left.wait()


async def test_an_object_read_to_its_end_leaves_its_connection_open(
    transport: S3Transport, serve: Servers
) -> None:
    """For the next one; one that was left early takes it along."""
    port = await serve(OBJECT % 5 + b"hello")
    for _ in range(3):
        await transport.send(ask(port))
    stream = await transport.open(ask(port))
    while await stream.read():
        pass
    stream.close()

    assert serve.connections == 1


async def test_no_store_there(transport: S3Transport, serve: Servers) -> None:
    """Nothing was sent."""
    with pytest.raises(ConnectError, match=r"no connection to 127\.0\.0\.1:9; is the store") as none:
        await transport.send(ask(9))

    assert none.value.sent is False


async def test_a_certificate_of_nobodys(
    transport: S3Transport, serve: Servers, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is refused, and not again; AWS_CA_BUNDLE says whom to trust."""
    port = await serve(OBJECT % 5 + b"hello", authority.server)
    with pytest.raises(ConnectError) as refused:
        await transport.send(ask(port, scheme="https"))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.ca_file))
    trusting = S3Transport()
    reply = await trusting.send(ask(port, scheme="https"))
    stream = await trusting.open(ask(port, scheme="https"))
    stream.close()
    await trusting.aclose()

    assert (refused.value.retryable, "AWS_CA_BUNDLE" in refused.value.message) == (False, True)
    assert reply.body == b"hello"


async def test_a_proxy_that_is_not_there(serve: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says who was meant."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    transport = S3Transport()
    with pytest.raises(ConnectError):
        await transport.send(Outgoing(method="list_buckets", url="http://s3.test?{}", headers=KEY, body=None))
    await transport.aclose()


async def test_silence_has_an_end(
    transport: S3Transport, serve: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody set a deadline: before the answer, and in an object."""
    monkeypatch.setattr(s3, "_SILENCE_SECONDS", 0.1)

    async def halts(peer: Peer) -> None:
        await peer.request()
        await peer.say(OBJECT % 50_000, b"x")
        await peer.left()

    for handler in (silent, halts):
        with pytest.raises(ReadTimeoutError, match="silent for longer"):
            await transport.send(ask(await serve(handler)))


async def test_settings_that_botocore_cant_begin_with(
    serve: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No credentials, half of them, a profile that there is not: nothing is sent."""
    port = await serve(OBJECT % 0)
    cases: list[tuple[dict[str, str], type[ConfigError], str]] = [
        ({}, MissingKeyError, "AWS_ACCESS_KEY_ID"),
        ({"S3_ACCESS_KEY": "AK"}, MissingKeyError, "AWS_ACCESS_KEY_ID"),
        ({"AWS_PROFILE": "nobodys"}, ConfigError, "ProfileNotFound"),
    ]
    for variables, cls, told in cases:
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            transport = S3Transport()
            with pytest.raises(cls, match=told):
                await transport.send(ask(port, headers={}))
            await transport.aclose()

    assert serve.connections == 0


async def test_regions_are_found_where_awss_tools_find_them(
    serve: Servers, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """The variables, then the profile's, then the oldest one."""
    heads: list[bytes] = []

    async def listens(peer: Peer) -> None:
        heads.append(await peer.request())
        await peer.say(OBJECT % 0)

    port = await serve(listens)
    config = tmp_path / "config"
    config.write_text("[default]\nregion = eu-central-1\n")
    for name, value in (
        ("", ""),
        ("AWS_CONFIG_FILE", str(config)),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("AWS_REGION", "eu-west-2"),
    ):
        if name:
            monkeypatch.setenv(name, value)
        transport = S3Transport()
        await transport.send(ask(port))
        await transport.aclose()

    regions = [head.partition(b"Credential=")[2].split(b"/")[2].decode() for head in heads]
    assert regions == ["us-east-1", "eu-central-1", "eu-west-1", "eu-west-2"]


def test_amazons_own_address_is_left_to_botocore() -> None:
    """Which knows the regions' and how buckets are named in them."""
    transport = S3Transport()
    theirs = transport._settings(Outgoing(method="m", url=f"{AMAZON}?{{}}", headers=KEY, body=None))
    ours = transport._settings(Outgoing(method="m", url="http://minio:9000?{}", headers=KEY, body=None))

    assert "endpoint_url" not in theirs
    assert theirs["config"].s3 == {"addressing_style": "auto"}
    assert ours["endpoint_url"] == "http://minio:9000"
    assert ours["config"].s3 == {"addressing_style": "path"}
    assert ours["config"].request_checksum_calculation == "when_required"


async def test_keys_and_timeouts_have_clients_of_their_own(transport: S3Transport, serve: Servers) -> None:
    """Made once each, also when many ask at once."""
    port = await serve(OBJECT % 0)
    keys = [KEY, {**KEY, SECRET_KEY: "another"}, {**KEY, SESSION_TOKEN: "another"}]
    await asyncio.gather(*(transport.send(ask(port, headers=key)) for key in keys * 3))
    await transport.send(ask(port, connect_timeout=None))

    assert len(transport._clients) == 4


async def test_a_closed_transport_is_closed(serve: Servers) -> None:
    """Objects that are being read end, and nothing new begins."""

    async def halts(peer: Peer) -> None:
        await peer.request()
        await peer.say(OBJECT % 50_000, b"x")
        await peer.left()

    port = await serve(halts)
    transport = S3Transport()
    stream = await transport.open(ask(port))
    await transport.aclose()
    await transport.aclose()

    with pytest.raises(ConnectionLostError):
        await stream.read()
    with pytest.raises(ClientClosedError):
        await transport.send(ask(port))


async def test_closing_waits_for_a_client_that_is_being_made(serve: Servers) -> None:
    """Or its connections would stay."""
    port = await serve(OBJECT % 0)
    transport = S3Transport()
    calls = [asyncio.ensure_future(transport.send(ask(port, headers=KEY))) for _ in range(2)]
    await asyncio.sleep(0)
    await transport.aclose()
    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert not transport._clients
    assert all(isinstance(got, AsyncAPIError) for got in answers)


def test_foreign_loggers_that_write_secrets_are_quiet_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who sets one of them by name means it."""
    auth, endpoint = logging.getLogger("botocore.auth"), logging.getLogger("botocore.endpoint")
    monkeypatch.setattr(auth, "level", logging.DEBUG)
    monkeypatch.setattr(endpoint, "level", logging.NOTSET)
    S3Transport()

    assert (auth.level, endpoint.level) == (logging.DEBUG, logging.INFO)
