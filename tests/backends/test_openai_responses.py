"""The Responses API: turns as items, whole answers, and what counting takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asyncapi.errors import (
    AsyncAPIError,
    ConfigError,
    ContentRefusedError,
    DecodeError,
    InvalidRequestError,
    RateLimitError,
    ServerError,
)
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
    as_messages,
)
from asyncapi.types.requests import CountTokensRequest, RespondRequest
from asyncapi.types.responses import ChatResponse, CountTokensResponse
from asyncapi.types.usage import Usage

from .openai_golden import dialect, reply

REASONING = {"id": "rs_1", "type": "reasoning", "encrypted_content": "xyz", "status": None,
             "summary": [{"type": "summary_text", "text": "Checked."},
                         {"type": "summary_text", "text": "Twice."}]}  # fmt: skip
CALL = {"id": "fc_1", "type": "function_call", "call_id": "call_9", "name": "get_weather",
        "arguments": '{"city":"Oslo"}', "status": "completed"}  # fmt: skip
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
           "content": [{"type": "output_text", "text": "Cold.", "annotations": []}]}  # fmt: skip
SEARCH = {"id": "ws_1", "type": "web_search_call", "status": "completed"}
REFUSAL = {**MESSAGE, "content": [{"type": "refusal", "refusal": "No."}]}
USAGE = {
    "input_tokens": 75, "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 1},
    "output_tokens": 40, "output_tokens_details": {"reasoning_tokens": 24}, "total_tokens": 115,
}  # fmt: skip


def answer(*items: Any, **fields: Any) -> dict[str, Any]:
    """An answer's JSON."""
    return {"id": "resp_1", "object": "response", "status": "completed", "error": None, "model": "m2",
            "incomplete_details": None, "output": list(items), "usage": USAGE, **fields}  # fmt: skip


def respond(messages: Any = "Hi", **fields: Any) -> RespondRequest:
    """A turn."""
    return RespondRequest(model="m", messages=as_messages(messages), **fields)


def body(request: RespondRequest | CountTokensRequest) -> Any:
    """The body of a request."""
    made = dialect("openai").encode(request)
    assert made.body is not None
    return json.loads(made.body)


def items(*parts: Part, role: Any = "assistant") -> Any:
    """The items of one message."""
    return body(respond([Message(role, parts)]))["input"]


# -- requests -----------------------------------------------------------------------------------------------


def test_a_turn_is_a_list_of_items() -> None:
    """The plainest one."""
    assert dialect("openai").encode(respond()).path == "/responses"
    assert body(respond([Message("system", "S"), Message("developer", "D"), Message("user", "U")])) == {
        "model": "m",
        "input": [
            {"role": "system", "content": "S"},
            {"role": "developer", "content": "D"},
            {"role": "user", "content": "U"},
        ],
    }


def test_parameters_have_the_names_of_this_api() -> None:
    """Tools and formats are flat."""
    made = body(
        respond(
            max_tokens=9, temperature=0.5, top_p=0.1, logprobs=True, top_logprobs=2,
            parallel_tool_calls=False, reasoning_effort="low", user_id="u", metadata={"a": "b"},
            service_tier="flex", previous_response_id="resp_0", store=False,
            include=("reasoning.encrypted_content",),
            tools=(
                Tool(name="f", description="d", parameters={"type": "object"}, strict=True),
                Tool(name="web_search", raw={"type": "web_search"}),
                Tool(name="g"),
            ),
            tool_choice="f", stream=True,
            response_format={"schema": {"type": "object"}, "name": "n", "strict": True},
        )
    )  # fmt: skip

    assert made == {
        "model": "m", "input": [{"role": "user", "content": "Hi"}], "max_output_tokens": 9,
        "temperature": 0.5, "top_p": 0.1, "top_logprobs": 2, "parallel_tool_calls": False,
        "reasoning": {"effort": "low"}, "safety_identifier": "u", "metadata": {"a": "b"},
        "service_tier": "flex", "previous_response_id": "resp_0", "store": False,
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
        "tools": [
            {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"},
             "strict": True},
            {"type": "web_search"},
            {"type": "function", "name": "g", "parameters": None, "strict": None},
        ],
        "tool_choice": {"type": "function", "name": "f"},
        "text": {
            "format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
        },
        "stream": True, "stream_options": {"include_obfuscation": False},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        ("text", None),
        ("json", {"format": {"type": "json_object"}}),
        ({"type": "grammar"}, {"format": {"type": "grammar"}}),
    ],
)
def test_other_formats_have_a_type_too(wanted: Any, sent: Any) -> None:
    """Plain text is the default."""
    assert body(respond(response_format=wanted)).get("text") == sent


def test_a_mode_of_tool_choice_stays_a_word() -> None:
    """A tool's name becomes an object."""
    assert body(respond(tool_choice="required"))["tool_choice"] == "required"


