"""Claude's streamed answers, whole, cut and broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.abc import StreamDecoder
from asyncapi.backends._claude_stream import ClaudeStream
from asyncapi.backends.claude import backend
from asyncapi.errors import (
    AsyncAPIError,
    DecodeError,
    InvalidRequestError,
    OverloadedError,
    ServerError,
    StreamInterruptedError,
)
from asyncapi.types.messages import Message, RawPart, Reasoning, Text, ToolCall
from asyncapi.types.requests import ChatRequest
from asyncapi.types.responses import ChatResponse, Chunk
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireResponse

GOLDEN = Path(__file__).parent / "golden" / "claude"
TOOL = (GOLDEN / "thinking_and_tool.sse").read_bytes()
SERVER_TOOL = (GOLDEN / "server_tool.sse").read_bytes()
ASK = ChatRequest(model="claude-sonnet-5", messages=(Message("user", "Hello"),), stream=True)
HEAD = WireResponse(status=200, headers={"request-id": "req_1"}, body=b"")


def decoder() -> ClaudeStream:
    """A decoder that has seen nothing."""
    return backend.stream(ASK, HEAD)


def read(*pieces: bytes) -> tuple[list[Chunk], ChatResponse]:
    """The chunks and the whole answer."""
    stream: StreamDecoder = decoder()
    chunks = [chunk for piece in pieces for chunk in stream.feed(piece)]
    response = stream.finish()
    assert isinstance(response, ChatResponse)
    return chunks, response


def sse(*events: dict[str, Any]) -> bytes:
    """Events as a stream, without names."""
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


START: dict[str, Any] = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 3},
    },
}
TEXT: dict[str, Any] = {
    "type": "content_block_start",
    "index": 0,
    "content_block": {"type": "text", "text": ""},
}
CALL: dict[str, Any] = {
    "type": "content_block_start",
    "index": 0,
    "content_block": {"type": "tool_use", "id": "a", "name": "f", "input": {}},
}
END: dict[str, Any] = {
    "type": "message_delta",
    "delta": {"stop_reason": "end_turn"},
    "usage": {"output_tokens": 2},
}
STOP: dict[str, Any] = {"type": "message_stop"}


def delta(kind: str, **fields: Any) -> dict[str, Any]:
    """A piece of the first block."""
    return {"type": "content_block_delta", "index": 0, "delta": {"type": kind, **fields}}


def test_a_stream_becomes_chunks_and_an_answer() -> None:
    """Thinking with its signature, text, a tool call, usage merged and inclusive."""
    chunks, response = read(TOOL)

    thinking = {"type": "thinking", "thinking": "Need the tool.", "signature": "EqQBCg=="}
    assert response.outputs[0].parts == (
        Reasoning(text="Need the tool.", provider="claude", provider_data=thinking),
        Text("Låt mig se 🙂"),
        ToolCall(id="toolu_01", name="get_weather", arguments='{"city": "Oslo"}'),
    )
    assert response.finish_reason == "tool_calls"
    assert (response.id, response.model) == ("msg_01", "claude-sonnet-5-5")
    assert response.provider_request_id == "req_1"
    assert response.usage == Usage(
        input_tokens=30, output_tokens=89, cache_read_tokens=2, cache_write_tokens=3, source="reported"
    )
    assert response.raw["content"][2]["input"] == {"city": "Oslo"}
    assert "".join(chunk.text for chunk in chunks) == response.text
    assert "".join(chunk.reasoning for chunk in chunks) == response.reasoning
    calls = [chunk.tool_call for chunk in chunks if chunk.tool_call is not None]
    assert (calls[0].index, calls[0].id, calls[0].name) == (0, "toolu_01", "get_weather")
    assert "".join(call.arguments for call in calls) == response.tool_calls[0].arguments
    assert (chunks[-1].finish_reason, chunks[-1].usage) == ("tool_calls", response.usage)
    assert all(chunk.text or chunk.reasoning or chunk.tool_call or chunk.usage for chunk in chunks)


def test_a_streamed_answer_equals_the_whole_one() -> None:
    """Decoding the assembled JSON as one reply gives the same parts."""
    _, response = read(SERVER_TOOL)
    reply = WireResponse(status=200, headers={}, body=json.dumps(response.raw).encode())

    whole = backend.decode(ASK, reply)
    assert isinstance(whole, ChatResponse)
    assert (whole.outputs, whole.usage) == (response.outputs, response.usage)


def test_hosted_tools_are_kept_to_be_sent_back() -> None:
    """Blocks without a normal form become raw parts, their input put together."""
    chunks, response = read(SERVER_TOOL)

    hidden, tool, result, text, call = response.outputs[0].parts
    assert hidden == Reasoning(
        provider="claude", provider_data={"type": "thinking", "thinking": "", "signature": "Ab=="}
    )
    assert isinstance(tool, RawPart)
    assert tool.data["input"] == {"query": "x"}
    assert isinstance(result, RawPart)
    assert (text, call) == (Text("It is."), ToolCall(id="toolu_9", name="now", arguments='{"zone":"UTC"}'))
    assert response.raw["content"][3]["citations"][0]["url"] == "https://example.com"
    assert (response.outputs[0].stop_sequence, response.outputs[0].raw_reason) == ("END", "stop_sequence")
    assert response.usage.input_tokens == 12
    assert [c.tool_call.arguments for c in chunks if c.tool_call] == ["", '{"zone":"UTC"}']


@pytest.mark.parametrize("golden", [TOOL, SERVER_TOOL])
def test_line_ends_and_chunk_borders_make_no_difference(golden: bytes) -> None:
    """LF and CRLF, whole, and one byte at a time."""
    expected = read(golden)
    crlf = golden.replace(b"\n", b"\r\n")

    assert read(crlf) == expected
    assert read(*(golden[i : i + 1] for i in range(len(golden)))) == expected
    assert read(*(crlf[i : i + 1] for i in range(len(crlf)))) == expected


@pytest.mark.parametrize("golden", [TOOL, SERVER_TOOL])
def test_names_of_events_may_be_missing(golden: bytes) -> None:
    """Some proxies strip them: the type inside the data suffices."""
    bare = b"\n".join(line for line in golden.split(b"\n") if not line.startswith(b"event:"))

    assert read(bare) == read(golden)


def test_types_of_events_may_be_missing() -> None:
    """The event's name suffices, too."""
    named = b"event: message_start\n" + sse({"message": START["message"]}) + sse(END)
    assert read(named, b"event: message_stop\ndata: {}\n\n")[1].finish_reason == "stop"


