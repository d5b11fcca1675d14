"""Every exception that this package raises.

::

    AsyncAPIError                      .sent .retryable .retry_after .endpoint .request_id .attempts
      ConfigError                      wrong use, before anything runs (also a ValueError)
        UnknownModelError MissingKeyError UnsupportedOperationError
      NotSentError                     refused here: nothing left the process, nothing was billed
        QueueFullError CircuitOpenError NoKeyAvailableError DeadlineExceededError
        BudgetExceededError ClientClosedError
      TransportError                   no answer; .sent says whether bytes may have left
        ConnectError ReadTimeoutError ConnectionLostError
      ProviderError                    an answer with an error: .status .code .provider_request_id .body
        RateLimitError QuotaExhaustedError OverloadedError ServerError AuthenticationError
        PermissionDeniedError NotFoundError
        InvalidRequestError
          ContextLengthError ContentRefusedError
      DecodeError                      an answer that can't be read (.body keeps the bytes)
      StreamInterruptedError           part of an answer (.partial)

Two class attributes say what an error means to the policies and to the statistics:
``retryable`` (may the same call succeed on the same endpoint later?) and ``kind`` (the
word under which statistics, logs and metrics count it). ``asyncio.CancelledError`` is
never wrapped and never swallowed.
"""

from __future__ import annotations

from typing import ClassVar, Self, TypedDict, Unpack, cast

__all__ = [
    "AsyncAPIError",
    "AuthenticationError",
    "BudgetExceededError",
    "CircuitOpenError",
    "ClientClosedError",
    "ConfigError",
    "ConnectError",
    "ConnectionLostError",
    "ContentRefusedError",
    "ContextLengthError",
    "DeadlineExceededError",
    "DecodeError",
    "InvalidRequestError",
    "MissingKeyError",
    "NoKeyAvailableError",
    "NotFoundError",
    "NotSentError",
    "OverloadedError",
    "PermissionDeniedError",
    "ProviderError",
    "QueueFullError",
    "QuotaExhaustedError",
    "RateLimitError",
    "ReadTimeoutError",
    "ServerError",
    "StreamInterruptedError",
    "TransportError",
    "UnknownModelError",
    "UnsupportedOperationError",
]


class Context(TypedDict, total=False):
    """What every error may be given: the attributes of ``AsyncAPIError``."""

    endpoint: str
    request_id: str
    attempts: int
    retry_after: float | None
    sent: bool | None
    retryable: bool | None


class AsyncAPIError(Exception):
    """The root of the tree.

    Attributes:
        sent: Whether bytes of the last attempt left this process; None when that can't be known.
        retryable: Whether the same call may succeed on the same endpoint later.
        retry_after: Seconds after which to come back, when someone said so.
        endpoint: Name of the endpoint, empty before one was chosen.
        request_id: Our id of the call, the one in logs, events and the outgoing header.
        attempts: How many attempts were sent in all.
    """

    kind: ClassVar[str] = "error"
    sent: bool | None = None
    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        endpoint: str = "",
        request_id: str = "",
        attempts: int = 0,
        retry_after: float | None = None,
        sent: bool | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.endpoint = endpoint
        self.request_id = request_id
        self.attempts = attempts
        self.retry_after = retry_after
        if sent is not None:
            self.sent = sent
        if retryable is not None:
            self.retryable = retryable

    def __str__(self) -> str:
        where = ", ".join(
            f"{name} {value}"
            for name, value in (
                ("endpoint", self.endpoint),
                ("request", self.request_id),
                ("attempts", self.attempts),
            )
            if value
        )
        return f"{self.message} [{where}]" if where else self.message

    def copy(self) -> Self:
        """An equal error of its own, for another caller to be raised to."""
        cls, arguments, state = type(self), self.args, self.__dict__.copy()
        return cast(Self, _rebuild(cls, arguments, state))

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only constructors don't survive the default pickling by args.
        return (_rebuild, (type(self), self.args, self.__dict__.copy()))


def _rebuild(cls: type[AsyncAPIError], args: tuple[object, ...], state: dict[str, object]) -> AsyncAPIError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigError(AsyncAPIError, ValueError):
    """Wrong use: settings, arguments or environment. Raised before anything is sent."""

    kind = "config"
    sent = False


class UnknownModelError(ConfigError):
    """The model's prefix names no endpoint, route or backend."""


class MissingKeyError(ConfigError):
    """The service needs an API key and none was given or found in the environment."""


class UnsupportedOperationError(ConfigError):
    """The service does not offer this operation; the message names services that do."""


