"""Hugging Face Text Generation Inference: generate, its stream, the Messages route, tokens, info.

Source: Text Generation Inference, ``docs/openapi.json`` and the router's source.
"""

from typing import Any, ClassVar

import orjson

from asyncapi.emulator.answers import Answer, Question, compose, count_tokens, pieces
from asyncapi.emulator.dialects.base import STATUS
from asyncapi.emulator.dialects.openai_chat import ChatWords, finish_reason, known_model
from asyncapi.emulator.dialects.openai_shape import DONE, OpenAIShape
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
)
from asyncapi.emulator.vectors import POISON

MOST_STOPS = 4
MOST_TOKENS = 4096
_TYPES = {
    Trouble.BUSY: "overloaded",
    Trouble.RATE_LIMITED: "overloaded",
    Trouble.OVERLOADED: "overloaded",
    Trouble.SERVER_ERROR: "incomplete_generation",
    Trouble.UNAVAILABLE: "healthcheck",
}
_STATUS = {Trouble.INVALID: 422, Trouble.BUSY: 429, Trouble.OVERLOADED: 429, Trouble.NOT_JSON: 422}
_FINISH = {"stop": "eos_token", "length": "length", "stop_sequence": "stop_sequence"}
_GENERATION = "424"
_JSON_GRAMMARS = ("json", "json_object", "json_schema")


