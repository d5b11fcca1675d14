"""Counting the tokens of a conversation with Claude."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings

from asyncapi.backends.claude import backend
from asyncapi.errors import AsyncAPIError, DecodeError, OverloadedError, UnsupportedOperationError
from asyncapi.types.messages import Message, Tool
from asyncapi.types.requests import CountTokensRequest, RespondRequest
from asyncapi.types.responses import CountTokensResponse
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireResponse

from .damage import JSON

HELLO = (Message("system", "Be brief."), Message("user", "Hello"))
COUNT = CountTokensRequest(
    model="claude-sonnet-5",
    messages=HELLO,
    max_tokens=5,
    stop=("END",),
    stream=True,
    tools=(Tool(name="now"),),
    tool_choice="auto",
    reasoning_effort="low",
    user_id="u",
    service_tier="auto",
)


def decode(body: Any) -> CountTokensResponse:
    """The answer to the count."""
    data = json.dumps(body).encode()
    response = backend.decode(COUNT, WireResponse(status=200, headers={"request-id": "req_1"}, body=data))
    assert isinstance(response, CountTokensResponse)
    return response


def test_what_is_read_is_sent_and_what_is_generated_is_not() -> None:
    """The service refuses fields that do not count."""
    wire = backend.encode(COUNT)

    assert (wire.method, wire.path) == ("POST", "/v1/messages/count_tokens")
    assert json.loads(wire.body or b"") == {
        "model": "claude-sonnet-5",
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Hello"}],
        "tools": [{"name": "now", "input_schema": {"type": "object", "properties": {}}}],
        "tool_choice": {"type": "auto"},
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "low"},
    }
    assert wire.headers is not None
    assert wire.headers["anthropic-version"] == "2026-10-21"


def test_the_count_is_in_usage_too() -> None:
    """With the service's id of the request."""
    response = decode({"input_tokens": 14})

    assert response.input_tokens == 14
    assert response.usage == Usage(input_tokens=14, source="reported")
    assert (response.model, response.provider_request_id) == ("claude-sonnet-5", "req_1")


@pytest.mark.parametrize("tokens", [None, "14", -1, 1.5, True])
def test_what_is_no_count_is_a_decode_error(tokens: Any) -> None:
    """Absent is not zero."""
    with pytest.raises(DecodeError) as caught:
        decode({"input_tokens": tokens})

    assert caught.value.body


def test_an_error_inside_a_200_is_raised() -> None:
    """Not taken for a count."""
    with pytest.raises(OverloadedError):
        decode({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})


def test_other_kinds_of_conversation_are_refused() -> None:
    """OpenAI's Responses are no chat of this service."""
    with pytest.raises(UnsupportedOperationError, match="respond"):
        backend.encode(RespondRequest(model="m", messages=HELLO))


@settings(deadline=None)
@given(body=JSON)
def test_any_json_is_a_count_or_refused(body: Any) -> None:
    """Garbage is an AsyncAPIError."""
    try:
        response = decode(body)
    except AsyncAPIError:
        return
    assert response.input_tokens >= 0
