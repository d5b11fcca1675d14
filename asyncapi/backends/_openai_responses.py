"""OpenAI's Responses API: turns are items, tools are flat, reasoning goes back as it came.

Source: OpenAI API reference, Responses; the typed models of its Python SDK.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from asyncapi.backends._decoding import count
from asyncapi.backends._openai_codec import Body, Codec
from asyncapi.backends._openai_quirks import Quirks
from asyncapi.backends._openai_reply import request_id
from asyncapi.backends._openai_request import RequestWriter
from asyncapi.backends._openai_responses_reply import read_response
from asyncapi.backends._openai_responses_stream import ResponsesStream
from asyncapi.errors import ConfigError
from asyncapi.types.messages import (
    File,
    Image,
    Message,
    Part,
    RawPart,
    Reasoning,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from asyncapi.types.requests import ChatRequest, CountTokensRequest, RespondRequest
from asyncapi.types.responses import ChatResponse, CountTokensResponse
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireResponse

__all__ = ["CountTokens", "ItemWriter", "Respond"]

_NAMES: Mapping[str, str | None] = {
    "max_tokens": "max_output_tokens",
    "stop": None,
    "seed": None,
    "n": None,
    "frequency_penalty": None,
    "presence_penalty": None,
}
_LOGPROBS = "message.output_text.logprobs"
#: What counting takes of a request's body.
_COUNTED = ("model", "input", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning")
#: What counting has no need of, and no service could refuse.
_UNCOUNTED: Mapping[str, Any] = {
    "stop": (),
    **dict.fromkeys(
        (
            "seed",
            "n",
            "frequency_penalty",
            "presence_penalty",
            "top_k",
            "reasoning_budget",
            "user_id",
            "metadata",
        )
    ),
}
_MODES = frozenset({"auto", "none", "required"})


class Respond(Codec[RespondRequest]):
    """A turn."""

    operation = "respond"

    def __init__(self, service: str, quirks: Quirks) -> None:
        super().__init__(service, quirks)
        self._writer = ItemWriter(service, quirks)

    def write(self, request: RespondRequest, notes: list[str]) -> Body:
        """The body."""
        body = self._writer.turn(request, notes)
        include = [*request.include, *([_LOGPROBS] if request.logprobs else [])]
        if include:
            body["include"] = list(dict.fromkeys(include))
        if request.previous_response_id is not None:
            body["previous_response_id"] = request.previous_response_id
        if request.store is not None:
            body["store"] = request.store
        if request.stream:
            body["stream"] = True
            if "include_obfuscation" in (options := self.quirks.stream_options or {}):
                body["stream_options"] = {"include_obfuscation": options["include_obfuscation"]}
        return body

    def read(self, request: RespondRequest, reply: WireResponse) -> ChatResponse:
        """The answer."""
        data = self.object(reply)
        if data.get("status") == "failed":
            raise self.failure(reply)
        return read_response(self.service, request.model, data, reply.headers)

    def stream(self, request: RespondRequest, reply: WireResponse) -> ResponsesStream:
        """A decoder for the streamed answer."""
        return ResponsesStream(self.service, self.quirks, request.model, reply.status, reply.headers)


class CountTokens(Codec[CountTokensRequest]):
    """How many tokens a turn's input has."""

    operation = "count_tokens"

    def __init__(self, service: str, quirks: Quirks) -> None:
        super().__init__(service, quirks)
        self._writer = ItemWriter(service, quirks)

    def write(self, request: CountTokensRequest, notes: list[str]) -> Body:
        """What of a turn's body is input; parameters of the answer don't matter."""
        body = self._writer.turn(replace(request, **_UNCOUNTED), notes)
        return {name: body[name] for name in _COUNTED if name in body}

    def read(self, request: CountTokensRequest, reply: WireResponse) -> CountTokensResponse:
        """The count."""
        data = self.object(reply)
        tokens = count(data["input_tokens"])
        if tokens is None:
            raise TypeError("input_tokens is no count")
        return CountTokensResponse(
            model=request.model,
            input_tokens=tokens,
            usage=Usage(input_tokens=tokens, source="reported"),
            raw=data,
            provider_request_id=request_id(reply.headers),
        )


