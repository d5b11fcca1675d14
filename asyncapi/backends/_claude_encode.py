"""Chat requests in Claude's form.

Source: Anthropic API reference, "Messages" and "API versions".
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from asyncapi.backends._encoding import drop, image_data, note, tool_input
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
from asyncapi.types.requests import ChatRequest

__all__ = ["NAME", "SAMPLING_REMOVED", "chat_body", "count_body"]

NAME = "claude"
#: The first API version that refuses temperature, top_p and top_k, even at their defaults.
SAMPLING_REMOVED = "2026-10-21"

Block = dict[str, Any]

_COUNTED = frozenset({"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config"})


def chat_body(request: ChatRequest, version: str, default_max_tokens: int, warnings: list[str]) -> Block:
    """The body of POST /v1/messages; what could not be sent is noted in ``warnings``.

    Raises:
        ConfigError: A message that Claude can't be given, or a dropped parameter in the mode "error".
    """
    system, messages = _Conversation(request, version, warnings).build()
    body: Block = {"model": request.model, "max_tokens": _max_tokens(request, default_max_tokens)}
    if system:
        body["system"] = system
    body["messages"] = messages
    if request.stop:
        body["stop_sequences"] = request.stop
    if request.stream:
        body["stream"] = True
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if request.tool_choice is not None or request.parallel_tool_calls is False:
        _add_tool_choice(request, body)
    if request.user_id is not None:
        body["metadata"] = {"user_id": request.user_id}
    if request.service_tier is not None:
        body["service_tier"] = request.service_tier
    if request.reasoning_effort is not None or request.reasoning_budget is not None:
        _add_reasoning(request, body, warnings)
    if request.response_format is not None:
        _add_format(request, body, warnings)
    _add_sampling(request, version, body, warnings)
    _drop_unknown(request, warnings)
    return body


def count_body(body: Block) -> Block:
    """What of a chat's body counts: the service refuses the rest."""
    return {field: value for field, value in body.items() if field in _COUNTED}


def _max_tokens(request: ChatRequest, default: int) -> int:
    """The field is mandatory, and a thinking budget counts against it, so the default makes room for both."""
    if request.max_tokens is not None:
        return request.max_tokens
    return default + (request.reasoning_budget or 0)


def _tool(tool: Tool) -> Block:
    if tool.raw is not None:
        return dict(tool.raw)
    schema = tool.parameters
    block: Block = {
        "name": tool.name,
        "input_schema": {"type": "object", "properties": {}} if schema is None else schema,
    }
    if tool.description is not None:
        block["description"] = tool.description
    if tool.strict is not None:
        block["strict"] = tool.strict
    return block


def _add_tool_choice(request: ChatRequest, body: Block) -> None:
    match request.tool_choice:
        case None if not request.tools:
            return
        case None | "auto":
            choice: Block = {"type": "auto"}
        case "required":
            choice = {"type": "any"}
        case "none":
            body["tool_choice"] = {"type": "none"}
            return
        case name:
            choice = {"type": "tool", "name": name}
    if request.parallel_tool_calls is False:
        choice["disable_parallel_tool_use"] = True
    body["tool_choice"] = choice


def _add_reasoning(request: ChatRequest, body: Block, warnings: list[str]) -> None:
    effort, budget = request.reasoning_effort, request.reasoning_budget
    if effort == "none" or budget == 0:
        body["thinking"] = {"type": "disabled"}
        return
    body["thinking"] = (
        {"type": "adaptive"} if budget is None else {"type": "enabled", "budget_tokens": budget}
    )
    if effort == "minimal":
        drop(request, warnings, NAME, 'reasoning_effort="minimal" (its lowest, "low", is sent)')
        effort = "low"
    if effort is not None:
        body["output_config"] = {"effort": effort}


