"""S3, by the client that everybody uses, and by hand where that one is too well-behaved."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import ClientError, FlexibleChecksumError, HTTPClientError, ResponseStreamingError

from asyncapi.emulator import Emulator, Limits, Timing
from asyncapi.emulator.dialects.s3 import S3

from .wire import Wire

SECRET = "emulator-secret"
# The definition of the service is read once.
SESSION = get_session()


def client_of(emulator: Emulator, **options: Any) -> AbstractAsyncContextManager[Any]:
    """A client that tries once."""
    config = AioConfig(
        signature_version="s3v4", s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}
    )
    return SESSION.create_client(  # type: ignore[no-any-return]
        "s3",
        **{
            "region_name": "us-east-1",
            "endpoint_url": emulator.base_urls["s3_kit"],
            "aws_access_key_id": "AKTEST",
            "aws_secret_access_key": SECRET,
            "config": config,
            **options,
        },
    )


@pytest.fixture
async def s3(emulator: Emulator) -> AsyncIterator[Any]:
    """The client of the shared emulator."""
    async with client_of(emulator) as client:
        yield client


def code_of(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    """The code and the status of a refusal."""
    response = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


async def body_of(reply: Any) -> bytes:
    """The bytes of an object."""
    async with reply["Body"] as stream:
        return bytes(await stream.read())


KEYS = ["plain.txt", "a/b/c.txt", "with space+plus&and=signs.txt", "ünï/漢字", "tilde~(x)'*!.txt"]


@pytest.mark.parametrize("key", KEYS)
async def test_objects_go_in_and_out(emulator: Emulator, s3: Any, key: str) -> None:
    """With their type and metadata, whatever their names; the record knows bucket and key id."""
    put = await s3.put_object(
        Bucket="bucket", Key=key, Body=b"data", ContentType="text/plain", Metadata={"who": "me"}
    )
    got = await s3.get_object(Bucket="bucket", Key=key)
    head = await s3.head_object(Bucket="bucket", Key=key)

    assert await body_of(got) == b"data"
    assert put["ETag"] == got["ETag"] == head["ETag"] == '"8d777f385d3dfec8815d20f7496026dc"'
    assert (got["ContentType"], got["Metadata"]) == ("text/plain", {"who": "me"})
    assert (head["ContentLength"], head["ResponseMetadata"]["HTTPStatusCode"]) == (4, 200)
    assert emulator.records[0].model == "bucket"
    assert emulator.keys_in_url == 0


async def test_a_key_with_a_plus_is_not_one_with_a_space(s3: Any) -> None:
    """Escapes are undone once."""
    await s3.put_object(Bucket="bucket", Key="a+b", Body=b"plus")
    with pytest.raises(ClientError) as lost:
        await s3.head_object(Bucket="bucket", Key="a b")

    assert code_of(lost) == ("404", 404)


@pytest.mark.parametrize(
    ("wanted", "data", "where"),
    [
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
        ("bytes=-", b"0123456789", "bytes 0-9/10"),
    ],
)
async def test_ranges(s3: Any, wanted: str, data: bytes, where: str) -> None:
    """Of both ends, of one."""
    await s3.put_object(Bucket="bucket", Key="k", Body=b"0123456789")
    got = await s3.get_object(Bucket="bucket", Key="k", Range=wanted)

    assert await body_of(got) == data
    assert (got["ContentRange"], got["ResponseMetadata"]["HTTPStatusCode"]) == (where, 206)


async def test_conditions_guard_reads_and_writes(s3: Any) -> None:
    """Create only, replace only what one knows, read only what is new."""
    first = await s3.put_object(Bucket="bucket", Key="k", Body=b"1", IfNoneMatch="*")
    refused = []
    calls: list[tuple[Any, dict[str, Any]]] = [
        (s3.put_object, {"Body": b"2", "IfNoneMatch": "*"}),
        (s3.put_object, {"Body": b"2", "IfMatch": '"nope"'}),
        (s3.get_object, {"IfMatch": '"nope"'}),
        (s3.get_object, {"IfNoneMatch": first["ETag"]}),
        (s3.get_object, {"Range": "bytes=5-6"}),
    ]
    for call, options in calls:
        with pytest.raises(ClientError) as error:
            await call(Bucket="bucket", Key="k", **options)
        refused.append(code_of(error)[1])
    await s3.put_object(Bucket="bucket", Key="k", Body=b"2", IfMatch=first["ETag"])

    assert refused == [412, 412, 412, 304, 416]


async def test_lists_have_pages_prefixes_and_folders(s3: Any) -> None:
    """Through the paginator, folded at the delimiter, from some key on, with odd names."""
    keys = ["a/1", "a/2", "b", "c/3", "d & <e>"]
    for key in keys:
        await s3.put_object(Bucket="bucket", Key=key, Body=b"x")
    paginator = s3.get_paginator("list_objects_v2")
    pages = [page async for page in paginator.paginate(Bucket="bucket", PaginationConfig={"PageSize": 2})]
    folded = await s3.list_objects_v2(Bucket="bucket", Delimiter="/")
    below = await s3.list_objects_v2(Bucket="bucket", Prefix="a/", StartAfter="a/1")
    none = await s3.list_objects_v2(Bucket="bucket", Prefix="zzz")

    assert [len(page["Contents"]) for page in pages] == [2, 2, 1]
    assert [item["Key"] for page in pages for item in page["Contents"]] == keys
    assert [item["Prefix"] for item in folded["CommonPrefixes"]] == ["a/", "c/"]
    assert [item["Key"] for item in folded["Contents"]] == ["b", "d & <e>"]
    assert [item["Key"] for item in below["Contents"]] == ["a/2"]
    assert (none["KeyCount"], none["IsTruncated"]) == (0, False)


async def test_objects_are_deleted_alone_and_together(s3: Any) -> None:
    """What is not there is deleted as well; quietly, nothing is told."""
    for key in ("a", "b&b", "c"):
        await s3.put_object(Bucket="bucket", Key=key, Body=b"x")
    alone = await s3.delete_object(Bucket="bucket", Key="a")
    wanted = [{"Key": "b&b"}, {"Key": "never"}]
    told = await s3.delete_objects(Bucket="bucket", Delete={"Objects": wanted})
    quiet = await s3.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "c"}], "Quiet": True})

    assert alone["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert [item["Key"] for item in told["Deleted"]] == ["b&b", "never"]
    assert "Deleted" not in quiet
    assert (await s3.list_objects_v2(Bucket="bucket"))["KeyCount"] == 0


async def test_failures_hide_inside_200(s3: Any) -> None:
    """One key of many that are deleted, and a copy that fails after it began to answer."""
    await s3.put_object(Bucket="bucket", Key="a", Body=b"x")
    wanted = [{"Key": "a"}, {"Key": "<poison>"}]
    deleted = await s3.delete_objects(Bucket="bucket", Delete={"Objects": wanted, "Quiet": True})
    await s3.put_object(Bucket="bucket", Key="a", Body=b"x")
    with pytest.raises(ClientError) as copied:
        await s3.copy_object(Bucket="bucket", Key="<poison>", CopySource={"Bucket": "bucket", "Key": "a"})

    assert [(item["Key"], item["Code"]) for item in deleted["Errors"]] == [("<poison>", "InternalError")]
    assert copied.value.response["Error"]["Code"] == "InternalError"


async def test_copies_keep_or_replace_their_metadata(s3: Any) -> None:
    """Between buckets, under odd names."""
    await s3.create_bucket(Bucket="other")
    await s3.head_bucket(Bucket="other")
    await s3.put_object(Bucket="bucket", Key="a b", Body=b"data", Metadata={"who": "me"})
    source = {"Bucket": "bucket", "Key": "a b"}
    copied = await s3.copy_object(Bucket="other", Key="kept", CopySource=source)
    await s3.copy_object(
        Bucket="other", Key="new", CopySource=source, MetadataDirective="REPLACE", Metadata={"who": "you"}
    )
    kept, new = [await s3.head_object(Bucket="other", Key=key) for key in ("kept", "new")]

    assert copied["CopyObjectResult"]["ETag"] == kept["ETag"]
    assert (kept["Metadata"], new["Metadata"]) == ({"who": "me"}, {"who": "you"})


async def test_big_objects_come_in_parts(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In any order, completed in theirs; the tag is no MD5; an upload can be given up."""
    monkeypatch.setattr("asyncapi.emulator.dialects.s3_store.SMALLEST_PART", 4)
    begun = await s3.create_multipart_upload(Bucket="bucket", Key="big", ContentType="text/plain")
    place = {"Bucket": "bucket", "Key": "big", "UploadId": begun["UploadId"]}
    parts: list[Any] = []
    for number, data in [(2, b"5"), (1, b"1234")]:
        part = await s3.upload_part(**place, PartNumber=number, Body=data)
        parts.insert(0, {"PartNumber": number, "ETag": part["ETag"]})
    done = await s3.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
    got = await s3.get_object(Bucket="bucket", Key="big")
    other = await s3.create_multipart_upload(Bucket="bucket", Key="never")
    await s3.abort_multipart_upload(Bucket="bucket", Key="never", UploadId=other["UploadId"])
    with pytest.raises(ClientError) as gone:
        await s3.upload_part(
            Bucket="bucket", Key="never", UploadId=other["UploadId"], PartNumber=1, Body=b"x"
        )

    assert await body_of(got) == b"12345"
    assert done["ETag"].endswith('-2"')
    assert got["ContentType"] == "text/plain"
    assert code_of(gone) == ("NoSuchUpload", 404)


