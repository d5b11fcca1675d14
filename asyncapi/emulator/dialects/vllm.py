"""vLLM's server: the OpenAI dialect with its own envelope, native chat batches, rerank, tokenise.

Source: vLLM documentation, "OpenAI-Compatible Server", and the server's source.
"""

from typing import ClassVar

import orjson

from asyncapi.emulator.answers import (
    CONTEXT_TOKENS,
    Answer,
    Question,
    count_tokens,
    effort_tokens,
    messages_tokens,
    pieces,
)
from asyncapi.emulator.dialects.base import STATUS
from asyncapi.emulator.dialects.openai_chat import (
    ChatWords,
    checked_messages,
    choices_of,
    known_model,
    question_of,
)
from asyncapi.emulator.dialects.openai_media import transcribe, translate
from asyncapi.emulator.dialects.openai_shape import DONE, OpenAIShape, document_text, token_text
from asyncapi.emulator.dialects.vllm_pooling import classify, pool, score
from asyncapi.emulator.exchange import Ask, Json, Problem, Reply, Trouble, invalid, json_reply, sse
from asyncapi.emulator.vectors import ranked

_LOAD_HEADER = "endpoint-load-metrics"


class VLLM(OpenAIShape):
    """A vLLM server: keys and rate limits are unknown to it, and unknown fields never fail."""

    name = "vllm"
    base_path = "/vllm/v1"
    words = ChatWords(reasoning_field="reasoning", explicit_nulls=False)
    models = ("Qwen/Qwen3-8B",)
    owner = "vllm"
    fingerprint = None
    _names: ClassVar[dict[int, str]] = {
        400: "BadRequestError",
        404: "NotFoundError",
        500: "InternalServerError",
        503: "Service Unavailable",
    }

    def __init__(self) -> None:
        super().__init__()
        self.routes = {
            ("POST", "vllm/v1/chat/completions"): self.chat,
            ("POST", "vllm/v1/chat/completions/batch"): self.chat_batch,
            ("POST", "vllm/v1/completions"): self.completions,
            ("POST", "vllm/v1/embeddings"): self.embeddings,
            ("POST", "vllm/v1/rerank"): self.rerank,
            ("POST", "vllm/v2/rerank"): self.rerank,
            ("POST", "vllm/rerank"): self.rerank,
            ("POST", "vllm/score"): self.score,
            ("POST", "vllm/v1/score"): self.score,
            ("POST", "vllm/classify"): self.classify,
            ("POST", "vllm/pooling"): self.pool,
            ("POST", "vllm/tokenize"): self.tokenize,
            ("POST", "vllm/detokenize"): self.detokenize,
            ("POST", "vllm/v1/audio/transcriptions"): transcribe,
            ("POST", "vllm/v1/audio/translations"): translate,
            ("GET", "vllm/v1/models"): self.list_models,
            ("GET", "vllm/health"): lambda ask: Reply(),
            ("GET", "vllm/ping"): lambda ask: Reply(),
            ("GET", "vllm/version"): lambda ask: json_reply({"version": "0.33.0"}),
            ("GET", "vllm/load"): lambda ask: json_reply({"server_load": _load(ask)}),
        }

    def chat(self, ask: Ask) -> Reply:
        """Chat, with the load in a header where the request wants it."""
        reply = super().chat(ask)
        form = ask.headers.get(_LOAD_HEADER + "-format", "").upper()
        if form and reply.frames is None:
            metrics = {"kv_cache_usage_perc": 0.4, "num_requests_waiting": float(_load(ask))}
            pairs = ", ".join(f"named_metrics.{name}={value}" for name, value in metrics.items())
            told = orjson.dumps({"named_metrics": metrics}).decode() if form == "JSON" else pairs
            reply.headers[_LOAD_HEADER] = f"{form} {told}"
        return reply

    def model_of(self, body: Json) -> str:
        """The model is optional: a server has one."""
        return known_model(body.get("model") or self.models[0])

    def check_chat(self, body: Json, model: str) -> None:
        """An empty list of tools is refused, and so is the removed ``normalize``."""
        if body.get("tools") == []:
            raise invalid("`tools` must not be an empty array", "tools")

    def reasoning_of(self, body: Json) -> int:
        """Models think when told an effort or by their template."""
        template = body.get("chat_template_kwargs") or {}
        thinks = 16 if template.get("enable_thinking") else 0
        return effort_tokens(body.get("reasoning_effort")) or thinks

    def choice(self, index: int, answer: Answer, body: Json) -> Json:
        """A choice with vLLM's extra fields."""
        choice = super().choice(index, answer, body)
        if body.get("include_reasoning") is False:
            choice["message"].pop("reasoning", None)
        return {**choice, "stop_reason": answer.stopped_by, "token_ids": None}

    def usage(self, question: Question, answers: list[Answer]) -> Json:
        """The three counts; details only for models that think."""
        usage = super().usage(question, answers)
        thought = usage["completion_tokens_details"]["reasoning_tokens"]
        usage["prompt_tokens_details"] = None
        usage["completion_tokens_details"] = {"reasoning_tokens": thought} if thought else None
        return usage

    def chat_batch(self, ask: Ask) -> Reply:
        """Answer many conversations in one request; choice i answers conversation i."""
        body = ask.body
        model = self.model_of(body)
        if body.get("stream") or body.get("tools") or body.get("n") not in (None, 1):
            raise invalid("Batch chat completions support neither `stream`, `tools` nor `n` > 1.")
        conversations = body.get("messages")
        if not isinstance(conversations, list) or not conversations:
            raise invalid("`messages` must be a non-empty list of conversations", "messages")
        asked = [
            question_of(body, model, checked_messages({"messages": one}), reasoning=self.reasoning_of(body))
            for one in conversations
        ]
        answers = [choices_of(question, ask, 1)[0] for question in asked]
        whole = Question(model, "", sum(question.input_tokens for question in asked))
        base = self.base(answers[0], "chat.completion", ask, model)
        reply = self.chat_whole(base, whole, answers, body)
        reply.input_tokens = whole.input_tokens
        # Conversations are generated side by side, so the longest one sets the time; the limits count all.
        reply.output_tokens = sum(answer.output_tokens for answer in answers)
        return reply

    def rerank(self, ask: Ask) -> Reply:
        """Rank documents by the words that they share with a query."""
        query, documents = ask.body.get("query"), ask.body.get("documents")
        if not isinstance(query, str) or not isinstance(documents, list) or not documents:
            raise invalid("`query` and `documents` are required", "documents")
        texts = [document_text(document) for document in documents]
        self.check_texts([query, *texts])
        order = ranked(query, texts)[: ask.body.get("top_n") or None]
        tokens = sum(map(count_tokens, texts)) + count_tokens(query) * len(texts)
        return json_reply(
            {
                "id": f"rerank-{ask.serial:016x}",
                "model": self.model_of(ask.body),
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
                "results": [
                    {"index": index, "document": {"text": texts[index]}, "relevance_score": score}
                    for index, score in order
                ],
            },
            input_tokens=tokens,
        )

    def tokenize(self, ask: Ask) -> Reply:
        """Count the tokens of a prompt or a conversation, and name them."""
        messages, prompt = ask.body.get("messages"), ask.body.get("prompt")
        if messages is None and not isinstance(prompt, str):
            raise invalid("`prompt` or `messages` is required", "prompt")
        count = count_tokens(prompt or "") if messages is None else messages_tokens(messages)
        strings = list(pieces(prompt)) if isinstance(prompt, str) else None
        return json_reply(
            {
                "count": count,
                "max_model_len": CONTEXT_TOKENS,
                "tokens": list(range(1, count + 1)),
                "token_strs": strings if ask.body.get("return_token_strs") else None,
            }
        )

    def detokenize(self, ask: Ask) -> Reply:
        """A text of as many tokens as there are ids."""
        tokens = ask.body.get("tokens")
        if not isinstance(tokens, list):
            raise invalid("`tokens` is required", "tokens")
        return json_reply({"prompt": token_text(tokens)})

    def score(self, ask: Ask) -> Reply:
        """How alike texts are."""
        return score(ask, self.model_of(ask.body))

    def classify(self, ask: Ask) -> Reply:
        """A label for each text."""
        return classify(ask, self.model_of(ask.body))

    def pool(self, ask: Ask) -> Reply:
        """The raw output for each text."""
        return pool(ask, self.model_of(ask.body))

    def dimensions_of(self, body: Json) -> int:
        """``normalize`` was removed, and says so."""
        if "normalize" in body:
            raise invalid("`normalize` was removed; use `use_activation`", "normalize")
        return super().dimensions_of(body)

    def model_card(self, name: str) -> Json:
        """A model with its context length."""
        return {**super().model_card(name), "root": name, "parent": None, "max_model_len": CONTEXT_TOKENS}

    def refuse(self, problem: Problem, path: str, serial: int) -> Reply:
        """A refusal with the status as ``code``; an unauthorised one is just a word."""
        status = STATUS[problem.trouble]
        if problem.trouble is Trouble.UNAUTHORIZED:
            return json_reply({"error": "Unauthorized"}, status)
        kind = self._names.get(status, "Too Many Requests")
        error = {"message": problem.message, "type": kind, "param": problem.param, "code": status}
        return json_reply({"error": error}, status)

    def stream_error(self) -> list[bytes]:
        """An error event, and still ``[DONE]``, which proves nothing."""
        error = {"message": "EngineCore encountered an issue.", "type": "InternalServerError"}
        return [sse({"error": {**error, "param": None, "code": 500}}), DONE]


def _load(ask: Ask) -> int:
    """A load that goes up and down from request to request."""
    return ask.serial % 4
