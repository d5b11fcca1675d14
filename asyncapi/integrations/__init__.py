"""Inside web servers: one client for the server's life, errors as answers, aborted requests cancelled.

::

    aiohttp_web   client_context, errors, CLIENT      for aiohttp.web
    asgi          lifespan, with_client               for Starlette, FastAPI and any other ASGI application
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any, TypeAlias

from asyncapi.client import Client
from asyncapi.errors import (
    AsyncAPIError,
    ConfigError,
    InvalidRequestError,
    NotFoundError,
    NotSentError,
    OverloadedError,
    RateLimitError,
    ReadTimeoutError,
)

__all__ = ["Source", "answer_for", "make_client"]

#: A configuration file, a function that makes the client, or None for the environment.
Source: TypeAlias = str | os.PathLike[str] | Callable[[], Client] | None

_STATUS: tuple[tuple[type[AsyncAPIError], int], ...] = (
    (ConfigError, 500),
    (NotSentError, 503),
    (RateLimitError, 503),
    (OverloadedError, 503),
    (ReadTimeoutError, 504),
    (NotFoundError, 502),
    (InvalidRequestError, 400),
    (AsyncAPIError, 502),
)


def make_client(source: Source, **settings: Any) -> Client:
    """The client that a server has for its life."""
    if callable(source):
        return source()
    return Client(**settings) if source is None else Client.from_file(source, **settings)


def answer_for(error: AsyncAPIError) -> tuple[int, dict[str, str], dict[str, object]]:
    """Status, headers and JSON body for a call that failed inside a request.

    Refused or throttled is 503 with ``Retry-After`` where it is known, a timeout 504, a request that the
    service found wrong 400, other failures of the service 502. The body names the kind and our request
    id, not the service's words: they may speak of keys and accounts.
    """
    status = next(code for cls, code in _STATUS if isinstance(error, cls))
    headers = {}
    if status == 503 and error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    return status, headers, {"error": {"kind": error.kind, "request_id": error.request_id}}
