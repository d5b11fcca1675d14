"""OpenAI's own actions: looking after answers that are kept or made in the background."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asyncapi.errors import ConfigError
from asyncapi.types.requests import Extra, NativeRequest

from .openai_golden import dialect


@pytest.mark.parametrize(
    ("action", "arguments", "method", "path", "body"),
    [
        ("response", {"id": "resp_1"}, "GET", "/responses/resp_1", None),
        ("response", {"id": "r", "include": "x"}, "GET", "/responses/r?include=x", None),
        ("response_input", {"id": "a/b"}, "GET", "/responses/a%2Fb/input_items", None),
        ("cancel_response", {"id": "resp_1"}, "POST", "/responses/resp_1/cancel", {}),
        ("model", {"id": "gpt-6"}, "GET", "/models/gpt-6", None),
    ],
)
def test_an_id_has_its_place_in_the_path(
    action: str, arguments: dict[str, Any], method: str, path: str, body: Any
) -> None:
    """Escaped; the other arguments go where arguments go."""
    made = dialect("openai").encode(NativeRequest(model="", action=action, arguments=arguments))

    assert (made.method, made.path) == (method, path)
    assert (None if made.body is None else json.loads(made.body)) == body


@pytest.mark.parametrize("arguments", [{}, {"id": ""}, {"id": 5}])
def test_an_id_that_is_missing_is_asked_for(arguments: dict[str, Any]) -> None:
    """Rather than another path called."""
    with pytest.raises(ConfigError, match="response needs an argument 'id'"):
        dialect("openai").encode(NativeRequest(model="", action="response", arguments=arguments))


def test_extras_come_along() -> None:
    """Query and headers."""
    extra = Extra(query={"a": "b"}, headers={"x": "y"})
    made = dialect("openai").encode(
        NativeRequest(action="response", model="", arguments={"id": "r"}, extra=extra)
    )

    assert (made.path, made.headers) == ("/responses/r?a=b", {"x": "y"})
