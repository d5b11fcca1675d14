"""Whole answers in the OpenAI dialect, read into the normal form.

The readers look at each value's type where they use it and let KeyError, TypeError and the like
rise: ``SHAPE_ERRORS``, which the dialect turns into DecodeError.
"""

from __future__ import annotations

import binascii
import sys
from array import array
from collections.abc import Mapping
from typing import Any

import orjson

from asyncapi.backends._decoding import count
from asyncapi.backends._openai_quirks import Quirks
from asyncapi.types.messages import Part, Reasoning, Text, ToolCall
from asyncapi.types.requests import EmbedRequest, Request, RerankRequest
from asyncapi.types.responses import (
    ChatResponse,
    EmbedResponse,
    FinishReason,
    Model,
    ModelsResponse,
    Output,
    Ranked,
    RerankResponse,
)
from asyncapi.types.usage import Usage

__all__ = [
    "SHAPE_ERRORS",
    "ReplyReader",
    "arguments_text",
    "finish_reason",
    "read_text",
    "read_usage",
    "request_id",
]

#: What reading a value of the wrong shape raises.
SHAPE_ERRORS = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError)

_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "error": "error",
    "abort": "cancelled",
}
_UNKNOWN = Usage()


def finish_reason(raw: str, called: bool, refused: bool) -> FinishReason:
    """The normal reason: a stop with tool calls or with a refusal means those."""
    reason = _REASONS.get(raw, "other")
    if reason == "stop":
        if called:
            return "tool_calls"
        if refused:
            return "refusal"
    return reason


def read_usage(value: Any) -> Usage:
    """The usage object in normal form; all zeros, as gateways send them, mean unknown."""
    if type(value) is not dict:
        return _UNKNOWN
    given, made = count(value.get("prompt_tokens")), count(value.get("completion_tokens"))
    if not given and not made:
        return _UNKNOWN
    reads = writes = thoughts = None
    if type(details := value.get("prompt_tokens_details")) is dict:
        reads = count(details.get("cached_tokens"))
        writes = count(details.get("cache_write_tokens", details.get("created_cache_tokens")))
    if type(details := value.get("completion_tokens_details")) is dict:
        thoughts = count(details.get("reasoning_tokens"))
    return Usage(
        input_tokens=given,
        output_tokens=made,
        cache_read_tokens=reads,
        cache_write_tokens=writes,
        reasoning_tokens=thoughts,
        source="reported",
    )


def read_text(content: Any) -> str:
    """The text of a content value: a string, null, or a list of text parts."""
    if content is None:
        return ""
    if type(content) is str:
        return content
    if type(content) is list:
        return "".join(_typed(part["text"], str) for part in content if part.get("type", "text") == "text")
    raise TypeError(f"content is {type(content).__name__}")


def arguments_text(value: Any) -> str:
    """A tool call's arguments as text; some servers send an object."""
    if type(value) is str:
        return value
    return "" if value is None else orjson.dumps(value).decode()


def request_id(headers: Mapping[str, str]) -> str:
    """The service's own id of the request."""
    return headers.get("x-request-id") or headers.get("X-Request-ID") or headers.get("request-id") or ""


