"""Chats with Text Generation Inference: the OpenAI dialect, with ids that can be told apart.

The server calls every tool call "0", and none of its answers has an id.

Source: Hugging Face Text Generation Inference, router, /v1/chat/completions.
"""

from __future__ import annotations

import zlib

import orjson
from msgspec.structs import replace

from asyncapi.backends._openai_stream import ChatStream
from asyncapi.errors import AsyncAPIError, StreamInterruptedError
from asyncapi.types.messages import Part, ToolCall
from asyncapi.types.responses import ChatResponse, Chunk, Output

__all__ = ["TGIChatStream", "stamp_of", "with_own_ids"]


def stamp_of(body: bytes) -> str:
    """What makes ids unique, from bytes that differ from answer to answer."""
    return f"{zlib.crc32(body):08x}"


def with_own_ids(response: ChatResponse, stamp: str) -> ChatResponse:
    """The answer with an id of its own for each tool call."""
    return replace(response, outputs=tuple([_output(output, stamp) for output in response.outputs]))


def _output(output: Output, stamp: str) -> Output:
    parts: list[Part] = []
    calls = 0
    for part in output.parts:
        if isinstance(part, ToolCall):
            part = replace(part, id=_own_id(part.id, stamp, output.index, calls))
            calls += 1
        parts.append(part)
    return replace(output, parts=tuple(parts)) if calls else output


def _own_id(given: str, stamp: str, output: int, place: int) -> str:
    """The id that was given, unless it is a bare number or made from an empty id of the answer."""
    return f"gen_{stamp}_{output}_{place}" if given.isdigit() or given.startswith("gen__") else given


class TGIChatStream:
    """Decoder of one streamed chat: the dialect's own, its ids replaced.

    State: ``_stamp`` from the first piece of a tool call.
    """

    __slots__ = ("_inner", "_stamp")

    def __init__(self, inner: ChatStream) -> None:
        self._inner = inner
        self._stamp = ""

    @property
    def error(self) -> AsyncAPIError | None:
        """What went wrong at the place reached."""
        return self._inner.error

    @property
    def done(self) -> bool:
        """Whether the proof of completion was seen."""
        return self._inner.done

    def feed(self, data: bytes, /) -> list[Chunk]:
        """The chunks that these bytes complete."""
        return [self._chunk(chunk) for chunk in self._inner.feed(data)]

    def _chunk(self, chunk: Chunk) -> Chunk:
        delta = chunk.tool_call
        if delta is None:
            return chunk
        self._stamp = self._stamp or stamp_of(orjson.dumps(chunk.raw))
        own = _own_id(delta.id, self._stamp, chunk.output, delta.index)
        return replace(chunk, tool_call=replace(delta, id=own))

    def finish(self) -> ChatResponse:
        """The whole answer.

        Raises:
            StreamInterruptedError: Some output has no finish_reason.
        """
        try:
            return with_own_ids(self._inner.finish(), self._stamp)
        except StreamInterruptedError as error:
            if isinstance(error.partial, ChatResponse):
                error.partial = with_own_ids(error.partial, self._stamp)
            raise

    def partial(self) -> ChatResponse:
        """What has arrived so far, assembled."""
        return with_own_ids(self._inner.partial(), self._stamp)
