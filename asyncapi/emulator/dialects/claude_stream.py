"""A Claude message as named server-sent events. Source: Claude API reference, "Streaming messages"."""

from collections.abc import Iterator

import orjson

from asyncapi.emulator.answers import Answer, count_tokens, pieces
from asyncapi.emulator.exchange import Frame, Json, sse


def message_frames(message: Json, answer: Answer, input_tokens: int) -> list[Frame]:
    """All events from ``message_start`` to ``message_stop``."""
    usage = message["usage"]
    opening = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    frames = [(_event({"type": "message_start", "message": opening}), 0)]
    sent = 0
    for index, block in enumerate(message["content"]):
        for event in _block_events(index, block):
            # A delta of the kinds that carry text is one token; all others cost nothing.
            sent += _delta_tokens(event)
            frames.append((_event(event), min(sent, answer.output_tokens)))
        if index == 0:
            frames.insert(2, (_event({"type": "ping"}), 0))
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]}
    closing = {"input_tokens": input_tokens, "output_tokens": answer.output_tokens}
    closing["cache_creation_input_tokens"] = closing["cache_read_input_tokens"] = 0
    at = answer.output_tokens
    frames.append((_event({"type": "message_delta", "delta": delta, "usage": closing}), at))
    frames.append((_event({"type": "message_stop"}), at))
    return frames


def _block_events(index: int, block: Json) -> Iterator[Json]:
    kind = block["type"]
    yield {"type": "content_block_start", "index": index, "content_block": _emptied(block)}
    if kind == "thinking":
        for piece in pieces(block["thinking"]):
            yield _delta(index, {"type": "thinking_delta", "thinking": piece})
        yield _delta(index, {"type": "signature_delta", "signature": block["signature"]})
    elif kind == "text":
        for piece in pieces(block["text"]):
            yield _delta(index, {"type": "text_delta", "text": piece})
    else:
        yield _delta(index, {"type": "input_json_delta", "partial_json": ""})
        for piece in pieces(orjson.dumps(block["input"]).decode()):
            yield _delta(index, {"type": "input_json_delta", "partial_json": piece})
    yield {"type": "content_block_stop", "index": index}


def _emptied(block: Json) -> Json:
    if block["type"] == "thinking":
        return {"type": "thinking", "thinking": "", "signature": ""}
    return {**block, "input": {}} if block["type"] == "tool_use" else {"type": "text", "text": ""}


def _delta(index: int, delta: Json) -> Json:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def _delta_tokens(event: Json) -> int:
    delta = event.get("delta") or {}
    text = delta.get("thinking") or delta.get("text") or delta.get("partial_json") or ""
    return count_tokens(text)


def _event(value: Json) -> bytes:
    return sse(value, value["type"])
