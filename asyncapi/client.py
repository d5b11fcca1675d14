"""The client: one object, one verb per kind of work."""

from __future__ import annotations

import copy
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack, cast

import msgspec

from asyncapi._core.call import Call
from asyncapi._core.endpoint import Endpoint as CoreEndpoint
from asyncapi._core.hedging import stream_of
from asyncapi._core.mapping import Done, Source, map_calls
from asyncapi._core.perform import perform
from asyncapi._core.routing import RoutedStream, first_that_answers
from asyncapi._core.shared_stream import MakeStream
from asyncapi._core.streaming import Stream
from asyncapi.abc import Backend, Hook, Store, Transport
from asyncapi.arguments import ChatOptions, CompleteOptions, chat_request, complete_request
from asyncapi.config import Cache, Endpoint, Key, Price, Route, Settings, SingleFlight, Timeout, load
from asyncapi.errors import ConfigError
from asyncapi.objects import Objects
from asyncapi.options import CallOptions, check_options
from asyncapi.routes import Routes
from asyncapi.runtime import Runtime
from asyncapi.switches import BreakerSwitch
from asyncapi.telemetry.values import Statistics
from asyncapi.types.messages import MessageLike
from asyncapi.types.requests import ChatRequest, Request, RespondRequest
from asyncapi.types.responses import ChatResponse, CompleteResponse, Response
from asyncapi.verbs import Verbs

if TYPE_CHECKING:
    from asyncapi.asked import Asked

__all__ = ["CallOptions", "Client", "Keys"]


