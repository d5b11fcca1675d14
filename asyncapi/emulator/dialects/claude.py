"""Anthropic's Claude: messages, token counting, models.

Source: Claude API reference, "Messages", "Streaming", "Errors", "Rate limits", "Versioning".
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from asyncapi.emulator.answers import Answer, Question, compose, last_user_text, messages_tokens
from asyncapi.emulator.dialects.base import STATUS, Dialect
from asyncapi.emulator.dialects.claude_checks import (
    check_max_tokens,
    check_messages,
    check_version,
    declared_tools,
    known_model,
    signature,
    stop_sequences,
    thinking_tokens,
    tools_now,
    wanted_schema,
)
from asyncapi.emulator.dialects.claude_stream import message_frames
from asyncapi.emulator.exchange import Ask, Json, Problem, Reply, Trouble, json_reply, sse
from asyncapi.emulator.headers import rfc3339
from asyncapi.emulator.limits import Reading

_STOP = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "stop_sequence": "stop_sequence",
}
_TYPES: dict[Trouble, str] = {
    Trouble.BODY_TOO_LARGE: "request_too_large",
    Trouble.UNAUTHORIZED: "authentication_error",
    Trouble.NO_MODEL: "not_found_error",
    Trouble.NO_ROUTE: "not_found_error",
    Trouble.RATE_LIMITED: "rate_limit_error",
    Trouble.TOO_LARGE_FOR_LIMIT: "rate_limit_error",
    Trouble.QUOTA: "billing_error",
    Trouble.BUSY: "overloaded_error",
    Trouble.SERVER_ERROR: "api_error",
    Trouble.UNAVAILABLE: "api_error",
    Trouble.OVERLOADED: "overloaded_error",
}
_STATUS = {
    Trouble.QUOTA: 402,
    Trouble.SPEND_LIMIT: 400,
    Trouble.OVERLOADED: 529,
    Trouble.BUSY: 529,
}
_BUCKETS = {
    "requests": "requests",
    "tokens": "tokens",
    "input_tokens": "input-tokens",
    "output_tokens": "output-tokens",
}


class Claude(Dialect):
    """The Claude API, in both of its living versions."""

    name = "claude"
    base_path = "/claude"
    needs_key = True
    wait_form = "seconds"
    body_limit = 32 * 2**20
    models: ClassVar[tuple[str, ...]] = ("claude-sonnet-5-5", "claude-haiku-5-5", "claude-opus-5-5")

    def __init__(self) -> None:
        super().__init__()
        self.routes = {
            ("POST", "claude/v1/messages"): self.messages,
            ("POST", "claude/v1/messages/count_tokens"): self.count,
            ("GET", "claude/v1/models"): self.list_models,
            ("GET", "claude/v1/models/"): self.one_model,
        }

    def key(self, headers: Mapping[str, str]) -> str:
        """``x-api-key`` wins over a bearer token."""
        return headers.get("x-api-key") or super().key(headers)

    def messages(self, ask: Ask) -> Reply:
        """Answer a message, whole or as a stream."""
        question = self._question(ask, counted_only=False)
        answer = compose(question, ask.seed)
        hidden = (ask.body.get("thinking") or {}).get("display") == "omitted"
        message = self._message(question, answer, hidden)
        if ask.body.get("stream"):
            frames = message_frames(message, answer, question.input_tokens)
            reply = Reply(
                content_type="text/event-stream; charset=utf-8", frames=frames, proof=len(frames) - 1
            )
        else:
            reply = json_reply(message)
        reply.input_tokens, reply.output_tokens = question.input_tokens, answer.output_tokens
        return reply

    def count(self, ask: Ask) -> Reply:
        """Count the input tokens of a message."""
        return json_reply({"input_tokens": self._question(ask, counted_only=True).input_tokens})

    def _question(self, ask: Ask, *, counted_only: bool) -> Question:
        body = ask.body
        check_version(ask.headers, body)
        model = known_model(body)
        cap = None if counted_only else check_max_tokens(body)
        messages = check_messages(body)
        thought = thinking_tokens(body, cap)
        text = last_user_text(messages)
        tools = declared_tools(body.get("tools"))
        tokens = messages_tokens(messages) + _system_tokens(body.get("system"))
        return Question(
            model,
            text,
            tokens,
            cap,
            stop_sequences(body),
            tools_now(body, tools, messages, text),
            wanted_schema(body),
            thought,
        )

    def _message(self, question: Question, answer: Answer, hidden: bool) -> Json:
        return {
            "id": f"msg_{answer.id}",
            "type": "message",
            "role": "assistant",
            "model": question.model,
            "content": content_of(answer, hidden),
            "stop_reason": _STOP[answer.finish],
            "stop_sequence": answer.stopped_by,
            "stop_details": None,
            "usage": usage_of(question.input_tokens, answer),
        }

    def list_models(self, ask: Ask) -> Reply:
        """The models on offer, on one page."""
        data = [_model_card(name) for name in self.models]
        return json_reply(
            {"data": data, "has_more": False, "first_id": self.models[0], "last_id": self.models[-1]}
        )

    def one_model(self, ask: Ask) -> Reply:
        """One model by name."""
        return json_reply(_model_card(known_model({"model": ask.tail})))

    def refuse(self, problem: Problem, path: str, serial: int) -> Reply:
        """A refusal in the ``error`` envelope, with the kind as its type."""
        status = _STATUS.get(problem.trouble) or STATUS[problem.trouble]
        error: Json = {
            "type": _TYPES.get(problem.trouble, "invalid_request_error"),
            "message": problem.message,
        }
        if problem.trouble is Trouble.SPEND_LIMIT:
            error["message"] = "You have reached your specified API usage limits (spend limit)."
        return json_reply(
            {"type": "error", "error": error, "request_id": self.id_headers(serial)["request-id"]}, status
        )

    def stream_error(self) -> list[bytes]:
        """An error event inside the 200 stream."""
        error = {"type": "overloaded_error", "message": "Overloaded"}
        return [sse({"type": "error", "error": error}, "error")]

    def limit_headers(self, readings: Mapping[str, Reading], now: float) -> dict[str, str]:
        """The ``anthropic-ratelimit-*`` set, with moments in RFC 3339."""
        headers = {}
        for bucket, reading in readings.items():
            if (name := _BUCKETS.get(bucket)) is not None:
                headers[f"anthropic-ratelimit-{name}-limit"] = str(reading.limit)
                headers[f"anthropic-ratelimit-{name}-remaining"] = str(reading.remaining)
                headers[f"anthropic-ratelimit-{name}-reset"] = rfc3339(now + reading.reset)
        return headers

    def id_headers(self, serial: int) -> dict[str, str]:
        """The id of the reply (its header has no ``x-`` here)."""
        return {"request-id": f"req_{serial:024x}"}


def content_of(answer: Answer, hidden: bool) -> list[Json]:
    """The blocks of an answer: thinking, text, tool uses."""
    blocks: list[Json] = []
    if answer.reasoning:
        shown = "" if hidden else answer.reasoning
        blocks.append({"type": "thinking", "thinking": shown, "signature": signature(shown)})
    if answer.text or not answer.calls:
        blocks.append({"type": "text", "text": answer.text})
    blocks.extend(
        {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": call.arguments}
        for call in answer.calls
    )
    return blocks


def usage_of(input_tokens: int, answer: Answer) -> Json:
    """The usage object; input excludes what a cache read or wrote, which is nothing here."""
    return {
        "input_tokens": input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": answer.output_tokens,
        "output_tokens_details": {"thinking_tokens": answer.reasoning_tokens},
        "service_tier": "standard",
    }


def _system_tokens(system: Any) -> int:
    return messages_tokens([{"content": system}]) if system else 0


def _model_card(name: str) -> Json:
    return {
        "type": "model",
        "id": name,
        "display_name": name.replace("-", " ").title(),
        "created_at": "2026-06-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
    }