async def test_wrong_parts_are_refused(s3: Any) -> None:
    """Numbers, order, tags, sizes, none at all."""
    begun = await s3.create_multipart_upload(Bucket="bucket", Key="big")
    place = {"Bucket": "bucket", "Key": "big", "UploadId": begun["UploadId"]}
    one = (await s3.upload_part(**place, PartNumber=1, Body=b"1"))["ETag"]
    two = (await s3.upload_part(**place, PartNumber=2, Body=b"2"))["ETag"]
    codes = []
    for parts in (
        [(2, two), (1, one)],
        [(1, two)],
        [(3, one)],
        [(1, one), (2, two)],
    ):
        wanted = [{"PartNumber": number, "ETag": tag} for number, tag in parts]
        with pytest.raises(ClientError) as error:
            await s3.complete_multipart_upload(**place, MultipartUpload={"Parts": wanted})
        codes.append(code_of(error)[0])
    with pytest.raises(ClientError) as number:
        await s3.upload_part(**place, PartNumber=10_001, Body=b"x")

    assert codes == ["InvalidPartOrder", "InvalidPart", "InvalidPart", "EntityTooSmall"]
    assert code_of(number) == ("InvalidArgument", 400)


async def test_what_is_not_there(s3: Any) -> None:
    """Keys and buckets, told apart."""
    refused = []
    calls: list[tuple[Any, dict[str, Any]]] = [
        (s3.get_object, {"Bucket": "bucket", "Key": "nope"}),
        (s3.get_object, {"Bucket": "nowhere", "Key": "k"}),
        (s3.put_object, {"Bucket": "nowhere", "Key": "k", "Body": b""}),
        (s3.create_multipart_upload, {"Bucket": "nowhere", "Key": "k"}),
        (s3.list_objects_v2, {"Bucket": "nowhere"}),
        (s3.head_bucket, {"Bucket": "nowhere"}),
        (s3.delete_bucket, {"Bucket": "bucket"}),
        (s3.list_buckets, {}),
    ]
    for call, options in calls:
        with pytest.raises(ClientError) as error:
            await call(**options)
        refused.append(code_of(error))

    assert refused[:2] == [("NoSuchKey", 404), ("NoSuchBucket", 404)]
    assert refused[2:5] == [("NoSuchBucket", 404)] * 3
    assert refused[5:] == [("404", 404), ("MethodNotAllowed", 405), ("MethodNotAllowed", 405)]


