"""Requests to Claude, against written-down bodies."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from asyncapi.backends.claude import Claude, backend
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
from asyncapi.types.requests import ChatRequest, EmbedRequest, Extra, ModelsRequest
from asyncapi.types.wire import WireRequest

GOLDEN = json.loads((Path(__file__).parent / "golden" / "claude" / "requests.json").read_text())
HELLO = (Message("user", "Hello"),)


def chat(*messages: Message, **options: Any) -> ChatRequest:
    """A request with the model that the golden bodies have."""
    return ChatRequest(model="claude-sonnet-5", messages=messages or HELLO, **options)


def body_of(request: WireRequest) -> Any:
    """The JSON that would be sent."""
    assert request.body is not None
    return json.loads(request.body)


THINKING = {"type": "thinking", "thinking": "Two calls.", "signature": "EqQBCgIYAhIM1g=="}
CASES = {
    "plain": chat(n=1, logprobs=False, parallel_tool_calls=False, response_format="text"),
    "system": chat(
        Message("system", "Be brief."),
        Message("user", "Hello"),
        max_tokens=64,
        stop=("END",),
        stream=True,
        user_id="u-1",
        service_tier="standard_only",
    ),
    "system_cached": chat(
        Message("system", (Text("A long text.", cache="1h"), Text(""))),
        Message("user", (Text("Hello", cache="5m"),)),
        Message("developer", "Be brief."),
    ),
    "tools": chat(
        Message("user", "Weather in Oslo and Rome?"),
        Message(
            "assistant",
            (
                Reasoning(text="Two calls.", provider="claude", provider_data=THINKING),
                Text("Let me look."),
                ToolCall(id="toolu_1", name="get_weather", arguments='{"city": "Oslo"}'),
                ToolCall(id="toolu_2", name="get_weather", arguments=" "),
            ),
        ),
        Message("tool", (ToolResult(tool_call_id="toolu_1", content="7 degrees"),)),
        Message("user", "In Celsius, please."),
        Message("tool", (ToolResult(tool_call_id="toolu_2", content="no city", is_error=True),)),
        tools=(
            Tool(
                name="get_weather",
                description="Weather now",
                parameters={"type": "object", "properties": {"city": {"type": "string"}}},
                strict=True,
            ),
            Tool(name="stop"),
            Tool(name="web_search", raw={"type": "web_search_20260318", "name": "web_search"}),
        ),
        tool_choice="required",
        parallel_tool_calls=False,
    ),
    "media": chat(
        Message(
            "user",
            (
                Image(data="/9j/", media_type="image/jpeg", cache="5m"),
                Image(url="data:image/gif;base64,R0lG"),
                Image(url="https://example.com/a.png"),
                File(data="JVBE", filename="a.pdf", cache="1h"),
                File(url="https://example.com/a.pdf"),
                File(file_id="file_1"),
                File(data="aMOpbGxv", media_type="text/plain"),
                RawPart(
                    provider="claude",
                    data={"type": "search_result", "source": "s", "title": "t", "content": []},
                ),
            ),
        )
    ),
    "reasoning": chat(
        reasoning_budget=2000, reasoning_effort="high", response_format={"schema": {"type": "object"}}
    ),
    "sampling_old_version": chat(
        temperature=0.5, top_p=0.9, top_k=40, extra=Extra(headers={"Anthropic-Version": "2023-06-01"})
    ),
    "sampling_new_version": chat(temperature=0.5, top_p=0.9, top_k=40),
    "unknown_parameters": chat(
        seed=1,
        n=2,
        frequency_penalty=0.1,
        presence_penalty=0.1,
        logprobs=True,
        metadata={"a": "b"},
        response_format="json",
    ),
    "foreign_history": chat(
        Message("user", "Hello"),
        Message(
            "assistant",
            (
                Reasoning(text="Hm", provider="gemini", provider_data={"thoughtSignature": "x"}),
                RawPart(provider="openai", data={"type": "web_search_call"}),
                Text("Hi"),
                ToolCall(id="call_1", name="f", arguments='{"a": ', provider="gemini", provider_data="sig"),
            ),
        ),
        Message("tool", (ToolResult(tool_call_id="call_1", content="?"),)),
        Message("assistant", ()),
    ),
    "extras": chat(
        reasoning_effort="low",
        extra=Extra(
            body={
                "max_tokens": 7,
                "output_config": {"verbosity": "high"},
                "thinking": {"display": "omitted"},
            }
        ),
    ),
}


@pytest.mark.parametrize("name", sorted(set(GOLDEN) - {"source"}))
def test_a_request_becomes_the_written_down_body(name: str) -> None:
    """Body and warnings are those of the golden file."""
    request = backend.encode(CASES[name])

    assert body_of(request) == GOLDEN[name]["body"]
    assert list(request.warnings) == GOLDEN[name]["warnings"]


def test_a_chat_is_posted_with_the_version_as_a_header() -> None:
    """The version header is mandatory."""
    request = Claude(api_version="2027-01-01").encode(chat())

    assert (request.method, request.path) == ("POST", "/v1/messages")
    assert request.headers == {"Content-Type": "application/json", "anthropic-version": "2027-01-01"}


def test_a_callers_version_header_replaces_ours_whatever_its_case() -> None:
    """One header goes out, not two."""
    request = backend.encode(chat(extra=Extra(headers={"ANTHROPIC-VERSION": "2023-06-01", "x": "y"})))

    assert request.headers == {
        "Content-Type": "application/json",
        "ANTHROPIC-VERSION": "2023-06-01",
        "x": "y",
    }


def test_extra_query_is_appended_to_the_path() -> None:
    """Beta switches travel in the query."""
    assert backend.encode(chat(extra=Extra(query={"beta": "true"}))).path == "/v1/messages?beta=true"


def test_the_default_max_tokens_is_a_setting() -> None:
    """The field is mandatory, so something is always sent, zero included."""
    assert body_of(Claude(default_max_tokens=99).encode(chat()))["max_tokens"] == 99
    assert body_of(backend.encode(chat(max_tokens=0)))["max_tokens"] == 0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"tool_choice": "f"}, {"type": "tool", "name": "f"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"parallel_tool_calls": True}, None),
    ],
)
def test_tool_choice_is_translated(options: dict[str, Any], expected: Any) -> None:
    """Each choice has its own object, and parallel use is switched off inside it."""
    body = body_of(backend.encode(chat(tools=(Tool(name="f"),), **options)))

    assert body.get("tool_choice") == expected


@pytest.mark.parametrize(
    ("options", "thinking", "config"),
    [
        ({"reasoning_effort": "none"}, {"type": "disabled"}, None),
        ({"reasoning_budget": 0}, {"type": "disabled"}, None),
        ({"reasoning_effort": "max"}, {"type": "adaptive"}, {"effort": "max"}),
        ({"reasoning_effort": "minimal"}, {"type": "adaptive"}, {"effort": "low"}),
    ],
)
def test_reasoning_effort_is_translated(options: dict[str, Any], thinking: Any, config: Any) -> None:
    """An effort switches adaptive thinking on, none and a budget of zero switch it off."""
    body = body_of(backend.encode(chat(**options)))

    assert body["thinking"] == thinking
    assert body.get("output_config") == config


@pytest.mark.parametrize(
    "options",
    [{"temperature": 1.0}, {"seed": 1}, {"n": 2}, {"response_format": {"regex": "a"}}, {"top_logprobs": 2}],
)
def test_unsupported_parameters_are_refused_when_asked(options: dict[str, Any]) -> None:
    """In the mode "error" nothing is dropped behind the caller's back."""
    with pytest.raises(ConfigError, match="claude does not take"):
        backend.encode(chat(unsupported="error", **options))