def _add_format(request: ChatRequest, body: Block, warnings: list[str]) -> None:
    wanted = request.response_format
    if wanted == "text":
        return
    if isinstance(wanted, str) or wanted is None or "schema" not in wanted:
        shown = wanted if isinstance(wanted, str) else sorted(wanted or ())
        drop(request, warnings, NAME, f"response_format={shown!r} (it takes a schema)")
        return
    body.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": wanted["schema"]}


def _add_sampling(request: ChatRequest, version: str, body: Block, warnings: list[str]) -> None:
    if request.temperature is None and request.top_p is None and request.top_k is None:
        return
    for field, value in (
        ("temperature", request.temperature),
        ("top_p", request.top_p),
        ("top_k", request.top_k),
    ):
        if value is None:
            continue
        if version < SAMPLING_REMOVED:
            body[field] = value
        else:
            drop(request, warnings, NAME, f"{field} in its API version {version}")


def _drop_unknown(request: ChatRequest, warnings: list[str]) -> None:
    if request.seed is not None:
        drop(request, warnings, NAME, "seed")
    if request.n is not None and request.n != 1:
        drop(request, warnings, NAME, "n")
    if request.frequency_penalty is not None:
        drop(request, warnings, NAME, "frequency_penalty")
    if request.presence_penalty is not None:
        drop(request, warnings, NAME, "presence_penalty")
    if request.logprobs or request.top_logprobs:
        drop(request, warnings, NAME, "logprobs")
    if request.metadata:
        drop(request, warnings, NAME, "metadata (it takes a user_id)")


class _Conversation:
    """Sorts messages into the system prompt and the turns.

    State: ``system`` and ``turns`` grow; ``results`` counts the tool results that head the last turn.
    """

    __slots__ = ("_request", "_version", "_warnings", "results", "system", "turns")

    def __init__(self, request: ChatRequest, version: str, warnings: list[str]) -> None:
        self._request = request
        self._version = version
        self._warnings = warnings
        self.system: list[Block] = []
        self.turns: list[Block] = []
        self.results = 0

    def build(self) -> tuple[str | list[Block], list[Block]]:
        """The system prompt (a string where one suffices) and the turns."""
        messages = self._request.messages
        for index, message in enumerate(messages):
            role = message.role
            if role == "system" or role == "developer":
                self._add_system(index, message)
            elif role == "assistant":
                self._add_assistant(index, message)
            else:
                self._add_user(index, message)
        if not self.turns:
            raise ConfigError(f"{NAME} needs at least one user message beside the system prompt")
        if len(self.system) == 1 and "cache_control" not in self.system[0]:
            return self.system[0]["text"], self.turns
        return self.system, self.turns

    def _add_system(self, index: int, message: Message) -> None:
        if self.turns:
            text = f"messages[{index}]: moved to the system prompt, which comes first"
            note(self._request, self._warnings, text)
        content = message.content
        for part in (Text(content),) if isinstance(content, str) else content:
            if not isinstance(part, Text):
                raise ConfigError(
                    f"messages[{index}]: a system prompt is text only, got {type(part).__name__}"
                )
            if part.text:
                self.system.append(_text(part))

    def _add_assistant(self, index: int, message: Message) -> None:
        content = message.content if isinstance(message.content, str) else self._blocks(index, message)
        if content:  # an empty turn is refused by the service and says nothing
            self.turns.append({"role": "assistant", "content": content})
            self.results = 0

    def _add_user(self, index: int, message: Message) -> None:
        content = message.content
        if isinstance(content, str):
            if message.role == "tool":
                raise ConfigError(f"messages[{index}]: a tool message holds a ToolResult, not a plain string")
            if not self.results and content:
                self.turns.append({"role": "user", "content": content})
            elif content:
                self.turns[-1]["content"].append({"type": "text", "text": content})
            return
        blocks = self._blocks(index, message)
        results = [block for block in blocks if block["type"] == "tool_result"]
        others = [block for block in blocks if block["type"] != "tool_result"] if results else blocks
        self._add_turn(results, others)

    def _add_turn(self, results: list[Block], others: list[Block]) -> None:
        """Tool results of one assistant turn go into one user message, before anything else."""
        last = self.turns[-1] if self.turns else None
        if last is not None and last["role"] == "user" and (results or self.results):
            old = last["content"]
            merged = [{"type": "text", "text": old}] if isinstance(old, str) else old
            merged[self.results : self.results] = results
            last["content"] = merged + others
        elif results or others:
            self.turns.append({"role": "user", "content": results + others})
        self.results += len(results)

    def _blocks(self, index: int, message: Message) -> list[Block]:
        blocks = []
        for part in message.content:
            block = self._block(f"messages[{index}]", message.role, part)  # type: ignore[arg-type]
            if block is not None:
                blocks.append(block)
        return blocks

    def _block(self, where: str, role: str, part: Part) -> Block | None:
        match part:
            case Text():
                return _text(part) if part.text else None
            case Reasoning():
                return self._reasoning(where, part)
            case ToolCall():
                return self._tool_call(where, part)
            case ToolResult():
                return _tool_result(part)
            case Image():
                return _image(where, part)
            case File():
                if role == "assistant" and self._version >= SAMPLING_REMOVED:
                    raise ConfigError(f"{where}: {NAME} takes no document in an assistant message")
                return _document(where, part)
            case RawPart(provider=provider, data=data):
                if provider == NAME and isinstance(data, dict) and "type" in data:
                    return data
                drop(self._request, self._warnings, NAME, f"the raw part of {provider} in {where}")
                return None
        raise ConfigError(f"{where}: {NAME} takes no {type(part).__name__.lower()} part")

    def _reasoning(self, where: str, part: Reasoning) -> Block | None:
        if part.provider == NAME and isinstance(part.provider_data, dict):
            return part.provider_data
        note(
            self._request, self._warnings, f"{where}: reasoning that {NAME} did not write itself is not sent"
        )
        return None

    def _tool_call(self, where: str, call: ToolCall) -> Block:
        if call.provider == NAME and isinstance(call.provider_data, dict):
            return call.provider_data
        arguments, whole = tool_input(call.arguments)
        if not whole:
            text = f"{where}: the arguments of {call.name} are no JSON object: sent wrapped"
            note(self._request, self._warnings, text)
        return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}


