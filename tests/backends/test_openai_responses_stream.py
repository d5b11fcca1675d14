"""Streams of the Responses API: whole, in pieces, cut at every byte, and failing in mid-stream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asyncapi.backends._openai_responses_stream import ResponsesStream
from asyncapi.errors import (
    AsyncAPIError,
    DecodeError,
    InvalidRequestError,
    ServerError,
    StreamInterruptedError,
)
from asyncapi.types.messages import RawPart, Reasoning, Text, ToolCall
from asyncapi.types.responses import ChatResponse, Chunk
from asyncapi.types.wire import WireResponse

from .openai_golden import dialect, joined
from .test_openai_responses import CALL, MESSAGE, REASONING, SEARCH, USAGE, answer, respond

R = "response."


def item(kind: str, place: int, of: dict[str, Any]) -> dict[str, Any]:
    """The event that an item begins or is done."""
    return {"type": f"response.output_item.{kind}", "output_index": place, "item": of}


def delta(kind: str, place: int, text: str, **fields: Any) -> dict[str, Any]:
    """A piece."""
    return {"type": f"response.{kind}.delta", "output_index": place, "delta": text, **fields}


WHOLE = answer(REASONING, CALL, SEARCH, MESSAGE)
EVENTS: list[dict[str, Any]] = [
    {"type": R + "created", "response": {"id": "resp_1", "model": "m2", "status": "in_progress"}},
    {"type": R + "in_progress", "response": {}},
    item("added", 0, {"type": "reasoning", "id": "rs_1", "summary": []}),
    {"type": R + "reasoning_summary_part.added", "output_index": 0, "summary_index": 0},
    delta("reasoning_summary_text", 0, "Check", summary_index=0),
    delta("reasoning_summary_text", 0, "ed.", summary_index=0),
    {"type": R + "reasoning_summary_part.done", "output_index": 0, "summary_index": 0},
    delta("reasoning_summary_text", 0, "Twice.", summary_index=1),
    item("done", 0, REASONING),
    item("added", 1, {**CALL, "arguments": "", "status": "in_progress"}),
    delta("function_call_arguments", 1, '{"city":'),
    delta("function_call_arguments", 1, '"Oslo"}'),
    {"type": R + "function_call_arguments.done", "output_index": 1, "arguments": CALL["arguments"]},
    item("done", 1, CALL),
    item("added", 2, {**SEARCH, "status": "in_progress"}),
    {"type": R + "web_search_call.searching", "output_index": 2, "item_id": "ws_1"},
    item("done", 2, SEARCH),
    item("added", 3, {**MESSAGE, "content": []}),
    {"type": R + "content_part.added", "output_index": 3, "content_index": 0},
    delta("output_text", 3, "Co", content_index=0, logprobs=[]),
    delta("output_text", 3, "ld.", content_index=0, logprobs=[]),
    {"type": R + "output_text.done", "output_index": 3, "text": "Cold."},
    item("done", 3, MESSAGE),
    {"type": R + "completed", "response": WHOLE},
]


def wire(events: list[dict[str, Any]]) -> bytes:
    """Named events, numbered through."""
    numbered = [{**event, "sequence_number": i} for i, event in enumerate(events)]
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in numbered)


STREAM = wire(EVENTS)


def open_stream(content_type: str = "text/event-stream") -> ResponsesStream:
    """A decoder that waits for a stream."""
    start = WireResponse(status=200, headers={"x-request-id": "req", "Content-Type": content_type}, body=b"")
    return dialect("openai").stream(respond(stream=True), start)


def parts(response: Any) -> tuple[Any, ...]:
    """The parts of an answer."""
    assert isinstance(response, ChatResponse)
    return response.outputs[0].parts


def fails(*events: dict[str, Any]) -> AsyncAPIError:
    """The error after these events; feeding does not raise, and finishing raises the same."""
    stream = open_stream()
    stream.feed(wire(list(events)))
    assert stream.error is not None
    assert not stream.done
    with pytest.raises(type(stream.error)):
        stream.finish()
    return stream.error


@pytest.mark.parametrize("line_break", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
@pytest.mark.parametrize("size", [1, 13, 100_000])
def test_a_stream_is_the_same_however_it_arrives(size: int, line_break: bytes) -> None:
    """It equals the answer that was not streamed, and the chunks add up to it."""
    data = STREAM.replace(b"\n", line_break)
    stream = open_stream()
    chunks = [c for i in range(0, len(data), size) for c in stream.feed(data[i : i + size])]

    plain = WireResponse(status=200, headers={"x-request-id": "req"}, body=json.dumps(WHOLE).encode())
    assert stream.done
    assert stream.finish() == dialect("openai").decode(respond(), plain)
    assert joined(chunks) == [
        {
            "index": 0,
            "text": "Cold.",
            "reasoning": "Checked.\n\nTwice.",
            "tool_calls": [["call_9", "get_weather", '{"city":"Oslo"}']],
            "finish_reason": "tool_calls",
        }
    ]
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.output_tokens, stream.finish().raw["usage"]) == (40, USAGE)


def test_what_has_no_normal_form_is_a_raw_chunk() -> None:
    """Hosted tools at work can be shown."""
    chunks = open_stream().feed(STREAM)
    bare = [c.raw["type"] for c in chunks if not (c.text or c.reasoning or c.tool_call or c.finish_reason)]

    assert bare == [R + "output_item.added", R + "web_search_call.searching", R + "output_item.done"]


def test_a_stream_cut_anywhere_is_whole_or_an_error() -> None:
    """At every byte before the end of the terminal event."""
    end_of_json = STREAM.rstrip(b"\n")
    for end in range(len(STREAM)):
        stream = open_stream()
        stream.feed(STREAM[:end])
        if end < len(end_of_json):
            with pytest.raises(StreamInterruptedError):
                stream.finish()
        else:
            assert stream.finish().text == "Cold."


def test_what_arrived_of_a_cut_stream_is_kept() -> None:
    """Whole items as they are, of the others what their deltas said."""
    stream = open_stream()
    stream.feed(wire(EVENTS[:20]))
    with pytest.raises(StreamInterruptedError, match=r"without response\.completed") as caught:
        stream.finish()

    part = caught.value.partial
    assert parts(part) == (
        Reasoning(text="Checked.\n\nTwice.", provider="openai", provider_data=REASONING),
        ToolCall(id="call_9", name="get_weather", arguments='{"city":"Oslo"}', provider="openai",
                 provider_data=CALL),
        RawPart(provider="openai", data=SEARCH),
        Text("Co"),
    )  # fmt: skip
    assert isinstance(part, ChatResponse)
    assert (part.id, part.model, part.finish_reason, part.provider_request_id) == (
        "resp_1",
        "m2",
        "other",
        "req",
    )


def test_of_unfinished_items_the_pieces_are_kept() -> None:
    """Reasoning, a call, a refusal, and an item that is done but can't be read."""
    stream = open_stream()
    pieces = [delta("refusal", 2, "No"), delta("output_text", 3, "x")]
    unreadable = [item("done", place, {"type": "message"}) for place in (3, 4)]
    stream.feed(wire([*EVENTS[:6], *EVENTS[9:11], *pieces, *unreadable]))
    part = stream.partial()

    assert parts(part) == (
        Reasoning(text="Checked.", provider="openai"),
        ToolCall(id="call_9", name="get_weather", arguments='{"city":', provider="openai"),
        Text("x"),
    )
    assert part.outputs[0].refusal == "No"
    assert open_stream().partial().outputs == ()


