"""Damaged answers in the OpenAI dialect: a right answer or one of our errors, nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.errors import AsyncAPIError
from asyncapi.types.messages import Text
from asyncapi.types.requests import EmbedRequest, ModelsRequest, Request, RerankRequest
from asyncapi.types.responses import ChatResponse, Chunk, EmbedResponse, RerankResponse
from asyncapi.types.wire import WireResponse

from .openai_golden import FOLDER, chat, dialect, reply, summary

REPLIES = json.loads((FOLDER / "replies.json").read_text())["cases"]
STREAMS = json.loads((FOLDER / "streams.json").read_text())["cases"]
OTHERS: list[tuple[Request, Any]] = [
    (
        EmbedRequest(model="e", inputs=("a", "b")),
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": "AACAPw=="}]},
    ),
    (
        RerankRequest(model="r", query="q", documents=("a", "b")),
        {"results": [{"index": 1, "relevance_score": 0.5}, {"index": 0, "relevance_score": 0.1}]},
    ),
    (ModelsRequest(), {"data": [{"id": "m", "created": 1}]}),
]
json_values = st.sampled_from([None, True, 0, -1, 7, 1e300, "", "x", [], {}, [None], {"a": 1}, ["x"]])


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a JSON value."""
    found = [path]
    items: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


def changed(value: Any, path: tuple[Any, ...], new: Any, delete: bool) -> Any:
    """A copy with the value at the path replaced or deleted."""
    if not path:
        return new
    copy = json.loads(json.dumps(value))
    place = copy
    for key in path[:-1]:
        place = place[key]
    if delete:
        del place[path[-1]]
    else:
        place[path[-1]] = new
    return copy


@st.composite
def damaged(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value with one to three places damaged."""
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(value)))
        value = changed(value, path, draw(json_values), draw(st.booleans()))
    return value


@pytest.mark.slow
@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_chat_reply_is_an_answer_or_our_error(data: st.DataObject) -> None:
    """The fields of an answer have their types."""
    case = data.draw(st.sampled_from(REPLIES))
    body = data.draw(damaged(case["body"]))

    try:
        answer = dialect(case["service"]).decode(chat(), reply(body))
    except AsyncAPIError:
        return
    assert isinstance(answer, ChatResponse)
    assert answer.outputs
    check(answer)


def check(answer: ChatResponse) -> None:
    """Texts are texts and counts are counts."""
    assert isinstance(answer.id + answer.model + answer.text + answer.reasoning, str)
    for output in answer.outputs:
        assert isinstance(output.index, int)
        assert isinstance(output.raw_reason + output.refusal + (output.stop_sequence or ""), str)
        assert all(isinstance(part.text, str) for part in output.parts if isinstance(part, Text))
    for call in answer.tool_calls:
        assert isinstance(call.id + call.name + call.arguments, str)
        assert call.id
    assert answer.usage.total_tokens is None or isinstance(answer.usage.total_tokens, int)


@pytest.mark.slow
@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_reply_of_another_operation_is_an_answer_or_our_error(data: st.DataObject) -> None:
    """One vector a text, one score a document, or an error."""
    request, body = data.draw(st.sampled_from(OTHERS))
    service = data.draw(st.sampled_from(["vllm", "opea"]))

    try:
        answer = dialect(service).decode(request, reply(data.draw(damaged(body))))
    except AsyncAPIError:
        return
    if isinstance(answer, EmbedResponse):
        assert len(answer.vectors) == 2
    if isinstance(answer, RerankResponse):
        assert sorted(result.index for result in answer.results) == [0, 1]


@given(st.binary(max_size=60), st.sampled_from(["openai", "opea"]))
def test_any_bytes_are_an_error(body: bytes, service: str) -> None:
    """No bytes of this length hold an answer."""
    try:
        dialect(service).decode(chat(), reply(body))
    except AsyncAPIError:
        return
    raise AssertionError("an answer out of nothing")


def run(case: Any, stream: bytes) -> tuple[list[Chunk], ChatResponse]:
    """The stream read by its service's decoder, in pieces of 64 bytes."""
    decoder = dialect(case["service"]).stream(
        chat(stream=True, n=case["n"]), WireResponse(status=200, headers={}, body=b"")
    )
    chunks = []
    for start in range(0, len(stream), 64):
        chunks += decoder.feed(stream[start : start + 64])
    check(decoder.partial())
    return chunks, decoder.finish()


@pytest.mark.slow
@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_stream_with_damaged_events_is_an_answer_or_our_error(data: st.DataObject) -> None:
    """Feeding never raises; what a whole answer holds has its types."""
    case = data.draw(st.sampled_from([case for case in STREAMS if case["service"] != "opea"]))
    events = list(case["events"])
    at = data.draw(st.integers(0, len(events) - 1))
    if events[at] != "[DONE]":
        events[at] = json.dumps(data.draw(damaged(json.loads(events[at]))))
    try:
        chunks, answer = run(case, "".join(f"data: {event}\n\n" for event in events).encode())
    except AsyncAPIError:
        return
    check(answer)
    assert "".join(chunk.text for chunk in chunks if chunk.output == answer.outputs[0].index) == answer.text


@pytest.mark.slow
@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_stream_with_damaged_bytes_is_an_answer_or_our_error(data: st.DataObject) -> None:
    """Bytes lost, doubled or changed anywhere."""
    case = data.draw(st.sampled_from(STREAMS))
    stream = bytearray("".join(f"data: {event}\n\n" for event in case["events"]).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(stream) - 1))
        stream[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        _, answer = run(case, bytes(stream))
    except AsyncAPIError:
        return
    check(answer)


def test_undamaged_answers_pass_the_same_checks() -> None:
    """The checks above are no empty ones."""
    for case in STREAMS:
        _, answer = run(case, "".join(f"data: {event}\n\n" for event in case["events"]).encode())
        assert summary(answer) == case["expect"]
