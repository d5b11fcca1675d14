"""What an S3 store is asked through the client, as functions that any store must satisfy.

Each takes a ``Store`` with an empty place of its own in a bucket.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import ClientError

from asyncapi import Client, Endpoint
from asyncapi.errors import AuthenticationError, InvalidRequestError, NotFoundError, PermissionDeniedError
from asyncapi.objects import MIB, Objects

BUCKET = "witness"
#: Servers that let everybody in.
UNSIGNED = frozenset({"moto"})


@dataclass
class Store:
    """A place of one test's own: keys are put under ``at``."""

    server: str
    url: str
    client: Client
    objects: Objects
    at: str
    plain: Any
    key: str

    def __call__(self, name: str) -> str:
        """The key of that name here."""
        return f"{self.at}/{name}"

    async def uploads(self) -> list[str]:
        """The keys of uploads that nobody ended."""
        listed = await self.plain.list_multipart_uploads(Bucket=BUCKET, Prefix=self.at)
        return [upload["Key"] for upload in listed.get("Uploads", [])]


def plain_client(url: str, key: str) -> AbstractAsyncContextManager[Any]:
    """A client that is not ours, to look at what ours did."""
    access, _, secret = key.partition(":")
    return get_session().create_client(  # type: ignore[no-any-return]
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        config=AioConfig(
            signature_version="s3v4", s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}
        ),
    )


@asynccontextmanager
async def store(server: str, url: str, key: str) -> AsyncIterator[Store]:
    """A store to work with; the bucket is made if need be."""
    endpoint = Endpoint("s3_kit", base_url=url, keys=(key,), queue_size=500)
    async with (
        plain_client(url, key) as plain,
        Client([endpoint], environment={}, log=False, seed=0) as client,
    ):
        try:
            await plain.head_bucket(Bucket=BUCKET)
        except ClientError:
            await plain.create_bucket(Bucket=BUCKET)
        objects = client.objects(f"s3_kit:{BUCKET}")
        yield Store(server, url, client, objects, secrets.token_hex(6), plain, key)


async def bytes_go_in_and_out(s: Store) -> None:
    """An object, and an empty one."""
    stored = await s.objects.put(s("a"), b"hello")
    await s.objects.put(s("none"), b"")

    assert stored.etag == hashlib.md5(b"hello").hexdigest()
    assert (stored.key, stored.size) == (s("a"), 5)
    assert await s.objects.get(s("a")) == b"hello"
    assert await s.objects.get(s("none")) == b""


async def head_knows_type_metadata_size_and_time(s: Store) -> None:
    """What was put with it."""
    await s.objects.put(s("a"), b"hello", content_type="text/plain", metadata={"who": "me", "n": "1"})
    head = await s.objects.head(s("a"))

    assert (head.size, head.content_type) == (5, "text/plain")
    assert head.metadata == {"who": "me", "n": "1"}
    assert head.etag == hashlib.md5(b"hello").hexdigest()
    assert head.modified is not None
    assert head.modified > 1_700_000_000


async def create_only_spares_what_is_there(s: Store) -> None:
    """IfNoneMatch="*": the second one is refused, not retried."""
    await s.objects.put(s("a"), b"first", IfNoneMatch="*")
    with pytest.raises(InvalidRequestError) as refused:
        await s.objects.put(s("a"), b"second", IfNoneMatch="*")

    assert (refused.value.status, refused.value.code) == (412, "PreconditionFailed")
    assert refused.value.attempts == 1
    assert await s.objects.get(s("a")) == b"first"


async def conditions_guard_reads(s: Store) -> None:
    """IfMatch that misses, IfNoneMatch that hits."""
    stored = await s.objects.put(s("a"), b"hello")
    with pytest.raises(InvalidRequestError) as missed:
        await s.objects.get(s("a"), IfMatch='"nope"')
    with pytest.raises(InvalidRequestError) as unchanged:
        await s.objects.get(s("a"), IfNoneMatch=f'"{stored.etag}"')

    assert (missed.value.status, unchanged.value.status) == (412, 304)


