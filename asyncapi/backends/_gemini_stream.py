"""Gemini's streamed answers: events of whole parts, without names and without a last word.

Each event holds new parts only, usage is cumulative. A finishReason for each candidate is the proof that
the answer is whole; a blocked prompt is an error of its own.

Source: Gemini API reference, "Generating content", streamGenerateContent.
"""

from __future__ import annotations

from typing import Any

import orjson

from asyncapi.backends._gemini_encode import NAME
from asyncapi.backends._gemini_reply import (
    blocked,
    chat_response,
    content_parts,
    failure,
    finish_reason,
    parts_of,
    stamp_of,
    usage_of,
)
from asyncapi.errors import AsyncAPIError, DecodeError, StreamInterruptedError
from asyncapi.types.messages import Part, Reasoning, Text, ToolCall
from asyncapi.types.responses import ChatResponse, Chunk, ToolCallDelta
from asyncapi.types.wire import WireResponse
from asyncapi.wire.errors import is_error
from asyncapi.wire.sse import SSEReader

__all__ = ["GeminiStream"]

_PLAIN = frozenset({"text", "thought"})


class _Candidate:
    """A candidate on its way.

    State: ``fields`` (the newest of each), ``parts`` with the pieces of their texts, ``calls`` so far.
    """

    __slots__ = ("calls", "fields", "parts")

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.parts: list[tuple[dict[str, Any], list[str]]] = []
        self.calls = 0

    @property
    def reason(self) -> str:
        """Why it ended, empty while it did not."""
        reason = self.fields.get("finishReason")
        return reason if isinstance(reason, str) else ""

    def add(self, part: dict[str, Any]) -> None:
        """Take a part: text goes on where the last text ended, unless either has a signature."""
        plain = "text" in part and _PLAIN.issuperset(part)
        if plain and self.parts:
            last, pieces = self.parts[-1]
            if pieces and last.get("thought") == part.get("thought"):
                pieces.append(part["text"])
                return
        self.parts.append((part, [part["text"]] if plain else []))

    def assembled(self) -> dict[str, Any]:
        """The candidate as a whole answer would have it."""
        parts = [{**part, "text": "".join(pieces)} if pieces else part for part, pieces in self.parts]
        return {**self.fields, "content": {"role": "model", "parts": parts}}


