"""Pooling models of a vLLM server: score, classify, pool. Source: vLLM documentation, "Pooling models"."""

from typing import Any

from asyncapi.emulator.answers import count_tokens
from asyncapi.emulator.dialects.openai_shape import document_text, texts_of
from asyncapi.emulator.exchange import Ask, Json, Reply, invalid, json_reply
from asyncapi.emulator.vectors import DIMENSIONS, POISON, overlap, vector

_LABELS = ("positive", "negative", "neutral")


def score(ask: Ask, model: str) -> Reply:
    """How alike two texts are: one against many, or pair by pair."""
    left, right = _sides(ask.body)
    if len(left) == 1:
        left = left * len(right)
    if len(left) != len(right):
        raise invalid("Input lengths must be either 1:1, 1:N or N:N")
    data = [
        {"index": index, "object": "score", "score": overlap(one, two)}
        for index, (one, two) in enumerate(zip(left, right, strict=True))
    ]
    return _listed(ask, "score", model, data, [*left, *right])


def _sides(body: Json) -> tuple[list[str], list[str]]:
    for names in (("queries", "documents"), ("queries", "items"), ("data_1", "data_2"), ("text_1", "text_2")):
        left, right = (body.get(name) for name in names)
        if left is not None and right is not None:
            return _texts(left), _texts(right)
    raise invalid("`queries` and `documents` are required", "queries")


def _texts(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    texts = [document_text(item) for item in items]
    if not texts or any(POISON in text for text in texts):
        raise invalid("At least one text pair element must be given, and each must be readable")
    return texts


def classify(ask: Ask, model: str) -> Reply:
    """The likeliest of three labels for each text."""
    texts = texts_of(ask.body.get("input"), "input")
    _check(texts)
    data = [_labelled(index, text) for index, text in enumerate(texts)]
    return _listed(ask, "classify", model, data, texts)


def _labelled(index: int, text: str) -> Json:
    raw = [0.01 + overlap(label, text) for label in _LABELS]
    probabilities = [value / sum(raw) for value in raw]
    best = probabilities.index(max(probabilities))
    return {"index": index, "label": _LABELS[best], "probs": probabilities, "num_classes": len(_LABELS)}


def pool(ask: Ask, model: str) -> Reply:
    """What comes out of the model's last layer: here, the vector that an embedding would be."""
    texts = texts_of(ask.body.get("input"), "input")
    _check(texts)
    size = ask.body.get("dimensions") or DIMENSIONS
    data = [
        {"index": index, "object": "pooling", "data": vector(ask.seed, model, text, size).tolist()}
        for index, text in enumerate(texts)
    ]
    return _listed(ask, "pool", model, data, texts)


def _check(texts: list[str]) -> None:
    if any(POISON in text for text in texts):
        raise invalid("the text cannot be processed", "input")


def _listed(ask: Ask, kind: str, model: str, data: list[Json], texts: list[str]) -> Reply:
    tokens = sum(map(count_tokens, texts))
    value = {
        "id": f"{kind}-{ask.serial:016x}",
        "object": "list",
        "created": int(ask.now),
        "model": model,
        "data": data,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0},
    }
    return json_reply(value, input_tokens=tokens)
