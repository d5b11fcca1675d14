"""Objects in memory, as far as there is room, and uploads in parts."""

import hashlib
from bisect import bisect_right
from dataclasses import dataclass, field

from asyncapi.emulator.dialects.s3_wire import etag
from asyncapi.emulator.exchange import Json, Problem, Trouble, invalid

SMALLEST_PART = 5 * 2**20


@dataclass(frozen=True, slots=True)
class Thing:
    """An object; ``modified`` is in seconds since 1970, ``headers`` are those that come back with it."""

    data: bytes
    etag: str
    modified: float
    headers: dict[str, str]


@dataclass(slots=True)
class Upload:
    """An upload in parts that is not complete yet."""

    bucket: str
    key: str
    headers: dict[str, str]
    parts: dict[int, bytes] = field(default_factory=dict)


class Store:
    """Buckets of objects.

    State that changes: ``_buckets`` and ``_uploads``; ``_used`` is the sum of all their bytes.

    Args:
        room: Bytes that fit; more are refused.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._used = 0
        self._buckets: dict[str, dict[str, Thing]] = {"bucket": {}}
        self._uploads: dict[str, Upload] = {}

    def create(self, bucket: str) -> None:
        """Make a bucket; one that is there stays as it is."""
        self._buckets.setdefault(bucket, {})

    def bucket(self, name: str) -> dict[str, Thing]:
        """The objects of a bucket by their keys."""
        if name not in self._buckets:
            raise Problem(Trouble.NO_MODEL, "The specified bucket does not exist", code="NoSuchBucket")
        return self._buckets[name]

    def get(self, bucket: str, key: str) -> Thing:
        """One object."""
        things = self.bucket(bucket)
        if key not in things:
            raise Problem(Trouble.NO_MODEL, "The specified key does not exist.", code="NoSuchKey")
        return things[key]

    def put(
        self, bucket: str, key: str, data: bytes, headers: dict[str, str], now: float, tag: str | None = None
    ) -> Thing:
        """Keep an object; what was there before is forgotten."""
        things = self.bucket(bucket)
        old = things.get(key)
        self._take(len(data) - (len(old.data) if old else 0))
        things[key] = Thing(data, tag or etag(data), now, headers)
        return things[key]

    def delete(self, bucket: str, key: str) -> None:
        """Forget an object, if it is there."""
        old = self.bucket(bucket).pop(key, None)
        self._used -= len(old.data) if old else 0

    def _take(self, more: int) -> None:
        if self._used + more > self._room:
            raise invalid(f"The emulator keeps {self._room} bytes at most.", code="EntityTooLarge")
        self._used += more

    def listed(
        self, bucket: str, prefix: str, delimiter: str, after: str, most: int
    ) -> tuple[list[str], str]:
        """Keys, and prefixes that end in the delimiter, in order behind ``after``; and where to go on."""
        names = sorted(
            {_folded(key, prefix, delimiter) for key in self.bucket(bucket) if key.startswith(prefix)}
        )
        start = bisect_right(names, after) if after else 0
        page = names[start : start + most]
        return page, page[-1] if page and start + most < len(names) else ""

    def begin(self, identity: str, upload: Upload) -> None:
        """Begin an upload in parts."""
        self.bucket(upload.bucket)
        self._uploads[identity] = upload

    def upload(self, identity: str) -> Upload:
        """An upload that is not complete yet."""
        if identity not in self._uploads:
            raise Problem(Trouble.NO_MODEL, "The specified upload does not exist.", code="NoSuchUpload")
        return self._uploads[identity]

    def put_part(self, identity: str, number: int, data: bytes) -> str:
        """Keep one part."""
        upload = self.upload(identity)
        if not 1 <= number <= 10_000:
            raise invalid(
                "Part number must be an integer between 1 and 10000, inclusive", code="InvalidArgument"
            )
        self._take(len(data) - len(upload.parts.get(number, b"")))
        upload.parts[number] = data
        return etag(data)

    def abort(self, identity: str) -> Upload:
        """Forget an upload and its parts."""
        upload = self.upload(identity)
        del self._uploads[identity]
        self._used -= sum(map(len, upload.parts.values()))
        return upload

    def complete(self, identity: str, wanted: list[tuple[int, str]], now: float) -> Thing:
        """Make an object of the parts named, in their order."""
        upload = self.upload(identity)
        numbers = [number for number, _ in wanted]
        if numbers != sorted(set(numbers)):
            raise invalid("The list of parts was not in ascending order.", code="InvalidPartOrder")
        for number, tag in wanted:
            if number not in upload.parts or etag(upload.parts[number]).strip('"') != tag.strip('"'):
                raise invalid("One or more of the specified parts could not be found.", code="InvalidPart")
        blocks = [upload.parts[number] for number in numbers]
        if not blocks or any(len(block) < SMALLEST_PART for block in blocks[:-1]):
            raise invalid(
                "Your proposed upload is smaller than the minimum allowed size", code="EntityTooSmall"
            )
        self.abort(identity)
        digests = b"".join(hashlib.md5(block, usedforsecurity=False).digest() for block in blocks)
        tag = f'"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(blocks)}"'
        return self.put(upload.bucket, upload.key, b"".join(blocks), upload.headers, now, tag)


def _folded(key: str, prefix: str, delimiter: str) -> str:
    """A key, or the part of it up to the first delimiter behind the prefix."""
    if not delimiter:
        return key
    head, found, _ = key[len(prefix) :].partition(delimiter)
    return prefix + head + found


def kept_headers(headers: Json) -> dict[str, str]:
    """The headers of a request that come back with its object."""
    kept = ("content-type", "cache-control", "content-disposition", "content-language", "expires")
    return {
        name.lower(): value
        for name, value in headers.items()
        if name.lower() in kept or name.lower().startswith("x-amz-meta-")
    }
