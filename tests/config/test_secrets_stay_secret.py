"""A secret planted anywhere occurs in no repr, string or error."""

from __future__ import annotations

import tomllib
import traceback
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.config import Endpoint, Key, KeyPool, read, resolve, survey
from asyncapi.errors import ConfigError
from asyncapi.types.wire import Service

SECRETS = st.from_regex(r"(sk-|gsk_|hf_|AIza|)[A-Za-z0-9]{20,40}[0-9][a-z][A-Z]", fullmatch=True)
SERVICE = Service(
    name="openai",
    operations=frozenset({"chat"}),
    base_url="https://api.openai.com/v1",
    key_env=("OPENAI_API_KEY",),
    url_env=("OPENAI_BASE_URL",),
)
SPOILED = st.sampled_from(
    ["{}", " {}", "{}\n", "{} x", "é{}", "http://u:{}@host", "http://host/?key={}", "Bearer {}"]
)
FIELDS = st.sampled_from([name for name in Endpoint.__struct_fields__ if name not in ("backend", "name")])
SECTIONS = st.sampled_from(["retry", "breaker", "batch", "timeout", "limit", "keys"])


def everything_said(data: dict[str, Any], environment: dict[str, str]) -> str:
    """Every text that reading and resolving these settings gives."""
    said: list[str] = [repr(survey([SERVICE], environment))]
    try:
        loaded = read(data)
        said.append(repr(loaded))
        for endpoint in loaded.endpoints:
            said += [str(endpoint), str(endpoint.__rich_repr__())]
            resolved = resolve(endpoint, SERVICE, profile="balanced", environment=environment)
            said += [repr(resolved), str(resolved.__rich_repr__())]
    except ConfigError as error:
        said += [str(error), repr(error), "".join(traceback.format_exception(error))]
    return "\n".join(said)


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(
    SECRETS, SPOILED, FIELDS, SECTIONS, st.sampled_from(["value", "env", "name", "pool", "attempts", "total"])
)
def test_in_a_file(secret: str, spoiled: str, field: str, section: str, inner: str) -> None:
    """In its right place, in a wrong one, or spoiled in any way."""
    text = spoiled.format(secret)
    for table in (
        {field: text},
        {field: [text]},
        {"headers": {"Authorization": text}},
        {section: {inner: text}},
        {section: {text: 1}},
        {"keys": [{inner: text}]},
        {"keys": [{"value": text, "name": text}]},
        {"keys": {"pool": [{"value": text}]}},
    ):
        data = {"endpoints": {"main": {"backend": "openai", **table}}}

        assert secret not in everything_said(data, {"OPENAI_API_KEY": "sk-a"}), table


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(
    SECRETS, SPOILED, st.sampled_from(["LIMIT", "TIMEOUT", "PROFILE", "MAIN__BASE_URL", "STRICT", "ON_OPEN"])
)
def test_in_the_environment(secret: str, spoiled: str, word: str) -> None:
    """As a key, as an address, or as the value of any setting."""
    text = spoiled.format(secret)
    data = {
        "endpoints": {"main": {"backend": "openai"}, "other": {"backend": "openai", "keys": [{"env": "A"}]}}
    }
    for variable in ("OPENAI_API_KEY", "OPENAI_API_KEY_7", "OPENAI_BASE_URL", "A", f"ASYNCAPI_{word}"):
        environment = {"OPENAI_API_KEY": "sk-a", "A": "sk-b", variable: text}

        assert secret not in everything_said(data, environment), variable


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(SECRETS, SPOILED)
def test_in_python(secret: str, spoiled: str) -> None:
    """As a key of any form, as a header, as an address."""
    text = spoiled.format(secret)
    fields: list[dict[str, Any]] = [
        {"keys": (text,)},
        {"keys": text},
        {"headers": {"A": text}},
        {"base_url": text},
        {"name": text + ":"},
    ]
    for given_fields in fields:
        try:
            said = repr(Endpoint("openai", **given_fields))
        except ConfigError as error:
            said = "".join(traceback.format_exception(error)[-1:])

        assert secret not in said, given_fields
    for make in (Key, lambda value: Key(env=value), lambda value: KeyPool((Key(value),))):
        try:
            said = repr(make(text))
        except ConfigError as error:
            said = str(error)

        assert secret not in said


def test_syntax_errors_do_not_show_the_line() -> None:
    """The parser's message has the position only; this holds it to that."""
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads('[endpoints.main]\nkeys = ["sk-hidden-1234567890]')

    assert "hidden" not in str(caught.value)
