"""The same stations for a streamed answer.

Until the first chunk that says something is there, a stream is retried like any call; after that,
never: a stream that breaks off raises with the part that arrived.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Generic, TypeAlias, TypeVar, cast

from asyncapi._core.call import Call
from asyncapi._core.headers import observe
from asyncapi._core.lease import Lease
from asyncapi._core.perform import deadline_error, fail, outgoing, overdue, read_all, succeed, within
from asyncapi._core.settling import failed, heard, lost
from asyncapi._core.watch import Watch
from asyncapi.abc import StreamDecoder, WireStream
from asyncapi.errors import AsyncAPIError, ClientClosedError, ConfigError, StreamInterruptedError
from asyncapi.policies.verdict import IGNORED, OK, Judgement
from asyncapi.types.responses import Chunk, Response
from asyncapi.types.wire import WireResponse

__all__ = ["Stream"]

E = TypeVar("E", bound=BaseException)
R = TypeVar("R", bound=Response)
_Parts: TypeAlias = tuple[WireStream, Watch, StreamDecoder]


class Stream(Generic[R]):
    """A streamed answer: an async context manager around an async iterator of chunks.

    Entering waits for the lease and the first chunk. Leaving early frees permit and connection at once.

    Raises, while iterating:
        StreamInterruptedError: The stream ended without its dialect's proof of completion; ``partial``
            is the response so far, ``__cause__`` what happened.

    ``admitted``: it goes on with what was begun, so that a client that drains lets it in.

    State: the ``_lease`` while it is held, the ``_wire`` and ``_decoder`` of the attempt, chunks that
    are ``_ready``, the whole ``_response`` once there, ``_entered``, ``_ended`` (counted), the ``_error``
    that ended it, the ``_watch`` over silence; wire, watch and decoder once more as ``_parts``, in one
    piece for the reader.
    """

    def __init__(self, call: Call, *, admitted: bool = False, shared: bool = False) -> None:
        self._call = call
        self._admitted = admitted
        self._shared = shared
        self._lease: Lease | None = None
        self._wire: WireStream | None = None
        self._decoder: StreamDecoder | None = None
        self._watch: Watch | None = None
        self._parts: _Parts | None = None
        self._ready: deque[Chunk] = deque()
        self._response: Response | None = None
        self._entered = self._ended = False
        self._error: AsyncAPIError | None = None

    @property
    def request_id(self) -> str:
        """Our id of the call."""
        return self._call.id

    @property
    def response(self) -> R:
        """The whole answer, once the stream was read to its end.

        Raises:
            ConfigError: It is not there yet.
        """
        if self._response is None:
            raise ConfigError("stream.response is there once the stream was read to its end")
        return cast(R, self._response)

    async def __aenter__(self) -> Stream[R]:
        call = self._call
        if self._entered:
            raise ConfigError("a stream can be entered once: ask client.stream(...) for another one")
        self._entered = True
        call.endpoint.calls += 1
        try:
            if call.endpoint.on_rest is not None and not self._admitted:
                raise ClientClosedError("the client is closing: nothing was sent")
            with call.endpoint.deadlines.within(None if self._shared else call.deadline) as deadline:
                await self._attempts()
        except TimeoutError as error:
            raise self._fail(deadline_error(call) if deadline.expired else error) from error
        except BaseException as error:
            self._fail(overdue(call, error) if self._shared else error)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release(IGNORED)
        if self._ended:
            return
        if self._response is not None:
            self._succeed()
        else:
            self._fail(asyncio.CancelledError())  # left early: counted as cancelled

    def __aiter__(self) -> Stream[R]:
        return self

    async def __anext__(self) -> Chunk:
        # One coroutine down to the transport, and nothing called that can stand here: each coroutine
        # more would cost 1 us a chunk, each call a tenth of that.
        ready = self._ready
        while not ready:
            if self._ended:
                raise StopAsyncIteration
            try:
                if self._response is None:
                    wire, watch, decoder = self._parts or self._unentered()
                    if decoder.error is not None:
                        raise decoder.error
                    watch.since = watch.clock()
                    data = await wire.read()
                    watch.since = None
                    if data:
                        ready.extend(decoder.feed(data))
                    if (decoder.done or not data) and decoder.error is None:
                        self._response = decoder.finish()
            except AsyncAPIError as error:
                raise self._broken(error) from (error.__cause__ if error is self._error else error)
            except BaseException as error:
                self._release(IGNORED)
                self._fail(error)
                raise
            if self._response is not None:
                self._release(OK)  # the permit is free before the last chunk is read
                if not ready:
                    self._succeed()
        return ready.popleft()

    async def collect(self) -> R:
        """Read to the end and give the whole answer."""
        async for _ in self:
            pass
        return self.response

    async def _attempts(self) -> None:
        """As ``perform.attempts``, up to the first chunk."""
        call, endpoint = self._call, self._call.endpoint
        call.wire = endpoint.backend.encode(call.request)
        while True:
            lease = await endpoint.acquire(call)
            try:
                if call.timeout.first_token is None:
                    await self._begin(lease)
                else:
                    await within(call, call.timeout.first_token, "token", self._begin(lease))
            except BaseException as error:
                self._forget()
                delay = failed(lease, error)
                if delay is None:
                    raise
            else:
                return
            if delay:
                await endpoint.backoff.sleep(delay)

    def _forget(self) -> None:
        """An attempt failed: what it said bound nobody, and is not the next one's. Its lease ends apart."""
        self._lease = None
        self._close()
        self._ready.clear()

    def _adopt(self, other: Stream[R]) -> None:
        """Go on as another stream that has begun."""
        self._lease, self._wire, self._watch = other._lease, other._wire, other._watch
        self._decoder, self._parts = other._decoder, other._parts
        self._ready, self._response = other._ready, other._response
        if self._lease is not None:
            self._lease.call = self._call
        if self._watch is not None:
            self._watch.call = self._call

    async def _begin(self, lease: Lease) -> None:
        """One attempt, up to the first chunk that says something. It holds its lease from then on."""
        call, backend, self._lease = self._call, self._call.endpoint.backend, lease
        data = await within(call, call.timeout.first_byte, "byte", self._open(lease))
        assert self._wire is not None
        reply = WireResponse(status=self._wire.status, headers=self._wire.headers, body=b"")
        observe(lease, reply.headers)
        if not 200 <= reply.status < 300:
            body = data + await read_all(self._wire) if data else data
            raise backend.error(WireResponse(status=reply.status, headers=reply.headers, body=body))
        decoder = self._decoder = backend.stream(call.request, reply)
        self._watch = Watch(call, self._wire)
        self._take(data)
        # What says nothing (a role, a count) waits for what does: it must not bind the call to this target.
        while self._response is None and not self._begun():
            if decoder.error is not None:
                raise decoder.error
            self._watch.since = self._watch.clock()
            data = await self._wire.read()
            self._watch.since = None
            self._take(data)
        if (rate := call.timeout.minimum_rate) is not None:
            self._wire = self._watch.metered(rate, call.timeout.rate_window)
        self._parts = self._wire, self._watch, decoder
        now = call.endpoint.clock()
        call.first_token_s = now - lease.granted
        if call.endpoint.learner is not None:
            call.endpoint.learner.first_token(lease, call.first_token_s, now)
        if call.endpoint.semaphore.learn is not None:
            heard(lease, call.first_token_s, now)
        if self._response is not None:
            self._release(OK)  # it all came in one piece

    def _begun(self) -> bool:
        """Whether a chunk is there that has anything of the answer in it: more than counts."""
        for chunk in self._ready:
            if chunk.text or chunk.reasoning or chunk.refusal or chunk.data or chunk.finish_reason:
                return True
            if chunk.tool_call is not None or chunk.usage is None:  # none of all: it says it in ``raw``
                return True
        return False

    async def _open(self, lease: Lease) -> bytes:
        self._wire = await self._call.endpoint.transport.open(outgoing(lease))
        return await self._wire.read()

    def _take(self, data: bytes) -> None:
        """Feed one piece; at the stream's end, or once nothing of use can follow, the answer is whole."""
        decoder = self._decoder
        assert decoder is not None
        if data:
            self._ready.extend(decoder.feed(data))
        if decoder.error is None and (decoder.done or not data):
            self._response = decoder.finish()

    @staticmethod
    def _unentered() -> _Parts:
        raise ConfigError("a stream is read inside `async with client.stream(...) as stream:`")

    def _broken(self, error: AsyncAPIError) -> AsyncAPIError:
        """What a reader is told of an error in mid-stream, which ends the stream."""
        if self._lease is None:
            return error  # it was never entered
        self._break(error)
        self._error = self._fail(self.interrupted(error))
        return self._error

    def interrupted(self, error: AsyncAPIError) -> AsyncAPIError:
        """What a reader gets instead of ``error`` once a part of the answer is there: it has that part."""
        if isinstance(error, StreamInterruptedError):
            return error
        assert self._decoder is not None
        return StreamInterruptedError(
            f"the stream of {self._call.endpoint.name} broke off: {error.message}",
            partial=self._decoder.partial(),
            retry_after=error.retry_after,
        )

    def _break(self, error: AsyncAPIError) -> None:
        """Give everything back after an error in mid-stream."""
        assert self._watch is not None
        if self._watch.kept_waiting:
            self._release(IGNORED)
            return
        self._close()
        lease, self._lease = self._lease, None
        assert lease is not None  # an answer that is not whole still holds it
        lost(lease, error)

    def _release(self, judgement: Judgement) -> None:
        self._close()
        lease, self._lease = self._lease, None
        if lease is not None:
            self._call.endpoint.settle(lease, judgement, response=self._response)

    def _close(self) -> None:
        if self._watch is not None:
            self._watch.stop()
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _succeed(self) -> None:
        assert self._response is not None
        self._ended = True
        succeed(self._call, self._response)

    def _fail(self, error: E) -> E:
        self._ended = True
        return fail(self._call, error)