def test_what_this_api_does_not_take_is_dropped_or_refused() -> None:
    """One output is what it gives anyway."""
    fields: dict[str, Any] = {"stop": ("x",), "seed": 1, "n": 2, "presence_penalty": 0.1}
    made = dialect("openai").encode(respond(**fields))

    assert sorted(made.warnings) == [f"openai takes no {name}: dropped" for name in sorted(fields)]
    assert dialect("openai").encode(respond(n=1, unsupported="error")).warnings == ()
    with pytest.raises(ConfigError, match="takes no seed"):
        dialect("openai").encode(respond(seed=1, unsupported="error"))


def test_what_a_user_sends_has_input_parts() -> None:
    """Text, images and files, by each way that there is."""
    assert items(
        Text("a"), Image(url="http://i"), Image(data="aGk=", detail="low"), File(file_id="file_1"),
        File(url="http://f"), File(data="aGk=", filename="a.pdf"), RawPart(provider="openai", data={"x": 1}),
        role="user",
    ) == [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "a"},
                {"type": "input_image", "image_url": "http://i", "detail": "auto"},
                {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "low"},
                {"type": "input_file", "file_id": "file_1"},
                {"type": "input_file", "file_url": "http://f"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"},
                {"x": 1},
            ],
        }
    ]  # fmt: skip
    assert items(Text("a"), role="user") == [{"role": "user", "content": "a"}]


def test_what_has_no_form_here_is_dropped_with_a_note() -> None:
    """Audio, names, parts of others."""
    messages = [
        Message("user", (Audio(data="x"), RawPart(provider="x", data=1)), name="n"),
        Message(
            "assistant", (RawPart(provider="x", data=1), Reasoning(text="t", provider="y"), Image(url="u"))
        ),
        Message("assistant", (Reasoning(text="t", provider="openai"), Reasoning(text="of nobody"))),
    ]
    made = dialect("openai").encode(respond(messages))

    assert made.warnings == (
        "openai takes no names of messages: dropped",
        "openai takes no Audio outside of an assistant's message: dropped",
        "a part of x is not sent to openai",
        "a part of x is not sent to openai",
        "reasoning of y is not sent to openai",
        "openai takes no Image in an assistant's message: dropped",
        "reasoning of unknown is not sent to openai",
    )
    assert body(respond(messages))["input"] == [{"role": "user", "content": ""}]


def test_an_answer_goes_back_as_it_came() -> None:
    """Reasoning unchanged, in its place before the call; unknown items too."""
    got = dialect("openai").decode(respond(), reply(answer(REASONING, CALL, SEARCH, MESSAGE)))
    assert isinstance(got, ChatResponse)
    result = Message("tool", (ToolResult(tool_call_id="call_9", content="-3"),))

    assert body(respond([got.message, result]))["input"] == [
        REASONING,
        CALL,
        SEARCH,
        {"role": "assistant", "content": "Cold."},
        {"type": "function_call_output", "call_id": "call_9", "output": "-3"},
    ]


def test_calls_of_others_are_sent_without_their_data() -> None:
    """And calls that a person changed are sent as changed."""
    plain = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    call = ToolCall(id="c", name="f", arguments="{}")
    foreign = ToolCall(id="c", name="f", arguments="{}", provider="claude", provider_data={"signature": "s"})
    nobodys = ToolCall(id="c", name="f", arguments="{}", provider_data={"signature": "s"})
    changed = ToolCall(id="call_9", name="f", arguments="{}", provider="openai", provider_data=CALL)
    made = dialect("openai").encode(respond([Message("assistant", (foreign, nobodys))]))

    assert items(call) == items(foreign) == [plain]
    assert items(changed) == [{**CALL, "name": "f", "arguments": "{}"}]
    assert made.warnings == (
        "provider_data of claude is not sent to openai",
        "provider_data of unknown is not sent to openai",
    )


def test_results_stand_before_what_is_said_with_them() -> None:
    """A message of the role "tool" holds nothing else."""
    result = ToolResult(tool_call_id="c", content="r")
    output = {"type": "function_call_output", "call_id": "c", "output": "r"}

    assert items(result, Text("and?"), role="user") == [output, {"role": "user", "content": "and?"}]
    for message in (Message("tool", (Text("x"),)), Message("tool", "x")):
        with pytest.raises(ConfigError, match="ToolResult"):
            dialect("openai").encode(respond([message]))


# -- replies ------------------------------------------------------------------------------------------------


def test_a_whole_answer() -> None:
    """Its parts in the order of the items."""
    data = answer(REASONING, CALL, SEARCH, MESSAGE)
    got = dialect("openai").decode(respond(), reply(data, headers={"x-request-id": "req"}))

    assert isinstance(got, ChatResponse)
    assert got.outputs[0].parts == (
        Reasoning(text="Checked.\n\nTwice.", provider="openai", provider_data=REASONING),
        ToolCall(id="call_9", name="get_weather", arguments='{"city":"Oslo"}', provider="openai",
                 provider_data=CALL),
        RawPart(provider="openai", data=SEARCH),
        Text("Cold."),
    )  # fmt: skip
    assert (got.id, got.model, got.text, got.finish_reason) == ("resp_1", "m2", "Cold.", "tool_calls")
    assert got.usage == Usage(
        input_tokens=75, output_tokens=40, cache_read_tokens=5, cache_write_tokens=1, reasoning_tokens=24,
        source="reported",
    )  # fmt: skip
    assert (got.raw, got.provider_request_id) == (data, "req")


