"""Routes: one name for several targets, each ``endpoint:model``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from math import exp

import msgspec

from asyncapi._core.call import Call
from asyncapi._core.endpoint import Endpoint
from asyncapi._core.hedging import Hedger, Plan
from asyncapi._core.lease import Lease
from asyncapi.config import Hedge, Route, Timeout
from asyncapi.errors import AsyncAPIError, ConfigError
from asyncapi.options import CallOptions
from asyncapi.policies.affinity import bounds, ranked
from asyncapi.policies.load import DECAY_S
from asyncapi.policies.outliers import OutlierDetector
from asyncapi.policies.routing import by_choice, by_load, order
from asyncapi.runtime import Runtime
from asyncapi.types.events import RouteEjected, RouteMoved
from asyncapi.types.requests import Request

__all__ = ["Routes", "Way"]


class Routes:
    """The routes of a client.

    State: those ``_made``, when they are first asked for.

    Raises:
        ConfigError: A name that could be mistaken for a model or an endpoint, or a target that is none.
    """

    def __init__(self, runtime: Runtime, routes: Mapping[str, Route]) -> None:
        self._runtime = runtime
        self._routes = routes
        self._made: dict[str, _Route] = {}
        for name, route in routes.items():
            if ":" in name or runtime.knows(name):
                raise ConfigError(f"routes.{name}: give the route a name that no endpoint and no model has")
            for target in route.targets:
                endpoint = target.partition(":")[0]
                if not runtime.knows(endpoint):
                    raise ConfigError(f"routes.{name}: {target!r} names no endpoint that there is")
                if route.strategy == "adaptive" or route.outliers is not None:
                    runtime.learned.add(endpoint)
                if route.hedge:
                    runtime.hedged.add(endpoint)

    def __contains__(self, model: str) -> bool:
        return model in self._routes

    def targets(self, model: str) -> tuple[str, ...]:
        """Where requests for a model may go: a route's targets, or the model itself."""
        return self._routes[model].targets if model in self._routes else (model,)

    def way(self, request: Request, options: CallOptions) -> Way:
        """The way of one request through its route."""
        self._runtime.bind()
        name = request.model
        route = self._made.get(name)
        if route is None:
            route = self._made[name] = _Route(self._runtime, name, self._routes[name])
        return Way(self._runtime, request, options, route.order(options.get("session") or ""), route.hedger)

    def room(self, request: Request) -> tuple[str, int]:
        """A request's first endpoint, and how many calls it holds."""
        if request.model in self._routes:
            request = msgspec.structs.replace(request, model=self._routes[request.model].targets[0])
        return self._runtime.room(request)


class _Route:
    """One route at work: who is tried first. State: what its ``_outliers`` counted, its ``hedger``."""

    def __init__(self, runtime: Runtime, name: str, settings: Route) -> None:
        self._runtime = runtime
        self._name = name
        self._settings = settings
        self._targets = settings.targets
        self._shared = settings.strategy != "in_order" or bool(settings.weights)
        hedge = Hedge() if settings.hedge is True else settings.hedge
        self.hedger = Hedger(hedge) if isinstance(hedge, Hedge) else None
        self._outliers: OutlierDetector | None = None
        if settings.outliers is not None:
            self._outliers = OutlierDetector(settings.outliers, settings.targets, self._ejected)
            self._watch(self._outliers)

    def order(self, session: str) -> Sequence[str]:
        """The targets in the order in which a call tries them."""
        if session and self._shared:
            ordered = self._by_session(session)
        elif self._settings.strategy == "least_loaded":
            ordered = by_load(self._targets, self._share, self._runtime.random)
        elif self._settings.strategy == "adaptive":
            ordered = self._rested(by_choice(self._targets, self._load, self._runtime.random))
        else:
            ordered = order(self._targets, self._settings.weights, self._runtime.random)
        if self._outliers is None:
            return ordered
        now, ejected = self._runtime.clock(), self._outliers.ejected
        return sorted(ordered, key=lambda target: ejected(target, now))

    # --- loads --------------------------------------------------------------------------------

    def _endpoint(self, target: str) -> Endpoint:
        return self._runtime.endpoint(target.partition(":")[0])

    def _share(self, target: str) -> float:
        """What is under way and waiting for a target's endpoint, here and there, as a share of its limit."""
        endpoint = self._endpoint(target)
        return _work(endpoint, self._runtime.clock()) / endpoint.semaphore.limit.value

    def _load(self, target: str) -> float:
        endpoint, now = self._endpoint(target), self._runtime.clock()
        assert endpoint.learner is not None
        return endpoint.learner.load.value(
            _work(endpoint, now),
            now,
            weight=self._weight(target),
            headroom=endpoint.keys.headroom(now),
        )

    def _weight(self, target: str) -> float:
        weights = self._settings.weights
        return weights[self._targets.index(target)] if weights else 1.0

    def _rested(self, targets: Sequence[str]) -> list[str]:
        """Those that would keep a call waiting come last, the first to be back first."""
        now = self._runtime.clock()
        return sorted(targets, key=lambda target: _rest(self._endpoint(target), now))

    def _by_session(self, session: str) -> list[str]:
        targets, work = self._targets, [_ours(self._endpoint(target)) for target in self._targets]
        limits = [float(self._endpoint(target).semaphore.limit.value) for target in targets]
        places = ranked(session, targets, self._settings.weights)
        most = bounds(sum(work), limits)
        near = sorted(places, key=lambda place: work[place] >= most[place])
        return self._rested([targets[place] for place in near])

    # --- outliers -----------------------------------------------------------------------------

    def _watch(self, outliers: OutlierDetector) -> None:
        for endpoint in {target.partition(":")[0] for target in self._targets}:
            learner = self._runtime.endpoint(endpoint).learner
            assert learner is not None
            models = frozenset(t.partition(":")[2] for t in self._targets if t.startswith(f"{endpoint}:"))
            learner.watchers.append(partial(_observe, outliers, endpoint, models))

    def _ejected(self, target: str, reason: str, seconds: float) -> None:
        self._runtime.emit(
            RouteEjected(
                endpoint=target.partition(":")[0],
                route=self._name,
                target=target,
                reason=reason,
                seconds_s=seconds,
            )
        )