class GeminiStream:
    """Decoder of one streamed answer.

    State: ``_fields`` of the events (the newest of each); the ``_candidates`` by index; ``_stamp`` for the
    ids of calls, from the first event; ``error`` after a failure.

    Args:
        reply: Status and headers.
        model: The model that was asked for.
        wanted: How many candidates were asked for.
    """

    __slots__ = ("_candidates", "_fields", "_model", "_reader", "_reply", "_stamp", "_wanted", "error")

    def __init__(self, reply: WireResponse, model: str, wanted: int) -> None:
        self._reply = reply
        self._model = model
        self._wanted = wanted
        self._reader = SSEReader()
        self._fields: dict[str, Any] = {}
        self._candidates: dict[int, _Candidate] = {}
        self._stamp = ""
        self.error: AsyncAPIError | None = None

    @property
    def done(self) -> bool:
        """Whether every candidate has ended, and the tokens were counted."""
        return self.error is None and self._complete() and "usageMetadata" in self._fields

    def feed(self, data: bytes) -> list[Chunk]:
        """The chunks that these bytes complete."""
        chunks: list[Chunk] = []
        for name, text in self._reader.feed(data):
            if self.error is not None or self.done:
                return chunks
            try:
                event = orjson.loads(text)
            except orjson.JSONDecodeError:
                self._not_json(name, text)
            else:
                self._event(text, event, chunks)
        if self.error is None and not self.done:
            self.error = self._reader.error
        return chunks

    def finish(self) -> ChatResponse:
        """The whole answer.

        Raises:
            StreamInterruptedError: A candidate has no finishReason.
        """
        if self.error is None and not self.done:
            self._close()
        if self.error is not None:
            raise self.error
        if not self._complete():
            raise self._interrupted("before every candidate had a finishReason")
        return self._response(whole=True)

    def partial(self) -> ChatResponse:
        """What has arrived so far."""
        return self._response(whole=False)

    def _response(self, *, whole: bool) -> ChatResponse:
        candidates = [candidate.assembled() for _, candidate in sorted(self._candidates.items())]
        return chat_response(
            {**self._fields, "candidates": candidates}, self._model, self._stamp, whole=whole
        )

    def _complete(self) -> bool:
        candidates = self._candidates.values()
        return len(candidates) >= self._wanted and all(candidate.reason for candidate in candidates)

    def _interrupted(self, when: str) -> StreamInterruptedError:
        partial = self.partial() if self._candidates else None
        return StreamInterruptedError(f"{NAME}: the stream ended {when}", partial=partial)

    def _close(self) -> None:
        """Take what the stream's end left: an event without its blank line, whole or cut.

        It may say how the answer ended, but can't bring more of it: its chunks would reach no one.
        """
        chunks: list[Chunk] = []
        for name, text in self._reader.close():
            try:
                event = orjson.loads(text)
            except orjson.JSONDecodeError:
                if name == "error":
                    self._not_json(name, text)
                return
            self._event(text, event, chunks)
        if any(chunk.finish_reason is None and chunk.usage is None for chunk in chunks):
            self.error = self._interrupted("in the middle of an event")

    def _not_json(self, name: str, text: bytes) -> None:
        """A line of JSON that is no event is how an error looks that is written over several lines."""
        if name == "error":
            self._fail(text)
        else:
            self.error = DecodeError(f"{NAME}: an event of the stream is not JSON", body=text)

    def _fail(self, text: bytes) -> None:
        """An error after the 200 was sent: what it would have been as an answer of its own."""
        self.error = failure(self._as_reply(text))

    def _as_reply(self, text: bytes) -> WireResponse:
        return WireResponse(status=self._reply.status, headers=self._reply.headers, body=text)

    def _event(self, text: bytes, event: Any, chunks: list[Chunk]) -> None:
        if is_error(event[0] if isinstance(event, list) and event else event):
            self._fail(text)
            return
        try:
            self._take(text, event, chunks)
        except DecodeError as error:
            error.body = text[: 64 * 1024]
            self.error = error

    def _take(self, text: bytes, event: Any, chunks: list[Chunk]) -> None:
        if not isinstance(event, dict) or not isinstance(event.get("candidates"), list | None):
            raise DecodeError(f"{NAME}: an event of an unexpected shape: {event!r:.200}")
        self._stamp = self._stamp or stamp_of(event)
        news = {name: value for name, value in event.items() if name != "candidates"}
        self._fields = {**self._fields, **news}
        candidates = event.get("candidates") or ()
        if not candidates and (refused := blocked(event, self._as_reply(text))) is not None:
            self.error = refused
            return
        for place, entry in enumerate(candidates):
            self._candidate(place, entry, event, chunks)
        if not candidates and "usageMetadata" in news:
            chunks.append(Chunk(usage=usage_of(news["usageMetadata"]), raw=event))

    def _candidate(self, place: int, entry: Any, event: dict[str, Any], chunks: list[Chunk]) -> None:
        index = entry.get("index", place) if isinstance(entry, dict) else None
        if type(index) is not int:
            raise DecodeError(f"{NAME}: a candidate of an unexpected shape: {entry!r:.200}")
        candidate = self._candidates.setdefault(index, _Candidate())
        for part in content_parts(entry):
            found = parts_of(part, f"{self._stamp}_{index}_{candidate.calls}")
            candidate.add(part)
            if found and getattr(found[0], "text", None) != "":  # an empty text says nothing
                chunks.append(_chunk(found[0], candidate, index, event))
        candidate.fields.update({name: value for name, value in entry.items() if name != "content"})
        raw = entry.get("finishReason")
        if isinstance(raw, str) and raw:
            reason = finish_reason(raw, candidate.calls > 0)
            usage = usage_of(event.get("usageMetadata")) if "usageMetadata" in event else None
            chunks.append(Chunk(finish_reason=reason, usage=usage, output=index, raw=event))


def _chunk(part: Part, candidate: _Candidate, index: int, event: dict[str, Any]) -> Chunk:
    """What a consumer sees of a part; a part that a chunk has no field for is in ``raw``."""
    match part:
        case Text(text=text):
            return Chunk(text=text, output=index, raw=event)
        case Reasoning(text=text):
            return Chunk(reasoning=text, output=index, raw=event)
        case ToolCall():
            delta = ToolCallDelta(candidate.calls, part.id, part.name, part.arguments)
            candidate.calls += 1
            return Chunk(tool_call=delta, output=index, raw=event)
    return Chunk(output=index, raw=event)
