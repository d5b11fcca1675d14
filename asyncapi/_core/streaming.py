"""The same stations for a streamed answer.

Until the first chunk is there, a stream is retried like any call; after that, never: a stream that
breaks off raises with the part that arrived.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Generic, TypeVar, cast

from asyncapi._core.call import Call
from asyncapi._core.headers import observe
from asyncapi._core.lease import Lease
from asyncapi._core.perform import deadline_error, fail, outgoing, read_all, succeed, within_first_byte
from asyncapi._core.settling import failed, lost
from asyncapi.abc import StreamDecoder, WireStream
from asyncapi.errors import AsyncAPIError, ConfigError, ReadTimeoutError, StreamInterruptedError
from asyncapi.policies.verdict import IGNORED, OK, Judgement
from asyncapi.types.responses import Chunk, Response
from asyncapi.types.wire import WireResponse

__all__ = ["Stream"]

E = TypeVar("E", bound=BaseException)
R = TypeVar("R", bound=Response)


class Stream(Generic[R]):
    """A streamed answer: an async context manager around an async iterator of chunks.

    Entering waits for the lease and the first chunk. Leaving early frees permit and connection at once.

    Raises, while iterating:
        StreamInterruptedError: The stream ended without its dialect's proof of completion; ``partial``
            is the response so far, ``__cause__`` what happened.

    State: the ``_lease`` while it is held, the ``_wire`` and ``_decoder`` of the attempt, chunks that
    are ``_ready``, the whole ``_response`` once there, ``_entered``, ``_ended`` (counted), the ``_error``
    that ended it, the ``_watch`` over silence.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._lease: Lease | None = None
        self._wire: WireStream | None = None
        self._decoder: StreamDecoder | None = None
        self._watch: _Watch | None = None
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
        try:
            with call.endpoint.deadlines.within(call.deadline) as deadline:
                await self._attempts()
        except TimeoutError as error:
            raise self._fail(deadline_error(call) if deadline.expired else error) from error
        except BaseException as error:
            self._fail(error)
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
        # One coroutine down to the transport: each more would cost 1 us a chunk.
        while not self._ready:
            if self._ended:
                raise StopAsyncIteration
            try:
                if self._response is None:
                    wire, watch = self._reading()
                    watch.since = watch.clock()
                    data = await wire.read()
                    watch.since = None
                    self._take(data)
            except AsyncAPIError as error:
                raise self._broken(error) from (error.__cause__ if error is self._error else error)
            except BaseException as error:
                self._release(IGNORED)
                self._fail(error)
                raise
            if self._response is not None:
                self._release(OK)  # the permit is free before the last chunk is read
                if not self._ready:
                    self._succeed()
        return self._ready.popleft()

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
            lease = self._lease = await endpoint.acquire(call)
            try:
                await self._begin(lease)
            except BaseException as error:
                self._lease = None
                self._close()
                delay = failed(lease, error)
                if delay is None:
                    raise
            else:
                call.first_token_s = endpoint.clock() - lease.granted
                if self._response is not None:
                    self._release(OK)  # it all came in one piece
                return
            if delay:
                await asyncio.sleep(delay)

    async def _begin(self, lease: Lease) -> None:
        call, backend = self._call, self._call.endpoint.backend
        data = await within_first_byte(call, self._open(lease))
        assert self._wire is not None
        reply = WireResponse(status=self._wire.status, headers=self._wire.headers, body=b"")
        observe(lease, reply.headers)
        if not 200 <= reply.status < 300:
            body = data + await read_all(self._wire) if data else data
            raise backend.error(WireResponse(status=reply.status, headers=reply.headers, body=body))
        decoder = self._decoder = backend.stream(call.request, reply)
        self._watch = _Watch(call, self._wire)
        self._take(data)
        while not self._ready and self._response is None:
            if decoder.error is not None:
                raise decoder.error
            self._watch.since = self._watch.clock()
            data = await self._wire.read()
            self._watch.since = None
            self._take(data)

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

    def _reading(self) -> tuple[WireStream, _Watch]:
        """What is read from and watched, unless the decoder met an error in what was read."""
        decoder, wire, watch = self._decoder, self._wire, self._watch
        if decoder is None or wire is None or watch is None:
            raise ConfigError("a stream is read inside `async with client.stream(...) as stream:`")
        if decoder.error is not None:
            raise decoder.error
        return wire, watch

    def _broken(self, error: AsyncAPIError) -> AsyncAPIError:
        """What a reader is told of an error in mid-stream, which ends the stream."""
        if self._lease is None:
            return error  # it was never entered
        self._break(error)
        self._error = self._fail(self._interrupted(error))
        return self._error

    def _interrupted(self, error: AsyncAPIError) -> AsyncAPIError:
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


class _Watch:
    """Ends a stream whose service is silent for too long, or that lasts beyond its deadline.

    One timer that moves itself on, instead of one for each chunk. Time that the reader takes between
    two chunks is not the service's silence.

    State: ``since`` (when the pending read began, None while nobody reads), ``kept_waiting`` (the
    deadline passed while nobody read), and the ``_timer``.
    """

    def __init__(self, call: Call, wire: WireStream) -> None:
        self._call = call
        self._wire = wire
        self.clock = call.endpoint.clock
        self._idle = call.timeout.idle
        self.since: float | None = None
        self.kept_waiting = False
        self._timer: asyncio.TimerHandle | None = None
        self._arm(self.clock())

    def stop(self) -> None:
        """No more watching."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, since: float) -> None:
        ends = [t for t in (self._idle and since + self._idle, self._call.deadline) if t is not None]
        if ends:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, min(ends) - self.clock()), self._look)

    def _look(self) -> None:
        self._timer = None
        now, name = self.clock(), self._call.endpoint.name
        since = now if self.since is None else self.since
        if self._call.deadline is not None and now >= self._call.deadline:
            total = self._call.timeout.total
            self.kept_waiting = self.since is None
            self._wire.fail(
                ReadTimeoutError(f"{name} did not end its stream within {total} s", retryable=False)
            )
        elif self._idle is not None and now - since >= self._idle - 1e-9:  # rounding must not re-arm for ever
            self._wire.fail(ReadTimeoutError(f"{name} was silent for {self._idle} s in its stream"))
        else:
            self._arm(since)
