"""Requests in the OpenAI dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asyncapi.backends import OpenAIDialect, Quirks
from asyncapi.errors import ConfigError, UnsupportedOperationError
from asyncapi.types.messages import (
    File,
    Image,
    Message,
    RawPart,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
)
from asyncapi.types.requests import EmbedRequest, Extra, ModelsRequest, RerankRequest
from asyncapi.types.wire import Service, WireRequest

from .openai_golden import cases, chat, dialect


def body(request: WireRequest) -> Any:
    """The body's JSON."""
    assert request.body is not None
    return json.loads(request.body)


@pytest.mark.parametrize("case", cases("requests"))
def test_a_chat_request_has_the_services_form(case: dict[str, Any]) -> None:
    """The golden requests."""
    made = dialect(case["service"]).encode(chat(**case["chat"]))

    assert (made.method, made.path) == ("POST", case["path"])
    assert body(made) == case["body"]
    assert list(made.warnings) == case.get("warnings", [])
    assert made.headers == {"Content-Type": "application/json"}


def test_plain_text_needs_no_format() -> None:
    """It is the default everywhere."""
    assert "response_format" not in body(dialect("openai").encode(chat(response_format="text")))


def test_what_a_service_does_not_take_is_dropped_with_a_warning_or_quietly_or_refused() -> None:
    """The three modes of ``unsupported``."""
    openai = dialect("openai")

    warned = openai.encode(chat(top_k=5))
    assert warned.warnings == ("openai takes no top_k: dropped",)
    assert "top_k" not in body(warned)
    assert openai.encode(chat(top_k=5, unsupported="ignore")).warnings == ()
    with pytest.raises(ConfigError, match="openai takes no top_k"):
        openai.encode(chat(top_k=5, unsupported="error"))


def test_one_output_is_no_parameter() -> None:
    """n=1 is what a service without n does anyway."""
    groq = dialect("groq")

    assert groq.encode(chat(n=1, unsupported="error")).warnings == ()
    with pytest.raises(ConfigError):
        groq.encode(chat(n=2, unsupported="error"))


def test_stop_may_be_unsupported_too() -> None:
    """A row can take any parameter away."""
    service = Service(name="mine", operations=frozenset({"chat"}))
    mine = OpenAIDialect(service, Quirks(names={"stop": None}))

    assert mine.encode(chat(stop=("x",))).warnings == ("mine takes no stop: dropped",)


@pytest.mark.parametrize("wanted", ["xml", {"regex": "a"}, 5])
def test_an_unknown_response_format_is_refused(wanted: Any) -> None:
    """Rather than sent and ignored."""
    with pytest.raises(ConfigError, match="response_format"):
        dialect("openai").encode(chat(response_format=wanted))


def test_a_schema_has_tgis_form_where_the_row_says_so() -> None:
    """The grammar form of text-generation-inference."""
    service = Service(name="tgi", operations=frozenset({"chat"}))
    made = OpenAIDialect(service, Quirks(response_format="tgi")).encode(
        chat(response_format={"schema": {"type": "object"}})
    )

    assert body(made)["response_format"] == {"type": "json", "value": {"type": "object"}}


def test_extra_is_merged_last_and_can_not_carry_the_key() -> None:
    """Body deep, headers and query beside; the key is the endpoint's business."""
    extra = Extra(
        body={
            "stream_options": {"include_usage": False},
            "prediction": {"type": "content"},
            "model": "other",
        },
        headers={"OpenAI-Project": "p", "authorization": "Bearer x"},
        query={"a": "b c"},
    )
    made = dialect("openai").encode(chat(stream=True, extra=extra))

    assert made.path == "/chat/completions?a=b+c"
    assert body(made)["stream_options"] == {"include_usage": False, "include_obfuscation": False}
    assert body(made)["prediction"] == {"type": "content"}
    assert body(made)["model"] == "other"
    assert made.headers == {"Content-Type": "application/json", "OpenAI-Project": "p"}
    assert made.warnings == ("extra.headers can't set the key: dropped Authorization",)
    assert body(dialect("openai").encode(chat(stream=True)))["stream_options"]["include_usage"] is True


def test_a_get_has_no_body_whatever_extra_says() -> None:
    """The list of models."""
    plain = dialect("groq").encode(ModelsRequest())
    extra = dialect("openai").encode(ModelsRequest(extra=Extra(headers={"a": "b"}, body={"x": 1})))

    assert (plain.method, plain.path, plain.body, plain.headers) == ("GET", "/openai/v1/models", None, None)
    assert (extra.method, extra.path, extra.body, extra.headers) == ("GET", "/models", None, {"a": "b"})


