"""Google's Gemini API: generateContent, streams, token counts, embeddings, models.

Source: Gemini API reference, "Generating content", "Embeddings", "Models", and google.rpc error details.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

import orjson

from asyncapi.emulator.answers import Answer, Question, compose, count_tokens, pieces
from asyncapi.emulator.dialects.base import STATUS, Dialect
from asyncapi.emulator.dialects.gemini_checks import (
    check_fields,
    checked_contents,
    last_text,
    member,
    parts_text,
    prompt_tokens,
    question_of,
    signature,
)
from asyncapi.emulator.exchange import Ask, Frame, Json, Problem, Reply, Trouble, invalid, json_reply
from asyncapi.emulator.vectors import DIMENSIONS, POISON, UNSAFE, vector

MOST_ITEMS = 100
_FINISH = {"stop": "STOP", "stop_sequence": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS"}
_STATUS = {Trouble.UNAUTHORIZED: 400, Trouble.BODY_TOO_LARGE: 400, Trouble.SPEND_LIMIT: 400}
_WORDS = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
Chunk: TypeAlias = tuple[Json, int]
_TYPE = "type.googleapis.com/google.rpc."
_RATINGS = [
    {"category": f"HARM_CATEGORY_{name}", "probability": "NEGLIGIBLE"}
    for name in ("HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT")
]


class Gemini(Dialect):
    """The Gemini API in both of its versions."""

    name = "gemini"
    base_path = "/gemini"
    needs_key = True
    wait_form = "float"
    waits_in_body = True
    body_limit = 20 * 2**20
    models: ClassVar[tuple[str, ...]] = ("gemini-3.5-flash", "gemini-3.5-pro", "gemini-embedding-001")

    def __init__(self) -> None:
        super().__init__()
        self.verbs = {
            "generateContent": self.generate,
            "streamGenerateContent": self.stream,
            "countTokens": self.count,
            "embedContent": self.embed,
            "batchEmbedContents": self.embed_batch,
        }
        for version in ("v1", "v1beta"):
            self.routes[("POST", f"gemini/{version}/models/")] = self.act
            self.routes[("GET", f"gemini/{version}/models/")] = self.one_model
            self.routes[("GET", f"gemini/{version}/models")] = self.list_models

    def key(self, headers: Mapping[str, str]) -> str:
        """The key has a header of its own."""
        return headers.get("x-goog-api-key", "")

    def key_in_query(self, query: Mapping[str, str]) -> str:
        """``?key=`` works, and leaks."""
        return query.get("key", "")

    def model_in(self, path: str, body: Json) -> str:
        """The model is in the path."""
        return path.partition("/models/")[2].partition(":")[0]

    def question_in(self, body: Json) -> str:
        """The last user text, or the texts to embed."""
        if isinstance(body.get("requests"), list):
            return "\n".join(parts_text(member(item, "content")) for item in body["requests"])
        return last_text(body.get("contents") or body.get("content") or [])

    def act(self, ask: Ask) -> Reply:
        """Do what the verb behind the model's name says."""
        model, _, verb = ask.tail.partition(":")
        handler = self.verbs.get(verb)
        if handler is None:
            raise Problem(Trouble.NO_ROUTE, f"Unknown method {verb!r}.")
        _known_model(model, ask.path)
        return handler(ask)

    def generate(self, ask: Ask) -> Reply:
        """Answer a conversation in one body."""
        question, answers = self._answers(ask)
        base = self._base(ask, question)
        if not answers:
            return self._counted(json_reply({**_blocked(question), **base}), question, answers)
        candidates = [
            {**_candidate(index, parts_of(answer, ask.body), answer), "safetyRatings": _RATINGS}
            for index, answer in enumerate(answers)
        ]
        value = {"candidates": candidates, "usageMetadata": usage_of(question, answers), **base}
        return self._counted(json_reply(value), question, answers)

    def stream(self, ask: Ask) -> Reply:
        """Answer in pieces: events with ``alt=sse``, the elements of one JSON array without."""
        question, answers = self._answers(ask)
        base = self._base(ask, question)
        chunks = _chunks(question, answers, ask.body) if answers else [(_blocked(question), 0)]
        values = [({**value, **base}, tokens) for value, tokens in chunks]
        proof = len(values) - max(1, len(answers))
        broken = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
        if ask.query.get("alt") == "sse":
            kind = "text/event-stream"
            frames = [(_event(value), tokens) for value, tokens in values]
            failure = [_event(broken)]
        else:
            kind = "application/json; charset=UTF-8"
            frames = _array(values)
            failure = [b",\r\n" + orjson.dumps(broken) + b"\r\n]"]
        reply = Reply(content_type=kind, frames=frames, proof=proof, failure=failure)
        return self._counted(reply, question, answers)

    def _answers(self, ask: Ask) -> tuple[Question, list[Answer]]:
        """What is asked, and the answers: none to a prompt that is blocked."""
        check_fields(ask.body)
        model = self.model_in(ask.path, ask.body)
        question = question_of(ask.body, model, checked_contents(ask.body, model))
        if UNSAFE in question.text:
            return question, []
        count = member(member(ask.body, "generationConfig") or {}, "candidateCount") or 1
        if not 1 <= count <= 8:
            raise invalid("* GenerateContentRequest.generation_config.candidate_count: must be 1 to 8")
        return question, [compose(question, ask.seed, index) for index in range(count)]

    def _base(self, ask: Ask, question: Question) -> Json:
        return {"modelVersion": question.model, "responseId": f"r{ask.serial:022x}"}

    def _counted(self, reply: Reply, question: Question, answers: list[Answer]) -> Reply:
        reply.input_tokens = question.input_tokens
        reply.output_tokens = sum(answer.output_tokens for answer in answers)
        return reply

    def count(self, ask: Ask) -> Reply:
        """Count the tokens of contents, or of a whole request."""
        body = member(ask.body, "generateContentRequest") or ask.body
        tokens = prompt_tokens(body, checked_contents(body, self.model_in(ask.path, body)))
        details = [{"modality": "TEXT", "tokenCount": tokens}]
        return json_reply({"totalTokens": tokens, "promptTokensDetails": details})

    def embed(self, ask: Ask) -> Reply:
        """One vector for one content, however many parts it has."""
        values, tokens = self._embedded(ask, ask.body)
        return json_reply({"embedding": {"values": values}}, input_tokens=tokens)

    def embed_batch(self, ask: Ask) -> Reply:
        """A vector for each request; each names the model again."""
        requests = ask.body.get("requests")
        if not isinstance(requests, list) or not requests:
            raise invalid("* BatchEmbedContentsRequest.requests: requests is not specified")
        if len(requests) > MOST_ITEMS:
            raise invalid(
                f"* BatchEmbedContentsRequest.requests: at most {MOST_ITEMS} requests can be in one batch"
            )
        model = f"models/{self.model_in(ask.path, ask.body)}"
        for position, request in enumerate(requests):
            if request.get("model") != model:
                raise invalid(
                    f"* BatchEmbedContentsRequest.requests[{position}].model: unexpected model name format"
                )
        rows = [self._embedded(ask, request) for request in requests]
        return json_reply(
            {"embeddings": [{"values": values} for values, _ in rows]},
            input_tokens=sum(tokens for _, tokens in rows),
        )

    def _embedded(self, ask: Ask, request: Json) -> tuple[list[float], int]:
        text = parts_text(request.get("content"))
        if not text:
            raise invalid("* EmbedContentRequest.content: content is empty")
        if POISON in text:
            raise invalid("* EmbedContentRequest.content: the text cannot be processed")
        size = member(request, "outputDimensionality") or DIMENSIONS
        model = self.model_in(ask.path, request)
        return vector(ask.seed, model, text, size).tolist(), count_tokens(text)

    def list_models(self, ask: Ask) -> Reply:
        """The models on offer, page by page."""
        size = int(ask.query.get("pageSize", 50))
        start = int(ask.query.get("pageToken") or 0)
        page: Json = {"models": [_model_card(name) for name in self.models[start : start + size]]}
        if start + size < len(self.models):
            page["nextPageToken"] = str(start + size)
        return json_reply(page)

    def one_model(self, ask: Ask) -> Reply:
        """One model by name."""
        _known_model(ask.tail, ask.path)
        return json_reply(_model_card(ask.tail))

    def refuse(self, problem: Problem, path: str, serial: int) -> Reply:
        """A ``google.rpc.Status``; waits and quotas are among its details."""
        status = _STATUS.get(problem.trouble) or STATUS[problem.trouble]
        if problem.trouble is Trouble.UNAUTHORIZED and problem.param == "api_key":
            status = 403
        word = "FAILED_PRECONDITION" if problem.trouble is Trouble.SPEND_LIMIT else _WORDS[status]
        message = problem.message
        if problem.wait is not None:
            message += f" Please retry in {_duration(problem.wait)}."
        error: Json = {"code": status, "message": message, "status": word}
        details = _details(problem, status, self.model_in(path, {}))
        return json_reply({"error": {**error, "details": details} if details else error}, status)

    def refuse_at(self, problem: Problem, path: str, query: Mapping[str, str], serial: int) -> Reply:
        """A stream that is no event stream is an array, and so is its refusal."""
        reply = self.refuse(problem, path, serial)
        if path.endswith(":streamGenerateContent") and query.get("alt") != "sse":
            reply.body = b"[" + reply.body + b"]"
        return reply


