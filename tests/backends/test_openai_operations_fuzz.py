"""Damaged answers of every operation of the OpenAI dialect: a right answer or one of our errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.errors import AsyncAPIError
from asyncapi.types.messages import Message, as_messages
from asyncapi.types.requests import (
    ChatBatchRequest,
    ClassifyRequest,
    CompleteRequest,
    CountTokensRequest,
    ImageRequest,
    ModerateRequest,
    NativeRequest,
    Request,
    RespondRequest,
    ScoreRequest,
    SpeechRequest,
    TokenizeRequest,
    TranscribeRequest,
)
from asyncapi.types.responses import (
    ChatResponse,
    ClassifyResponse,
    CompleteResponse,
    ModerateResponse,
    Response,
    ScoreResponse,
    SpeechResponse,
    TranscribeResponse,
)
from asyncapi.types.wire import WireResponse

from .openai_golden import dialect, reply
from .test_openai_complete import EVENTS as COMPLETE_EVENTS
from .test_openai_complete import choice
from .test_openai_fuzz import damaged
from .test_openai_responses import CALL, MESSAGE, REASONING, SEARCH, answer
from .test_openai_responses_stream import EVENTS as RESPOND_EVENTS

RESPOND = RespondRequest(model="m", messages=as_messages("Hi"))
COMPLETE = CompleteRequest(model="m", prompts=("a", "b"))
TRANSCRIBE = TranscribeRequest(model="m", audio=b"x")
CHATS = ChatBatchRequest(model="m", conversations=((Message("user", "a"),), (Message("user", "b"),)))
CASES: list[tuple[str, Request, Any]] = [
    ("openai", RESPOND, answer(REASONING, CALL, SEARCH, MESSAGE)),
    ("openai", CountTokensRequest(model="m", messages=as_messages("Hi")), {"input_tokens": 3}),
    ("openai", COMPLETE, {"choices": [choice(0, "x"), choice(1, "y", logprobs={"tokens": ["y"]})]}),
    ("openai", ModerateRequest(model="m", inputs=("a", "b")),
     {"results": [{"flagged": True, "categories": {"x": True}, "category_scores": {"x": 1}},
                  {"flagged": False}]}),
    ("openai", ImageRequest(model="m", prompt="p"),
     {"data": [{"b64_json": "YWE="}, {"url": "u", "revised_prompt": "r"}], "usage": {"input_tokens": 1}}),
    ("openai", TRANSCRIBE,
     {"text": "a", "language": "en", "duration": 1, "segments": [{"text": "a", "start": 0, "end": 1}],
      "words": [{"word": "a", "start": 0, "end": 1}], "usage": {"seconds": 1}}),
    ("vllm", ClassifyRequest(model="m", inputs=("a", "b")),
     {"data": [{"index": 0, "label": "x", "probs": [0.5, 0.1]}, {"index": 1, "label": None, "probs": [1]}]}),
    ("vllm", ScoreRequest(model="m", query="q", documents=("a", "b")),
     {"data": [{"index": 0, "score": 0.5}, {"index": 1, "score": 1}]}),
    ("vllm", TokenizeRequest(model="m", inputs=("a",)), {"tokens": [1, 2], "token_strs": ["a", "b"]}),
    ("vllm", NativeRequest(model="m", action="load"), {"server_load": 1}),
    ("vllm", CHATS, {"choices": [{"index": i, "message": {"content": "x"}, "finish_reason": "stop"}
                                 for i in range(2)]}),
]  # fmt: skip


def check(request: Request, response: Response) -> None:
    """As many answers as questions, and texts are texts."""
    assert isinstance(response.id + response.model, str)
    assert response.usage.total_tokens is None or isinstance(response.usage.total_tokens, int)
    match response:
        case ChatResponse():
            assert len(response.outputs) == (2 if request is CHATS else 1)
            assert isinstance(response.text + response.reasoning + response.outputs[0].raw_reason, str)
            assert all(isinstance(call.id + call.name + call.arguments, str) for call in response.tool_calls)
        case CompleteResponse():
            assert [output.index for output in response.outputs] == [0, 1]
            assert all(isinstance(text, str) for text in response.texts)
        case ModerateResponse():
            assert [type(result.flagged) for result in response.results] == [bool, bool]
        case ClassifyResponse():
            assert [type(labels[0].label + str(labels[0].score)) for labels in response.results] == [str, str]
        case ScoreResponse():
            assert [type(score) for score in response.scores] == [float, float]
        case TranscribeResponse():
            assert isinstance(response.text + response.language, str)
            assert all(type(s.start) is type(s.end) is float for s in response.segments + response.words)


@pytest.mark.parametrize(("service", "request_", "body"), CASES)
def test_undamaged_answers_pass_the_checks(service: str, request_: Request, body: Any) -> None:
    """They are no empty ones."""
    check(request_, dialect(service).decode(request_, reply(body)))


@pytest.mark.slow
@given(st.data())
@settings(max_examples=400, deadline=None)
def test_a_damaged_reply_is_an_answer_or_our_error(data: st.DataObject) -> None:
    """Every operation."""
    service, request, body = data.draw(st.sampled_from(CASES))

    try:
        response = dialect(service).decode(request, reply(data.draw(damaged(body))))
    except AsyncAPIError:
        return
    check(request, response)


@given(
    st.binary(max_size=60),
    st.sampled_from(["", "application/json", "text/plain", "audio/mpeg", "text/html", "a/b;;"]),
    st.sampled_from([None, "text", "srt", "json", "mp3"]),
)
@settings(deadline=None)
def test_any_bytes_are_sound_a_text_or_an_error(body: bytes, content_type: str, form: str | None) -> None:
    """Whatever the header says of them."""
    got = WireResponse(status=200, headers={"content-type": content_type}, body=body)
    speech = SpeechRequest(model="m", text="t", voice="v", format=form)
    transcript = TranscribeRequest(model="m", audio=b"x", format=form)
    for request in (speech, transcript):
        try:
            response = dialect("openai").decode(request, got)
        except AsyncAPIError:
            continue
        if isinstance(response, SpeechResponse):
            assert (response.audio, bool(response.media_type)) == (body, True)
        else:
            assert isinstance(response, TranscribeResponse)
            assert isinstance(response.text, str)


@pytest.mark.slow
@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_stream_with_damaged_events_is_an_answer_or_our_error(data: st.DataObject) -> None:
    """Feeding never raises, nor does what has arrived so far."""
    service, request, events = data.draw(
        st.sampled_from([("openai", RESPOND, RESPOND_EVENTS), ("vllm", COMPLETE, COMPLETE_EVENTS)])
    )
    at = data.draw(st.integers(0, len(events) - 1))
    sent = [*events[:at], data.draw(damaged(events[at])), *events[at + 1 :]]
    stream = dialect(service).stream(request, WireResponse(status=200, headers={}, body=b""))
    for event in sent:
        stream.feed(f"data: {json.dumps(event)}\n\n".encode())

    stream.partial()
    try:
        response = stream.finish()
    except AsyncAPIError:
        return
    check(request, response)


@pytest.mark.slow
@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_stream_with_damaged_bytes_is_an_answer_or_our_error(data: st.DataObject) -> None:
    """Bytes lost, doubled or changed anywhere."""
    events = RESPOND_EVENTS
    wire = bytearray("".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(wire) - 1))
        wire[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    stream = dialect("openai").stream(RESPOND, WireResponse(status=200, headers={}, body=b""))
    stream.feed(bytes(wire))

    stream.partial()
    try:
        response = stream.finish()
    except AsyncAPIError:
        return
    check(RESPOND, response)
