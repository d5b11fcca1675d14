"""Ollama's replies: whole, streamed, cut and broken."""

from __future__ import annotations

import json
from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.abc import StreamDecoder
from asyncapi.backends._ollama_stream import OllamaStream
from asyncapi.backends.ollama import backend
from asyncapi.errors import (
    AsyncAPIError,
    AuthenticationError,
    ContextLengthError,
    DecodeError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
)
from asyncapi.types.messages import Message, Reasoning, Text, ToolCall
from asyncapi.types.requests import ChatRequest, EmbedRequest, ModelsRequest
from asyncapi.types.responses import ChatResponse, Chunk, EmbedResponse, ModelsResponse
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireResponse

GOLDEN = Path(__file__).parent / "golden" / "ollama"
CHAT = json.loads((GOLDEN / "chat.json").read_text())["reply"]
EMBED = json.loads((GOLDEN / "embed.json").read_text())["reply"]
TAGS = json.loads((GOLDEN / "tags.json").read_text())["reply"]
LINES = json.loads((GOLDEN / "stream.json").read_text())["lines"]
ASK = ChatRequest(model="qwen3:8b", messages=(Message("user", "Hello"),))
TEXTS = EmbedRequest(model="all-minilm", inputs=("a", "b"))


def ndjson(*lines: Any) -> bytes:
    """Objects as a stream of lines."""
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


STREAM = ndjson(*LINES)


def reply(body: Any, status: int = 200) -> WireResponse:
    """A reply with this JSON, or these bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WireResponse(status=status, headers={}, body=data)


def decode(body: Any) -> ChatResponse:
    """The answer to a chat."""
    response = backend.decode(ASK, reply(body))
    assert isinstance(response, ChatResponse)
    return response


def said(message: Any, **fields: Any) -> dict[str, Any]:
    """A whole answer with this message."""
    return {"model": "m", "message": message, "done": True, "done_reason": "stop", **fields}


def decoder() -> OllamaStream:
    """A decoder that has seen nothing."""
    stream = backend.stream(ASK, reply(b""))
    assert isinstance(stream, OllamaStream)
    return stream


def read(*pieces: bytes) -> tuple[list[Chunk], ChatResponse]:
    """The chunks and the whole answer."""
    stream: StreamDecoder = decoder()
    chunks = [chunk for piece in pieces for chunk in stream.feed(piece)]
    response = stream.finish()
    assert isinstance(response, ChatResponse)
    return chunks, response


def test_an_answer_is_read_into_the_normal_form() -> None:
    """Thinking, text, tool calls with text arguments and ids for all, usage."""
    response = decode(CHAT)

    assert response.outputs[0].parts == (
        Reasoning(text="Need weather.", provider="ollama"),
        Text("One moment."),
        ToolCall(id="call_x1", name="get_weather", arguments='{"city":"Oslo"}'),
        ToolCall(id="gen_20261123T021424166576Z_1", name="now", arguments="{}"),
    )
    assert (response.id, response.model) == ("gen_20261123T021424166576Z", "qwen3:8b")
    assert (response.finish_reason, response.outputs[0].raw_reason) == ("tool_calls", "stop")
    assert response.usage == Usage(input_tokens=26, output_tokens=282, source="reported")
    assert response.raw == CHAT


def test_an_answer_can_be_sent_back() -> None:
    """The ids of its calls find their results' names."""
    body = json.loads(backend.encode(ChatRequest(model="m", messages=(decode(CHAT).message,))).body or b"")

    assert body["messages"][0]["thinking"] == "Need weather."
    assert body["messages"][0]["tool_calls"][0]["function"]["arguments"] == {"city": "Oslo"}


@pytest.mark.parametrize(
    ("reason", "normal"),
    [("stop", "stop"), ("length", "length"), ("load", "other"), ("new", "other"), (None, "stop")],
)
def test_done_reasons_have_normal_names(reason: Any, normal: str) -> None:
    """Old servers give none."""
    output = decode(said({"content": "Hi"}, done_reason=reason)).outputs[0]

    assert (output.finish_reason, output.raw_reason) == (normal, reason or "")


