"""Whole answers of the Responses API, read into the normal form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncapi.backends._openai_codec import read_tokens, typed
from asyncapi.backends._openai_reply import arguments_text, finish_reason, request_id
from asyncapi.types.messages import Part, RawPart, Reasoning, Text, ToolCall
from asyncapi.types.responses import ChatResponse, FinishReason, Output

__all__ = ["read_output", "read_response"]

_INCOMPLETE: Mapping[str, FinishReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}


def read_response(service: str, model: str, data: dict[str, Any], headers: Mapping[str, str]) -> ChatResponse:
    """An answer. It may be unfinished, if it is made in the background: its reason is "other" then.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: The data have another shape.
    """
    named = data.get("model")
    return ChatResponse(
        id=typed(data.get("id") or "", str),
        model=named if type(named) is str and named else model,
        outputs=(read_output(service, typed(data["output"], list), data),),
        usage=read_tokens(data.get("usage")),
        raw=data,
        provider_request_id=request_id(headers),
    )


def read_output(service: str, items: list[Any], data: Mapping[str, Any]) -> Output:
    """The output that these items are; ``data`` says how it ended."""
    reader = _ItemReader(service)
    for item in items:
        reader.item(item)
    reason, raw = _ending(data, any(isinstance(p, ToolCall) for p in reader.parts), bool(reader.refusal))
    return Output(
        parts=tuple(reader.parts),
        finish_reason=reason,
        raw_reason=raw,
        refusal=reader.refusal,
        logprobs={"content": reader.logprobs} if reader.logprobs else None,
    )


def _ending(data: Mapping[str, Any], called: bool, refused: bool) -> tuple[FinishReason, str]:
    status = typed(data.get("status") or "completed", str)
    if status == "completed":
        return finish_reason("stop", called, refused), status
    if status == "incomplete":
        details = data.get("incomplete_details") or {}
        reason = typed(details.get("reason") or status, str)
        return _INCOMPLETE.get(reason, "other"), reason
    return "cancelled" if status == "cancelled" else "other", status


class _ItemReader:
    """The items of one answer on their way into parts."""

    def __init__(self, service: str) -> None:
        self._service = service
        self.parts: list[Part] = []
        self.refusal = ""
        self.logprobs: list[Any] = []

    def item(self, item: dict[str, Any]) -> None:
        """One item; a kind that has no normal form is kept as it is."""
        match item["type"]:
            case "message":
                for part in typed(item["content"], list):
                    self._content(part, item)
            case "reasoning":
                self.parts.append(Reasoning(text=_thoughts(item), provider=self._service, provider_data=item))
            case "function_call":
                self.parts.append(
                    ToolCall(
                        id=typed(item.get("call_id") or item.get("id") or f"gen_{len(self.parts)}", str),
                        name=typed(item["name"], str),
                        arguments=arguments_text(item.get("arguments")),
                        provider=self._service,
                        provider_data=item,
                    )
                )
            case _:
                self.parts.append(RawPart(provider=self._service, data=item))

    def _content(self, part: dict[str, Any], item: dict[str, Any]) -> None:
        match part["type"]:
            case "output_text":
                if text := typed(part["text"], str):
                    self.parts.append(Text(text))
                if logprobs := part.get("logprobs"):
                    self.logprobs += typed(logprobs, list)
            case "refusal":
                self.refusal += typed(part["refusal"], str)
            case _:
                self.parts.append(RawPart(provider=self._service, data={**item, "content": [part]}))


def _thoughts(item: dict[str, Any]) -> str:
    """The summaries and the text of reasoning, each a paragraph."""
    pieces = [*(item.get("summary") or ()), *(item.get("content") or ())]
    return "\n\n".join(typed(piece["text"], str) for piece in pieces if piece.get("text"))
