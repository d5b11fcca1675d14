"""What the guard of the semantic cache sees of a text.

Pure: a text in, a frozen value out.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import msgspec

from asyncapi.caching.words import (
    AUXILIARIES,
    CONJUNCTIONS,
    CONTRACTIONS,
    EMPTY,
    FUNCTION,
    IRREGULAR,
    LINKS,
    MEASURES,
    NUMBERS,
    OPENINGS,
    PARTICIPLES,
    PAST,
    PERSONS,
    PHRASES,
    QUESTIONS,
    SPELLINGS,
    STRANDED,
    SYNONYMS,
)

__all__ = ["Reading", "base", "read"]


class Reading(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A text as the guard compares it; everything in the order of the text.

    ``numbers`` are values, of digits and of words; ``signs`` operators; ``names`` what is written like an
    identifier, or like an acronym that is also a common word ("US", "IT"). ``content`` are the words that
    say something, numbers among them, each in one spelling. ``asks`` is what kind of answer is wanted,
    ``subjects`` the pronouns who do something, ``persons`` who is spoken of beside the one who speaks,
    ``own`` how often it says "my", ``any`` how often "a", ``links`` its prepositions, ``voice`` whether in
    the past and in the passive. ``code`` is a text that looks like a program, ``foreign`` one in other
    letters than Latin ones.
    """

    numbers: tuple[str, ...]
    signs: tuple[str, ...]
    names: tuple[str, ...]
    content: tuple[str, ...]
    asks: tuple[str, ...]
    subjects: tuple[str, ...]
    persons: tuple[str, ...]
    own: int
    any: int
    links: tuple[str, ...]
    voice: tuple[bool, bool]
    code: bool
    foreign: bool


_QUOTES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "`": "'", "–": "-", "—": "-"})
_NUMBER = r"\d+(?:[.,:]\d+)*"
_TOKEN = re.compile(rf"[^\W\d_]+(?:'[^\W\d_]+)*|{_NUMBER}")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_MONEY = re.compile(rf"([$€£¥])\s*({_NUMBER})")
#: All that is neither a word nor punctuation; a hyphen only where it may be a minus.
_SIGN = re.compile(r"[^\w\s.,;:!?\"'()…$€£¥%-]|(?<!\w)-(?=\d)|(?<=\d)\s*-\s*(?=\d)|(?<=\s)-(?=\s\d)")
_CODE = re.compile(r"[{}\[\]\\;|]|==|!=|=>|->|::|\(\)|</|/>|&&")
#: Letters with digits, snake_case, camelCase, paths, addresses, C++, C#.
_IDENTIFIER = re.compile(r"(?=.*[^\W\d_])(?=.*\d)|_|[a-z][A-Z]|\w[./\\@#:]\w|\w\+\+|\w#|^[#@.]\w")
_EDGE = ".,;:!?\"'()<>*…-"
_FRONT = re.compile(r"(?:in|on|under|with|for) ([\w.+#-]+(?: [\w.+#-]+)?), (.+)", re.S)
_CLAUSE = re.compile(
    r"(?:if|when) ([^,?!.]+), ((?:what|how|can|is|are|do|does|will|should|who|why|where)\b.+)", re.S
)
_PHRASE = re.compile(
    r"(?<!\w)(?:" + "|".join(map(re.escape, sorted(PHRASES, key=len, reverse=True))) + r")(?!\w)"
)
_OPENING = re.compile(
    r"(?:(?:" + "|".join(map(re.escape, sorted(OPENINGS, key=len, reverse=True))) + r")(?!\w)[\s,.!:]*)+"
)
#: Turns of phrase that move words.
_TURNED = (
    (re.compile(r"^what (?:does|do) ([^?.]+) mean\b"), r"what is the meaning of \1"),
    (re.compile(r"^how old is ([^?.]+)"), r"what is the age of \1"),
    (re.compile(r"^how much (?:is|are) (?=\d)"), "what is "),
    (re.compile(r"^(?:name|list|state|give me) the\b"), "what is the"),
    (re.compile(r"^(?:name|list|give me|show me)\b"), "show"),
    (re.compile(r"^([^']*)\b(\w+)'s (\w+)([^']*)$"), r"\1\3 of \2\4"),
)
_ENDINGS = (("n't", " not"), ("'re", " are"), ("'ve", " have"), ("'ll", " will"), ("'d", " would"))


