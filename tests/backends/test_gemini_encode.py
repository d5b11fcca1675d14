"""Requests to Gemini, against written-down bodies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asyncapi.backends.gemini import Gemini, backend
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
from asyncapi.types.requests import (
    ChatRequest,
    CountTokensRequest,
    EmbedRequest,
    Extra,
    ModelsRequest,
    RerankRequest,
    RespondRequest,
)
from asyncapi.types.wire import BatchLimit, WireRequest

FOLDER = Path(__file__).parent / "golden" / "gemini"
GOLDEN = json.loads((FOLDER / "requests.json").read_text())
EMBED = json.loads((FOLDER / "others.json").read_text())["embed"]
HELLO = (Message("user", "Hello"),)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def chat(*messages: Message, **options: Any) -> ChatRequest:
    """A request to the usual model."""
    return ChatRequest(model="gemini-3.5-flash", messages=messages or HELLO, **options)


def body_of(request: WireRequest) -> Any:
    """The JSON that would be sent."""
    assert request.body is not None
    return json.loads(request.body)


def parts_of(*parts: Part, role: Any = "user") -> Any:
    """What becomes of the parts of one message."""
    return body_of(backend.encode(chat(Message(role, parts))))["contents"][0]["parts"]


CASES = {
    "plain": chat(tool_choice=None, response_format="text", parallel_tool_calls=True),
    "everything": chat(
        Message("system", "Be brief."),
        Message("developer", (Text("In verse."), Text(""))),
        *HELLO,
        max_tokens=256,
        temperature=0.1,
        top_p=0.9,
        top_k=40,
        seed=7,
        n=2,
        presence_penalty=0.2,
        frequency_penalty=0.1,
        logprobs=True,
        top_logprobs=3,
        stop=("END",),
        tools=(
            Tool(name="get_weather", description="d", parameters=SCHEMA),
            Tool(name="now"),
            Tool(name="googleSearch", raw={"googleSearch": {}}),
        ),
        tool_choice="get_weather",
        response_format={"schema": {"type": "object"}},
        reasoning_effort="low",
        service_tier="flex",
    ),
    "media": chat(
        Message(
            "user",
            (
                Text("What is in these?"),
                Image(data="YWJj"),
                Image(url="data:image/gif;base64,R0lG"),
                Image(url="https://example.com/cat.jpg"),
                Image(url="https://example.com/dog", media_type="image/webp"),
                Audio(data="SUQz", format="mp3"),
                File(data="JVBERg=="),
                File(file_id="files/abc"),
                File(file_id="https://example.com/files/def", media_type="text/csv"),
                RawPart(provider="gemini", data={"videoMetadata": {"startOffset": "1s"}}),
            ),
        )
    ),
    "tools": chat(
        Message("user", "Weather in Oslo and Rome?"),
        Message(
            "assistant",
            (
                Reasoning(
                    text="Considering the cities.",
                    provider="gemini",
                    provider_data={"text": "Considering the cities.", "thought": True},
                ),
                Text("One moment."),
                Reasoning(provider="gemini", provider_data={"thoughtSignature": "AAA="}),
                ToolCall(
                    id="fc-1",
                    name="get_weather",
                    arguments='{"city":"Oslo"}',
                    provider="gemini",
                    provider_data={
                        "functionCall": {"id": "fc-1", "name": "get_weather", "args": {"city": "Oslo"}},
                        "thoughtSignature": "CpQBAVSoXO4=",
                    },
                ),
                ToolCall(id="gen_r1_0_1", name="get_weather", arguments='{"city":"Rome"}'),
            ),
        ),
        Message("tool", (ToolResult(tool_call_id="fc-1", content="4 C"),)),
        Message(
            "tool",
            (ToolResult(tool_call_id="gen_r1_0_1", content="no such city", is_error=True), Text("So?")),
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_requests_have_the_bodies_of_the_reference(name: str) -> None:
    """Sampling inside generationConfig, roles user and model, results by name."""
    request = backend.encode(CASES[name])

    assert body_of(request) == GOLDEN[name]
    assert (request.method, request.warnings) == ("POST", ())


def test_model_version_and_streaming_are_in_the_path() -> None:
    """Without ``alt=sse`` a stream would come as one JSON array."""
    assert backend.encode(chat()).path == "/v1beta/models/gemini-3.5-flash:generateContent"
    path = Gemini(api_version="v1").encode(chat(stream=True, extra=Extra(query={"a": "b"}))).path
    assert path == "/v1/models/gemini-3.5-flash:streamGenerateContent?alt=sse&a=b"
    tuned = ChatRequest(model="tunedModels/my model?", messages=HELLO)
    assert backend.encode(tuned).path == "/v1beta/tunedModels/my%20model%3F:generateContent"
    with pytest.raises(ConfigError, match="no name of a model"):
        backend.encode(ChatRequest(model="../x", messages=HELLO))


def test_the_key_is_in_a_header_and_never_in_the_url() -> None:
    """Not even when the caller puts it there."""
    assert backend.authorize("secret") == {"x-goog-api-key": "secret"}
    with pytest.raises(ConfigError, match="never into the URL") as caught:
        backend.encode(chat(extra=Extra(query={"key": "secret"})))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("choice", "calling"),
    [("auto", {"mode": "AUTO"}), ("none", {"mode": "NONE"}), ("required", {"mode": "ANY"})],
)
def test_tool_choices_have_modes(choice: str, calling: Any) -> None:
    """A name is in the golden file."""
    body = body_of(backend.encode(chat(tools=(Tool(name="f"),), tool_choice=choice)))

    assert body["toolConfig"] == {"functionCallingConfig": calling}


def test_hosted_tools_stand_alone() -> None:
    """No empty list of functions beside them."""
    body = body_of(backend.encode(chat(tools=(Tool(name="s", raw={"googleSearch": {}}),))))

    assert body["tools"] == [{"googleSearch": {}}]


@pytest.mark.parametrize(
    ("options", "thinking", "warnings"),
    [
        ({"reasoning_effort": "none"}, {"thinkingBudget": 0}, 0),
        ({"reasoning_budget": 0}, {"thinkingBudget": 0}, 0),
        ({"reasoning_budget": 512}, {"includeThoughts": True, "thinkingBudget": 512}, 0),
        ({"reasoning_effort": "minimal"}, {"includeThoughts": True, "thinkingLevel": "MINIMAL"}, 0),
        ({"reasoning_effort": "max"}, {"includeThoughts": True, "thinkingLevel": "XHIGH"}, 1),
        (
            {"reasoning_effort": "high", "reasoning_budget": 9},
            {"includeThoughts": True, "thinkingBudget": 9},
            1,
        ),
    ],
)
def test_reasoning_is_a_level_or_a_budget(options: Any, thinking: Any, warnings: int) -> None:
    """Never both, and thoughts are shown where there are some."""
    request = backend.encode(chat(**options))

    assert body_of(request)["generationConfig"] == {"thinkingConfig": thinking}
    assert len(request.warnings) == warnings


def test_json_and_logprobs_imply_their_switches() -> None:
    """``top_logprobs`` alone turns them on."""
    config = body_of(backend.encode(chat(response_format="json", top_logprobs=2)))["generationConfig"]

    assert config == {"responseMimeType": "application/json", "responseLogprobs": True, "logprobs": 2}


UNKNOWN = {
    "parallel_tool_calls": False,
    "user_id": "u",
    "metadata": {"a": "b"},
    "response_format": {"grammar": "x"},
    "tools": (Tool(name="f", strict=True),),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_the_service_lacks_is_dropped_as_told(name: str) -> None:
    """With a warning, quietly, or refused."""
    options: dict[str, Any] = {name: UNKNOWN[name]}

    assert len(backend.encode(chat(**options)).warnings) == 1
    assert backend.encode(chat(**options, unsupported="ignore")).warnings == ()
    with pytest.raises(ConfigError, match="does not take"):
        backend.encode(chat(**options, unsupported="error"))
    assert backend.encode(chat(response_format="yaml")).warnings


def test_a_signature_goes_back_to_the_part_that_it_came_with() -> None:
    """Or into an empty part, where it came alone."""
    alone = Reasoning(provider="gemini", provider_data={"thoughtSignature": "A="})
    empty = Reasoning(provider="gemini", provider_data={"text": "", "thoughtSignature": "B="})

    assert parts_of(alone, role="assistant") == [{"text": "", "thoughtSignature": "A="}]
    assert parts_of(Text("Hi"), empty, role="assistant") == [
        {"text": "Hi"},
        {"text": "", "thoughtSignature": "B="},
    ]


def test_what_another_service_signed_is_not_sent() -> None:
    """Reasoning goes, with a note; a call goes without the other's data."""
    call = ToolCall(id="call_1", name="f", arguments="", provider="openai", provider_data={"x": 1})
    parts = (Reasoning(text="Hm", provider="claude", provider_data={"signature": "s"}), Text("Hi"), call)
    request = backend.encode(chat(Message("assistant", parts)))

    assert body_of(request)["contents"][0]["parts"] == [
        {"text": "Hi"},
        {"functionCall": {"id": "call_1", "name": "f", "args": {}}},
    ]
    assert len(request.warnings) == 2