class Client(Verbs):
    """Awaits AI services: one event loop, one interface, any number of endpoints.

    Without ``endpoints`` every known backend is an endpoint, made when it is first asked for, with
    keys and URL from the environment. One client serves one event loop; close it with ``async with``
    or ``aclose``.

    Args:
        endpoints: Endpoints, or names of backends, or what ``asyncapi.config.load`` read from a file.
        routes: Names for several targets: ``{"smart": ["openai:gpt-5", "claude:claude-sonnet-5"]}``, tried in
            order, or by weight with a ``Route``. ``client.chat("smart", ...)`` gets the first answer.
        profile: "balanced", "high-throughput", "high-reliability" or "low-resource".
        timeout: For calls that name none.
        transport: Instead of HTTP, for tests or other protocols; not closed with the client.
        backends: Backends of your own, found by their ``name``.
        hooks: Told of every event, after the statistics.
        cache: Answers kept for the next time the same is asked: a ``Cache``, or a store of your own. Calls
            that ask the same at the same time share one request then, unless ``single_flight`` is False.
        single_flight: Whether identical calls in flight share one request: all of them (True), or only
            "deterministic" ones (temperature 0, a seed, embeddings and the like). None: where the cache is.
        prices: What tokens cost, by "endpoint:model" or route, for the statistics of what was saved.
        log: Whether to write structlog events (quiet until logging is configured); or a structlog logger.
        environment: Instead of the process environment.
        seed: For jitter; None is different each time.

    Raises:
        ConfigError: Settings that can't be; the message says where and what to do.
    """

    def __init__(
        self,
        endpoints: Iterable[Endpoint | str] | Settings | None = None,
        *,
        routes: Mapping[str, Route | Sequence[str]] | None = None,
        profile: str | None = None,
        timeout: Timeout | float | None = None,
        transport: Transport | None = None,
        backends: Iterable[Backend] = (),
        hooks: Iterable[Hook] = (),
        cache: Cache | Store | None = None,
        single_flight: SingleFlight | None = None,
        prices: Mapping[str, Price] | None = None,
        log: Any = True,
        environment: Mapping[str, str] | None = None,
        seed: int | None = None,
    ) -> None:
        self._options: CallOptions = {} if timeout is None else {"timeout": timeout}
        given = _settings(endpoints, routes or {})
        self._runtime = Runtime(
            given,
            profile,
            transport,
            backends,
            hooks,
            log,
            os.environ if environment is None else environment,
            seed,
        )
        self._routes = Routes(self._runtime, given.routes)
        self._given = _before(given, cache, single_flight, prices)
        self._asked: Asked | None = None
        if self._given.cache is not None or self._given.single_flight is not None:
            self._asked = self._stations()
        self._plain = self._asked is None and not given.routes

    @classmethod
    def from_file(cls, path: str | os.PathLike[str] = "asyncapi.toml", **settings: Any) -> Client:
        """A client with the endpoints of a TOML file. ``settings`` are those of the constructor.

        Raises:
            ConfigError: The file is missing or wrong; the message names file, place and remedy.
        """
        return cls(load(path), **settings)

    async def __aenter__(self) -> Client:
        self._runtime.bind()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self, *, drain: float = 0.0) -> None:
        """Stop every task and close every connection. Idempotent.

        New calls are refused from the first moment. With ``drain``, what is under way (gathering, waiting,
        in flight, between two attempts) may go on; batches leave at once. When everything has ended, or
        the time is over, the rest is ended: calls that wait get ``ClientClosedError``, calls in flight
        ``ConnectionLostError`` (streams ``StreamInterruptedError`` with what arrived). A ``transport`` that
        you gave stays open, and calls in flight on it go on.

        Whoever cancels this, or closes again without ``drain``, ends the waiting: it closes now.

        Args:
            drain: How long to let calls finish, in seconds; ``math.inf`` until the last one has.

        Raises:
            ConfigError: ``drain`` is negative, or not a number.
        """
        if not drain >= 0.0:
            raise ConfigError(f"drain: expected 0 seconds or more, got {drain}")
        await self._runtime.aclose(drain)

    def with_options(self, **options: Unpack[CallOptions]) -> Client:
        """The same client with other defaults for its calls; it shares everything else."""
        check_options(options)
        view = copy.copy(self)
        view._options = cast(CallOptions, {**self._options, **options})
        view._plain = self._plain and _BEFORE.isdisjoint(options)
        return view

    # --- verbs --------------------------------------------------------------------------------

    async def call(self, request: Request, **options: Unpack[CallOptions]) -> Response:
        """Any request; ``request.model`` is ``endpoint:model``.

        Raises:
            AsyncAPIError: See ``asyncapi.errors``.
        """
        if self._plain and not options:  # chosen once: nothing stands before it
            return await perform(self._runtime.call(request, self._options))
        merged = cast(CallOptions, {**self._options, **options})
        if self._asked is not None or not _BEFORE.isdisjoint(merged):
            return await self._stations().call(request, merged, self._send)
        return await self._send(request, merged, perform)

    def stream(
        self, model: str, messages: str | Sequence[MessageLike], **options: Unpack[ChatOptions]
    ) -> Stream[ChatResponse]:
        """A chat chunk by chunk: ``async with`` it, then ``async for chunk in stream``."""
        request, rest = chat_request(ChatRequest, model, messages, options, stream=True)
        return self._stream(request, rest)

    def stream_respond(
        self, model: str, messages: str | Sequence[MessageLike], **options: Unpack[ChatOptions]
    ) -> Stream[ChatResponse]:
        """The same through OpenAI's Responses API."""
        request, rest = chat_request(RespondRequest, model, messages, options, stream=True)
        return self._stream(request, rest)

    def stream_complete(
        self, model: str, prompt: str, **options: Unpack[CompleteOptions]
    ) -> Stream[CompleteResponse]:
        """A completion chunk by chunk."""
        request, rest = complete_request(model, prompt, options, stream=True)
        return self._stream(request, rest)

    def objects(self, model: str, **options: Unpack[CallOptions]) -> Objects:
        """A bucket of an object store: ``client.objects("s3_kit:my-bucket")``."""
        return Objects(self, lambda request: self._stream(request, options), model, options)

    def map(
        self, requests: Source, *, max_in_flight: int = 256, **options: Unpack[CallOptions]
    ) -> AsyncIterator[Done]:
        """Every request of a lazy source, results as they finish.

        At most ``max_in_flight`` requests are read and not yet yielded, and never more for an endpoint
        than its limit and queue hold. A call's error is its result; the others go on.
        """
        if max_in_flight < 1:
            raise ConfigError(f"max_in_flight: expected 1 or more, got {max_in_flight}")

        patient: CallOptions = {"shed": False, **options}  # who reads on is not waiting for one of them

        async def one(request: Request) -> Response:
            return await self.call(request, **patient)

        return map_calls(requests, one, self._routes.room, most=max_in_flight)

    # --- looking and steering -----------------------------------------------------------------

    def check(self, model: str) -> None:
        """Refuse a model, an endpoint or a route that can't be asked at all. Nothing is sent.

        Raises:
            ConfigError: There is no such endpoint, or it has no key or address.
        """
        for target in self._routes.targets(model):
            name, colon, _ = target.partition(":")
            self._runtime.endpoint(name, "" if colon else target)

    def statistics(self) -> Statistics:
        """Everything counted so far and what the endpoints are now, as a frozen value."""
        return self._runtime.statistics()

    def reset_statistics(self) -> None:
        """Count from zero. What is in flight stays in flight."""
        self._runtime.collector.reset()

    def keys(self, endpoint: str) -> Keys:
        """The keys of an endpoint, to add, remove, restore while running."""
        return Keys(self._runtime, self._runtime.endpoint(endpoint))

    def breaker(self, endpoint: str) -> BreakerSwitch:
        """The breaker of an endpoint, to look at, and to force open or closed while running."""
        return BreakerSwitch(self._runtime.endpoint(endpoint))

    def endpoints(self) -> tuple[str, ...]:
        """The names of the endpoints made so far."""
        return tuple(self._runtime.made)

    def _send(
        self, request: Request, options: CallOptions, run: Callable[[Call], Awaitable[Response]]
    ) -> Awaitable[Response]:
        """The answer of an endpoint, or of the first target of a route that answers."""
        if request.model not in self._routes:
            return run(self._runtime.call(request, options))
        way = self._routes.way(request, options)

        async def attempt(target: str, patient: bool) -> Response:
            return await run(way.call(target, patient))

        return first_that_answers(way, attempt)

    def _stream(self, request: Request, options: CallOptions) -> Stream[Any]:
        if self._plain and not options:
            call = self._runtime.call(request, self._options)
            return call.endpoint.stream(call)
        merged = cast(CallOptions, {**self._options, **options})
        if self._asked is not None or not _BEFORE.isdisjoint(merged):
            return self._stations().stream(request, merged, self._streams)
        return self._streams(request, merged, stream_of)

    def _streams(self, request: Request, options: CallOptions, make: MakeStream) -> Stream[Any]:
        if request.model not in self._routes:
            return make(self._runtime.call(request, options))
        way = self._routes.way(request, options)
        return RoutedStream(way, lambda target, patient: make(way.call(target, patient), admitted=True))

    def _stations(self) -> Asked:
        """What stands before the route: one for a client and its views, made when it is first needed."""
        if self._asked is None:
            from asyncapi.asked import Asked  # here, as most programs need neither cache nor single-flight

            if not isinstance(self._runtime.before, Asked):
                given = self._given
                self._runtime.before = Asked(
                    self._runtime,
                    self._routes.targets,
                    given.cache,
                    given.single_flight,
                    given.prices,
                    self._send,
                )
            self._asked = self._runtime.before
        return self._asked


