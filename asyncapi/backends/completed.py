"""A backend of four members, completed with defaults for what it doesn't bring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from asyncapi.abc import Backend, ServiceBackend
from asyncapi.errors import AsyncAPIError, ConfigError
from asyncapi.types.requests import Request
from asyncapi.types.responses import Response
from asyncapi.types.wire import Service, WireRequest, WireResponse
from asyncapi.wire.errors import error_for

__all__ = ["completed"]


def completed(backend: Backend) -> ServiceBackend:
    """A backend with everything that it may have, whatever it brings itself."""
    if isinstance(backend, ServiceBackend):
        return backend
    return cast(ServiceBackend, _Completed(backend))


class _Completed:
    """A user's backend of four members, with defaults for the others."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.name = backend.name
        self.service: Service = getattr(backend, "service", None) or Service(
            name=backend.name,
            operations=getattr(backend, "operations", frozenset({"chat"})),
            base_url=getattr(backend, "base_url", ""),
            key_env=(f"{backend.name.upper()}_API_KEY",),
            url_env=(f"{backend.name.upper()}_BASE_URL",),
            needs_key=False,
        )

    def encode(self, request: Request, /) -> WireRequest:
        return self._backend.encode(request)

    def authorize(self, secret: str, /) -> Mapping[str, str]:
        return self._backend.authorize(secret)

    def decode(self, request: Request, reply: WireResponse, /) -> Response:
        return self._backend.decode(request, reply)

    def error(self, reply: WireResponse, /) -> AsyncAPIError:
        own = getattr(self._backend, "error", None)
        return own(reply) if own is not None else error_for(reply, service=self.name)

    def stream(self, request: Request, reply: WireResponse, /) -> Any:
        own = getattr(self._backend, "stream", None)
        if own is None:
            raise ConfigError(f"backend {self.name} has no stream(): use chat() instead of stream()")
        return own(request, reply)
