"""Gemini's replies in normal form.

Thoughts are counted apart from the answer; a function call ends with STOP; a blocked prompt is a 200
without candidates. What has a ``thoughtSignature`` keeps it, to be sent back.

Source: Gemini API reference, "Generating content", "Tokens", "Embeddings", "Models", "Errors".
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import orjson

from asyncapi.backends._decoding import count, digits, vectors
from asyncapi.backends._gemini_encode import GENERATED, NAME, SIGNATURE
from asyncapi.errors import (
    AsyncAPIError,
    AuthenticationError,
    ContentRefusedError,
    ContextLengthError,
    DecodeError,
    InvalidRequestError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExhaustedError,
)
from asyncapi.types.messages import Image, Part, RawPart, Reasoning, Text, ToolCall
from asyncapi.types.responses import (
    ChatResponse,
    CountTokensResponse,
    EmbedResponse,
    FinishReason,
    Model,
    ModelsResponse,
    Output,
)
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireResponse
from asyncapi.wire.envelopes import read_envelope
from asyncapi.wire.errors import Row, Table, error_for
from asyncapi.wire.masking import excerpt

__all__ = [
    "blocked",
    "chat_response",
    "content_parts",
    "count_response",
    "embed_response",
    "failure",
    "finish_reason",
    "models_response",
    "parts_of",
    "stamp_of",
    "usage_of",
]

_TEXTS = (
    ("exceeds the maximum number of tokens", Row(ContextLengthError)),
    ("api key not valid", Row(AuthenticationError)),
)
_STATUSES = {409: Row(InvalidRequestError, retryable=True), 503: Row(OverloadedError)}
_ERRORS = Table(signals={"failed_precondition": Row(PermissionDeniedError)}, texts=_TEXTS, statuses=_STATUSES)
#: The same precondition, where the text says that it is about money.
_BILLING = Table(signals={"failed_precondition": Row(QuotaExhaustedError)})

_REASONS: Mapping[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "pause",
    **dict.fromkeys(
        (
            "SAFETY",
            "RECITATION",
            "LANGUAGE",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION",
            "MODEL_ARMOR",
        ),
        "content_filter",
    ),
    **dict.fromkeys(
        (
            "MALFORMED_FUNCTION_CALL",
            "UNEXPECTED_TOOL_CALL",
            "TOO_MANY_TOOL_CALLS",
            "MISSING_THOUGHT_SIGNATURE",
            "MALFORMED_RESPONSE",
        ),
        "error",
    ),
}


def failure(reply: WireResponse) -> AsyncAPIError:
    """The exception for an error reply, or for an error inside a 200."""
    envelope = read_envelope(reply.body)
    money = "FAILED_PRECONDITION" in envelope.signals and "billing" in envelope.message.lower()
    return error_for(reply, service=NAME, table=_BILLING if money else _ERRORS)


def blocked(body: Mapping[str, Any], reply: WireResponse) -> ContentRefusedError | None:
    """The exception for a prompt that was blocked, None if it was not."""
    feedback = body.get("promptFeedback")
    reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
    if not isinstance(reason, str):
        return None
    said = feedback.get("blockReasonMessage") if isinstance(feedback, dict) else None
    why = f": {excerpt(said)}" if isinstance(said, str) and said else ""
    return ContentRefusedError(
        f"{NAME} blocked the prompt ({excerpt(reason, 100)}){why}",
        status=reply.status,
        code=reason,
        body=reply.body,
    )


def stamp_of(body: Mapping[str, Any]) -> str:
    """What makes generated ids unique: the answer's id, or a checksum where it has none."""
    ident = body.get("responseId")
    return ident if isinstance(ident, str) and ident else f"{zlib.crc32(orjson.dumps(body)):08x}"


def chat_response(body: Mapping[str, Any], model: str, stamp: str, *, whole: bool = True) -> ChatResponse:
    """The answer that ``body`` holds.

    Args:
        body: The answer, or what has arrived of it.
        model: The model that was asked for, where the answer names none.
        stamp: See ``stamp_of``.
        whole: Whether every candidate must say why it ended.

    Raises:
        DecodeError: It is not a whole answer.
    """
    candidates = body.get("candidates")
    if whole and not candidates:
        raise DecodeError(f"{NAME}: an answer without candidates")
    if not isinstance(candidates, list | None):
        raise DecodeError(f"{NAME}: the candidates are not a list")
    version, ident = body.get("modelVersion"), body.get("responseId")
    outputs = [_output(place, entry, stamp, whole) for place, entry in enumerate(candidates or ())]
    return ChatResponse(
        id=ident if isinstance(ident, str) and ident else GENERATED + stamp,
        model=version if isinstance(version, str) and version else model,
        usage=usage_of(body.get("usageMetadata")),
        raw=body,
        outputs=tuple(outputs),
    )


def _output(place: int, candidate: Any, stamp: str, whole: bool) -> Output:
    match candidate:
        case {"finishReason": str(raw)}:
            pass
        case dict() if not whole:
            raw = ""
        case _:
            raise DecodeError(f"{NAME}: a candidate without a finishReason: {candidate!r:.200}")
    index = candidate.get("index", place)
    if type(index) is not int:
        raise DecodeError(f"{NAME}: a candidate's index is not a number: {index!r:.200}")
    parts: list[Part] = []
    calls = 0
    for entry in content_parts(candidate):
        found = parts_of(entry, f"{stamp}_{index}_{calls}")
        calls += any(isinstance(part, ToolCall) for part in found)
        parts += found
    return Output(
        index=index,
        parts=tuple(parts),
        finish_reason=finish_reason(raw, calls > 0) if raw else "other",
        raw_reason=raw,
        logprobs=candidate.get("logprobsResult"),
    )