async def ranges_have_both_ends_or_one(s: Store) -> None:
    """First and last included; and a range that is not there."""
    await s.objects.put(s("a"), b"0123456789")

    assert await s.objects.get(s("a"), range=(2, 4)) == b"234"
    assert await s.objects.get(s("a"), range=(7, None)) == b"789"
    with pytest.raises(InvalidRequestError) as beyond:
        await s.objects.get(s("a"), range=(20, 30))
    assert beyond.value.status == 416


async def streams_give_every_byte(s: Store) -> None:
    """In pieces, and what is known of the object at the end."""
    data = os.urandom(700_000)
    await s.objects.put(s("a"), data, metadata={"who": "me"})
    async with s.objects.open(s("a")) as stream:
        pieces = [chunk.data async for chunk in stream]

    assert b"".join(piece or b"" for piece in pieces) == data
    assert len(pieces) > 1
    assert stream.response.objects[0].size == len(data)
    assert stream.response.objects[0].metadata == {"who": "me"}


async def streams_of_ranges_know_the_whole_size(s: Store) -> None:
    """The object's size, not the range's."""
    await s.objects.put(s("a"), b"0123456789")
    async with s.objects.open(s("a"), range=(3, 5)) as stream:
        data = b"".join([chunk.data or b"" async for chunk in stream])

    assert data == b"345"
    assert stream.response.objects[0].size == 10


async def streams_are_left_early(s: Store) -> None:
    """And the store answers the next call."""
    await s.objects.put(s("a"), os.urandom(4 * MIB))
    for _ in range(3):
        async with s.objects.open(s("a")) as stream:
            await anext(stream)

    assert (await s.objects.head(s("a"))).size == 4 * MIB
    assert s.client.statistics().endpoints["s3_kit"].in_flight == 0


async def lists_go_on_page_by_page(s: Store) -> None:
    """25 keys in three pages, in order; one page by hand."""
    keys = [s(f"k{n:02d}") for n in range(25)]
    await asyncio.gather(*(s.objects.put(key, b"x") for key in keys))
    page = await s.objects.page(s("k"), size=10)

    assert [o.key async for o in s.objects.list(s("k"), page_size=10)] == keys
    assert [o.key for o in page.objects] == keys[:10]
    assert page.continuation
    assert {o.size for o in page.objects} == {1}
    assert [o.key async for o in s.objects.list(s("k1"))] == keys[10:20]
    assert [o.key async for o in s.objects.list(s("none"))] == []


async def lists_fold_at_a_delimiter(s: Store) -> None:
    """Folders that are none."""
    for name in ("a/1", "a/2", "b", "c/1"):
        await s.objects.put(s(name), b"x")
    page = await s.objects.page(s(""), delimiter="/")

    assert page.prefixes == (s("a/"), s("c/"))
    assert [o.key for o in page.objects] == [s("b")]


async def odd_keys_are_kept(s: Store) -> None:
    """Spaces, signs of URLs and of XML, other alphabets."""
    names = ["with space", "plus+and&eq=", "ünï/漢字", "tilde~(x)'*!", "per%20cent", "<xml>&amp;"]
    for name in names:
        await s.objects.put(s(name), name.encode())

    assert [await s.objects.get(s(name)) for name in names] == [name.encode() for name in names]
    assert sorted([o.key async for o in s.objects.list(s(""))]) == sorted(map(s, names))
    assert await s.objects.delete_many(map(s, names)) == {}
    assert [o.key async for o in s.objects.list(s(""))] == []


async def delete_is_content_with_nothing(s: Store) -> None:
    """What is not there counts as deleted."""
    await s.objects.put(s("a"), b"x")
    await s.objects.delete(s("a"))
    await s.objects.delete(s("a"))

    with pytest.raises(NotFoundError):
        await s.objects.get(s("a"))


