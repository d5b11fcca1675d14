"""S3 and stores that speak its protocol (MinIO, Ceph, SeaweedFS, R2): objects put, got, listed, deleted.

The model is the bucket. A key is written ``ACCESS:SECRET`` or ``ACCESS:SECRET:TOKEN``; without one, the
credentials are those that AWS's own tools would find.

Source: Amazon S3 API reference; botocore's service model.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from asyncapi.errors import (
    AsyncAPIError,
    AuthenticationError,
    ConfigError,
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
from asyncapi.types.objects import (
    ACCESS_KEY,
    AMAZON,
    SECRET_KEY,
    SESSION_TOKEN,
    ObjectRequest,
    ObjectResponse,
    StoredObject,
)
from asyncapi.types.requests import Request
from asyncapi.types.responses import Chunk, Response
from asyncapi.types.wire import BatchLimit, Service, WireRequest, WireResponse
from asyncapi.wire.json import loads_object
from asyncapi.wire.masking import excerpt
from asyncapi.wire.ratelimit import retry_after

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
_WITHOUT_KEY = frozenset({"list", "delete_many"})
_PARTIAL = frozenset({"Range", "PartNumber"})
_LONGEST_PRESIGNED_S = 7 * 24 * 3600

_CODES: Mapping[str, type[ProviderError]] = {
    "AccessDenied": PermissionDeniedError,
    "InvalidAccessKeyId": AuthenticationError,
    "SignatureDoesNotMatch": AuthenticationError,
    "ExpiredToken": AuthenticationError,
    "InvalidToken": AuthenticationError,
    "TokenRefreshRequired": AuthenticationError,
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
    "NotImplemented": InvalidRequestError,  # a 501 that no other try makes good
}
#: The caller's own, but worth another try: a body damaged on its way, a write that met another.
_AGAIN = frozenset(
    {
        "BadDigest",
        "IncompleteBody",
        "XAmzContentSHA256Mismatch",
        "ConditionalRequestConflict",
        "OperationAborted",
    }
)
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
        base_url=AMAZON,
        key_env=("S3_KIT_API_KEY",),
        url_env=("S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        needs_key=False,
        batches={"object": BatchLimit(items=1000)},
        transport="s3",
    )

    def encode(self, request: Request, /) -> WireRequest:
        """The operation's name, its parameters and its body.

        Raises:
            ConfigError: An action that there is not, or one without what it needs.
        """
        if not isinstance(request, ObjectRequest):
            raise UnsupportedOperationError(f"{self.name} does not offer {request.operation!r}")
        method = _ACTIONS.get(request.action)
        if method is None:
            raise ConfigError(f"{self.name} has no action {request.action!r}; it has {', '.join(_ACTIONS)}")
        try:
            parameters = orjson.dumps(_parameters(request)).decode()
        except TypeError as error:  # of orjson: it names the type, never the value
            raise ConfigError(
                f"{self.name}: an argument of {request.action} can't be sent: {error}"
            ) from None
        return WireRequest(method=method, path=f"?{parameters}", body=request.body)

    def authorize(self, secret: str, /) -> Mapping[str, str]:
        """The parts of a key, for the transport alone.

        Raises:
            ConfigError: Not two or three parts.
        """
        access, colon, rest = secret.partition(":")
        private, _, token = rest.partition(":")
        if not colon or not access or not private:
            raise ConfigError(f"a key of {self.name} is written ACCESS:SECRET or ACCESS:SECRET:TOKEN")
        headers = {ACCESS_KEY: access, SECRET_KEY: private}
        return {**headers, SESSION_TOKEN: token} if token else headers

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
            f"{self.name}: {excerpt(message) or code or f'status {reply.status}'}",
            status=reply.status,
            code=code,
            provider_request_id=reply.headers.get("x-amz-request-id", ""),
            body=reply.body,
            retryable=True if code in _AGAIN else None,
            retry_after=retry_after(reply.headers, exhausted=False),
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
        """What is known of the object; its bytes were delivered.

        Raises:
            StreamInterruptedError: There are fewer bytes than the object has.
        """
        if self._length is not None and self._seen != self._length:
            raise StreamInterruptedError(
                f"s3_kit: {self._seen} bytes of an object of {self._length}", partial=self.partial()
            )
        return self.partial()

    def partial(self) -> ObjectResponse:
        """The same, whatever arrived."""
        return _got(self._request, self._headers, b"")


def _parameters(request: ObjectRequest) -> dict[str, Any]:
    """The parameters of S3's own operation.

    Raises:
        ConfigError: One that the action needs is missing or can't be.
    """
    action = request.action
    if not request.key and action not in _WITHOUT_KEY:
        raise ConfigError(f"s3_kit: {action} needs the key of an object")
    given = {"Bucket": request.model, **request.arguments}
    if action == "get" and given.keys().isdisjoint(_PARTIAL):
        given.setdefault("ChecksumMode", "ENABLED")  # a store that has the sum of the whole gives it
    parameters: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if request.key:
        parameters["Key"] = request.key
    match action:
        case "delete_many":
            if not request.keys:
                raise ConfigError("s3_kit: delete_many needs keys")
            # Each once: stores differ in what they say of a key that is named twice.
            objects = [{"Key": key} for key in dict.fromkeys(request.keys)]
            parameters["Delete"] = {"Objects": objects, "Quiet": False}
        case "copy":
            source = _needed(action, parameters, "source")
            parameters["CopySource"] = {"Bucket": source[0] or request.model, "Key": source[1]}
        case "presign":
            return _presigned(parameters)
    return parameters


def _presigned(parameters: dict[str, Any]) -> dict[str, Any]:
    method = _needed("presign", parameters, "method")
    expires = _needed("presign", parameters, "expires")
    if method not in ("get", "put"):
        raise ConfigError(f's3_kit: presign: expected method "get" or "put", got {method!r}')
    if not 1 <= expires <= _LONGEST_PRESIGNED_S:
        raise ConfigError(
            f"s3_kit: presign: expected expires from 1 to {_LONGEST_PRESIGNED_S} s, got {expires}"
        )
    return {"ClientMethod": f"{method}_object", "Params": parameters, "ExpiresIn": int(expires)}


def _needed(action: str, parameters: dict[str, Any], name: str) -> Any:
    if name not in parameters:
        raise ConfigError(f"s3_kit: {action} needs the argument {name!r}")
    return parameters.pop(name)


def _length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("content-length", "")
    return int(text) if text.isdecimal() else None


def _got(request: ObjectRequest, headers: Mapping[str, str], body: bytes) -> ObjectResponse:
    stored = StoredObject(
        key=request.key,
        size=_total(headers),
        etag=headers.get("etag", "").strip('"'),
        modified=_moment(headers.get("last-modified", "")),
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


def _moment(text: str) -> float | None:
    """Unix time of an HTTP date."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None


def _answered(request: ObjectRequest, answer: Mapping[str, Any]) -> ObjectResponse:
    match request.action:
        case "list":
            return ObjectResponse(
                model=request.model,
                objects=tuple(_stored(item["Key"], item) for item in answer.get("Contents") or ()),
                prefixes=tuple(item["Prefix"] for item in answer.get("CommonPrefixes") or ()),
                # Without a token the rest can't be had: that is no end.
                continuation=answer["NextContinuationToken"] if answer.get("IsTruncated") else None,
            )
        case "delete_many":
            return _deleted(request, answer)
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


def _deleted(request: ObjectRequest, answer: Mapping[str, Any]) -> ObjectResponse:
    """What became of every key that was asked for, in the order in which they were."""
    gone = {item["Key"] for item in answer.get("Deleted") or ()}
    told = {e["Key"]: f"{e.get('Code')}: {e.get('Message')}" for e in answer.get("Errors") or ()}
    if silent := set(request.keys) - gone - told.keys():
        raise ValueError(f"nothing is said of {len(silent)} keys")
    return ObjectResponse(
        model=request.model,
        deleted=tuple(key for key in request.keys if key not in told),
        failures={key: told[key] for key in request.keys if key in told},
        answered=len(request.keys),
    )


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
