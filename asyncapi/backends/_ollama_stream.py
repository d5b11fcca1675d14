"""Ollama's replies in normal form, whole or line by line.

A line with ``done: true`` is the proof that a streamed answer is whole; a line with ``error`` ends a
stream that began with 200. Tool calls come whole, their arguments as objects. Durations are
nanoseconds and stay in ``raw``.

Source: Ollama API documentation, "Generate a chat completion", "Errors".
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import orjson

from asyncapi.backends._decoding import count
from asyncapi.backends._ollama_encode import NAME
from asyncapi.errors import (
    AsyncAPIError,
    DecodeError,
    NotFoundError,
    OverloadedError,
    ServerError,
    StreamInterruptedError,
)
from asyncapi.types.messages import Part, Reasoning, Text, ToolCall
from asyncapi.types.responses import ChatResponse, Chunk, FinishReason, Output, Response, ToolCallDelta
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireResponse
from asyncapi.wire.errors import Row, Table, error_for, is_error
from asyncapi.wire.ndjson import NDJSONReader

__all__ = ["ERRORS", "Answer", "LineStream", "OllamaStream", "chat_response", "failure", "usage_of"]

#: There are no codes, and a line in a 200 has no status either: the texts speak.
ERRORS = Table(
    texts=(
        ("server busy", Row(OverloadedError)),
        ("try pulling it first", Row(NotFoundError)),
        ("requires more system memory", Row(ServerError, retryable=False)),
    ),
    statuses={503: Row(OverloadedError)},
)

_FINISH_REASONS: Mapping[str, FinishReason] = {"stop": "stop", "length": "length", "": "stop"}
_STAMP = str.maketrans("", "", "-:.+ ")

R = TypeVar("R", bound=Response)


def failure(reply: WireResponse) -> AsyncAPIError:
    """The exception for an error reply, or for an error line in a 200 (its body is the line)."""
    error = error_for(reply, service=NAME, table=ERRORS)
    if reply.status == 500 and b"more system memory" in reply.body:
        error.retryable = False  # it will not fit the next time either
    return error


def chat_response(body: Any) -> ChatResponse:
    """The answer that ``body`` holds.

    Raises:
        DecodeError: It is not a whole answer.
    """
    answer = Answer()
    answer.add(body, [])
    if not answer.done:
        raise DecodeError(f"{NAME}: the answer is not done")
    return answer.response(body)


def _message(data: dict[str, Any]) -> Any:
    return data.get("message")


class Answer:
    """An answer being put together from one object or many.

    State: everything grows, until ``done``; ``last`` is the newest object.

    Args:
        message_of: Finds the message, with ``content`` and ``thinking``, in an object.
    """

    __slots__ = ("_message_of", "calls", "done", "last", "logprobs", "stamp", "texts", "thinking")

    def __init__(self, message_of: Callable[[dict[str, Any]], Any] = _message) -> None:
        self._message_of = message_of
        self.texts: list[str] = []
        self.thinking: list[str] = []
        self.calls: list[ToolCall] = []
        self.logprobs: list[Any] = []
        self.last: dict[str, Any] = {}
        self.stamp = ""
        self.done = False

    def add(self, data: Any, chunks: list[Chunk]) -> None:
        """Take one object, and tell what it brought.

        Raises:
            DecodeError: It is not a piece of an answer.
        """
        message = self._message_of(data) if isinstance(data, dict) else None
        if not isinstance(message, dict):
            raise DecodeError(f"{NAME}: an answer without a message: {data!r:.200}")
        text, thinking = message.get("content") or "", message.get("thinking") or ""
        if not (
            isinstance(text, str) and isinstance(thinking, str) and isinstance(data.get("model", ""), str)
        ):
            raise DecodeError(f"{NAME}: model, content or thinking is not a text: {data!r:.200}")
        if not self.stamp:
            self.stamp = _stamp(data)
        self.last = data
        if text:
            self.texts.append(text)
        if thinking:
            self.thinking.append(thinking)
        if text or thinking:
            chunks.append(Chunk(text=text, reasoning=thinking, raw=data))
        if calls := message.get("tool_calls"):
            self._add_calls(calls, data, chunks)
        if logprobs := data.get("logprobs"):
            self._add_logprobs(logprobs)
        if data.get("done") is True:
            chunks.append(Chunk(finish_reason=self.finish_reason(), usage=usage_of(data), raw=data))
            self.done = True

    def _add_calls(self, calls: Any, data: Any, chunks: list[Chunk]) -> None:
        for call in calls if isinstance(calls, list) else (calls,):
            index = len(self.calls)
            made = _tool_call(call, f"gen_{self.stamp}_{index}")
            self.calls.append(made)
            chunks.append(Chunk(tool_call=ToolCallDelta(index, made.id, made.name, made.arguments), raw=data))

    def _add_logprobs(self, logprobs: Any) -> None:
        if not isinstance(logprobs, list):
            raise DecodeError(f"{NAME}: logprobs is not a list: {logprobs!r:.200}")
        self.logprobs += logprobs

    def finish_reason(self) -> FinishReason:
        """Why it ended; the service has no word of its own for tool calls."""
        reason = self._raw_reason()
        normal = _FINISH_REASONS.get(reason, "other")
        return "tool_calls" if self.calls and normal == "stop" else normal

    def _raw_reason(self) -> str:
        reason = self.last.get("done_reason") or ""
        if not isinstance(reason, str):
            raise DecodeError(f"{NAME}: done_reason is not a text: {reason!r:.200}")
        return reason

    def parts(self) -> tuple[Part, ...]:
        """Thinking, text and tool calls, in this order."""
        parts: list[Part] = []
        if self.thinking:
            parts.append(Reasoning(text="".join(self.thinking), provider=NAME))
        if self.texts:
            parts.append(Text("".join(self.texts)))
        parts += self.calls
        return tuple(parts)

    @property
    def id(self) -> str:
        """The service gives none."""
        return f"gen_{self.stamp}" if self.stamp else ""

    def output(self) -> Output:
        """What has arrived, assembled."""
        return Output(
            parts=self.parts(),
            finish_reason=self.finish_reason() if self.done else "other",
            raw_reason=self._raw_reason() if self.done else "",
            logprobs=self.logprobs or None,
        )

    def response(self, raw: Any) -> ChatResponse:
        """The answer to a chat."""
        return ChatResponse(
            id=self.id,
            model=self.last.get("model", ""),
            usage=usage_of(self.last),
            raw=raw,
            outputs=(self.output(),),
        )

    def assembled(self) -> dict[str, Any]:
        """The last object, with the message of all of them."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self.texts)}
        if self.thinking:
            message["thinking"] = "".join(self.thinking)
        if self.calls:
            message["tool_calls"] = [
                {"id": call.id, "function": {"name": call.name, "arguments": orjson.loads(call.arguments)}}
                for call in self.calls
            ]
        return {**self.last, "message": message}