def content_parts(candidate: Mapping[str, Any]) -> list[Any]:
    """The parts of a candidate, none where thinking has eaten them all.

    Raises:
        DecodeError: They are not a list.
    """
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, dict) else content
    if not isinstance(parts, list | None):
        raise DecodeError(f"{NAME}: the parts are not a list: {parts!r:.200}")
    return parts or []


def finish_reason(raw: str, called: bool) -> FinishReason:
    """The normal reason; the service has no word of its own for function calls."""
    reason = _REASONS.get(raw, "other")
    return "tool_calls" if called and reason == "stop" else reason


def parts_of(part: Any, stamp: str) -> tuple[Part, ...]:
    """A part in normal form, and its signature as a part of its own where it has no other place.

    Raises:
        DecodeError: A known part without its fields.
    """
    match part:
        case {"text": str(text), "thought": True}:
            return (Reasoning(text=text, provider=NAME, provider_data=part),)
        case {"text": str(text)}:
            if text:
                return (Text(text), *_signature(part))
            return (Reasoning(provider=NAME, provider_data=part),) if SIGNATURE in part else ()
        case {"functionCall": dict(call)}:
            return (_tool_call(part, call, stamp),)
        case {"inlineData": {"mimeType": str(kind), "data": str(data)}} if kind.startswith("image/"):
            return (Image(data=data, media_type=kind), *_signature(part))
        case dict() if "text" not in part and "functionCall" not in part:
            return (RawPart(provider=NAME, data=part),)
    raise DecodeError(f"{NAME}: a part of an unexpected shape: {part!r:.200}")


def _signature(part: Mapping[str, Any]) -> tuple[Part, ...]:
    if SIGNATURE not in part:
        return ()
    return (Reasoning(provider=NAME, provider_data={SIGNATURE: part[SIGNATURE]}),)


def _tool_call(part: dict[str, Any], call: dict[str, Any], stamp: str) -> ToolCall:
    name, ident, arguments = call.get("name"), call.get("id") or GENERATED + stamp, call.get("args")
    if not (isinstance(name, str) and isinstance(ident, str) and isinstance(arguments, dict | None)):
        raise DecodeError(f"{NAME}: a function call of an unexpected shape: {call!r:.200}")
    if "partialArgs" in call:
        raise DecodeError(f"{NAME}: arguments in pieces; leave out streamFunctionCallArguments")
    return ToolCall(
        id=ident,
        name=name,
        arguments=orjson.dumps(arguments or {}).decode(),
        provider=NAME,
        provider_data=part if len(part) > 1 else None,
    )


def tokens(value: Any) -> int | None:
    """A count, which some surfaces send as a text, as JSON has 64-bit numbers."""
    return digits(value) if isinstance(value, str) else count(value)


def usage_of(usage: Any) -> Usage:
    """Token counts: input with the results of hosted tools, output with the thoughts."""
    if not isinstance(usage, dict):
        return Usage()
    thoughts = tokens(usage.get("thoughtsTokenCount"))
    given = _sum(tokens(usage.get("promptTokenCount")), tokens(usage.get("toolUsePromptTokenCount")))
    made = _sum(tokens(usage.get("candidatesTokenCount")), thoughts)
    if given is None and made is None:
        return Usage()
    return Usage(
        input_tokens=given,
        output_tokens=made,
        cache_read_tokens=tokens(usage.get("cachedContentTokenCount")),
        reasoning_tokens=thoughts,
        source="reported",
    )


def _sum(one: int | None, other: int | None) -> int | None:
    return other if one is None else one + (other or 0)


def count_response(body: Mapping[str, Any], model: str) -> CountTokensResponse:
    """How many tokens a conversation has.

    Raises:
        DecodeError: The answer holds no count.
    """
    total = tokens(body.get("totalTokens"))
    if total is None:
        raise DecodeError(f"{NAME}: an answer without totalTokens")
    usage = Usage(
        input_tokens=total, cache_read_tokens=tokens(body.get("cachedContentTokenCount")), source="reported"
    )
    return CountTokensResponse(input_tokens=total, model=model, usage=usage, raw=body)


def embed_response(body: Mapping[str, Any], model: str, expected: int) -> EmbedResponse:
    """One vector a text, in order.

    Raises:
        DecodeError: Not one vector for each text.
    """
    entries = body.get("embeddings")
    if not isinstance(entries, list):
        raise DecodeError(f"{NAME}: an answer without embeddings")
    values = [entry.get("values") if isinstance(entry, dict) else None for entry in entries]
    return EmbedResponse(
        model=model,
        vectors=vectors(values, expected, NAME),
        usage=usage_of(body.get("usageMetadata")),
        raw=body,
    )


def models_response(body: Mapping[str, Any]) -> ModelsResponse:
    """The first page of models, their ids without ``models/``.

    Raises:
        DecodeError: The body is not a list of models.
    """
    entries = body.get("models")
    if not isinstance(entries, list):
        raise DecodeError(f"{NAME}: the answer is not a list of models")
    more = body.get("nextPageToken")
    warnings = (f"more models follow: ask with extra query pageToken={more}",) if more else ()
    return ModelsResponse(models=tuple([_model(entry) for entry in entries]), raw=body, warnings=warnings)


def _model(entry: Any) -> Model:
    name = entry.get("name") if isinstance(entry, dict) else None
    if not isinstance(name, str):
        raise DecodeError(f"{NAME}: a model without a name: {entry!r:.200}")
    return Model(
        id=name.removeprefix("models/"),
        owned_by="google",
        context_length=tokens(entry.get("inputTokenLimit")),
        max_output_tokens=tokens(entry.get("outputTokenLimit")),
        raw=entry,
    )
