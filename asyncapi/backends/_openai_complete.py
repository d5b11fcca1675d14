"""Completions in the OpenAI dialect: text to continue, for one prompt or several at once.

Of n outputs for each prompt, the choice with index i * n + j is the j-th of prompt i.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from asyncapi.backends._openai_assembly import as_text
from asyncapi.backends._openai_codec import Body, Codec, by_index, typed
from asyncapi.backends._openai_quirks import PARAMETERS, Quirks
from asyncapi.backends._openai_reply import finish_reason, read_usage, request_id
from asyncapi.backends._openai_request import RequestWriter, drop
from asyncapi.backends._openai_stream import ChoiceStream
from asyncapi.types.messages import Text
from asyncapi.types.requests import CompleteRequest
from asyncapi.types.responses import Chunk, CompleteResponse, Output
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireResponse

__all__ = ["Complete", "CompleteStream"]

#: The parameters beside the prompts, with the names that completions have for them.
_NAMES: Mapping[str, str | None] = {
    **{
        name: PARAMETERS[name]
        for name in (
            "temperature",
            "top_p",
            "top_k",
            "seed",
            "frequency_penalty",
            "presence_penalty",
            "logprobs",
        )
    },
    "suffix": "suffix",
    "system": None,
}


class Complete(Codec[CompleteRequest]):
    """Text to continue."""

    operation = "complete"

    def __init__(self, service: str, quirks: Quirks) -> None:
        super().__init__(service, quirks)
        self._names = {name: quirks.names.get(name, wire) for name, wire in _NAMES.items()}
        self._writer = RequestWriter(service, quirks)

    def write(self, request: CompleteRequest, notes: list[str]) -> Body:
        """The body."""
        prompts = request.prompts
        body: dict[str, Any] = {
            "model": request.model,
            "prompt": prompts if len(prompts) != 1 else prompts[0],
        }
        if request.max_tokens is not None:
            body["max_tokens"] = request.max_tokens
        if request.stop:
            body["stop"] = request.stop
        for field, wire in self._names.items():
            if (value := getattr(request, field)) is None:
                continue
            if wire:
                body[wire] = value
            else:
                drop(self.service, field, request.unsupported, notes)
        if request.response_format is not None:
            if self.quirks.structured_outputs:
                self._writer.response_format(request.response_format, body)
            else:
                drop(self.service, "response_format", request.unsupported, notes)
        if request.stream:
            body["stream"] = True
            if self.quirks.stream_options is not None:
                body["stream_options"] = self.quirks.stream_options
        return body

    def read(self, request: CompleteRequest, reply: WireResponse) -> CompleteResponse:
        """The continuations in the order of their prompts."""
        data = self.object(reply)
        each = _outputs_each(request)
        choices = by_index(data["choices"], len(request.prompts) * each)
        model = data.get("model")
        reply_id = data.get("id")
        return CompleteResponse(
            id=reply_id if type(reply_id) is str else "",
            model=model if type(model) is str and model else request.model,
            outputs=tuple([_output(i // each, choice) for i, choice in enumerate(choices)]),
            usage=read_usage(data.get("usage")),
            raw=data,
            provider_request_id=request_id(reply.headers),
        )

    def stream(self, request: CompleteRequest, reply: WireResponse) -> CompleteStream:
        """A decoder for the streamed answer."""
        return CompleteStream(self.service, self.quirks, request, reply)


class CompleteStream(ChoiceStream[CompleteResponse]):
    """Reads one streamed completion."""

    def __init__(self, service: str, quirks: Quirks, request: CompleteRequest, reply: WireResponse) -> None:
        self._each = _outputs_each(request)
        wanted = len(request.prompts) * self._each
        super().__init__(service, quirks, request.model, wanted, reply.status, reply.headers)

    def partial(self) -> CompleteResponse:
        """What has arrived so far, assembled."""
        outputs = []
        for index, state in sorted(self._outputs.items()):
            output = state.assembled(index, self._service, self._id)
            outputs.append(replace(output, index=index // self._each, logprobs=_joined(state.logprobs)))
        return CompleteResponse(
            id=self._id,
            model=self._model,
            outputs=tuple(outputs),
            usage=self._usage,
            provider_request_id=request_id(self._headers),
        )

    def _choice(
        self, choice: dict[str, Any], usage: Usage | None, event: dict[str, Any], chunks: list[Chunk]
    ) -> None:
        index = choice.get("index", 0)
        state = self._outputs.get(index) or self._open(index)
        text = as_text(choice.get("text") or "")
        if text:
            state.text.append(text)
        if (logprobs := choice.get("logprobs")) is not None:
            state.logprobs.append(logprobs)
        raw = choice.get("finish_reason")
        reason = self._finish(state, raw, choice) if raw else None
        if text or reason is not None or usage is not None:
            chunks.append(
                Chunk(text=text, finish_reason=reason, usage=usage, output=index // self._each, raw=event)
            )


def _outputs_each(request: CompleteRequest) -> int:
    """How many outputs a prompt gets: one, unless the caller's extras ask for more."""
    n = request.extra.body.get("n") if request.extra is not None else None
    return n if type(n) is int and n > 0 else 1


def _output(index: int, choice: dict[str, Any]) -> Output:
    text = typed(choice["text"], str)
    raw = typed(choice.get("finish_reason") or "", str)
    stop = choice.get("stop_reason")
    return Output(
        index=index,
        parts=(Text(text),) if text else (),
        finish_reason=finish_reason(raw, False, False),
        raw_reason=raw,
        stop_sequence=stop if type(stop) is str else None,
        logprobs=choice.get("logprobs"),
    )


def _joined(pieces: list[Any]) -> Any:
    """The logprobs of all chunks as those of one answer: lists of tokens, their logprobs, and so on."""
    whole: dict[str, list[Any]] = {}
    for piece in pieces:
        if type(piece) is dict:
            for name, values in piece.items():
                if type(values) is list:
                    whole.setdefault(name, []).extend(values)
    return whole or None
