"""Answers and errors as OpenAI Batch result lines.

``{"id": "batch_req_<n>", "custom_id", "response": {"status_code", "request_id", "body"}, "error": null}``
with ``n`` the row's number from 1: by it the journal knows whose line it is, whatever the ids are.
``id`` stays the first key and ``error`` the last one: the journal reads them without parsing the rest.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import orjson

from asyncapi.errors import AsyncAPIError, ProviderError
from asyncapi.jobs.items import Item
from asyncapi.types.messages import Reasoning, ToolCall
from asyncapi.types.responses import ChatResponse, EmbedResponse, Output, Response
from asyncapi.types.usage import Usage

__all__ = ["answer_line", "bad_line", "copied_line", "error_line", "row_of", "succeeded"]

_HEAD = re.compile(rb'\{"id":"batch_req_([1-9][0-9]*)",')
_GOOD_TAIL = b',"error":null}\n'

_FINISH = {"refusal": "stop", "pause": "stop", "context_overflow": "length", "error": "stop", "other": "stop"}


def answer_line(item: Item, response: Response) -> bytes:
    """The line of an answer.

    Its body is the service's own JSON where that is an OpenAI chat completion; else the answer in
    that shape. Vectors are always written anew: the service's JSON may belong to many calls.
    """
    body: Any
    match response:
        case EmbedResponse():
            body = _embedding_body(response)
        case ChatResponse() if isinstance(response.raw, dict) and "choices" in response.raw:
            body = response.raw
        case ChatResponse():
            body = _chat_body(response)
        case _:
            body = response.raw
    request_id = response.provider_request_id or response.request_id
    return _line(
        item.index, item.custom_id, {"status_code": 200, "request_id": request_id, "body": body}, None
    )


def error_line(item: Item, error: AsyncAPIError) -> bytes:
    """The line of a failure: with the service's status and body where it answered, else without response."""
    if not isinstance(error, ProviderError):
        return _line(item.index, item.custom_id, None, {"code": error.kind, "message": str(error)})
    request_id = error.provider_request_id or error.request_id
    response = {"status_code": error.status, "request_id": request_id, "body": _body(error)}
    return _line(
        item.index, item.custom_id, response, {"code": error.code or error.kind, "message": str(error)}
    )


def bad_line(index: int, custom_id: str, reason: str) -> bytes:
    """The line for a row of the input that can't be sent."""
    return _line(index, custom_id, None, {"code": "invalid_line", "message": reason})


def copied_line(line: bytes, item: Item) -> tuple[bytes, Usage]:
    """The result line of another row that asked the same, for this row; and what that took."""
    found = orjson.loads(line)
    usage = ((found["response"] or {}).get("body") or {}).get("usage") or {}
    took = Usage(
        input_tokens=_count(usage, "prompt_tokens"), output_tokens=_count(usage, "completion_tokens")
    )
    return _line(item.index, item.custom_id, found["response"], found["error"]), took


def _count(usage: Any, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) else None


def row_of(line: bytes) -> int | None:
    """The index of the row whose result this line is; None when it is no result line of ours."""
    found = _HEAD.match(line)
    return int(found[1]) - 1 if found and line.endswith(b"}\n") else None


def succeeded(line: bytes) -> bool:
    """Whether a result line holds an answer."""
    return line.endswith(_GOOD_TAIL)


def _line(index: int, custom_id: str, response: dict[str, Any] | None, error: dict[str, str] | None) -> bytes:
    line = {"id": f"batch_req_{index + 1}", "custom_id": custom_id, "response": response, "error": error}
    return orjson.dumps(line, default=_plain, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)


def _plain(value: object) -> object:
    """What orjson doesn't know in a foreign backend's raw answer: bytes, arrays, structs."""
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "replace")
    to_list = getattr(value, "tolist", None)
    return to_list() if to_list is not None else repr(value)


def _body(error: ProviderError) -> object:
    try:
        return orjson.loads(error.body)
    except orjson.JSONDecodeError:
        return {
            "error": {"message": error.body.decode("utf-8", "replace") or error.message, "code": error.kind}
        }


def _chat_body(response: ChatResponse) -> dict[str, Any]:
    return {
        "id": response.id or response.request_id,
        "object": "chat.completion",
        "created": int(datetime.now(UTC).timestamp()),
        "model": response.model,
        "choices": [_choice(output) for output in response.outputs],
        "usage": _usage(response.usage),
    }


def _choice(output: Output) -> dict[str, Any]:
    calls = [
        {"id": part.id, "type": "function", "function": {"name": part.name, "arguments": part.arguments}}
        for part in output.parts
        if isinstance(part, ToolCall)
    ]
    reasoning = "".join(part.text for part in output.parts if isinstance(part, Reasoning))
    message: dict[str, Any] = {"role": "assistant", "content": output.text or (None if calls else "")}
    message |= {"refusal": output.refusal or None}
    if calls:
        message["tool_calls"] = calls
    if reasoning:
        message["reasoning_content"] = reasoning
    reason = _FINISH.get(output.finish_reason, output.finish_reason)
    return {"index": output.index, "message": message, "logprobs": output.logprobs, "finish_reason": reason}


def _usage(usage: Usage) -> dict[str, Any] | None:
    if usage.total_tokens is None:
        return None
    found: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens or 0,
        "completion_tokens": usage.output_tokens or 0,
        "total_tokens": usage.total_tokens,
    }
    if usage.cache_read_tokens is not None:
        found["prompt_tokens_details"] = {"cached_tokens": usage.cache_read_tokens}
    if usage.reasoning_tokens is not None:
        found["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return found


def _embedding_body(response: EmbedResponse) -> dict[str, Any]:
    tokens = response.usage.input_tokens or 0
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": i, "embedding": vector.tolist()}
            for i, vector in enumerate(response.vectors)
        ],
        "model": response.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
