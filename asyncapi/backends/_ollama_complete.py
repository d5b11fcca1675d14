"""Ollama's completions: one prompt, whole or line by line.

Source: Ollama API documentation, "Generate a completion".
"""

from __future__ import annotations

from typing import Any

from asyncapi.backends._encoding import json_request, one_text
from asyncapi.backends._ollama_encode import NAME, add_format, sampling
from asyncapi.backends._ollama_stream import Answer, LineStream, usage_of
from asyncapi.errors import DecodeError
from asyncapi.types.requests import CompleteRequest
from asyncapi.types.responses import CompleteResponse
from asyncapi.types.wire import WireRequest, WireResponse

__all__ = ["CompletionStream", "complete_request", "complete_response"]


def complete_request(request: CompleteRequest) -> WireRequest:
    """A POST of the one prompt.

    Raises:
        ConfigError: Several prompts, or a dropped parameter in the mode "error".
    """
    warnings: list[str] = []
    body: dict[str, Any] = {
        "model": request.model,
        "prompt": one_text(request.prompts, NAME, "prompt"),
        "stream": request.stream,
    }
    if request.suffix is not None:
        body["suffix"] = request.suffix
    if request.system is not None:
        body["system"] = request.system
    if options := sampling(request):
        body["options"] = options
    if request.response_format is not None:
        add_format(request, body, warnings)
    if request.logprobs is not None:
        body["logprobs"] = True
        body["top_logprobs"] = request.logprobs
    return json_request("/api/generate", body, NAME, request.extra, warnings)


def complete_response(body: Any) -> CompleteResponse:
    """The continuation that ``body`` holds.

    Raises:
        DecodeError: It is not a whole one.
    """
    answer = Answer(_message)
    answer.add(body, [])
    if not answer.done:
        raise DecodeError(f"{NAME}: the answer is not done")
    return _response(answer, body)


class CompletionStream(LineStream[CompleteResponse]):
    """Decoder of one streamed continuation."""

    __slots__ = ()

    def __init__(self, reply: WireResponse) -> None:
        super().__init__(reply, Answer(_message), _assembled)


def _message(data: dict[str, Any]) -> Any:
    if "response" not in data:
        raise DecodeError(f"{NAME}: an answer without a response: {data!r:.200}")
    return {"content": data["response"], "thinking": data.get("thinking")}


def _response(answer: Answer, raw: Any) -> CompleteResponse:
    return CompleteResponse(
        id=answer.id,
        model=answer.last.get("model", ""),
        usage=usage_of(answer.last),
        raw=raw,
        outputs=(answer.output(),),
    )


def _assembled(answer: Answer) -> CompleteResponse:
    raw = {**answer.last, "response": "".join(answer.texts)}
    if answer.thinking:
        raw["thinking"] = "".join(answer.thinking)
    return _response(answer, raw)
