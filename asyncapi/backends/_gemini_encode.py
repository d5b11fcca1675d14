"""Conversations in Gemini's form: contents, system instruction, tools, generation config.

There are two roles, ``user`` and ``model``. A function's result goes back by the function's name, and by
the call's id where the service gave one. A part that came with a ``thoughtSignature`` is sent back with it.

Source: Gemini API reference, "Generating content", "Function calling", "Thinking".
"""

from __future__ import annotations

from typing import Any

from asyncapi.backends._encoding import drop, image_data, note, tool_input
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
from asyncapi.types.requests import ChatRequest

__all__ = ["GENERATED", "NAME", "SIGNATURE", "chat_body"]

NAME = "gemini"
SIGNATURE = "thoughtSignature"
#: How the ids begin that stand in for those the service did not give; it never sees them.
GENERATED = "gen_"

Object = dict[str, Any]

_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_CONFIG = (
    ("max_tokens", "maxOutputTokens"),
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("top_k", "topK"),
    ("seed", "seed"),
    ("n", "candidateCount"),
    ("presence_penalty", "presencePenalty"),
    ("frequency_penalty", "frequencyPenalty"),
    ("logprobs", "responseLogprobs"),
    ("top_logprobs", "logprobs"),
)
_IMAGE_TYPE, _FILE_TYPE = Image().media_type, File().media_type


def chat_body(request: ChatRequest, files: str, warnings: list[str]) -> Object:
    """The body of generateContent; what could not be sent is noted in ``warnings``.

    Args:
        request: The conversation.
        files: The URL that the ids of uploaded files are under.
        warnings: Grows.

    Raises:
        ConfigError: A message that Gemini can't be given, or a dropped parameter in the mode "error".
    """
    system, contents = _Conversation(request, files, warnings).build()
    body: Object = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    if request.tools:
        body["tools"] = _tools(request, warnings)
    if request.tool_choice is not None:
        body["toolConfig"] = {"functionCallingConfig": _calling(request.tool_choice)}
    if config := _config(request, warnings):
        body["generationConfig"] = config
    if request.service_tier is not None:
        body["serviceTier"] = request.service_tier
    _drop_unknown(request, warnings)
    return body


def _tools(request: ChatRequest, warnings: list[str]) -> list[Object]:
    hosted = [dict(tool.raw) for tool in request.tools if tool.raw is not None]
    functions = [_function(request, tool, warnings) for tool in request.tools if tool.raw is None]
    return [{"functionDeclarations": functions}, *hosted] if functions else hosted


def _function(request: ChatRequest, tool: Tool, warnings: list[str]) -> Object:
    if tool.strict:
        drop(request, warnings, NAME, f"strict in the tool {tool.name}")
    function: Object = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parametersJsonSchema"] = tool.parameters
    return function


def _calling(choice: str) -> Object:
    mode = _MODES.get(choice)
    return {"mode": mode} if mode else {"mode": "ANY", "allowedFunctionNames": [choice]}


def _config(request: ChatRequest, warnings: list[str]) -> Object:
    config: Object = {}
    for field, wire in _CONFIG:
        if (value := getattr(request, field)) is not None:
            config[wire] = value
    if request.top_logprobs is not None and request.logprobs is None:
        config["responseLogprobs"] = True
    if request.stop:
        config["stopSequences"] = request.stop
    if request.reasoning_effort is not None or request.reasoning_budget is not None:
        config["thinkingConfig"] = _thinking(request, warnings)
    if request.response_format is not None:
        _add_format(request, config, warnings)
    return config


def _thinking(request: ChatRequest, warnings: list[str]) -> Object:
    effort, budget = request.reasoning_effort, request.reasoning_budget
    if effort == "none" or budget == 0:
        return {"thinkingBudget": 0}
    if budget is not None:
        if effort is not None:  # the service refuses to be given both
            drop(request, warnings, NAME, "reasoning_effort beside a reasoning_budget")
        return {"includeThoughts": True, "thinkingBudget": budget}
    if effort == "max":
        drop(request, warnings, NAME, 'reasoning_effort="max" (its highest, "xhigh", is sent)')
        effort = "xhigh"
    return {"includeThoughts": True, "thinkingLevel": str(effort).upper()}


def _add_format(request: ChatRequest, config: Object, warnings: list[str]) -> None:
    match request.response_format:
        case "text":
            return
        case "json":
            config["responseMimeType"] = "application/json"
        case {"schema": schema}:
            config["responseMimeType"] = "application/json"
            config["responseJsonSchema"] = schema
        case other:
            shown = other if isinstance(other, str) else sorted(other or ())
            drop(request, warnings, NAME, f"response_format={shown!r}")


def _drop_unknown(request: ChatRequest, warnings: list[str]) -> None:
    if request.parallel_tool_calls is False:
        drop(request, warnings, NAME, "parallel_tool_calls")
    if request.user_id is not None:
        drop(request, warnings, NAME, "user_id")
    if request.metadata:
        drop(request, warnings, NAME, "metadata")