class HFTGI(OpenAIShape):
    """A TGI server: one model, one prompt a request; the model's name is free."""

    name = "hf_tgi"
    base_path = "/hf_tgi"
    body_limit = 2_000_000
    words = ChatWords(stop_sequence="stop_sequence")
    models: ClassVar[tuple[str, ...]] = ("HuggingFaceH4/zephyr-7b-beta",)
    owner = "HuggingFaceH4/zephyr-7b-beta"
    fingerprint = "3.3.6-dev0-native"

    def __init__(self) -> None:
        super().__init__()
        self.routes = {
            ("POST", "hf_tgi"): self.either,
            ("POST", "hf_tgi/"): self.either,
            ("POST", "hf_tgi/invocations"): self.either,
            ("POST", "hf_tgi/generate"): self.generate,
            ("POST", "hf_tgi/generate_stream"): self.generate_stream,
            ("POST", "hf_tgi/tokenize"): self.tokenize,
            ("POST", "hf_tgi/chat_tokenize"): self.chat_tokenize,
            ("POST", "hf_tgi/v1/chat/completions"): self.chat,
            ("POST", "hf_tgi/v1/completions"): self.completions,
            ("GET", "hf_tgi/v1/models"): self.list_models,
            ("GET", "hf_tgi/info"): self.info,
            ("GET", "hf_tgi/health"): lambda ask: Reply(),
        }

    def either(self, ask: Ask) -> Reply:
        """The root does both, by the body's ``stream``; its plain answer is an array."""
        if ask.tail:
            raise Problem(Trouble.NO_ROUTE, f"no route /{ask.tail}")
        if ask.body.get("stream"):
            return self.generate_stream(ask)
        reply = self.generate(ask)
        reply.body = b"[" + reply.body + b"]"
        return reply

    def generate(self, ask: Ask) -> Reply:
        """Complete one prompt."""
        question, answer = self._generated(ask, streamed=False)
        parameters = ask.body.get("parameters") or {}
        value: Json = {"generated_text": _whole_text(question, answer, parameters)}
        if parameters.get("details"):
            value["details"] = _details(question, answer, parameters)
        reply = json_reply(value)
        reply.headers = _headers(question, answer)
        return _counted(reply, question, answer)

    def generate_stream(self, ask: Ask) -> Reply:
        """Complete one prompt token by token; the last event has the whole text."""
        question, answer = self._generated(ask, streamed=True)
        parameters = ask.body.get("parameters") or {}
        tokens = _tokens(answer)
        frames: list[Frame] = [(b":\n\n", 0)]
        for index, token in enumerate(tokens, 1):
            value: Json = {"index": index, "token": token, "generated_text": None, "details": None}
            if index == len(tokens):
                value["generated_text"] = _whole_text(question, answer, parameters)
                ending = {"finish_reason": _FINISH[answer.finish], "generated_tokens": len(tokens)}
                value["details"] = {**ending, "seed": None, "input_length": question.input_tokens}
            frames.append((_event(value), index))
        reply = event_stream(frames, len(frames) - 1)
        broken = {"error": "Request failed during generation: Server error", "error_type": "generation"}
        reply.failure = [_event(broken)]
        reply.headers = {"x-compute-type": "cpu", "x-compute-characters": str(len(question.text))}
        return _counted(reply, question, answer)

    def _generated(self, ask: Ask, *, streamed: bool) -> tuple[Question, Answer]:
        text = _inputs(ask.body)
        parameters = ask.body.get("parameters") or {}
        _check(parameters, streamed)
        cap = parameters.get("max_new_tokens") or 1024
        tokens = count_tokens(text)
        tokens = min(tokens, parameters.get("truncate") or tokens)
        if tokens >= MOST_TOKENS:
            raise invalid(f"`inputs` must have less than {MOST_TOKENS} tokens. Given: {tokens}")
        stop = parameters.get("stop") or []
        wanted = _schema_of(parameters.get("grammar"))
        question = Question(self.models[0], text, tokens, cap, stop, (), wanted)
        return question, compose(question, ask.seed)

    def tokenize(self, ask: Ask) -> Reply:
        """The tokens of a prompt."""
        return json_reply(_spans(_inputs(ask.body)))

    def chat_tokenize(self, ask: Ask) -> Reply:
        """The tokens of a conversation as the template words it."""
        messages = self.messages_of(ask.body)
        text = "".join(f"<|{message['role']}|>\n{message.get('content') or ''}</s>\n" for message in messages)
        return json_reply({"tokenize_response": _spans(text), "templated_text": text})

    def model_of(self, body: Json) -> str:
        """Any name will do, and none."""
        return known_model(body.get("model") or "tgi")

    def messages_of(self, body: Json) -> list[Json]:
        """A conversation of any roles, in any order; images and texts as ever."""
        messages = body.get("messages")
        if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
            raise Problem(Trouble.NOT_JSON, "Failed to deserialize the JSON body: missing field `messages`")
        if not messages:
            raise invalid("Template error: messages cannot be empty", code="template_error")
        return messages

    def check_chat(self, body: Json, model: str) -> None:
        """The response format is a grammar, and shares no request with tools; the cap has a default."""
        body.setdefault("max_tokens", 1024)
        wanted = body.get("response_format")
        if wanted is None:
            return
        if body.get("tools"):
            raise invalid("Grammar and tools are mutually exclusive", code="validation")
        schema = _schema_of(wanted)
        named = {"name": "wanted", "schema": schema}
        body["response_format"] = {"type": "json_schema", "json_schema": named} if schema else None

    def choice(self, index: int, answer: Answer, body: Json) -> Json:
        """A choice without frills; the ids of its calls say nothing."""
        message: Json = {"role": "assistant"}
        if answer.calls:
            message["tool_calls"] = [
                {
                    "id": "0",
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.text, "description": None},
                }
                for call in answer.calls
            ]
        else:
            message["content"] = answer.text
        finish = finish_reason(answer, self.words)
        return {"index": index, "message": message, "logprobs": None, "finish_reason": finish}

    def info(self, ask: Ask) -> Reply:
        """What the server serves, and its limits."""
        return json_reply(
            {
                "model_id": self.models[0],
                "model_sha": None,
                "model_pipeline_tag": "text-generation",
                "max_concurrent_requests": 128,
                "max_best_of": 2,
                "max_stop_sequences": MOST_STOPS,
                "max_input_tokens": MOST_TOKENS - 1,
                "max_total_tokens": MOST_TOKENS,
                "validation_workers": 2,
                "max_client_batch_size": 4,
                "router": "text-generation-router",
                "version": "3.3.6-dev0",
                "sha": None,
                "docker_label": None,
            }
        )

    def refuse(self, problem: Problem, path: str, serial: int) -> Reply:
        """A refusal with its type; bare or plain for some."""
        status = _STATUS.get(problem.trouble) or STATUS[problem.trouble]
        if problem.trouble is Trouble.UNAUTHORIZED:
            return Reply(b"", status)
        if problem.trouble in (Trouble.NOT_JSON, Trouble.BODY_TOO_LARGE):
            return Reply(problem.message.encode(), status, content_type="text/plain; charset=utf-8")
        if problem.code == _GENERATION:
            return json_reply({"error": problem.message, "error_type": "generation"}, 424)
        kind = _TYPES.get(problem.trouble, "validation")
        message = "Model is overloaded" if kind == "overloaded" else problem.message
        return json_reply({"error": message, "error_type": problem.code or kind}, status)

    def stream_error(self) -> list[bytes]:
        """A chat stream says 422 whatever happened, and [DONE] even then."""
        return [_event({"error": {"message": "Request failed", "http_status_code": 422}}), DONE]


