"""Streamed answers in the OpenAI dialect: whole, in pieces, cut, and failing in mid-stream."""

from __future__ import annotations

import random
from typing import Any

import pytest

from asyncapi.backends._openai_stream import ChatStream
from asyncapi.errors import (
    AsyncAPIError,
    DecodeError,
    InvalidRequestError,
    OverloadedError,
    ServerError,
    StreamInterruptedError,
)
from asyncapi.types.responses import ChatResponse, Chunk
from asyncapi.types.wire import WireResponse
from asyncapi.wire import sse

from .openai_golden import cases, chat, dialect, joined, summary

DELTA = b'data: {"id":"c","model":"m1","choices":[{"index":0,"delta":{"content":"Hel"}}]}\n\n'
FINISH = b'data: {"id":"c","model":"m1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


def open_stream(service: str = "openai", n: int | None = None, content_type: str = "") -> ChatStream:
    """A decoder that waits for the stream of a service."""
    headers = {"x-request-id": "req_1", "content-type": content_type}
    return dialect(service).stream(
        chat(stream=True, n=n), WireResponse(status=200, headers=headers, body=b"")
    )


def read(stream: ChatStream, *pieces: bytes) -> tuple[list[Chunk], ChatResponse]:
    """All chunks and the response."""
    chunks = [chunk for piece in pieces for chunk in stream.feed(piece)]
    return chunks, stream.finish()


def wire(case: dict[str, Any]) -> bytes:
    """The bytes of a golden stream."""
    return b"".join(f"data: {event}\n\n".encode() for event in case["events"])


@pytest.mark.parametrize("line_break", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
@pytest.mark.parametrize("case", cases("streams"))
def test_a_stream_is_the_same_however_it_arrives(case: dict[str, Any], line_break: bytes) -> None:
    """Whole, byte by byte and in random pieces, with every line break; the chunks add up to the answer."""
    data = b": keep-alive\n\n" + wire(case)
    data = data.replace(b"\n", line_break)
    cuts = sorted(random.Random(7).sample(range(len(data)), 20))
    ways = (
        [data],
        [bytes([byte]) for byte in data],
        [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)],
    )

    for pieces in ways:
        chunks, response = read(open_stream(case["service"], case["n"]), *pieces)
        assert summary(response) == case["expect"]
        words = ("index", "text", "reasoning", "refusal", "tool_calls", "finish_reason")
        outputs = case["expect"]["outputs"]
        assert joined(chunks) == [{word: o[word] for word in words if word in o} for o in outputs]


@pytest.mark.parametrize("case", cases("streams"))
def test_a_stream_cut_anywhere_is_whole_or_an_error(case: dict[str, Any]) -> None:
    """At every byte: never a quiet short answer."""
    data = wire(case)
    whole = case["expect"]

    for end in range(len(data)):
        stream = open_stream(case["service"], case["n"])
        try:
            chunks, response = read(stream, data[:end])
        except AsyncAPIError:
            continue
        assert summary(response)["outputs"] == whole["outputs"]
        assert joined(chunks)[0].get("text", "") == whole["outputs"][0].get("text", "")
        assert stream.error is None


def test_a_stream_is_done_at_its_marker_and_ignores_what_follows() -> None:
    """The connection can be let go there."""
    stream = open_stream()

    stream.feed(DELTA + FINISH)
    assert not stream.done
    stream.feed(DONE + DELTA)
    assert (stream.done, stream.feed(DELTA), stream.finish().text) == (True, [], "Hel")


def test_an_interrupted_stream_keeps_its_part() -> None:
    """The part says that it is unfinished, and who sent it."""
    stream = open_stream()
    stream.feed(DELTA)

    with pytest.raises(StreamInterruptedError) as caught:
        stream.finish()
    part = caught.value.partial
    assert isinstance(part, ChatResponse)
    assert (part.text, part.finish_reason, part.provider_request_id) == ("Hel", "other", "req_1")
    assert caught.value.retryable


def test_nothing_at_all_is_an_interrupted_stream_without_a_part() -> None:
    """An empty body."""
    with pytest.raises(StreamInterruptedError) as caught:
        open_stream().finish()

    assert caught.value.partial is None


def test_the_marker_alone_proves_nothing() -> None:
    """vLLM sends it after errors too, gateways after nothing."""
    for service in ("openai", "opea"):
        stream = open_stream(service)
        stream.feed(DONE)
        assert isinstance(stream.error, StreamInterruptedError)
        assert not stream.done
        with pytest.raises(StreamInterruptedError):
            stream.finish()


def test_every_output_that_was_asked_for_must_finish() -> None:
    """One of two is a short answer."""
    stream = open_stream(n=2)
    stream.feed(DELTA + FINISH)

    with pytest.raises(StreamInterruptedError):
        stream.finish()


def test_an_event_cut_before_its_blank_line_may_finish_but_not_say_more() -> None:
    """Text in it would be in the response and in no chunk."""
    finished, more = open_stream(), open_stream()

    finished.feed(DELTA + FINISH[:-1])
    assert finished.finish().text == "Hel"
    more.feed(DELTA + FINISH.replace(b'"delta":{}', b'"delta":{"content":"lo"}')[:-1])
    with pytest.raises(StreamInterruptedError, match="middle of an event"):
        more.finish()


