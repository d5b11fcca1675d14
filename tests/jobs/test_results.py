"""Result lines: the service's own JSON, synthesised bodies, errors."""

from array import array
from typing import Any

import orjson
import pytest

from asyncapi.errors import AsyncAPIError, ConnectError, InvalidRequestError, ServerError
from asyncapi.jobs.items import Item
from asyncapi.jobs.results import answer_line, bad_line, error_line, row_of, succeeded
from asyncapi.types.messages import Reasoning, Text, ToolCall
from asyncapi.types.requests import ChatRequest
from asyncapi.types.responses import ChatResponse, EmbedResponse, Output, RerankResponse, Served
from asyncapi.types.usage import Usage

ITEM = Item(6, 9, "mine", ChatRequest(model="a:b", messages=()))


def parsed(line: bytes) -> dict[str, Any]:
    """The line's object, after a look at its form."""
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert row_of(line) == 6
    found: dict[str, Any] = orjson.loads(line)
    assert list(found) == ["id", "custom_id", "response", "error"]
    return found


def test_an_openai_answer_is_passed_on_as_it_is() -> None:
    """Fields that this package doesn't know included."""
    raw = {"id": "chatcmpl-1", "object": "chat.completion", "choices": [], "new_field": 1}
    line = answer_line(ITEM, ChatResponse(raw=raw, provider_request_id="p-1"))

    assert succeeded(line)
    assert parsed(line) == {
        "id": "batch_req_7",
        "custom_id": "mine",
        "response": {"status_code": 200, "request_id": "p-1", "body": raw},
        "error": None,
    }


def test_another_services_answer_gets_the_same_shape() -> None:
    """Whoever reads an OpenAI Batch output reads this one."""
    response = ChatResponse(
        id="msg_1",
        model="claude",
        raw={"type": "message", "content": []},
        outputs=(
            Output(
                parts=(
                    Reasoning(text="hm"),
                    Text("Hel"),
                    Text("lo"),
                    ToolCall(id="t1", name="f", arguments="{}"),
                ),
                finish_reason="tool_calls",
            ),
        ),
        usage=Usage(input_tokens=5, output_tokens=2, cache_read_tokens=1, reasoning_tokens=1),
        served=Served(request_id="r-1"),
    )
    body = parsed(answer_line(ITEM, response))["response"]["body"]

    assert body.pop("created") > 1_700_000_000
    assert body == {
        "id": "msg_1",
        "object": "chat.completion",
        "model": "claude",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hello",
                    "refusal": None,
                    "tool_calls": [
                        {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                    ],
                    "reasoning_content": "hm",
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": 2,
            "total_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
    }


def test_unknown_usage_is_null_and_odd_endings_map_to_openais() -> None:
    """Absent is not zero."""
    response = ChatResponse(outputs=(Output(finish_reason="context_overflow"),), raw={})
    body = parsed(answer_line(ITEM, response))["response"]["body"]

    assert body["usage"] is None
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["choices"][0]["message"]["content"] == ""


def test_vectors_are_written_as_numbers() -> None:
    """Whatever the raw answer was: it may have carried other calls' texts too."""
    response = EmbedResponse(
        model="m", vectors=(array("f", [0.5, 1.0]),), raw={"data": "base64"}, usage=Usage(input_tokens=3)
    )

    assert parsed(answer_line(ITEM, response))["response"]["body"] == {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 1.0]}],
        "model": "m",
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }


def test_a_raw_answer_may_hold_what_json_does_not_know() -> None:
    """A backend of somebody's own may put anything there."""
    raw: dict[object, object] = {"choices": [], "bytes": b"x", "array": array("i", [1]), "else": {1}, 5: None}
    body = parsed(answer_line(ITEM, ChatResponse(raw=raw)))["response"]["body"]

    assert body == {"choices": [], "bytes": "x", "array": [1], "else": "{1}", "5": None}
    assert parsed(answer_line(ITEM, RerankResponse(raw={"a": 1})))["response"]["body"] == {"a": 1}


@pytest.mark.parametrize(
    ("error", "response", "code"),
    [
        (ConnectError("refused"), None, "connect"),
        (
            ServerError("down", status=503, body=b'{"error": 1}', provider_request_id="p"),
            {"status_code": 503, "request_id": "p", "body": {"error": 1}},
            "server_error",
        ),
        (
            InvalidRequestError("bad", status=400, code="unsupported_value", body=b"<html>"),
            {
                "status_code": 400,
                "request_id": "",
                "body": {"error": {"message": "<html>", "code": "invalid_request"}},
            },
            "unsupported_value",
        ),
    ],
)
def test_errors(error: AsyncAPIError, response: object, code: str) -> None:
    """With what the service said, where it said something."""
    line = error_line(ITEM, error)
    found = parsed(line)

    assert not succeeded(line)
    assert found["response"] == response
    assert found["error"] == {"code": code, "message": str(error)}


def test_a_bad_line_is_accounted_for() -> None:
    """Under its line number."""
    found = parsed(bad_line(6, "line-9", "not JSON"))

    assert found["custom_id"] == "line-9"
    assert found["error"] == {"code": "invalid_line", "message": "not JSON"}


@pytest.mark.parametrize(
    "line",
    [b"", b"\n", b'{"id":"batch_req_0","x":1}\n', b'{"id":"batch_req_7",', b'{"custom_id":"a"}\n', b"\0" * 9],
)
def test_foreign_lines_are_nobodys(line: bytes) -> None:
    """Torn, zeroed or written by others."""
    assert row_of(line) is None