def _observe(
    outliers: OutlierDetector, endpoint: str, models: frozenset[str], model: str, good: bool, now: float
) -> None:
    if model in models:
        outliers.observe(f"{endpoint}:{model}", good, now)


def _ours(endpoint: Endpoint) -> int:
    """Our own calls under way and waiting for an endpoint."""
    return endpoint.semaphore.in_flight + endpoint.queue.qsize()


def _work(endpoint: Endpoint, now: float) -> float:
    """The same, and those that the service said are waiting there.

    It says so only in its answers: what it said fades, or a server that was busy once would not be asked
    again for as long as others are less so.
    """
    work = float(_ours(endpoint))
    if endpoint.waiting_there:
        work += endpoint.waiting_there * exp(-(now - endpoint.waiting_told) / DECAY_S)
    return work


def _rest(endpoint: Endpoint, now: float) -> float:
    """Seconds for which an endpoint would keep any call waiting: breaker, cool-down, rates, keys."""
    return endpoint.breaker.wait(now) or max(0.0, endpoint.cool_until - now) or endpoint.keys.wait(now)


class Way:
    """One request on its route: the same id and the same deadline at every target.

    State: ``_begun``, whether a target was asked: then a client that drains lets it go on to the next.
    """

    def __init__(
        self,
        runtime: Runtime,
        request: Request,
        options: CallOptions,
        targets: Sequence[str],
        hedger: Hedger | None = None,
    ) -> None:
        self.targets = targets
        self._hedger = hedger
        self._begun = False
        self._runtime = runtime
        self._request = request
        self._options: CallOptions = {**options, "request_id": options.get("request_id") or runtime.new_id()}
        total = options.get("timeout")
        if isinstance(total, Timeout):
            total = total.total
        self._deadline = None if total is None else runtime.clock() + total

    def call(self, target: str, patient: bool) -> Call:
        """The call to one target. Only a patient one waits for a service that rests, or its breaker."""
        request = msgspec.structs.replace(self._request, model=target)
        call = self._runtime.call(request, self._options, admitted=self._begun)
        self._begun = True
        if self._deadline is not None:
            call.deadline = self._deadline
        call.patient = patient
        if self._hedger is not None:
            call.plan = Plan(self._hedger, partial(self._copy, target))
        if not patient and not self._options.get("on_open"):
            call.on_open = "fail"
        return call

    def _copy(self, target: str, call: Call, lease: Lease) -> Call | None:
        """A copy of a call to one target for the next one in order that has room."""
        assert self._hedger is not None
        place = self.targets.index(target)
        for other in [*self.targets[place + 1 :], *self.targets[:place]]:
            name, _, model = other.partition(":")
            endpoint = self._runtime.endpoint(name)
            if endpoint is not call.home and self._hedger.fits(endpoint):
                request = msgspec.structs.replace(call.request, model=model)
                return Call(endpoint, request, call.options, call.id)
        return None

    def rest(self, target: str) -> float:
        """Seconds until a target may be asked again; infinity if that is too late, or it does not rest."""
        endpoint, now = self._runtime.endpoint(target.partition(":")[0]), self._runtime.clock()
        if (self._options.get("on_open") or endpoint.on_open) == "fail" and endpoint.breaker.wait(now):
            return math.inf
        rest = _rest(endpoint, now)
        late = self._deadline is not None and now + rest >= self._deadline
        return math.inf if late else rest

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