def test_usage_cut_off_after_the_finish_is_unknown() -> None:
    """The answer is whole; only its price is not known."""
    chunks, response = read(open_stream(), DELTA + FINISH + b'data: {"choices":[],"usage":{"prompt_to')

    assert len(chunks) == 2
    assert response.usage.source == "unknown"


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (b'data: {"error":{"message":"m","type":"server_error"}}\n\n', ServerError),
        (b'data: {"error":{"message":"m","type":"BadRequestError","code":400}}\n\ndata: [DONE]\n\n',
         InvalidRequestError),
        (b'event: error\ndata: {"error":{"message":"m","type":"overloaded_error"}}\n\n', OverloadedError),
        (b'event: error\ndata: {"type":"error","message":"m","code":"server_is_overloaded"}\n\n',
         OverloadedError),
        (b'data: {"type":"error","message":"m","code":"server_is_overloaded"}\n\n', OverloadedError),
        (b'{"error":{"message":"m","code":503}}\n\n', ServerError),
        (b'{"error":{"message":"m"}}\n', ServerError),
        (b'{"error":{"message":"m"}}', ServerError),
        (b'data: {"choices":[{"index":0,"delta":{"content":"lo"}}],"x_groq":{"id":"r","error":"m"}}\n\n',
         ServerError),
        (b'data: {"error":"m","error_type":"overloaded"}\n\n', OverloadedError),
    ],
)  # fmt: skip
def test_an_error_in_mid_stream_is_the_services_error(event: bytes, expected: type[AsyncAPIError]) -> None:
    """In every form, after the chunks before it were delivered."""
    stream = open_stream()

    assert stream.feed(DELTA + event)[0].text == "Hel"
    with pytest.raises(expected, match="openai"):
        stream.finish()
    assert stream.partial().text.startswith("Hel")


@pytest.mark.parametrize(
    "data",
    [
        b"5",
        b"[]",
        b"null",
        b"{}",
        b"not json",
        b'{"choices":5}',
        b'{"choices":[5]}',
        b'{"choices":[{"index":"0","delta":{"content":"x"}}]}',
        b'{"choices":[{"index":-1,"delta":{"content":"x"}}]}',
        b'{"choices":[{"index":[],"delta":{"content":"x"}}]}',
        b'{"choices":[{"delta":[5]}]}',
        b'{"choices":[{"delta":{"content":5}}]}',
        b'{"choices":[{"delta":{"reasoning":5}}]}',
        b'{"choices":[{"delta":{"refusal":{"a":1}}}]}',
        b'{"choices":[{"delta":{"tool_calls":5}}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"index":"a"}]}}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"index":0,"id":5}]}}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":5}}]}}]}',
        b'{"choices":[{"delta":{},"finish_reason":5}]}',
        b"\xff",
    ],
)
def test_an_event_of_another_form_is_a_decode_error(data: bytes) -> None:
    """Set, not raised: the chunks before it count."""
    stream = open_stream()

    assert len(stream.feed(DELTA + b"data: " + data + b"\n\n" + FINISH)) == 1
    assert isinstance(stream.error, DecodeError)
    assert stream.feed(FINISH) == []
    with pytest.raises(DecodeError):
        stream.finish()


def test_events_without_an_answer_are_passed_over() -> None:
    """Pings, prompt filters, groq's first words."""
    extra = (
        b"event: ping\ndata: {}\n\n"
        b'data: {"choices":[],"prompt_filter_results":[]}\n\n'
        b'data: {"x_groq":null}\n\n'
        b'data: {"choices":null,"x_groq":{"id":"r"}}\n\n'
    )
    chunks, response = read(open_stream("groq"), extra + DELTA + extra + FINISH + DONE)

    assert [chunk.text for chunk in chunks] == ["Hel", ""]
    assert response.text == "Hel"


def test_what_a_chunk_has_beyond_text_is_in_its_raw_event() -> None:
    """Audio, for one: nothing is lost."""
    audio = b'data: {"choices":[{"index":0,"delta":{"audio":{"data":"AAAA"}}}]}\n\n'
    chunks, _ = read(open_stream(), audio + FINISH)

    assert chunks[0].raw["choices"][0]["delta"]["audio"] == {"data": "AAAA"}
    assert chunks[0].text == ""


def test_logprobs_of_another_form_are_left_to_the_raw_events() -> None:
    """They are data, not the answer."""
    odd = DELTA.replace(b'"index":0', b'"index":0,"logprobs":[1]')
    _, response = read(open_stream(), odd + FINISH)

    assert response.outputs[0].logprobs == {"content": []}


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("text/html; charset=utf-8", b"<html>busy</html>", DecodeError),
        (
            "application/json",
            b'{\n "error": {\n "message": "m", "type": "overloaded_error"}}',
            OverloadedError,
        ),
        ("application/json", b'{"choices":[{"message":{"content":"x"}}]}', DecodeError),
        ("application/json", b'{"choi', DecodeError),
    ],
)
def test_a_reply_that_is_no_stream_is_an_error(
    content_type: str, body: bytes, expected: type[AsyncAPIError]
) -> None:
    """A proxy's page, an error after all, a server that can't stream."""
    stream = open_stream(content_type=content_type)

    assert stream.feed(body[:5]) + stream.feed(body[5:]) == []
    with pytest.raises(expected):
        stream.finish()


def test_an_endless_event_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded."""
    monkeypatch.setattr(sse, "MAXIMUM", 200)
    stream = open_stream()

    assert len(stream.feed(DELTA + b"data: " + b"x" * 300)) == 1
    assert isinstance(stream.error, DecodeError)
