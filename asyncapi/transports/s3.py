"""The S3 transport: aiobotocore signs, talks and parses; its own retries are off.

A request's ``method`` is the name of an operation of S3's client, what follows the ``?`` of its URL is the
operation's parameters as JSON, its body is the object's. Keys come in headers that never leave this
process; without them botocore finds credentials its usual ways. The answer's body is the object for
``get_object``, else the parsed answer as JSON.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any
from weakref import WeakSet

import aiobotocore.session
import aiohttp
import orjson
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import (
    BotoCoreError,
    ChecksumError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import ResponseParserError
from multidict import CIMultiDict

from asyncapi import errors
from asyncapi._version import __version__
from asyncapi.types.objects import ACCESS_KEY, AMAZON, SECRET_KEY, SESSION_TOKEN
from asyncapi.types.wire import Outgoing, WireResponse

__all__ = ["S3Transport"]

GIB = 1024 * 1024 * 1024
_MOST_CONNECTIONS = 10_000  # botocore's own default is 10; the endpoints' limits bind here
_SILENCE_SECONDS = 600  # the core has the deadline; this only ends what nobody limited
_PIECE = 64 * 1024
#: What an error's report may keep: a store repeats session tokens and signatures in the rest of it.
_TOLD = ("Code", "Message", "BucketName", "Key", "Condition")
#: Foreign loggers that write signatures, session tokens and encryption keys, but only at DEBUG.
_TALKATIVE = ("botocore.auth", "botocore.endpoint", "aiobotocore.endpoint", "botocore.parsers")
_FOREIGN = (BotoCoreError, ResponseParserError, aiohttp.ClientError, OSError)
#: What botocore's handlers stumble over before it looks at the parameters' types.
_UNFIT = (AttributeError, TypeError, ValueError)


class S3Transport:
    """Performs S3 operations, one client for each store and key.

    Args:
        max_body_bytes: The largest object that ``send`` takes; larger ones are read as streams.

    State: the open ``_clients`` by store and key, the ``_stack`` that closes them, a ``_lock`` while one
    is made; the objects that are being read, as ``_streams``.
    """

    def __init__(self, *, max_body_bytes: int = GIB) -> None:
        _quieten()
        self._max_body_bytes = max_body_bytes
        self._session = aiobotocore.session.get_session()
        self._session.register_component("data_loader", _models())
        self._clients: dict[tuple[Any, ...], Any] = {}
        self._stack = AsyncExitStack()
        self._lock = asyncio.Lock()
        self._streams: WeakSet[S3Stream] = WeakSet()
        self._closed = False

    async def send(self, request: Outgoing, /) -> WireResponse:
        """Perform one operation and read its whole answer.

        Raises:
            ConnectError: No connection to the store.
            ReadTimeoutError: The store was silent.
            ConnectionLostError: The answer ended early.
            DecodeError: The answer is not S3's, or an object larger than ``max_body_bytes``.
            ConfigError: No credentials, or parameters that S3 doesn't have.
        """
        stream = await self.open(request)
        try:
            body = await self._whole(stream)
        finally:
            stream.close()
        return WireResponse(status=stream.status, headers=stream.headers, body=body)

    async def open(self, request: Outgoing, /) -> S3Stream:
        """Perform one operation and return once its answer, or an object's head, is there.

        Raises what ``send`` raises.
        """
        where = _where(request)
        try:
            answer = await self._perform(request)
        except ClientError as error:
            answer = error.response
            return S3Stream(_refused_status(answer), _headers(answer), None, _refused_body(answer), where)
        except ParamValidationError as error:
            raise errors.ConfigError(f"{where}: {_without_values(str(error))}") from None
        except _FOREIGN as error:
            raise _translated(error, where) from error
        except _UNFIT as error:
            raise errors.ConfigError(f"{where}: a parameter has a type that S3 doesn't take") from error
        if "Body" in answer:
            stream = S3Stream(_status(answer), _headers(answer), answer["Body"], b"", where)
            self._streams.add(stream)
            return stream
        told = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
        return S3Stream(_status(answer), _headers(answer), None, orjson.dumps(told, default=str), where)

    async def aclose(self) -> None:
        """Close every client. Idempotent."""
        self._closed = True
        for stream in list(self._streams):
            stream.close()
        async with self._lock:
            self._clients.clear()
            await self._stack.aclose()

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
        headers, url = request.headers, request.url.partition("?")[0]
        key = (headers.get(ACCESS_KEY), headers.get(SECRET_KEY), headers.get(SESSION_TOKEN))
        which = (url, *key, request.connect_timeout)
        client = self._clients.get(which)
        if client is not None:
            return client
        async with self._lock:
            if self._closed:
                raise errors.ClientClosedError("the transport is closed")
            if which not in self._clients:
                made = self._session.create_client("s3", **self._settings(request))
                self._clients[which] = await self._stack.enter_async_context(made)
            return self._clients[which]

    def _settings(self, request: Outgoing) -> dict[str, Any]:
        """What ``create_client`` is given; without credentials botocore looks for them."""
        url = request.url.partition("?")[0]
        own = url != AMAZON
        access, secret, token = _credentials(request.headers)
        settings: dict[str, Any] = {
            "endpoint_url": url if own else None,
            "region_name": os.environ.get("AWS_REGION")
            or self._session.get_config_variable("region")
            or "us-east-1",
            "aws_access_key_id": access,
            "aws_secret_access_key": secret,
            "aws_session_token": token,
            "config": _config(own, request.connect_timeout),
        }
        return {name: value for name, value in settings.items() if value is not None}

    async def _whole(self, stream: S3Stream) -> bytes:
        most = self._max_body_bytes
        length = stream.headers.get("content-length", "") if stream.is_object else ""
        pieces: list[bytes] = []
        size = int(length) if length.isdecimal() and int(length) > most else 0
        while size <= most and (piece := await stream.read()):
            pieces.append(piece)
            size += len(piece)
        if stream.is_object and size > most:
            raise errors.DecodeError(
                f"the object is larger than max_body_bytes ({most}); read it as a stream, or in ranges",
                retryable=False,
            )
        return b"".join(pieces)


class S3Stream:
    """An operation's answer; an object's is read from the connection, any other is there already.

    State: the botocore ``_body``, bytes that are there already (``_rest``), the ``_error`` of reads.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: Any, rest: bytes, where: str) -> None:
        self.status = status
        self.headers = headers
        self._body = body
        self._rest = rest
        self._where = where
        self._error: errors.AsyncAPIError | None = None

    @property
    def is_object(self) -> bool:
        """Whether the body is an object's."""
        return self._body is not None

    async def read(self) -> bytes:
        """The next piece, ``b""`` at the end.

        Raises:
            ConnectionLostError: The body ended before it was whole, or the stream was closed here.
        """
        if self._error is not None:
            raise self._error
        if self._body is None:
            rest, self._rest = self._rest, b""
            return rest
        try:
            piece: bytes = await self._body.read(_PIECE)
            if piece and not self._body.readable():
                await self._body.read(_PIECE)  # nothing is left: only now the sum of it all is checked
        except _FOREIGN as error:
            if self._error is None:
                self._error = _translated(error, self._where)
            raise self._error from error
        return piece

    def fail(self, error: errors.AsyncAPIError, /) -> None:
        """Make the pending and every later ``read`` raise ``error``, and drop the connection."""
        self._error = error
        self.close()

    def close(self) -> None:
        """Free the connection now: reused if the object was read to its end, else cut. Idempotent."""
        if self._body is None:
            return
        if self._error is None:
            self._error = errors.ConnectionLostError(f"{self._where}: the stream was closed here", sent=True)
        connection = self._body.raw_stream.connection
        transport = None if connection is None else connection.transport
        self._body.close()
        if transport is not None:
            transport.abort()  # a plain close would wait for TLS to say goodbye


