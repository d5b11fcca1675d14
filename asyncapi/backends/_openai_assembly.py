"""The outputs of a streamed answer while they arrive."""

from __future__ import annotations

from typing import Any

from asyncapi.backends._openai_reply import finish_reason
from asyncapi.types.messages import Part, Reasoning, Text, ToolCall
from asyncapi.types.responses import Output

__all__ = ["CallState", "OutputState", "as_text"]


class CallState:
    """A tool call on its way."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []


class OutputState:
    """One output on its way."""

    __slots__ = ("aliases", "calls", "logprobs", "reason", "reasoning", "refusal", "stop", "text")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.calls: dict[int, CallState] = {}
        self.aliases: dict[int, int] = {}
        self.logprobs: list[Any] = []
        self.reason: str | None = None
        self.stop: str | None = None

    def call(self, delta: dict[str, Any]) -> tuple[int, CallState]:
        """The call that a delta belongs to, and its place.

        Deltas go by ``index``. Servers that give every call index 0, or none, are told apart by a new id.
        """
        index, call_id = delta.get("index"), delta.get("id")
        if index is None:
            index = self._place(call_id)
        if type(index) is not int:
            raise TypeError("a tool call's index is not a number")
        place = self.aliases.get(index, index)
        call = self.calls.get(place)
        if call is not None and call_id and call.id and call_id != call.id:
            place = self.aliases[index] = max(self.calls) + 1
            call = None
        if call is None:
            call = self.calls[place] = CallState()
        return place, call

    def _place(self, call_id: Any) -> int:
        last = max(self.calls, default=-1)
        same = (place for place, call in self.calls.items() if call_id and call.id == call_id)
        return next(same, last + 1 if call_id or last < 0 else last)

    def assembled(self, index: int, service: str, reply_id: str) -> Output:
        """What has arrived, as an output; its reason is "other" while none did."""
        parts: list[Part] = []
        if self.reasoning:
            parts.append(Reasoning(text="".join(self.reasoning), provider=service))
        if self.text:
            parts.append(Text("".join(self.text)))
        for place, call in sorted(self.calls.items()):
            parts.append(
                ToolCall(
                    id=call.id or f"gen_{reply_id}_{index}_{place}",
                    name=call.name,
                    arguments="".join(call.arguments),
                    provider=service,
                )
            )
        refusal = "".join(self.refusal)
        raw = self.reason
        return Output(
            index=index,
            parts=tuple(parts),
            finish_reason="other" if raw is None else finish_reason(raw, bool(self.calls), bool(refusal)),
            raw_reason=raw or "",
            refusal=refusal,
            stop_sequence=self.stop,
            logprobs=_joined(self.logprobs),
        )


def _joined(pieces: list[Any]) -> Any:
    """The logprobs of all chunks as those of one answer."""
    if not pieces:
        return None
    content: list[Any] = []
    for piece in pieces:
        if type(piece) is dict and type(piece.get("content")) is list:
            content += piece["content"]
    return {"content": content}


def as_text(value: Any) -> str:
    """The value, which must be a text."""
    if type(value) is not str:
        raise TypeError(f"expected a text, got {type(value).__name__}")
    return value
