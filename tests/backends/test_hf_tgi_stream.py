"""Text Generation Inference's streams: of tokens, and of chats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.abc import StreamDecoder
from asyncapi.backends.hf_tgi import backend
from asyncapi.errors import (
    AsyncAPIError,
    DecodeError,
    InvalidRequestError,
    OverloadedError,
    ServerError,
    StreamInterruptedError,
)
from asyncapi.types.messages import Message, Text
from asyncapi.types.requests import ChatRequest, CompleteRequest
from asyncapi.types.responses import ChatResponse, Chunk, CompleteResponse
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireResponse

FOLDER = Path(__file__).parent / "golden" / "hf_tgi"
TOKENS = (FOLDER / "generate.sse").read_bytes()
CHAT = (FOLDER / "chat_tool.sse").read_bytes()
ASK = ChatRequest(model="tgi", messages=(Message("user", "Hi"),), stream=True)
CONTINUE = CompleteRequest(model="zephyr", prompts=("a",), stream=True)
BOTH = pytest.mark.parametrize(
    ("request_", "golden"), [(CONTINUE, TOKENS), (ASK, CHAT)], ids=["tokens", "chat"]
)


def decoder(request: ChatRequest | CompleteRequest = CONTINUE) -> StreamDecoder:
    """A decoder that has seen nothing."""
    return backend.stream(request, WireResponse(status=200, headers={"x-prompt-tokens": "9"}, body=b""))


def read(request: ChatRequest | CompleteRequest, *pieces: bytes) -> tuple[list[Chunk], Any]:
    """The chunks and the whole answer."""
    stream = decoder(request)
    chunks = [chunk for piece in pieces for chunk in stream.feed(piece)]
    return chunks, stream.finish()


def sse(*events: Any) -> bytes:
    """Events as a stream."""
    return b"".join(b"data:" + json.dumps(event).encode() + b"\n\n" for event in events)


def token(text: Any, generated: Any = None, **fields: Any) -> dict[str, Any]:
    """An event with this token."""
    return {"token": {"id": 1, "text": text, **fields}, "generated_text": generated, "details": None}


def test_tokens_become_chunks_and_a_continuation() -> None:
    """Special tokens are no part of the text; the last event counts."""
    chunks, response = read(CONTINUE, TOKENS)

    assert isinstance(response, CompleteResponse)
    assert response.outputs[0].parts == (Text(" am på 🙂"),)
    assert (response.outputs[0].finish_reason, response.outputs[0].raw_reason) == ("stop", "eos_token")
    assert response.usage == Usage(input_tokens=5, output_tokens=3, source="reported")
    assert response.model == "zephyr"
    assert "".join(chunk.text for chunk in chunks) == response.text
    assert (chunks[-1].finish_reason, chunks[-1].usage) == ("stop", response.usage)
    assert len(response.raw["details"]["tokens"]) == 3


def test_logprobs_are_gathered_where_they_were_asked_for() -> None:
    """Of every token, the special ones too."""
    request = CompleteRequest(model="m", prompts=("a",), stream=True, logprobs=0)

    _, response = read(request, TOKENS)
    assert [entry["logprob"] for entry in response.outputs[0].logprobs] == [-1.2, -0.4, -0.1]


def test_tool_calls_of_a_streamed_chat_get_ids_of_their_own() -> None:
    """The same in the chunks and in the answer; old servers send an object where a list is due."""
    chunks, response = read(ASK, CHAT)

    assert isinstance(response, ChatResponse)
    (call,) = response.tool_calls
    assert call.id.startswith("gen_")
    assert (call.name, call.arguments) == ("get_weather", '{"city":"Oslo"}')
    deltas = [chunk.tool_call for chunk in chunks if chunk.tool_call is not None]
    assert (deltas[0].id, deltas[0].name) == (call.id, call.name)
    assert "".join(delta.arguments for delta in deltas) == call.arguments
    assert response.finish_reason == "tool_calls"
    assert response.usage == Usage(input_tokens=30, output_tokens=12, source="reported")


@BOTH
def test_line_ends_and_chunk_borders_make_no_difference(request_: Any, golden: bytes) -> None:
    """LF and CRLF, whole, and one byte at a time; with and without a space after the colon."""
    expected = read(request_, golden)

    for stream in (golden, golden.replace(b"\n", b"\r\n"), golden.replace(b"data:{", b"data: {")):
        assert read(request_, stream) == expected
        assert read(request_, *(stream[i : i + 1] for i in range(len(stream)))) == expected


@BOTH
def test_every_cut_is_an_interruption_with_the_part_that_arrived(request_: Any, golden: bytes) -> None:
    """Before the proof is whole no prefix passes for an answer, whatever byte it ends with."""
    whole = read(request_, golden)[1]
    first = golden.index(b"\n\n") + 2
    last = golden.rindex(b"data:") if request_ is CONTINUE else golden.index(b'"finish_reason":"stop"')

    for end in range(len(golden) + 1):
        stream = decoder(request_)
        stream.feed(golden[:end])
        if end == len(golden):
            assert stream.finish() == whole
        elif end < last:
            with pytest.raises(StreamInterruptedError) as caught:
                stream.finish()
            if end >= first:
                assert whole.text.startswith(caught.value.partial.text)  # type: ignore[attr-defined]
            elif end < first - 2:
                assert caught.value.partial is None
    assert stream.done


def test_a_cut_call_has_its_own_id_in_the_part_that_arrived() -> None:
    """It is the one that the chunks had."""
    stream = decoder(ASK)
    chunks = stream.feed(CHAT[: CHAT.index(b"\n\n") + 2])

    with pytest.raises(StreamInterruptedError) as caught:
        stream.finish()
    assert isinstance(caught.value.partial, ChatResponse)
    assert chunks[0].tool_call is not None
    assert stream.error is None
    assert caught.value.partial.tool_calls[0].id == chunks[0].tool_call.id
    assert stream.partial() == caught.value.partial


def test_the_last_token_without_its_blank_line_is_an_interruption() -> None:
    """It would reach no one."""
    with pytest.raises(StreamInterruptedError, match="before the generated text"):
        read(CONTINUE, sse(token("a", "a"))[:-1])


def test_nothing_is_read_after_the_end() -> None:
    """What follows the last event is of no use, and no error."""
    stream = decoder()
    stream.feed(TOKENS + b"data: garbage\n\n")

    assert (stream.done, stream.error) == (True, None)
    assert stream.feed(b"data: garbage\n\n") == []


@pytest.mark.parametrize("end", [b"\n\n", b""])
def test_an_error_in_the_stream_becomes_its_exception(end: bytes) -> None:
    """After the chunks that came before it, also where the server closes right after it."""
    stream = decoder()
    error = b'data:{"error":"Request failed during generation: boom","error_type":"generation"}'
    chunks = stream.feed(sse(token("a"), token("")) + error + end)

    assert [chunk.text for chunk in chunks] == ["a"]
    with pytest.raises(ServerError, match="boom"):
        stream.finish()
    assert isinstance(stream.error, ServerError)
    assert stream.feed(TOKENS) == []


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Request failed during generation: boom", ServerError),
        ("Model is overloaded", OverloadedError),
        ("Input validation error", InvalidRequestError),
    ],
)
def test_an_error_in_a_chat_goes_by_its_text(message: str, expected: type[AsyncAPIError]) -> None:
    """They all say 422, and [DONE] is sent all the same."""
    stream = decoder(ASK)
    stream.feed(sse({"error": {"message": message, "http_status_code": 422}}) + b"data:[DONE]\n\n")

    assert type(stream.error) is expected
    with pytest.raises(expected):
        stream.finish()


@pytest.mark.parametrize(
    "events",
    [
        b"data:nonsense\n\n",
        sse(5),
        sse({}),
        sse({"token": {}}),
        sse(token(5)),
        sse(token("a", 5)),
        b"data:" + b" " * (17 * 1024 * 1024),
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


@BOTH
@settings(deadline=None)
@given(data=st.data())
def test_a_mutated_stream_is_read_or_refused(request_: Any, golden: bytes, data: st.DataObject) -> None:
    """Whatever bytes change: an answer or an AsyncAPIError."""
    position = data.draw(st.integers(0, len(golden) - 1))
    length = data.draw(st.integers(0, 30))
    changed = golden[:position] + data.draw(st.binary(max_size=8)) + golden[position + length :]
    stream = decoder(request_)
    for start in range(0, len(changed), 97):
        stream.feed(changed[start : start + 97])
    stream.partial()

    try:
        response = stream.finish()
    except AsyncAPIError:
        return
    assert isinstance(response.text, str)  # type: ignore[attr-defined]
