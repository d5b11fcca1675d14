"""Chats in the OpenAI dialect, one or several in a request."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from asyncapi.backends._openai_codec import Body, Codec, by_index
from asyncapi.backends._openai_quirks import Quirks
from asyncapi.backends._openai_reply import ReplyReader
from asyncapi.backends._openai_request import RequestWriter
from asyncapi.backends._openai_stream import ChatStream
from asyncapi.errors import ConfigError
from asyncapi.types.requests import ChatBatchRequest, ChatRequest
from asyncapi.types.responses import ChatResponse
from asyncapi.types.wire import WireResponse

__all__ = ["Chat", "ChatBatch"]


class Chat(Codec[ChatRequest]):
    """A conversation to continue."""

    operation = "chat"

    def __init__(self, service: str, quirks: Quirks) -> None:
        super().__init__(service, quirks)
        self._writer = RequestWriter(service, quirks)
        self._reader = ReplyReader(service, quirks)

    def write(self, request: ChatRequest, notes: list[str]) -> Body:
        """The body."""
        return self._writer.chat(request, notes)

    def read(self, request: ChatRequest, reply: WireResponse) -> ChatResponse:
        """The answer."""
        return self._reader.chat(request, self.object(reply), reply.headers)

    def stream(self, request: ChatRequest, reply: WireResponse) -> ChatStream:
        """A decoder for the streamed answer."""
        wanted = self._writer.outputs(request)
        return ChatStream(self.service, self.quirks, request.model, wanted, reply.status, reply.headers)


class ChatBatch(Codec[ChatBatchRequest]):
    """Several conversations with the same parameters: ``messages`` is a list of lists.

    Source: vLLM 0.33, /v1/chat/completions/batch.
    """

    operation = "chat_batch"

    def __init__(self, service: str, quirks: Quirks) -> None:
        super().__init__(service, quirks)
        self._writer = RequestWriter(service, quirks)
        self._reader = ReplyReader(service, quirks)

    def write(self, request: ChatBatchRequest, notes: list[str]) -> Body:
        """The body.

        Raises:
            ConfigError: It asks for what the route refuses.
        """
        if request.stream or request.tools or (request.n or 1) > 1:
            raise ConfigError(f"{self.service} takes several chats without tools, unstreamed, and with n=1")
        messages: list[Any] = []
        for conversation in request.conversations:
            one = ChatRequest(model="", messages=conversation, unsupported=request.unsupported)
            messages.append(self._writer.chat(one, notes)["messages"])
        return {**self._writer.chat(request, notes), "messages": messages}

    def read(self, request: ChatBatchRequest, reply: WireResponse) -> ChatResponse:
        """One output for each conversation, in order; usage is that of all."""
        data = self.object(reply)
        choices = by_index(data["choices"], len(request.conversations))
        answer = self._reader.chat(request, {**data, "choices": choices}, reply.headers)
        outputs = [replace(output, index=i) for i, output in enumerate(answer.outputs)]
        return replace(answer, outputs=tuple(outputs), raw=data)