@pytest.mark.parametrize("golden", [TOOL, SERVER_TOOL])
def test_every_cut_is_an_interruption_with_the_part_that_arrived(golden: bytes) -> None:
    """Before message_stop no prefix passes for an answer, whatever byte it ends with."""
    whole = read(golden)[1]
    proof = golden.index(b'{"type":"message_stop"}') + len(b'{"type":"message_stop"}')

    for end in range(len(golden) + 1):
        stream = decoder()
        stream.feed(golden[:end])
        if end >= proof:
            assert stream.finish() == whole
            continue
        with pytest.raises(StreamInterruptedError) as caught:
            stream.finish()
        partial = caught.value.partial
        if end > golden.index(b"content_block_start"):
            assert isinstance(partial, ChatResponse)
            assert whole.text.startswith(partial.text)
            assert whole.reasoning.startswith(partial.reasoning)
        elif end < golden.index(b"message_start"):
            assert partial is None


def test_a_partial_answer_says_why_it_ended_only_when_it_did() -> None:
    """Its finish reason is no stop."""
    stream = decoder()
    stream.feed(sse(START, CALL, delta("input_json_delta", partial_json='{"a": ')))

    assert stream.partial().finish_reason == "other"
    assert stream.partial().tool_calls[0].arguments == '{"a": '
    assert stream.partial().raw["content"][0]["input"] == '{"a": '
    stream.feed(sse(END))
    assert stream.partial().finish_reason == "tool_calls"
    assert not stream.done


def test_nothing_is_read_after_the_end() -> None:
    """What follows message_stop is of no use, and no error."""
    stream = decoder()
    chunks = stream.feed(sse(START, END, STOP) + b"data: [DONE]\n\n")

    assert (len(chunks), stream.done, stream.error) == (1, True, None)
    assert stream.feed(b"data: garbage\n\n") == []
    assert stream.finish().finish_reason == "stop"


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"O"}}\n\n',
            OverloadedError,
        ),
        (b'data: {"type":"error","error":{"type":"api_error","message":"A"}}\n\n', ServerError),
        (b'data: {"type":"error","error":{"type":"invalid_request_error"}}\n\n', InvalidRequestError),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"O"}}\n\n', OverloadedError),
        (b'event: error\ndata: {"error":{"type":"timeout_error"}}\n\n', ServerError),
    ],
)
def test_an_error_event_becomes_its_exception(event: bytes, expected: type[AsyncAPIError]) -> None:
    """After the chunks that came before it; the stream is over then."""
    stream = decoder()
    chunks = stream.feed(sse(START, TEXT, delta("text_delta", text="Hi")) + event + sse(END, STOP))

    assert [chunk.text for chunk in chunks] == ["Hi"]
    assert type(stream.error) is expected
    assert stream.feed(sse(STOP)) == []
    with pytest.raises(expected):
        stream.finish()