def parts_of(answer: Answer, body: Json) -> list[Json]:
    """The parts of an answer: thoughts where they are wanted, text, calls (the first one signed)."""
    config = member(body, "generationConfig") or {}
    parts: list[Json] = []
    if answer.reasoning and member(member(config, "thinkingConfig") or {}, "includeThoughts"):
        parts.append({"text": answer.reasoning, "thought": True})
    if answer.text:
        parts.append({"text": answer.text})
    for index, call in enumerate(answer.calls):
        part: Json = {"functionCall": {"id": f"fc-{call.id}", "name": call.name, "args": call.arguments}}
        if index == 0:
            part["thoughtSignature"] = signature(call.name, call.arguments)
        parts.append(part)
    return parts


def usage_of(question: Question, answers: list[Answer], sent: int | None = None) -> Json:
    """The counts so far; thoughts stand beside the candidates' tokens, not among them."""
    thought = sum(answer.reasoning_tokens for answer in answers)
    spoken = sum(answer.output_tokens for answer in answers) - thought
    if sent is not None:
        spoken = max(0, min(spoken, sent - thought))
    usage: Json = {"promptTokenCount": question.input_tokens}
    if spoken:
        usage["candidatesTokenCount"] = spoken
    usage["totalTokenCount"] = question.input_tokens + spoken + thought
    usage["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": question.input_tokens}]
    if thought:
        usage["thoughtsTokenCount"] = thought
    return usage


