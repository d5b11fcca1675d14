"""S3 and stores that speak its protocol (MinIO, Ceph, SeaweedFS, R2): objects put, got, listed, deleted.

The model is the bucket. A key is written ``ACCESS:SECRET`` or ``ACCESS:SECRET:TOKEN``; without one, the
credentials are those that AWS's own tools would find.

Source: Amazon S3 API reference; botocore's service model.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from asyncapi.errors import (
    AsyncAPIError,
    AuthenticationError,
    ConfigError,
    ConnectionLostError,
    DecodeError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    ProviderError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
    UnsupportedOperationError,
)
from asyncapi.types.objects import ObjectRequest, ObjectResponse, StoredObject
from asyncapi.types.requests import Request
from asyncapi.types.responses import Chunk, Response
from asyncapi.types.wire import BatchLimit, Service, WireRequest, WireResponse
from asyncapi.wire.json import loads_object

__all__ = ["S3Kit", "backend"]

_ACTIONS = {
    "put": "put_object",
    "get": "get_object",
    "head": "head_object",
    "list": "list_objects_v2",
    "delete": "delete_object",
    "delete_many": "delete_objects",
    "copy": "copy_object",
    "presign": "generate_presigned_url",
    "create": "create_multipart_upload",
    "part": "upload_part",
    "complete": "complete_multipart_upload",
    "abort": "abort_multipart_upload",
}

_CODES: Mapping[str, type[ProviderError]] = {
    "AccessDenied": PermissionDeniedError,
    "InvalidAccessKeyId": AuthenticationError,
    "SignatureDoesNotMatch": AuthenticationError,
    "ExpiredToken": AuthenticationError,
    "InvalidToken": AuthenticationError,
    "RequestTimeTooSkewed": AuthenticationError,
    "NoSuchKey": NotFoundError,
    "NoSuchBucket": NotFoundError,
    "NoSuchUpload": NotFoundError,
    "SlowDown": OverloadedError,
    "ServiceUnavailable": OverloadedError,
    "Throttling": RateLimitError,
    "ThrottlingException": RateLimitError,
    "RequestLimitExceeded": RateLimitError,
    "RequestTimeout": ServerError,  # a 400 that means: the store did not wait for the whole body
    "InternalError": ServerError,
    "InvalidObjectState": InvalidRequestError,
}
#: The caller's own, but worth another try: a body damaged on its way, a write that met another.
_AGAIN = frozenset({"BadDigest", "ConditionalRequestConflict", "OperationAborted"})
_STATUS: Mapping[int, type[ProviderError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    429: RateLimitError,
    503: OverloadedError,
}


class S3Kit:
    """Translates to and from the operations of S3's client."""

    name = "s3_kit"
    service = Service(
        name="s3_kit",
        operations=frozenset({"object"}),
        base_url="https://s3.amazonaws.com",
        key_env=("S3_KIT_API_KEY",),
        url_env=("S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        needs_key=False,
        batches={"object": BatchLimit(items=1000)},
        transport="s3",
    )

    def encode(self, request: Request, /) -> WireRequest:
        """The operation's name, its parameters and its body.

        Raises:
            ConfigError: An action that there is not.
        """
        if not isinstance(request, ObjectRequest):
            raise UnsupportedOperationError(f"{self.name} does not offer {request.operation!r}")
        method = _ACTIONS.get(request.action)
        if method is None:
            raise ConfigError(f"{self.name} has no action {request.action!r}; it has {', '.join(_ACTIONS)}")
        parameters: dict[str, Any] = {"Bucket": request.model, **request.arguments}
        if request.key:
            parameters["Key"] = request.key
        if request.action == "delete_many":
            parameters["Delete"] = {"Objects": [{"Key": key} for key in request.keys], "Quiet": False}
        elif request.action == "copy":
            source = parameters.pop("source")
            parameters["CopySource"] = {"Bucket": source[0], "Key": source[1]}
        elif request.action == "presign":
            expires = parameters.pop("expires")
            parameters = {
                "ClientMethod": parameters.pop("method"),
                "Params": parameters,
                "ExpiresIn": expires,
            }
        return WireRequest(
            method=method, path="?" + orjson.dumps(parameters).decode(), body=request.body, headers=None
        )

    def authorize(self, secret: str, /) -> Mapping[str, str]:
        """The parts of a key, for the transport alone.

        Raises:
            ConfigError: Not two or three parts.
        """
        access, colon, rest = secret.partition(":")
        private, _, token = rest.partition(":")
        if not colon or not access or not private:
            raise ConfigError(f"a key of {self.name} is written ACCESS:SECRET or ACCESS:SECRET:TOKEN")
        headers = {"x-s3-access-key": access, "x-s3-secret-key": private}
        return {**headers, "x-s3-session-token": token} if token else headers

    def decode(self, request: Request, reply: WireResponse, /) -> Response:
        """What the action gave.

        Raises:
            DecodeError: Not what S3 promises.
        """
        assert isinstance(request, ObjectRequest)
        if request.action == "get":
            if (length := _length(reply.headers)) is not None and length != len(reply.body):
                raise DecodeError(f"{self.name}: {len(reply.body)} bytes of an object of {length}")
            return _got(request, reply.headers, reply.body)
        answer = loads_object(reply.body, self.name)
        try:
            return _answered(request, answer)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DecodeError(f"{self.name}: the answer to {request.action} can't be read") from error

    def error(self, reply: WireResponse, /) -> AsyncAPIError:
        """The exception for a refused operation."""
        try:
            told = orjson.loads(reply.body)["Error"]
            code, message = str(told.get("Code", "")), str(told.get("Message", ""))
        except (ValueError, KeyError, TypeError, AttributeError):
            code, message = "", ""
        cls = _CODES.get(code) or _STATUS.get(reply.status)
        if cls is None:
            cls = ServerError if reply.status >= 500 else InvalidRequestError
        return cls(
            f"{self.name}: {message or code or f'status {reply.status}'}"[:500],
            status=reply.status,
            code=code,
            provider_request_id=reply.headers.get("x-amz-request-id", ""),
            body=reply.body,
            retryable=True if code in _AGAIN else None,
        )

    def stream(self, request: Request, reply: WireResponse, /) -> ObjectStream:
        """A decoder that passes an object's bytes on."""
        assert isinstance(request, ObjectRequest)
        return ObjectStream(request, reply.headers)


class ObjectStream:
    """An object's bytes as chunks; whole when there are as many as its length says.

    State: how many bytes were ``_seen``.
    """

    def __init__(self, request: ObjectRequest, headers: Mapping[str, str]) -> None:
        self._request = request
        self._headers = headers
        self._length = _length(headers)
        self._seen = 0
        self.error: AsyncAPIError | None = None

    @property
    def done(self) -> bool:
        """Whether every byte is there."""
        return self._length is not None and self._seen >= self._length

    def feed(self, data: bytes, /) -> list[Chunk]:
        """The bytes as they are."""
        self._seen += len(data)
        if self._length is not None and self._seen > self._length:
            self.error = DecodeError(f"s3_kit: more than the {self._length} bytes of the object")
        return [Chunk(data=data)]

    def finish(self) -> ObjectResponse:
        """What is known of the object; its bytes were delivered."""
        if self._length is not None and self._seen != self._length:
            cut = ConnectionLostError(f"s3_kit: {self._seen} bytes of an object of {self._length}")
            raise StreamInterruptedError(cut.message, partial=self.partial())
        return self.partial()

    def partial(self) -> ObjectResponse:
        """The same, whatever arrived."""
        return _got(self._request, self._headers, b"")


def _length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("content-length", "")
    return int(text) if text.isdecimal() else None


def _got(request: ObjectRequest, headers: Mapping[str, str], body: bytes) -> ObjectResponse:
    stored = StoredObject(
        key=request.key,
        size=_total(headers),
        etag=headers.get("etag", "").strip('"'),
        content_type=headers.get("content-type", ""),
        metadata={
            name.lower().removeprefix("x-amz-meta-"): value
            for name, value in headers.items()
            if name.lower().startswith("x-amz-meta-")
        },
    )
    return ObjectResponse(model=request.model, body=body, objects=(stored,))


def _total(headers: Mapping[str, str]) -> int | None:
    """The whole object's size, also when a range of it was asked for."""
    total = headers.get("content-range", "").rpartition("/")[2]
    return int(total) if total.isdecimal() else _length(headers)


def _answered(request: ObjectRequest, answer: Mapping[str, Any]) -> ObjectResponse:
    match request.action:
        case "list":
            return ObjectResponse(
                model=request.model,
                objects=tuple(_stored(item["Key"], item) for item in answer.get("Contents") or ()),
                prefixes=tuple(item["Prefix"] for item in answer.get("CommonPrefixes") or ()),
                continuation=answer.get("NextContinuationToken") if answer.get("IsTruncated") else None,
            )
        case "delete_many":
            failures = {e["Key"]: f"{e.get('Code')}: {e.get('Message')}" for e in answer.get("Errors") or ()}
            return ObjectResponse(
                model=request.model,
                deleted=tuple(item["Key"] for item in answer.get("Deleted") or ()),
                failures=failures,
            )
        case "presign":
            return ObjectResponse(model=request.model, url=answer["Url"])
        case "create":
            return ObjectResponse(model=request.model, upload_id=answer["UploadId"])
        case "copy":
            return ObjectResponse(
                model=request.model, objects=(_stored(request.key, answer["CopyObjectResult"]),)
            )
        case "delete":
            return ObjectResponse(model=request.model, deleted=(request.key,))
        case _:
            return ObjectResponse(model=request.model, objects=(_stored(request.key, answer),))


def _stored(key: str, item: Mapping[str, Any]) -> StoredObject:
    modified = item.get("LastModified")
    size = item.get("Size", item.get("ContentLength"))
    return StoredObject(
        key=key,
        size=None if size is None else int(size),
        etag=str(item.get("ETag") or "").strip('"'),
        modified=datetime.fromisoformat(modified).timestamp() if modified else None,
        content_type=str(item.get("ContentType") or ""),
        metadata={str(name): str(value) for name, value in (item.get("Metadata") or {}).items()},
    )


backend = S3Kit()
