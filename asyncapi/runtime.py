"""What a client and its views share: the endpoints, put together from settings, policies and core.

This is the only place where parts are put together.
"""

from __future__ import annotations

import asyncio
import difflib
import random
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from asyncapi._core.call import Call
from asyncapi._core.deadlines import Deadlines
from asyncapi._core.endpoint import Endpoint as CoreEndpoint
from asyncapi._core.endpoint import Parts
from asyncapi._core.learning import Learner
from asyncapi._core.shutdown import Closing, Shutdown
from asyncapi.abc import Backend, Hook, ServiceBackend, Transport
from asyncapi.backends import BACKENDS, get_backend, unsupported_operation
from asyncapi.backends.completed import completed
from asyncapi.config import Endpoint, Key, Resolved, ResolvedKey, Settings, resolve
from asyncapi.errors import ClientClosedError, ConfigError, UnknownModelError
from asyncapi.options import DEFAULT, CallOptions, options_of
from asyncapi.policies.fairness import Fair, Strict
from asyncapi.policies.hedging import Times
from asyncapi.policies.keys import KeyRing, KeyState
from asyncapi.policies.limits import limit_of
from asyncapi.policies.retry import RetryBudget, RetryPolicy
from asyncapi.policies.tokens import Kind
from asyncapi.telemetry.stats import Collector
from asyncapi.telemetry.values import Live, Statistics
from asyncapi.types.events import Event
from asyncapi.types.requests import Request
from asyncapi.types.wire import Service

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

__all__ = ["Runtime"]