async def many_are_deleted_at_once(s: Store) -> None:
    """By callers who don't know of each other, in few requests; keys twice, keys that are not there."""
    keys = [s(f"k{n:02d}") for n in range(20)]
    await asyncio.gather(*(s.objects.put(key, b"x") for key in keys))
    before = s.client.statistics().endpoints["s3_kit"].requests
    calls = [keys[n : n + 2] for n in range(0, 20, 2)]
    failures = await asyncio.gather(*map(s.objects.delete_many, [*calls, keys[:3], [s("never")] * 2]))
    sent = s.client.statistics().endpoints["s3_kit"].requests - before

    assert failures == [{}] * 12
    assert sent < 6
    assert [o.key async for o in s.objects.list(s(""))] == []


async def more_than_a_thousand_are_deleted(s: Store) -> None:
    """In two requests."""
    await s.objects.put(s("k1020"), b"x")

    assert await s.objects.delete_many([s(f"k{n}") for n in range(1050)]) == {}
    assert [o.key async for o in s.objects.list(s(""))] == []


async def copies_are_made_inside_the_store(s: Store) -> None:
    """With what was known of it, or with something else; of a bucket that is named."""
    await s.objects.put(s("a b+c"), b"hello", metadata={"who": "me"})
    copied = await s.objects.copy(s("a b+c"), s("copy"))
    await s.objects.copy(
        s("a b+c"), s("new"), bucket=BUCKET, MetadataDirective="REPLACE", Metadata={"who": "you"}
    )

    assert copied.etag == hashlib.md5(b"hello").hexdigest()
    assert await s.objects.get(s("copy")) == b"hello"
    assert (await s.objects.head(s("copy"))).metadata == {"who": "me"}
    assert (await s.objects.head(s("new"))).metadata == {"who": "you"}
    with pytest.raises(NotFoundError):
        await s.objects.copy(s("never"), s("copy"))


async def large_bodies_go_up_in_parts(s: Store) -> None:
    """Three of 5 MiB and a rest, at the same time, with type and metadata."""
    data = os.urandom(15 * MIB + 17)
    stored = await s.objects.put(
        s("big"), data, part_size=5 * MIB, content_type="text/x", metadata={"who": "me"}
    )
    head = await s.objects.head(s("big"))

    assert stored.etag.endswith("-4")
    assert stored.size == head.size == len(data)
    assert (head.content_type, head.metadata) == ("text/x", {"who": "me"})
    assert await s.objects.get(s("big")) == data
    assert await s.uploads() == []


async def large_bodies_spare_what_is_there(s: Store) -> None:
    """Create only: the condition goes with the last step, and the parts are given up."""
    await s.objects.put(s("big"), b"first")
    with pytest.raises(InvalidRequestError) as refused:
        await s.objects.put(s("big"), bytes(6 * MIB), part_size=5 * MIB, IfNoneMatch="*")

    assert refused.value.status == 412
    assert await s.objects.get(s("big")) == b"first"
    assert await s.uploads() == []


async def a_cancelled_upload_leaves_nothing(s: Store) -> None:
    """Whenever it is cancelled: at the beginning, between the parts, at the end."""
    for delay in (0.0, 0.005, 0.02, 0.05, 0.1):
        task = asyncio.ensure_future(s.objects.put(s("big"), bytes(15 * MIB), part_size=5 * MIB))
        await asyncio.sleep(delay)
        task.cancel()
        await asyncio.wait([task])

        assert task.cancelled() or task.exception() is None
        assert await s.uploads() == []


