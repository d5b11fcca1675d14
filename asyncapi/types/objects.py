"""Objects in a store: what is asked of one, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from asyncapi.types.requests import Request
from asyncapi.types.responses import Response

__all__ = ["ObjectRequest", "ObjectResponse", "StoredObject"]


class ObjectRequest(Request, frozen=True, kw_only=True):
    """One action on an object store; ``model`` is the bucket.

    ``action``: put, get, head, list, delete, delete_many, copy, presign, and the steps of a multipart
    upload (create, part, complete, abort). ``arguments`` are the action's own.
    """

    operation: ClassVar[str] = "object"
    action: str
    key: str = ""
    keys: tuple[str, ...] = ()
    body: bytes | None = None
    arguments: Mapping[str, Any] = {}
    stream: bool = False

    @property
    def streams(self) -> bool:
        """Whether the body is read as a stream."""
        return self.stream


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """An object in a store. ``modified`` is unix time (seconds)."""

    key: str
    size: int | None = None
    etag: str = ""
    modified: float | None = None
    content_type: str = ""
    metadata: Mapping[str, str] = {}


class ObjectResponse(Response, frozen=True, kw_only=True):
    """What an action on an object store gave; only the fields of that action are set.

    ``deleted`` and ``failures`` name every key of a bulk delete, in one or the other.
    """

    body: bytes = b""
    objects: tuple[StoredObject, ...] = ()
    deleted: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    continuation: str | None = None
    failures: Mapping[str, str] = {}
    url: str = ""
    upload_id: str = ""