def _inputs(body: Json) -> str:
    text = body.get("inputs")
    if not isinstance(text, str):
        raise Problem(
            Trouble.NOT_JSON,
            "Failed to deserialize the JSON body into the target type: inputs: expected a string",
        )
    if not text:
        raise invalid("Input validation error: `inputs` cannot be empty")
    if POISON in text:
        raise Problem(
            Trouble.SERVER_ERROR, "Request failed during generation: Server error", code=_GENERATION
        )
    return text


def _check(parameters: Json, streamed: bool) -> None:
    rules: list[tuple[str, Any, str]] = [
        ("temperature", lambda value: value > 0, "must be strictly positive"),
        ("top_p", lambda value: 0 < value < 1, "must be > 0.0 and < 1.0"),
        ("top_k", lambda value: value > 0, "must be strictly positive"),
        ("max_new_tokens", lambda value: value > 0, "must be strictly positive"),
        ("stop", lambda value: len(value) <= MOST_STOPS, f"supports up to {MOST_STOPS} stop sequences"),
        ("best_of", lambda value: 0 < value <= 2, "must be > 0 and <= 2"),
    ]
    for name, allows, words in rules:
        value = parameters.get(name)
        if value is not None and not allows(value):
            raise invalid(f"Input validation error: `{name}` {words}")
    for name in ("best_of", "decoder_input_details"):
        if streamed and (parameters.get(name) or 1) != 1:
            raise invalid(f"Input validation error: `{name}` is not supported when streaming tokens")


def _schema_of(grammar: Any) -> Json | None:
    """The JSON Schema of a grammar; a regular expression is not obeyed here."""
    if grammar is None:
        return None
    if not isinstance(grammar, dict) or "type" not in grammar or "value" not in grammar:
        raise Problem(Trouble.NOT_JSON, "Failed to deserialize the JSON body: grammar: missing field `value`")
    if grammar["type"] not in _JSON_GRAMMARS:
        return None
    value: Json = grammar["value"]
    return value["schema"] if grammar["type"] == "json_schema" else value


def _whole_text(question: Question, answer: Answer, parameters: Json) -> str:
    """The text with the stop sequence that ended it, behind the prompt where that is wanted."""
    text = answer.text + (answer.stopped_by or "")
    return question.text + text if parameters.get("return_full_text") else text


def _tokens(answer: Answer) -> list[Json]:
    text = answer.text + (answer.stopped_by or "")
    tokens = [_token(index, piece) for index, piece in enumerate(pieces(text), 10)]
    if answer.finish == "stop":
        tokens.append({"id": 2, "text": "</s>", "logprob": -0.125, "special": True})
    return tokens or [_token(10, "")]


def _token(identity: int, text: str) -> Json:
    return {"id": identity, "text": text, "logprob": -0.5, "special": False}


def _details(question: Question, answer: Answer, parameters: Json) -> Json:
    tokens = _tokens(answer)
    prefill = []
    if parameters.get("decoder_input_details"):
        prefill = [
            {"id": index, "text": piece, "logprob": None if index == 1 else -1.5}
            for index, piece in enumerate(pieces(question.text), 1)
        ]
    return {
        "finish_reason": _FINISH[answer.finish],
        "generated_tokens": len(tokens),
        "seed": parameters.get("seed"),
        "prefill": prefill,
        "tokens": tokens,
    }


def _headers(question: Question, answer: Answer) -> dict[str, str]:
    generated = len(_tokens(answer))
    return {
        "x-compute-type": "cpu",
        "x-compute-time": "0.01",
        "x-compute-characters": str(len(question.text)),
        "x-total-time": "10",
        "x-validation-time": "0",
        "x-queue-time": "0",
        "x-inference-time": "10",
        "x-time-per-token": "1",
        "x-prompt-tokens": str(question.input_tokens),
        "x-generated-tokens": str(generated),
    }


def _counted(reply: Reply, question: Question, answer: Answer) -> Reply:
    reply.input_tokens, reply.output_tokens = question.input_tokens, len(_tokens(answer))
    return reply


def _spans(text: str) -> list[Json]:
    return [
        {"id": index + 1, "text": piece, "start": 4 * index, "stop": 4 * index + len(piece)}
        for index, piece in enumerate(pieces(text))
    ]


def _event(value: object) -> bytes:
    """An event without the space behind ``data:``, as this router writes it."""
    return b"data:" + orjson.dumps(value) + b"\n\n"
