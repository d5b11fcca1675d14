"""Completions in the OpenAI dialect: several prompts in one request, whole, streamed and cut."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asyncapi.backends._openai_complete import CompleteStream
from asyncapi.errors import AsyncAPIError, ConfigError, DecodeError, StreamInterruptedError
from asyncapi.types.requests import CompleteRequest, Extra
from asyncapi.types.responses import Chunk, CompleteResponse
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireResponse

from .openai_golden import dialect, reply

TWO = Extra(body={"n": 2})


def prompt(*prompts: str, **fields: Any) -> CompleteRequest:
    """A completion request."""
    return CompleteRequest(model="m", prompts=prompts, **fields)


def body(service: str, request: CompleteRequest) -> Any:
    """The body of a request."""
    made = dialect(service).encode(request)
    assert made.body is not None
    return json.loads(made.body)


def choice(index: int, text: str, reason: str | None = "stop", **fields: Any) -> dict[str, Any]:
    """A continuation."""
    return {"index": index, "text": text, "finish_reason": reason, **fields}


def test_one_prompt_is_a_text_and_several_are_a_list() -> None:
    """The native batch."""
    assert body("openai", prompt("a")) == {"model": "m", "prompt": "a"}
    assert body("openai", prompt("a", "b")) == {"model": "m", "prompt": ["a", "b"]}
    assert dialect("openai").encode(prompt("a")).path == "/completions"
    assert dialect("vllm").encode(prompt("a")).path == "/v1/completions"


def test_parameters_have_the_names_of_completions() -> None:
    """Not those of chats."""
    full: dict[str, Any] = {
        "suffix": "s", "max_tokens": 5, "temperature": 0.0, "top_p": 0.5, "seed": 1, "logprobs": 2,
        "frequency_penalty": 0.1, "presence_penalty": 0.2,
    }  # fmt: skip
    request = prompt("a", stop=("x", "y"), top_k=4, stream=True, response_format="json", **full)

    assert body("vllm", request) == {
        "model": "m", "prompt": "a", "stop": ["x", "y"], **full, "top_k": 4, "stream": True,
        "stream_options": {"include_usage": True}, "response_format": {"type": "json_object"},
    }  # fmt: skip


def test_what_the_service_does_not_take_is_dropped_or_refused() -> None:
    """As ``unsupported`` says."""
    openai = dialect("openai")
    fields: dict[str, Any] = {"top_k": 4, "system": "s", "response_format": "json"}

    made = openai.encode(prompt("a", **fields))
    assert made.warnings == (
        "openai takes no top_k: dropped",
        "openai takes no system: dropped",
        "openai takes no response_format: dropped",
    )
    assert body("openai", prompt("a", **fields)) == {"model": "m", "prompt": "a"}
    assert openai.encode(prompt("a", unsupported="ignore", **fields)).warnings == ()
    with pytest.raises(ConfigError, match="openai takes no system"):
        openai.encode(prompt("a", system="s", unsupported="error"))


def test_a_continuation_for_each_prompt() -> None:
    """In the prompts' order."""
    data = {
        "id": "cmpl-1",
        "model": "m2",
        "choices": [
            choice(1, "B", "length", logprobs={"tokens": ["B"]}, stop_reason="x"),
            choice(0, "", None),
        ],
        "usage": {"prompt_tokens": 2, "completion_tokens": 3},
    }
    answer = dialect("vllm").decode(prompt("a", "b"), reply(data))

    assert isinstance(answer, CompleteResponse)
    assert (answer.id, answer.model, answer.texts) == ("cmpl-1", "m2", ("", "B"))
    assert [(o.index, o.finish_reason, o.raw_reason, o.stop_sequence) for o in answer.outputs] == [
        (0, "other", "", None),
        (1, "length", "length", "x"),
    ]
    assert answer.outputs[1].logprobs == {"tokens": ["B"]}
    assert answer.usage == Usage(input_tokens=2, output_tokens=3, source="reported")


def test_of_several_outputs_each_knows_its_prompt() -> None:
    """The index on the wire counts them all."""
    data = {"choices": [choice(i, str(i)) for i in (3, 1, 0, 2)]}
    answer = dialect("openai").decode(prompt("a", "b", extra=TWO), reply(data))

    assert isinstance(answer, CompleteResponse)
    assert [(o.index, o.text) for o in answer.outputs] == [(0, "0"), (0, "1"), (1, "2"), (1, "3")]