def test_nothing_at_all_is_an_interrupted_stream_without_a_part() -> None:
    """An empty body, or only the beginning."""
    for data in (b"", wire(EVENTS[:2]), b"data: [DONE]\n\n"):
        stream = open_stream()
        stream.feed(data)
        with pytest.raises(StreamInterruptedError) as caught:
            stream.finish()
        assert caught.value.partial is None


def test_what_follows_the_proof_is_ignored() -> None:
    """Some send the other route's marker."""
    stream = open_stream()
    stream.feed(STREAM + b"data: [DONE]\n\nevent: error\ndata: {}\n\n")

    assert (stream.done, stream.error, stream.feed(STREAM)) == (True, None, [])
    assert stream.finish().text == "Cold."


def test_an_incomplete_answer_is_whole_and_says_why() -> None:
    """Also where the answer itself does not say its status."""
    data = answer(MESSAGE, status=None, incomplete_details={"reason": "max_output_tokens"})
    stream = open_stream()
    chunks = stream.feed(wire([{"type": R + "incomplete", "response": data}]))

    assert stream.finish().finish_reason == "length"
    assert [chunk.text for chunk in chunks] == ["Cold.", ""]


def test_what_no_delta_brought_comes_with_the_end() -> None:
    """Some servers send no deltas, or not the last."""
    second = {**CALL, "id": "fc_2", "call_id": "call_10"}
    stream = open_stream()
    chunks = stream.feed(
        wire(
            [
                item("added", 0, {**CALL, "arguments": '{"ci'}),
                delta("output_text", 2, "Co"),
                {"type": R + "completed", "response": answer(CALL, second, MESSAGE)},
            ]
        )
    )

    assert joined(chunks) == [
        {
            "index": 0,
            "text": "Cold.",
            "tool_calls": [
                ["call_9", "get_weather", '{"city":"Oslo"}'],
                ["call_10", "get_weather", '{"city":"Oslo"}'],
            ],
            "finish_reason": "tool_calls",
        }
    ]