def test_unsupported_parameters_are_dropped_quietly_when_asked() -> None:
    """In the mode "ignore" there are no warnings, for the conversation neither."""
    messages = (*HELLO, Message("assistant", (Text("a"), Reasoning(text="r"))), Message("system", "s"))

    assert backend.encode(chat(*messages, unsupported="ignore", seed=1, temperature=0.1)).warnings == ()


@pytest.mark.parametrize(
    ("role", "part"),
    [
        ("user", Audio(data="UklG")),
        ("user", Image()),
        ("user", File()),
        ("user", File(data="!", media_type="text/plain")),
        ("user", File(data="/w==", media_type="text/plain")),
        ("assistant", File(data="JVBE")),
        ("system", Image(data="a")),
    ],
)
def test_content_that_claude_cannot_be_given_is_refused(role: Any, part: Part) -> None:
    """Content is never dropped in silence."""
    with pytest.raises(ConfigError, match=r"messages\[1\]"):
        backend.encode(chat(*HELLO, Message(role, (part,))))


def test_a_document_of_the_assistant_is_sent_to_the_older_version() -> None:
    """Only the newer version refuses it."""
    messages = (*HELLO, Message("assistant", (File(data="JVBE"),)))

    body = body_of(Claude(api_version="2023-06-01").encode(chat(*messages)))
    assert body["messages"][1]["content"][0]["type"] == "document"


