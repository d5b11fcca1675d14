"""What the Gemini API reads from a request, and what it refuses.

Source: Gemini API reference, "generateContent", "Content", "GenerationConfig", "Thought signatures".
"""

import base64
import binascii
import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import orjson

from asyncapi.emulator.answers import Question, Tool, count_tokens, effort_tokens, tools_to_call
from asyncapi.emulator.dialects.openai_chat import ANY_OBJECT
from asyncapi.emulator.exchange import Json, invalid

_TOP = [
    "model",
    "contents",
    "systemInstruction",
    "tools",
    "toolConfig",
    "safetySettings",
    "cachedContent",
    "generationConfig",
    "serviceTier",
    "store",
    "labels",
]
_CONFIG = [
    "temperature",
    "topP",
    "topK",
    "candidateCount",
    "maxOutputTokens",
    "stopSequences",
    "seed",
    "presencePenalty",
    "frequencyPenalty",
    "responseLogprobs",
    "logprobs",
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "responseModalities",
    "mediaResolution",
    "speechConfig",
    "imageConfig",
    "thinkingConfig",
    "continuationToken",
]
_DATA = [
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
]
_SIGNING_MODEL = re.compile(r"gemini-[3-9]")
_MODES = {"AUTO": "auto", "ANY": "required", "NONE": "none", "VALIDATED": "auto"}


def member(value: Any, name: str) -> Any:
    """A field by its canonical camelCase name, or by the snake_case that is accepted as well."""
    if not isinstance(value, dict):
        return None
    return value[name] if name in value else value.get(_snake(name))


def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name)


def check_fields(body: Json) -> None:
    """Unknown names are refused, in the body and in its ``generationConfig``."""
    _check_names(body, _TOP, "")
    _check_names(member(body, "generationConfig") or {}, _CONFIG, " at 'generation_config'")


def _check_names(value: Json, names: Sequence[str], where: str) -> None:
    known = {*names, *map(_snake, names)}
    for name in value:
        if name not in known:
            raise invalid(f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.')


def checked_contents(body: Json, model: str) -> list[Json]:
    """The conversation: two roles, one kind of data a part, calls answered, signatures unharmed."""
    contents = body.get("contents")
    contents = [contents] if isinstance(contents, dict) else contents
    if not isinstance(contents, list) or not contents:
        raise invalid("* GenerateContentRequest.contents: contents is not specified")
    open_calls: list[str] = []
    for position, content in enumerate(contents):
        where = f"GenerateContentRequest.contents[{position}]"
        if content.get("role", "user") not in ("user", "model"):
            raise invalid("Please use a valid role: user, model.")
        parts = content.get("parts")
        if not isinstance(parts, list) or not parts:
            raise invalid(f"* {where}.parts: contents.parts must not be empty.")
        for part in parts:
            _check_part(part, where)
        _check_answers(parts, open_calls)
        _check_signatures(parts, model)
        open_calls = [call["name"] for part in parts if (call := member(part, "functionCall"))]
    return contents


def _check_part(part: Json, where: str) -> None:
    present = [name for name in _DATA if member(part, name) is not None]
    if len(present) != 1:
        raise invalid(f"* {where}.parts: required oneof field 'data' must have one initialized field")
    answer = member(part, "functionResponse")
    if answer is not None and not isinstance(answer.get("response"), dict):
        raise invalid(
            'Invalid value at "function_response.response" (type.googleapis.com/google.protobuf.Struct)'
        )
    media = member(part, "inlineData")
    if media is not None:
        _check_media(media)


def _check_media(media: Json) -> None:
    if not member(media, "mimeType"):
        raise invalid("Unable to submit request because it must have a mimeType parameter.")
    try:
        _decoded(media.get("data") or "")
    except (binascii.Error, ValueError, TypeError):
        raise invalid('Invalid value at "inline_data.data" (TYPE_BYTES), Base64 decoding failed') from None


def _check_answers(parts: list[Json], open_calls: list[str]) -> None:
    answered = [answer["name"] for part in parts if (answer := member(part, "functionResponse"))]
    if sorted(answered) != sorted(open_calls):
        raise invalid(
            "Please ensure that the number of function response parts is equal to the number of function "
            "call parts of the function call turn."
        )


def _check_signatures(parts: list[Json], model: str) -> None:
    first = True
    for part in parts:
        sealed, call = member(part, "thoughtSignature"), member(part, "functionCall")
        if sealed is not None and call and not _is_ours(sealed, call):
            raise invalid("Corrupted thought signature.")
        if call and first:
            first = False
            if sealed is None and _SIGNING_MODEL.match(model):
                raise invalid("Function call is missing a thought_signature in functionCall parts.")


def _is_ours(sealed: str, call: Json) -> bool:
    return _decoded(sealed) == _decoded(signature(call["name"], call.get("args") or {}))


def _decoded(text: str) -> bytes:
    """Bytes from base64: proto3 JSON takes both alphabets, padded or not."""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def signature(name: str, arguments: Json) -> str:
    """What proves that a function call comes from here unchanged."""
    sealed = name.encode() + orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS)
    return base64.b64encode(blake2b(sealed, digest_size=24).digest()).decode()


