"""What every stream of the dialect has: events with JSON in them, an end that proves itself, failures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import orjson

from asyncapi.backends._openai_codec import media_type
from asyncapi.backends._openai_quirks import Quirks
from asyncapi.backends._openai_reply import SHAPE_ERRORS
from asyncapi.errors import AsyncAPIError, DecodeError, StreamInterruptedError
from asyncapi.types.responses import Chunk, Response
from asyncapi.types.wire import WireResponse
from asyncapi.wire.errors import error_for, is_error
from asyncapi.wire.masking import excerpt
from asyncapi.wire.sse import MAXIMUM, SSEReader

__all__ = ["EventStream"]

R = TypeVar("R", bound=Response)


class EventStream(ABC, Generic[R]):
    """Reads one streamed answer.

    States: reading -> done (proof of completion) or failed (``error`` is set). Nothing that arrives
    later changes either.
    """

    def __init__(self, service: str, quirks: Quirks, status: int, headers: Mapping[str, str]) -> None:
        self.error: AsyncAPIError | None = None
        self.done = False
        self._service = service
        self._quirks = quirks
        self._status = status
        self._headers = headers
        self._reader = SSEReader()
        kind = media_type(headers)
        # Not a stream at all: a server that ignores "stream", or an error after all.
        self._plain = bytearray() if kind.startswith("application/json") else None
        if kind.startswith("text/html"):
            self.error = DecodeError(f"{service} answered a stream request with an HTML page")

    def feed(self, data: bytes, /) -> list[Chunk]:
        """The chunks that these bytes complete. Never raises: see ``error``."""
        chunks: list[Chunk] = []
        if self.error is not None or self.done:
            return chunks
        if self._plain is not None:
            self._plain += data[: MAXIMUM - len(self._plain)]
            return chunks
        reader = self._reader
        for name, payload in reader.feed(data):
            if not self._take(name, payload, chunks):
                return chunks
        self.error = reader.error
        return chunks

    def finish(self) -> R:
        """The whole answer.

        Raises:
            StreamInterruptedError: The proof of completion is missing.
            AsyncAPIError: What ``error`` holds.
        """
        if self._plain is not None and self.error is None:
            self._not_a_stream(bytes(self._plain))
        if self.error is None and not self.done:
            self._tail()
        if self.error is not None:
            raise self.error
        if not self._complete():
            raise self._interrupted(f"ended without {self._proof}")
        return self.partial()

    @abstractmethod
    def partial(self) -> R:
        """What has arrived so far, assembled."""

    # What differs between the dialect's streams.

    _proof = "its proof of completion"

    @abstractmethod
    def _event(self, event: dict[str, Any], payload: bytes, name: str, chunks: list[Chunk]) -> None:
        """Take in one event. It may raise what ``SHAPE_ERRORS`` has."""

    @abstractmethod
    def _complete(self) -> bool:
        """Whether the proof was seen."""

    @abstractmethod
    def _begun(self) -> bool:
        """Whether there is a part of an answer."""

    def _end(self, chunks: list[Chunk]) -> None:
        """The marker ``[DONE]``."""
        if self._complete():
            self.done = True
        else:
            self.error = self._interrupted(f"said [DONE] without {self._proof}")

    def _other(self, payload: bytes, chunks: list[Chunk]) -> None:
        """An event that is not JSON."""
        self.error = DecodeError(
            f"{self._service} sent a stream event that is not JSON: {excerpt(payload, 200)}", body=payload
        )

    # What they have in common.

    def _take(self, name: str, payload: bytes, chunks: list[Chunk]) -> bool:
        """Whether to go on after this event."""
        try:
            if payload == b"[DONE]":
                self._end(chunks)
            elif name == "error":
                self.error = self._failure(payload)
            else:
                self._event(orjson.loads(payload), payload, name, chunks)
        except orjson.JSONDecodeError:
            self._other(payload, chunks)
        except SHAPE_ERRORS as error:
            self.error = DecodeError(
                f"{self._service} sent a stream event of the wrong shape ({error}): {excerpt(payload, 200)}",
                body=payload,
            )
        return self.error is None and not self.done

    def _failure(self, payload: bytes) -> AsyncAPIError:
        reply = WireResponse(status=self._status, headers=self._headers, body=payload)
        return error_for(reply, service=self._service, table=self._quirks.errors)

    def _interrupted(self, how: str) -> StreamInterruptedError:
        partial = self.partial() if self._begun() else None
        return StreamInterruptedError(f"the stream of {self._service} {how}", partial=partial)

    def _tail(self) -> None:
        """An event whose blank line is missing may say how it ended, but can't bring more of the answer.

        Its chunks would reach no one; and what can't be read here was cut.
        """
        chunks: list[Chunk] = []
        for name, payload in self._reader.close():
            if not self._take(name, payload, chunks):
                break
        if isinstance(self.error, DecodeError):
            self.error = None
        if any(c.text or c.reasoning or c.refusal or c.tool_call is not None for c in chunks):
            self.error = self._interrupted("ended in the middle of an event")

    def _not_a_stream(self, body: bytes) -> None:
        try:
            failed = is_error(orjson.loads(body))
        except orjson.JSONDecodeError:
            failed = False
        self.error = (
            self._failure(body)
            if failed
            else DecodeError(
                f"{self._service} answered a stream request with a plain reply: {excerpt(body, 200)}",
                body=body,
            )
        )
