"""What the stations before the route need to know of a request: may it share an answer, and whose?"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, cast

import msgspec

from asyncapi.caching.exact import ExactCache
from asyncapi.caching.keys import digest, request_key, service_identity
from asyncapi.caching.rules import deterministic, repeatable
from asyncapi.config import SingleFlight, Timeout
from asyncapi.errors import ConfigError
from asyncapi.options import CallOptions, check_options
from asyncapi.runtime import Runtime
from asyncapi.types.requests import Request

if TYPE_CHECKING:
    from asyncapi.caching.semantic import Subject

__all__ = ["Question", "Questions", "rest"]

_USES = ("use", "refresh", "off")


class Question(msgspec.Struct, gc=False):
    """A request that may find its answer before the route.

    ``ttl`` is how old an answer may be (seconds; 0: not from the cache), ``refresh`` that it is not read
    but written; ``flies`` says whether identical calls may share; ``asked`` is when. ``subject`` is what the
    semantic cache compares, once it was looked there.
    """

    request: Request
    options: CallOptions
    id: str
    key: bytes
    ttl: float
    refresh: bool
    flies: bool
    asked: float
    subject: Subject | None = None

    def flight_key(self) -> Hashable:
        """Calls that share a request must want it sent with the same key, and wait for a breaker alike."""
        if not self.flies:
            return object()
        options = self.options
        kind = (options.get("key"), options.get("user"), options.get("on_open"), self.request.streams)
        return (self.key, self.ttl > 0, *kind)

    def about(self) -> dict[str, str]:
        """What every event of these stations says."""
        name, colon, model = self.request.model.partition(":")
        return {
            "endpoint": name,
            "request_id": self.id,
            "operation": self.request.operation,
            "model": model if colon else name,
        }


class Questions:
    """Makes them.

    State: the ``_services`` that keys were made for, by endpoint or route.

    Args:
        runtime: The client's.
        targets: Where requests for a model may go.
        cache: The answers that are kept, if any are.
        single_flight: Which identical calls in flight share, for calls that don't say.
    """

    def __init__(
        self,
        runtime: Runtime,
        targets: Callable[[str], Sequence[str]],
        cache: ExactCache | None,
        single_flight: SingleFlight | None,
    ) -> None:
        self._runtime = runtime
        self._targets = targets
        self._cache = cache
        self._single_flight = single_flight
        self._services: dict[str, bytes] = {}

    def question(self, request: Request, options: CallOptions) -> Question | None:
        """None for a request that these stations let pass.

        Raises:
            ConfigError: An option that there is none of, or a model that leads nowhere.
        """
        self._runtime.bind()
        check_options(options)
        use = options.get("cache", "use")
        if use not in _USES:
            raise ConfigError(f"cache: expected one of {', '.join(_USES)}, got {use!r}")
        ttl = self._cache.ttl(request) if self._cache is not None and use != "off" else 0.0
        flies = self._flies(request, options, ttl)
        if not (ttl or flies):
            return None
        key = request_key(request, self.service(request.model), options.get("tenant", ""))
        if key is None:
            return None
        return Question(
            request=request,
            options=options,
            id=options.get("request_id") or self._runtime.new_id(),
            key=key,
            ttl=ttl,
            refresh=use == "refresh",
            flies=flies,
            asked=self._runtime.clock(),
        )

    def total(self, question: Question) -> float | None:
        """Seconds that the call may take, infinity without a limit.

        None on a route where the caller said nothing: its targets have times of their own.
        """
        if "timeout" in question.options:
            timeout = question.options["timeout"]
            total = timeout.total if isinstance(timeout, Timeout) else timeout
        else:
            targets = self._targets(question.request.model)
            if len(targets) > 1:
                return None
            total = self._runtime.endpoint(targets[0].partition(":")[0]).timeout.total
        return math.inf if total is None else total

    def _flies(self, request: Request, options: CallOptions, ttl: float) -> bool:
        wanted = options.get("single_flight", self._single_flight)
        if wanted is None:
            return ttl > 0
        return deterministic(request) if wanted == "deterministic" else bool(wanted) and repeatable(request)

    def service(self, model: str) -> bytes:
        """What stands in keys for where a request goes; for a route all of its targets, in order."""
        name, colon, _ = model.partition(":")
        service = self._services.get(name)
        if service is None:
            targets = self._targets(model)
            if colon or tuple(targets) == (model,):
                service = self._address(name, "" if colon else model)
            else:
                parts = [(self._address(t.partition(":")[0]), t.partition(":")[2]) for t in targets]
                service = digest(("route", *parts)) or b""
            self._services[name] = service
        return service

    def _address(self, name: str, bare_model: str = "") -> bytes:
        place = self._runtime.address(name, bare_model)
        return service_identity(place.backend, place.base_url, place.headers)


def rest(options: CallOptions, call_id: str = "") -> CallOptions:
    """The options for the stations that follow."""
    left = {name: value for name, value in options.items() if name not in ("cache", "single_flight")}
    if call_id:
        left["request_id"] = call_id
    return cast(CallOptions, left)
