"""Hugging Face Text Embeddings Inference: embeddings, sparse embeddings, rerank, classify, tokenise.

Source: Text Embeddings Inference, ``docs/openapi.json`` and the router's source.
"""

from typing import Any, ClassVar

from asyncapi.emulator.answers import count_tokens, pieces
from asyncapi.emulator.dialects.base import STATUS, Dialect
from asyncapi.emulator.dialects.openai_shape import token_text
from asyncapi.emulator.exchange import Ask, Json, Problem, Reply, Trouble, invalid, json_reply
from asyncapi.emulator.vectors import DIMENSIONS, POISON, encoded, overlap, ranked, sparse, vector

MOST_ITEMS = 32
MOST_TOKENS = 512
_TYPES = {
    Trouble.INVALID: "Validation",
    Trouble.EMPTY: "Empty",
    Trouble.BUSY: "Overloaded",
    Trouble.RATE_LIMITED: "Overloaded",
    Trouble.SERVER_ERROR: "Backend",
}
_STATUS = {Trouble.INVALID: 422, Trouble.BUSY: 429, Trouble.NOT_JSON: 422}
_LABELS = ("positive", "negative", "neutral")
_OPENAI_PATHS = ("hf_tei/v1/embeddings", "hf_tei/embeddings")


class HFTEI(Dialect):
    """A TEI server that is embedder, reranker and classifier at once (a real one is one of them)."""

    name = "hf_tei"
    base_path = "/hf_tei"
    body_limit = 2_000_000
    model: ClassVar[str] = "BAAI/bge-m3"

    def __init__(self) -> None:
        super().__init__()
        self.routes = {
            ("POST", "hf_tei/embed"): self.embed,
            ("POST", "hf_tei/embed_all"): self.embed_all,
            ("POST", "hf_tei/similarity"): self.similarity,
            ("POST", "hf_tei/decode"): self.decode,
            ("POST", "hf_tei"): self.root,
            ("POST", "hf_tei/"): self.root,
            ("POST", "hf_tei/embed_sparse"): self.embed_sparse,
            ("POST", "hf_tei/rerank"): self.rerank,
            ("POST", "hf_tei/predict"): self.predict,
            ("POST", "hf_tei/tokenize"): self.tokenize,
            ("POST", "hf_tei/v1/embeddings"): self.openai_embeddings,
            ("POST", "hf_tei/embeddings"): self.openai_embeddings,
            ("GET", "hf_tei/info"): self.info,
            ("GET", "hf_tei/health"): lambda ask: Reply(),
            ("GET", "hf_tei/ping"): lambda ask: Reply(),
        }

    def embed(self, ask: Ask) -> Reply:
        """A vector for each input."""
        texts = _inputs(ask.body.get("inputs"), ask.body)
        size = ask.body.get("dimensions") or DIMENSIONS
        rows = [vector(ask.seed, self.model, text, size).tolist() for text in texts]
        return _counted(rows, texts)

    def root(self, ask: Ask) -> Reply:
        """The main call of the model."""
        if ask.tail:
            raise Problem(Trouble.NO_ROUTE, f"no route /{ask.tail}")
        return self.embed(ask)

    def embed_all(self, ask: Ask) -> Reply:
        """A vector for each token of each input."""
        texts = _inputs(ask.body.get("inputs"), ask.body)
        rows = [[vector(ask.seed, self.model, piece).tolist() for piece in pieces(text)] for text in texts]
        return _counted(rows, texts)

    def similarity(self, ask: Ask) -> Reply:
        """How alike sentences are to one."""
        inputs = ask.body.get("inputs")
        if not isinstance(inputs, dict) or not isinstance(inputs.get("source_sentence"), str):
            raise Problem(Trouble.NOT_JSON, "Failed to deserialize the JSON body: missing `source_sentence`")
        source = inputs["source_sentence"]
        texts = _inputs(inputs.get("sentences"), ask.body, name="sentences")
        _check(source, ask.body)
        return _counted([overlap(source, text) for text in texts], [source, *texts])

    def decode(self, ask: Ask) -> Reply:
        """Texts of as many tokens as there are ids."""
        ids = ask.body.get("ids")
        if not isinstance(ids, list) or not ids:
            raise Problem(Trouble.NOT_JSON, "Failed to deserialize the JSON body: missing field `ids`")
        rows = ids if isinstance(ids[0], list) else [ids]
        return json_reply([token_text(row) for row in rows])

    def embed_sparse(self, ask: Ask) -> Reply:
        """A sparse vector for each input."""
        texts = _inputs(ask.body.get("inputs"), ask.body)
        return _counted([sparse(ask.seed, text) for text in texts], texts)

    def rerank(self, ask: Ask) -> Reply:
        """Texts by their likeness to a query, best first."""
        query, texts = ask.body.get("query"), ask.body.get("texts")
        if not isinstance(query, str) or not isinstance(texts, list):
            raise Problem(Trouble.NOT_JSON, "Failed to deserialize the JSON body: missing field `texts`")
        texts = _inputs(texts, ask.body, name="texts")
        _check(query, ask.body)
        order: list[Json] = [{"index": index, "score": score} for index, score in ranked(query, texts)]
        if ask.body.get("return_text"):
            for item in order:
                item["text"] = texts[item["index"]]
        return _counted(order, [query, *texts])

    def predict(self, ask: Ask) -> Reply:
        """Labels with scores; a flat list is one pair of sentences, not a batch."""
        inputs = ask.body.get("inputs")
        if isinstance(inputs, list) and inputs and all(isinstance(item, list) for item in inputs):
            batch = [" ".join(map(str, item)) for item in inputs]
            texts = _inputs(batch, ask.body)
            return _counted([_labels(text) for text in texts], texts)
        single = " ".join(map(str, inputs)) if isinstance(inputs, list) and inputs else inputs
        texts = _inputs(single, ask.body)
        return _counted(_labels(texts[0]), texts)

    def tokenize(self, ask: Ask) -> Reply:
        """The tokens of each input."""
        texts = _inputs(ask.body.get("inputs"), ask.body)
        return _counted([_tokens(text) for text in texts], texts)

    def openai_embeddings(self, ask: Ask) -> Reply:
        """Embeddings in the OpenAI dialect, as floats or as base64."""
        texts = _inputs(ask.body.get("input"), ask.body, name="input")
        size = ask.body.get("dimensions") or DIMENSIONS
        as_text = ask.body.get("encoding_format") == "base64"
        rows = (vector(ask.seed, self.model, text, size) for text in texts)
        data = [
            {"object": "embedding", "index": index, "embedding": encoded(row) if as_text else row.tolist()}
            for index, row in enumerate(rows)
        ]
        tokens = sum(map(count_tokens, texts))
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        model = ask.body.get("model") or self.model
        return _counted({"object": "list", "data": data, "model": model, "usage": usage}, texts)

    def info(self, ask: Ask) -> Reply:
        """What the server serves, and its limits."""
        return json_reply(
            {
                "model_id": self.model,
                "model_sha": None,
                "model_dtype": "float16",
                "model_type": {"embedding": {"pooling": "cls"}},
                "max_concurrent_requests": 512,
                "max_input_length": MOST_TOKENS,
                "max_batch_tokens": 16384,
                "max_batch_requests": None,
                "max_client_batch_size": MOST_ITEMS,
                "auto_truncate": True,
                "tokenization_workers": 2,
                "version": "1.9.3",
            }
        )

    def refuse(self, problem: Problem, path: str, serial: int) -> Reply:
        """A refusal with its type in PascalCase; flat on the OpenAI route, bare or plain for some."""
        status = _STATUS.get(problem.trouble) or STATUS[problem.trouble]
        if problem.trouble is Trouble.UNAUTHORIZED:
            return Reply(b"", status)
        if problem.trouble in (Trouble.NOT_JSON, Trouble.BODY_TOO_LARGE):
            return Reply(problem.message.encode(), status, content_type="text/plain; charset=utf-8")
        kind = _TYPES.get(problem.trouble, "Unhealthy")
        status = 424 if kind == "Backend" and problem.code == "424" else status
        if path in _OPENAI_PATHS:
            return json_reply({"message": problem.message, "code": status, "type": kind}, status)
        return json_reply({"error": problem.message, "error_type": kind}, status)


