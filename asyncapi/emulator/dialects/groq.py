"""Groq: the OpenAI dialect with ``x_groq``, whole tool calls and daily request limits.

Source: Groq API reference, "Errors" and "Rate limits".
"""

from collections.abc import Mapping
from dataclasses import replace

import orjson

from asyncapi.emulator.answers import Answer, Question, effort_tokens
from asyncapi.emulator.dialects.base import STATUS
from asyncapi.emulator.dialects.openai_chat import ChatWords
from asyncapi.emulator.dialects.openai_media import speak, transcribe_any, translate
from asyncapi.emulator.dialects.openai_shape import DONE, OpenAIShape, ratelimit_headers
from asyncapi.emulator.exchange import Ask, Frame, Json, Problem, Reply, Trouble, invalid, json_reply, sse
from asyncapi.emulator.limits import Reading

_UNSUPPORTED = ("logprobs", "top_logprobs", "logit_bias")


class Groq(OpenAIShape):
    """The Groq API; its paths carry ``/openai/v1`` below the base URL."""

    name = "groq"
    base_path = "/groq"
    needs_key = True
    limits_by_day = True
    wait_form = "float"
    words = ChatWords(reasoning_field="reasoning", whole_calls=True)
    models = ("openai/gpt-oss-120b", "llama-3.3-70b-versatile")
    owner = "Groq"
    fingerprint = "fp_179b0f92c9"
    can_size_vectors = False

    def __init__(self) -> None:
        super().__init__()
        self.routes = {
            ("POST", "groq/openai/v1/chat/completions"): self.chat,
            ("POST", "groq/openai/v1/embeddings"): self.embeddings,
            ("POST", "groq/openai/v1/audio/transcriptions"): self.transcribe,
            ("POST", "groq/openai/v1/audio/translations"): self.translate,
            ("POST", "groq/openai/v1/audio/speech"): speak,
            ("GET", "groq/openai/v1/models"): self.list_models,
            ("GET", "groq/openai/v1/models/"): self.one_model,
        }

    def transcribe(self, ask: Ask) -> Reply:
        """Write down what a file says, or what is found at an address."""
        return _signed(transcribe_any(ask), ask)

    def translate(self, ask: Ask) -> Reply:
        """The same in English."""
        return _signed(translate(ask), ask)

    def check_chat(self, body: Json, model: str) -> None:
        """One choice only, no logprobs, and one way to ask for reasoning."""
        if body.get("n") not in (None, 1):
            raise invalid("'n' : number must be at most 1", "n")
        for name in _UNSUPPORTED:
            if body.get(name):
                raise invalid(f"property '{name}' is unsupported", name)
        if body.get("include_reasoning") is not None and body.get("reasoning_format") is not None:
            raise invalid("cannot specify both 'include_reasoning' and 'reasoning_format'")
        if any(message.get("role") == "developer" for message in body["messages"]):
            raise invalid("'messages.0' : discriminator property 'role' has invalid value", "messages")

    def reasoning_of(self, body: Json) -> int:
        """Models think when told an effort, or a way to show it."""
        asked = body.get("include_reasoning") or body.get("reasoning_format")
        return effort_tokens(body.get("reasoning_effort")) or (16 if asked else 0)

    def chat_whole(self, base: Json, question: Question, answers: list[Answer], body: Json) -> Reply:
        """The answer in one body, its reasoning where the request wants it."""
        return super().chat_whole(base, question, [_shown(answer, body) for answer in answers], body)

    def chat_stream(self, base: Json, question: Question, answers: list[Answer], body: Json) -> Reply:
        """The answer as a stream, its reasoning where the request wants it."""
        return super().chat_stream(base, question, [_shown(answer, body) for answer in answers], body)

    def usage(self, question: Question, answers: list[Answer]) -> Json:
        """Counts, and times in seconds."""
        usage = super().usage(question, answers)
        prompt_time = question.input_tokens / 20_000
        completion_time = usage["completion_tokens"] / 500
        return {
            "queue_time": 0.01,
            "prompt_time": prompt_time,
            "completion_time": completion_time,
            "total_time": prompt_time + completion_time,
            "prompt_tokens": usage["prompt_tokens"],
            "completion_tokens": usage["completion_tokens"],
            "total_tokens": usage["total_tokens"],
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": usage["completion_tokens_details"]["reasoning_tokens"]
            },
        }

    def body_extras(self, base: Json, body: Json) -> Json:
        """Groq's own id of the call."""
        return {"service_tier": "on_demand", "x_groq": {"id": _call_id(base)}}

    def end_stream(
        self, frames: list[Frame], base: Json, question: Question, answers: list[Answer], with_usage: bool
    ) -> None:
        """Usage comes in ``x_groq`` of the last chunk, asked for or not."""
        first = {**base, "choices": [_choice({"role": "assistant", "content": ""}, None)]}
        frames[0] = (sse({**first, "x_groq": {"id": _call_id(base)}}), frames[0][1])
        usage = self.usage(question, answers)
        finish = "stop" if answers[0].finish == "stop_sequence" else answers[0].finish
        last = {**base, "choices": [_choice({}, finish)]}
        at = frames[-1][1]
        frames[-1] = (sse({**last, "x_groq": {"id": _call_id(base), "usage": usage}}), at)
        if with_usage:
            frames.append((sse({**base, "choices": [], "usage": usage}), at))
        frames.append((DONE, at))

    def refuse(self, problem: Problem, path: str, serial: int) -> Reply:
        """A refusal; one that never fits the minute's tokens is a 413."""
        if problem.trouble is not Trouble.TOO_LARGE_FOR_LIMIT:
            return super().refuse(problem, path, serial)
        error = {"message": problem.message, "type": problem.param, "code": "rate_limit_exceeded"}
        return json_reply({"error": error}, STATUS[Trouble.BODY_TOO_LARGE])

    def limit_headers(self, readings: Mapping[str, Reading], now: float) -> dict[str, str]:
        """Requests are per day here, tokens per minute."""
        return ratelimit_headers(readings, {"requests_day": "requests", "tokens": "tokens"})

    def id_headers(self, serial: int) -> dict[str, str]:
        """The id of the reply."""
        return {"x-request-id": f"req_{serial:026x}"}


def _signed(reply: Reply, ask: Ask) -> Reply:
    """A transcript with Groq's own id of the call, and without the usage that it does not know."""
    if reply.content_type == "application/json":
        value = orjson.loads(reply.body)
        value.pop("usage", None)
        reply.body = orjson.dumps({**value, "x_groq": {"id": f"req_{ask.serial:026x}"}})
    return reply


def _choice(delta: Json, finish: str | None) -> Json:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _call_id(base: Json) -> str:
    return "req_" + str(base["id"])[-24:]


def _shown(answer: Answer, body: Json) -> Answer:
    """The answer with its reasoning in its own field, in the text, or hidden."""
    form = body.get("reasoning_format")
    if form == "hidden" or body.get("include_reasoning") is False:
        return replace(answer, reasoning="")
    if form == "raw" and answer.reasoning:
        return replace(answer, reasoning="", text=f"<think>{answer.reasoning}</think>{answer.text}")
    return answer
