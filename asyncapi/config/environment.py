"""``ASYNCAPI_*`` variables: every setting of an endpoint, generated from the structs.

``ASYNCAPI_<WORD>`` is for all endpoints, ``ASYNCAPI_<ENDPOINT>__<WORD>`` for one and wins:
``ASYNCAPI_LIMIT=20``, ``ASYNCAPI_RETRY_ATTEMPTS=7``, ``ASYNCAPI_OPENAI_MAIN__TIMEOUT=30``. Apart from
the structs there are ``PROFILE``, for all or for one, and ``BASE_URL``, for one endpoint only.
A variable that is set but blank counts as not set. ``none`` takes a limit away where there may be none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from asyncapi.config.fields import (
    Hint,
    Misfit,
    accepts_none,
    did_you_mean,
    expected,
    fields_of,
    fit,
    quoted,
    shown,
)
from asyncapi.config.layers import SCALARS, SECTIONS, SHORT, Layer, kind_of, lay
from asyncapi.config.layers import section as as_section
from asyncapi.config.profiles import Profile
from asyncapi.errors import ConfigError

__all__ = ["WORDS", "Word", "overrides", "profile_variable", "scope", "unknown_variables", "used", "value_of"]

_PREFIX = "ASYNCAPI_"
_YES = {"1", "true", "yes", "on"}
_NO = {"0", "false", "no", "off"}


class Word(msgspec.Struct, frozen=True):
    """A setting that a variable can give: its place in a layer, its type, and whether ``none`` is one.

    Without a ``field`` it is the short form of its section. ``kind`` is what else it says of the section.
    """

    section: str
    field: str
    hint: Hint
    nullable: bool
    kind: Layer = {}


def _words() -> Iterator[tuple[str, Word]]:
    for name, structs in SECTIONS.items():
        first = next(iter(fields_of(structs[0]).values()))
        if name in SHORT:  # a bare value mostly stands for the first field: TIMEOUT is TIMEOUT_TOTAL
            yield name.upper(), Word(name, "", SHORT[name], accepts_none(first.type))
        for struct in structs:
            for field in fields_of(struct).values():
                if field.name != name:
                    word = Word(name, field.name, field.type, accepts_none(field.type), kind_of(struct))
                    yield f"{name}_{field.name}".upper(), word
    for name, hint in SCALARS.items():
        nullable = accepts_none(hint) and name not in fields_of(Profile)  # else None means: from the profile
        yield ("KEYS_STRATEGY" if name == "strategy" else name.upper()), Word("", name, hint, nullable)


WORDS: Mapping[str, Word] = dict(_words())
"""Every ``<WORD>`` and what it sets; ``PROFILE`` and ``BASE_URL`` are apart."""

_ALL_ONLY = ("CONFIG", "PROFILE")
_ONE_ONLY = ("BASE_URL", "PROFILE")


def scope(endpoint: str) -> str:
    """How the variables for an endpoint of this name begin; empty when its name has no letter or digit."""
    name = re.sub(r"[^A-Z0-9]+", "_", endpoint.upper()).strip("_")
    return f"{_PREFIX}{name}__" if name else ""


def value_of(variable: str, environment: Mapping[str, str]) -> str | None:
    """A variable's value without surrounding spaces, None when it is not set or blank."""
    return environment.get(variable, "").strip() or None


def overrides(endpoint: str, environment: Mapping[str, str]) -> Layer:
    """What the environment says for an endpoint of this name.

    Raises:
        ConfigError: A value is wrong, or a variable for this endpoint has an unknown word; names it.
    """
    own = scope(endpoint)
    if own:
        _refuse_unknown(own, environment)
    layers = [
        _layer(word, fit_variable(f"{prefix}{name}", text, word))
        for prefix in (_PREFIX, own)
        if prefix
        for name, word in WORDS.items()
        if (text := value_of(f"{prefix}{name}", environment)) is not None
    ]
    return lay(*layers)


def used(section: str, endpoint: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The variables that say something about a section of an endpoint, for messages."""
    names = [name for name, word in WORDS.items() if word.section == section]
    prefixes = [prefix for prefix in (_PREFIX, scope(endpoint)) if prefix]
    return tuple(p + name for p in prefixes for name in names if value_of(p + name, environment))


def profile_variable(endpoint: str, environment: Mapping[str, str]) -> str | None:
    """The variable that names the profile of this endpoint, None when none is set."""
    own = f"{scope(endpoint)}PROFILE"
    return next((name for name in (own, f"{_PREFIX}PROFILE") if value_of(name, environment)), None)


def fit_variable(variable: str, text: str, word: Word) -> object:
    """A variable's value in its setting's type.

    Raises:
        ConfigError: It is not accepted; names the variable, what was expected and what it got.
    """
    if word.nullable and text.lower() == "none":
        return None
    value: object = text
    if word.hint is bool:
        value = True if text.lower() in _YES else False if text.lower() in _NO else text
    try:
        # Lax conversion reads numbers from text, but "null" as None too: that word is ours to choose.
        return fit(value, word.hint, strict=text.lower() == "null")
    except Misfit:
        also = " or none" if word.nullable else ""
        raise ConfigError(f"{variable}: expected {expected(word.hint)}{also}, got {shown(text)}") from None


def unknown_variables(environment: Mapping[str, str], endpoints: Iterable[str]) -> tuple[str, ...]:
    """``ASYNCAPI_*`` variables that set nothing, given the endpoints there are. Not an error: others may
    use the prefix."""
    own = [prefix for prefix in map(scope, endpoints) if prefix]
    known = {_PREFIX + word for word in (*WORDS, *_ALL_ONLY)}
    known.update(prefix + word for prefix in own for word in (*WORDS, *_ONE_ONLY))
    return tuple(sorted(name for name in environment if name.startswith(_PREFIX) and name not in known))


def _layer(word: Word, value: object) -> Layer:
    if not word.section:
        return {word.field: value}
    if not word.field:
        return {word.section: as_section(word.section, value)}
    return {word.section: {**word.kind, word.field: value}}


def _refuse_unknown(own: str, environment: Mapping[str, str]) -> None:
    known = (*WORDS, *_ONE_ONLY)
    for variable in sorted(environment):
        word = variable.removeprefix(own)
        if variable.startswith(own) and word not in known:
            raise ConfigError(f"{variable}: no setting is called {quoted(word)}; {did_you_mean(word, known)}")
