"""Deterministic vectors and scores: made from digests of texts, with no model behind them."""

import base64
import math
import sys
from array import array
from collections.abc import Sequence
from hashlib import blake2b, shake_128

from asyncapi.emulator.exchange import Json

DIMENSIONS = 64
"""Length of a vector when a request does not say."""

POISON = "<poison>"
"""A text that contains this makes a service refuse the whole request that it came in."""

UNSAFE = "<unsafe>"
"""A text that contains this is blocked by the services that have safety filters."""


def vector(seed: int, model: str, text: str, dimensions: int = DIMENSIONS) -> "array[float]":
    """A vector of unit length in float32: a pure function of its arguments."""
    source = f"{seed}\0{model}\0{text}".encode("utf-8", "replace")
    whole = array("h", shake_128(source).digest(2 * dimensions))
    if sys.byteorder == "big":
        whole.byteswap()
    length = math.sqrt(sum(number * number for number in whole)) or 1.0
    return array("f", [number / length for number in whole])


def encoded(values: "array[float]") -> str:
    """A vector as base64 of little-endian float32, as the OpenAI API writes it."""
    if sys.byteorder == "big":
        values = array("f", values)
        values.byteswap()
    return base64.b64encode(values.tobytes()).decode()


def sparse(seed: int, text: str) -> list[Json]:
    """A sparse vector: one entry for each different word, sorted by index."""
    weights = {}
    for word in words(text):
        digest = blake2b(f"{seed}\0{word}".encode("utf-8", "replace"), digest_size=4).digest()
        weights[int.from_bytes(digest[:2], "big")] = 0.5 + int.from_bytes(digest[2:], "big") / 65_536
    return [{"index": index, "value": weights[index]} for index in sorted(weights)]


def overlap(query: str, text: str) -> float:
    """How alike two texts are, 0 to 1: words in common over all words; digests break ties."""
    ours, theirs = set(words(query)), set(words(text))
    shared = len(ours & theirs) / len(ours | theirs) if ours or theirs else 0.0
    tie = int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=2).digest(), "big")
    return round(0.98 * shared + 0.02 * tie / 65_536, 6)


def ranked(query: str, texts: Sequence[str]) -> list[tuple[int, float]]:
    """(index, score) of every text, best first."""
    scores = [(index, overlap(query, text)) for index, text in enumerate(texts)]
    return sorted(scores, key=lambda item: (-item[1], item[0]))


def words(text: str) -> list[str]:
    """The words of a text, lower case, without punctuation at their ends."""
    return [word for raw in text.lower().split() if (word := raw.strip(".,;:!?\"'()[]"))]