def test_an_end_without_output_has_the_items_that_were_done() -> None:
    """As some gateways cut it down."""
    stream = open_stream()
    stream.feed(wire([item("done", 0, MESSAGE), {"type": R + "completed", "response": answer()}]))

    assert stream.finish().text == "Cold."


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"type": "error", "code": "server_error", "message": "m"}, ServerError),
        ({"type": "error", "code": "invalid_prompt", "message": "m"}, InvalidRequestError),
        ({"type": R + "failed", "response": answer(status="failed", error={"code": "invalid_prompt"})},
         InvalidRequestError),
        ({"type": R + "failed", "response": {"status": "failed"}}, ServerError),
        ({"type": R + "completed", "response": answer(status="failed", error=None)}, ServerError),
    ],
)  # fmt: skip
def test_a_failure_in_mid_stream_is_raised_after_what_came_before(
    event: dict[str, Any], expected: type[AsyncAPIError]
) -> None:
    """By its code; with or without the event's name."""
    assert type(fails(*EVENTS[:10], event)) is expected
    stream = open_stream()
    stream.feed(f"data: {json.dumps(event)}\n\n".encode())
    assert type(stream.error) is expected


def test_an_error_in_the_other_routes_form_is_an_error() -> None:
    """Gateways send it."""
    stream = open_stream()
    stream.feed(b'data: {"error": {"message": "m", "code": "server_error"}}\n\n')

    assert isinstance(stream.error, ServerError)


@pytest.mark.parametrize(
    "event",
    [
        {"type": [1]},
        {"type": 5},
        {"type": R + "completed"},
        {"type": R + "completed", "response": {}},
        {"type": R + "created", "response": {"id": 5}},
        {"type": R + "output_text.delta", "delta": 5},
        {"type": R + "output_text.delta", "delta": "x", "output_index": -1},
        {"type": R + "function_call_arguments.delta", "delta": "x", "output_index": 7},
        {"type": R + "output_item.added", "item": {"type": "function_call"}},
        {"type": R + "output_item.done", "item": 5},
    ],
)
def test_an_event_of_the_wrong_shape_is_a_decode_error(event: dict[str, Any]) -> None:
    """Never a wrong answer."""
    assert isinstance(fails(event), DecodeError)


def test_an_event_that_comes_again_is_a_decode_error() -> None:
    """Its text would be in the answer twice."""
    events = [{**delta("output_text", 0, "x"), "sequence_number": n} for n in (4, 7, 7)]
    stream = open_stream()
    chunks: list[Chunk] = []
    for event in events:
        chunks += stream.feed(f"data: {json.dumps(event)}\n\n".encode())

    assert [chunk.text for chunk in chunks] == ["x", "x"]
    assert isinstance(stream.error, DecodeError)


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/json", b'{"error": {"message": "m", "code": "server_error"}}', ServerError),
        ("application/json; charset=utf-8", json.dumps(WHOLE).encode(), DecodeError),
        ("text/html", b"<html>", DecodeError),
        ("text/event-stream", b"data: {}}\n\n", DecodeError),
    ],
)
def test_what_is_no_stream_is_an_error(content_type: str, body: bytes, expected: type[AsyncAPIError]) -> None:
    """A plain reply, a page, or something else."""
    stream = open_stream(content_type)
    stream.feed(body)

    with pytest.raises(expected):
        stream.finish()
