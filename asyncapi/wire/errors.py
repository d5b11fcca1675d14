"""From a reply that reports a failure to the exception that it means.

The verdict, first match wins: money codes; the table of the service, then the generic one, by the
reply's codes and types; the status. ``x-should-retry`` overrides whether it is worth a retry, but
never for money.

Source: the error pages of OpenAI, Anthropic, Groq, Gemini, vLLM, TGI and TEI.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from asyncapi.errors import (
    AsyncAPIError,
    AuthenticationError,
    ContentRefusedError,
    ContextLengthError,
    DecodeError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    ProviderError,
    QuotaExhaustedError,
    RateLimitError,
    ServerError,
)
from asyncapi.types.wire import WireResponse
from asyncapi.wire.envelopes import Envelope, read_envelope
from asyncapi.wire.masking import excerpt
from asyncapi.wire.ratelimit import lowered, retry_after

__all__ = ["GENERIC", "MONEY", "Row", "Table", "error_for", "is_error"]


class Row(msgspec.Struct, frozen=True):
    """What a signal means: the exception's class, and whether a retry helps if not as the class says."""

    error: type[ProviderError]
    retryable: bool | None = None
    scope: str = ""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """How a service's signals are read, where it differs from ``GENERIC``.

    ``signals`` are codes and types in lower case; they win over the status. ``texts`` are pieces of
    a 4xx's message in lower case, for services that have no code for it. ``types`` speak where the
    status says nothing, in a stream that began with 200.
    """

    signals: Mapping[str, Row] = {}
    texts: tuple[tuple[str, Row], ...] = ()
    statuses: Mapping[int, Row] = {}
    types: Mapping[str, Row] = {}


#: Codes that mean money, not rate: never retried on this key, whatever the headers say.
MONEY = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "billing_hard_limit_reached",
        "billing_not_active",
        "billing_error",
        "enforced_spend_limit_reached",
        "contract_spend_limit_reached",
        "linked_organization_billing_unavailable",
        "linked_organization_spend_limit_reached",
    }
)

_RETRY = Row(ServerError)
_OVERLOADED = Row(OverloadedError)
_RAMP = Row(RateLimitError, scope="ramp")
_CONTEXT = Row(ContextLengthError)
_REFUSED = Row(ContentRefusedError)
_INVALID = Row(InvalidRequestError)

#: What the services have in common.
GENERIC = Table(
    signals={
        "slow_down": _RAMP,
        "ramp_limit_exceeded": _RAMP,
        "server_is_overloaded": _OVERLOADED,
        "overloaded_error": _OVERLOADED,
        "overloaded": _OVERLOADED,
        "capacity_exceeded": _OVERLOADED,
        "context_length_exceeded": _CONTEXT,
        "request_too_large": _CONTEXT,
        "content_policy_violation": _REFUSED,
        "content_filter": _REFUSED,
        "invalid_api_key": Row(AuthenticationError),
        "api_key_invalid": Row(AuthenticationError),
        "model_not_found": Row(NotFoundError),
    },
    texts=(
        ("maximum context length", _CONTEXT),
        ("exceeds the context length", _CONTEXT),
        ("prompt is too long", _CONTEXT),
    ),
    statuses={
        401: Row(AuthenticationError),
        402: Row(QuotaExhaustedError),
        403: Row(PermissionDeniedError),
        404: Row(NotFoundError),
        408: _RETRY,
        413: _CONTEXT,
        424: _RETRY,
        425: Row(RateLimitError),
        429: Row(RateLimitError),
        466: _REFUSED,
        498: _OVERLOADED,
        499: Row(ServerError, retryable=False),
        501: Row(NotFoundError),
        529: _OVERLOADED,
    },
    types={
        "invalid_request_error": _INVALID,
        "badrequesterror": _INVALID,
        "invalid_argument": _INVALID,
        "authentication_error": Row(AuthenticationError),
        "unauthenticated": Row(AuthenticationError),
        "permission_error": Row(PermissionDeniedError),
        "permission_denied": Row(PermissionDeniedError),
        "not_found_error": Row(NotFoundError),
        "notfounderror": Row(NotFoundError),
        "rate_limit_error": Row(RateLimitError),
        "rate_limit_exceeded": Row(RateLimitError),
        "resource_exhausted": Row(RateLimitError),
        "unavailable": _OVERLOADED,
        "validation": _INVALID,
    },
)