def test_counts_that_are_left_out_are_unknown() -> None:
    """A cached prompt has no count on some servers, which is not zero."""
    assert decode(said({"content": ""})).usage == Usage()
    assert decode(said({"content": ""}, eval_count=0)).usage == Usage(output_tokens=0, source="reported")


@pytest.mark.parametrize("created", [None, 5, "", "é", "!", "2026-11-23T02:14:24Z"])
def test_ids_are_made_without_a_time_too(created: Any) -> None:
    """They differ from answer to answer, and are plain letters and digits."""
    one, other = (decode(said({"content": text}, created_at=created)).id for text in "ab")

    assert one != other
    assert one.removeprefix("gen_").isalnum()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        {},
        {**CHAT, "done": False},
        {name: value for name, value in CHAT.items() if name != "done"},
        json.dumps(CHAT).encode()[:-1],
        said("Hi"),
        said({"content": 5}),
        said({"thinking": []}, model="m") | {"message": {"thinking": 5}},
        said({"content": "Hi"}, model=5),
        said({"content": "Hi"}, done_reason=5),
        said({"content": "Hi"}, logprobs=5),
        said({"tool_calls": [{"function": {}}]}),
        said({"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}),
        said({"tool_calls": [{"id": 5, "function": {"name": "f"}}]}),
        said({"tool_calls": 5}),
    ],
)
def test_what_is_no_whole_answer_is_a_decode_error(body: Any) -> None:
    """The bytes are kept."""
    with pytest.raises(DecodeError) as caught:
        backend.decode(ASK, reply(body))

    assert caught.value.body == reply(body).body


def test_vectors_come_in_order() -> None:
    """As float32 arrays."""
    response = backend.decode(TEXTS, reply(EMBED))

    assert isinstance(response, EmbedResponse)
    assert response.vectors == (array("f", [0.5, -0.25]), array("f", [1.0, 0.125]))
    assert (response.model, response.usage.input_tokens) == ("all-minilm", 8)
    bare = backend.decode(TEXTS, reply({"embeddings": [[1], [2]]}))
    assert bare.usage == Usage()


@pytest.mark.parametrize(
    "body",
    [
        {"embeddings": []},
        {"embeddings": [[1]]},
        {"embeddings": [[1], [2], [3]]},
        {"embeddings": [[1], [1, 2]]},
        {"embeddings": [[], []]},
        {"embeddings": [["1"], [2]]},
        {"embeddings": [1, 2]},
        {"embeddings": {"0": [1]}},
        {"embeddings": [[1], [2]], "model": 5},
        {},
    ],
)
def test_vectors_that_do_not_match_the_texts_are_a_decode_error(body: Any) -> None:
    """Never a vector too few, nor one that belongs to another text."""
    with pytest.raises(DecodeError):
        backend.decode(TEXTS, reply(body))


def test_models_are_listed() -> None:
    """Old servers give the name only."""
    response = backend.decode(ModelsRequest(), reply(TAGS))

    assert isinstance(response, ModelsResponse)
    assert [model.id for model in response.models] == ["qwen3:8b", "old:latest"]
    assert [model.created for model in response.models] == [1793804209.277302, None]


@pytest.mark.parametrize("body", [{}, {"models": {}}, {"models": [{}]}, {"models": ["a"]}])
def test_what_is_no_list_of_models_is_a_decode_error(body: Any) -> None:
    """Never a short list."""
    with pytest.raises(DecodeError):
        backend.decode(ModelsRequest(), reply(body))


@pytest.mark.parametrize(
    ("status", "text", "expected", "retryable"),
    [
        (400, "the input length exceeds the context length", ContextLengthError, False),
        (400, "registry.example/x does not support tools", InvalidRequestError, False),
        (401, "unauthorized", AuthenticationError, False),
        (404, "model 'x' not found", NotFoundError, False),
        (429, "too many requests", RateLimitError, True),
        (500, "unexpected EOF", ServerError, True),
        (500, "model requires more system memory (9 GiB) than is available", ServerError, False),
        (502, "upstream", ServerError, True),
        (503, "server busy, please try again. maximum pending requests exceeded", OverloadedError, True),
        (200, "server busy, please try again", OverloadedError, True),
        (200, "model 'x' not found, try pulling it first", NotFoundError, False),
        (200, "model requires more system memory", ServerError, False),
        (200, "an error was encountered while running the model", ServerError, True),
    ],
)
def test_errors_have_their_classes(
    status: int, text: str, expected: type[ProviderError], retryable: bool
) -> None:
    """By status, and by text where a 200 had gone out before."""
    error = backend.error(reply({"error": text}, status))

    assert type(error) is expected
    assert error.retryable is retryable


