"""Text Generation Inference's own generation: one prompt, whole or token by token.

An event with ``generated_text`` is the proof that a streamed answer is whole. Special tokens are no part
of the text.

Source: Hugging Face Text Generation Inference, API reference and router, /generate and /generate_stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from asyncapi.backends._decoding import count, header_count
from asyncapi.backends._encoding import drop, json_request, one_text
from asyncapi.backends._openai_reply import request_id
from asyncapi.errors import (
    AsyncAPIError,
    ConfigError,
    ContextLengthError,
    DecodeError,
    InvalidRequestError,
    OverloadedError,
    ServerError,
    StreamInterruptedError,
)
from asyncapi.types.messages import Text
from asyncapi.types.requests import CompleteRequest
from asyncapi.types.responses import Chunk, CompleteResponse, FinishReason, Output
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireRequest, WireResponse
from asyncapi.wire.errors import Row, Table, error_for, is_error
from asyncapi.wire.sse import SSEReader

__all__ = ["ERRORS", "NAME", "TGIStream", "complete_request", "complete_response", "grammar"]

NAME = "hf_tgi"

#: A server without quotas says 429 when it is full. Errors inside a stream of a chat all say 422, so that
#: their texts must speak.
ERRORS = Table(
    texts=(
        ("must have less than", Row(ContextLengthError)),
        ("`inputs` tokens + `max_new_tokens` must be", Row(ContextLengthError)),
        ("request failed during generation", Row(ServerError)),
        ("incomplete generation", Row(ServerError)),
        ("model is overloaded", Row(OverloadedError)),
    ),
    statuses={429: Row(OverloadedError)},
    types=dict.fromkeys(
        ("template_error", "missing_template_variable", "tool_error"), Row(InvalidRequestError)
    ),
)

_REASONS: Mapping[str, FinishReason] = {"eos_token": "stop", "stop_sequence": "stop", "length": "length"}
_ANY_OBJECT = {"type": "object"}


def grammar(wanted: str | Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The response format in the service's words, None for plain text.

    Raises:
        ConfigError: It has no word for it.
    """
    match wanted:
        case None | "text":
            return None
        case "json":
            return {"type": "json", "value": _ANY_OBJECT}
        case {"schema": schema}:
            return {"type": "json", "value": schema}
        case {"regex": pattern}:
            return {"type": "regex", "value": pattern}
        case {"type": kind, "value": value}:
            return {"type": kind, "value": value}
    shown = wanted if isinstance(wanted, str) else sorted(wanted)
    raise ConfigError(f"response_format: {NAME} takes 'text', 'json', a schema or a regex, got {shown!r}")


def complete_request(request: CompleteRequest) -> WireRequest:
    """A POST of the one prompt.

    Raises:
        ConfigError: More than one prompt, or a parameter that can't be expressed.
    """
    warnings: list[str] = []
    body: dict[str, Any] = {"inputs": one_text(request.prompts, NAME, "prompt")}
    body["parameters"] = _parameters(request)
    for field in ("suffix", "system", "presence_penalty"):
        if getattr(request, field) is not None:
            drop(request, warnings, NAME, field)
    path = "/generate_stream" if request.stream else "/generate"
    return json_request(path, body, NAME, request.extra, warnings)


def _parameters(request: CompleteRequest) -> dict[str, Any]:
    sampled = request.temperature is not None and request.temperature > 0
    values = {
        "max_new_tokens": request.max_tokens,
        # A temperature of 0 is refused; it is how others ask for the likeliest token.
        "do_sample": None if request.temperature is None else sampled,
        "temperature": request.temperature if sampled else None,
        # 1 is refused, too: it leaves no token out.
        "top_p": None if request.top_p == 1 else request.top_p,
        "top_k": request.top_k,
        "stop": request.stop or None,
        "seed": request.seed,
        "frequency_penalty": request.frequency_penalty,
        "top_n_tokens": request.logprobs or None,
        "grammar": grammar(request.response_format),
    }
    return {"details": True, **{name: value for name, value in values.items() if value is not None}}


