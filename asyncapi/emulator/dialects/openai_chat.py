"""Chat in the OpenAI dialect: reading the request, wording the answer, whole or as a stream.

Source: OpenAI API reference, "Chat" (create, object, streaming).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from asyncapi.emulator.answers import (
    CONTEXT_TOKENS,
    Answer,
    Question,
    Tool,
    ToolCall,
    compose,
    count_tokens,
    effort_tokens,
    last_user_text,
    messages_tokens,
    pieces,
    tools_to_call,
)
from asyncapi.emulator.exchange import Ask, Frame, Json, Problem, Trouble, invalid, sse

ANY_OBJECT: Json = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
}
_ROLES = ("developer", "system", "user", "assistant", "tool", "function")


@dataclass(frozen=True, slots=True)
class ChatWords:
    """What look-alikes of the OpenAI dialect say differently.

    Args:
        reasoning_field: Name of the field that shows reasoning; None where it is only counted.
        whole_calls: A tool call comes in one delta, not piece by piece.
        obfuscated: Chunks are padded with an ``obfuscation`` field unless switched off.
        explicit_nulls: Chunks spell out fields that are null.
        stop_sequence: The finish reason where a stop sequence ended the answer.
        null_opening: The first delta's content is null, not empty.
    """

    reasoning_field: str | None = None
    whole_calls: bool = False
    obfuscated: bool = False
    explicit_nulls: bool = True
    stop_sequence: str = "stop"
    null_opening: bool = False


def require_model(body: Json) -> str:
    """The model of a request.

    Raises:
        Problem: It is missing, or its name begins with ``missing``: such models do not exist here.
    """
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise invalid("you must provide a model parameter")
    return known_model(model)


def known_model(model: str) -> str:
    """The model, unless its name begins with ``missing``: such models do not exist here."""
    if model.startswith("missing"):
        raise Problem(
            Trouble.NO_MODEL,
            f"The model `{model}` does not exist or you do not have access to it.",
            code="model_not_found",
        )
    return model


def checked_messages(body: Json) -> list[Json]:
    """The messages of a chat request.

    Raises:
        Problem: They are missing, of an unknown role, or tool calls stay without their answers.
    """
    messages = body.get("messages")
    if messages is None:
        raise invalid("Missing required parameter: 'messages'.", "messages", "missing_required_parameter")
    if not isinstance(messages, list) or not messages:
        raise invalid(
            "Invalid 'messages': expected an array with minimum length 1.", "messages", "empty_array"
        )
    waiting: set[str] = set()
    for position, message in enumerate(messages):
        role = _checked_role(message, position)
        if role == "tool":
            _match_tool_answer(message, waiting, position)
            continue
        if waiting:
            break
        waiting = {call.get("id", "") for call in message.get("tool_calls") or []}
    if waiting:
        raise invalid(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. These did not have response messages: {', '.join(sorted(waiting))}",
            "messages",
        )
    return messages


def _checked_role(message: Any, position: int) -> str:
    role = message.get("role") if isinstance(message, dict) else None
    if role not in _ROLES:
        raise invalid(f"Invalid value: {role!r}.", f"messages[{position}].role", "invalid_value")
    if message.get("content") is None and not message.get("tool_calls"):
        raise invalid(
            "Invalid value for 'content': expected a string, got null.", f"messages[{position}].content"
        )
    return str(role)


def _match_tool_answer(message: Json, waiting: set[str], position: int) -> None:
    identity = message.get("tool_call_id")
    if identity not in waiting:
        raise invalid(
            "Invalid parameter: messages with role 'tool' must be a response to a preceding message with "
            "'tool_calls'.",
            f"messages[{position}].role",
        )
    waiting.discard(identity)


def question_of(body: Json, model: str, messages: list[Json], *, reasoning: int | None = None) -> Question:
    """What a chat request asks, in no dialect."""
    text = last_user_text(messages)
    tokens = messages_tokens(messages)
    if tokens > CONTEXT_TOKENS:
        raise invalid(
            f"This model's maximum context length is {CONTEXT_TOKENS} tokens. However, your messages "
            f"resulted in {tokens} tokens.",
            "messages",
            "context_length_exceeded",
        )
    return Question(
        model,
        text,
        tokens,
        max_tokens_of(body),
        stop_words(body.get("stop")),
        _tools_now(body, messages, text),
        _schema_of(body),
        effort_tokens(body.get("reasoning_effort")) if reasoning is None else reasoning,
    )


def max_tokens_of(body: Json) -> int | None:
    """The cap on output tokens, by its new or its old name."""
    for name in ("max_completion_tokens", "max_tokens"):
        value = body.get(name)
        if value is not None:
            return checked_count(value, name)
    return None


def checked_count(value: object, name: str) -> int:
    """An integer of 1 or more."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid(f"Invalid type for '{name}': expected an integer.", name, "invalid_type")
    if value < 1:
        raise invalid(
            f"Invalid '{name}': integer below minimum value. Expected a value >= 1, but got {value} instead.",
            name,
            "integer_below_min_value",
        )
    return value


def stop_words(stop: object, most: int = 4) -> list[str]:
    """The stop sequences: one text or a list of at most four."""
    if stop is None:
        return []
    words = [stop] if isinstance(stop, str) else stop
    if not isinstance(words, list) or len(words) > most:
        raise invalid(f"Invalid 'stop': expected a string or an array of at most {most}.", "stop")
    return [str(word) for word in words]


