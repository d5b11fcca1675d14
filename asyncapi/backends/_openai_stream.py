"""Streamed answers in the OpenAI dialect that come as choices: chats and completions.

A stream is complete when every output that was seen (and as many as were asked for) has its
finish_reason. ``[DONE]`` alone proves nothing: vLLM sends it after an error too.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, TypeVar

from asyncapi.backends._openai_assembly import OutputState, as_text
from asyncapi.backends._openai_events import EventStream
from asyncapi.backends._openai_quirks import Quirks
from asyncapi.backends._openai_reply import (
    arguments_text,
    finish_reason,
    read_text,
    read_usage,
    request_id,
)
from asyncapi.types.responses import ChatResponse, Chunk, FinishReason, Response, ToolCallDelta
from asyncapi.types.usage import Usage
from asyncapi.wire.errors import is_error

__all__ = ["ChatStream", "ChoiceStream"]

_KNOWN = frozenset({"role", "content", "refusal", "tool_calls", "reasoning", "reasoning_content"})
R = TypeVar("R", bound=Response)


class ChoiceStream(EventStream[R]):
    """Reads one streamed answer whose events have choices.

    State: the outputs by index, the usage, and the id and model that the first event names.
    """

    _proof = "a finish_reason"

    def __init__(
        self, service: str, quirks: Quirks, model: str, wanted: int, status: int, headers: Mapping[str, str]
    ) -> None:
        super().__init__(service, quirks, status, headers)
        self._model = model
        self._wanted = wanted
        self._id = ""
        self._bare_text = False
        self._usage = Usage()
        self._outputs: dict[int, OutputState] = {}

    @abstractmethod
    def _choice(
        self, choice: dict[str, Any], usage: Usage | None, event: dict[str, Any], chunks: list[Chunk]
    ) -> None:
        """Take in one choice; usage, if the event has any, goes with its first chunk."""

    def _event(self, event: dict[str, Any], payload: bytes, name: str, chunks: list[Chunk]) -> None:
        choices = event.get("choices")
        usage: Usage | None = None
        if (reported := event.get("usage")) is not None:
            usage = self._count(reported)
        elif "x_groq" in event:
            usage = self._groq(event["x_groq"], payload)
        if not choices:
            self._no_choices(event, payload, name)
            if usage is not None:
                chunks.append(Chunk(usage=usage, raw=event))
            return
        if not self._id:
            self._begin(event)
        for choice in choices:
            self._choice(choice, usage, event, chunks)
            usage = None

    def _finish(self, state: OutputState, raw: Any, choice: dict[str, Any]) -> FinishReason:
        state.reason = as_text(raw)
        stop = choice.get("stop_reason")
        if type(stop) is str:
            state.stop = stop
        return finish_reason(raw, bool(state.calls), bool(state.refusal))

    def _begin(self, event: dict[str, Any]) -> None:
        reply_id, model = event.get("id"), event.get("model")
        if type(reply_id) is str:
            self._id = reply_id
        if type(model) is str and model:
            self._model = model

    def _open(self, index: Any) -> OutputState:
        if type(index) is not int or index < 0:
            raise TypeError("a choice's index is not a number")
        state = self._outputs[index] = OutputState()
        return state

    def _count(self, reported: Any) -> Usage:
        self._usage = read_usage(reported)
        return self._usage

    def _groq(self, extra: Any, payload: bytes) -> Usage | None:
        if type(extra) is not dict:
            return None
        if extra.get("error"):
            self.error = self._failure(payload)
        usage = extra.get("usage")
        return None if usage is None else self._count(usage)

    def _no_choices(self, event: dict[str, Any], payload: bytes, name: str) -> None:
        if is_error(event) or event.get("type") == "error":
            self.error = self._failure(payload)
        elif not ("choices" in event or "usage" in event or "x_groq" in event or name not in ("", "message")):
            raise KeyError("choices")

    def _complete(self) -> bool:
        outputs = self._outputs
        return len(outputs) >= self._wanted and all(state.reason is not None for state in outputs.values())

    def _begun(self) -> bool:
        return bool(self._outputs)

    def _other(self, payload: bytes, chunks: list[Chunk]) -> None:
        read = self._quirks.read_text
        text = read(payload) if read is not None else None
        if text is None:
            super()._other(payload, chunks)
        elif text:
            self._bare_text = True
            state = self._outputs.get(0) or self._open(0)
            state.text.append(text)
            chunks.append(Chunk(text=text, raw=payload))

    def _end(self, chunks: list[Chunk]) -> None:
        if self._bare_text and not self._complete():
            # Bare text has no finish_reason: [DONE] after at least one piece is its proof.
            self._outputs[0].reason = "stop"
            chunks.append(Chunk(finish_reason="stop"))
        super()._end(chunks)


class ChatStream(ChoiceStream[ChatResponse]):
    """Reads one streamed chat."""

    def partial(self) -> ChatResponse:
        """What has arrived so far, assembled."""
        return ChatResponse(
            id=self._id,
            model=self._model,
            outputs=tuple(
                [
                    state.assembled(index, self._service, self._id)
                    for index, state in sorted(self._outputs.items())
                ]
            ),
            usage=self._usage,
            provider_request_id=request_id(self._headers),
        )

    def _choice(
        self, choice: dict[str, Any], usage: Usage | None, event: dict[str, Any], chunks: list[Chunk]
    ) -> None:
        index = choice.get("index", 0)
        state = self._outputs.get(index) or self._open(index)
        delta = choice.get("delta") or {}
        reasoning = refusal = ""
        if text := delta.get("content") or "":
            if type(text) is not str:
                text = read_text(text)
            state.text.append(text)
        if len(delta) > 1 or not text:
            reasoning, refusal = self._beside(delta, state)
            if calls := delta.get("tool_calls"):
                if text or reasoning or refusal:
                    chunks.append(
                        Chunk(text=text, reasoning=reasoning, refusal=refusal, output=index, raw=event)
                    )
                    text = reasoning = refusal = ""
                self._calls(calls, index, state, event, chunks)
        if (logprobs := choice.get("logprobs")) is not None:
            state.logprobs.append(logprobs)
        raw = choice.get("finish_reason")
        reason = self._finish(state, raw, choice) if raw else None
        if text or reasoning or refusal or reason is not None or usage is not None:
            chunks.append(
                Chunk(
                    text=text,
                    reasoning=reasoning,
                    refusal=refusal,
                    finish_reason=reason,
                    usage=usage,
                    output=index,
                    raw=event,
                )
            )
        elif any(value for name, value in delta.items() if name not in _KNOWN):
            chunks.append(Chunk(output=index, raw=event))

    def _beside(self, delta: dict[str, Any], state: OutputState) -> tuple[str, str]:
        """Reasoning and refusal of a delta."""
        reasoning = ""
        for field in self._quirks.reasoning_fields:
            if thoughts := delta.get(field):
                reasoning = as_text(thoughts)
                state.reasoning.append(reasoning)
                break
        if refusal := delta.get("refusal") or "":
            state.refusal.append(as_text(refusal))
        return reasoning, refusal

    def _calls(
        self, calls: Any, index: int, state: OutputState, event: dict[str, Any], chunks: list[Chunk]
    ) -> None:
        for delta in [calls] if type(calls) is dict else calls:
            place, call = state.call(delta)
            function = delta.get("function") or {}
            new_id = new_name = ""
            if not call.id and delta.get("id"):
                new_id = call.id = as_text(delta["id"])
            if not call.name and function.get("name"):
                new_name = call.name = as_text(function["name"])
            piece = arguments_text(function.get("arguments"))
            if piece:
                call.arguments.append(piece)
            if new_id or new_name or piece:
                piece_of_call = ToolCallDelta(place, new_id, new_name, piece)
                chunks.append(Chunk(tool_call=piece_of_call, output=index, raw=event))