def question_of(body: Json, model: str, contents: list[Json]) -> Question:
    """What a request asks, in no dialect."""
    config = member(body, "generationConfig") or {}
    text = last_text(contents)
    cap = member(config, "maxOutputTokens")
    if cap is not None and (not isinstance(cap, int) or cap < 1):
        raise invalid("* GenerateContentRequest.generation_config.max_output_tokens: must be positive")
    stop = member(config, "stopSequences") or []
    if len(stop) > 5:
        raise invalid("* GenerateContentRequest.generation_config.stop_sequences: at most 5 are allowed")
    return Question(
        model,
        text,
        prompt_tokens(body, contents),
        cap,
        stop,
        _tools_now(body, contents, text),
        _wanted_schema(config),
        _thinking_tokens(member(config, "thinkingConfig") or {}),
    )


def last_text(contents: Any) -> str:
    """The text of the last user content that has any."""
    for content in reversed(contents if isinstance(contents, list) else [contents]):
        if isinstance(content, dict) and content.get("role", "user") == "user":
            text = parts_text(content)
            if text:
                return text
    return ""


def parts_text(content: Any) -> str:
    """The texts of a content's parts."""
    parts = content.get("parts") if isinstance(content, dict) else None
    return "\n".join(part["text"] for part in parts or [] if isinstance(part, dict) and part.get("text"))


def prompt_tokens(body: Json, contents: list[Json]) -> int:
    """Tokens of the prompt: its texts, and 258 for each medium."""
    system = member(body, "systemInstruction")
    return sum(_content_tokens(content) for content in [*contents, *([system] if system else [])])


def _content_tokens(content: Json) -> int:
    tokens = 0
    for part in content.get("parts") or []:
        text = part.get("text")
        if isinstance(text, str):
            tokens += count_tokens(text)
        elif member(part, "inlineData") or member(part, "fileData"):
            tokens += 258
        else:
            tokens += count_tokens(orjson.dumps(part).decode())
    return tokens + 1


def _wanted_schema(config: Json) -> Json | None:
    schema = member(config, "responseJsonSchema") or lowered(member(config, "responseSchema"))
    kind = member(config, "responseMimeType")
    if schema is not None and kind != "application/json":
        raise invalid(
            "* GenerateContentRequest.generation_config.response_schema: only allowed when "
            "response_mime_type is application/json"
        )
    return schema or (ANY_OBJECT if kind == "application/json" else None)


def lowered(schema: Any) -> Any:
    """A schema of the OpenAPI subset, with its upper-case types, as JSON Schema."""
    if isinstance(schema, list):
        return [lowered(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: value.lower() if name == "type" and isinstance(value, str) else lowered(value)
        for name, value in schema.items()
    }


def _thinking_tokens(thinking: Json) -> int:
    level, budget = member(thinking, "thinkingLevel"), member(thinking, "thinkingBudget")
    if level is not None and budget is not None:
        raise invalid("You can only set only one of thinking budget and thinking level.")
    if budget is not None:
        return 16 if budget < 0 else min(budget, 32)
    if level is not None:
        return effort_tokens(str(level).lower())
    return 16 if member(thinking, "includeThoughts") else 0


def _tools_now(body: Json, contents: list[Json], text: str) -> tuple[Tool, ...]:
    tools = _declared_tools(body.get("tools") or [])
    calling = member(member(body, "toolConfig") or {}, "functionCallingConfig") or {}
    mode = _MODES.get(calling.get("mode") or "AUTO")
    if mode is None:
        raise invalid('Invalid value at "tool_config.function_calling_config.mode"')
    allowed = member(calling, "allowedFunctionNames")
    if allowed:
        tools = [tool for tool in tools if tool.name in allowed]
    if mode == "auto" and any(member(part, "functionResponse") for part in contents[-1]["parts"]):
        return ()
    return tools_to_call(tools, text, choice=mode)


def _declared_tools(tools: Any) -> list[Tool]:
    declared = []
    for tool in tools:
        for function in member(tool, "functionDeclarations") or []:
            plain, json_schema = function.get("parameters"), member(function, "parametersJsonSchema")
            if plain is not None and json_schema is not None:
                raise invalid("Only one of parameters and parameters_json_schema can be set.")
            if not function.get("name"):
                raise invalid("* GenerateContentRequest.tools[0].function_declarations[0].name: is required")
            schema = json_schema or lowered(plain) or {"type": "object"}
            declared.append(Tool(function["name"], schema))
    return declared