class NotSentError(AsyncAPIError):
    """Refused here. Nothing left the process: it cost nothing and is safe to send elsewhere."""

    kind = "refused"
    sent = False
    retryable = True


class QueueFullError(NotSentError):
    """The endpoint's queue holds as many calls as it may."""

    kind = "queue_full"


class CircuitOpenError(NotSentError):
    """The endpoint's breaker is open, or half-open with all its probes out."""

    kind = "circuit_open"


class NoKeyAvailableError(NotSentError):
    """Every key that this call may use is parked (revoked, without quota) or removed."""

    kind = "no_key"


class DeadlineExceededError(NotSentError):
    """The call's deadline passed, or is sure to pass, before it could be sent."""

    kind = "deadline_exceeded"
    retryable = False


class BudgetExceededError(NotSentError):
    """A spending limit set by the caller would be exceeded."""

    kind = "budget_exceeded"
    retryable = False


class ClientClosedError(NotSentError):
    """The client is closed or closing."""

    kind = "closed"
    retryable = False


class TransportError(AsyncAPIError):
    """No whole answer arrived."""

    kind = "transport"
    retryable = True


class ConnectError(TransportError):
    """No connection could be made: nothing was sent."""

    kind = "connect"
    sent = False


class ReadTimeoutError(TransportError):
    """The service was silent for longer than allowed (first byte, idle, or total)."""

    kind = "timeout"
    sent = True


class ConnectionLostError(TransportError):
    """The connection ended before the answer was whole."""

    kind = "connection_lost"


class ProviderError(AsyncAPIError):
    """The service answered with an error.

    Attributes:
        status: HTTP status, 200 for an error event inside a stream.
        code: The service's own code or type, empty when it gave none.
        provider_request_id: The service's own id of the request, to quote to its support.
        body: The start of the answer's body, at most 64 KiB.
    """

    kind = "provider"
    sent = True

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: str = "",
        provider_request_id: str = "",
        body: bytes = b"",
        **context: Unpack[Context],
    ) -> None:
        super().__init__(message, **context)
        self.status = status
        self.code = code
        self.provider_request_id = provider_request_id
        self.body = body[: 64 * 1024]


class RateLimitError(ProviderError):
    """Too many requests or tokens for this key: the key cools down, another may go on at once.

    ``scope`` is what was used up, where the service says so: "requests", "tokens", "day" (no use
    in waiting seconds) or "ramp" (the pace grew too fast).
    """

    kind = "rate_limited"
    scope: str = ""
    retryable = True


class QuotaExhaustedError(ProviderError):
    """Money, not rate: the key's credit or spending limit is used up. Never retried on this key."""

    kind = "quota_exhausted"


class OverloadedError(ProviderError):
    """The whole service is busy, whatever the key."""

    kind = "overloaded"
    retryable = True


class ServerError(ProviderError):
    """The service failed."""

    kind = "server_error"
    retryable = True


class AuthenticationError(ProviderError):
    """The key is wrong, revoked or expired."""

    kind = "authentication"


class PermissionDeniedError(ProviderError):
    """The key is good but may not do this."""

    kind = "permission_denied"


class NotFoundError(ProviderError):
    """The model or the path does not exist there."""

    kind = "not_found"


class InvalidRequestError(ProviderError):
    """The request itself is at fault: the same request will fail again."""

    kind = "invalid_request"


class ContextLengthError(InvalidRequestError):
    """The input is longer than the model or the service accepts."""

    kind = "context_length"


class ContentRefusedError(InvalidRequestError):
    """The service's content policy refused the input or the output."""

    kind = "content_refused"


class DecodeError(AsyncAPIError):
    """An answer arrived that can't be read. ``body`` keeps its start, at most 64 KiB."""

    kind = "decode"
    sent = True
    retryable = True

    def __init__(
        self,
        message: str,
        *,
        body: bytes = b"",
        **context: Unpack[Context],
    ) -> None:
        super().__init__(message, **context)
        self.body = body[: 64 * 1024]


class StreamInterruptedError(AsyncAPIError):
    """A stream ended without its dialect's proof of completion.

    Attributes:
        partial: The response assembled from what arrived, or None when nothing did.
            Its type is that of the whole response.
    """

    kind = "stream_interrupted"
    sent = True
    retryable = True

    def __init__(
        self,
        message: str,
        *,
        partial: object = None,
        **context: Unpack[Context],
    ) -> None:
        super().__init__(message, **context)
        self.partial = partial
