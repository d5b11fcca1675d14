"""Claude's streamed answers: named events that open, fill and close content blocks.

::

    message_start ( content_block_start content_block_delta* content_block_stop )* message_delta+ message_stop

``ping`` and ``error`` may come anywhere, unknown events are skipped. Usage is cumulative: the last
value of each field counts. ``message_stop`` is the proof that the answer is whole.

Source: Anthropic API reference, "Streaming messages".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from asyncapi.backends._claude_encode import NAME
from asyncapi.backends._claude_reply import (
    ERRORS,
    chat_response,
    finish_reason,
    part_of,
    request_id,
    tool_call,
    usage_of,
)
from asyncapi.errors import AsyncAPIError, DecodeError, StreamInterruptedError
from asyncapi.types.messages import Part
from asyncapi.types.responses import ChatResponse, Chunk, Output, ToolCallDelta
from asyncapi.types.wire import WireResponse
from asyncapi.wire.errors import error_for
from asyncapi.wire.sse import SSEReader

__all__ = ["ClaudeStream"]


#: What message_start says once and for all.
_FIXED = frozenset({"id", "model", "content", "usage"})


class _Block:
    """A content block being filled. ``call`` counts the tool calls before it, -1 for other blocks."""

    __slots__ = ("call", "kind", "open", "pieces", "signature", "start")

    def __init__(self, start: dict[str, Any], call: int) -> None:
        self.start = start
        self.kind: str = start["type"]
        self.call = call
        self.pieces: list[str] = []
        self.signature: list[str] = []
        self.open = True

    def raw(self) -> dict[str, Any]:
        """The block as a whole answer would have it."""
        if not self.pieces and not self.signature:
            return self.start
        text = "".join(self.pieces)
        match self.kind:
            case "text":
                return {**self.start, "text": text}
            case "thinking":
                signature = "".join(self.signature) or self.start.get("signature", "")
                return {**self.start, "thinking": text, "signature": signature}
        return {**self.start, "input": _parsed(text)}

    def arguments(self) -> str:
        """The tool call's arguments, as the model wrote them."""
        return "".join(self.pieces) or orjson.dumps(self.start.get("input") or {}).decode()

    def part(self) -> Part:
        """The block in normal form."""
        if self.call < 0:
            return part_of(self.raw())
        return tool_call(self.raw(), self.start["id"], self.start["name"], self.arguments())


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text) if text else {}
    except orjson.JSONDecodeError:
        return text