def test_broken_arguments_are_sent_wrapped() -> None:
    """The service takes an object only."""
    request = backend.encode(chat(Message("assistant", (ToolCall(id="a", name="f", arguments='{"a'),))))

    call = body_of(request)["contents"][0]["parts"][0]["functionCall"]
    assert call["args"] == {"INVALID_JSON": '{"a'}
    assert len(request.warnings) == 1


def test_results_are_named_by_their_calls_or_by_themselves() -> None:
    """A result whose function is unknown can't be sent."""
    named = ToolResult(tool_call_id="x", content="1", name="f")

    assert parts_of(named, role="tool") == [
        {"functionResponse": {"id": "x", "name": "f", "response": {"output": "1"}}}
    ]
    with pytest.raises(ConfigError, match="by the function's name"):
        parts_of(ToolResult(tool_call_id="x", content="1"), role="tool")


def test_system_messages_may_come_late_but_hold_text_only() -> None:
    """They are moved to the front, with a note."""
    request = backend.encode(chat(*HELLO, Message("system", "Be brief.")))

    assert body_of(request)["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert len(request.warnings) == 1
    with pytest.raises(ConfigError, match="text only, got Image"):
        backend.encode(chat(Message("system", (Image(data="YWJj"),)), *HELLO))


def test_empty_turns_are_left_out() -> None:
    """The service refuses a content without parts; a conversation of none is refused here."""
    body = body_of(backend.encode(chat(Message("assistant", ""), *HELLO)))

    assert len(body["contents"]) == 1
    with pytest.raises(ConfigError, match="at least one message"):
        backend.encode(chat(Message("system", "Be brief.")))
    with pytest.raises(ConfigError, match="not a plain string"):
        backend.encode(chat(Message("tool", "4 C")))


@pytest.mark.parametrize("part", [Image(), File()])
def test_media_without_content_are_refused(part: Part) -> None:
    """Neither data nor an address."""
    with pytest.raises(ConfigError, match="has neither data nor an address"):
        parts_of(part)


def test_foreign_parts_and_details_are_dropped_with_a_warning() -> None:
    """The rest of the message goes."""
    parts = (RawPart(provider="claude", data={}), Image(data="YWJj", detail="low"))

    assert len(backend.encode(chat(Message("user", parts))).warnings) == 2


def test_counting_a_bare_conversation_sends_its_contents() -> None:
    """To an own method of the model."""
    request = backend.encode(CountTokensRequest(model="gemini-3.5-flash", messages=HELLO))

    assert request.path == "/v1beta/models/gemini-3.5-flash:countTokens"
    assert body_of(request) == GOLDEN["plain"]


def test_counting_takes_in_whatever_would_be_sent() -> None:
    """Tools, system instruction and extras count, so they go inside of the whole request."""
    request = CountTokensRequest(
        model="gemini-3.5-flash",
        messages=(Message("system", "Be brief."), *HELLO),
        extra=Extra(body={"cachedContent": "cachedContents/1"}, query={"a": "b"}),
    )

    wire = backend.encode(request)
    assert wire.path.endswith(":countTokens?a=b")
    assert body_of(wire) == {
        "generateContentRequest": {
            "model": "models/gemini-3.5-flash",
            **GOLDEN["plain"],
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "cachedContent": "cachedContents/1",
        }
    }


def test_every_text_to_embed_is_a_request_of_its_own() -> None:
    """Several parts in one content would become one vector; extras go into each."""
    request = EmbedRequest(
        model="gemini-embedding-001",
        inputs=("a", "b"),
        dimensions=2,
        extra=Extra(body={"taskType": "RETRIEVAL_QUERY"}, query={"x": "y"}),
    )

    wire = backend.encode(request)
    assert wire.path == "/v1beta/models/gemini-embedding-001:batchEmbedContents?x=y"
    assert body_of(wire) == EMBED["body"]
    assert wire.warnings == ()
    assert backend.encode(EmbedRequest(model="m", inputs=("a",), user_id="u")).warnings


def test_models_are_asked_for_by_the_page() -> None:
    """The greatest page there is."""
    request = backend.encode(ModelsRequest(extra=Extra(query={"pageToken": "abc"})))

    assert (request.method, request.path) == ("GET", "/v1beta/models?pageSize=1000&pageToken=abc")


def test_operations_that_the_service_lacks_are_refused() -> None:
    """Also those that look like a chat."""
    with pytest.raises(UnsupportedOperationError, match="rerank"):
        backend.encode(RerankRequest(model="m", query="q", documents=("a",)))
    with pytest.raises(UnsupportedOperationError, match="respond"):
        backend.encode(RespondRequest(model="m", messages=HELLO))


def test_the_service_says_where_its_settings_are_found() -> None:
    """The names that the official SDK uses; a version at the end of an address is taken off."""
    row = backend.service

    assert row.base_url == "https://generativelanguage.googleapis.com"
    assert row.key_env == ("GEMINI_API_KEY", "GOOGLE_API_KEY")
    assert "GOOGLE_GEMINI_BASE_URL" in row.url_env
    assert row.batches == {"embed": BatchLimit(items=100)}
    assert row.needs_key
    assert row.normalise_url is not None
    assert row.normalise_url("https://example.com/v1beta/") == "https://example.com"
    assert row.normalise_url("https://example.com/v1") == "https://example.com"
