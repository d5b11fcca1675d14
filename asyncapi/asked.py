"""The stations before the route: was it asked before (cache), is it just being asked (flight)?

A call that finds its answer here needs no permit, no key and no breaker. With a cache, calls whose
answers it would keep share a flight, too: a moment later they would get the same answer anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from msgspec.structs import force_setattr

from asyncapi._core.call import Call
from asyncapi._core.hedging import stream_of
from asyncapi._core.perform import perform
from asyncapi._core.shared_stream import MakeStream, SharedStream
from asyncapi._core.singleflight import Flight, Flights
from asyncapi._core.streaming import Stream
from asyncapi.caching.codec import decode, encode
from asyncapi.caching.opening import opened
from asyncapi.caching.replay import chunks_of
from asyncapi.config import Cache, Price, SingleFlight
from asyncapi.errors import ConfigError
from asyncapi.options import CallOptions
from asyncapi.question import Question, Questions, rest
from asyncapi.runtime import Runtime
from asyncapi.types.events import CacheFailed, CacheHit, CacheMissed, FlightJoined, FlightShared
from asyncapi.types.kept import Kept
from asyncapi.types.requests import Priority, Request
from asyncapi.types.responses import Chunk, Response, Served, Timings

if TYPE_CHECKING:
    from asyncapi.alike import Alike

__all__ = ["Asked", "Send", "Streams"]

#: The client's ways to send what is not here, through a route or not: a call, a stream.
Send: TypeAlias = Callable[[Request, CallOptions, Callable[[Call], Awaitable[Response]]], Awaitable[Response]]
Streams: TypeAlias = Callable[[Request, CallOptions, MakeStream], Stream[Any]]


class Asked:
    """Cache and single-flight of a client.

    State: the ``_flights`` under way, and whether a failure of the store was ``_told``.

    Args:
        runtime: The client's.
        targets: Where requests for a model may go.
        cache: Which answers are kept, if any are.
        single_flight: Which identical calls in flight share, for calls that don't say.
        prices: By "endpoint:model" or route.
        send: The client's way to send what has no answer here.
    """

    def __init__(
        self,
        runtime: Runtime,
        targets: Callable[[str], Sequence[str]],
        cache: Cache | None,
        single_flight: SingleFlight | None,
        prices: Mapping[str, Price],
        send: Send,
    ) -> None:
        self._runtime = runtime
        self._cache = None if cache is None else opened(cache)
        self._prices = prices
        self._questions = Questions(runtime, targets, self._cache, single_flight)
        self._flights = Flights(runtime.deadlines)
        self._told = False
        self._alike = self._by_meaning(cache, send)

    async def call(self, request: Request, options: CallOptions, send: Send) -> Response:
        """The answer: kept, shared, or sent for."""
        question = self._questions.question(request, options)
        if question is None:
            return await send(request, rest(options), perform)
        kept = await self._kept(question)
        if kept is not None:
            return self._hit(question, kept)
        if question.flies:
            return await self._shared(question, send)
        return await self._sent(question, send)

    def stream(self, request: Request, options: CallOptions, streams: Streams) -> Stream[Any]:
        """The same as a stream."""
        question = self._questions.question(request, options)
        if question is None:
            return streams(request, rest(options), stream_of)

        async def find() -> _KeptReading | _FlightReading:
            self._runtime.bind()
            kept = await self._kept(question, stream=True)
            if kept is not None:
                return _KeptReading(self._hit(question, kept), kept.chunks)
            return self._boarded(question, lambda flight: self._streamed(question, streams, flight))

        return SharedStream(question.id, find)

    async def aclose(self) -> None:
        """End the flights, then write what the store has not written yet."""
        await self._flights.aclose()
        if self._cache is not None:
            await self._cache.aclose()

    def _by_meaning(self, cache: Cache | None, send: Send) -> Alike | None:
        """The semantic cache, if the settings ask for one."""
        if cache is None or cache.semantic is None or self._cache is None:
            return None
        from asyncapi.alike import Alike  # here, as the guard's tables are only needed with it

        embed = cache.semantic.embed
        if isinstance(embed, str):
            self._runtime.address(embed.partition(":")[0])  # whatever is wrong is said now

        def ask(request: Request, options: CallOptions) -> Awaitable[Response]:
            return self.call(request, options, send)

        return Alike(
            cache.semantic, self._questions, self._cache, ask, self._failed, lambda: self._runtime.clock()
        )

    # --- cache --------------------------------------------------------------------------------

    async def _kept(self, question: Question, *, stream: bool = False) -> Kept | None:
        if self._cache is None or not question.ttl or question.refresh:
            return None
        try:
            kept = await self._cache.get(question.key, question.ttl, stream=stream)
        except ConfigError:
            raise  # a file that is no cache at all: nothing was sent yet
        except Exception as error:  # noqa: BLE001  a store that fails must not fail the call
            self._failed(question, error)
            return None
        if kept is None and self._alike is not None:
            kept = await self._alike.find(question, stream=stream)
        if kept is None:
            self._runtime.emit(CacheMissed(**question.about()))
        return kept

    async def _keep(self, question: Question, response: Response, chunks: Sequence[Chunk] = ()) -> None:
        if self._cache is None or not question.ttl:
            return
        try:
            kept = await self._cache.put(question.key, question.ttl, response, chunks)
            if kept and self._alike is not None:
                self._alike.keep(question)
        except Exception as error:  # noqa: BLE001  the same
            self._failed(question, error)

    def _hit(self, question: Question, kept: Kept) -> Response:
        response = kept.response
        served = Served(
            endpoint=kept.endpoint,
            backend=kept.backend,
            request_id=question.id,
            timings=Timings(total_s=self._runtime.clock() - question.asked),
            source="cache" if kept.similarity is None else "semantic",
            age_s=kept.age_s,
            similarity=kept.similarity,
        )
        force_setattr(response, "served", served)  # the last step of making it
        self._runtime.emit(
            CacheHit(
                **question.about(),
                age_s=kept.age_s,
                similarity=kept.similarity,
                usage=response.usage,
                money=self._money(question, response, kept.endpoint),
                tag=question.options.get("tag", ""),
            )
        )
        return response

    def _failed(self, question: Question, error: Exception, part: str = "store") -> None:
        endpoint = question.request.model.partition(":")[0]
        self._runtime.emit(CacheFailed(endpoint=endpoint, request_id=question.id, error=repr(error)))
        if not self._told:  # each time would be once a call for as long as it lasts
            self._told = True
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"the cache's {part} failed; calls go on without it", "exception": error}
            )

    # --- flight -------------------------------------------------------------------------------

    async def _sent(self, question: Question, send: Send) -> Response:
        response = await send(question.request, rest(question.options, question.id), perform)
        await self._keep(question, response)
        return response

    async def _flown(self, question: Question, send: Send, flight: Flight) -> Response:
        response = flight.response = await send(
            question.request,
            rest(question.options, question.id),
            lambda call: perform(flight.adopt(call), flight.shared),
        )
        await self._keep(question, response)
        return response

    async def _streamed(self, question: Question, streams: Streams, flight: Flight) -> Response:
        def make(call: Call, *, admitted: bool = False) -> Stream[Any]:
            return stream_of(flight.adopt(call), admitted=True, shared=flight.shared)

        stream = streams(question.request, rest(question.options, question.id), make)
        response = flight.response = await flight.read(stream)
        await self._keep(question, response, flight.chunks)
        return response

    async def _shared(self, question: Question, send: Send) -> Response:
        reading = self._boarded(question, lambda flight: self._flown(question, send, flight))
        try:
            while await reading.more():
                pass
            return reading.response()
        finally:
            reading.leave()

    def _boarded(
        self, question: Question, start: Callable[[Flight], Coroutine[Any, Any, Response]]
    ) -> _FlightReading:
        options, total = question.options, self._questions.total(question)
        deadline = None if total is None else question.asked + total
        flight = self._flights.board(
            question.flight_key(), start, deadline, options.get("priority", Priority.NORMAL), question.id
        )
        joined = flight.aboard > 1
        if joined:
            self._runtime.emit(FlightJoined(**question.about(), flight=flight.id))
        return _FlightReading(self, question, self._flights, flight, deadline, total)

    def landed(self, question: Question, flight: Flight) -> Response:
        """The answer for one of those aboard: the first gets it, the others copies of their own."""
        response = flight.response
        assert response is not None
        if not flight.taken:
            flight.taken = True
            if flight.aboard > 1:  # packed now: its reader may change it before the next one gets his
                flight.packed = encode(response, created=0.0, whole=True) or b""
            return response
        copy = decode(flight.packed, 0.0).response if flight.packed else msgspec.structs.replace(response)
        timings = Timings(total_s=self._runtime.clock() - question.asked)
        served = msgspec.structs.replace(
            response.served, request_id=question.id, timings=timings, source="flight"
        )
        force_setattr(copy, "served", served)
        self._runtime.emit(
            FlightShared(
                **question.about(),
                usage=response.usage,
                money=self._money(question, response, response.served.endpoint),
                tag=question.options.get("tag", ""),
            )
        )
        return copy

    def _money(self, question: Question, response: Response, endpoint: str) -> float | None:
        """What the answer cost, once."""
        if not self._prices:
            return None
        price = self._prices.get(question.request.model) or self._prices.get(f"{endpoint}:{response.model}")
        usage = response.usage
        if price is None or usage.total_tokens is None:
            return None
        return price.cost(
            usage.input_tokens or 0,
            usage.output_tokens or 0,
            usage.cache_read_tokens or 0,
            usage.cache_write_tokens or 0,
        )


class _KeptReading:
    """An answer from the cache, read as a stream."""

    def __init__(self, response: Response, chunks: Sequence[Chunk]) -> None:
        self.chunks = chunks or chunks_of(response)
        self._response = response

    async def more(self) -> bool:
        """Nothing is to come."""
        return False

    def response(self) -> Response:
        """The answer."""
        return self._response

    def leave(self) -> None:
        """Nothing was taken."""


class _FlightReading:
    """One place aboard a flight. State: the flight's, and whether this one ``_left``."""

    def __init__(
        self,
        asked: Asked,
        question: Question,
        flights: Flights,
        flight: Flight,
        deadline: float | None,
        total: float | None,
    ) -> None:
        self._asked = asked
        self._question = question
        self._flights = flights
        self._flight = flight
        self._deadline = deadline
        self._total = total

    @property
    def chunks(self) -> Sequence[Chunk]:
        """Those so far."""
        return self._flight.chunks

    async def more(self) -> bool:
        """Wait for the next chunk or the end."""
        flight, before = self._flight, len(self._flight.chunks)
        if not flight.ended:
            await self._flights.arrival(flight, self._deadline, self._total)
        if not flight.ended or len(flight.chunks) > before:
            return True
        if flight.error is not None:
            raise flight.failure()
        return False

    def response(self) -> Response:
        """The answer."""
        return self._asked.landed(self._question, self._flight)

    def leave(self) -> None:
        """One less aboard."""
        self._flights.leave(self._flight)