@functools.cache
def _models() -> Any:
    """S3's model, read once a process: that is 0.1 s of the 0.11 s that a client takes to make."""
    return aiobotocore.session.get_session().get_component("data_loader")


def _quieten() -> None:
    """Keep secrets out of logs, unless somebody set these very loggers' levels."""
    for name in _TALKATIVE:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)


def _credentials(headers: Mapping[str, str]) -> tuple[str | None, str | None, str | None]:
    """The endpoint's key, or the pair of the older names; else None, and botocore looks."""
    if ACCESS_KEY in headers:
        return headers[ACCESS_KEY], headers[SECRET_KEY], headers.get(SESSION_TOKEN)
    return os.environ.get("S3_ACCESS_KEY") or None, os.environ.get("S3_SECRET_KEY") or None, None


def _config(own: bool, connect_timeout: float | None) -> AioConfig:
    """Of a client. ``own`` is a store that is not Amazon's."""
    return AioConfig(
        # In legacy mode max_attempts=1 still makes two requests: only the total switches retries off.
        retries={"total_max_attempts": 1, "mode": "standard"},
        signature_version="s3v4",  # else presigned URLs come in the old form
        connect_timeout=connect_timeout or 60,
        read_timeout=_SILENCE_SECONDS,
        max_pool_connections=_MOST_CONNECTIONS,
        user_agent_extra=f"asyncapi/{__version__}",
        http_session_cls=_OneTry,
        s3={"addressing_style": "path" if own else "auto"},
        # Stores other than Amazon's may refuse the checksums that are sent by default.
        request_checksum_calculation="when_required" if own else None,
        response_checksum_validation="when_required" if own else None,
    )


