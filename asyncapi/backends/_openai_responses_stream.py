"""Streamed answers of the Responses API.

A stream is complete with ``response.completed`` or ``response.incomplete``, which hold the whole
answer; no ``[DONE]`` is promised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from asyncapi.backends._openai_assembly import CallState, as_text
from asyncapi.backends._openai_events import EventStream
from asyncapi.backends._openai_quirks import Quirks
from asyncapi.backends._openai_reply import arguments_text, request_id
from asyncapi.backends._openai_responses_reply import read_output, read_response
from asyncapi.types.messages import Part, Reasoning, Text, ToolCall
from asyncapi.types.responses import ChatResponse, Chunk, Output, ToolCallDelta
from asyncapi.wire.errors import is_error

__all__ = ["ResponsesStream"]

#: Events that repeat what deltas said, or that say nothing of the answer.
_SILENT = frozenset(
    {
        "response.queued",
        "response.in_progress",
        "response.content_part.added",
        "response.content_part.done",
        "response.output_text.done",
        "response.output_text.annotation.added",
        "response.refusal.done",
        "response.function_call_arguments.done",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_part.done",
        "response.reasoning_summary_text.done",
        "response.reasoning_text.done",
    }
)
_NORMAL = frozenset({"message", "reasoning", "function_call"})


class ResponsesStream(EventStream[ChatResponse]):
    """Reads one streamed turn.

    State: ``_parts`` by the items' place, what has arrived of each; the whole ``_answer`` once the
    terminal event is there.
    """

    _proof = "response.completed"

    def __init__(
        self, service: str, quirks: Quirks, model: str, status: int, headers: Mapping[str, str]
    ) -> None:
        super().__init__(service, quirks, status, headers)
        self._model = model
        self._id = ""
        self._last = -1
        self._text: dict[int, list[str]] = {}
        self._refusal: list[str] = []
        self._thoughts: dict[int, list[str]] = {}
        self._paragraph: tuple[Any, ...] = ()
        self._calls: dict[int, CallState] = {}
        self._items: dict[int, dict[str, Any]] = {}
        self._answer: ChatResponse | None = None

    def partial(self) -> ChatResponse:
        """What has arrived so far, assembled."""
        if self._answer is not None:
            return self._answer
        return ChatResponse(
            id=self._id,
            model=self._model,
            outputs=(self._assembled(),) if self._begun() else (),
            provider_request_id=request_id(self._headers),
        )

    def _complete(self) -> bool:
        return self._answer is not None

    def _begun(self) -> bool:
        return bool(self._text or self._thoughts or self._calls or self._refusal or self._items)

    def _event(self, event: dict[str, Any], payload: bytes, name: str, chunks: list[Chunk]) -> None:
        kind = event.get("type") or name
        number = event.get("sequence_number")
        if type(number) is int:
            if number <= self._last:
                raise ValueError(f"event {number} after event {self._last}")
            self._last = number
        handler = _HANDLERS.get(kind)
        if handler is not None:
            handler(self, event, chunks)
        elif is_error(event) or kind == "error":
            self.error = self._failure(payload)
        elif kind not in _SILENT:
            as_text(kind)
            chunks.append(Chunk(raw=event))

    # --- one method for each kind of event ----------------------------------------------------

    def _created(self, event: dict[str, Any], chunks: list[Chunk]) -> None:
        response = event["response"]
        self._id = as_text(response.get("id") or "")
        self._model = as_text(response.get("model") or self._model)

    def _item_added(self, event: dict[str, Any], chunks: list[Chunk]) -> None:
        item = event["item"]
        if item["type"] == "function_call":
            self._call_begun(_place(event), item, event, chunks)
        elif item["type"] not in _NORMAL:
            chunks.append(Chunk(raw=event))

    def _item_done(self, event: dict[str, Any], chunks: list[Chunk]) -> None:
        item = event["item"]
        if item["type"] not in _NORMAL:
            chunks.append(Chunk(raw=event))
        self._items[_place(event)] = item

    def _text_delta(self, event: dict[str, Any], chunks: list[Chunk]) -> None:
        delta = as_text(event["delta"])
        self._text.setdefault(_place(event), []).append(delta)
        chunks.append(Chunk(text=delta, raw=event))

    def _refusal_delta(self, event: dict[str, Any], chunks: list[Chunk]) -> None:
        delta = as_text(event["delta"])
        self._refusal.append(delta)
        chunks.append(Chunk(refusal=delta, raw=event))

    def _thought_delta(self, event: dict[str, Any], chunks: list[Chunk]) -> None:
        delta = as_text(event["delta"])
        place = _place(event)
        paragraph = (place, event.get("type"), event.get("summary_index", event.get("content_index")))
        if place in self._thoughts and paragraph != self._paragraph:
            delta = f"\n\n{delta}"
        self._paragraph = paragraph
        self._thoughts.setdefault(place, []).append(delta)
        chunks.append(Chunk(reasoning=delta, raw=event))

    def _arguments_delta(self, event: dict[str, Any], chunks: list[Chunk]) -> None:
        delta, place = as_text(event["delta"]), _place(event)
        if place not in self._calls:
            raise ValueError("arguments of a call that has not begun")
        self._calls[place].arguments.append(delta)
        chunks.append(Chunk(tool_call=ToolCallDelta(self._index(place), arguments=delta), raw=event))

    def _ended(self, event: dict[str, Any], chunks: list[Chunk]) -> None:
        data = event["response"]
        if is_error(data) or data.get("status") == "failed":
            self._failed(event, chunks)
            return
        if not data.get("status"):
            data = {**data, "status": str(event.get("type")).removeprefix("response.")}
        if not data.get("output") and self._items:
            data = {**data, "output": [item for _, item in sorted(self._items.items())]}
        answer = read_response(self._service, self._model, data, self._headers)
        self._rest(answer, event, chunks)
        chunks.append(Chunk(finish_reason=answer.finish_reason, usage=answer.usage, raw=event))
        self._answer = answer
        self.done = True

    def _failed(self, event: dict[str, Any], chunks: list[Chunk]) -> None:
        self.error = self._failure(orjson.dumps(event["response"]))

    # --- the parts ----------------------------------------------------------------------------

    def _call_begun(
        self, place: int, item: dict[str, Any], event: dict[str, Any], chunks: list[Chunk]
    ) -> None:
        call = self._calls[place] = CallState()
        call.id = as_text(item.get("call_id") or item.get("id") or "")
        call.name = as_text(item["name"])
        arguments = arguments_text(item.get("arguments"))
        if arguments:
            call.arguments.append(arguments)
        delta = ToolCallDelta(self._index(place), call.id, call.name, arguments)
        chunks.append(Chunk(tool_call=delta, raw=event))

    def _index(self, place: int) -> int:
        """Which of the calls it is."""
        return sorted(self._calls).index(place)

    def _rest(self, answer: ChatResponse, event: dict[str, Any], chunks: list[Chunk]) -> None:
        """What the whole answer has and no delta brought: not every server sends them all."""
        if text := _missing(self._text, answer.text):
            chunks.append(Chunk(text=text, raw=event))
        known = [call for _, call in sorted(self._calls.items())]
        for i, call in enumerate(answer.tool_calls):
            if i >= len(known):
                chunks.append(
                    Chunk(tool_call=ToolCallDelta(i, call.id, call.name, call.arguments), raw=event)
                )
            elif arguments := _missing({0: known[i].arguments}, call.arguments):
                chunks.append(Chunk(tool_call=ToolCallDelta(i, arguments=arguments), raw=event))

    def _assembled(self) -> Output:
        """The parts so far: of an item that is done the item itself, of the others what their deltas said."""
        parts: list[Part] = []
        for place in sorted({*self._text, *self._thoughts, *self._calls, *self._items}):
            if place in self._items:
                try:
                    parts += read_output(self._service, [self._items[place]], {}).parts
                except (KeyError, TypeError, ValueError, AttributeError):
                    pass
                else:
                    continue
            if thoughts := self._thoughts.get(place):
                parts.append(Reasoning(text="".join(thoughts), provider=self._service))
            if text := self._text.get(place):
                parts.append(Text("".join(text)))
            if call := self._calls.get(place):
                parts.append(
                    ToolCall(
                        id=call.id,
                        name=call.name,
                        arguments="".join(call.arguments),
                        provider=self._service,
                    )
                )
        return Output(parts=tuple(parts), finish_reason="other", refusal="".join(self._refusal))


def _place(event: dict[str, Any]) -> int:
    place = event.get("output_index", 0)
    if type(place) is not int or place < 0:
        raise TypeError("an item's place is not a number")
    return place


def _missing(pieces: Mapping[int, list[str]], whole: str) -> str:
    """What of the whole text the pieces lack at its end."""
    sent = "".join("".join(texts) for _, texts in sorted(pieces.items()))
    return whole[len(sent) :] if whole.startswith(sent) else ""


_HANDLERS: Mapping[str, Callable[[ResponsesStream, dict[str, Any], list[Chunk]], None]] = {
    "response.created": ResponsesStream._created,
    "response.output_item.added": ResponsesStream._item_added,
    "response.output_item.done": ResponsesStream._item_done,
    "response.output_text.delta": ResponsesStream._text_delta,
    "response.refusal.delta": ResponsesStream._refusal_delta,
    "response.reasoning_summary_text.delta": ResponsesStream._thought_delta,
    "response.reasoning_text.delta": ResponsesStream._thought_delta,
    "response.function_call_arguments.delta": ResponsesStream._arguments_delta,
    "response.completed": ResponsesStream._ended,
    "response.incomplete": ResponsesStream._ended,
    "response.failed": ResponsesStream._failed,
}