class Runtime:
    """What a client and its views share.

    State: the ``_loop`` it is bound to with its ``clock``; the endpoints ``made`` and the ``_transports``
    needed so far; what stands ``before`` the route, if anything does; ``_count`` for request ids;
    ``_ending`` (no newcomers), and the ``_shutdown`` that follows.
    """

    def __init__(
        self,
        given: Settings,
        profile: str | None,
        transport: Transport | None,
        backends: Iterable[Backend],
        hooks: Iterable[Hook],
        log: Any,
        environment: Mapping[str, str],
        seed: int | None,
    ) -> None:
        self._profile = profile
        self._default_profile = given.profile or "balanced"
        self._transport = transport
        self._environment = environment
        self.random = random.Random(seed)
        self.learned: set[str] = set()  # endpoints that a route chooses by what their attempts teach
        self.hedged: set[str] = set()  # endpoints of routes that are hedged
        self._own = {backend.name: completed(backend) for backend in backends}
        self._given = bool(given.endpoints)
        self._settings: dict[str, Endpoint] = {}
        self._resolved: dict[str, Resolved] = {}
        for endpoint in given.endpoints:
            name = endpoint.name or endpoint.backend
            if name in self._settings:
                raise ConfigError(f"two endpoints are called {name!r}; give one of them another name")
            self._settings[name] = endpoint
            self._resolve(name)  # whatever is wrong is said now, not at the first call
        self.collector = Collector()
        self._hooks: list[Hook] = [self.collector, *hooks]
        if log is not False and log is not None:
            from asyncapi.telemetry.log import LogHook  # structlog takes 40 ms to import

            self._hooks.append(LogHook(None if log is True else log))
        self._told: dict[type[Event], list[Callable[[Event], None]]] = {}  # who wants what, asked once
        self.made: dict[str, CoreEndpoint] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.clock: Callable[[], float] = time.monotonic
        self._transports: dict[str, Transport] = {}
        self.deadlines = Deadlines()
        self._prefix = f"req_{secrets.token_hex(6)}_"
        self._count = 0
        self._ending = False
        self._shutdown = Shutdown(self.made, self._transports)
        self.before: Closing | None = None

    # --- calls --------------------------------------------------------------------------------

    def call(self, request: Request, options: CallOptions, *, admitted: bool = False) -> Call:
        """A call on its way: its endpoint found, its options applied, its id given.

        ``admitted`` says that it goes on with what was begun: only a client that is closed refuses it.
        """
        if not admitted or self._shutdown.closed:
            self.bind()
        name, colon, model = request.model.partition(":")
        endpoint = self.made.get(name) or self.endpoint(name, request.model if not colon else "", admitted)
        if request.operation not in endpoint.backend.service.operations:
            raise unsupported_operation(endpoint.backend.name, request.operation)
        request = msgspec.structs.replace(request, model=model)
        call_id = options.get("request_id") or self.new_id()
        return Call(endpoint, request, options_of(endpoint, options) if options else DEFAULT, call_id)

    def new_id(self) -> str:
        """An id for a call whose caller gave none: unique, and cheaper than a uuid (2 us)."""
        self._count += 1
        return f"{self._prefix}{self._count:x}"

    def knows(self, name: str) -> bool:
        """Whether there is, or could be made, an endpoint of that name."""
        return name in self._settings or (not self._given and (name in BACKENDS or name in self._own))

    def address(self, name: str, bare_model: str = "") -> Resolved:
        """Where the endpoint of that name is."""
        return self._resolved[self._find(name, bare_model)]

    def room(self, request: Request) -> tuple[str, int]:
        """A request's endpoint, and how many calls it holds whatever comes.

        Not limit and queue together: while a key rests nothing is in flight, and all of them wait.
        """
        endpoint = self.endpoint(request.model.partition(":")[0])
        return endpoint.name, max(endpoint.semaphore.limit.value, endpoint.queue.bound)

    def bind(self) -> None:
        """Belong to the running loop, or say that another one has it."""
        loop = asyncio.get_running_loop()
        if self._loop is loop and not self._ending:
            return
        if self._ending:
            state = "closed" if self._shutdown.closed else "closing"
            raise ClientClosedError(f"the client is {state}: nothing was sent; make a new one")
        if self._loop is not None:
            raise ConfigError(
                "this client belongs to another event loop; a client serves one loop: make one for each "
                "asyncio.run, thread or forked worker, inside it"
            )
        self._loop = loop
        # uvloop's own clock has a grain of 1 ms; the monotonic clock has the same origin.
        self.clock = time.monotonic if type(loop).__module__.startswith("uvloop") else loop.time

    # --- endpoints ----------------------------------------------------------------------------

    def endpoint(self, name: str, bare_model: str = "", admitted: bool = False) -> CoreEndpoint:
        """The endpoint of that name, or the one with that backend, made if need be."""
        endpoint = self.made.get(name)
        if endpoint is None:
            if not admitted:
                self.bind()
            found = self._find(name, bare_model)
            endpoint = self.made.get(found) or self._make(found)
            self.made[found] = endpoint
            if self._ending:
                self._shutdown.joins(endpoint)
        return endpoint

    def _find(self, name: str, bare_model: str) -> str:
        if name in self._settings:
            return name
        if self._given:
            same = [n for n, e in self._settings.items() if e.backend == name]
            if len(same) == 1:
                return same[0]
            if same:
                raise UnknownModelError(
                    f"{name!r} is served by several endpoints: name one of {', '.join(same)}"
                )
        elif name in BACKENDS or name in self._own:
            self._settings[name] = Endpoint(name)
            try:
                self._resolve(name)
            except ConfigError:
                del self._settings[name]
                raise
            return name
        raise self._unknown(name, bare_model)

    def _unknown(self, name: str, bare_model: str) -> UnknownModelError:
        known = sorted(self._settings if self._given else {*BACKENDS, *self._own})
        if bare_model:
            likely = "openai" if "openai" in known else known[0]
            return UnknownModelError(
                f"model {bare_model!r} has no prefix: write provider:model, such as {likely}:{bare_model}"
            )
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return UnknownModelError(f"no endpoint is called {name!r}; {hint}there are {', '.join(known)}")

    def _backend(self, name: str) -> ServiceBackend:
        own = self._own.get(name)
        return own if own is not None else completed(get_backend(name))

    def _resolve(self, name: str) -> Resolved:
        resolved = self._resolved[name] = self._concrete(self._settings[name])
        return resolved

    def _concrete(self, settings: Endpoint) -> Resolved:
        if self._profile and not settings.profile:
            settings = msgspec.structs.replace(settings, profile=self._profile)
        service = self._backend(settings.backend).service
        return resolve(settings, service, profile=self._default_profile, environment=self._environment)

    def _make(self, name: str) -> CoreEndpoint:
        settings = self._resolved[name]
        backend = self._backend(settings.backend)
        keys = [self.key_state(name, backend, key) for key in settings.keys]
        return CoreEndpoint(
            Parts(
                name=name,
                backend=backend,
                transport=self._transport_for(backend.service),
                base_url=settings.base_url,
                keys=KeyRing(
                    keys or [KeyState("", headers=self._headers(settings))], settings.strategy, self.random
                ),
                limit=limit_of(settings.limit),
                order=Strict() if settings.strict else Fair(settings.tenants),
                queue_size=settings.queue_size,
                retry=RetryPolicy(settings.retry, self.random),
                budget=RetryBudget(settings.retry.budget, settings.retry.reserve),
                breaker=settings.breaker,
                random=self.random,
                batch=settings.batch,
                timeout=settings.timeout,
                on_open=settings.on_open,
                shed=settings.shed,
                clock=self.clock,
                emit=self.emit,
                deadlines=self.deadlines,
                detail=any(hook.detail for hook in self._hooks),
                pace=_pace(settings.requests_per_second),
                learner=self._learner(settings),
                hedge=settings.hedge,
                hedged=settings.hedge is not None or name in self.hedged,
            )
        )

    def _learner(self, settings: Resolved) -> Learner | None:
        """What keeps what attempts teach, None where nobody asks for it."""
        if settings.hedge is not None or settings.name in self.hedged:
            return Learner(Times())
        return Learner() if settings.name in self.learned or settings.strategy == "adaptive" else None

    def key_state(self, name: str, backend: Backend, key: ResolvedKey) -> KeyState:
        """A key as the scheduler holds it: the headers that carry it, not the secret."""
        return KeyState(
            key.name,
            backend.authorize(key.secret),
            headers=self._headers(self._resolved[name]),
            weight=key.weight,
            requests_per_minute=key.requests_per_minute,
            users=key.users,
            tokens_per_minute={kind: limit for kind, limit in _token_limits(key) if limit is not None},
        )

    def resolve_key(self, name: str, key: Key) -> ResolvedKey:
        """A key added while running, its variable read now."""
        return self._concrete(msgspec.structs.replace(self._settings[name], keys=(key,))).keys[0]

    def _headers(self, settings: Resolved) -> dict[str, str]:
        """What every request of an endpoint has: made once."""
        load = self._backend(settings.backend).service.load
        asked = {} if load is None else dict([load.ask])
        return {"Content-Type": "application/json", **asked, **settings.headers}

    def _transport_for(self, service: Service) -> Transport:
        if self._transport is not None:
            return self._transport
        transport = self._transports.get(service.transport)
        if transport is None:
            transport = self._transports[service.transport] = _new_transport(service.transport)
        return transport

    # --- the rest -----------------------------------------------------------------------------

    def emit(self, event: Event) -> None:
        """Tell every hook that wants it."""
        told = self._told.get(type(event))
        if told is None:
            told = self._told[type(event)] = [h.on_event for h in self._hooks if _wants(h, type(event))]
        for on_event in told:
            try:
                on_event(event)
            except Exception as error:  # noqa: BLE001  a hook's bug must not fail a call; it is reported
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"{on_event!r} failed on {event.name}", "exception": error}
                )

    def statistics(self) -> Statistics:
        """Everything counted so far, and what the endpoints are now."""
        now = self.clock()
        return self.collector.snapshot({name: _live(e, now) for name, e in self.made.items()})

    async def aclose(self, drain: float) -> None:
        """Let what is under way end for ``drain`` seconds; then close endpoints, then transports."""
        self._ending = True
        try:
            await self._shutdown.aclose(drain)
        finally:
            if self.before is not None:
                await self.before.aclose()