def _tool_call(call: Any, generated: str) -> ToolCall:
    match call:
        case {"function": {"name": str(name), **rest}}:
            arguments = rest.get("arguments")
        case _:
            raise DecodeError(f"{NAME}: a tool call of an unexpected shape: {call!r:.200}")
    ident = call.get("id") or generated
    if not (isinstance(ident, str) and (arguments is None or isinstance(arguments, dict))):
        raise DecodeError(f"{NAME}: a tool call of an unexpected shape: {call!r:.200}")
    return ToolCall(id=ident, name=name, arguments=orjson.dumps(arguments or {}).decode())


def _stamp(data: dict[str, Any]) -> str:
    """What makes generated ids unique: the answer's time, in letters that every service takes in an id."""
    created = data.get("created_at")
    if isinstance(created, str) and created:
        stamp = created.translate(_STAMP)
        if stamp.isascii() and stamp.isalnum():
            # A time in whole seconds, as proxies have it, is not enough.
            return stamp if "." in created else f"{stamp}{zlib.crc32(orjson.dumps(data)):08x}"
    return f"{zlib.crc32(orjson.dumps(data)):08x}"


def usage_of(data: Mapping[str, Any]) -> Usage:
    """Token counts; the service leaves out what it has none of, as with a prompt that was cached."""
    read, written = count(data.get("prompt_eval_count")), count(data.get("eval_count"))
    if read is None and written is None:
        return Usage()
    return Usage(input_tokens=read, output_tokens=written, source="reported")


class LineStream(Generic[R]):
    """Decoder of one streamed answer.

    State: ``done`` after the line with ``done: true``; ``error`` after a failure.

    Args:
        reply: Status and headers.
        answer: Takes the lines.
        made: Makes the response from the answer.
    """

    __slots__ = ("_answer", "_made", "_reader", "_reply", "error")

    def __init__(self, reply: WireResponse, answer: Answer, made: Callable[[Answer], R]) -> None:
        self._reply = reply
        self._reader = NDJSONReader()
        self._answer = answer
        self._made = made
        self.error: AsyncAPIError | None = None

    @property
    def done(self) -> bool:
        """Whether the last line was seen."""
        return self._answer.done

    def feed(self, data: bytes) -> list[Chunk]:
        """The chunks that these bytes complete."""
        chunks: list[Chunk] = []
        for line in self._reader.feed(data):
            if self._answer.done or self.error is not None:
                return chunks
            try:
                value = orjson.loads(line)
            except orjson.JSONDecodeError:
                self.error = DecodeError(f"{NAME}: a line of the stream is not JSON", body=line)
            else:
                self._line(line, value, chunks)
        if self.error is None and not self._answer.done:
            self.error = self._reader.error
        return chunks

    def _line(self, line: bytes, value: Any, chunks: list[Chunk]) -> None:
        if is_error(value):
            reply = WireResponse(status=self._reply.status, headers=self._reply.headers, body=line)
            self.error = failure(reply)
            return
        try:
            self._answer.add(value, chunks)
        except DecodeError as error:
            error.body = line[: 64 * 1024]
            self.error = error

    def finish(self) -> R:
        """The whole answer.

        Raises:
            StreamInterruptedError: No line with ``done: true`` was seen.
        """
        if not self._answer.done and self.error is None:
            self._close()
        if self.error is not None:
            raise self.error
        if not self._answer.done:
            partial = self.partial() if self._answer.last else None
            raise StreamInterruptedError(f"{NAME}: the stream ended before it was done", partial=partial)
        return self.partial()

    def _close(self) -> None:
        """Take what the stream's end left: a line without its line break, whole or cut."""
        for line in self._reader.close():
            try:
                value = orjson.loads(line)
            except orjson.JSONDecodeError:
                return
            self._line(line, value, [])

    def partial(self) -> R:
        """What has arrived so far."""
        return self._made(self._answer)


class OllamaStream(LineStream[ChatResponse]):
    """Decoder of one streamed chat."""

    __slots__ = ()

    def __init__(self, reply: WireResponse) -> None:
        super().__init__(reply, Answer(), _assembled)


def _assembled(answer: Answer) -> ChatResponse:
    return answer.response(answer.assembled())