#: The options of the stations before the route.
_BEFORE = frozenset({"cache", "single_flight"})


def _before(
    given: Settings,
    cache: Cache | Store | None,
    single_flight: SingleFlight | None,
    prices: Mapping[str, Price] | None,
) -> Settings:
    """The settings with those of the stations before the route, what is given in Python first."""
    chosen = given.cache if cache is None else cache if isinstance(cache, Cache) else Cache(cache)
    flight = given.single_flight if single_flight is None else single_flight
    if flight not in (None, True, False, "deterministic"):
        raise ConfigError(f'single_flight: expected true, false or "deterministic", got {flight!r:.40}')
    return Settings(cache=chosen, single_flight=flight, prices={**given.prices, **(prices or {})})


def _settings(
    endpoints: Iterable[Endpoint | str] | Settings | None, routes: Mapping[str, Route | Sequence[str]]
) -> Settings:
    made = {name: r if isinstance(r, Route) else Route(tuple(r)) for name, r in routes.items()}
    if isinstance(endpoints, Settings):
        return msgspec.structs.replace(endpoints, routes={**endpoints.routes, **made})
    given = tuple(Endpoint(e) if isinstance(e, str) else e for e in endpoints or ())
    return Settings(endpoints=given, routes=made)


class Keys:
    """The keys of one endpoint at work."""

    def __init__(self, runtime: Runtime, endpoint: CoreEndpoint) -> None:
        self._runtime = runtime
        self._endpoint = endpoint

    def names(self) -> tuple[str, ...]:
        """The keys' names in order."""
        return tuple(key.name for key in self._endpoint.keys.keys)

    def add(self, key: Key) -> None:
        """A further key, or a new secret under a known name. Calls under way keep the old one."""
        ring = self._endpoint.keys
        name = key.name or key.env or self._free_name()
        resolved = self._runtime.resolve_key(self._endpoint.name, msgspec.structs.replace(key, name=name))
        ring.remove("")  # the nameless stand-in of an endpoint without keys
        ring.add(self._runtime.key_state(self._endpoint.name, self._endpoint.backend, resolved))
        self._endpoint.worker.kick()

    def _free_name(self) -> str:
        names = [name for name in self.names() if name]
        numbers = itertools.count(len(names) + 1)
        return next(name for number in numbers if (name := f"key-{number}") not in names)

    def remove(self, name: str) -> None:
        """Take a key out. Calls under way finish with it; calls that could only use it are refused.

        Raises:
            ConfigError: There is no key of that name.
        """
        if not self._endpoint.keys.remove(name):
            raise ConfigError(f"{self._endpoint.name} has no key {name!r}; it has {', '.join(self.names())}")
        self._endpoint.reject_keyless()

    def restore(self, name: str) -> None:
        """Put a parked or cooling key back to work at once.

        Raises:
            ConfigError: There is no key of that name.
        """
        for key in self._endpoint.keys.keys:
            if key.name == name:
                key.restore()
                self._endpoint.worker.kick()
                return
        raise ConfigError(f"{self._endpoint.name} has no key {name!r}; it has {', '.join(self.names())}")