@pytest.mark.parametrize(
    "events",
    [
        b"data: nonsense\n\n",
        b"data: 5\n\n",
        sse(TEXT),
        sse(END),
        sse(STOP),
        sse(START, STOP),
        sse(START, START),
        sse({"type": "message_start", "message": {"id": 5, "model": "m"}}),
        sse({"type": "message_start"}),
        sse(START, TEXT, TEXT),
        sse(START, {**TEXT, "content_block": {"type": "text"}}),
        sse(START, {**TEXT, "index": []}),
        sse(START, delta("text_delta", text="Hi")),
        sse(START, TEXT, delta("text_delta", text=5)),
        sse(START, TEXT, delta("thinking_delta", thinking="Hi")),
        sse(START, TEXT, delta("input_json_delta", partial_json="{}")),
        sse(START, CALL, delta("input_json_delta", partial_json=None)),
        sse(START, CALL, delta("signature_delta", signature="a")),
        sse(START, {"type": "content_block_stop", "index": 0}),
        sse(START, {**END, "delta": []}),
        sse(START, {**END, "delta": {"stop_reason": 5}}, STOP),
        sse(START, {**END, "usage": 5}),
        sse({"type": {"a": 1}}),
        sse(START, TEXT, END, STOP),
    ],
)
def test_events_out_of_place_are_a_decode_error(events: bytes) -> None:
    """The stream is refused where it went wrong, with the bytes at hand; feeding never raises."""
    stream = decoder()
    stream.feed(events)

    assert isinstance(stream.error, DecodeError)
    assert stream.error.body
    with pytest.raises(DecodeError):
        stream.finish()
    stream.partial()


def test_an_event_without_end_is_refused() -> None:
    """Memory is bounded: beyond 16 MiB the stream fails."""
    stream = decoder()
    stream.feed(b"data: " + b"x" * (17 * 1024 * 1024))

    assert isinstance(stream.error, DecodeError)


def test_text_that_opens_a_block_counts() -> None:
    """Look-alikes put the first piece into the block's start; an empty piece is no chunk."""
    think = {
        "type": "content_block_start",
        "index": 1,
        "content_block": {"type": "thinking", "thinking": "Hm"},
    }
    start = {**TEXT, "content_block": {"type": "text", "text": "A"}}
    stops = [{"type": "content_block_stop", "index": index} for index in (0, 1)]
    chunks, response = read(sse(START, start, delta("text_delta", text=""), think, *stops, END, STOP))

    assert [(chunk.text, chunk.reasoning) for chunk in chunks[:-1]] == [("A", ""), ("", "Hm")]
    assert (response.text, response.reasoning) == ("A", "Hm")


def test_a_null_in_message_delta_takes_nothing_back() -> None:
    """The last value of each field counts, and null is none."""
    later = {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": 7}}
    chunks, response = read(sse(START, END, later, STOP))

    assert (response.finish_reason, response.usage.input_tokens, response.usage.output_tokens) == (
        "stop",
        3,
        7,
    )
    assert [chunk.finish_reason for chunk in chunks] == ["stop", None]


@settings(deadline=None)
@given(data=st.data())
def test_a_mutated_stream_is_read_or_refused(data: st.DataObject) -> None:
    """Whatever bytes change, and wherever it is cut: an answer or an AsyncAPIError."""
    golden = data.draw(st.sampled_from([TOOL, SERVER_TOOL]))
    position = data.draw(st.integers(0, len(golden) - 1))
    length = data.draw(st.integers(0, 30))
    mutated = golden[:position] + data.draw(st.binary(max_size=8)) + golden[position + length :]
    stream = decoder()
    for start in range(0, len(mutated), 97):
        stream.feed(mutated[start : start + 97])
    stream.partial()

    try:
        response = stream.finish()
    except AsyncAPIError:
        return
    assert isinstance(response.text + response.reasoning, str)
    assert response.finish_reason


@settings(deadline=None)
@given(order=st.permutations(TOOL.strip().split(b"\n\n")[1:]), count=st.integers(0, 20))
def test_events_in_any_order_never_make_a_short_answer(order: list[bytes], count: int) -> None:
    """An answer taken for whole has all that its events said before message_stop."""
    stream = decoder()
    chunks = stream.feed(b"".join(event + b"\n\n" for event in order[:count]))

    try:
        response = stream.finish()
    except AsyncAPIError:
        return
    assert "".join(chunk.text for chunk in chunks) == response.text
