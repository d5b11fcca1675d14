"""Conversations, for services that take several in one request."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from operator import attrgetter

from msgspec.structs import replace

from asyncapi.policies.batching.shares import share, total
from asyncapi.policies.batching.strategy import frozen
from asyncapi.types.messages import Message, Text, ToolResult
from asyncapi.types.requests import ChatBatchRequest, ChatRequest, Request
from asyncapi.types.responses import ChatResponse, Response

__all__ = ["ChatBatching"]

_SAME = tuple(name for name in ChatRequest.__struct_fields__ if name not in ("messages", "extra"))
_VALUES = attrgetter(*_SAME)


class ChatBatching:
    """Chats with the same parameters, without tools, unstreamed, with one output each.

    Every caller waits for the longest answer of the batch: for bulk work, not for people who wait.
    """

    def key(self, request: Request, /) -> Hashable | None:
        """Every parameter; None for a chat that can't share its request."""
        assert isinstance(request, ChatRequest)
        if request.extra is not None or request.stream or request.tools or (request.n or 1) > 1:
            return None
        try:
            return frozen(_VALUES(request))
        except TypeError:
            return None

    def items(self, request: Request, /) -> int:
        """One conversation; more where several outputs were asked for."""
        assert isinstance(request, ChatRequest)
        return request.n or 1

    def chars(self, request: Request, /) -> int:
        """The length of the conversation's texts."""
        assert isinstance(request, ChatRequest)
        return sum(map(_length, request.messages))

    def merge(self, requests: Sequence[Request], /) -> Request:
        """The conversations side by side; a single one stays the chat that it is."""
        first = requests[0]
        if len(requests) == 1:
            return first
        assert isinstance(first, ChatRequest)
        conversations = tuple([r.messages for r in requests if isinstance(r, ChatRequest)])
        same = {name: getattr(first, name) for name in _SAME}
        return ChatBatchRequest(conversations=conversations, **same)

    def split(self, response: Response, requests: Sequence[Request], /) -> list[Response]:
        """Each conversation's output as an answer of its own; usage in proportion to characters."""
        assert isinstance(response, ChatResponse)
        if len(requests) == 1:
            return [response]
        usages = share(response.usage, [self.chars(request) for request in requests])
        outputs = sorted(response.outputs, key=attrgetter("index"))
        return [
            replace(response, outputs=(replace(output, index=0),), usage=usage)
            for output, usage in zip(outputs, usages, strict=True)
        ]

    def answers(self, request: Request, response: Response, /) -> int:
        """The number of outputs."""
        assert isinstance(response, ChatResponse)
        return len(response.outputs)

    def pieces(self, request: Request, items: int, chars: int | None, /) -> list[Request]:
        """A conversation is never cut."""
        return [request]

    def join(self, request: Request, responses: Sequence[Response], /) -> Response:
        """All outputs in order, usage summed."""
        outputs = [output for r in responses if isinstance(r, ChatResponse) for output in r.outputs]
        return replace(
            responses[0],
            outputs=tuple([replace(output, index=i) for i, output in enumerate(outputs)]),
            usage=total([response.usage for response in responses]),
            raw=[response.raw for response in responses],
        )


def _length(message: Message) -> int:
    content = message.content
    if isinstance(content, str):
        return len(content)
    texts = (part.text for part in content if isinstance(part, Text))
    results = (part.content for part in content if isinstance(part, ToolResult))
    return sum(map(len, texts)) + sum(map(len, results))
