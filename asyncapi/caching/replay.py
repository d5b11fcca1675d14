"""A whole answer as the chunks of a stream, for one that was asked for whole and is wanted as a stream."""

from __future__ import annotations

import re
from collections.abc import Iterator

from asyncapi.types.messages import Reasoning, Text, ToolCall
from asyncapi.types.responses import ChatResponse, Chunk, CompleteResponse, Output, Response, ToolCallDelta

__all__ = ["chunks_of"]

#: A word with the space before it, as models write them.
_WORD = re.compile(r"\s*\S+|\s+\Z")


def chunks_of(response: Response) -> tuple[Chunk, ...]:
    """Word by word, each tool call at once, then why it ended and what it used."""
    if not isinstance(response, ChatResponse | CompleteResponse):
        return ()
    found = [chunk for output in response.outputs for chunk in _output(output)]
    return (*found, Chunk(usage=response.usage))


def _output(output: Output) -> Iterator[Chunk]:
    calls, here = 0, output.index
    for part in output.parts:
        match part:
            case Text():
                yield from (Chunk(text=word, output=here) for word in _WORD.findall(part.text))
            case Reasoning():
                yield from (Chunk(reasoning=word, output=here) for word in _WORD.findall(part.text))
            case ToolCall():
                delta = ToolCallDelta(calls, part.id, part.name, part.arguments)
                yield Chunk(tool_call=delta, output=here)
                calls += 1
    if output.refusal:
        yield Chunk(refusal=output.refusal, output=here)
    yield Chunk(finish_reason=output.finish_reason, output=here)
