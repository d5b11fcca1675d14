"""Gemini's streamed answers, whole, cut and broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.abc import StreamDecoder
from asyncapi.backends._gemini_stream import GeminiStream
from asyncapi.backends.gemini import backend
from asyncapi.errors import (
    AsyncAPIError,
    ContentRefusedError,
    DecodeError,
    OverloadedError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
)
from asyncapi.types.messages import Image, Message, RawPart, Reasoning, Text, ToolCall
from asyncapi.types.requests import ChatRequest
from asyncapi.types.responses import ChatResponse, Chunk
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireResponse

FOLDER = Path(__file__).parent / "golden" / "gemini"
THINKING = (FOLDER / "thinking.sse").read_bytes()
TOOLS = (FOLDER / "tools.sse").read_bytes()
BOTH = pytest.mark.parametrize("golden", [THINKING, TOOLS], ids=["thinking", "tools"])


def decoder(n: int | None = None) -> GeminiStream:
    """A decoder that has seen nothing."""
    request = ChatRequest(model="gemini-3.5-flash", messages=(Message("user", "Hi"),), stream=True, n=n)
    return backend.stream(request, WireResponse(status=200, headers={}, body=b""))


def read(*pieces: bytes, n: int | None = None) -> tuple[list[Chunk], ChatResponse]:
    """The chunks and the whole answer."""
    stream: StreamDecoder = decoder(n)
    chunks = [chunk for piece in pieces for chunk in stream.feed(piece)]
    response = stream.finish()
    assert isinstance(response, ChatResponse)
    return chunks, response


def sse(*events: Any) -> bytes:
    """Events as a stream."""
    return b"".join(b"data: " + json.dumps(event).encode() + b"\r\n\r\n" for event in events)


def said(*parts: Any, **fields: Any) -> dict[str, Any]:
    """An event with these parts of the first candidate."""
    return {"candidates": [{"content": {"parts": list(parts)}, **fields}], "responseId": "r"}


def test_thoughts_and_text_are_joined() -> None:
    """The signature of the end is kept for the way back; usage is the last."""
    chunks, response = read(THINKING)

    thought = {"text": "Thinking about the fjord.", "thought": True}
    assert response.outputs[0].parts == (
        Reasoning(text="Thinking about the fjord.", provider="gemini", provider_data=thought),
        Text("Kalt på fjorden 🙂"),
        Reasoning(provider="gemini", provider_data={"text": "", "thoughtSignature": "QkI="}),
    )
    assert response.finish_reason == "stop"
    assert (response.id, response.model) == ("r1", "gemini-3.5-flash")
    assert response.usage == Usage(input_tokens=8, output_tokens=37, reasoning_tokens=32, source="reported")
    assert "".join(chunk.text for chunk in chunks) == response.text
    assert "".join(chunk.reasoning for chunk in chunks) == response.reasoning
    assert (chunks[-1].finish_reason, chunks[-1].usage) == ("stop", response.usage)


def test_calls_come_whole() -> None:
    """With ids for all; parts that a chunk has no field for are in its raw event."""
    chunks, response = read(TOOLS)

    text, call, bare, image, code = response.outputs[0].parts
    assert text == Text("One moment.")
    assert isinstance(call, ToolCall)
    assert call.provider_data["thoughtSignature"] == "CpQBAVSoXO4="
    assert bare == ToolCall(id="gen_r2_0_1", name="now", arguments="{}", provider="gemini")
    assert image == Image(data="YWJj")
    assert isinstance(code, RawPart)
    assert response.finish_reason == "tool_calls"
    assert (response.usage.input_tokens, response.usage.output_tokens) == (10, 21)
    deltas = [chunk.tool_call for chunk in chunks if chunk.tool_call is not None]
    assert [(d.index, d.id, d.name, d.arguments) for d in deltas] == [
        (i, c.id, c.name, c.arguments) for i, c in enumerate(response.tool_calls)
    ]
    assert [c.raw["candidates"][0]["content"]["parts"][1] for c in chunks[3:5]] == [code.data] * 2


@BOTH
def test_a_streamed_answer_equals_the_whole_one(golden: bytes) -> None:
    """Decoding the assembled JSON as one reply gives the same."""
    _, response = read(golden)

    request = ChatRequest(model="m", messages=(Message("user", "Hi"),))
    body = json.dumps(response.raw).encode()
    whole = backend.decode(request, WireResponse(status=200, headers={}, body=body))
    assert isinstance(whole, ChatResponse)
    assert (whole.id, whole.outputs, whole.usage) == (response.id, response.outputs, response.usage)


@BOTH
def test_line_ends_and_chunk_borders_make_no_difference(golden: bytes) -> None:
    """LF, CRLF and CR, whole, and one byte at a time."""
    expected = read(golden)

    for end in (b"\n", b"\r\n", b"\r"):
        stream = golden.replace(b"\n", end)
        assert read(stream) == expected
        assert read(*(stream[i : i + 1] for i in range(len(stream)))) == expected


@BOTH
def test_every_cut_is_an_interruption_with_the_part_that_arrived(golden: bytes) -> None:
    """Before the last event is whole no prefix passes for an answer, whatever byte it ends with."""
    whole = read(golden)[1]
    first = golden.index(b"\n\n") + 2

    for end in range(len(golden)):
        stream = decoder()
        stream.feed(golden[:end])
        if end >= len(golden) - 2:
            assert stream.finish() == whole  # nothing but the blank line is missing, and it brought no text
            continue
        with pytest.raises(StreamInterruptedError) as caught:
            stream.finish()
        partial = caught.value.partial
        if end < first - 2:
            assert partial is None
        else:
            assert isinstance(partial, ChatResponse)
            assert whole.text.startswith(partial.text)
            assert whole.reasoning.startswith(partial.reasoning)


def test_an_event_without_its_blank_line_can_not_bring_text() -> None:
    """It would reach no one: an error tells them, with all that arrived."""
    stream = decoder()
    stream.feed(sse(said({"text": "Cold"}, finishReason="STOP"))[:-4])

    with pytest.raises(StreamInterruptedError) as caught:
        stream.finish()
    assert isinstance(caught.value.partial, ChatResponse)
    assert caught.value.partial.text == "Cold"
    assert caught.value.partial.finish_reason == "stop"


def test_every_candidate_that_was_asked_for_must_end() -> None:
    """The end of one is not the end of all."""
    one, other = said({"text": "a"}, finishReason="STOP"), said({"text": "b"}, index=1)
    end = {"candidates": [{"index": 1, "finishReason": "MAX_TOKENS"}]}
    chunks, response = read(sse(one, other, end), n=2)

    assert [(o.index, o.text, o.finish_reason) for o in response.outputs] == [
        (0, "a", "stop"),
        (1, "b", "length"),
    ]
    assert [chunk.output for chunk in chunks] == [0, 0, 1, 1]
    for events in ((one,), (one, other)):
        with pytest.raises(StreamInterruptedError):
            read(sse(*events), n=2)


def test_usage_may_come_after_the_end_or_not_at_all() -> None:
    """Until it came the stream is not done; without it, it is unknown."""
    end = said({"text": "a"}, finishReason="STOP")
    usage = {"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1}}
    stream = decoder()

    assert (len(stream.feed(sse(end))), stream.done) == (2, False)
    chunk = stream.feed(sse(usage))[0]
    assert (chunk.text, stream.done) == ("", True)
    assert chunk.usage == stream.finish().usage == Usage(input_tokens=3, output_tokens=1, source="reported")
    assert read(sse(end))[1].usage == Usage()
    assert read(sse(end) + sse(usage)[:-4])[1].usage == chunk.usage
    assert stream.feed(sse(said({"text": "more"}))) == []


def test_signed_text_is_not_joined_with_other_text() -> None:
    """A signature belongs to its own part."""
    events = sse(
        said({"text": "a"}),
        said({"text": "b", "thoughtSignature": "A="}),
        said({"text": "c"}, {"text": "", "thought": True}, finishReason="STOP"),
    )

    parts = read(events)[1].raw["candidates"][0]["content"]["parts"]
    assert [part["text"] for part in parts] == ["a", "b", "c", ""]


def test_ids_are_made_without_an_answers_id_too() -> None:
    """The same in the chunks and in the answer."""
    event = {
        "candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}]}, "finishReason": "STOP"}]
    }
    chunks, response = read(sse(event))

    assert chunks[0].tool_call is not None
    assert chunks[0].tool_call.id == response.tool_calls[0].id
    assert response.id.startswith("gen_")


def test_a_blocked_prompt_is_refused_content() -> None:
    """It is the only event."""
    stream = decoder()
    stream.feed(sse({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}}))

    assert isinstance(stream.error, ContentRefusedError)
    with pytest.raises(ContentRefusedError):
        stream.finish()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (b'data: {"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}\n\n', OverloadedError),
        (b'{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}\n\n', RateLimitError),
        (b'data: [{"error":{"code":500,"message":"m","status":"INTERNAL"}}]\n\n', ServerError),
        (b'{\n  "error": {\n    "code": 500\n  }\n}\n\n', ServerError),
    ],
)
def test_an_error_in_the_stream_becomes_its_exception(error: bytes, expected: type[AsyncAPIError]) -> None:
    """In an event, bare, in a list, or over several lines; after the chunks that came before it."""
    stream = decoder()
    chunks = stream.feed(sse(said({"text": "Cold"})) + error + THINKING)

    assert [chunk.text for chunk in chunks] == ["Cold"]
    assert type(stream.error) is expected
    with pytest.raises(expected):
        stream.finish()
    assert stream.partial().text == "Cold"


@pytest.mark.parametrize("error", [b'{"error":{"code":503,"message":"m"}}', b'{\n "error": {'])
def test_an_error_without_its_blank_line_is_read_at_the_end(error: bytes) -> None:
    """The server closes right after it."""
    stream = decoder()
    stream.feed(sse(said({"text": "Cold"})) + error)

    with pytest.raises((OverloadedError, ServerError)):
        stream.finish()


@pytest.mark.parametrize(
    "events",
    [
        b"data: nonsense\n\n",
        sse(5),
        sse([]),
        sse({"candidates": 5}),
        sse({"candidates": [5]}),
        sse(said(index="0")),
        sse(said("text")),
        sse(said({"text": 5})),
        sse(said({"functionCall": {}})),
        b"data: " + b" " * (17 * 1024 * 1024),
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


def test_nothing_is_read_after_the_end() -> None:
    """What follows is of no use, and no error."""
    stream = decoder()
    stream.feed(THINKING + b"data: garbage\n\n")

    assert (stream.done, stream.error) == (True, None)


@BOTH
@settings(deadline=None)
@given(data=st.data())
def test_a_mutated_stream_is_read_or_refused(golden: bytes, data: st.DataObject) -> None:
    """Whatever bytes change: an answer or an AsyncAPIError."""
    position = data.draw(st.integers(0, len(golden) - 1))
    length = data.draw(st.integers(0, 30))
    changed = golden[:position] + data.draw(st.binary(max_size=8)) + golden[position + length :]
    stream = decoder()
    for start in range(0, len(changed), 97):
        stream.feed(changed[start : start + 97])
    stream.partial()

    try:
        response = stream.finish()
    except AsyncAPIError:
        return
    assert isinstance(response.text + response.reasoning, str)
    assert response.finish_reason