class _OneTry(AIOHTTPSession):  # type: ignore[misc]  # it has no types
    """Switches off what aiohttp sends again by itself, after a connection that was kept open is lost."""

    async def _get_session(self, proxy_url: str | None) -> aiohttp.ClientSession:
        session: aiohttp.ClientSession = await super()._get_session(proxy_url)
        session._retry_connection = False  # there is no public way
        return session


def _where(request: Outgoing) -> str:
    """Host and port: all of a request that messages may name."""
    return request.url.partition("?")[0].partition("://")[2].partition("/")[0]


def _status(answer: Mapping[str, Any]) -> int:
    return int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 200))


def _headers(answer: Mapping[str, Any]) -> Mapping[str, str]:
    return CIMultiDict(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}))


def _refused_status(answer: Mapping[str, Any]) -> int:
    """The status; an error may come inside a 200 (copy, complete), and is one all the same."""
    status = _status(answer)
    return status if status >= 300 else 500


def _refused_body(answer: Mapping[str, Any]) -> bytes:
    error = answer.get("Error", {})
    return orjson.dumps({"Error": {name: str(error[name]) for name in _TOLD if name in error}})


def _without_values(report: str) -> str:
    """botocore's report of wrong parameters, in one line, up to the first value: it may be secret."""
    return " ".join(report.partition(", value:")[0].split())[:500]


def _translated(error: Exception, where: str) -> errors.AsyncAPIError:
    match error:
        case ConnectTimeoutError():
            return errors.ConnectError(
                f"{where}: no connection within the connect timeout; check the network"
            )
        case ProxyConnectionError():
            return errors.ConnectError(
                f"no connection to the proxy for {where}; check HTTP_PROXY, HTTPS_PROXY"
            )
        case EndpointConnectionError() if _never_connected(error):
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
        case ResponseParserError() | ChecksumError() | FlexibleChecksumError():
            return errors.DecodeError(f"{where}: the answer can't be read ({type(error).__name__})")
        case HTTPClientError() if isinstance(error.kwargs.get("error"), aiohttp.ClientResponseError):
            return errors.DecodeError(f"{where}: the answer is not valid HTTP/1.1; check scheme and port")
        case EndpointConnectionError() | HTTPClientError() | IncompleteReadError():
            return _lost(where)
        case BotoCoreError():
            return errors.ConfigError(
                f"{where}: botocore can't begin ({type(error).__name__}); check AWS_PROFILE, AWS_REGION and "
                "the files in ~/.aws"
            )
        case _:
            return _lost(where)


def _never_connected(error: EndpointConnectionError) -> bool:
    """aiobotocore has one exception for no connection and for one that broke."""
    inner = error.kwargs.get("error")
    return not isinstance(inner, aiohttp.ClientError) or isinstance(inner, aiohttp.ClientConnectorError)


def _lost(where: str) -> errors.AsyncAPIError:
    return errors.ConnectionLostError(f"{where}: the connection was closed before the answer was whole")
