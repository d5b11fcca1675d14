"""Objects in a store: put, got, listed, deleted, through the same queue, breaker and keys as every call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from msgspec.structs import replace

from asyncapi._core.streaming import Stream
from asyncapi.errors import AsyncAPIError, NotFoundError, NotSentError
from asyncapi.options import CallOptions
from asyncapi.types.objects import ObjectRequest, ObjectResponse, StoredObject
from asyncapi.types.requests import Priority
from asyncapi.verbs import Performs

__all__ = ["Objects"]

MIB = 1024 * 1024
#: S3 takes parts of 5 MiB or more, the last aside, and at most 10,000 of them.
SMALLEST_PART = 5 * MIB
MOST_PARTS = 10_000
_PARTS_AT_ONCE = 4
#: How long a cancelled upload waits to learn its id, and how long it is tried to abort one (seconds).
_GRACE = 2.0
_ABORTING = 10.0
#: Parameters that steps of an upload other than its beginning take: those alone, or those as well.
_LAST_ONLY = frozenset({"IfNoneMatch", "IfMatch", "MpuObjectSize"})
_OF_EVERY_STEP = frozenset(
    {"SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5", "RequestPayer", "ExpectedBucketOwner"}
)

Span: TypeAlias = tuple[int, int | None]


class Objects:
    """One bucket: ``client.objects("s3_kit:my-bucket")``. Every method raises ``AsyncAPIError``.

    Keyword arguments named as S3's own parameters (``IfNoneMatch="*"``, ``CacheControl=...``) are
    passed on as they are; None leaves one out. An object that is read whole is checked by the store's
    sum of it, where the store keeps one (``ChecksumMode=None`` doesn't ask for it).
    """

    def __init__(
        self,
        performs: Performs,
        stream: Callable[[ObjectRequest], Stream[ObjectResponse]],
        model: str,
        options: CallOptions,
    ) -> None:
        self._performs = performs
        self._stream = stream
        self._model = model
        self._options = options

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        part_size: int = 16 * MIB,
        **parameters: Any,
    ) -> StoredObject:
        """Store an object; a body of more than ``part_size`` bytes goes up in parts, several at a time.

        ``part_size`` is at least 5 MiB. An upload in parts that fails or is cancelled is aborted; where
        even that fails, the error has a note that says so. An upload whose beginning was done but never
        answered stays: a rule of the bucket (AbortIncompleteMultipartUpload) ends such.
        """
        if content_type is not None:
            parameters["ContentType"] = content_type
        if metadata is not None:
            parameters["Metadata"] = dict(metadata)
        size = max(part_size, SMALLEST_PART, -(-len(body) // MOST_PARTS))
        if len(body) > size:
            answer = await self._put_parts(key, body, size, parameters)
        else:
            answer = await self._do("put", key, body=body, **parameters)
        return replace(answer.objects[0], size=len(body))

    async def get(self, key: str, *, range: Span | None = None, **parameters: Any) -> bytes:  # noqa: A002
        """An object's bytes, or those of a ``range``: first and last, both included, None for the end.

        An object of more than 1 GiB is refused: ``open`` it, or get it in ranges.
        """
        return (await self._do("get", key, **_ranged(range, parameters))).body

    def open(
        self,
        key: str,
        *,
        range: Span | None = None,  # noqa: A002  HTTP's own word
        **parameters: Any,
    ) -> Stream[ObjectResponse]:
        """An object as a stream: ``async with`` it, then ``async for chunk``, whose ``data`` are bytes."""
        arguments = _ranged(range, parameters)
        request = ObjectRequest(model=self._model, action="get", key=key, arguments=arguments, stream=True)
        return self._stream(request)

    async def head(self, key: str, **parameters: Any) -> StoredObject:
        """What is known of an object, without its bytes."""
        return (await self._do("head", key, **parameters)).objects[0]

    async def list(
        self, prefix: str = "", *, page_size: int = 1000, **parameters: Any
    ) -> AsyncIterator[StoredObject]:
        """Every object whose key begins with ``prefix``, in order of keys, page by page."""
        page = await self.page(prefix, size=page_size, **parameters)
        rest = self._at(page)  # a token means nothing to another store
        while True:
            for stored in page.objects:
                yield stored
            if page.continuation is None:
                return
            page = await rest.page(prefix, token=page.continuation, size=page_size, **parameters)

    async def page(
        self,
        prefix: str = "",
        *,
        delimiter: str | None = None,
        token: str | None = None,
        size: int = 1000,
        **parameters: Any,
    ) -> ObjectResponse:
        """One page: ``objects``, ``prefixes`` (with a ``delimiter``), the next one's ``continuation``."""
        given = {"Prefix": prefix, "Delimiter": delimiter, "ContinuationToken": token, "MaxKeys": size}
        parameters |= {name: value for name, value in given.items() if value}
        return await self._do("list", **parameters)

    async def delete(self, key: str, **parameters: Any) -> None:
        """Delete an object; one that is not there counts as deleted."""
        await self._do("delete", key, **parameters)

    async def delete_many(self, keys: Iterable[str]) -> Mapping[str, str]:
        """Delete objects, 1,000 a request. Returns those that could not be, with the reason."""
        wanted = tuple(keys)
        if not wanted:
            return {}
        request = ObjectRequest(model=self._model, action="delete_many", keys=wanted)
        return cast(ObjectResponse, await self._performs.call(request, **self._options)).failures

    async def copy(
        self, source: str, key: str, *, bucket: str | None = None, **parameters: Any
    ) -> StoredObject:
        """Copy ``source`` (of another ``bucket`` if named) to ``key``, inside the store."""
        return (await self._do("copy", key, source=[bucket, source], **parameters)).objects[0]

    async def presign(self, key: str, *, method: str = "get", expires: int = 3600, **parameters: Any) -> str:
        """A URL with which anybody may get (or put) the object for ``expires`` seconds, at most a week."""
        return (await self._do("presign", key, method=method, expires=expires, **parameters)).url

    async def _put_parts(
        self, key: str, body: bytes, size: int, parameters: Mapping[str, Any]
    ) -> ObjectResponse:
        first = {name: value for name, value in parameters.items() if name not in _LAST_ONLY}
        every = {name: value for name, value in parameters.items() if name in _OF_EVERY_STEP}
        last = {name: value for name, value in parameters.items() if name in _LAST_ONLY}
        begun = await self._begin(key, first)
        there, upload = self._at(begun), begun.upload_id
        try:
            tags = await there._send_parts(key, body, size, UploadId=upload, **every)
            parts = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]
            return await there._do(
                "complete", key, UploadId=upload, MultipartUpload={"Parts": parts}, **every, **last
            )
        except BaseException as error:
            await there._abandon(key, upload, error)
            raise

    async def _begin(self, key: str, parameters: Mapping[str, Any]) -> ObjectResponse:
        """Begin an upload. Cancelled, it still waits a little for the id: only with it can it be aborted."""
        beginning = asyncio.ensure_future(self._do("create", key, **parameters))
        try:
            return await asyncio.shield(beginning)
        except asyncio.CancelledError as cancelled:
            try:
                await asyncio.wait((beginning,), timeout=_GRACE)
            finally:
                beginning.cancel()  # nothing happens to one that is done
            if beginning.done() and not beginning.cancelled() and beginning.exception() is None:
                begun = beginning.result()
                await self._at(begun)._abandon(key, begun.upload_id, cancelled)
            raise

    async def _abandon(self, key: str, upload: str, error: BaseException) -> None:
        """Abort an upload that failed with ``error``: parts that nobody ends are billed for ever."""
        try:
            # Cancelled once more it goes on without its caller.
            await asyncio.shield(self._abort(key, upload))
        except AsyncAPIError as failure:
            error.add_note(f"the upload {upload} of {key!r} was not aborted, its parts remain: {failure}")

    async def _abort(self, key: str, upload: str) -> None:
        """Abort, before what else waits; a queue that is full is asked again."""
        options: CallOptions = {**self._options, "timeout": _ABORTING, "priority": Priority.HIGH}
        abort = Objects(self._performs, self._stream, self._model, options)
        loop = asyncio.get_running_loop()
        until = loop.time() + _ABORTING
        while True:
            try:
                await abort._do("abort", key, UploadId=upload)
            except NotFoundError:
                return  # it was completed, or aborted, and only the answer was lost
            except NotSentError as refused:
                if not refused.retryable or loop.time() > until:
                    raise
                await asyncio.sleep(min(refused.retry_after or 0.1, 1.0))
            else:
                return

    async def _send_parts(self, key: str, body: bytes, size: int, **parameters: Any) -> Sequence[str]:
        places = asyncio.Semaphore(_PARTS_AT_ONCE)

        async def send(number: int, start: int) -> str:
            async with places:
                piece = body[start : start + size]
                sent = await self._do("part", key, body=piece, PartNumber=number, **parameters)
                return sent.objects[0].etag

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(send(number, start))
                    for number, start in enumerate(range(0, len(body), size), 1)
                ]
        except BaseExceptionGroup as failures:
            first = failures.exceptions[0]  # the others were cancelled for it
            raise first from first.__cause__
        return [task.result() for task in tasks]

    async def _do(
        self, action: str, key: str = "", *, body: bytes | None = None, **arguments: Any
    ) -> ObjectResponse:
        request = ObjectRequest(model=self._model, action=action, key=key, body=body, arguments=arguments)
        return cast(ObjectResponse, await self._performs.call(request, **self._options))

    def _at(self, answer: ObjectResponse) -> Objects:
        """The same bucket at the endpoint that gave this answer: a route might lead elsewhere now."""
        return Objects(self._performs, self._stream, f"{answer.endpoint}:{answer.model}", self._options)


def _ranged(span: Span | None, parameters: dict[str, Any]) -> dict[str, Any]:
    if span is None:
        return parameters
    first, last = span
    return {**parameters, "Range": f"bytes={first}-{'' if last is None else last}"}