@lru_cache(maxsize=16)  # one text is compared with several in a row
def read(text: str) -> Reading:
    """What the guard sees of a text."""
    text = unicodedata.normalize("NFC", text).translate(_QUOTES)
    words = _TOKEN.findall(_rewritten(text))
    said = [spelled(word) for word in words]
    return Reading(
        numbers=tuple(value for word in words if (value := _value(word)) is not None),
        signs=tuple(sign.strip() for sign in _SIGN.findall(text)),
        names=_names(text),
        content=_content(words, said),
        asks=_asks(words),
        subjects=_subjects(words),
        persons=tuple(person for word in words if (person := PERSONS.get(word, "i")) != "i"),
        own=sum(word in ("my", "our") for word in words),
        any=sum(word in ("a", "an") for word in words),
        links=tuple(sorted(LINKS[word] for word in words if word in LINKS)),
        voice=(any(word in PAST for word in words), _passive(words)),
        code=_CODE.search(text) is not None,
        foreign=not text.isascii()
        and any(c.isalpha() and c > "\u024f" and not "\u1e00" <= c <= "\u1eff" for c in text),
    )


def _rewritten(text: str) -> str:
    """In small letters, without openings; contractions, signs and phrases written in one way."""
    text = _MONEY.sub(lambda match: f"{match[2]} {SPELLINGS[match[1]]}", text.casefold())
    for sign, word in SPELLINGS.items():
        text = text.replace(sign, f" {word} ")
    text = " ".join(CONTRACTIONS.get(word, word) for word in text.split())
    for short, long in _ENDINGS:
        text = text.replace(short, long)
    opening = _OPENING.match(text)
    if opening is not None and opening.end() < len(text):
        text = text[opening.end() :]
    if (front := _FRONT.fullmatch(text)) is not None:
        text = f"{front[2].rstrip('?.! ')} {front[1]}"
    elif (clause := _CLAUSE.fullmatch(text)) is not None:
        text = f"{clause[2].rstrip('?.! ')} if {clause[1]}"
    for pattern, better in _TURNED:
        text = pattern.sub(better, text)
    return _PHRASE.sub(lambda match: PHRASES[match[0]], text)


# --- words ------------------------------------------------------------------------------------


@lru_cache(maxsize=8192)
def spelled(word: str) -> str:
    """The word that stands for this one."""
    word = base(word)
    return _STANDS.get(word, word)


@lru_cache(maxsize=8192)
def base(word: str) -> str:
    """A word without its ending: one spelling for "charge", "charges" and "charging"."""
    word = word.removesuffix("'s").removesuffix("'")
    known = IRREGULAR.get(word)
    if known is not None:
        return known
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = _singular(word)
    stem = word.removesuffix("ing")
    if stem != word and len(stem) > 2 and _VOWEL.search(stem):
        return _completed(stem)
    return word[:-1] if len(word) > 5 and word.endswith("e") else word


_VOWEL = re.compile("[aeiouy]")
_LOST_E = re.compile(r"^[^aeiouy]*[aeiouy][^aeiouywx]$|[aeiou]{2}[svczg]$|(?:[rd]g|[rl]v|[nr]c|[nlr]s)$")


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-2] if word.endswith(("ches", "shes", "xes", "sses", "zes")) else word[:-1]


def _completed(stem: str) -> str:
    """``stopp`` is ``stop``, ``clos`` is ``close``; ``receiv`` stays, as ``receive`` loses its e."""
    if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "aeiouls":
        return stem[:-1]
    return stem + "e" if len(stem) < 5 and _LOST_E.search(stem) else stem


