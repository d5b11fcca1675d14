"""Routes: one name for several targets, each ``endpoint:model``."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from asyncapi._core.call import Call
from asyncapi.config import Route, Timeout
from asyncapi.errors import AsyncAPIError, ConfigError
from asyncapi.policies.routing import by_load, order
from asyncapi.runtime import CallOptions, Runtime
from asyncapi.types.events import RouteMoved
from asyncapi.types.requests import Request

__all__ = ["Routes", "Way"]


class Routes:
    """The routes of a client.

    Raises:
        ConfigError: A name that could be mistaken for a model or an endpoint, or a target that is none.
    """

    def __init__(self, runtime: Runtime, routes: Mapping[str, Route]) -> None:
        self._runtime = runtime
        self._routes = routes
        for name, route in routes.items():
            if ":" in name or runtime.knows(name):
                raise ConfigError(f"routes.{name}: give the route a name that no endpoint and no model has")
            for target in route.targets:
                endpoint = target.partition(":")[0]
                if not runtime.knows(endpoint):
                    raise ConfigError(f"routes.{name}: {target!r} names no endpoint that there is")

    def __contains__(self, model: str) -> bool:
        return model in self._routes

    def targets(self, model: str) -> tuple[str, ...]:
        """Where requests for a model may go: a route's targets, or the model itself."""
        return self._routes[model].targets if model in self._routes else (model,)

    def way(self, request: Request, options: CallOptions) -> Way:
        """The way of one request through its route."""
        self._runtime.bind()
        route = self._routes[request.model]
        if route.strategy == "least_loaded":
            targets = by_load(route.targets, self._runtime.load, self._runtime.random)
        else:
            targets = order(route.targets, route.weights, self._runtime.random)
        return Way(self._runtime, request, options, targets)

    def room(self, request: Request) -> tuple[str, int]:
        """A request's first endpoint, and how many calls it holds."""
        if request.model in self._routes:
            request = msgspec.structs.replace(request, model=self._routes[request.model].targets[0])
        return self._runtime.room(request)


class Way:
    """One request on its route: the same id and the same deadline at every target."""

    def __init__(self, runtime: Runtime, request: Request, options: CallOptions, targets: list[str]) -> None:
        self.targets = targets
        self._runtime = runtime
        self._request = request
        self._options: CallOptions = {**options, "request_id": options.get("request_id") or runtime.new_id()}
        total = options.get("timeout")
        if isinstance(total, Timeout):
            total = total.total
        self._deadline = None if total is None else runtime.clock() + total

    def call(self, target: str, last: bool) -> Call:
        """The call to one target. Only the last one waits for an open breaker, if it is to wait at all."""
        request = msgspec.structs.replace(self._request, model=target)
        call = self._runtime.call(request, self._options)
        if self._deadline is not None:
            call.deadline = self._deadline
        if not last and not self._options.get("on_open"):
            call.on_open = "fail"
        return call

    def moved(self, here: str, there: str, error: AsyncAPIError) -> None:
        """Tell that the request goes on to its next target."""
        self._runtime.emit(
            RouteMoved(
                endpoint=here.partition(":")[0],
                request_id=self._options["request_id"],
                route=self._request.model,
                to=there,
                error=error.kind,
            )
        )