class ClaudeStream:
    """Decoder of one streamed answer.

    State: ``_message`` from message_start, kept up to date by message_delta; ``_blocks`` by the
    service's index, in order of arrival; ``done`` after message_stop; ``error`` after a failure.
    """

    __slots__ = ("_blocks", "_calls", "_message", "_reader", "_reply", "done", "error")

    def __init__(self, reply: WireResponse) -> None:
        self._reader = SSEReader()
        self._reply = reply
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, _Block] = {}
        self._calls = 0
        self.done = False
        self.error: AsyncAPIError | None = None

    def feed(self, data: bytes) -> list[Chunk]:
        """The chunks that these bytes complete."""
        chunks: list[Chunk] = []
        for name, text in self._reader.feed(data):
            if self.done or self.error is not None:
                return chunks
            try:
                event = orjson.loads(text)
            except orjson.JSONDecodeError:
                self.error = DecodeError(f"{NAME}: an event of the stream is not JSON", body=text)
            else:
                self._event(name, text, event, chunks)
        if self.error is None and not self.done:
            self.error = self._reader.error
        return chunks

    def finish(self) -> ChatResponse:
        """The whole answer.

        Raises:
            StreamInterruptedError: No message_stop was seen.
        """
        if not self.done and self.error is None:
            self._close()
        if self.error is not None:
            raise self.error
        if not self.done:
            partial = self.partial() if self._message else None
            raise StreamInterruptedError(f"{NAME}: the stream ended before message_stop", partial=partial)
        return self._whole()

    def partial(self) -> ChatResponse:
        """What has arrived so far."""
        if isinstance(self._message.get("stop_reason"), str):
            return self._whole()
        message = self._assembled()
        output = Output(parts=self._parts(), finish_reason="other")
        return ChatResponse(
            id=message.get("id", ""),
            model=message.get("model", ""),
            usage=usage_of(message.get("usage")),
            raw=message,
            provider_request_id=request_id(self._reply),
            outputs=(output,),
        )

    def _whole(self) -> ChatResponse:
        return chat_response(self._assembled(), self._parts(), request_id(self._reply))

    def _assembled(self) -> dict[str, Any]:
        return {**self._message, "content": [block.raw() for block in self._blocks.values()]}

    def _parts(self) -> tuple[Part, ...]:
        return tuple([block.part() for block in self._blocks.values()])

    def _close(self) -> None:
        """Take what the stream's end left: an event without its blank line, whole or cut."""
        for name, text in self._reader.close():
            try:
                event = orjson.loads(text)
            except orjson.JSONDecodeError:
                return
            self._event(name, text, event, [])

    def _event(self, name: str, text: bytes, event: Any, chunks: list[Chunk]) -> None:
        try:
            kind = event.get("type") or name
            if kind == "content_block_delta":
                self._delta(event, chunks)
            elif name == "error" or kind == "error":
                self._fail(text)
            elif (handler := _HANDLERS.get(kind)) is not None:
                handler(self, event, chunks)
        except (AttributeError, KeyError, TypeError) as error:
            self.error = DecodeError(f"{NAME}: an event of an unexpected shape: {error!r}", body=text)
        except DecodeError as error:
            error.body = text[: 64 * 1024]
            self.error = error

    def _fail(self, text: bytes) -> None:
        """An error after the 200 was sent: what it would have been as an answer of its own."""
        reply = WireResponse(status=self._reply.status, headers=self._reply.headers, body=text)
        self.error = error_for(reply, service=NAME, table=ERRORS)

    def _delta(self, event: dict[str, Any], chunks: list[Chunk]) -> None:
        block = self._blocks[event["index"]]
        delta = event["delta"]
        kind = delta["type"]
        if kind == "text_delta":
            if text := _piece(block, "text", delta["text"]):
                chunks.append(Chunk(text=text, raw=event))
        elif kind == "input_json_delta":
            piece = delta["partial_json"]
            if block.kind == "text" or block.kind == "thinking" or not isinstance(piece, str):
                raise DecodeError(f"{NAME}: tool input in a {block.kind} block, or not a text")
            if piece:
                block.pieces.append(piece)
                if block.call >= 0:
                    chunks.append(Chunk(tool_call=ToolCallDelta(block.call, arguments=piece), raw=event))
        elif kind == "thinking_delta":
            if text := _piece(block, "thinking", delta["thinking"]):
                chunks.append(Chunk(reasoning=text, raw=event))
        elif kind == "signature_delta":
            if block.kind != "thinking" or not isinstance(delta["signature"], str):
                raise DecodeError(f"{NAME}: a signature in a {block.kind} block, or not a text")
            block.signature.append(delta["signature"])
        elif kind == "citations_delta":
            block.start = {
                **block.start,
                "citations": [*(block.start.get("citations") or ()), delta["citation"]],
            }

    def _message_start(self, event: dict[str, Any], chunks: list[Chunk]) -> None:
        message = event["message"]
        if self._message or not isinstance(message["id"], str) or not isinstance(message["model"], str):
            raise DecodeError(f"{NAME}: a second message_start, or one without id and model")
        self._message = dict(message)

    def _block_start(self, event: dict[str, Any], chunks: list[Chunk]) -> None:
        index, start = event["index"], event["content_block"]
        if not self._message or index in self._blocks or not isinstance(start["type"], str):
            raise DecodeError(f"{NAME}: a content block out of place: {index!r}")
        is_call = start["type"] == "tool_use"
        part_of({**start, "input": {}} if is_call else start)  # refuses a block without its fields
        block = self._blocks[index] = _Block(start, self._calls if is_call else -1)
        if is_call:
            self._calls += 1
            delta = ToolCallDelta(block.call, start["id"], start["name"])
            chunks.append(Chunk(tool_call=delta, raw=event))
        elif block.kind == "text" and start["text"]:
            chunks.append(Chunk(text=_piece(block, "text", start["text"]), raw=event))
        elif block.kind == "thinking" and start["thinking"]:
            chunks.append(Chunk(reasoning=_piece(block, "thinking", start["thinking"]), raw=event))

    def _block_stop(self, event: dict[str, Any], chunks: list[Chunk]) -> None:
        block = self._blocks[event["index"]]
        block.open = False
        if block.call >= 0 and not block.pieces and block.start.get("input"):
            # The arguments came whole with the block's start, as look-alikes have it.
            delta = ToolCallDelta(block.call, arguments=block.arguments())
            chunks.append(Chunk(tool_call=delta, raw=event))

    def _message_delta(self, event: dict[str, Any], chunks: list[Chunk]) -> None:
        if not self._message:
            raise DecodeError(f"{NAME}: message_delta before message_start")
        delta = event["delta"]
        news = {name: value for name, value in delta.items() if value is not None and name not in _FIXED}
        counts = {name: count for name, count in (event.get("usage") or {}).items() if count is not None}
        usage = {**(self._message.get("usage") or {}), **counts}
        self._message = {**self._message, **news, "usage": usage}
        reason = delta.get("stop_reason")
        chunks.append(
            Chunk(
                finish_reason=None if reason is None else finish_reason(reason, self._calls > 0),
                usage=usage_of(usage),
                raw=event,
            )
        )

    def _message_stop(self, event: dict[str, Any], chunks: list[Chunk]) -> None:
        if any(block.open for block in self._blocks.values()):
            raise DecodeError(f"{NAME}: message_stop inside a content block")
        self._whole()  # raises where message_start or the stop_reason is missing
        self.done = True


def _piece(block: _Block, kind: str, text: Any) -> str:
    if block.kind != kind or not isinstance(text, str):
        raise DecodeError(f"{NAME}: {kind} in a {block.kind} block, or not a text")
    block.pieces.append(text)
    return text


_HANDLERS: dict[str, Callable[[ClaudeStream, dict[str, Any], list[Chunk]], None]] = {
    "message_start": ClaudeStream._message_start,
    "content_block_start": ClaudeStream._block_start,
    "content_block_stop": ClaudeStream._block_stop,
    "message_delta": ClaudeStream._message_delta,
    "message_stop": ClaudeStream._message_stop,
}
