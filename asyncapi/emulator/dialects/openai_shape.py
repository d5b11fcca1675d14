"""The OpenAI dialect as look-alikes have it: chat, completions, embeddings, models.

Source: OpenAI API reference and its error guide.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from asyncapi.emulator.answers import Answer, Question, compose, count_tokens, pieces, text_of
from asyncapi.emulator.dialects.base import STATUS, Dialect
from asyncapi.emulator.dialects.openai_chat import (
    ChatWords,
    checked_count,
    checked_messages,
    choices_of,
    chunk_frames,
    finish_frames,
    finish_reason,
    known_model,
    max_tokens_of,
    message_of,
    question_of,
    require_model,
    stop_words,
    usage_of,
)
from asyncapi.emulator.exchange import (
    Ask,
    Frame,
    Json,
    Problem,
    Reply,
    Trouble,
    event_stream,
    invalid,
    json_reply,
    sse,
)
from asyncapi.emulator.headers import go_duration
from asyncapi.emulator.limits import Reading
from asyncapi.emulator.vectors import DIMENSIONS, POISON, encoded, vector

DONE = b"data: [DONE]\n\n"


class OpenAIShape(Dialect):
    """What OpenAI and its look-alikes have in common; a look-alike overrides what it words differently."""

    words: ClassVar[ChatWords] = ChatWords()
    models: ClassVar[tuple[str, ...]] = ()
    owner: ClassVar[str] = "openai"
    fingerprint: ClassVar[str | None] = "fp_44709d6fcb"
    usage_always: ClassVar[bool] = False
    most_items: ClassVar[int | None] = None
    can_size_vectors: ClassVar[bool] = True

    def chat(self, ask: Ask) -> Reply:
        """Answer a chat request, whole or as a stream."""
        body = ask.body
        model = self.model_of(body)
        messages = self.messages_of(body)
        self.check_chat(body, model)
        question = question_of(body, model, messages, reasoning=self.reasoning_of(body))
        answers = choices_of(question, ask, checked_count(body.get("n") or 1, "n"))
        base = self.base(answers[0], "chat.completion", ask, model)
        render = self.chat_stream if body.get("stream") else self.chat_whole
        reply = render(base, question, answers, body)
        reply.input_tokens = question.input_tokens
        reply.output_tokens = sum(answer.output_tokens for answer in answers)
        return reply

    def model_of(self, body: Json) -> str:
        """The model asked for."""
        return require_model(body)

    def messages_of(self, body: Json) -> list[Json]:
        """The conversation, checked."""
        return checked_messages(body)

    def check_chat(self, body: Json, model: str) -> None:
        """Refuse what this service refuses."""

    def reasoning_of(self, body: Json) -> int | None:
        """Tokens to think; None for what the effort says."""
        return None

    def base(self, answer: Answer, kind: str, ask: Ask, model: str) -> Json:
        """The fields that every body and chunk of one answer share."""
        base: Json = {
            "id": f"chatcmpl-{answer.id}",
            "object": kind,
            "created": int(ask.now),
            "model": model,
        }
        if self.fingerprint is not None:
            base["system_fingerprint"] = self.fingerprint
        return base

    def chat_whole(self, base: Json, question: Question, answers: list[Answer], body: Json) -> Reply:
        """The answers in one body."""
        choices = [self.choice(index, answer, body) for index, answer in enumerate(answers)]
        usage = self.usage(question, answers)
        return json_reply({**base, "choices": choices, "usage": usage, **self.body_extras(base, body)})

    def choice(self, index: int, answer: Answer, body: Json) -> Json:
        """One choice of a plain reply."""
        return {
            "index": index,
            "message": message_of(answer, self.words),
            "logprobs": None,
            "finish_reason": finish_reason(answer, self.words),
        }

    def usage(self, question: Question, answers: list[Answer]) -> Json:
        """The usage object of a reply."""
        return usage_of(question, answers)

    def body_extras(self, base: Json, body: Json) -> Json:
        """Further fields of a plain reply."""
        return {}

    def chat_stream(self, base: Json, question: Question, answers: list[Answer], body: Json) -> Reply:
        """The answers as server-sent events."""
        options = body.get("stream_options") or {}
        base = {**base, "object": "chat.completion.chunk"}
        if options.get("include_usage"):
            base["usage"] = None
        padded = self.words.obfuscated and options.get("include_obfuscation") is not False
        frames = chunk_frames(base, answers, self.words, padded)
        proof = len(frames)
        frames += finish_frames(base, answers, self.words)
        self.end_stream(frames, base, question, answers, bool(options.get("include_usage")))
        return event_stream(frames, proof)

    def end_stream(
        self, frames: list[Frame], base: Json, question: Question, answers: list[Answer], with_usage: bool
    ) -> None:
        """Append what follows the finish reasons: usage when asked for, and ``[DONE]``."""
        at = frames[-1][1]
        if with_usage:
            frames.append((sse({**base, "choices": [], "usage": self.usage(question, answers)}), at))
        frames.append((DONE, at))

    def completions(self, ask: Ask) -> Reply:
        """Answer legacy completions; a list of prompts is a batch."""
        body = ask.body
        model = self.model_of(body)
        count = checked_count(body.get("n") or 1, "n")
        cap = max_tokens_of(body) or 16
        stop = stop_words(body.get("stop"))
        questions = [
            Question(model, text, max(1, count_tokens(text)), cap, stop)
            for text in texts_of(body.get("prompt"), "prompt")
        ]
        answers = [compose(asked, ask.seed, index) for asked in questions for index in range(count)]
        whole = Question(model, "", sum(asked.input_tokens for asked in questions))
        base = self.base(answers[0], "text_completion", ask, model)
        if "id" in base:
            base["id"] = f"cmpl-{answers[0].id}"
        if body.get("stream"):
            reply = self._text_stream(base, whole, answers, body)
        else:
            reply = self._text(base, whole, answers)
        reply.input_tokens = whole.input_tokens
        reply.output_tokens = sum(answer.output_tokens for answer in answers)
        return reply

    def _text(self, base: Json, question: Question, answers: list[Answer]) -> Reply:
        choices = [
            _text_choice(index, each.text, finish_reason(each, self.words))
            for index, each in enumerate(answers)
        ]
        return json_reply({**base, "choices": choices, "usage": self.usage(question, answers)})

    def _text_stream(self, base: Json, question: Question, answers: list[Answer], body: Json) -> Reply:
        frames: list[Frame] = []
        for index, answer in enumerate(answers):
            for count, piece in enumerate(pieces(answer.text), 1):
                frames.append((sse({**base, "choices": [_text_choice(index, piece, None)]}), count))
        proof = len(frames)
        for index, answer in enumerate(answers):
            choice = _text_choice(index, "", finish_reason(answer, self.words))
            frames.append((sse({**base, "choices": [choice]}), answer.output_tokens))
        with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        self.end_stream(frames, base, question, answers, with_usage)
        return event_stream(frames, proof)

    def embeddings(self, ask: Ask) -> Reply:
        """Answer embeddings, as floats or as base64."""
        body = ask.body
        model = self.model_of(body)
        texts = texts_of(body.get("input"), "input")
        self.check_texts(texts)
        dimensions = self.dimensions_of(body)
        as_text = body.get("encoding_format") == "base64"
        rows = (vector(ask.seed, model, text, dimensions) for text in texts)
        data = [
            {"object": "embedding", "index": index, "embedding": encoded(row) if as_text else row.tolist()}
            for index, row in enumerate(rows)
        ]
        tokens = sum(map(count_tokens, texts))
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return json_reply(
            {"object": "list", "data": data, "model": model, "usage": usage}, input_tokens=tokens
        )

    def check_texts(self, texts: list[str]) -> None:
        """Refuse lists and items that are too long, empty or poisoned."""
        if self.most_items is not None and len(texts) > self.most_items:
            raise invalid(f"Invalid 'input': maximum {self.most_items} items, got {len(texts)}.", "input")
        for index, text in enumerate(texts):
            if not text:
                raise invalid(f"Invalid 'input[{index}]': input cannot be an empty string.", "input")
            if POISON in text:
                raise invalid(f"Invalid 'input[{index}]': the text cannot be processed.", "input")
        self.check_sizes([count_tokens(text) for text in texts])

    def check_sizes(self, tokens: list[int]) -> None:
        """Refuse items that do not fit the model."""
        if max(tokens) > 8192:
            raise invalid(
                f"This model's maximum context length is 8192 tokens, however you requested {max(tokens)}.",
                "input",
                "context_length_exceeded",
            )

    def dimensions_of(self, body: Json) -> int:
        """Length of the vectors asked for."""
        wanted = body.get("dimensions")
        if wanted is None:
            return DIMENSIONS
        if not self.can_size_vectors:
            raise invalid("property 'dimensions' is unsupported", "dimensions")
        return checked_count(wanted, "dimensions")

    def list_models(self, ask: Ask) -> Reply:
        """The models on offer (any other name is served as well)."""
        return json_reply({"object": "list", "data": [self.model_card(name) for name in self.models]})

    def one_model(self, ask: Ask) -> Reply:
        """One model by name."""
        return json_reply(self.model_card(known_model(ask.tail)))

    def model_card(self, name: str) -> Json:
        """A model as lists show it."""
        return {"id": name, "object": "model", "created": 1_795_000_000, "owned_by": self.owner}

    def refuse(self, problem: Problem, path: str, serial: int) -> Reply:
        """A refusal in the ``error`` envelope."""
        kind, code = _ERRORS.get(problem.trouble, ("invalid_request_error", None))
        if problem.trouble in (Trouble.RATE_LIMITED, Trouble.TOO_LARGE_FOR_LIMIT):
            kind = problem.param or "requests"
        return json_reply(
            {
                "error": {
                    "message": problem.message,
                    "type": kind,
                    "param": problem.param if problem.trouble is Trouble.INVALID else None,
                    "code": problem.code or code,
                }
            },
            STATUS[problem.trouble],
        )

    def stream_error(self) -> list[bytes]:
        """An error event; the stream ends without ``[DONE]``."""
        error = {"message": "The server had an error while processing your request.", "type": "server_error"}
        return [sse({"error": {**error, "param": None, "code": None}})]


_ERRORS: dict[Trouble, tuple[str, str | None]] = {
    Trouble.UNAUTHORIZED: ("invalid_request_error", "invalid_api_key"),
    Trouble.RATE_LIMITED: ("requests", "rate_limit_exceeded"),
    Trouble.TOO_LARGE_FOR_LIMIT: ("tokens", "rate_limit_exceeded"),
    Trouble.QUOTA: ("insufficient_quota", "insufficient_quota"),
    Trouble.SPEND_LIMIT: ("insufficient_quota", "organization_spend_limit_exceeded"),
    Trouble.BUSY: ("service_unavailable_error", "server_is_overloaded"),
    Trouble.SERVER_ERROR: ("server_error", None),
    Trouble.UNAVAILABLE: ("service_unavailable_error", None),
    Trouble.OVERLOADED: ("service_unavailable_error", "server_is_overloaded"),
}


def ratelimit_headers(readings: Mapping[str, Reading], names: Mapping[str, str]) -> dict[str, str]:
    """``x-ratelimit-{limit,remaining,reset}-*`` for the buckets in ``names``."""
    headers = {}
    for bucket, name in names.items():
        if (reading := readings.get(bucket)) is not None:
            headers[f"x-ratelimit-limit-{name}"] = str(reading.limit)
            headers[f"x-ratelimit-remaining-{name}"] = str(reading.remaining)
            headers[f"x-ratelimit-reset-{name}"] = go_duration(reading.reset)
    return headers


def texts_of(value: Any, name: str) -> list[str]:
    """The items of an input: a text, texts, token ids or lists of those."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value:
        if all(isinstance(item, int) for item in value):
            return [token_text(value)]
        if all(isinstance(item, str) for item in value):
            return value
        if all(isinstance(item, list) and item for item in value):
            return [token_text(item) for item in value]
    raise invalid(f"Invalid '{name}': expected a string, strings or tokens, and at least one.", name)


def token_text(tokens: list[Any]) -> str:
    """A text that stands for token ids and counts as many tokens."""
    return "".join(f"{int(token) % 10_000:04d}" for token in tokens)


def _text_choice(index: int, text: str, finish: str | None) -> Json:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish}


def document_text(document: Any) -> str:
    """The text of a document to rank: a string or an object with ``text``."""
    if isinstance(document, dict):
        return str(document.get("text", ""))
    return document if isinstance(document, str) else text_of(document)