@pytest.mark.parametrize(
    "choices",
    [
        None,
        [],
        [choice(0, "a")],
        [choice(0, "a"), choice(0, "b")],
        [choice(0, "a"), choice(2, "b")],
        [choice(0, "a"), choice(1, "b"), choice(2, "c")],
        [choice(0, "a"), {"index": 1}],
        [choice(0, "a"), {"index": 1, "text": None}],
        [choice(0, "a"), choice(1, "b", reason=5)],  # type: ignore[arg-type]
    ],
)
def test_choices_that_do_not_fit_the_prompts_are_a_decode_error(choices: Any) -> None:
    """Never a continuation of another prompt."""
    with pytest.raises(DecodeError):
        dialect("openai").decode(prompt("a", "b"), reply({"choices": choices}))


# -- streams ------------------------------------------------------------------------------------------------

EVENTS: list[Any] = [
    {"id": "c", "model": "m2", "choices": [choice(0, "He", None, logprobs={"tokens": ["He"], "x": None})]},
    {"id": "c", "model": "m2", "choices": [choice(1, "Ä", None), choice(0, "y", None)]},
    {"id": "c", "model": "m2", "choices": [choice(0, "", "stop", logprobs={"tokens": ["y"]})]},
    {"id": "c", "model": "m2", "choices": [choice(1, "!", "length", stop_reason="z")]},
    {"id": "c", "model": "m2", "choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 3}},
]
DONE = b"data: [DONE]\n\n"
STREAM = b"".join(f"data: {json.dumps(event)}\n\n".encode() for event in EVENTS) + DONE


def open_stream(request: CompleteRequest | None = None) -> CompleteStream:
    """A decoder for the stream above."""
    start = WireResponse(status=200, headers={"x-request-id": "req"}, body=b"")
    stream = dialect("vllm").stream(request or prompt("a", "b", stream=True), start)
    assert isinstance(stream, CompleteStream)
    return stream


def texts(chunks: list[Chunk]) -> list[str]:
    """What a consumer of the chunks has read, per prompt."""
    return ["".join(chunk.text for chunk in chunks if chunk.output == i) for i in (0, 1)]


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_stream_is_the_same_however_it_arrives(size: int) -> None:
    """The chunks add up to the answer."""
    stream = open_stream()
    pieces = [STREAM[i : i + size] for i in range(0, len(STREAM), size)]
    chunks = [chunk for piece in pieces for chunk in stream.feed(piece)]
    answer = stream.finish()

    assert stream.done
    assert answer.texts == ("Hey", "Ä!") == tuple(texts(chunks))
    assert [(o.index, o.finish_reason, o.stop_sequence) for o in answer.outputs] == [
        (0, "stop", None),
        (1, "length", "z"),
    ]
    assert answer.outputs[0].logprobs == {"tokens": ["He", "y"]}
    assert answer.outputs[1].logprobs is None
    assert (answer.id, answer.model, answer.provider_request_id) == ("c", "m2", "req")
    assert answer.usage == Usage(input_tokens=2, output_tokens=3, source="reported")
    assert [c.finish_reason for c in chunks if c.finish_reason is not None] == ["stop", "length"]


def test_a_stream_cut_anywhere_is_whole_or_an_error() -> None:
    """At every byte: never a quiet short answer."""
    for end in range(len(STREAM)):
        stream = open_stream()
        chunks = stream.feed(STREAM[:end])
        try:
            answer = stream.finish()
        except StreamInterruptedError:
            continue
        assert answer.texts == ("Hey", "Ä!") == tuple(texts(chunks))


def test_several_outputs_of_a_prompt_are_streamed_under_it() -> None:
    """Each must finish."""
    stream = open_stream(prompt("a", extra=TWO, stream=True))
    chunks = stream.feed(STREAM)

    assert [output.index for output in stream.finish().outputs] == [0, 0]
    assert {chunk.output for chunk in chunks} == {0}


def test_an_error_in_mid_stream_is_raised_after_what_came_before() -> None:
    """With the part that arrived."""
    stream = open_stream()
    first, _, _ = STREAM.partition(b"\n\n")
    chunks = stream.feed(first + b'\n\ndata: {"error":{"message":"m","code":500}}\n\n' + DONE)

    assert texts(chunks) == ["He", ""]
    assert isinstance(stream.error, AsyncAPIError)
    assert stream.partial().text == "He"
    with pytest.raises(AsyncAPIError, match="m"):
        stream.finish()


@pytest.mark.parametrize("event", [{"choices": [{"index": 0, "text": 5}]}, {"choices": [5]}, {"choices": 5}])
def test_an_event_of_the_wrong_shape_is_a_decode_error(event: Any) -> None:
    """Feeding never raises."""
    stream = open_stream()
    stream.feed(f"data: {json.dumps(event)}\n\n".encode())

    assert isinstance(stream.error, DecodeError)
