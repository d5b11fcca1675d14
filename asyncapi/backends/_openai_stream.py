"""Streamed chat answers in the OpenAI dialect.

A stream is complete when every output that was seen (and as many as were asked for) has its
finish_reason. ``[DONE]`` alone proves nothing: vLLM sends it after an error too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from asyncapi.backends._openai_assembly import OutputState, as_text
from asyncapi.backends._openai_quirks import Quirks
from asyncapi.backends._openai_reply import (
    SHAPE_ERRORS,
    arguments_text,
    finish_reason,
    read_text,
    read_usage,
    request_id,
)
from asyncapi.errors import AsyncAPIError, DecodeError, StreamInterruptedError
from asyncapi.types.responses import ChatResponse, Chunk, FinishReason, ToolCallDelta
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireResponse
from asyncapi.wire.errors import error_for, is_error
from asyncapi.wire.masking import excerpt
from asyncapi.wire.sse import MAXIMUM, SSEReader

__all__ = ["ChatStream"]

_KNOWN = frozenset({"role", "content", "refusal", "tool_calls", "reasoning", "reasoning_content"})


class ChatStream:
    """Reads one streamed answer.

    States: reading -> done (proof, then ``[DONE]``) or failed (``error`` is set). Nothing that
    arrives later changes either.
    """

    def __init__(
        self, service: str, quirks: Quirks, model: str, wanted: int, status: int, headers: Mapping[str, str]
    ) -> None:
        self.error: AsyncAPIError | None = None
        self.done = False
        self._service = service
        self._quirks = quirks
        self._model = model
        self._wanted = wanted
        self._status = status
        self._headers = headers
        self._id = ""
        self._bare_text = False
        self._usage = Usage()
        self._outputs: dict[int, OutputState] = {}
        self._reader = SSEReader()
        # Not a stream at all: a server that ignores "stream", or an error after all.
        self._plain = bytearray() if self._says("application/json") else None
        if self._says("text/html"):
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

    def finish(self) -> ChatResponse:
        """The whole answer.

        Raises:
            StreamInterruptedError: Some output has no finish_reason.
            AsyncAPIError: What ``error`` holds.
        """
        if self._plain is not None and self.error is None:
            self._not_a_stream(bytes(self._plain))
        if self.error is None and not self.done:
            self._tail()
        if self.error is not None:
            raise self.error
        if not self._complete():
            raise self._interrupted("ended without a finish_reason")
        return self.partial()

    def partial(self) -> ChatResponse:
        """What has arrived so far, assembled."""
        return ChatResponse(
            id=self._id,
            model=self._model,
            outputs=tuple(
                [
                    state.assembled(index, self._service, self._id)
                    for index, state in sorted(self._outputs.items())
                ]
            ),
            usage=self._usage,
            provider_request_id=request_id(self._headers),
        )

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

    def _event(self, event: dict[str, Any], payload: bytes, name: str, chunks: list[Chunk]) -> None:
        choices = event.get("choices")
        usage: Usage | None = None
        if (reported := event.get("usage")) is not None:
            usage = self._count(reported)
        elif "x_groq" in event:
            usage = self._groq(event["x_groq"], payload)
        if not choices:
            self._no_choices(event, payload, name)
            if usage is not None:
                chunks.append(Chunk(usage=usage, raw=event))
            return
        if not self._id:
            self._begin(event)
        for choice in choices:
            self._choice(choice, usage, event, chunks)
            usage = None

    def _choice(
        self, choice: dict[str, Any], usage: Usage | None, event: dict[str, Any], chunks: list[Chunk]
    ) -> None:
        index = choice.get("index", 0)
        state = self._outputs.get(index) or self._open(index)
        delta = choice.get("delta") or {}
        reasoning = refusal = ""
        if text := delta.get("content") or "":
            if type(text) is not str:
                text = read_text(text)
            state.text.append(text)
        if len(delta) > 1 or not text:
            reasoning, refusal = self._beside(delta, state)
            if calls := delta.get("tool_calls"):
                if text or reasoning or refusal:
                    chunks.append(
                        Chunk(text=text, reasoning=reasoning, refusal=refusal, output=index, raw=event)
                    )
                    text = reasoning = refusal = ""
                self._calls(calls, index, state, event, chunks)
        if (logprobs := choice.get("logprobs")) is not None:
            state.logprobs.append(logprobs)
        raw = choice.get("finish_reason")
        reason = self._finish(state, raw, choice) if raw else None
        if text or reasoning or refusal or reason is not None or usage is not None:
            chunks.append(
                Chunk(
                    text=text,
                    reasoning=reasoning,
                    refusal=refusal,
                    finish_reason=reason,
                    usage=usage,
                    output=index,
                    raw=event,
                )
            )
        elif not _KNOWN.issuperset(delta):
            chunks.append(Chunk(output=index, raw=event))

    def _beside(self, delta: dict[str, Any], state: OutputState) -> tuple[str, str]:
        """Reasoning and refusal of a delta."""
        reasoning = ""
        for field in self._quirks.reasoning_fields:
            if thoughts := delta.get(field):
                reasoning = as_text(thoughts)
                state.reasoning.append(reasoning)
                break
        if refusal := delta.get("refusal") or "":
            state.refusal.append(as_text(refusal))
        return reasoning, refusal

    def _calls(
        self, calls: Any, index: int, state: OutputState, event: dict[str, Any], chunks: list[Chunk]
    ) -> None:
        for delta in [calls] if type(calls) is dict else calls:
            place, call = state.call(delta)
            function = delta.get("function") or {}
            new_id = new_name = ""
            if not call.id and delta.get("id"):
                new_id = call.id = as_text(delta["id"])
            if not call.name and function.get("name"):
                new_name = call.name = as_text(function["name"])
            piece = arguments_text(function.get("arguments"))
            if piece:
                call.arguments.append(piece)
            if new_id or new_name or piece:
                piece_of_call = ToolCallDelta(place, new_id, new_name, piece)
                chunks.append(Chunk(tool_call=piece_of_call, output=index, raw=event))

    def _finish(self, state: OutputState, raw: Any, choice: dict[str, Any]) -> FinishReason:
        state.reason = as_text(raw)
        stop = choice.get("stop_reason")
        if type(stop) is str:
            state.stop = stop
        return finish_reason(raw, bool(state.calls), bool(state.refusal))

    def _begin(self, event: dict[str, Any]) -> None:
        reply_id, model = event.get("id"), event.get("model")
        if type(reply_id) is str:
            self._id = reply_id
        if type(model) is str and model:
            self._model = model

    def _open(self, index: Any) -> OutputState:
        if type(index) is not int or index < 0:
            raise TypeError("a choice's index is not a number")
        state = self._outputs[index] = OutputState()
        return state

    def _count(self, reported: Any) -> Usage:
        self._usage = read_usage(reported)
        return self._usage

    def _groq(self, extra: Any, payload: bytes) -> Usage | None:
        if type(extra) is not dict:
            return None
        if extra.get("error"):
            self.error = self._failure(payload)
        usage = extra.get("usage")
        return None if usage is None else self._count(usage)

    def _no_choices(self, event: dict[str, Any], payload: bytes, name: str) -> None:
        if is_error(event) or event.get("type") == "error":
            self.error = self._failure(payload)
        elif not ("choices" in event or "usage" in event or "x_groq" in event or name not in ("", "message")):
            raise KeyError("choices")

    def _failure(self, payload: bytes) -> AsyncAPIError:
        reply = WireResponse(status=self._status, headers=self._headers, body=payload)
        return error_for(reply, service=self._service, table=self._quirks.errors)

    def _other(self, payload: bytes, chunks: list[Chunk]) -> None:
        read = self._quirks.read_text
        text = read(payload) if read is not None else None
        if text is None:
            self.error = DecodeError(
                f"{self._service} sent a stream event that is not JSON: {excerpt(payload, 200)}",
                body=payload,
            )
        elif text:
            self._bare_text = True
            state = self._outputs.get(0) or self._open(0)
            state.text.append(text)
            chunks.append(Chunk(text=text, raw=payload))

    def _end(self, chunks: list[Chunk]) -> None:
        if self._bare_text and not self._complete():
            # Bare text has no finish_reason: [DONE] after at least one piece is its proof.
            self._outputs[0].reason = "stop"
            chunks.append(Chunk(finish_reason="stop"))
        if self._complete():
            self.done = True
        else:
            self.error = self._interrupted("said [DONE] without a finish_reason")

    def _complete(self) -> bool:
        outputs = self._outputs
        return len(outputs) >= self._wanted and all(state.reason is not None for state in outputs.values())

    def _interrupted(self, how: str) -> StreamInterruptedError:
        partial = self.partial() if self._outputs else None
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

    def _says(self, media_type: str) -> bool:
        headers = self._headers
        kind = headers.get("content-type") or headers.get("Content-Type") or ""
        return kind.lower().startswith(media_type)
