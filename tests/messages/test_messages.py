"""Messages, parts and tools in normal form, from everything that callers write."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from asyncapi.types.messages import (
    Audio,
    File,
    Image,
    Message,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    as_messages,
    as_tools,
)


def test_string_is_one_user_turn() -> None:
    """The shortest form."""
    assert as_messages("hi") == (Message("user", "hi"),)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("plain", Text("plain")),
        ({"type": "text", "text": "t"}, Text("t")),
        (Text("typed"), Text("typed")),
        (
            {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
            Image(url="https://x/y.png", detail="low"),
        ),
        ({"type": "image_url", "image_url": "https://x/y.png"}, Image(url="https://x/y.png")),
        (
            {"type": "image_url", "image_url": {"url": "data:image/gif;base64,QUJD"}},
            Image(data="QUJD", media_type="image/gif"),
        ),
        (
            {"type": "image_url", "image_url": "data:;base64,QUJD"},
            Image(data="QUJD", media_type="application/octet-stream"),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
            Audio(data="QUJD", format="mp3"),
        ),
        (
            {"type": "file", "file": {"file_id": "f1", "filename": "a.pdf"}},
            File(file_id="f1", filename="a.pdf"),
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,QUJD"}},
            File(data="QUJD", media_type="application/pdf"),
        ),
    ],
)
def test_parts_in_openai_form(part: Any, expected: Any) -> None:
    """Each OpenAI-shaped part has its typed form."""
    [message] = as_messages([{"role": "user", "content": [part]}])

    assert message.content == (expected,)


def test_tool_calls_and_results() -> None:
    """An assistant's calls and the answers to them, arguments as text or as an object."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    asked, also, answer, parts = as_messages(
        [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {
                "role": "assistant",
                "content": "Wait.",
                "tool_calls": [ToolCall(id="c2", name="g", arguments="")],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "1"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "2"}, "3"]},
        ]
    )

    assert asked.tool_calls == (ToolCall(id="c1", name="f", arguments='{"a":1}'),)
    assert asked.tool_calls[0].parsed() == {"a": 1}
    assert (also.text, also.tool_calls[0].parsed()) == ("Wait.", {})
    assert answer.content == (ToolResult(tool_call_id="c1", content="1"),)
    assert parts.content == (ToolResult(tool_call_id="c2", content="23"),)
    assert Message("user", "x").tool_calls == ()
    with pytest.raises(msgspec.DecodeError):
        ToolCall(id="c", name="f", arguments="{broken").parsed()


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([], "messages is empty"),
        ([42], r"messages\[0\]: expected a Message or a dictionary"),
        ([{"role": "robot", "content": "x"}], r"messages\[0\]\.role: expected one of assistant"),
        ([{"role": "user"}], r"messages\[0\]\.content: missing"),
        ([{"role": "user", "content": [{"type": "video"}]}], r"messages\[0\]\.content\[0\]: expected a part"),
        ([{"role": "assistant", "tool_calls": [{}]}], r"messages\[0\]\.tool_calls\[0\]: expected"),
    ],
)
def test_wrong_messages_are_named_by_their_place(messages: Any, says: str) -> None:
    """The error says which message, which field, and what was expected."""
    with pytest.raises(ValueError, match=says):
        as_messages(messages)


def test_tools_in_every_form() -> None:
    """Typed, nested, flat, Anthropic's schema name, and tools that a service hosts."""
    schema = {"type": "object"}
    typed = Tool(name="t")
    tools = as_tools(
        [
            typed,
            {"type": "function", "function": {"name": "nested", "parameters": schema, "strict": True}},
            {"name": "flat", "description": "d", "input_schema": schema},
            {"type": "web_search", "name": "search"},
        ]
    )

    assert tools[0] is typed
    assert tools[1] == Tool(name="nested", parameters=schema, strict=True)
    assert tools[2] == Tool(name="flat", description="d", parameters=schema)
    assert (tools[3].name, tools[3].raw) == ("search", {"type": "web_search", "name": "search"})
    assert as_tools(None) == ()
    with pytest.raises(ValueError, match=r"tools\[0\]: expected a Tool or a dictionary with a name"):
        as_tools([{"description": "nameless"}])
