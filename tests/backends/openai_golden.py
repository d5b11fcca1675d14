"""The golden files of the OpenAI dialect, and how answers are compared with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from asyncapi.backends import get_backend
from asyncapi.backends._openai_dialect import OpenAIDialect
from asyncapi.types.messages import Reasoning, ToolCall, as_messages, as_tools
from asyncapi.types.requests import ChatRequest
from asyncapi.types.responses import ChatResponse, Chunk, Output
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireResponse

FOLDER = Path(__file__).parent / "golden" / "openai"


def cases(file: str) -> list[Any]:
    """The cases of one golden file, as parameters named after them."""
    import pytest

    found = json.loads((FOLDER / f"{file}.json").read_text())["cases"]
    return [pytest.param(case, id=case["name"]) for case in found]


def dialect(name: str) -> OpenAIDialect:
    """A backend that speaks the dialect."""
    backend = get_backend(name)
    assert isinstance(backend, OpenAIDialect)
    return backend


def chat(messages: Any = "Hi", **fields: Any) -> ChatRequest:
    """A chat request from the words of a golden file."""
    fields["tools"] = as_tools(fields.get("tools"))
    fields["stop"] = tuple(fields.get("stop", ()))
    return ChatRequest(model="m", messages=as_messages(messages), **fields)


def reply(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> WireResponse:
    """A reply with a JSON body, or with these bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WireResponse(status=status, headers=headers or {}, body=data)


def summary(response: ChatResponse) -> dict[str, Any]:
    """An answer in the words of a golden file."""
    return {
        "id": response.id,
        "model": response.model,
        "usage": usage(response.usage),
        "outputs": [_output(output) for output in response.outputs],
    }


def usage(value: Usage) -> list[Any]:
    """Usage in the words of a golden file."""
    return [
        value.input_tokens,
        value.output_tokens,
        value.cache_read_tokens,
        value.cache_write_tokens,
        value.reasoning_tokens,
        value.source,
    ]


def _output(output: Output) -> dict[str, Any]:
    reasoning = "".join(part.text for part in output.parts if isinstance(part, Reasoning))
    calls = [[part.id, part.name, part.arguments] for part in output.parts if isinstance(part, ToolCall)]
    fields = {
        "text": output.text,
        "reasoning": reasoning,
        "tool_calls": calls,
        "refusal": output.refusal,
        "stop": output.stop_sequence,
        "logprobs": output.logprobs,
    }
    return {
        "index": output.index,
        "finish_reason": output.finish_reason,
        "raw_reason": output.raw_reason,
        **{name: value for name, value in fields.items() if value},
    }


def joined(chunks: list[Chunk]) -> list[dict[str, Any]]:
    """What a consumer of the chunks has read, per output, in the words of a golden file."""
    outputs: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        output = outputs.setdefault(chunk.output, {"index": chunk.output, "calls": {}})
        for name in ("text", "reasoning", "refusal"):
            if piece := getattr(chunk, name):
                output[name] = output.get(name, "") + piece
        if delta := chunk.tool_call:
            call = output["calls"].setdefault(delta.index, ["", "", ""])
            for i, piece in enumerate((delta.id, delta.name, delta.arguments)):
                call[i] += piece
        if chunk.finish_reason is not None:
            output["finish_reason"] = chunk.finish_reason
    for output in outputs.values():
        if calls := output.pop("calls"):
            output["tool_calls"] = [calls[place] for place in sorted(calls)]
    return [outputs[index] for index in sorted(outputs)]