_STANDS = {base(word): base(first) for word, first in SYNONYMS.items()}


def _content(words: list[str], said: list[str]) -> tuple[str, ...]:
    found: list[str] = []
    did = False  # the first "do" is an auxiliary, a second one a verb: "what do they do"
    for place, (word, spelling) in enumerate(zip(words, said, strict=True)):
        following = words[place + 1] if place + 1 < len(words) else ""
        value = _value(word)
        if value is not None:
            found.append(value)
        elif word == "a" and (not following or following in FUNCTION):
            found.append("a")
        elif spelling in ("have", "get"):
            found += [] if _is_participle(following) else [spelling]
        elif spelling == "do":
            found += [spelling] if did else []
            did = True
        elif spelling not in EMPTY or (not following and spelling in STRANDED):
            found.append(spelling)
    return tuple(found)


def _value(word: str) -> str | None:
    """``1,000`` and ``1000`` are one number, so are ``2.50`` and ``2.5``."""
    if not word[0].isdigit():
        return NUMBERS.get(word)
    if _GROUPED.fullmatch(word):
        word = word.replace(",", "")
    whole, _, rest = word.partition(".")
    if not whole.isdecimal() or (rest and not rest.isdecimal()):
        return word
    rest = rest.rstrip("0")
    return f"{int(whole)}.{rest}" if rest else str(int(whole))


# --- what is asked, and of whom -----------------------------------------------------------------


def _asks(words: list[str]) -> tuple[str, ...]:
    """The question word, and those after it that are no conjunctions."""
    found: list[str] = []
    for place, word in enumerate(words):
        if word not in QUESTIONS:
            continue
        following, after = (*words[place + 1 : place + 3], "", "")[:2]
        if word == "how" and (following in MEASURES or (after in AUXILIARIES and following not in EMPTY)):
            word = f"how {spelled(following)}"  # "how many", "how safe is"
        if not found and place and words[0] in AUXILIARIES:
            found.append("whether")
        if not found or word not in CONJUNCTIONS:
            found.append("what" if word == "which" else word)
    return tuple(found) or (("whether",) if words and words[0] in AUXILIARIES else ())


def _subjects(words: list[str]) -> tuple[str, ...]:
    """The pronouns beside an auxiliary: "can I", "it is"."""
    found = []
    for place, word in enumerate(words):
        person = "it" if word == "it" else PERSONS.get(word)
        if person is not None and (
            (place and words[place - 1] in AUXILIARIES)
            or (words[place + 1 : place + 2] or [""])[0] in AUXILIARIES
        ):
            found.append(person)
    return tuple(found)


def _passive(words: list[str]) -> bool:
    """Whether something is done to somebody: "was charged", "is it stolen"."""
    for place, word in enumerate(words):
        if spelled(word) in ("be", "get") and any(map(_is_participle, words[place + 1 : place + 4])):
            return True
    return False


def _is_participle(word: str) -> bool:
    return word in PARTICIPLES or (word.endswith("ed") and len(word) > 4)


# --- names --------------------------------------------------------------------------------------


def _names(text: str) -> tuple[str, ...]:
    found = []
    shouts = text.isupper()
    begins = True
    for chunk in text.split():
        word = chunk.strip(_EDGE)
        if _IDENTIFIER.search(word):
            found.append(word)
        elif word and not shouts and _is_name(word.removesuffix("'s"), begins):
            found.append(word.removesuffix("'s"))
        begins = chunk.endswith((".", "!", "?", ":"))
    return tuple(found)


def _is_name(word: str, begins: bool) -> bool:
    """Whether a common word is meant as a name: "US", "IT", "vitamin A", "World War I"."""
    if word.casefold() not in EMPTY or not word[0].isupper():
        return False
    if len(word) == 1:
        return word == "A" and not begins
    return word.isupper()