def complete_response(request: CompleteRequest, body: Any, headers: Mapping[str, str]) -> CompleteResponse:
    """The continuation.

    Raises:
        DecodeError: The answer holds none.
    """
    text = body.get("generated_text") if isinstance(body, dict) else None
    if not isinstance(text, str):
        raise DecodeError(f"{NAME}: an answer without generated_text")
    details = body.get("details")
    details = details if isinstance(details, dict) else {}
    reason = details.get("finish_reason")
    output = Output(
        parts=(Text(text),) if text else (),
        finish_reason=_REASONS.get(reason, "other") if isinstance(reason, str) else "other",
        raw_reason=reason if isinstance(reason, str) else "",
        logprobs=details.get("tokens") if request.logprobs is not None else None,
    )
    return CompleteResponse(
        model=request.model,
        outputs=(output,),
        usage=_usage(details, headers),
        raw=body,
        provider_request_id=request_id(headers),
    )


def _usage(details: Mapping[str, Any], headers: Mapping[str, str]) -> Usage:
    """A stream counts the prompt's tokens in its last event, a whole answer in a header."""
    given, made = count(details.get("input_length")), count(details.get("generated_tokens"))
    reported = given is not None or made is not None
    given = header_count(headers, "x-prompt-tokens") if given is None else given
    made = header_count(headers, "x-generated-tokens") if made is None else made
    if given is None and made is None:
        return Usage()
    return Usage(input_tokens=given, output_tokens=made, source="reported" if reported else "header")


class TGIStream:
    """Decoder of one streamed continuation.

    State: ``_tokens`` grow until the ``_last`` event; ``error`` after a failure.
    """

    __slots__ = ("_last", "_reader", "_reply", "_request", "_texts", "_tokens", "error")

    def __init__(self, request: CompleteRequest, reply: WireResponse) -> None:
        self._request = request
        self._reply = reply
        self._reader = SSEReader()
        self._texts: list[str] = []
        self._tokens: list[Any] = []
        self._last: dict[str, Any] | None = None
        self.error: AsyncAPIError | None = None

    @property
    def done(self) -> bool:
        """Whether the last event was seen."""
        return self._last is not None

    def feed(self, data: bytes) -> list[Chunk]:
        """The chunks that these bytes complete."""
        chunks: list[Chunk] = []
        for _, text in self._reader.feed(data):
            if self.done or self.error is not None:
                return chunks
            try:
                event = orjson.loads(text)
            except orjson.JSONDecodeError:
                self.error = DecodeError(f"{NAME}: an event of the stream is not JSON", body=text)
            else:
                self._event(text, event, chunks)
        if self.error is None and not self.done:
            self.error = self._reader.error
        return chunks

    def finish(self) -> CompleteResponse:
        """The whole continuation.

        Raises:
            StreamInterruptedError: No event had the generated text.
        """
        if not self.done and self.error is None:
            self._close()
        if self.error is not None:
            raise self.error
        if not self.done:
            partial = self.partial() if self._tokens else None
            raise StreamInterruptedError(
                f"{NAME}: the stream ended before the generated text", partial=partial
            )
        return self.partial()

    def partial(self) -> CompleteResponse:
        """What has arrived so far."""
        last = self._last or {"generated_text": "".join(self._texts)}
        details = last.get("details")
        details = {**details, "tokens": self._tokens} if isinstance(details, dict) else None
        return complete_response(self._request, {**last, "details": details}, self._reply.headers)

    def _close(self) -> None:
        """What the stream's end left may be an error; a token in it would reach no one."""
        for _, text in self._reader.close():
            try:
                event = orjson.loads(text)
            except orjson.JSONDecodeError:
                return
            if is_error(event):
                self._event(text, event, [])

    def _event(self, text: bytes, event: Any, chunks: list[Chunk]) -> None:
        if is_error(event):
            reply = WireResponse(status=self._reply.status, headers=self._reply.headers, body=text)
            self.error = error_for(reply, service=NAME, table=ERRORS)
            return
        match event:
            case {"token": {"text": str(piece)} as token, **rest} if isinstance(
                rest.get("generated_text"), str | None
            ):
                self._token("" if token.get("special") is True else piece, event, chunks)
            case _:
                self.error = DecodeError(f"{NAME}: an event of an unexpected shape", body=text)

    def _token(self, piece: str, event: dict[str, Any], chunks: list[Chunk]) -> None:
        self._texts.append(piece)
        self._tokens.append(event["token"])
        if event.get("generated_text") is None:
            if piece:
                chunks.append(Chunk(text=piece, raw=event))
            return
        self._last = event
        whole = self.partial()
        reason = whole.outputs[0].finish_reason
        chunks.append(Chunk(text=piece, finish_reason=reason, usage=whole.usage, raw=event))