class ItemWriter(RequestWriter):
    """Writes conversations as items."""

    def __init__(self, service: str, quirks: Quirks) -> None:
        super().__init__(service, replace(quirks, names={**quirks.names, **_NAMES}))

    def turn(self, request: ChatRequest, notes: list[str]) -> dict[str, Any]:
        """What every turn has: model, input, tools, parameters."""
        items: list[Any] = []
        for message in request.messages:
            items += self._items(message, request, notes)
        body: dict[str, Any] = {"model": request.model, "input": items}
        self.parameters(request, body, notes)
        body.pop("logprobs", None)  # the list of what to include says it
        if (effort := body.pop("reasoning_effort", None)) is not None:
            body["reasoning"] = {"effort": effort}
        if request.tools:
            body["tools"] = [_tool(tool) for tool in request.tools]
        if (choice := request.tool_choice) is not None:
            body["tool_choice"] = choice if choice in _MODES else {"type": "function", "name": choice}
        if request.response_format is not None:
            self.response_format(request.response_format, body)
            if (form := body.pop("response_format", None)) is not None:
                body["text"] = {"format": _flat(form)}
        return body

    def _items(self, message: Message, request: ChatRequest, notes: list[str]) -> list[Any]:
        content = message.content
        if message.name is not None:
            self._drop("names of messages", request, notes)
        if isinstance(content, str) and message.role != "tool":
            return [{"role": self._roles[message.role], "content": content}]
        parts: tuple[Part, ...] = (Text(content),) if isinstance(content, str) else content
        items: list[Any] = [
            {"type": "function_call_output", "call_id": part.tool_call_id, "output": part.content}
            for part in parts
            if isinstance(part, ToolResult)
        ]
        rest = [part for part in parts if not isinstance(part, ToolResult)]
        if not rest and items:
            return items
        if message.role == "tool":
            raise ConfigError(
                "a message of role 'tool' holds ToolResult parts only, each with its tool_call_id"
            )
        if message.role == "assistant":
            return [*items, *self._own_turn(rest, request, notes)]
        return [*items, {"role": self._roles[message.role], "content": self._content(rest, request, notes)}]

    def _own_turn(self, parts: Sequence[Part], request: ChatRequest, notes: list[str]) -> list[Any]:
        """The items of an assistant's message in the order of its parts: reasoning before its call."""
        items: list[Any] = []
        for part in parts:
            match part:
                case Text():
                    items.append({"role": "assistant", "content": part.text})
                case ToolCall():
                    items.append(self._call(part, request, notes))
                case Reasoning() | RawPart() if part.provider != self._service:
                    owner = part.provider or "unknown"
                    what = "reasoning" if isinstance(part, Reasoning) else "a part"
                    self._note(f"{what} of {owner} is not sent to {self._service}", request, notes)
                case Reasoning():
                    # Without its item it was shown by another route, which takes none back.
                    items += [] if part.provider_data is None else [part.provider_data]
                case RawPart():
                    items.append(part.data)
                case _:
                    self._drop(f"{type(part).__name__} in an assistant's message", request, notes)
        return items

    def _call(self, call: ToolCall, request: ChatRequest, notes: list[str]) -> dict[str, Any]:
        own = {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}
        if call.provider_data is None:
            return own
        if call.provider != self._service or not isinstance(call.provider_data, Mapping):
            owner = call.provider or "unknown"
            self._note(f"provider_data of {owner} is not sent to {self._service}", request, notes)
            return own
        return {**call.provider_data, **own}

    def _part(self, part: Part, request: ChatRequest, notes: list[str]) -> Any:
        match part:
            case Text():
                return {"type": "input_text", "text": part.text}
            case Image():
                url = part.url or f"data:{part.media_type};base64,{part.data}"
                return {"type": "input_image", "image_url": url, "detail": part.detail or "auto"}
            case File() if part.url and not part.data and not part.file_id:
                return {"type": "input_file", "file_url": part.url}
            case File():
                return {"type": "input_file", **self._file(part)}
            case RawPart():
                return super()._part(part, request, notes)
        self._drop(f"{type(part).__name__} outside of an assistant's message", request, notes)
        return None

    def _content(self, parts: Any, request: ChatRequest, notes: list[str]) -> str | list[dict[str, Any]]:
        content = super()._content(parts, request, notes)
        return content if content else ""


def _tool(tool: Tool) -> Any:
    if tool.raw is not None:
        return tool.raw
    # Both are required; null leaves them to the service.
    function = {"name": tool.name, "parameters": tool.parameters, "strict": tool.strict}
    if tool.description is not None:
        function["description"] = tool.description
    return {"type": "function", **function}


def _flat(form: Mapping[str, Any]) -> Mapping[str, Any]:
    """The form of an answer, its schema's name and body beside its type."""
    schema = form.get("json_schema")
    return {"type": form["type"], **schema} if isinstance(schema, Mapping) else form