def _inputs(value: Any, body: Json, name: str = "inputs") -> list[str]:
    """The items of a request as texts; token ids become texts of as many tokens."""
    if isinstance(value, list) and value and all(isinstance(item, int) for item in value):
        value = token_text(value)
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list):
        raise Problem(Trouble.NOT_JSON, f"Failed to deserialize the JSON body: missing field `{name}`")
    if not items:
        raise Problem(Trouble.EMPTY, f"`{name}` cannot be empty")
    if len(items) > MOST_ITEMS:
        raise invalid(f"batch size {len(items)} > maximum allowed batch size {MOST_ITEMS}")
    texts = [token_text(item) if isinstance(item, list) else str(item) for item in items]
    for text in texts:
        _check(text, body)
    return texts


def _check(text: str, body: Json) -> None:
    if not text:
        raise invalid("`inputs` cannot be empty")
    if POISON in text:
        raise invalid("`inputs` cannot be processed")
    if body.get("truncate") is False and count_tokens(text) > MOST_TOKENS:
        raise invalid(f"`inputs` must have less than {MOST_TOKENS} tokens. Given: {count_tokens(text)}")


def _counted(value: object, texts: list[str]) -> Reply:
    """A reply with the headers that hold the only token count of the native routes."""
    tokens = sum(map(count_tokens, texts))
    reply = json_reply(value, input_tokens=tokens)
    reply.headers = {
        "x-compute-type": "cpu",
        "x-compute-time": "1",
        "x-compute-characters": str(sum(map(len, texts))),
        "x-compute-tokens": str(tokens),
        "x-total-time": "2",
        "x-tokenization-time": "0",
        "x-queue-time": "0",
        "x-inference-time": "1",
    }
    return reply


def _labels(text: str) -> list[Json]:
    raw = [(label, 0.01 + overlap(label, text)) for label in _LABELS]
    total = sum(score for _, score in raw)
    order = sorted(raw, key=lambda item: -item[1])
    return [{"label": label, "score": score / total} for label, score in order]


def _tokens(text: str) -> list[Json]:
    return [
        {"id": index + 1, "text": piece, "special": False, "start": 4 * index, "stop": 4 * index + len(piece)}
        for index, piece in enumerate(pieces(text))
    ]
