"""S3: what is asked of its client, and what its answers and errors mean. No store, no signature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from asyncapi.backends.s3_kit import backend
from asyncapi.errors import (
    AsyncAPIError,
    AuthenticationError,
    ConfigError,
    DecodeError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
    UnsupportedOperationError,
)
from asyncapi.types.objects import ObjectRequest, ObjectResponse, StoredObject
from asyncapi.types.requests import EmbedRequest
from asyncapi.types.wire import WireResponse


def request(action: str, **given: Any) -> ObjectRequest:
    """A request to the bucket ``b``."""
    return ObjectRequest(model="b", action=action, **given)


def encoded(action: str, **given: Any) -> tuple[str, Any]:
    """The operation and its parameters."""
    wire = backend.encode(request(action, **given))
    assert wire.path.startswith("?")
    return wire.method, orjson.loads(wire.path[1:])


def reply(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> WireResponse:
    """An answer as the transport gives it."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return WireResponse(status=status, headers=headers or {}, body=raw)


def decoded(asked: ObjectRequest, body: Any, headers: Mapping[str, str] | None = None) -> ObjectResponse:
    """What an answer means."""
    response = backend.decode(asked, reply(body, headers=headers))
    assert isinstance(response, ObjectResponse)
    return response


@pytest.mark.parametrize(
    ("asked", "method", "parameters"),
    [
        (
            request("put", key="k", body=b"x", arguments={"Metadata": {"a": "b"}}),
            "put_object",
            {"Bucket": "b", "Key": "k", "Metadata": {"a": "b"}},
        ),
        (
            request("get", key="k", arguments={"Range": "bytes=0-1"}),
            "get_object",
            {"Bucket": "b", "Key": "k", "Range": "bytes=0-1"},
        ),
        (
            request("get", key="k", arguments={"VersionId": None}),
            "get_object",
            {"Bucket": "b", "Key": "k", "ChecksumMode": "ENABLED"},
        ),
        (
            request("get", key="k", arguments={"ChecksumMode": None}),
            "get_object",
            {"Bucket": "b", "Key": "k"},
        ),
        (request("head", key="ü"), "head_object", {"Bucket": "b", "Key": "ü"}),
        (
            request("list", arguments={"Prefix": "a/"}),
            "list_objects_v2",
            {"Bucket": "b", "Prefix": "a/"},
        ),
        (request("delete", key="k"), "delete_object", {"Bucket": "b", "Key": "k"}),
        (
            request("delete_many", keys=("x", "y", "x")),
            "delete_objects",
            {"Bucket": "b", "Delete": {"Objects": [{"Key": "x"}, {"Key": "y"}], "Quiet": False}},
        ),
        (
            request("copy", key="k", arguments={"source": [None, "old"]}),
            "copy_object",
            {"Bucket": "b", "Key": "k", "CopySource": {"Bucket": "b", "Key": "old"}},
        ),
        (
            request("copy", key="k", arguments={"source": ["other", "old"]}),
            "copy_object",
            {"Bucket": "b", "Key": "k", "CopySource": {"Bucket": "other", "Key": "old"}},
        ),
        (
            request("presign", key="k", arguments={"method": "put", "expires": 60, "ContentType": "t"}),
            "generate_presigned_url",
            {
                "ClientMethod": "put_object",
                "Params": {"Bucket": "b", "Key": "k", "ContentType": "t"},
                "ExpiresIn": 60,
            },
        ),
        (
            request("part", key="k", body=b"x", arguments={"UploadId": "u", "PartNumber": 2}),
            "upload_part",
            {"Bucket": "b", "Key": "k", "UploadId": "u", "PartNumber": 2},
        ),
        (
            request("abort", key="k", arguments={"UploadId": "u"}),
            "abort_multipart_upload",
            {"Bucket": "b", "Key": "k", "UploadId": "u"},
        ),
    ],
    ids=lambda value: value.action if isinstance(value, ObjectRequest) else "",
)
def test_actions_are_operations_of_s3s_client(
    asked: ObjectRequest, method: str, parameters: dict[str, Any]
) -> None:
    """The operation's name, its parameters as JSON, the body beside them."""
    wire = backend.encode(asked)

    assert wire.method == method
    assert orjson.loads(wire.path.removeprefix("?")) == parameters
    assert wire.body == asked.body
    assert wire.headers is None


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (request("fly", key="k"), "no action 'fly'"),
        (request("get"), "get needs the key"),
        (request("delete_many"), "needs keys"),
        (request("copy", key="k"), "needs the argument 'source'"),
        (request("presign", key="k", arguments={"method": "get"}), "needs the argument 'expires'"),
        (request("presign", key="k", arguments={"method": "fly", "expires": 1}), 'expected method "get"'),
        (request("presign", key="k", arguments={"method": "get", "expires": 604_801}), "from 1 to 604800"),
        (request("presign", key="k", arguments={"method": "get", "expires": "1"}), "can't be sent"),
        (request("put", key="k", arguments={"SSECustomerKey": b"hidden"}), "can't be sent"),
        (request("put", key="\ud800"), "can't be sent"),
    ],
)
def test_what_cant_be_sent_is_said_at_once(asked: ObjectRequest, told: str) -> None:
    """Before it waits in a queue; a value that may be secret is not repeated."""
    with pytest.raises(ConfigError, match=told) as error:
        backend.encode(asked)

    assert "hidden" not in str(error.value)
    assert error.value.sent is False


