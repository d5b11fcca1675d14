"""Ollama's native API: NDJSON streams by default, durations in nanoseconds.

Source: Ollama documentation, "API".
"""

import base64
import binascii
from typing import Any, ClassVar

import orjson

from asyncapi.emulator.answers import (
    CONTEXT_TOKENS,
    Answer,
    Question,
    Tool,
    compose,
    count_tokens,
    effort_tokens,
    last_user_text,
    messages_tokens,
    pieces,
    tools_to_call,
)
from asyncapi.emulator.dialects.base import STATUS, Dialect
from asyncapi.emulator.dialects.openai_chat import ANY_OBJECT, declared_tools, stop_words
from asyncapi.emulator.exchange import Ask, Frame, Json, Problem, Reply, Trouble, invalid, json_reply
from asyncapi.emulator.headers import iso_micros
from asyncapi.emulator.vectors import DIMENSIONS, POISON, vector

_LOAD_NS = 1_334_875
_TOKEN_NS = 10_000_000
_SIZE = 5_225_388_164
_DIGEST = "500a1f067a9f" * 5 + "0123"


class Ollama(Dialect):
    """A local Ollama server: no keys, no rate limits, a queue that can be full."""

    name = "ollama"
    base_path = "/ollama"
    models: ClassVar[tuple[str, ...]] = ("qwen3:8b", "nomic-embed-text:latest")

    def __init__(self) -> None:
        super().__init__()
        self.routes = {
            ("POST", "ollama/api/chat"): self.chat,
            ("POST", "ollama/api/generate"): self.generate,
            ("POST", "ollama/api/embed"): self.embed,
            ("POST", "ollama/api/show"): self.show,
            ("POST", "ollama/api/embeddings"): self.embed_one,
            ("POST", "ollama/api/pull"): self.pull,
            ("GET", "ollama/api/tags"): self.tags,
            ("GET", "ollama/api/ps"): self.loaded_models,
            ("GET", "ollama"): _running,
            ("GET", "ollama/"): _running,
            ("GET", "ollama/api/version"): lambda ask: json_reply({"version": "0.14.1"}),
        }

    def chat(self, ask: Ask) -> Reply:
        """Answer a conversation; without messages, load the model."""
        model = _known_model(ask.body)
        messages = ask.body.get("messages") or []
        if not messages:
            return json_reply(self._loaded(ask, model, {"message": {"role": "assistant", "content": ""}}))
        _check_images(messages)
        text = last_user_text(messages)
        tools: tuple[Tool, ...] = ()
        if messages[-1].get("role") == "user":
            tools = tools_to_call(declared_tools(ask.body.get("tools")), text)
        question = _question(ask.body, model, text, messages_tokens(messages), tools)
        return self._reply(ask, question, compose(question, ask.seed), _as_message)

    def generate(self, ask: Ask) -> Reply:
        """Answer a prompt; without one, load the model."""
        model = _known_model(ask.body)
        prompt = ask.body.get("prompt") or ""
        if not prompt:
            return json_reply(self._loaded(ask, model, {"response": ""}))
        _check_images([ask.body])
        tokens = count_tokens(prompt) + count_tokens(ask.body.get("system") or "")
        question = _question(ask.body, model, prompt, tokens, ())
        return self._reply(ask, question, compose(question, ask.seed), _as_response)

    def _reply(self, ask: Ask, question: Question, answer: Answer, word: Any) -> Reply:
        base = {"model": question.model, "created_at": iso_micros(ask.now)}
        done = {"done": True, "done_reason": _done_reason(answer), **_counters(question, answer)}
        if ask.body.get("stream") is False:
            reply = json_reply({**base, **word(answer.text, answer.reasoning, _calls(answer)), **done})
        else:
            frames = _lines(base, answer, word)
            frames.append((_line({**base, **word("", "", []), **done}), answer.output_tokens))
            reply = Reply(content_type="application/x-ndjson", frames=frames, proof=len(frames) - 1)
        reply.input_tokens, reply.output_tokens = question.input_tokens, answer.output_tokens
        return reply

    def _loaded(self, ask: Ask, model: str, said: Json) -> Json:
        reason = "unload" if ask.body.get("keep_alive") == 0 else "load"
        return {
            "model": model,
            "created_at": iso_micros(ask.now),
            **said,
            "done": True,
            "done_reason": reason,
        }

    def embed(self, ask: Ask) -> Reply:
        """Answer embeddings; an empty text or list gives an empty list."""
        model = _known_model(ask.body)
        value = ask.body.get("input")
        texts = [value] if isinstance(value, str) else value
        if texts is None or texts in ([], [""]):
            return json_reply({"model": model, "embeddings": []})
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise invalid("invalid input type")
        _check_texts(texts, ask.body)
        dimensions = ask.body.get("dimensions") or DIMENSIONS
        tokens = sum(map(count_tokens, texts))
        rows = [vector(ask.seed, model, text, dimensions).tolist() for text in texts]
        counters = {"total_duration": _TOKEN_NS, "load_duration": _LOAD_NS, "prompt_eval_count": tokens}
        return json_reply({"model": model, "embeddings": rows, **counters}, input_tokens=tokens)

    def embed_one(self, ask: Ask) -> Reply:
        """The old way: one prompt, one vector, no length of unity promised."""
        model, prompt = _known_model(ask.body), ask.body.get("prompt") or ""
        if not prompt:
            return json_reply({"embedding": []})
        _check_texts([prompt], ask.body)
        row = vector(ask.seed, model, prompt).tolist()
        return json_reply({"embedding": row}, input_tokens=count_tokens(prompt))

    def pull(self, ask: Ask) -> Reply:
        """Pretend to fetch a model: progress in lines, or the end alone."""
        name = ask.body.get("model") or ask.body.get("name")
        _known_model({"model": name})
        if ask.body.get("stream") is False:
            return json_reply({"status": "success"})
        layer: Json = {"status": f"pulling {_DIGEST[:12]}", "digest": f"sha256:{_DIGEST}", "total": _SIZE}
        lines: list[Json] = [{"status": "pulling manifest"}, layer]
        lines += [{**layer, "completed": _SIZE * part // 4} for part in range(1, 5)]
        lines += [{"status": status} for status in ("verifying sha256 digest", "writing manifest", "success")]
        frames = [(_line(line), 0) for line in lines]
        broken = [_line({"error": "pull model manifest: unexpected EOF"})]
        proof = len(frames) - 1
        return Reply(content_type="application/x-ndjson", frames=frames, proof=proof, failure=broken)

    def loaded_models(self, ask: Ask) -> Reply:
        """The models in memory."""
        until = iso_micros(ask.now + 300)
        more = {"expires_at": until, "size_vram": _SIZE, "context_length": 4096}
        return json_reply({"models": [{**_card(name), **more} for name in self.models[:1]]})

    def show(self, ask: Ask) -> Reply:
        """What is known of a model."""
        model = _known_model(ask.body)
        return json_reply(
            {
                "template": "{{ .Prompt }}",
                "parameters": "",
                "details": _details(),
                "model_info": {"general.architecture": "qwen3", "qwen3.context_length": CONTEXT_TOKENS},
                "capabilities": ["embedding"] if "embed" in model else ["completion", "tools", "thinking"],
            }
        )

    def tags(self, ask: Ask) -> Reply:
        """The models on this machine."""
        return json_reply(
            {"models": [{**_card(name), "modified_at": "2026-06-01T00:00:00Z"} for name in self.models]}
        )

    def refuse(self, problem: Problem, path: str, serial: int) -> Reply:
        """A refusal as a plain text under ``error``."""
        message = problem.message
        if problem.trouble is Trouble.BUSY:
            message = "server busy, please try again. maximum pending requests exceeded"
        return json_reply({"error": message}, STATUS[problem.trouble])

    def stream_error(self) -> list[bytes]:
        """An error line, which ends the stream."""
        return [_line({"error": "an error was encountered while running the model: unexpected EOF"})]


def _known_model(body: Json) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise invalid("model is required")
    if model.startswith("missing"):
        raise Problem(Trouble.NO_MODEL, f"model '{model}' not found")
    return model


def _question(body: Json, model: str, text: str, tokens: int, tools: tuple[Tool, ...]) -> Question:
    options = body.get("options") or {}
    cap = options.get("num_predict")
    wanted = body.get("format") or None
    think = body.get("think")
    return Question(
        model,
        text,
        tokens,
        cap if isinstance(cap, int) and cap >= 0 else None,
        stop_words(options.get("stop"), most=64),
        tools,
        ANY_OBJECT if wanted == "json" else wanted,
        effort_tokens("medium" if think is True else think),
    )


def _check_images(messages: Any) -> None:
    """Images are bare base64; a data URL is not."""
    for message in messages:
        for image in message.get("images") or []:
            try:
                base64.b64decode(image, validate=True)
            except (binascii.Error, ValueError, TypeError):
                raise invalid("illegal base64 data at input byte 4") from None


def _check_texts(texts: list[str], body: Json) -> None:
    for text in texts:
        if POISON in text:
            raise invalid("the input cannot be processed")
        if body.get("truncate") is False and count_tokens(text) > CONTEXT_TOKENS:
            raise invalid("the input length exceeds the context length")


def _done_reason(answer: Answer) -> str:
    return "length" if answer.finish == "length" else "stop"


def _counters(question: Question, answer: Answer) -> Json:
    prompt_ns, eval_ns = question.input_tokens * 100_000, answer.output_tokens * _TOKEN_NS
    return {
        "total_duration": _LOAD_NS + prompt_ns + eval_ns,
        "load_duration": _LOAD_NS,
        "prompt_eval_count": question.input_tokens,
        "prompt_eval_duration": prompt_ns,
        "eval_count": answer.output_tokens,
        "eval_duration": eval_ns,
    }


def _calls(answer: Answer) -> list[Json]:
    return [
        {
            "id": f"call_{call.id}",
            "function": {"index": index, "name": call.name, "arguments": call.arguments},
        }
        for index, call in enumerate(answer.calls)
    ]


def _as_message(text: str, thinking: str, calls: list[Json]) -> Json:
    message: Json = {"role": "assistant", "content": text}
    if thinking:
        message["thinking"] = thinking
    if calls:
        message["tool_calls"] = calls
    return {"message": message}


def _as_response(text: str, thinking: str, calls: list[Json]) -> Json:
    return {"response": text, "thinking": thinking} if thinking else {"response": text}


def _lines(base: Json, answer: Answer, word: Any) -> list[Frame]:
    """The lines before the last one."""
    frames: list[Frame] = []
    for piece in pieces(answer.reasoning):
        frames.append((_line({**base, **word("", piece, []), "done": False}), len(frames) + 1))
    for piece in pieces(answer.text):
        frames.append((_line({**base, **word(piece, "", []), "done": False}), len(frames) + 1))
    if answer.calls:
        called = word("", "", _calls(answer))
        frames.append((_line({**base, **called, "done": False}), answer.output_tokens))
    return frames


def _line(value: Json) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def _running(ask: Ask) -> Reply:
    if ask.tail:
        raise Problem(Trouble.NO_ROUTE, "404 page not found")
    return Reply(b"Ollama is running", content_type="text/plain; charset=utf-8")


def _card(name: str) -> Json:
    return {"name": name, "model": name, "size": _SIZE, "digest": _DIGEST, "details": _details()}


def _details() -> Json:
    return {
        "parent_model": "",
        "format": "gguf",
        "family": "qwen3",
        "families": ["qwen3"],
        "parameter_size": "8.2B",
        "quantization_level": "Q4_K_M",
    }