_NONE = Table()


def error_for(reply: WireResponse, *, service: str, table: Table = _NONE) -> AsyncAPIError:
    """The exception that a reply means: an error status, a redirect, or an error inside a 200.

    For an error event inside a stream give the stream's status and headers and the event's data as
    the body.

    Args:
        reply: The reply.
        service: Name of the service, for the message.
        table: How the service differs from the others.
    """
    if 300 <= reply.status < 400:
        return _redirect(reply, service)
    envelope = read_envelope(reply.body)
    names = lowered(reply.headers)
    status = reply.status if reply.status >= 400 else envelope.status or reply.status
    row = _verdict(envelope, status, table)
    error = row.error(
        _message(service, status, envelope),
        status=reply.status,
        code=envelope.signals[0] if envelope.signals else "",
        provider_request_id=names.get("x-request-id") or names.get("request-id") or envelope.request_id,
        body=reply.body,
        retry_after=retry_after(
            reply.headers,
            envelope.body,
            envelope.message,
            exhausted=status == 429 or issubclass(row.error, RateLimitError),
        ),
        retryable=_retryable(row, names),
    )
    if isinstance(error, RateLimitError):
        error.scope = row.scope or _scope(envelope)
    return error


def _verdict(envelope: Envelope, status: int, table: Table) -> Row:
    signals = [signal.lower() for signal in envelope.signals]
    if not MONEY.isdisjoint(signals):
        return Row(QuotaExhaustedError, retryable=False)
    for rows in (table.signals, GENERIC.signals):
        for signal in signals:
            if signal in rows:
                return rows[signal]
    if status < 500:
        text = envelope.message.lower()
        for piece, row in (*table.texts, *GENERIC.texts):
            if piece in text:
                return row
    if status < 400:
        for signal in signals:
            if row_ := table.types.get(signal) or GENERIC.types.get(signal):
                return row_
        return _RETRY
    return (
        table.statuses.get(status) or GENERIC.statuses.get(status) or (_INVALID if status < 500 else _RETRY)
    )


def _retryable(row: Row, names: Mapping[str, str]) -> bool | None:
    if row.error is not QuotaExhaustedError:
        match names.get("x-should-retry", "").strip().lower():
            case "true":
                return True
            case "false":
                return False
    return row.retryable


def _scope(envelope: Envelope) -> str:
    for signal in envelope.signals:
        lower = signal.lower()
        if lower in ("requests", "tokens"):
            return lower
        if "perday" in lower:
            return "day"
    return ""


def _message(service: str, status: int, envelope: Envelope) -> str:
    text = excerpt(envelope.message)
    if status < 400:
        return f"{service} reported an error: {text or 'no message'}"
    if not text:
        try:
            text = HTTPStatus(status).phrase
        except ValueError:
            text = "no message"
    return f"{service} answered {status}: {text}"


def _redirect(reply: WireResponse, service: str) -> DecodeError:
    target = excerpt(lowered(reply.headers).get("location", "").partition("?")[0], 200) or "nowhere"
    return DecodeError(
        f"{service} answered {reply.status}, a redirect to {target}, which is not followed; "
        "set the endpoint's base_url to the final address",
        body=reply.body,
        retryable=False,
    )


def is_error(data: Any) -> bool:
    """Whether a parsed body or event of a 200 is an error envelope."""
    return type(data) is dict and (bool(data.get("error")) or data.get("object") == "error")
