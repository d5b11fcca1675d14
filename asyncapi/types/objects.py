"""Objects in a store: what is asked of one, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from asyncapi.types.requests import Request
from asyncapi.types.responses import Response

__all__ = [
    "ACCESS_KEY",
    "AMAZON",
    "SECRET_KEY",
    "SESSION_TOKEN",
    "ObjectRequest",
    "ObjectResponse",
    "StoredObject",
]

#: Headers in which the parts of a key go from backend to transport; they never leave this process.
ACCESS_KEY = "x-s3-access-key"
SECRET_KEY = "x-s3-secret-key"
SESSION_TOKEN = "x-s3-session-token"
#: The base URL that means: Amazon's own, by region.
AMAZON = "https://s3.amazonaws.com"


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

    def __repr__(self) -> str:
        # Neither the body, which is large, nor the arguments, among which may be an encryption key.
        size = f", body=<{len(self.body)} bytes>" if self.body is not None else ""
        keys = f", keys=<{len(self.keys)}>" if self.keys else ""
        return f"ObjectRequest(model={self.model!r}, action={self.action!r}, key={self.key!r}{keys}{size})"


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

    ``deleted`` and ``failures`` name every key of a bulk delete, in one or the other; ``answered`` counts
    them, a key as often as it was asked for. The repr has neither bodies nor the signature in ``url``.
    """

    body: bytes = b""
    objects: tuple[StoredObject, ...] = ()
    deleted: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    continuation: str | None = None
    failures: Mapping[str, str] = {}
    answered: int = 1
    url: str = ""
    upload_id: str = ""

    def __repr__(self) -> str:
        values = msgspec.structs.asdict(self)
        values["body"] = f"<{len(self.body)} bytes>" if self.body else b""
        values["url"] = self.url.partition("?")[0]
        fields = {field.name: field.default for field in msgspec.structs.fields(self)}
        shown = [f"{name}={value!r}" for name, value in values.items() if value and value != fields[name]]
        return f"ObjectResponse({', '.join(shown)})"