async def test_signatures_are_checked(emulator: Emulator, wire: Wire) -> None:
    """A wrong secret, a revoked key, no key, a header that says nothing."""
    codes = []
    async with client_of(emulator, aws_secret_access_key="wrong") as bad:
        with pytest.raises(ClientError) as error:
            await bad.put_object(Bucket="bucket", Key="k", Body=b"x")
        codes.append(code_of(error))
    emulator.revoke("AKTEST")
    async with client_of(emulator) as revoked:
        with pytest.raises(ClientError) as error:
            await revoked.get_object(Bucket="bucket", Key="k")
        codes.append(code_of(error))
    none = await wire.get("/s3_kit/bucket/k", {})
    malformed = await wire.get("/s3_kit/bucket/k", {"authorization": "AWS4-HMAC-SHA256 Credential=AK/x"})
    old = (
        "AWS4-HMAC-SHA256 Credential=AK/20200101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00"
    )
    skewed = await wire.get("/s3_kit/bucket/k", {"authorization": old, "x-amz-date": "20200101T000000Z"})

    assert codes == [("SignatureDoesNotMatch", 403), ("InvalidAccessKeyId", 403)]
    assert (none.status, b"<Code>AccessDenied</Code>" in none.body) == (403, True)
    assert (malformed.status, b"AuthorizationHeaderMalformed" in malformed.body) == (400, True)
    assert (skewed.status, b"RequestTimeTooSkewed" in skewed.body) == (403, True)