def test_other_vendors_reasoning_and_data_are_dropped_with_a_warning() -> None:
    """A signature of one vendor is never sent to another."""
    messages = (
        Message("user", (Text("Hi"), RawPart(provider="claude", data={"type": "x"}))),
        Message(
            "assistant",
            (
                Reasoning(text="Hm", provider="claude", provider_data={"signature": "s"}),
                Text("Let me see."),
                ToolCall(id="c", name="f", arguments="{}", provider="gemini", provider_data={"sig": 1}),
            ),
        ),
        Message("tool", (ToolResult(tool_call_id="c", content="1"),)),
    )
    made = dialect("openai").encode(chat(messages))

    assert "sig" not in str(made.body)
    assert body(made)["messages"][1]["content"] == "Let me see."
    assert made.warnings == (
        "a part of claude is not sent to openai",
        "provider_data of gemini is not sent to openai",
        "reasoning of claude is not sent to openai",
    )


def test_ones_own_reasoning_is_left_out_quietly() -> None:
    """A conversation with one service needs no warnings."""
    messages = (Message("assistant", (Reasoning(text="Hm", provider="openai"), Text("Hi"))),)
    made = dialect("openai").encode(chat(messages))

    assert body(made)["messages"] == [{"role": "assistant", "content": "Hi"}]
    assert made.warnings == ()


def test_ones_own_raw_part_is_passed_through() -> None:
    """What only the service understands."""
    messages = (Message("user", (Text("a"), RawPart(provider="openai", data={"type": "new"}), Text("b"))),)

    assert body(dialect("openai").encode(chat(messages)))["messages"][0]["content"] == [
        {"type": "text", "text": "a"},
        {"type": "new"},
        {"type": "text", "text": "b"},
    ]


def test_tool_results_in_a_user_turn_become_tool_turns_before_it() -> None:
    """The form in which Anthropic's conversations hold them."""
    messages = (
        Message("user", (ToolResult(tool_call_id="c", content="1"), Text("and?"))),
        Message("user", (ToolResult(tool_call_id="d", content="2"),)),
    )

    assert body(dialect("openai").encode(chat(messages)))["messages"] == [
        {"role": "tool", "tool_call_id": "c", "content": "1"},
        {"role": "user", "content": "and?"},
        {"role": "tool", "tool_call_id": "d", "content": "2"},
    ]


@pytest.mark.parametrize("content", ["1", (Text("1"),), ()])
def test_a_tool_turn_without_a_result_part_is_refused(content: Any) -> None:
    """Its call would be unknown."""
    with pytest.raises(ConfigError, match="ToolResult"):
        dialect("openai").encode(chat((Message("tool", content),)))


def test_parts_in_the_wrong_place_are_dropped_with_a_warning() -> None:
    """An image said by the assistant, a tool call said by the user."""
    messages = (
        Message("assistant", (Text("a"), Image(url="https://x"))),
        Message("user", (Text("b"), ToolCall(id="c", name="f", arguments=""))),
    )
    made = dialect("openai").encode(chat(messages))

    assert made.warnings == (
        "openai takes no Image in an assistant's message: dropped",
        "openai takes no ToolCall outside of an assistant's message: dropped",
    )


def test_a_file_by_url_is_refused() -> None:
    """The dialect has no place for it."""
    with pytest.raises(ConfigError, match="by id or as data"):
        dialect("openai").encode(chat((Message("user", (File(url="https://x/a.pdf"),)),)))


def test_embeddings_are_asked_for_in_base64() -> None:
    """A third of the bytes, and faster to read."""
    request = EmbedRequest(model="e", inputs=("a", "b"), dimensions=64, user_id="u")
    openai, groq = dialect("openai").encode(request), dialect("groq").encode(request)

    assert openai.path == "/embeddings"
    assert body(openai) == {
        "model": "e",
        "input": ["a", "b"],
        "encoding_format": "base64",
        "dimensions": 64,
        "user": "u",
    }
    assert "dimensions" not in body(groq)
    assert groq.warnings == ("groq takes no dimensions: dropped",)
    assert "encoding_format" not in body(dialect("opea").encode(request))


def test_an_operation_that_is_not_offered_names_services_that_do() -> None:
    """The way out is in the message."""
    with pytest.raises(UnsupportedOperationError, match=r"openai does not offer 'rerank'.*vllm"):
        dialect("openai").encode(RerankRequest(model="r", query="q", documents=("a",)))


def test_the_key_goes_into_a_bearer_header() -> None:
    """The same for the whole dialect."""
    assert dialect("groq").authorize("k") == {"Authorization": "Bearer k"}


def test_something_that_json_can_not_say_is_refused() -> None:
    """Before it is sent."""
    with pytest.raises(ConfigError, match="JSON"):
        dialect("openai").encode(chat(extra=Extra(body={"a": object()})))


def test_a_service_of_ones_own_is_one_call() -> None:
    """Name, address, quirks."""
    mine = OpenAIDialect(
        Service(name="mine", operations=frozenset({"chat"}), base_url="http://host/v1"),
        Quirks(names={"max_tokens": "max_tokens"}, paths={"chat": "/talk"}),
    )
    made = mine.encode(chat(max_tokens=3))

    assert (mine.name, repr(mine)) == ("mine", "OpenAIDialect('mine')")
    assert made.path == "/talk"
    assert body(made)["max_tokens"] == 3