class ReplyReader:
    """Reads the replies of one service."""

    def __init__(self, service: str, quirks: Quirks) -> None:
        self._service = service
        self._reasoning_fields = quirks.reasoning_fields
        self._rerank = quirks.rerank

    def chat(self, request: Request, data: dict[str, Any], headers: Mapping[str, str]) -> ChatResponse:
        """A chat completion."""
        reply_id = data.get("id")
        reply_id = reply_id if type(reply_id) is str else ""
        model = data.get("model")
        choices = data["choices"]
        if type(choices) is not list or not choices:
            raise ValueError("no choices")
        return ChatResponse(
            id=reply_id,
            model=model if type(model) is str else request.model,
            outputs=tuple([self._output(i, choice, reply_id) for i, choice in enumerate(choices)]),
            usage=read_usage(data.get("usage") or _groq_usage(data)),
            raw=data,
            provider_request_id=request_id(headers),
        )

    def _output(self, position: int, choice: dict[str, Any], reply_id: str) -> Output:
        message = choice["message"]
        index = choice.get("index")
        # Types are looked at in line: a call for each would cost 1 of the 6 us of decoding.
        raw = choice.get("finish_reason") or ""
        refusal = message.get("refusal") or ""
        if type(raw) is not str or type(refusal) is not str:
            raise TypeError("a reason or a refusal is no text")
        parts: list[Part] = []
        for field in self._reasoning_fields:
            if thoughts := message.get(field):
                parts.append(Reasoning(text=_typed(thoughts, str), provider=self._service))
                break
        text = message.get("content")
        if type(text) is not str:
            text = read_text(text)
        if text:
            parts.append(Text(text))
        calls = message.get("tool_calls")
        if calls or message.get("function_call"):
            parts += self._calls(calls or [{"function": message["function_call"]}], f"{reply_id}_{position}")
        stop = choice.get("stop_reason")
        return Output(
            index=index if type(index) is int else position,
            parts=tuple(parts),
            finish_reason=finish_reason(raw, bool(calls), bool(refusal)),
            raw_reason=raw,
            refusal=refusal,
            stop_sequence=stop if type(stop) is str else None,
            logprobs=choice.get("logprobs"),
        )

    def _calls(self, calls: Any, prefix: str) -> list[ToolCall]:
        found = []
        for i, call in enumerate([calls] if type(calls) is dict else calls):
            function = call["function"]
            found.append(
                ToolCall(
                    id=_typed(call.get("id") or f"gen_{prefix}_{i}", str),
                    name=_typed(function["name"], str),
                    arguments=arguments_text(function.get("arguments")),
                    provider=self._service,
                )
            )
        return found

    def embed(self, request: EmbedRequest, data: dict[str, Any], headers: Mapping[str, str]) -> EmbedResponse:
        """Embeddings in the order of their index."""
        items = data["data"]
        vectors: list[array[float] | None] = [None] * len(request.inputs)
        for position, item in enumerate(items):
            index = item.get("index", position)
            if type(index) is not int or index < 0 or vectors[index] is not None:
                raise ValueError(f"index {index!r:.40} is out of place")
            vectors[index] = _vector(item["embedding"])
        whole = tuple([vector for vector in vectors if vector is not None])
        if len(whole) != len(vectors):
            raise ValueError(f"{len(whole)} vectors for {len(vectors)} texts")
        model = data.get("model")
        return EmbedResponse(
            id=_text(data.get("id")),
            model=model if type(model) is str else request.model,
            vectors=whole,
            usage=read_usage(data.get("usage")),
            raw=data,
            provider_request_id=request_id(headers),
        )

    def rerank(
        self, request: RerankRequest, data: dict[str, Any], headers: Mapping[str, str]
    ) -> RerankResponse:
        """Documents by falling score."""
        ranked = self._rerank.read(request, data)
        indexes = {item.index for item in ranked}
        count = len(request.documents)
        if len(indexes) != len(ranked) or not all(type(i) is int and 0 <= i < count for i in indexes):
            raise ValueError("an index is out of place")
        if len(ranked) < min(request.top_n or count, count):
            raise ValueError(f"{len(ranked)} scores for {count} documents")
        return RerankResponse(
            id=_text(data.get("id")),
            model=_text(data.get("model")) or request.model,
            results=tuple(sorted(ranked, key=_by_score)[: request.top_n]),
            usage=read_usage(data.get("usage")),
            raw=data,
            provider_request_id=request_id(headers),
        )

    def models(self, request: Request, data: dict[str, Any], headers: Mapping[str, str]) -> ModelsResponse:
        """The models of a service."""
        return ModelsResponse(
            models=tuple([_model(item) for item in data["data"]]),
            raw=data,
            provider_request_id=request_id(headers),
        )


def _groq_usage(data: dict[str, Any]) -> Any:
    extra = data.get("x_groq")
    return extra.get("usage") if type(extra) is dict else None


def _vector(value: Any) -> array[float]:
    if type(value) is str:
        vector = array("f")
        vector.frombytes(binascii.a2b_base64(value))
        if sys.byteorder == "big":
            vector.byteswap()
    else:
        vector = array("f", _typed(value, list))
    if not vector:
        raise ValueError("an empty vector")
    return vector


def _by_score(item: Ranked) -> float:
    return -item.score


def _model(item: dict[str, Any]) -> Model:
    created = item.get("created")
    return Model(
        id=_typed(item["id"], str),
        created=float(created) if isinstance(created, int | float) else None,
        owned_by=_text(item.get("owned_by")),
        context_length=count(item.get("max_model_len", item.get("context_window"))),
        max_output_tokens=count(item.get("max_completion_tokens")),
        raw=item,
    )


def _text(value: Any) -> str:
    return value if type(value) is str else ""


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
    return value