def _token_limits(key: ResolvedKey) -> tuple[tuple[Kind, float | None], ...]:
    return (
        ("tokens", key.tokens_per_minute),
        ("input_tokens", key.input_tokens_per_minute),
        ("output_tokens", key.output_tokens_per_minute),
    )


def _pace(per_second: float | None) -> AsyncLimiter | None:
    if per_second is None:
        return None
    from aiolimiter import AsyncLimiter

    return AsyncLimiter(1, 1.0 / per_second)


def _wants(hook: Hook, kind: type[Event]) -> bool:
    if kind.detail and not hook.detail:
        return False
    wants: Callable[[type[Event]], bool] | None = getattr(hook, "wants", None)
    return wants is None or wants(kind)


def _new_transport(kind: str) -> Transport:
    """Imported only now: aiohttp takes 250 ms, aiobotocore 400 ms."""
    if kind == "s3":
        from asyncapi.transports.s3 import S3Transport

        return S3Transport()
    from asyncapi.transports import http_transport

    return http_transport()


def _live(endpoint: CoreEndpoint, now: float) -> Live:
    return Live(
        backend=endpoint.backend.name,
        waiting=endpoint.queue.qsize(),
        queue_size=endpoint.queue.bound,
        in_flight=endpoint.semaphore.in_flight,
        peak_in_flight=endpoint.semaphore.peak,
        limit=endpoint.semaphore.limit.value,
        breaker=endpoint.breaker.state.value,
        breaker_rates=endpoint.breaker.rates(now),
        keys={key.name: (key.in_flight, key.state(now)) for key in endpoint.keys.keys},
    )
