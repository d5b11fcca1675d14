"""Ollama's completions, whole and streamed, and the service's own actions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.abc import StreamDecoder
from asyncapi.backends.ollama import backend
from asyncapi.errors import (
    AsyncAPIError,
    ConfigError,
    DecodeError,
    NotFoundError,
    OverloadedError,
    StreamInterruptedError,
    UnsupportedOperationError,
)
from asyncapi.types.messages import Message, Reasoning, Text
from asyncapi.types.requests import CompleteRequest, NativeRequest, RespondRequest
from asyncapi.types.responses import Chunk, CompleteResponse, NativeResponse
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireResponse

from .damage import JSON, PATHS, mutated

GOLDEN = json.loads((Path(__file__).parent / "golden" / "ollama" / "generate.json").read_text())
ASK = CompleteRequest(model="qwen3:8b", prompts=("def f(",))
STREAM = b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in GOLDEN["lines"])


def reply(body: Any, status: int = 200) -> WireResponse:
    """A reply with this JSON, or these bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WireResponse(status=status, headers={}, body=data)


def body_of(request: Any) -> Any:
    """The JSON that would be sent."""
    return json.loads(backend.encode(request).body or b"")


def decode(body: Any) -> CompleteResponse:
    """The answer to a completion."""
    response = backend.decode(ASK, reply(body))
    assert isinstance(response, CompleteResponse)
    return response


def decoder() -> StreamDecoder:
    """A decoder that has seen nothing."""
    return backend.stream(ASK, reply(b""))


def read(*pieces: bytes) -> tuple[list[Chunk], CompleteResponse]:
    """The chunks and the whole continuation."""
    stream = decoder()
    chunks = [chunk for piece in pieces for chunk in stream.feed(piece)]
    response = stream.finish()
    assert isinstance(response, CompleteResponse)
    return chunks, response


def test_a_completion_has_its_own_route() -> None:
    """With the options of a chat, and what comes after the gap."""
    request = CompleteRequest(
        model="qwen3:8b",
        prompts=("def f(",),
        suffix="return x",
        system="Be brief.",
        max_tokens=64,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        stop=("END",),
        seed=7,
        frequency_penalty=0.1,
        presence_penalty=0.2,
        logprobs=2,
        response_format={"schema": {"type": "object"}},
    )

    wire = backend.encode(request)
    assert (wire.method, wire.path, wire.warnings) == ("POST", "/api/generate", ())
    assert body_of(request) == GOLDEN["body"]
    streamed = CompleteRequest(model="m", prompts=("a",), stream=True)
    assert body_of(streamed) == {"model": "m", "prompt": "a", "stream": True}


def test_only_one_prompt_goes_in_a_completion() -> None:
    """The service takes no list; a format that it lacks is dropped as told."""
    with pytest.raises(ConfigError, match="one prompt a call, got 2"):
        backend.encode(CompleteRequest(model="m", prompts=("a", "b")))
    with pytest.raises(ConfigError, match="response_format"):
        backend.encode(
            CompleteRequest(model="m", prompts=("a",), response_format="yaml", unsupported="error")
        )


def test_a_continuation_is_read_into_the_normal_form() -> None:
    """Thinking, text, usage; the context stays in ``raw``."""
    response = decode(GOLDEN["reply"])

    assert response.outputs[0].parts == (Reasoning(text="Easy.", provider="ollama"), Text("x):"))
    assert (response.text, response.outputs[0].finish_reason) == ("x):", "stop")
    assert response.usage == Usage(input_tokens=26, output_tokens=290, source="reported")
    assert (response.id, response.model) == ("gen_20261123T021424166576Z", "qwen3:8b")
    assert response.raw["context"] == [1, 2, 3]


@pytest.mark.parametrize(
    "body",
    [{}, {"done": True}, {"response": "a", "done": False}, {"response": 5, "done": True}, b"[]"],
)
def test_what_is_no_whole_continuation_is_a_decode_error(body: Any) -> None:
    """The bytes are kept."""
    with pytest.raises(DecodeError) as caught:
        decode(body)

    assert caught.value.body == reply(body).body


def test_a_stream_becomes_chunks_and_a_continuation() -> None:
    """As the whole reply would have it."""
    chunks, response = read(STREAM)

    assert (response.text, response.outputs[0].finish_reason) == ("Låt oss 🙂", "length")
    assert response.usage == Usage(input_tokens=11, output_tokens=18, source="reported")
    assert "".join(chunk.text for chunk in chunks) == response.text
    assert "".join(chunk.reasoning for chunk in chunks) == "Easy."
    assert (chunks[-1].finish_reason, chunks[-1].usage) == ("length", response.usage)
    assert decode(response.raw).outputs == response.outputs


