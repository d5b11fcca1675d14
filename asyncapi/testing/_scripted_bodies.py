"""Bodies in OpenAI's form, for scripts that give only a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson

__all__ = ["chat_body", "chat_events"]


def chat_body(content: str | bytes | Mapping[str, Any] | Sequence[Any] | None, status: int) -> bytes:
    if isinstance(content, bytes):
        return content
    if content is not None and not isinstance(content, str):
        return orjson.dumps(content)
    if status >= 400:
        message = content or HTTPStatus(status).phrase
        return orjson.dumps({"error": {"message": message, "type": "error", "code": None}})
    text = content or ""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return orjson.dumps(_envelope("chat.completion", [choice]) | {"usage": _usage(text)})


def chat_events(texts: list[str]) -> tuple[bytes, ...]:
    """One event for each text, then finish reason, usage and [DONE] in one piece."""
    pieces = []
    for turn, text in enumerate(texts):
        delta = {"content": text} if turn else {"role": "assistant", "content": text}
        pieces.append(_event([{"index": 0, "delta": delta, "finish_reason": None}]))
    finish = _event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    return (*pieces, finish + _event([], usage=_usage("".join(texts))) + b"data: [DONE]\n\n")


def _event(choices: list[dict[str, Any]], **more: Any) -> bytes:
    return b"data: " + orjson.dumps(_envelope("chat.completion.chunk", choices) | more) + b"\n\n"


def _envelope(kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": "chatcmpl-scripted", "object": kind, "created": 0, "model": "scripted", "choices": choices}


def _usage(text: str) -> dict[str, int]:
    words = len(text.split())
    return {"prompt_tokens": 1, "completion_tokens": words, "total_tokens": words + 1}
