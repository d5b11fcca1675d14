"""JSON in and out, and the errors about it."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from asyncapi.errors import ConfigError, DecodeError
from asyncapi.wire.json import dumps, loads, loads_object, merge


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "an empty body"),
        (b"  \n" * 40, "an empty body"),
        (b"<!DOCTYPE html><html>proxy</html>", "an HTML page"),
        (b"oops", "not JSON: oops"),
        (b'{"a":', "not JSON"),
        (b"\xff\xfe", "not JSON"),
    ],
)
def test_garbage_is_a_decode_error_that_says_who_sent_what(body: bytes, told: str) -> None:
    """The message has the service and the start of the body, the error the body."""
    with pytest.raises(DecodeError, match=f"^groq answered .*{told}") as caught:
        loads(body, "groq")

    assert caught.value.body == body


def test_an_object_is_wanted() -> None:
    """A list or a number is not an answer."""
    assert loads_object(b'{"a":1}', "openai") == {"a": 1}
    with pytest.raises(DecodeError, match="not an object"):
        loads_object(b"[1]", "openai")


def test_a_request_that_json_cannot_express_is_a_config_error() -> None:
    """Said before anything is sent."""
    with pytest.raises(ConfigError, match="openai"):
        dumps({"a": object()}, "openai")


def test_read_only_mappings_are_written() -> None:
    """Settings are often frozen."""
    assert dumps({"a": MappingProxyType({"b": 1})}, "openai") == b'{"a":{"b":1}}'


def test_merge_goes_into_objects_and_changes_neither_side() -> None:
    """Lists and values are replaced."""
    base = {"a": {"b": 1, "c": [1]}, "d": 1}
    extra = {"a": {"c": [2]}, "d": None, "e": {"f": 1}}

    assert merge(base, extra) == {"a": {"b": 1, "c": [2]}, "d": None, "e": {"f": 1}}
    assert base == {"a": {"b": 1, "c": [1]}, "d": 1}