@pytest.mark.parametrize(
    ("data", "reason", "raw"),
    [
        (answer(MESSAGE), "stop", "completed"),
        (answer(CALL), "tool_calls", "completed"),
        (answer(REFUSAL), "refusal", "completed"),
        (answer(status="incomplete", incomplete_details={"reason": "max_output_tokens"}), "length",
         "max_output_tokens"),
        (answer(status="incomplete", incomplete_details={"reason": "content_filter"}), "content_filter",
         "content_filter"),
        (answer(status="incomplete", incomplete_details={"reason": "steered"}), "other", "steered"),
        (answer(status="incomplete"), "other", "incomplete"),
        (answer(status="cancelled"), "cancelled", "cancelled"),
        (answer(status="queued"), "other", "queued"),
        (answer(MESSAGE, status=None), "stop", "completed"),
    ],
)  # fmt: skip
def test_why_an_answer_ended(data: Any, reason: str, raw: str) -> None:
    """A background answer may not have ended at all."""
    got = dialect("openai").decode(respond(), reply(data))

    assert isinstance(got, ChatResponse)
    assert (got.finish_reason, got.outputs[0].raw_reason) == (reason, raw)


def test_refusals_logprobs_and_unknown_content_are_kept() -> None:
    """What has no normal form is a raw part, which can be sent back."""
    odd = {"type": "output_audio", "data": "x"}
    text = {"type": "output_text", "text": "a", "logprobs": [{"token": "a", "logprob": -0.1}]}
    empty = {"type": "output_text", "text": ""}
    message = {**MESSAGE, "content": [text, odd, empty, {"type": "refusal", "refusal": "No."}]}
    got = dialect("openai").decode(respond(), reply(answer(message, usage=None)))

    assert isinstance(got, ChatResponse)
    output = got.outputs[0]
    assert output.parts == (Text("a"), RawPart(provider="openai", data={**MESSAGE, "content": [odd]}))
    assert (output.refusal, output.logprobs) == ("No.", {"content": text["logprobs"]})
    assert got.usage == Usage()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": "server_error", "message": "m"}, ServerError),
        ({"code": "rate_limit_exceeded", "message": "m"}, RateLimitError),
        ({"code": "invalid_prompt", "message": "m"}, InvalidRequestError),
        ({"code": "invalid_image_url", "message": "m"}, InvalidRequestError),
        ({"code": "bio_policy", "message": "m"}, ContentRefusedError),
        (None, ServerError),
    ],
)
def test_an_answer_that_failed_is_an_error(error: Any, expected: type[AsyncAPIError]) -> None:
    """By its code, behind a 200."""
    with pytest.raises(AsyncAPIError) as caught:
        dialect("openai").decode(respond(), reply(answer(status="failed", error=error)))

    assert type(caught.value) is expected


@pytest.mark.parametrize(
    "data",
    [
        {},
        answer(output=None),
        answer(5),
        answer({}),
        answer({"type": "message"}),
        answer({**MESSAGE, "content": [{"type": "output_text"}]}),
        answer({**CALL, "name": None}),
        answer({**REASONING, "summary": [5]}),
        answer(status=5),
        answer(id=5),
        answer(status="incomplete", incomplete_details=5),
    ],
)
def test_an_answer_of_another_shape_is_a_decode_error(data: Any) -> None:
    """With the body kept."""
    with pytest.raises(DecodeError) as caught:
        dialect("openai").decode(respond(), reply(data))

    assert json.loads(caught.value.body) == data


# -- counting -----------------------------------------------------------------------------------------------


def test_counting_takes_what_is_input() -> None:
    """Parameters of the answer are not sent, and no reason to complain."""
    request = CountTokensRequest(
        model="m", messages=as_messages("Hi"), max_tokens=5, temperature=1.0, stop=("x",), seed=1, n=2,
        top_k=3, reasoning_effort="low", tools=(Tool(name="f"),), tool_choice="auto", response_format="json",
        user_id="u", unsupported="error",
    )  # fmt: skip
    got = dialect("openai").decode(request, reply({"object": "response.input_tokens", "input_tokens": 11}))

    assert dialect("openai").encode(request).path == "/responses/input_tokens"
    assert body(request) == {
        "model": "m",
        "input": [{"role": "user", "content": "Hi"}],
        "reasoning": {"effort": "low"},
        "tools": [{"type": "function", "name": "f", "parameters": None, "strict": None}],
        "tool_choice": "auto",
        "text": {"format": {"type": "json_object"}},
    }
    assert isinstance(got, CountTokensResponse)
    assert (got.input_tokens, got.usage.input_tokens) == (11, 11)
    for wrong in ("many", -1, 1.5, None):
        with pytest.raises(DecodeError):
            dialect("openai").decode(request, reply({"input_tokens": wrong}))
