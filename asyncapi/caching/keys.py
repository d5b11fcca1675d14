"""The key of a request: the same for two requests that must have the same answer, else different.

In the key: the service (backend, base URL, headers), the tenant, operation, model, messages and every
parameter, those in ``extra`` included. Not in it, because the answer is the same: how the answer
travels (``stream``), who asks (``user_id``, ``metadata``, the API key), and what the scheduler is told
(request id, priority, timeout, tag). The tenant is in it so that tenants never see each other's answers.

Neither the order of the fields nor that of a mapping's own keys counts, nor whether a number is
written 0 or 0.0. Below that, order counts: a model writes the properties of a schema in the order in
which they are given, so two orders are two requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import blake2b
from typing import Any, get_args

import msgspec

from asyncapi.types.requests import Extra, Request

__all__ = ["VERSION", "canonical", "digest", "request_key", "service_identity"]

#: Part of every key. Raise it when the same request gets another key, or another meaning.
VERSION = 1

#: Fields that don't change the answer.
_IGNORED = frozenset({"model", "stream", "user_id", "metadata"})
#: Headers that carry keys or ids: their values change, and the answer doesn't.
_PERSONAL = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "api-key",
        "x-api-key",
        "x-goog-api-key",
        "x-auth-token",
        "idempotency-key",
        "x-request-id",
        "x-client-request-id",
        "x-correlation-id",
        "traceparent",
        "tracestate",
        "baggage",
    }
)

_encode = msgspec.msgpack.Encoder().encode


def service_identity(backend: str, base_url: str, headers: Mapping[str, str] | None = None) -> bytes:
    """What stands for a service in a key. Two endpoints with the same of all three share answers."""
    return digest(("service", backend, base_url, _public(headers or {}))) or b""


def request_key(request: Request, service: bytes, tenant: str = "") -> bytes | None:
    """The key of a request, None for one that can't have a key (it holds what no wire format knows).

    Args:
        request: ``request.model`` as the caller wrote it; what is before the colon is not in the key.
        service: Where it goes: ``service_identity``, or a digest of several for a route.
        tenant: Whose answers these are.
    """
    model = request.model.partition(":")[2]
    return digest((service, tenant, request.operation, model, canonical(request)))


def canonical(request: Request) -> dict[str, Any]:
    """The fields that decide the answer beside operation and model, those at their default left out.

    So a field that a later release adds changes no key as long as nobody sets it.
    """
    found: dict[str, Any] = {}
    for name, default, is_float in _fields(type(request)):
        value = getattr(request, name)
        if value is default or value == default:
            continue
        if is_float and type(value) is int:
            value = float(value)
        elif isinstance(value, Mapping):
            value = _sorted(value)
        elif isinstance(value, Extra):
            value = (_sorted(value.body), _public(value.headers), _sorted(value.query))
        found[name] = value
    return found


def digest(parts: Iterable[Any]) -> bytes | None:
    """32 bytes that stand for these values, None where one of them has no wire format."""
    try:
        return blake2b(_encode((VERSION, *parts)), digest_size=32).digest()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None


@cache
def _fields(kind: type[Request]) -> tuple[tuple[str, Any, bool], ...]:
    """Name, default, and whether it is a float, of each field that counts; by name, looked up once."""
    return tuple(
        (field.name, _default(field), float in (get_args(field.type) or (field.type,)))
        for field in sorted(msgspec.structs.fields(kind), key=lambda field: field.name)
        if field.name not in _IGNORED
    )


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _sorted(values: Mapping[str, Any]) -> dict[str, Any]:
    return dict(sorted(values.items()))


def _public(headers: Mapping[str, str]) -> dict[str, str]:
    lower = {name.lower(): value for name, value in headers.items()}
    return {name: lower[name] for name in sorted(lower) if name not in _PERSONAL}