async def test_without_keys_everybody_is_let_in(wire: Wire) -> None:
    """Where the emulator requires none."""
    async with Emulator(timing=Timing.instant(), require_key=False) as emulator:
        ours = Wire(wire.session, emulator.url)
        got = await ours.get("/s3_kit/bucket", {})
        lost = await ours.get("/s3_kit", {})
        posted = await ours.post("/s3_kit/bucket/k", headers={}, raw=b"")

    assert (got.status, got.headers["content-type"]) == (200, "application/xml")
    assert (lost.status, posted.status) == (405, 405)


async def test_signed_urls_work_until_they_expire(emulator: Emulator, s3: Any, wire: Wire) -> None:
    """PUT and GET of the new kind, GET of the old; they are no violation."""
    place = {"Bucket": "bucket", "Key": "a b"}
    put = await s3.generate_presigned_url("put_object", place, ExpiresIn=60)
    get = await s3.generate_presigned_url("get_object", place, ExpiresIn=60)
    late = await s3.generate_presigned_url("get_object", place, ExpiresIn=-60)
    async with client_of(emulator, config=AioConfig(signature_version="s3")) as older:
        old = await older.generate_presigned_url("get_object", place, ExpiresIn=60)
        older_late = await older.generate_presigned_url("get_object", place, ExpiresIn=-60)
    path = len(emulator.url)
    async with wire.session.put(wire.at(put[path:]), data=io.BytesIO(b"data")) as response:
        assert response.status == 200
    statuses = [await wire.get(url[path:], {}) for url in (get, old, late, older_late)]
    altered = await wire.get(get[path:].replace("a%20b", "other"), {})

    assert [got.status for got in statuses] == [200, 200, 403, 403]
    assert statuses[0].body == statuses[1].body == b"data"
    assert b"SignatureDoesNotMatch" in altered.body
    assert emulator.keys_in_url == 0