def test_line_ends_and_chunk_borders_make_no_difference() -> None:
    """LF and CRLF, whole, and one byte at a time."""
    expected = read(STREAM)

    for stream in (STREAM, STREAM.replace(b"\n", b"\r\n")):
        assert read(stream) == expected
        assert read(*(stream[i : i + 1] for i in range(len(stream)))) == expected


def test_every_cut_is_an_interruption_with_the_part_that_arrived() -> None:
    """Before the last line is whole no prefix passes for an answer, whatever byte it ends with."""
    whole = read(STREAM)[1]

    for end in range(len(STREAM) - 1):
        stream = decoder()
        stream.feed(STREAM[:end])
        with pytest.raises(StreamInterruptedError) as caught:
            stream.finish()
        if b"\n" in STREAM[:end]:
            assert isinstance(caught.value.partial, CompleteResponse)
            assert whole.text.startswith(caught.value.partial.text)


def test_an_error_line_becomes_its_exception() -> None:
    """After the chunks that came before it."""
    stream = decoder()
    stream.feed(STREAM[: STREAM.index(b"\n") + 1] + b'{"error":"server busy, please try again"}\n')

    assert isinstance(stream.error, OverloadedError)
    with pytest.raises(OverloadedError):
        stream.finish()


@pytest.mark.parametrize(
    ("action", "model", "arguments", "method", "path", "body"),
    [
        ("ps", "", {}, "GET", "/api/ps", None),
        ("version", "", {"a": "b c"}, "GET", "/api/version?a=b+c", None),
        ("show", "qwen3", {"verbose": True}, "POST", "/api/show", {"model": "qwen3", "verbose": True}),
        ("pull", "qwen3", {"stream": True}, "POST", "/api/pull", {"model": "qwen3", "stream": False}),
        ("pull", "", {"model": "x"}, "POST", "/api/pull", {"model": "x", "stream": False}),
    ],
)
def test_actions_are_sent_to_their_paths(
    action: str, model: str, arguments: Any, method: str, path: str, body: Any
) -> None:
    """With the model where they take one; a pull answers once, at its end."""
    wire = backend.encode(NativeRequest(model=model, action=action, arguments=arguments))

    assert (wire.method, wire.path) == (method, path)
    assert (json.loads(wire.body) if wire.body else None) == body


def test_an_action_answers_with_the_services_json() -> None:
    """An error in it is raised."""
    request = NativeRequest(model="qwen3", action="pull")
    response = backend.decode(request, reply({"status": "success"}))

    assert isinstance(response, NativeResponse)
    assert (response.result, response.model) == ({"status": "success"}, "qwen3")
    with pytest.raises(NotFoundError):
        backend.decode(request, reply({"error": "model 'qwen3' not found, try pulling it first"}))
    with pytest.raises(DecodeError):
        backend.decode(request, reply(b'{"status":"pulling manifest"}\n{"status":"success"}\n'))


def test_what_can_not_be_asked_is_refused() -> None:
    """An action without its model, one that there is not, and OpenAI's Responses."""
    with pytest.raises(ConfigError, match="show needs a model: write ollama:model"):
        backend.encode(NativeRequest(model="", action="show"))
    with pytest.raises(UnsupportedOperationError, match="it has: ps, pull, show, version"):
        backend.encode(NativeRequest(model="", action="push"))
    with pytest.raises(UnsupportedOperationError, match="respond"):
        backend.encode(RespondRequest(model="m", messages=(Message("user", "Hi"),)))


@settings(deadline=None)
@given(path=PATHS, replacement=JSON)
def test_a_reply_with_any_value_replaced_is_read_or_refused(path: list[int], replacement: Any) -> None:
    """Whatever arrives, the caller sees a continuation or an AsyncAPIError."""
    try:
        response = decode(mutated(GOLDEN["reply"], path, replacement))
    except AsyncAPIError:
        return
    assert isinstance(response.text + response.id + response.model, str)


@settings(deadline=None)
@given(data=st.data())
def test_a_mutated_stream_is_read_or_refused(data: st.DataObject) -> None:
    """Whatever bytes change: an answer or an AsyncAPIError."""
    position = data.draw(st.integers(0, len(STREAM) - 1))
    length = data.draw(st.integers(0, 30))
    stream = decoder()
    stream.feed(STREAM[:position] + data.draw(st.binary(max_size=8)) + STREAM[position + length :])
    stream.partial()

    try:
        response = stream.finish()
    except AsyncAPIError:
        return
    assert isinstance(response, CompleteResponse)
