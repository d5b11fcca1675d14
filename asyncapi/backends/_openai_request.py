"""Requests in the OpenAI dialect: bodies of chat, embeddings and reranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from asyncapi.backends._openai_quirks import PARAMETERS, Quirks
from asyncapi.errors import ConfigError
from asyncapi.types.messages import (
    Audio,
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
from asyncapi.types.requests import ChatRequest, EmbedRequest

__all__ = ["RequestWriter", "drop"]

# Not among them: ``stop``, whose absence is () and not None, and what needs more than a rename.
_SIMPLE = tuple(field for field in PARAMETERS if field not in ("stop", "dimensions"))
_VALUES = attrgetter(*_SIMPLE)
_NOTHING = (None,) * len(_SIMPLE)
_CHOICES = frozenset({"auto", "none", "required"})
_STRUCTURED = ("regex", "choice", "grammar")


class RequestWriter:
    """Writes the bodies of one service. ``notes`` collects what was dropped on the way."""

    def __init__(self, service: str, quirks: Quirks) -> None:
        names = {**PARAMETERS, **quirks.names}
        self._service = service
        self._quirks = quirks
        self._names = names
        self._wires = tuple(names[field] for field in _SIMPLE)
        self._roles = {"system": "system", "user": "user", "assistant": "assistant"}
        self._roles["developer"] = "developer" if quirks.developer_role else "system"

    def chat(self, request: ChatRequest, notes: list[str]) -> dict[str, Any]:
        """The body of a chat request."""
        messages: list[dict[str, Any]] = []
        for message in request.messages:
            content = message.content
            if type(content) is str and message.name is None and message.role != "tool":
                messages.append({"role": self._roles[message.role], "content": content})
            else:
                messages += self._message(message, request, notes)
        body: dict[str, Any] = {"model": request.model, "messages": messages}
        self.parameters(request, body, notes)
        if request.tools:
            body["tools"] = [_tool(tool) for tool in request.tools]
        if request.tool_choice is not None:
            body["tool_choice"] = _tool_choice(request.tool_choice)
        if request.response_format is not None:
            self.response_format(request.response_format, body)
        if request.stream:
            body["stream"] = True
            if self._quirks.stream_options is not None:
                body["stream_options"] = self._quirks.stream_options
        elif self._quirks.explicit_stream:
            body["stream"] = False
        return body

    def parameters(self, request: ChatRequest, body: dict[str, Any], notes: list[str]) -> None:
        """Write the parameters that need no more than another name."""
        values = _VALUES(request)
        if values != _NOTHING:
            self._parameters(values, body, request, notes)
        if request.stop:
            self._put("stop", request.stop, body, request, notes)

    def outputs(self, request: ChatRequest) -> int:
        """How many outputs the service will give."""
        return (request.n or 1) if self._names["n"] else 1

    def embed(self, request: EmbedRequest, notes: list[str]) -> dict[str, Any]:
        """The body of an embeddings request."""
        body: dict[str, Any] = {"model": request.model, "input": request.inputs}
        if self._quirks.base64:
            body["encoding_format"] = "base64"
        if request.dimensions is not None:
            if wire := self._names["dimensions"]:
                body[wire] = request.dimensions
            else:
                notes.append(f"{self._service} takes no dimensions: dropped")
        if request.user_id is not None and self._names["user_id"]:
            body["user"] = request.user_id
        return body

    def _parameters(
        self, values: tuple[Any, ...], body: dict[str, Any], request: ChatRequest, notes: list[str]
    ) -> None:
        for field, wire, value in zip(_SIMPLE, self._wires, values, strict=True):
            if value is None:
                continue
            if wire:
                body[wire] = value
            elif field != "n" or value != 1:
                self._drop(field, request, notes)

    def _put(
        self, field: str, value: Any, body: dict[str, Any], request: ChatRequest, notes: list[str]
    ) -> None:
        if wire := self._names[field]:
            body[wire] = value
        else:
            self._drop(field, request, notes)

    def _drop(self, what: str, request: ChatRequest, notes: list[str]) -> None:
        drop(self._service, what, request.unsupported, notes)

    def _note(self, text: str, request: ChatRequest, notes: list[str]) -> None:
        if request.unsupported != "ignore":
            notes.append(text)

    def response_format(self, wanted: str | Mapping[str, Any], body: dict[str, Any]) -> None:
        """Write the form that an answer must have.

        Raises:
            ConfigError: The service has no such form.
        """
        if wanted == "text":
            return
        if wanted == "json":
            body["response_format"] = {"type": "json_object"}
        elif not isinstance(wanted, Mapping):
            raise ConfigError(
                f"response_format: expected 'text', 'json' or a mapping with a schema, got {wanted!r}"
            )
        elif "schema" in wanted:
            body["response_format"] = self._schema(wanted)
        elif "type" in wanted:
            body["response_format"] = wanted
        elif self._quirks.structured_outputs and any(kind in wanted for kind in _STRUCTURED):
            body["structured_outputs"] = wanted
        else:
            raise ConfigError(f"response_format: {self._service} takes a schema, got {', '.join(wanted)!r}")

    def _schema(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        if self._quirks.response_format == "tgi":
            return {"type": "json", "value": wanted["schema"]}
        schema = {"name": wanted.get("name") or "answer", "schema": wanted["schema"]}
        if wanted.get("strict") is not None:
            schema["strict"] = wanted["strict"]
        return {"type": "json_schema", "json_schema": schema}

    def _message(self, message: Message, request: ChatRequest, notes: list[str]) -> list[dict[str, Any]]:
        content = message.content
        parts: tuple[Part, ...] = (Text(content),) if isinstance(content, str) else content
        turns: list[dict[str, Any]] = [
            {"role": "tool", "tool_call_id": part.tool_call_id, "content": part.content}
            for part in parts
            if isinstance(part, ToolResult)
        ]
        rest = [part for part in parts if not isinstance(part, ToolResult)]
        if not rest and turns:
            return turns
        if message.role == "tool":
            raise ConfigError(
                "a message of role 'tool' holds ToolResult parts only, each with its tool_call_id"
            )
        if message.role == "assistant":
            turn = self._assistant(rest, request, notes)
        else:
            turn = {"role": self._roles[message.role], "content": self._content(rest, request, notes)}
        if message.name is not None:
            if self._quirks.message_names:
                turn["name"] = message.name
            else:
                self._drop("names of messages", request, notes)
        return [*turns, turn]

    def _assistant(self, parts: Sequence[Part], request: ChatRequest, notes: list[str]) -> dict[str, Any]:
        text = "".join(part.text for part in parts if isinstance(part, Text))
        calls = [self._call(part, request, notes) for part in parts if isinstance(part, ToolCall)]
        turn: dict[str, Any] = {"role": "assistant", "content": text or (None if calls else "")}
        if calls:
            turn["tool_calls"] = calls
        reasoning = [part for part in parts if isinstance(part, Reasoning)]
        if reasoning and (thoughts := self._reasoning(reasoning, request, notes)):
            turn[self._quirks.reasoning_input] = thoughts
        for part in parts:
            if not isinstance(part, Text | ToolCall | Reasoning):
                self._drop(f"{type(part).__name__} in an assistant's message", request, notes)
        return turn

    def _reasoning(self, parts: list[Reasoning], request: ChatRequest, notes: list[str]) -> str:
        foreign = sorted({part.provider or "unknown" for part in parts if part.provider != self._service})
        if foreign:
            self._note(f"reasoning of {', '.join(foreign)} is not sent to {self._service}", request, notes)
        if not self._quirks.reasoning_input:
            return ""
        return "".join(part.text for part in parts if part.provider == self._service)

    def _call(self, call: ToolCall, request: ChatRequest, notes: list[str]) -> dict[str, Any]:
        if call.provider_data is not None and call.provider != self._service:
            owner = call.provider or "unknown"
            self._note(f"provider_data of {owner} is not sent to {self._service}", request, notes)
        return {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }

    def _content(
        self, parts: Sequence[Part], request: ChatRequest, notes: list[str]
    ) -> str | list[dict[str, Any]]:
        if len(parts) == 1 and isinstance(parts[0], Text):
            return parts[0].text
        return [written for part in parts if (written := self._part(part, request, notes)) is not None]

    def _part(self, part: Part, request: ChatRequest, notes: list[str]) -> Any:
        match part:
            case Text():
                return {"type": "text", "text": part.text}
            case Image():
                image = {"url": part.url or f"data:{part.media_type};base64,{part.data}"}
                if part.detail is not None:
                    image["detail"] = part.detail
                return {"type": "image_url", "image_url": image}
            case Audio():
                return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
            case File():
                return {"type": "file", "file": self._file(part)}
            case RawPart() if part.provider == self._service:
                return part.data
            case RawPart():
                self._note(f"a part of {part.provider} is not sent to {self._service}", request, notes)
            case _:
                self._drop(f"{type(part).__name__} outside of an assistant's message", request, notes)
        return None

    def _file(self, part: File) -> dict[str, Any]:
        if part.file_id:
            return {"file_id": part.file_id}
        if not part.data:
            raise ConfigError(f"{self._service} takes a file by id or as data, not by URL")
        file = {"file_data": f"data:{part.media_type};base64,{part.data}"}
        if part.filename is not None:
            file["filename"] = part.filename
        return file


def drop(service: str, what: str, unsupported: str, notes: list[str]) -> None:
    """Note that ``what`` is not sent, as the request's ``unsupported`` mode says.

    Raises:
        ConfigError: The mode is "error".
    """
    if unsupported == "error":
        raise ConfigError(f"{service} takes no {what}; leave it out or pass unsupported='warn'")
    if unsupported == "warn":
        notes.append(f"{service} takes no {what}: dropped")


def _tool(tool: Tool) -> Any:
    if tool.raw is not None:
        return tool.raw
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _tool_choice(choice: str) -> str | dict[str, Any]:
    return choice if choice in _CHOICES else {"type": "function", "function": {"name": choice}}
