"""The S3 transport: aiobotocore signs, talks and parses; its own retries are off.

A request's ``method`` is the name of an operation of S3's client, what follows the ``?`` of its URL is the
operation's parameters as JSON, its body is the object's. Keys come in two headers that never leave
this process; without them botocore finds credentials its usual ways. The answer's body is the object
for ``get_object``, else the parsed answer as JSON.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import aiobotocore.session
import orjson
from aiobotocore.config import AioConfig
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ReadTimeoutError,
    SSLError,
)
from multidict import CIMultiDict

from asyncapi import errors
from asyncapi.types.wire import Outgoing, WireResponse

__all__ = ["ACCESS_KEY", "AWS", "SECRET_KEY", "SESSION_TOKEN", "S3Transport"]

#: Headers that carry a key from the backend to here.
ACCESS_KEY = "x-s3-access-key"
SECRET_KEY = "x-s3-secret-key"
SESSION_TOKEN = "x-s3-session-token"
#: The base URL that means: Amazon's own, by region.
AWS = "https://s3.amazonaws.com"

_MOST_CONNECTIONS = 256  # botocore's own default is 10; the endpoints' limits bind here
_PIECE = 64 * 1024


class S3Transport:
    """Performs S3 operations, one client for each store and key.

    State: the open ``_clients`` by store and key, the ``_stack`` that closes them, a ``_lock`` while one
    is made.
    """

    def __init__(self) -> None:
        self._session = aiobotocore.session.get_session()
        self._clients: dict[tuple[str, str], Any] = {}
        self._stack = AsyncExitStack()
        self._lock = asyncio.Lock()
        self._closed = False

    async def send(self, request: Outgoing, /) -> WireResponse:
        """Perform one operation and read its whole answer.

        Raises:
            ConnectError: No connection to the store.
            ReadTimeoutError: The store was silent.
            ConnectionLostError: The answer ended early.
            ConfigError: No credentials, or parameters that S3 doesn't have.
        """
        where = _where(request)
        try:
            answer = await self._perform(request)
            if "Body" not in answer:
                return _parsed(answer)
            async with answer["Body"] as body:
                return WireResponse(status=_status(answer), headers=_headers(answer), body=await body.read())
        except ClientError as error:
            return _refused(error)
        except (BotoCoreError, OSError) as error:
            raise _translated(error, where) from error

    async def open(self, request: Outgoing, /) -> S3Stream:
        """Perform ``get_object`` and return once its headers are there. Raises what ``send`` raises."""
        try:
            answer = await self._perform(request)
        except ClientError as error:
            refused = _refused(error)
            return S3Stream(refused.status, refused.headers, None, refused.body, _where(request))
        except (BotoCoreError, OSError) as error:
            raise _translated(error, _where(request)) from error
        return S3Stream(_status(answer), _headers(answer), answer["Body"], b"", _where(request))

    async def aclose(self) -> None:
        """Close every client. Idempotent."""
        self._closed = True
        await self._stack.aclose()
        self._clients.clear()

    async def _perform(self, request: Outgoing) -> Mapping[str, Any]:
        client = await self._client(request)
        parameters = orjson.loads(request.url.partition("?")[2])
        if request.method == "generate_presigned_url":
            return {"Url": await client.generate_presigned_url(**parameters)}
        if request.body is not None:
            parameters["Body"] = request.body
        answer: Mapping[str, Any] = await getattr(client, request.method)(**parameters)
        return answer

    async def _client(self, request: Outgoing) -> Any:
        store = (request.url.partition("?")[0], request.headers.get(ACCESS_KEY, ""))
        client = self._clients.get(store)
        if client is not None:
            return client
        async with self._lock:
            if self._closed:
                raise errors.ClientClosedError("the transport is closed")
            if store not in self._clients:
                made = self._session.create_client("s3", **_settings(request))
                self._clients[store] = await self._stack.enter_async_context(made)
            return self._clients[store]


class S3Stream:
    """An object's body, read piece by piece.

    State: the botocore ``_body``, bytes that are there already (``_rest``), the ``_error`` of reads.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: Any, rest: bytes, where: str) -> None:
        self.status = status
        self.headers = headers
        self._body = body
        self._rest = rest
        self._where = where
        self._error: errors.AsyncAPIError | None = None

    async def read(self) -> bytes:
        """The next piece, ``b""`` at the end.

        Raises:
            ConnectionLostError: The body ended before it was whole.
        """
        if self._error is not None:
            raise self._error
        if self._body is None:
            rest, self._rest = self._rest, b""
            return rest
        try:
            piece: bytes = await self._body.read(_PIECE)
        except (BotoCoreError, OSError) as error:
            raise self._error or _translated(error, self._where) from error
        if self._error is not None:
            raise self._error
        return piece

    def fail(self, error: errors.AsyncAPIError, /) -> None:
        """Make the pending and every later ``read`` raise ``error``, and drop the connection."""
        self._error = error
        self.close()

    def close(self) -> None:
        """Free the connection now. Idempotent."""
        if self._body is not None:
            self._body.close()