def test_only_objects_are_offered() -> None:
    """A store embeds nothing."""
    with pytest.raises(UnsupportedOperationError):
        backend.encode(EmbedRequest(model="m", inputs=("x",)))


def test_keys_have_two_or_three_parts() -> None:
    """They go in headers that the transport takes out; a secret may look like anything but a colon."""
    assert backend.authorize("AK:s/e+c=") == {"x-s3-access-key": "AK", "x-s3-secret-key": "s/e+c="}
    assert backend.authorize("AK:secret:to:ken")["x-s3-session-token"] == "to:ken"
    for wrong in ("AKsecret", ":secret", "AK:", "AK::token"):
        with pytest.raises(ConfigError, match="ACCESS:SECRET") as error:
            backend.authorize(wrong)
        assert wrong not in str(error.value)


def test_objects_come_with_what_is_known_of_them() -> None:
    """From the headers: size (of the whole, not of a range), tag, type, time, metadata."""
    headers = {
        "content-length": "3",
        "content-range": "bytes 0-2/10",
        "content-type": "text/plain",
        "etag": '"abc"',
        "last-modified": "Mon, 23 Nov 2026 06:00:00 GMT",
        "x-amz-meta-Who": "me",
    }
    response = decoded(request("get", key="k"), b"xyz", headers)
    bare = decoded(request("get", key="k"), b"", {"last-modified": "yesterday"})

    assert response.body == b"xyz"
    assert response.objects == (
        StoredObject(
            key="k",
            size=10,
            etag="abc",
            modified=1795413600.0,
            content_type="text/plain",
            metadata={"who": "me"},
        ),
    )
    assert bare.objects == (StoredObject(key="k"),)


def test_half_an_object_is_none() -> None:
    """Whatever the transport thought of it."""
    with pytest.raises(DecodeError, match="2 bytes of an object of 3"):
        decoded(request("get", key="k"), b"xy", {"content-length": "3"})


@pytest.mark.parametrize(
    ("asked", "answer", "response"),
    [
        (request("put", key="k"), {"ETag": '"t"'}, {"objects": (StoredObject(key="k", etag="t"),)}),
        (
            request("head", key="k"),
            {
                "ContentLength": 5,
                "ETag": '"t"',
                "LastModified": "2026-11-23T06:00:00+00:00",
                "ContentType": "c",
                "Metadata": {"a": "b"},
            },
            {
                "objects": (
                    StoredObject(
                        key="k",
                        size=5,
                        etag="t",
                        modified=1795413600.0,
                        content_type="c",
                        metadata={"a": "b"},
                    ),
                )
            },
        ),
        (
            request("list"),
            {
                "IsTruncated": True,
                "NextContinuationToken": "next",
                "Contents": [{"Key": "a", "Size": 1, "ETag": '"t"'}],
                "CommonPrefixes": [{"Prefix": "p/"}],
            },
            {
                "objects": (StoredObject(key="a", size=1, etag="t"),),
                "prefixes": ("p/",),
                "continuation": "next",
            },
        ),
        (request("list"), {"IsTruncated": False, "NextContinuationToken": "x"}, {}),
        (request("delete", key="k"), {}, {"deleted": ("k",)}),
        (
            request("delete_many", keys=("a", "b", "a", "c", "b")),
            {
                "Deleted": [{"Key": "a"}, {"Key": "c"}],
                "Errors": [{"Key": "b", "Code": "AccessDenied", "Message": "no"}],
            },
            {"deleted": ("a", "a", "c"), "failures": {"b": "AccessDenied: no"}, "answered": 5},
        ),
        (
            request("copy", key="k"),
            {"CopyObjectResult": {"ETag": '"t"'}},
            {"objects": (StoredObject(key="k", etag="t"),)},
        ),
        (request("presign", key="k"), {"Url": "https://x/?y"}, {"url": "https://x/?y"}),
        (request("create", key="k"), {"UploadId": "u"}, {"upload_id": "u"}),
        (request("abort", key="k"), {}, {"objects": (StoredObject(key="k"),)}),
    ],
    ids=lambda value: value.action if isinstance(value, ObjectRequest) else "",
)
def test_answers(asked: ObjectRequest, answer: Any, response: dict[str, Any]) -> None:
    """The fields of that action, and no others."""
    assert decoded(asked, answer) == ObjectResponse(model="b", **response)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (request("list"), b"<xml>"),
        (request("list"), {"IsTruncated": True}),
        (request("list"), {"Contents": [{"Size": 1}]}),
        (request("list"), {"Contents": [{"Key": "a", "Size": "many"}]}),
        (request("head", key="k"), {"LastModified": "yesterday"}),
        (request("head", key="k"), {"Metadata": [1]}),
        (request("copy", key="k"), {}),
        (request("create", key="k"), {}),
        (request("delete_many", keys=("a", "b")), {"Deleted": [{"Key": "a"}]}),
    ],
)
def test_answers_that_cant_be(asked: ObjectRequest, answer: Any) -> None:
    """A list that goes on without saying where, a key of which nothing is said."""
    with pytest.raises(DecodeError):
        decoded(asked, answer)


