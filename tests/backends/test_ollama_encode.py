"""Requests to Ollama, against written-down bodies, and its address."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asyncapi.backends.ollama import backend, normalise_url
from asyncapi.errors import ConfigError, UnsupportedOperationError
from asyncapi.types.messages import (
    Audio,
    File,
    Image,
    Message,
    Part,
    RawPart,
    Reasoning,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from asyncapi.types.requests import ChatRequest, EmbedRequest, Extra, ModelsRequest, RerankRequest
from asyncapi.types.wire import WireRequest

GOLDEN = json.loads((Path(__file__).parent / "golden" / "ollama" / "requests.json").read_text())
HELLO = (Message("user", "Hello"),)


def chat(*messages: Message, **options: Any) -> ChatRequest:
    """A request with the model that the golden bodies have."""
    return ChatRequest(model="qwen3:8b", messages=messages or HELLO, **options)


def body_of(request: WireRequest) -> Any:
    """The JSON that would be sent."""
    assert request.body is not None
    return json.loads(request.body)


CASES = {
    "plain": chat(
        n=1, parallel_tool_calls=True, tools=(Tool(name="f"),), tool_choice="none", response_format="text"
    ),
    "options": chat(
        Message("system", "Be brief."),
        Message("developer", "In verse."),
        *HELLO,
        max_tokens=64,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        stop=("END",),
        seed=7,
        frequency_penalty=0.1,
        presence_penalty=0.2,
        stream=True,
        logprobs=True,
        top_logprobs=3,
        response_format={"schema": {"type": "object"}, "name": "x"},
        reasoning_effort="high",
        extra=Extra(body={"options": {"num_ctx": 8192}, "keep_alive": "10m"}),
    ),
    "tools": chat(
        Message("user", "Weather?"),
        Message(
            "assistant",
            (
                Reasoning(text="Hm", provider="claude", provider_data={"type": "thinking"}),
                Reasoning(text="Need it. ", provider="ollama"),
                Reasoning(text="Now."),
                RawPart(provider="openai", data={}),
                Text("Let me "),
                Text("look.", cache="5m"),
                ToolCall(id="call_1", name="get_weather", arguments='{"city": "Oslo"}'),
                ToolCall(id="call_2", name="now", arguments="{"),
            ),
        ),
        Message(
            "tool",
            (
                ToolResult(tool_call_id="call_1", content="7 degrees"),
                ToolResult(tool_call_id="call_2", content="noon", name="clock"),
                ToolResult(tool_call_id="call_3", content="?"),
            ),
        ),
        tools=(
            Tool(
                name="get_weather",
                description="Weather now",
                parameters={"type": "object", "properties": {"city": {"type": "string"}}},
            ),
            Tool(name="now"),
            Tool(name="raw", raw={"type": "function", "function": {"name": "raw"}}),
        ),
        tool_choice="auto",
    ),
    "images": chat(
        Message(
            "user",
            (
                Text("What is this?"),
                Image(data="iVBO"),
                Text(" And that?"),
                Image(url="data:image/gif;base64,R0lG"),
            ),
        )
    ),
    "unknown_parameters": chat(
        tools=(Tool(name="f", strict=True),),
        tool_choice="required",
        parallel_tool_calls=False,
        n=2,
        user_id="u",
        metadata={"a": "b"},
        service_tier="auto",
        reasoning_effort="xhigh",
        reasoning_budget=100,
        response_format={"regex": "a"},
    ),
}


@pytest.mark.parametrize("name", sorted(set(GOLDEN) - {"source"}))
def test_a_request_becomes_the_written_down_body(name: str) -> None:
    """Body and warnings are those of the golden file; ``stream`` is always explicit."""
    request = backend.encode(CASES[name])

    assert body_of(request) == GOLDEN[name]["body"]
    assert list(request.warnings) == GOLDEN[name]["warnings"]
    assert (request.method, request.path) == ("POST", "/api/chat")


@pytest.mark.parametrize(
    ("options", "think"),
    [
        ({"reasoning_effort": "none"}, False),
        ({"reasoning_effort": "low"}, "low"),
        ({"reasoning_effort": "minimal"}, "low"),
        ({"reasoning_budget": 0}, False),
        ({"reasoning_budget": 100}, True),
        ({}, None),
    ],
)
def test_reasoning_is_translated(options: dict[str, Any], think: Any) -> None:
    """Levels by name, on or off where there is none."""
    assert body_of(backend.encode(chat(**options))).get("think") == think


def test_any_json_is_a_format_of_its_own() -> None:
    """The schema itself is the other form."""
    assert body_of(backend.encode(chat(response_format="json")))["format"] == "json"
    with pytest.raises(ConfigError, match="response_format='xml'"):
        backend.encode(chat(response_format="xml", unsupported="error"))


@pytest.mark.parametrize("part", [Image(url="https://example.com/a.png"), Audio(data="a"), File(data="a")])
def test_content_that_ollama_cannot_be_given_is_refused(part: Part) -> None:
    """The service fetches nothing, and content is never dropped in silence."""
    with pytest.raises(ConfigError, match=r"messages\[0\]"):
        backend.encode(chat(Message("user", (part,))))


def test_embeddings_are_asked_for_in_one_list() -> None:
    """Dimensions go along where they are wanted."""
    request = backend.encode(EmbedRequest(model="all-minilm", inputs=("a", "b"), dimensions=64))

    assert request.path == "/api/embed"
    assert body_of(request) == {"model": "all-minilm", "input": ["a", "b"], "dimensions": 64}
    assert "dimensions" not in body_of(backend.encode(EmbedRequest(model="m", inputs=("a",))))


@pytest.mark.parametrize(("inputs", "message"), [(("a", ""), r"inputs\[1\]"), ((), "one text or more")])
def test_texts_that_would_vanish_are_refused(inputs: tuple[str, ...], message: str) -> None:
    """The service leaves empty texts out of its answer, which would move every vector after them."""
    with pytest.raises(ConfigError, match=message):
        backend.encode(EmbedRequest(model="m", inputs=inputs))


def test_models_are_the_local_tags() -> None:
    """A GET without a body, the caller's extras on top."""
    plain = backend.encode(ModelsRequest())
    request = backend.encode(ModelsRequest(extra=Extra(query={"a": "1"}, headers={"x": "y"})))

    assert (plain.method, plain.path, plain.body, plain.headers) == ("GET", "/api/tags", None, None)
    assert (request.path, request.headers) == ("/api/tags?a=1", {"x": "y"})


