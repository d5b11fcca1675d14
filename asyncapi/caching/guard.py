"""The guard of the semantic cache: may two texts get the same answer?

Pure. A vector says how alike two texts are, and texts that differ in one word are very much alike: for a
good model "from Paris to Lyon" and "from Lyon to Paris" have a cosine of 0.999. So what seems alike is read
again here. Two texts pass if they say the same words in the same order, apart from what the tables in
``words`` call empty. A word in no table counts, so the guard needs to know no antonym, no name and no unit;
what it does not know is a miss.
"""

from __future__ import annotations

from collections import Counter

from asyncapi.caching.reading import Reading, base, read
from asyncapi.caching.words import NEGATIONS

__all__ = ["doubt", "safe_to_share"]

#: Characters beyond which a text is not compared: it holds too much that may differ.
LONGEST = 2_000

_NEGATIONS = frozenset(map(base, NEGATIONS))


def safe_to_share(asked: str, cached: str) -> bool:
    """Whether the answer to ``cached`` may be given to ``asked``, by their words. Doubt is False.

    Symmetric. It does not say that two texts mean the same: only that nothing in their words speaks
    against it.
    """
    return not doubt(asked, cached)


def doubt(asked: str, cached: str) -> str:
    """What speaks against sharing an answer, in a word; "" if nothing does.

    "length", "code", "language", "number", "sign", "name", "question", "person", "tense", "negation",
    "wording" or "order".
    """
    if asked.strip() == cached.strip():
        return ""
    if max(len(asked), len(cached)) > LONGEST:
        return "length"
    one, other = read(asked), read(cached)
    if one.code or other.code:
        return "code"
    if one.foreign or other.foreign:
        return "language"
    for what, left, right in (
        ("number", one.numbers, other.numbers),
        ("sign", one.signs, other.signs),
        ("name", one.names, other.names),
        ("question", one.asks, other.asks),
        ("tense", one.voice, other.voice),
        ("person", one.subjects, other.subjects),
        ("person", one.persons, other.persons),
    ):
        if left != right:
            return what
    if (one.own - other.own) * (one.any - other.any) < 0:
        return "person"  # "my refund" is there already, "a refund" is not
    links, others = Counter(one.links), Counter(other.links)
    if links - others and others - links:
        return "wording"  # "to my card", "for my card"
    return _words(one, other)


def _words(one: Reading, other: Reading) -> str:
    left, right = Counter(one.content), Counter(other.content)
    missing, added = left - right, right - left
    if missing or added:
        return "negation" if (missing.keys() | added.keys()) & _NEGATIONS else "wording"
    if not left:
        return "wording"  # "what is this": nothing to go by
    return "" if _sequence(one) == _sequence(other) else "order"


def _sequence(reading: Reading) -> list[str]:
    """The words whose order counts: a superlative may stand before or after its noun."""
    superlatives = [word for word in reading.content if word.endswith("est") and len(word) > 5]
    if len(superlatives) != 1:
        return list(reading.content)
    return [word for word in reading.content if word not in superlatives]