async def presigned_urls_serve_anybody(s: Store) -> None:
    """A GET and a PUT by a plain HTTP client; not without the signature's truth."""
    put = await s.objects.presign(s("a b"), method="put", expires=60, ContentType="text/x")
    get = await s.objects.presign(s("a b"), expires=60)
    async with aiohttp.ClientSession() as session:
        async with session.put(
            put, data=b"by anybody", headers={"Content-Type": "text/x"}, skip_auto_headers=["Accept"]
        ) as reply:
            assert reply.status == 200
        async with session.get(get) as reply:
            assert (reply.status, await reply.read()) == (200, b"by anybody")
        if s.server not in UNSIGNED:
            async with session.get(get.replace("X-Amz-Signature=", "X-Amz-Signature=0")) as reply:
                assert reply.status == 403

    assert (await s.objects.head(s("a b"))).content_type == "text/x"


async def what_is_not_there_is_not_found(s: Store) -> None:
    """Keys, by GET, HEAD and stream, and buckets; each asked for once."""
    nowhere = s.client.objects("s3_kit:nowhere-at-all")
    refused = []
    for call in (
        s.objects.get(s("never")),
        s.objects.head(s("never")),
        s.objects.open(s("never")).__aenter__(),
        nowhere.page(),
    ):
        with pytest.raises(NotFoundError) as error:
            await call
        refused.append((error.value.status, error.value.code, error.value.attempts))

    assert refused == [
        (404, "NoSuchKey", 1),
        (404, "404", 1),
        (404, "NoSuchKey", 1),
        (404, "NoSuchBucket", 1),
    ]


async def wrong_keys_are_refused(s: Store) -> None:
    """An unknown access key, a wrong secret; no message shows either. A good key takes over."""
    if s.server in UNSIGNED:
        pytest.skip(f"{s.server} checks no signature")
    access = s.key.partition(":")[0]
    for key in ("nobody:wrong-secret", f"{access}:wrong-secret"):
        endpoint = Endpoint("s3_kit", base_url=s.url, keys=(key,))
        async with Client([endpoint], environment={}, log=False) as client:
            with pytest.raises((AuthenticationError, PermissionDeniedError)) as error:
                await client.objects(f"s3_kit:{BUCKET}").get(s("a"))
        assert isinstance(error.value, AuthenticationError)
        assert "wrong-secret" not in repr(error.value) + str(error.value) + repr(vars(error.value))
    pool = Endpoint("s3_kit", base_url=s.url, keys=("nobody:wrong-secret", s.key))
    async with Client([pool], environment={}, log=False) as client:
        assert (await client.objects(f"s3_kit:{BUCKET}").put(s("a"), b"x")).etag
        assert client.statistics().endpoints["s3_kit"].keys["key-1"].state == "authentication"


async def hundreds_at_once(s: Store) -> None:
    """Puts and gets side by side, each answered with its own bytes."""

    async def there_and_back(n: int) -> bool:
        data = os.urandom(1000 + n)
        await s.objects.put(s(f"k{n}"), data)
        return await s.objects.get(s(f"k{n}")) == data

    assert all(await asyncio.gather(*map(there_and_back, range(100))))
    row = s.client.statistics().endpoints["s3_kit"]
    assert (row.calls.succeeded, row.in_flight) == (200, 0)


OPERATIONS: tuple[Callable[[Store], Awaitable[None]], ...] = (
    bytes_go_in_and_out,
    head_knows_type_metadata_size_and_time,
    create_only_spares_what_is_there,
    conditions_guard_reads,
    ranges_have_both_ends_or_one,
    streams_give_every_byte,
    streams_of_ranges_know_the_whole_size,
    streams_are_left_early,
    lists_go_on_page_by_page,
    lists_fold_at_a_delimiter,
    odd_keys_are_kept,
    delete_is_content_with_nothing,
    many_are_deleted_at_once,
    more_than_a_thousand_are_deleted,
    copies_are_made_inside_the_store,
    large_bodies_go_up_in_parts,
    large_bodies_spare_what_is_there,
    a_cancelled_upload_leaves_nothing,
    presigned_urls_serve_anybody,
    what_is_not_there_is_not_found,
    wrong_keys_are_refused,
    hundreds_at_once,
)