@pytest.mark.parametrize(
    ("status", "code", "cls", "retryable"),
    [
        (404, "NoSuchKey", NotFoundError, False),
        (404, "404", NotFoundError, False),
        (404, "NoSuchUpload", NotFoundError, False),
        (403, "AccessDenied", PermissionDeniedError, False),
        (403, "403", PermissionDeniedError, False),
        (403, "InvalidAccessKeyId", AuthenticationError, False),
        (403, "SignatureDoesNotMatch", AuthenticationError, False),
        (403, "RequestTimeTooSkewed", AuthenticationError, False),
        (400, "ExpiredToken", AuthenticationError, False),
        (401, "", AuthenticationError, False),
        (503, "SlowDown", OverloadedError, True),
        (503, "503", OverloadedError, True),
        (503, "SlowDownWrite", OverloadedError, True),
        (400, "Throttling", RateLimitError, True),
        (429, "", RateLimitError, True),
        (500, "InternalError", ServerError, True),
        (502, "", ServerError, True),
        (400, "RequestTimeout", ServerError, True),
        (501, "NotImplemented", InvalidRequestError, False),
        (400, "BadDigest", InvalidRequestError, True),
        (409, "ConditionalRequestConflict", InvalidRequestError, True),
        (412, "PreconditionFailed", InvalidRequestError, False),
        (416, "InvalidRange", InvalidRequestError, False),
        (304, "304", InvalidRequestError, False),
        (403, "InvalidObjectState", InvalidRequestError, False),
    ],
)
def test_errors(status: int, code: str, cls: type[AsyncAPIError], retryable: bool) -> None:
    """By S3's code, else by the status, which is all that HEAD has."""
    body = {"Error": {"Code": code, "Message": "what it says"}}
    error = backend.error(reply(body, status, {"x-amz-request-id": "R1", "retry-after": "3"}))

    assert type(error) is cls
    assert (error.retryable, error.retry_after) == (retryable, 3.0)
    assert vars(error)["code"] == code
    assert vars(error)["status"] == status
    assert vars(error)["provider_request_id"] == "R1"
    assert error.message == "s3_kit: what it says"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"Error": "x"}', b'{"Error": {}}'])
def test_errors_without_words(body: bytes) -> None:
    """The status has to do."""
    error = backend.error(reply(body, 500))

    assert isinstance(error, ServerError)
    assert error.message == "s3_kit: status 500"


def test_a_stream_is_whole_when_every_byte_is_there() -> None:
    """Not before, and not without a length until it ends."""
    asked = request("get", key="k", stream=True)
    decoder = backend.stream(asked, reply(b"", headers={"content-length": "4", "etag": '"t"'}))
    chunks = decoder.feed(b"ab")
    early = decoder.done
    chunks += decoder.feed(b"cd")
    endless = backend.stream(asked, reply(b""))
    endless.feed(b"x")

    assert [chunk.data for chunk in chunks] == [b"ab", b"cd"]
    assert (early, decoder.done, decoder.error, endless.done) == (False, True, None, False)
    assert decoder.finish().objects == (StoredObject(key="k", size=4, etag="t"),)
    assert endless.finish().body == b""


def test_a_stream_that_ends_early_or_late() -> None:
    """Too few bytes are an interruption with what is known; too many are none of the object's."""
    asked = request("get", key="k", stream=True)
    short = backend.stream(asked, reply(b"", headers={"content-length": "4"}))
    short.feed(b"abc")
    with pytest.raises(StreamInterruptedError, match="3 bytes of an object of 4") as cut:
        short.finish()
    long = backend.stream(asked, reply(b"", headers={"content-length": "4"}))
    long.feed(b"abcde")

    assert isinstance(cut.value.partial, ObjectResponse)
    assert isinstance(long.error, DecodeError)


def test_reprs_have_no_bodies_and_no_signatures() -> None:
    """What is large, and what opens doors."""
    asked = request("put", key="k", keys=("a",), body=b"x" * 99, arguments={"SSECustomerKey": "hidden"})
    url = "https://store/b/k?X-Amz-Signature=hidden"
    shown = repr(ObjectResponse(model="b", url=url, body=b"hidden", objects=(StoredObject(key="k"),)))

    assert repr(asked) == "ObjectRequest(model='b', action='put', key='k', keys=<1>, body=<99 bytes>)"
    assert repr(request("list")) == "ObjectRequest(model='b', action='list', key='')"
    assert "url='https://store/b/k'" in shown
    assert "body=<6 bytes>" in shown or "body='<6 bytes>'" in shown
    assert "hidden" not in shown
    assert "StoredObject(key='k'" in shown
