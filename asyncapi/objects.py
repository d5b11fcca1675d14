"""Objects in a store: put, got, listed, deleted, through the same queue, breaker and keys as every call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from asyncapi._core.streaming import Stream
from asyncapi.errors import ConfigError
from asyncapi.runtime import CallOptions
from asyncapi.types.objects import ObjectRequest, ObjectResponse, StoredObject
from asyncapi.verbs import Performs

__all__ = ["Objects"]

MIB = 1024 * 1024
#: S3 takes parts of 5 MiB or more, the last aside, and at most 10,000 of them.
SMALLEST_PART = 5 * MIB
MOST_PARTS = 10_000
_PARTS_AT_ONCE = 4


class Objects:
    """One bucket: ``client.objects("s3_kit:my-bucket")``. Every method raises ``AsyncAPIError``.

    Keyword arguments named as S3's own parameters (``IfNoneMatch="*"``, ``CacheControl=...``) are
    passed on as they are.
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
        """Store an object; a body of more than ``part_size`` bytes goes up in parts, several at a time."""
        if content_type is not None:
            parameters["ContentType"] = content_type
        if metadata is not None:
            parameters["Metadata"] = dict(metadata)
        if len(body) > part_size:
            return await self._put_parts(key, body, max(part_size, SMALLEST_PART), parameters)
        return (await self._do("put", key, body=body, **parameters)).objects[0]

    async def get(self, key: str, *, range: tuple[int, int] | None = None, **parameters: Any) -> bytes:  # noqa: A002
        """An object's bytes, or those of a ``range`` (first, last), both included."""
        return (await self._do("get", key, **_ranged(range, parameters))).body

    def open(
        self,
        key: str,
        *,
        range: tuple[int, int] | None = None,  # noqa: A002  HTTP's own word
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
        token: str | None = None
        while True:
            page = await self.page(prefix, token=token, size=page_size, **parameters)
            for stored in page.objects:
                yield stored
            token = page.continuation
            if token is None:
                return

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
        own = self._model.partition(":")[2]
        return (await self._do("copy", key, source=[bucket or own, source], **parameters)).objects[0]

    async def presign(self, key: str, *, method: str = "get", expires: int = 3600, **parameters: Any) -> str:
        """A URL with which anybody may get (or put) the object for ``expires`` seconds, at most a week."""
        if method not in ("get", "put"):
            raise ConfigError(f'presign: expected method "get" or "put", got {method!r}')
        answer = await self._do("presign", key, method=f"{method}_object", expires=expires, **parameters)
        return answer.url

    async def _put_parts(
        self, key: str, body: bytes, size: int, parameters: Mapping[str, Any]
    ) -> StoredObject:
        size = max(size, -(-len(body) // MOST_PARTS))
        upload = (await self._do("create", key, **parameters)).upload_id
        try:
            tags = await self._send_parts(key, body, size, upload)
            parts = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]
            answer = await self._do("complete", key, UploadId=upload, MultipartUpload={"Parts": parts})
        except BaseException:
            # Parts of an upload that nobody ends are billed for ever. Cancelled, too: hence the shield.
            await asyncio.shield(self._do("abort", key, UploadId=upload))
            raise
        return answer.objects[0]

    async def _send_parts(self, key: str, body: bytes, size: int, upload: str) -> Sequence[str]:
        places = asyncio.Semaphore(_PARTS_AT_ONCE)

        async def send(number: int, start: int) -> str:
            async with places:
                piece = body[start : start + size]
                sent = await self._do("part", key, body=piece, UploadId=upload, PartNumber=number)
                return sent.objects[0].etag

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(send(number, start))
                    for number, start in enumerate(range(0, len(body), size), 1)
                ]
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None  # the others were cancelled for it
        return [task.result() for task in tasks]

    async def _do(
        self, action: str, key: str = "", *, body: bytes | None = None, **arguments: Any
    ) -> ObjectResponse:
        request = ObjectRequest(model=self._model, action=action, key=key, body=body, arguments=arguments)
        return cast(ObjectResponse, await self._performs.call(request, **self._options))


def _ranged(span: tuple[int, int] | None, parameters: dict[str, Any]) -> dict[str, Any]:
    return parameters if span is None else {**parameters, "Range": f"bytes={span[0]}-{span[1]}"}