def test_a_tool_message_without_a_result_is_refused() -> None:
    """A plain string says not which call it answers."""
    with pytest.raises(ConfigError, match="ToolResult"):
        backend.encode(chat(*HELLO, Message("tool", "42")))


def test_a_conversation_of_system_messages_alone_is_refused() -> None:
    """The service wants a turn; an empty one is none."""
    with pytest.raises(ConfigError, match="at least one user message"):
        backend.encode(chat(Message("system", "Be brief."), Message("user", ""), Message("user", ())))


def test_results_join_the_user_message_that_came_before_them() -> None:
    """All results of one turn head one user message, wherever the caller put them."""
    call = ToolCall(id="a", name="f", arguments="[]")
    messages = (
        *HELLO,
        Message("assistant", (call,)),
        Message("user", (Text("And?"), Image(url="https://example.com/a.png"))),
        Message("user", (Text("Well?"), ToolResult(tool_call_id="a", content="1"))),
    )

    turns = body_of(backend.encode(chat(*messages)))["messages"]
    assert [block["type"] for block in turns[2]["content"]] == ["tool_result", "text", "image", "text"]
    assert turns[1]["content"][0]["input"] == {"INVALID_JSON": "[]"}


def test_arguments_are_sent_to_the_letter() -> None:
    """Numbers beyond 64 bits and spacing survive."""
    call = ToolCall(id="a", name="f", arguments='{"n": 123456789012345678901234567890, "x": 1.10}')

    request = backend.encode(chat(*HELLO, Message("assistant", (call,))))
    assert b'"input":{"n": 123456789012345678901234567890, "x": 1.10}' in (request.body or b"")


def test_a_call_with_more_than_the_usual_fields_goes_back_as_it_came() -> None:
    """What the service added to its block is part of the conversation."""
    block = {"type": "tool_use", "id": "a", "name": "f", "input": {}, "caller": {"type": "direct"}}
    call = ToolCall(id="a", name="f", arguments="{}", provider="claude", provider_data=block)

    turns = body_of(backend.encode(chat(*HELLO, Message("assistant", (call,)))))["messages"]
    assert turns[1]["content"] == [block]


def test_what_json_cannot_express_is_a_config_error() -> None:
    """The caller hears it before anything is sent."""
    with pytest.raises(ConfigError, match="JSON"):
        backend.encode(chat(extra=Extra(body={"x": object()})))
    with pytest.raises(ConfigError, match="JSON"):
        backend.encode(chat(Message("user", "\ud800")))


def test_models_are_listed_a_thousand_at_a_time() -> None:
    """The caller's query wins over ours."""
    assert backend.encode(ModelsRequest()).path == "/v1/models?limit=1000"
    request = backend.encode(ModelsRequest(extra=Extra(query={"limit": "5", "after_id": "a b"})))

    assert (request.method, request.path, request.body) == ("GET", "/v1/models?limit=5&after_id=a+b", None)
    assert request.headers == {"anthropic-version": "2026-10-21"}


def test_operations_that_claude_lacks_are_refused() -> None:
    """The message names services that have them."""
    with pytest.raises(UnsupportedOperationError, match="embed"):
        backend.encode(EmbedRequest(model="m", inputs=("a",)))


def test_the_key_travels_in_its_own_header() -> None:
    """Not as a bearer token, which older proxies don't take."""
    assert backend.authorize("sk-ant-1") == {"x-api-key": "sk-ant-1"}


def test_a_request_is_not_changed_by_its_translation() -> None:
    """Encoding twice gives the same bytes, also after turns were merged."""
    extra = Extra(body=MappingProxyType({"metadata": {"user_id": "u"}}))
    request = chat(*CASES["tools"].messages, extra=extra)

    assert backend.encode(request) == backend.encode(request)