def _text(part: Text) -> Block:
    if part.cache is None:
        return {"type": "text", "text": part.text}
    return {"type": "text", "text": part.text, "cache_control": _cache(part.cache)}


def _cache(ttl: str) -> Block:
    return {"type": "ephemeral", "ttl": ttl}


def _tool_result(part: ToolResult) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": part.tool_call_id, "content": part.content}
    if part.is_error:
        block["is_error"] = True
    return block


def _image(where: str, part: Image) -> Block:
    media_type, data = image_data(part)
    if data:
        source: Block = {"type": "base64", "media_type": media_type, "data": data}
    elif part.url:
        source = {"type": "url", "url": part.url}
    else:
        raise ConfigError(f"{where}: the image has neither url nor data")
    block: Block = {"type": "image", "source": source}
    if part.cache is not None:
        block["cache_control"] = _cache(part.cache)
    return block


def _document(where: str, part: File) -> Block:
    block: Block = {"type": "document", "source": _document_source(where, part)}
    if part.filename is not None:
        block["title"] = part.filename
    if part.cache is not None:
        block["cache_control"] = _cache(part.cache)
    return block


def _document_source(where: str, part: File) -> Block:
    if part.file_id:
        return {"type": "file", "file_id": part.file_id}
    if part.url:
        return {"type": "url", "url": part.url}
    if not part.data:
        raise ConfigError(f"{where}: the file has neither file_id, url nor data")
    if part.media_type != "text/plain":
        return {"type": "base64", "media_type": part.media_type, "data": part.data}
    try:
        text = base64.b64decode(part.data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: the text file is not UTF-8 in base64: {error}") from error
    return {"type": "text", "media_type": "text/plain", "data": text}