class _Conversation:
    """Sorts messages into the system instruction and the contents.

    State: ``system`` and ``contents`` grow; ``names`` remembers the functions by call id, for their
    results; ``results`` are the parts of the last content while it holds nothing but results.
    """

    __slots__ = ("_files", "_request", "_warnings", "contents", "names", "results", "system")

    def __init__(self, request: ChatRequest, files: str, warnings: list[str]) -> None:
        self._request = request
        self._files = files
        self._warnings = warnings
        self.system: list[Object] = []
        self.contents: list[Object] = []
        self.names: dict[str, str] = {}
        self.results: list[Object] | None = None

    def build(self) -> tuple[list[Object], list[Object]]:
        """The parts of the system instruction, and the contents."""
        for index, message in enumerate(self._request.messages):
            where = f"messages[{index}]"
            if message.role == "system" or message.role == "developer":
                self._add_system(where, message)
            else:
                self._add(where, message)
        if not self.contents:
            raise ConfigError(f"{NAME} needs at least one message beside the system instruction")
        return self.system, self.contents

    def _add_system(self, where: str, message: Message) -> None:
        if self.contents:
            text = f"{where}: moved to the system instruction, which comes first"
            note(self._request, self._warnings, text)
        for part in _parts(message):
            if not isinstance(part, Text):
                raise ConfigError(f"{where}: a system message is text only, got {type(part).__name__}")
            if part.text:
                self.system.append({"text": part.text})

    def _add(self, where: str, message: Message) -> None:
        if message.role == "tool" and isinstance(message.content, str):
            raise ConfigError(f"{where}: a tool message holds a ToolResult, not a plain string")
        written: list[Object] = []
        for part in _parts(message):
            if isinstance(part, ToolResult):
                self._add_result(self._result(where, part))
            else:
                self._write(where, part, written)
        if written:  # an empty turn is refused by the service and says nothing
            role = "model" if message.role == "assistant" else "user"
            self.contents.append({"role": role, "parts": written})
            self.results = None

    def _add_result(self, result: Object) -> None:
        """All results of one turn go into one content: the service counts them against the calls."""
        if self.results is None:
            self.results = []
            self.contents.append({"role": "user", "parts": self.results})
        self.results.append(result)

    def _result(self, where: str, part: ToolResult) -> Object:
        name = part.name or self.names.get(part.tool_call_id, "")
        if not name:
            raise ConfigError(
                f"{where}: {NAME} takes a result by the function's name: set ToolResult.name, "
                f"or send the call {part.tool_call_id!r} too"
            )
        response = {"error" if part.is_error else "output": part.content}
        return {"functionResponse": {**_id(part.tool_call_id), "name": name, "response": response}}

    def _write(self, where: str, part: Part, written: list[Object]) -> None:
        match part:
            case Text(text=text):
                if text:
                    written.append({"text": text})
            case Image() | Audio() | File():
                written.append(self._media(where, part))
            case ToolCall():
                written.append(self._call(where, part))
            case Reasoning():
                self._reasoning(where, part, written)
            case RawPart(provider=provider, data=data):
                if provider == NAME and isinstance(data, dict):
                    written.append(data)
                else:
                    drop(self._request, self._warnings, NAME, f"the raw part of {provider} in {where}")

    def _media(self, where: str, part: Image | Audio | File) -> Object:
        match part:
            case Audio(data=data):
                return _inline(f"audio/{part.format}", data)
            case Image():
                if part.detail is not None:
                    drop(self._request, self._warnings, NAME, f"detail of the image in {where}")
                media_type, data = image_data(part)
                if data:
                    return _inline(media_type, data)
                uri, default = part.url, _IMAGE_TYPE
            case _:
                if part.data:
                    return _inline(part.media_type, part.data)
                uri, default = part.url or self._uri(part.file_id), _FILE_TYPE
        if not uri:
            raise ConfigError(f"{where}: the {type(part).__name__.lower()} has neither data nor an address")
        # Of an address the default type says nothing.
        known = {} if part.media_type == default else {"mimeType": part.media_type}
        return {"fileData": {**known, "fileUri": uri}}

    def _uri(self, file_id: str) -> str:
        if not file_id or "://" in file_id:
            return file_id
        return f"{self._files}/{file_id.removeprefix('files/')}"

    def _call(self, where: str, call: ToolCall) -> Object:
        self.names[call.id] = call.name
        if call.provider == NAME and isinstance(call.provider_data, dict):
            return call.provider_data
        if call.provider_data is not None:
            text = f"{where}: provider_data of {call.provider or 'unknown'} is not sent"
            note(self._request, self._warnings, text)
        arguments, whole = tool_input(call.arguments)
        if not whole:
            text = f"{where}: the arguments of {call.name} are no JSON object: sent wrapped"
            note(self._request, self._warnings, text)
        return {"functionCall": {**_id(call.id), "name": call.name, "args": arguments}}

    def _reasoning(self, where: str, part: Reasoning, written: list[Object]) -> None:
        data = part.provider_data
        if part.provider != NAME or not isinstance(data, dict):
            text = f"{where}: reasoning that {NAME} did not write itself is not sent"
            note(self._request, self._warnings, text)
        elif set(data) == {SIGNATURE} and written:
            written[-1] = {**written[-1], **data}  # the signature of the part before
        else:
            written.append({"text": "", **data})


def _parts(message: Message) -> tuple[Part, ...]:
    content = message.content
    return (Text(content),) if isinstance(content, str) else content


def _inline(media_type: str, data: str) -> Object:
    return {"inlineData": {"mimeType": media_type, "data": data}}


def _id(call_id: str) -> Object:
    return {"id": call_id} if call_id and not call_id.startswith(GENERATED) else {}