def test_an_error_inside_a_200_is_raised() -> None:
    """Not taken for an answer."""
    with pytest.raises(OverloadedError):
        decode({"error": "server busy"})


def test_a_stream_becomes_chunks_and_an_answer() -> None:
    """Thinking, text, whole tool calls, and counts at the end."""
    chunks, response = read(STREAM)

    assert response.outputs[0].parts == (
        Reasoning(text="Hm, weather.", provider="ollama"),
        Text("Låt mig se 🙂"),
        ToolCall(id="call_x1", name="get_weather", arguments='{"city":"Oslo"}'),
        ToolCall(id="gen_20261123T0214241Z_1", name="now", arguments="{}"),
    )
    assert response.finish_reason == "tool_calls"
    assert response.usage == Usage(input_tokens=11, output_tokens=18, source="reported")
    assert [entry["token"] for entry in response.outputs[0].logprobs] == ["a", "b"]
    assert response.raw["message"]["content"] == response.text
    assert response.raw["total_duration"] == 174560334
    assert "".join(chunk.text for chunk in chunks) == response.text
    assert "".join(chunk.reasoning for chunk in chunks) == response.reasoning
    calls = [chunk.tool_call for chunk in chunks if chunk.tool_call is not None]
    assert [(c.index, c.id, c.name, c.arguments) for c in calls] == [
        (i, call.id, call.name, call.arguments) for i, call in enumerate(response.tool_calls)
    ]
    assert (chunks[-1].finish_reason, chunks[-1].usage) == ("tool_calls", response.usage)


def test_a_streamed_answer_equals_the_whole_one() -> None:
    """Decoding the assembled JSON as one reply gives the same parts."""
    _, response = read(ndjson(*LINES[:5], LINES[-1]))

    assert decode(response.raw).outputs[0].parts == response.outputs[0].parts


def test_line_ends_and_chunk_borders_make_no_difference() -> None:
    """LF and CRLF, whole, and one byte at a time."""
    expected = read(STREAM)
    crlf = STREAM.replace(b"\n", b"\r\n")

    assert read(crlf) == expected
    assert read(*(STREAM[i : i + 1] for i in range(len(STREAM)))) == expected
    assert read(*(crlf[i : i + 1] for i in range(len(crlf)))) == expected


def test_every_cut_is_an_interruption_with_the_part_that_arrived() -> None:
    """Before the last line is whole no prefix passes for an answer, whatever byte it ends with."""
    whole = read(STREAM)[1]

    for end in range(len(STREAM) + 1):
        stream = decoder()
        stream.feed(STREAM[:end])
        if end >= len(STREAM) - 1:
            assert stream.finish() == whole
            continue
        with pytest.raises(StreamInterruptedError) as caught:
            stream.finish()
        partial = caught.value.partial
        if b"\n" in STREAM[:end]:
            assert isinstance(partial, ChatResponse)
            assert partial.finish_reason == "other"
            assert whole.text.startswith(partial.text)
            assert whole.reasoning.startswith(partial.reasoning)


def test_an_interruption_before_the_first_line_has_no_part() -> None:
    """Nothing arrived; the decoder can still be asked."""
    stream = decoder()

    with pytest.raises(StreamInterruptedError) as caught:
        stream.finish()
    assert caught.value.partial is None
    assert stream.partial().id == ""