def _settings(request: Outgoing) -> dict[str, Any]:
    """What ``create_client`` is given: explicit keys, or those that botocore and the older names offer."""
    url, headers = request.url.partition("?")[0], request.headers
    own = url != AWS
    settings: dict[str, Any] = {
        "endpoint_url": url if own else None,
        "region_name": os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        "aws_access_key_id": headers.get(ACCESS_KEY) or os.environ.get("S3_ACCESS_KEY"),
        "aws_secret_access_key": headers.get(SECRET_KEY) or os.environ.get("S3_SECRET_KEY"),
        "aws_session_token": headers.get(SESSION_TOKEN),
        "config": AioConfig(
            # In legacy mode max_attempts=1 still makes two requests: only the total switches retries off.
            retries={"total_max_attempts": 1, "mode": "standard"},
            signature_version="s3v4",  # else presigned URLs come in the old form
            connect_timeout=request.connect_timeout or 60,
            read_timeout=600,  # the core has the deadline
            max_pool_connections=_MOST_CONNECTIONS,
            s3={"addressing_style": "path" if own else "auto"},
            # Stores other than Amazon's may refuse the checksums that are sent by default.
            request_checksum_calculation="when_required" if own else None,
            response_checksum_validation="when_required" if own else None,
        ),
    }
    return {name: value for name, value in settings.items() if value is not None}


def _where(request: Outgoing) -> str:
    return request.url.partition("?")[0].partition("://")[2]


def _status(answer: Mapping[str, Any]) -> int:
    return int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 200))


def _headers(answer: Mapping[str, Any]) -> Mapping[str, str]:
    return CIMultiDict(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}))


def _parsed(answer: Mapping[str, Any]) -> WireResponse:
    body = orjson.dumps({name: value for name, value in answer.items() if name != "ResponseMetadata"})
    return WireResponse(status=_status(answer), headers=_headers(answer), body=body)


def _refused(error: ClientError) -> WireResponse:
    answer: Mapping[str, Any] = error.response
    status = _status(answer) if "ResponseMetadata" in answer else 500
    # An error may come inside a 200 (copy, complete): it is an error all the same.
    body = orjson.dumps({"Error": answer.get("Error", {})}, default=str)
    return WireResponse(status=status if status >= 300 else 500, headers=_headers(answer), body=body)


def _translated(error: Exception, where: str) -> errors.AsyncAPIError:
    match error:
        case EndpointConnectionError() | ConnectTimeoutError():
            return errors.ConnectError(f"no connection to {where}; is the store running there?")
        case SSLError():
            return errors.ConnectError(
                f"{where}: TLS failed; to trust a CA set AWS_CA_BUNDLE", retryable=False
            )
        case ReadTimeoutError():
            return errors.ReadTimeoutError(f"{where}: silent for longer than allowed")
        case NoCredentialsError() | PartialCredentialsError():
            return errors.MissingKeyError(
                f"{where}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give "
                'keys=("ACCESS:SECRET",)'
            )
        case ParamValidationError():
            return errors.ConfigError(f"{where}: {error}")
        case ConnectionClosedError() | HTTPClientError() | OSError():
            return errors.ConnectionLostError(
                f"{where}: the connection was closed before the answer was whole"
            )
        case _:
            return errors.DecodeError(f"{where}: {type(error).__name__}")
