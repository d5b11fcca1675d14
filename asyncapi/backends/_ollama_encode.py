"""Chat requests in Ollama's form.

Source: Ollama API documentation, "Generate a chat completion".
"""

from __future__ import annotations

from typing import Any

from asyncapi.backends._encoding import drop, image_data, note, tool_input
from asyncapi.errors import ConfigError
from asyncapi.types.messages import Image, Message, RawPart, Reasoning, Text, Tool, ToolCall, ToolResult
from asyncapi.types.requests import ChatRequest, CompleteRequest

__all__ = ["NAME", "add_format", "chat_body", "sampling"]

NAME = "ollama"

Object = dict[str, Any]

#: Efforts of other services in the words of this one.
_THINK: dict[str, bool | str] = {"none": False, "minimal": "low", "xhigh": "max"}


def chat_body(request: ChatRequest, warnings: list[str]) -> Object:
    """The body of POST /api/chat; what could not be sent is noted in ``warnings``.

    Raises:
        ConfigError: A message that Ollama can't be given, or a dropped parameter in the mode "error".
    """
    # The service streams unless told otherwise.
    body: Object = {
        "model": request.model,
        "messages": _Conversation(request, warnings).build(),
        "stream": request.stream,
    }
    if options := sampling(request):
        body["options"] = options
    if request.tools and request.tool_choice != "none":
        body["tools"] = [_tool(request, tool, warnings) for tool in request.tools]
    if request.response_format is not None:
        add_format(request, body, warnings)
    if request.reasoning_effort is not None or request.reasoning_budget is not None:
        _add_think(request, body, warnings)
    if request.logprobs is not None:
        body["logprobs"] = request.logprobs
    if request.top_logprobs is not None:
        body["top_logprobs"] = request.top_logprobs
    _drop_unknown(request, warnings)
    return body


def sampling(request: ChatRequest | CompleteRequest) -> Object:
    """The options of the model that a request sets."""
    options: Object = {}
    if request.max_tokens is not None:
        options["num_predict"] = request.max_tokens
    if request.temperature is not None:
        options["temperature"] = request.temperature
    if request.top_p is not None:
        options["top_p"] = request.top_p
    if request.top_k is not None:
        options["top_k"] = request.top_k
    if request.stop:
        options["stop"] = request.stop
    if request.seed is not None:
        options["seed"] = request.seed
    if request.frequency_penalty is not None:
        options["frequency_penalty"] = request.frequency_penalty
    if request.presence_penalty is not None:
        options["presence_penalty"] = request.presence_penalty
    return options


def _tool(request: ChatRequest, tool: Tool, warnings: list[str]) -> Object:
    if tool.raw is not None:
        return dict(tool.raw)
    if tool.strict:
        drop(request, warnings, NAME, f"strict in the tool {tool.name}")
    function: Object = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = (
        {"type": "object", "properties": {}} if tool.parameters is None else tool.parameters
    )
    return {"type": "function", "function": function}


def add_format(request: ChatRequest | CompleteRequest, body: Object, warnings: list[str]) -> None:
    """Ask for JSON, or for what a schema describes."""
    match request.response_format:
        case "text":
            return
        case "json":
            body["format"] = "json"
        case {"schema": schema}:
            body["format"] = schema
        case other:
            shown = other if isinstance(other, str) else sorted(other or ())
            drop(request, warnings, NAME, f"response_format={shown!r}")


def _add_think(request: ChatRequest, body: Object, warnings: list[str]) -> None:
    effort, budget = request.reasoning_effort, request.reasoning_budget
    if budget == 0:
        body["think"] = False
        return
    body["think"] = True if effort is None else _THINK.get(effort, effort)
    if budget is not None:
        drop(request, warnings, NAME, "reasoning_budget")
    if effort == "minimal" or effort == "xhigh":
        drop(request, warnings, NAME, f"reasoning_effort={effort!r} ({body['think']!r} is sent)")


def _drop_unknown(request: ChatRequest, warnings: list[str]) -> None:
    if request.tool_choice is not None and request.tool_choice not in ("auto", "none"):
        drop(request, warnings, NAME, f"tool_choice={request.tool_choice!r}")
    if request.parallel_tool_calls is False:
        drop(request, warnings, NAME, "parallel_tool_calls")
    if request.n is not None and request.n != 1:
        drop(request, warnings, NAME, "n")
    if request.user_id is not None:
        drop(request, warnings, NAME, "user_id")
    if request.metadata:
        drop(request, warnings, NAME, "metadata")
    if request.service_tier is not None:
        drop(request, warnings, NAME, "service_tier")


class _Conversation:
    """Writes messages one by one. ``names`` remembers the functions by call id, for their results."""

    __slots__ = ("_request", "_warnings", "names")

    def __init__(self, request: ChatRequest, warnings: list[str]) -> None:
        self._request = request
        self._warnings = warnings
        self.names: dict[str, str] = {}

    def build(self) -> list[Object]:
        """The messages in Ollama's form."""
        written: list[Object] = []
        for index, message in enumerate(self._request.messages):
            role = "system" if message.role == "developer" else message.role
            if isinstance(message.content, str):
                written.append({"role": role, "content": message.content})
            else:
                self._parts(f"messages[{index}]", role, message, written)
        return written

    def _parts(self, where: str, role: str, message: Message, written: list[Object]) -> None:
        texts: list[str] = []
        lists: dict[str, list[Any]] = {}
        for part in message.content:
            match part:
                case Text(text=text):
                    texts.append(text)
                case Image():
                    lists.setdefault("images", []).append(_image(where, part))
                case ToolCall():
                    lists.setdefault("tool_calls", []).append(self._tool_call(where, part))
                case ToolResult():
                    written.append(self._tool_result(part))
                case Reasoning():
                    self._reasoning(where, part, lists)
                case RawPart():
                    drop(self._request, self._warnings, NAME, f"the raw part of {part.provider} in {where}")
                case _:
                    raise ConfigError(f"{where}: {NAME} takes no {type(part).__name__.lower()} part")
        if texts or lists:
            body: Object = {"role": role, "content": "".join(texts), **lists}
            if "thinking" in lists:
                body["thinking"] = "".join(lists["thinking"])
            written.append(body)

    def _reasoning(self, where: str, part: Reasoning, lists: dict[str, list[Any]]) -> None:
        if part.provider in (NAME, ""):
            lists.setdefault("thinking", []).append(part.text)
        else:
            note(self._request, self._warnings, f"{where}: reasoning of {part.provider} is not sent")

    def _tool_call(self, where: str, call: ToolCall) -> Object:
        arguments, whole = tool_input(call.arguments)
        if not whole:
            text = f"{where}: the arguments of {call.name} are no JSON object: sent wrapped"
            note(self._request, self._warnings, text)
        self.names[call.id] = call.name
        return {"id": call.id, "function": {"name": call.name, "arguments": arguments}}

    def _tool_result(self, part: ToolResult) -> Object:
        written = {"role": "tool", "content": part.content, "tool_call_id": part.tool_call_id}
        if name := part.name or self.names.get(part.tool_call_id, ""):
            written["tool_name"] = name
        return written


def _image(where: str, part: Image) -> str:
    data = image_data(part)[1]
    if not data:
        raise ConfigError(f"{where}: {NAME} takes no image URL; fetch the image and give its data")
    return data