def _schema_of(body: Json) -> Json | None:
    wanted = body.get("response_format") or {}
    kind = wanted.get("type")
    if kind == "json_object":
        return ANY_OBJECT
    if kind != "json_schema":
        return None
    schema = wanted.get("json_schema")
    if not isinstance(schema, dict) or "name" not in schema:
        raise invalid(
            "Missing required parameter: 'response_format.json_schema'.", "response_format.json_schema"
        )
    return schema.get("schema") or {}


def _tools_now(body: Json, messages: list[Json], text: str) -> tuple[Tool, ...]:
    tools = declared_tools(body.get("tools"))
    choice = body.get("tool_choice") or "auto"
    if isinstance(choice, dict):
        return tools_to_call(tools, text, name=(choice.get("function") or {}).get("name", ""))
    if choice == "auto" and messages[-1]["role"] != "user":
        return ()
    return tools_to_call(tools, text, choice=choice, parallel=body.get("parallel_tool_calls") is not False)


def declared_tools(tools: Any) -> list[Tool]:
    """The functions of a request's ``tools``."""
    if tools is None:
        return []
    try:
        return [
            Tool(str(tool["function"]["name"]), tool["function"].get("parameters") or {"type": "object"})
            for tool in tools
            if tool.get("type", "function") == "function"
        ]
    except (KeyError, TypeError, AttributeError):
        raise invalid("Missing required parameter: 'tools[0].function'.", "tools[0].function") from None


def choices_of(question: Question, ask: Ask, count: int) -> list[Answer]:
    """One answer for each choice."""
    return [compose(question, ask.seed, index) for index in range(count)]


def finish_reason(answer: Answer, words: ChatWords) -> str:
    """The finish reason in this dialect, which mostly does not tell a stop sequence from an end."""
    return words.stop_sequence if answer.finish == "stop_sequence" else answer.finish


def usage_of(question: Question, answers: list[Answer]) -> Json:
    """The usage object; reasoning is a part of the completion tokens."""
    spent = sum(answer.output_tokens for answer in answers)
    return {
        "prompt_tokens": question.input_tokens,
        "completion_tokens": spent,
        "total_tokens": question.input_tokens + spent,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": sum(answer.reasoning_tokens for answer in answers),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def message_of(answer: Answer, words: ChatWords) -> Json:
    """The assistant's message of one choice."""
    message: Json = {"role": "assistant", "content": None if answer.calls else answer.text, "refusal": None}
    if words.reasoning_field is None:
        message["annotations"] = []
    elif answer.reasoning:
        message[words.reasoning_field] = answer.reasoning
    if answer.calls:
        message["tool_calls"] = [call_of(call) for call in answer.calls]
    return message


def call_of(call: ToolCall) -> Json:
    """A tool call with its arguments as text."""
    function = {"name": call.name, "arguments": call.text}
    return {"id": f"call_{call.id}", "type": "function", "function": function}


def deltas_of(answer: Answer, words: ChatWords) -> Iterator[tuple[Json, int]]:
    """The deltas of one choice, and how many output tokens exist when each is sent."""
    first: Json = {"role": "assistant", "content": None if answer.calls or words.null_opening else ""}
    if words.reasoning_field is None:
        first["refusal"] = None
    sent = 0
    if words.reasoning_field is None:
        sent = answer.reasoning_tokens
    opening = first if not answer.calls or words.whole_calls else None
    if opening is not None:
        yield opening, sent
    if words.reasoning_field is not None:
        for piece in pieces(answer.reasoning):
            sent += 1
            yield {words.reasoning_field: piece}, sent
    for piece in pieces(answer.text):
        sent += 1
        yield {"content": piece}, sent
    for index, call in enumerate(answer.calls):
        extra = first if index == 0 and opening is None else {}
        yield from _call_deltas(call, index, sent, extra, words.whole_calls)
        sent += count_tokens(call.name) + count_tokens(call.text)


def _call_deltas(
    call: ToolCall, index: int, sent: int, extra: Json, whole: bool
) -> Iterator[tuple[Json, int]]:
    sent += count_tokens(call.name)
    if whole:
        yield {"tool_calls": [{"index": index, **call_of(call)}]}, sent + count_tokens(call.text)
        return
    opened = call_of(call)
    opened["function"]["arguments"] = ""
    yield {**extra, "tool_calls": [{"index": index, **opened}]}, sent
    for piece in pieces(call.text):
        sent += 1
        yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, sent


def chunk_frames(base: Json, answers: list[Answer], words: ChatWords, padded: bool) -> list[Frame]:
    """The content chunks of a stream, the choices taking turns."""
    lanes = [list(deltas_of(answer, words)) for answer in answers]
    frames: list[Frame] = []
    for turn in range(max(map(len, lanes))):
        for index, lane in enumerate(lanes):
            if turn < len(lane):
                delta, tokens = lane[turn]
                frames.append((sse(_chunk(base, index, delta, None, words, padded)), tokens))
    return frames


def finish_frames(base: Json, answers: list[Answer], words: ChatWords) -> list[Frame]:
    """The chunks that carry the finish reasons."""
    return [
        (sse(_chunk(base, index, {}, finish_reason(answer, words), words, False)), answer.output_tokens)
        for index, answer in enumerate(answers)
    ]


def _chunk(base: Json, index: int, delta: Json, finish: str | None, words: ChatWords, padded: bool) -> Json:
    choice: Json = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    if not words.explicit_nulls:
        del choice["logprobs"]
    chunk = {**base, "choices": [choice]}
    if padded:
        chunk["obfuscation"] = "x7Qk9w"[: 2 + len(str(delta)) % 5]
    return chunk