def test_text_and_thinking_of_the_last_line_count() -> None:
    """Usually it is empty, but it need not be."""
    chunks, response = read(ndjson(said({"content": "Hi", "thinking": "Hm"})))

    assert [(chunk.text, chunk.reasoning, chunk.finish_reason) for chunk in chunks] == [
        ("Hi", "Hm", None),
        ("", "", "stop"),
    ]
    assert (response.text, response.reasoning) == ("Hi", "Hm")


def test_nothing_is_read_after_the_end() -> None:
    """What follows the last line is of no use, and no error."""
    stream = decoder()
    stream.feed(STREAM + b"garbage\n")

    assert (stream.done, stream.error) == (True, None)
    assert stream.feed(b"garbage\n") == []


def test_an_error_line_becomes_its_exception() -> None:
    """After the chunks that came before it; the stream is over then."""
    stream = decoder()
    chunks = stream.feed(ndjson(LINES[2], {"error": "server busy, please try again"}, *LINES[3:]))

    assert [chunk.text for chunk in chunks] == ["Låt mig "]
    assert isinstance(stream.error, OverloadedError)
    with pytest.raises(OverloadedError):
        stream.finish()


def test_an_error_line_without_its_line_break_is_read_at_the_end() -> None:
    """The server closes right after it."""
    stream = decoder()
    stream.feed(ndjson(LINES[2]) + b'{"error":"boom"}')

    with pytest.raises(ServerError, match="boom"):
        stream.finish()


@pytest.mark.parametrize(
    "lines",
    [
        b"nonsense\n",
        b"5\n",
        ndjson({"done": True}),
        ndjson(said({"content": 5})),
        ndjson(said({"content": "a"}, done_reason=[1])),
        ndjson(said({"content": "a"}, model=None)),
        b'{"message": ' + b" " * (17 * 1024 * 1024),
    ],
)
def test_lines_out_of_place_are_a_decode_error(lines: bytes) -> None:
    """The stream is refused where it went wrong, with the bytes at hand; feeding never raises."""
    stream = decoder()
    stream.feed(lines)

    assert isinstance(stream.error, DecodeError)
    assert stream.error.body
    with pytest.raises(DecodeError):
        stream.finish()
    stream.partial()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def mutated(value: Any, path: list[int], replacement: Any) -> Any:
    """The value with the one at the end of a walk replaced."""
    if not path or not isinstance(value, dict | list) or not value:
        return replacement
    if isinstance(value, dict):
        key = list(value)[path[0] % len(value)]
        return {**value, key: mutated(value[key], path[1:], replacement)}
    index = path[0] % len(value)
    return [*value[:index], mutated(value[index], path[1:], replacement), *value[index + 1 :]]


@settings(deadline=None)
@given(path=st.lists(st.integers(0, 20), max_size=6), replacement=JSON)
def test_a_reply_with_any_value_replaced_is_read_or_refused(path: list[int], replacement: Any) -> None:
    """Whatever arrives, the caller sees an answer of the promised types or an AsyncAPIError."""
    for request, golden in ((ASK, CHAT), (TEXTS, EMBED), (ModelsRequest(), TAGS)):
        try:
            response = backend.decode(request, reply(mutated(golden, path, replacement)))
        except AsyncAPIError:
            continue
        if isinstance(response, EmbedResponse):
            assert len(response.vectors) == 2
        if isinstance(response, ChatResponse):
            assert isinstance(response.text + response.reasoning + response.id + response.model, str)
            assert all(isinstance(call.arguments, str) for call in response.tool_calls)


@settings(deadline=None)
@given(data=st.data())
def test_a_mutated_stream_is_read_or_refused(data: st.DataObject) -> None:
    """Whatever bytes change, and wherever it is cut: an answer or an AsyncAPIError."""
    position = data.draw(st.integers(0, len(STREAM) - 1))
    length = data.draw(st.integers(0, 30))
    changed = STREAM[:position] + data.draw(st.binary(max_size=8)) + STREAM[position + length :]
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


@settings(deadline=None)
@given(data=st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Garbage is an AsyncAPIError."""
    for request in (ASK, TEXTS, ModelsRequest()):
        with pytest.raises(AsyncAPIError):
            backend.decode(request, reply(data))
    assert isinstance(backend.error(reply(data, 500)), AsyncAPIError)
