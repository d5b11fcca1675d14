"""Claude's replies in normal form.

Source: Anthropic API reference, "Messages", "Models", "Errors".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from asyncapi.backends._claude_encode import NAME
from asyncapi.backends._decoding import count, seconds
from asyncapi.errors import DecodeError, InvalidRequestError, QuotaExhaustedError
from asyncapi.types.messages import Part, RawPart, Reasoning, Text, ToolCall
from asyncapi.types.responses import (
    ChatResponse,
    CountTokensResponse,
    FinishReason,
    Model,
    ModelsResponse,
    Output,
)
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireResponse
from asyncapi.wire.errors import Row, Table

__all__ = [
    "ERRORS",
    "chat_response",
    "count_response",
    "finish_reason",
    "models_response",
    "part_of",
    "request_id",
    "tool_call",
    "usage_of",
]

#: A spending limit that the caller set may also come as a 400; a conflict passes.
ERRORS = Table(
    texts=(("spend limit", Row(QuotaExhaustedError, retryable=False)),),
    statuses={409: Row(InvalidRequestError, retryable=True)},
)

_FINISH_REASONS: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_overflow",
}


def request_id(reply: WireResponse) -> str:
    """The service's id of the request. Its header has no ``x-``."""
    return reply.headers.get("request-id", "")


def chat_response(message: Any, parts: tuple[Part, ...] | None, provider_request_id: str) -> ChatResponse:
    """The answer that ``message`` holds; ``parts`` are its content where a stream has read it already.

    Raises:
        DecodeError: It is not a whole message.
    """
    try:
        content, reason = message["content"], message["stop_reason"]
        ident, model = message["id"], message["model"]
    except (KeyError, TypeError) as error:
        raise DecodeError(f"{NAME}: the answer is not a message: {error!r}") from error
    if not (isinstance(reason, str) and isinstance(ident, str) and isinstance(model, str)):
        raise DecodeError(f"{NAME}: the message has no stop_reason, id or model")
    if not isinstance(content, list):
        raise DecodeError(f"{NAME}: the message's content is not a list")
    if parts is None:
        parts = tuple([part_of(block) for block in content])
    output = Output(
        parts=parts,
        finish_reason=finish_reason(reason, any(type(part) is ToolCall for part in parts)),
        raw_reason=reason,
        refusal=_refusal(message) if reason == "refusal" else "",
        stop_sequence=_text_or_none(message.get("stop_sequence")),
    )
    return ChatResponse(
        id=ident,
        model=model,
        usage=usage_of(message.get("usage")),
        raw=message,
        provider_request_id=provider_request_id,
        outputs=(output,),
    )


def finish_reason(raw: str, called: bool) -> FinishReason:
    """The normal reason: a stop with tool calls means those, as look-alikes of the service have it."""
    reason = _FINISH_REASONS.get(raw, "other")
    return "tool_calls" if called and reason == "stop" else reason


def part_of(block: Any) -> Part:
    """A content block in normal form; what has no normal form is kept and can be sent back unchanged.

    Raises:
        DecodeError: A known block without its fields.
    """
    match block:
        case {"type": "text", "text": str(text)}:
            return Text(text)
        case {"type": "tool_use", "id": str(ident), "name": str(name), "input": dict(arguments)}:
            return tool_call(block, ident, name, orjson.dumps(arguments).decode())
        case {"type": "thinking", "thinking": str(text)}:
            return Reasoning(text=text, provider=NAME, provider_data=block)
        case {"type": "redacted_thinking"}:
            return Reasoning(provider=NAME, provider_data=block)
        case {"type": str(kind)} if kind not in ("text", "tool_use", "thinking"):
            return RawPart(provider=NAME, data=block)
    raise DecodeError(f"{NAME}: a content block of an unexpected shape: {block!r:.200}")


def tool_call(block: Mapping[str, Any], ident: str, name: str, arguments: str) -> ToolCall:
    """A tool call; a block with more than the usual fields is kept whole, to be sent back as it came."""
    if len(block) <= 4:
        return ToolCall(id=ident, name=name, arguments=arguments)
    return ToolCall(id=ident, name=name, arguments=arguments, provider=NAME, provider_data=block)


def usage_of(usage: Any) -> Usage:
    """Token counts, ``input_tokens`` with the cache reads and writes that the service counts apart."""
    if not isinstance(usage, dict):
        return Usage()
    plain = count(usage.get("input_tokens"))
    written = count(usage.get("cache_creation_input_tokens"))
    read = count(usage.get("cache_read_input_tokens"))
    details = usage.get("output_tokens_details")
    return Usage(
        input_tokens=None if plain is None else plain + (written or 0) + (read or 0),
        output_tokens=count(usage.get("output_tokens")),
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=count(details.get("thinking_tokens")) if isinstance(details, dict) else None,
        source="reported",
    )


def count_response(body: Any, model: str, provider_request_id: str) -> CountTokensResponse:
    """How many tokens a conversation has.

    Raises:
        DecodeError: The answer holds no count.
    """
    tokens = count(body.get("input_tokens"))
    if tokens is None:
        raise DecodeError(f"{NAME}: an answer without input_tokens")
    return CountTokensResponse(
        input_tokens=tokens,
        model=model,
        usage=Usage(input_tokens=tokens, source="reported"),
        raw=body,
        provider_request_id=provider_request_id,
    )


def models_response(body: Any, provider_request_id: str) -> ModelsResponse:
    """The list of models.

    Raises:
        DecodeError: The body is not a list of models.
    """
    match body:
        case {"data": list(entries)}:
            models = tuple([_model(entry) for entry in entries])
        case _:
            raise DecodeError(f"{NAME}: the answer is not a list of models")
    more = body.get("has_more") is True
    warnings = (f"more models follow: ask with extra query after_id={body.get('last_id')}",) if more else ()
    return ModelsResponse(models=models, raw=body, provider_request_id=provider_request_id, warnings=warnings)


def _model(entry: Any) -> Model:
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        raise DecodeError(f"{NAME}: a model without an id: {entry!r:.200}")
    return Model(
        id=entry["id"],
        created=seconds(entry.get("created_at")),
        owned_by="anthropic",
        context_length=count(entry.get("max_input_tokens")),
        max_output_tokens=count(entry.get("max_tokens")),
        raw=entry,
    )


def _refusal(message: Mapping[str, Any]) -> str:
    details = message.get("stop_details")
    return (_text_or_none(details.get("explanation")) or "") if isinstance(details, dict) else ""


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None