def test_operations_that_ollama_lacks_are_refused() -> None:
    """There is no reranking."""
    with pytest.raises(UnsupportedOperationError, match="rerank"):
        backend.encode(RerankRequest(model="m", query="q", documents=("a",)))


def test_the_key_is_a_bearer_token() -> None:
    """Only the hosted service wants one."""
    assert backend.authorize("k") == {"Authorization": "Bearer k"}
    assert not backend.service.needs_key


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", "http://127.0.0.1:11434"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        ("1.2.3.4:56789", "http://1.2.3.4:56789"),
        (":56789", "http://127.0.0.1:56789"),
        ("http://1.2.3.4", "http://1.2.3.4:80"),
        ("https://1.2.3.4", "https://1.2.3.4:443"),
        ("https://1.2.3.4:56789", "https://1.2.3.4:56789"),
        ("HTTPS://Example.com/", "https://example.com:443"),
        ("example.com", "http://example.com:11434"),
        ("example.com:56789/", "http://example.com:56789"),
        ("example.com/path", "http://example.com:11434/path"),
        ("https://example.com:56789/path/", "https://example.com:56789/path"),
        ("[0001:002:003:0004::1]", "http://[0001:002:003:0004::1]:11434"),
        ("http://[::1]:56789/path", "http://[::1]:56789/path"),
        (" http://me:secret@example.com ", "http://me:secret@example.com:80"),
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434"),
    ],
)
def test_the_address_follows_the_services_own_rules(value: str, expected: str) -> None:
    """Without a scheme the port is 11434, with one it is the scheme's; twice is once."""
    assert normalise_url(value) == expected
    assert normalise_url(expected) == expected


@pytest.mark.parametrize("value", ["http://host:port", "host:99999999", "ftp://host", "http://[::1"])
def test_what_is_no_address_is_refused(value: str) -> None:
    """The message has the value."""
    with pytest.raises(ConfigError, match="no address"):
        normalise_url(value)