def _candidate(index: int, parts: list[Json], answer: Answer | None) -> Json:
    content: Json = {"role": "model"}
    if parts:
        content["parts"] = parts
    candidate: Json = {"content": content, "index": index}
    if answer is not None:
        candidate["finishReason"] = _FINISH[answer.finish]
    return candidate


def _chunks(question: Question, answers: list[Answer], body: Json) -> list[Chunk]:
    """The chunks of a stream; the last of each candidate carries its finish reason."""
    chunks: list[Chunk] = []
    closing: list[Chunk] = []
    sent = 0
    for index, answer in enumerate(answers):
        parts = [piece for part in parts_of(answer, body) for piece in _split(part)]
        for part in parts[:-1]:
            sent += 1
            value = {"candidates": [_candidate(index, [part], None)]}
            chunks.append(({**value, "usageMetadata": usage_of(question, answers, sent)}, sent))
        value = {"candidates": [_candidate(index, parts[-1:] or [{"text": ""}], answer)]}
        usage = usage_of(question, answers)
        closing.append(({**value, "usageMetadata": usage}, answer.output_tokens))
    return chunks + closing


def _split(part: Json) -> list[Json]:
    if "text" not in part:
        return [part]
    return [{**part, "text": piece} for piece in pieces(part["text"])]


def _blocked(question: Question) -> Json:
    """A prompt that is refused is answered, with no candidate."""
    ratings = [{**_RATINGS[3], "probability": "HIGH", "blocked": True}, *_RATINGS[:3]]
    usage = {"promptTokenCount": question.input_tokens, "totalTokenCount": question.input_tokens}
    return {"promptFeedback": {"blockReason": "SAFETY", "safetyRatings": ratings}, "usageMetadata": usage}


def _event(value: object) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\r\n\r\n"


def _array(values: list[Chunk]) -> list[Frame]:
    last = len(values) - 1
    return [
        (
            (b"[" if index == 0 else b",\r\n") + orjson.dumps(value) + (b"\r\n]" if index == last else b""),
            tokens,
        )
        for index, (value, tokens) in enumerate(values)
    ]


def _known_model(model: str, path: str) -> None:
    if model.startswith("missing"):
        version = path.split("/")[1]
        raise Problem(Trouble.NO_MODEL, f"models/{model} is not found for API version {version}.")


def _model_card(name: str) -> Json:
    embeds = "embedding" in name
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name.replace("-", " ").title(),
        "inputTokenLimit": 2048 if embeds else 1_048_576,
        "outputTokenLimit": 1 if embeds else 65_536,
        "supportedGenerationMethods": ["embedContent"] if embeds else ["generateContent", "countTokens"],
        "thinking": not embeds,
    }


def _duration(seconds: float) -> str:
    """A protobuf duration: decimal seconds and an ``s``."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def _details(problem: Problem, status: int, model: str) -> list[Any]:
    if problem.trouble is Trouble.UNAUTHORIZED and status == 400:
        reason = {"reason": "API_KEY_INVALID", "domain": "googleapis.com"}
        return [
            {
                "@type": f"{_TYPE}ErrorInfo",
                **reason,
                "metadata": {"service": "generativelanguage.googleapis.com"},
            }
        ]
    if status != 429:
        return []
    by_day = problem.trouble is Trouble.QUOTA
    details: list[Any] = [_quota_failure("PerDay" if by_day else "PerMinute", problem.param, model)]
    details.append(
        {"@type": f"{_TYPE}Help", "links": [{"description": "Learn more", "url": "https://ai.google.dev"}]}
    )
    wait = 41.5 if by_day else problem.wait
    if wait is not None:
        details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": _duration(wait)})
    return details


def _quota_failure(period: str, dimension: str | None, model: str) -> Json:
    counted = "input_token_count" if dimension == "tokens" else "requests"
    what = "InputTokens" if dimension == "tokens" else "Requests"
    violation = {
        "quotaMetric": f"generativelanguage.googleapis.com/generate_content_free_tier_{counted}",
        "quotaId": f"Generate{what}{period}PerProjectPerModel-FreeTier",
        "quotaDimensions": {"model": model, "location": "global"},
        "quotaValue": "10",
    }
    return {"@type": f"{_TYPE}QuotaFailure", "violations": [violation]}
