"""The labelled pairs: where they come from, and how near misses are made of real questions.

Two halves of everything: one to tune on, the other to report on.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from asyncapi.caching.calibration import Pair

__all__ = ["banking", "made", "written"]

_WRITTEN = Path(__file__).with_name("questions.txt")


def data() -> Path | None:
    """Where the public sets are, if they are there."""
    place = os.environ.get("ASYNCAPI_DATA")
    return Path(place) if place and Path(place).is_dir() else None


# --- written for this benchmark -----------------------------------------------------------------


def written(half: int) -> list[Pair]:
    """All pairs of a group that ask the same, and each near miss beside each of those.

    ``half`` 0 is to tune on, 1 to report on.
    """
    pairs = []
    for same, other in _groups()[half::2]:
        pairs += [Pair(b, a, True) for i, a in enumerate(same) for b in same[i + 1 :]]
        pairs += [Pair(b, a, False) for a in same for b in other]
    return pairs


def _groups() -> list[tuple[list[str], list[str]]]:
    groups: list[tuple[list[str], list[str]]] = []
    for line in _WRITTEN.read_text().splitlines():
        mark, _, text = line.partition(" ")
        if mark == "=":
            groups.append(([text], []))
        elif mark in ("+", "-"):
            groups[-1][mark == "-"].append(text)
    return groups


# --- banking77: 13,083 real questions with 77 intents --------------------------------------------


def banking(half: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]] | None:
    """(texts kept, texts asked), each with its intent: the train and the test part as they are published.

    To tune on (0) the train part alone: every fourth text is asked, the others are kept. Texts of two
    intents want different answers. Texts of one intent often do, too ("with a European card", "with a US
    card"), so an intent that fits is a necessary sign of a right hit, not a proof.
    """
    place = data()
    if place is None:
        return None
    train = _rows(place / "banking77" / "train.csv.gz")
    if half:
        return train, _rows(place / "banking77" / "test.csv.gz")
    return [row for n, row in enumerate(train) if n % 4], train[::4]


def _rows(path: Path) -> list[tuple[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return [(row["text"], row["category"]) for row in csv.DictReader(file)]


# --- made from real texts -------------------------------------------------------------------------


#: How many texts of each half are changed.
_TEXTS = 600


def made(half: int) -> list[Pair] | None:
    """Near misses and rewordings of real questions, each made by one rule (see ``_APART`` and ``_ALIKE``).

    Of GSM8K (word problems: names and numbers), banking77 and MT-Bench-101 (first turns), up to 800
    characters.
    """
    place = data()
    if place is None:
        return None
    texts = [text for n, text in enumerate(_texts(place)) if n % 2 == half and 8 <= len(text) <= 800]
    chance = random.Random(half)
    pairs = []
    for text in chance.sample(texts, min(_TEXTS, len(texts))):
        for rule in _APART:
            changed = rule(text, chance)
            if changed is not None and changed != text:
                pairs.append(Pair(changed, text, False))
        changed = chance.choice(_ALIKE)(text, chance)
        if changed is not None and changed != text:
            pairs.append(Pair(changed, text, True))
    return pairs


def _texts(place: Path) -> Iterator[str]:
    for row in _lines(place / "gsm8k" / "test.jsonl.gz"):
        yield row["question"]
    for text, _ in _rows(place / "banking77" / "test.csv.gz"):
        yield text
    for row in _lines(place / "mtbench101" / "mtbench101.jsonl.gz"):
        yield row["history"][0]["user"]


def _lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _number(text: str, chance: random.Random) -> str | None:
    """One number becomes another one."""
    found = list(re.finditer(r"\d+", text))
    if not found:
        return None
    match = chance.choice(found)
    return text[: match.start()] + str(int(match[0]) + chance.randint(1, 9)) + text[match.end() :]


def _negation(text: str, chance: random.Random) -> str | None:
    """A "not" goes in behind an auxiliary, or out."""
    if re.search(r"\bnot\b|n't\b", text):
        return re.sub(r"\s*\bnot\b|n't\b", "", text, count=1)
    found = list(re.finditer(r"\b(?:is|are|was|can|could|should|will|would|does|do|did|has|have)\b", text))
    if not found:
        return None
    match = chance.choice(found)
    return f"{text[: match.end()]} not{text[match.end() :]}"


_NAMES = ["Alice", "Boris", "Chen", "Dina", "Emeka", "Farah", "Greta", "Hugo"]


def _name(text: str, chance: random.Random) -> str | None:
    """A name becomes another one, everywhere."""
    names = sorted(set(re.findall(r"(?<=[a-z,] )[A-Z][a-z]{2,}\b", text)))
    if not names:
        return None
    gone = chance.choice(names)
    return re.sub(rf"\b{gone}\b", chance.choice([name for name in _NAMES if name != gone]), text)


_OPPOSITES = [
    ("more", "less"), ("before", "after"), ("first", "last"), ("all", "some"), ("always", "never"),
    ("with", "without"), ("open", "close"), ("send", "receive"), ("add", "remove"), ("top up", "withdraw"),
    ("increase", "decrease"), ("buy", "sell"), ("high", "low"), ("old", "new"), ("lost", "found"),
    ("from", "to"), ("can", "should"), ("my", "your"), ("he", "she"), ("day", "week"), ("taller", "shorter"),
    ("activate", "deactivate"), ("verify", "dispute"), ("cash", "cheque"), ("today", "tomorrow"),
    ("physical", "virtual"), ("transfer", "payment"), ("card", "account"), ("best", "worst"), ("in", "out"),
]  # fmt: skip


def _opposite(text: str, chance: random.Random) -> str | None:
    """A word becomes another one of the kind that changes the answer."""
    both = [pair for one, other in _OPPOSITES for pair in ((one, other), (other, one))]
    found = [(old, new) for old, new in both if re.search(rf"\b{old}\b", text)]
    if not found:
        return None
    old, new = chance.choice(found)
    return re.sub(rf"\b{old}\b", new, text, count=1)


def _exchange(text: str, chance: random.Random) -> str | None:
    """What is on the two sides of "than", "before", "after", "over", "from ... to" changes places."""
    found = [
        match
        for match in re.finditer(r"\b([A-Za-z]{3,}) (than|before|after|over|to) ([A-Za-z]{3,})\b", text)
        if not {match[1].lower(), match[3].lower()} & _GRAMMAR
        and (match[2] != "to" or text[: match.start()].endswith("from "))
    ]
    if not found:
        return None
    match = chance.choice(found)
    return f"{text[: match.start()]}{match[3]} {match[2]} {match[1]}{text[match.end() :]}"


#: Words that are no things: moving them makes no sentence.
_GRAMMAR = frozenset(
    [
        "the", "this", "that", "these", "those", "there", "here", "she", "her", "his", "him", "its",
        "they", "them", "you", "your", "does", "did", "has", "have", "had", "was", "were", "are",
        "been", "being", "will", "would", "can", "could", "should", "what", "when", "where", "which",
        "who", "how", "why", "with", "for", "and", "not", "more", "less", "then", "now", "again", "one",
        "way", "some", "any", "all", "each", "every", "before", "after",
    ]
)  # fmt: skip


def _qualifier(text: str, chance: random.Random) -> str | None:
    """A noun gets an adjective that it had not."""
    found = list(re.finditer(r"\b(my|the|a) (?=[a-z]{3,})", text))
    if not found:
        return None
    match = chance.choice(found)
    extra = chance.choice(["second", "broken", "wrong", "other", "foreign", "cheapest", "next", "old"])
    return f"{text[: match.end()]}{extra} {text[match.end() :]}"


#: Each makes another question.
_APART: list[Callable[[str, random.Random], str | None]] = [
    _number, _negation, _name, _opposite, _exchange, _qualifier
]  # fmt: skip


def _polite(text: str, chance: random.Random) -> str | None:
    """The same, with manners."""
    before = chance.choice(["Please tell me: ", "Hi, ", "Hello! ", "Can you tell me: ", "Please, ", "hey "])
    return before + text


def _careless(text: str, chance: random.Random) -> str | None:
    """The same in small letters, without the mark at its end."""
    return re.sub(r"[?.!]+$", "", text).lower()


def _contracted(text: str, chance: random.Random) -> str | None:
    """The same with contractions written out, or the other way round."""
    for short, long in [("What's", "What is"), ("I'm", "I am"), ("isn't", "is not"), ("can't", "cannot"),
                        ("don't", "do not"), ("didn't", "did not"), ("hasn't", "has not")]:  # fmt: skip
        if short in text:
            return text.replace(short, long)
        if long in text:
            return text.replace(long, short)
    return None


def _how(text: str, chance: random.Random) -> str | None:
    """The same with another way to ask how."""
    ways = ["How do I ", "How can I ", "How to ", "What are the steps to ", "How could I "]
    for way in ways:
        if text.startswith(way):
            return chance.choice([other for other in ways if other != way]) + text[len(way) :]
    return None


#: Each asks the same.
_ALIKE: list[Callable[[str, random.Random], str | None]] = [_polite, _careless, _contracted, _how]