async def test_chunks_and_sums_are_checked(wire: Wire) -> None:
    """aws-chunked with trailing sums, as streams are sent; wrong lengths, sums and digests."""
    chunked = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": "6"}
    good = b"4;chunk-signature=0\r\nabcd\r\n2\r\nef\r\n0\r\nx-amz-checksum-crc32: S4457w==\r\n\r\n"
    cases: list[tuple[bytes, dict[str, str]]] = [
        (good, {**chunked, "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}),
        (good.replace(b"S445", b"AAAA"), chunked),
        (good, {**chunked, "x-amz-decoded-content-length": "7"}),
        (b"zz", chunked),
        (b"abc", {"content-md5": "AAAA"}),
        (b"abc", {"x-amz-checksum-sha256": "AAAA"}),
        (b"abc", {"x-amz-content-sha256": "0" * 64}),
    ]
    async with Emulator(timing=Timing.instant(), require_key=False) as emulator:
        ours = Wire(wire.session, emulator.url)
        replies = []
        for raw, headers in cases:
            url = ours.at("/s3_kit/bucket/k")
            async with ours.session.put(url, data=io.BytesIO(raw), headers=headers) as response:
                replies.append((response.status, await response.text()))
            if response.status == 200:
                stored = (await ours.get("/s3_kit/bucket/k", {})).body

    assert [status for status, _ in replies] == [200] + [400] * 6
    words = ["BadDigest", "IncompleteBody", "IncompleteBody", "BadDigest", "BadDigest", "SHA256Mismatch"]
    assert all(word in text for word, (_, text) in zip(words, replies[1:], strict=True))
    assert stored == b"abcdef"


async def test_streams_are_sent_in_chunks_with_trailing_sums(s3: Any) -> None:
    """Files that are no bytes; every sum that the client knows."""
    for algorithm in ("CRC32", "SHA1", "SHA256"):
        put = await s3.put_object(
            Bucket="bucket", Key="k", Body=io.BytesIO(b"x" * 100_000), ChecksumAlgorithm=algorithm
        )
        got = await s3.get_object(Bucket="bucket", Key="k", ChecksumMode="ENABLED")

        assert put[f"Checksum{algorithm}"]
        assert len(await body_of(got)) == 100_000


async def test_room_is_bounded() -> None:
    """What is replaced or deleted makes room again."""
    async with (
        Emulator(timing=Timing.instant(), services=[S3(room=10)]) as emulator,
        client_of(emulator) as s3,
    ):
        await s3.put_object(Bucket="bucket", Key="a", Body=b"x" * 8)
        await s3.put_object(Bucket="bucket", Key="a", Body=b"x" * 9)
        with pytest.raises(ClientError) as full:
            await s3.put_object(Bucket="bucket", Key="b", Body=b"x" * 2)
        await s3.delete_object(Bucket="bucket", Key="a")
        await s3.put_object(Bucket="bucket", Key="b", Body=b"x" * 10)

    assert code_of(full) == ("EntityTooLarge", 400)


async def test_faults_and_limits_speak_xml(emulator: Emulator, s3: Any) -> None:
    """SlowDown, InternalError and their kin, under their own ids; and HEAD without a body."""
    await s3.put_object(Bucket="bucket", Key="k", Body=b"x")
    emulator.script(["429_bare", "500", "503", "529", "quota", "revoked"])
    codes = []
    for _ in range(6):
        with pytest.raises(ClientError) as error:
            await s3.get_object(Bucket="bucket", Key="k")
        codes.append(code_of(error))
        assert error.value.response["ResponseMetadata"]["RequestId"]
    emulator.script(["503", "slow_bytes"])
    with pytest.raises(ClientError) as head:
        await s3.head_object(Bucket="bucket", Key="k")
    await s3.head_object(Bucket="bucket", Key="k")
    emulator.set_limits(Limits(requests_per_minute=1))
    await s3.head_object(Bucket="bucket", Key="k")
    with pytest.raises(ClientError) as limited:
        await s3.get_object(Bucket="bucket", Key="k")

    assert codes == [
        ("SlowDown", 503),
        ("InternalError", 500),
        ("ServiceUnavailable", 503),
        ("SlowDown", 503),
        ("AccountProblem", 403),
        ("InvalidAccessKeyId", 403),
    ]
    assert code_of(head) == ("503", 503)
    assert code_of(limited) == ("SlowDown", 503)


async def test_objects_are_cut_garbled_and_slowed(emulator: Emulator, s3: Any) -> None:
    """Half an object is no object; garbled bytes miss their sum; slow ones arrive."""
    emulator.faults = emulator.faults.with_options(byte_pause=0)
    await s3.put_object(Bucket="bucket", Key="k", Body=b"x" * 500)
    # A GET on a connection that was kept open is tried twice by the HTTP client beneath.
    emulator.script(["cut_body", "cut_before", "cut_before", "garbled", "slow_bytes"])
    with pytest.raises((ResponseStreamingError, aiohttp.ClientError)):
        await body_of(await s3.get_object(Bucket="bucket", Key="k"))
    with pytest.raises((HTTPClientError, OSError)):
        await s3.get_object(Bucket="bucket", Key="k")
    with pytest.raises(FlexibleChecksumError):
        await body_of(await s3.get_object(Bucket="bucket", Key="k"))
    slow = await body_of(await s3.get_object(Bucket="bucket", Key="k"))

    assert slow == b"x" * 500


async def test_wrong_xml_is_refused(wire: Wire) -> None:
    """Nothing to delete, parts without numbers, dates that are none."""
    async with Emulator(timing=Timing.instant(), require_key=False) as emulator:
        ours = Wire(wire.session, emulator.url)
        none = await ours.post("/s3_kit/bucket?delete", headers={}, raw=b"<Delete/>")
        begun = await ours.post("/s3_kit/bucket/k?uploads", headers={}, raw=b"")
        identity = begun.body.partition(b"<UploadId>")[2].partition(b"<")[0].decode()
        parts = await ours.post(f"/s3_kit/bucket/k?uploadId={identity}", headers={}, raw=b"<Part></Part>")
        empty = await ours.post(f"/s3_kit/bucket/k?uploadId={identity}", headers={}, raw=b"")
        plain = await ours.get("/s3_kit/bucket/k/", {})

    assert [got.status for got in (none, parts, empty, plain)] == [400, 400, 400, 404]
    assert b"MalformedXML" in none.body
    assert b"EntityTooSmall" in empty.body


async def test_many_at_once(emulator: Emulator, s3: Any) -> None:
    """Every object is its own."""
    await asyncio.gather(*(s3.put_object(Bucket="bucket", Key=f"{n:03}", Body=b"%d" % n) for n in range(20)))
    listed = await s3.list_objects_v2(Bucket="bucket")

    assert [item["Size"] for item in listed["Contents"]] == [1] * 10 + [2] * 10
    assert emulator.in_flight["s3_kit"] == 0
