"""Which requests may share an answer, and which answers are kept."""

from __future__ import annotations

import math
from array import array

import pytest

from asyncapi import (
    ChatRequest,
    ChatResponse,
    CompleteRequest,
    EmbedRequest,
    EmbedResponse,
    ImageRequest,
    InferRequest,
    Message,
    ModelsRequest,
    NativeRequest,
    ObjectRequest,
    ObjectResponse,
    Reasoning,
    Request,
    Response,
    ScoreResponse,
    Text,
    ToolCall,
    TranscribeRequest,
)
from asyncapi.caching.rules import deterministic, keepable, repeatable
from asyncapi.types.responses import FinishReason, ImageResponse, Output, Picture

HELLO = (Message("user", "hello"),)
REQUESTS: list[tuple[Request, bool, bool]] = [
    (ChatRequest(model="a:m", messages=HELLO), True, False),
    (ChatRequest(model="a:m", messages=HELLO, temperature=0.5), True, False),
    (ChatRequest(model="a:m", messages=HELLO, temperature=0), True, True),
    (ChatRequest(model="a:m", messages=HELLO, seed=0), True, True),
    (CompleteRequest(model="a:m", prompts=("x",)), True, False),
    (CompleteRequest(model="a:m", prompts=("x",), temperature=0.0), True, True),
    (EmbedRequest(model="a:m", inputs=("x",)), True, True),
    (TranscribeRequest(model="a:m", audio=b""), True, False),
    (TranscribeRequest(model="a:m", audio=b"", temperature=0), True, True),
    (InferRequest(model="a:m", inputs={}), True, True),
    (InferRequest(model="a:m", inputs={}, parameters={"sequence_id": 7}), False, False),
    (ImageRequest(model="a:m", prompt="x"), True, False),
    (ModelsRequest(model="a:"), True, False),
    (NativeRequest(model="a:m", action="pull"), False, False),
    (ObjectRequest(model="a:b", action="get", key="x"), False, False),
]


@pytest.mark.parametrize(("request_", "may", "must"), REQUESTS)
def test_which_requests_may_share_an_answer(request_: Request, may: bool, must: bool) -> None:
    """By the caller's word, and by nature or parameters."""
    assert (repeatable(request_), deterministic(request_)) == (may, must)


def chat(
    *parts: Text | ToolCall | Reasoning, finish: FinishReason = "stop", refusal: str = ""
) -> ChatResponse:
    """An answer of these parts."""
    return ChatResponse(outputs=(Output(parts=parts, finish_reason=finish, refusal=refusal),))


ANSWERS: list[tuple[Response, bool]] = [
    (chat(Text("hi")), True),
    (chat(Text("hi"), finish="length"), True),
    (chat(ToolCall(id="1", name="f", arguments="{}"), finish="tool_calls"), True),
    (chat(Reasoning(text="hm"), Text("hi")), True),
    (chat(Reasoning(text="hm")), False),
    (chat(Text("")), False),
    (chat(), False),
    (ChatResponse(), False),
    (chat(Text("hi"), refusal="no"), False),
    (chat(Text("hi"), finish="refusal"), False),
    (chat(Text("hi"), finish="content_filter"), False),
    (chat(Text("hi"), finish="pause"), False),
    (chat(Text("hi"), finish="other"), False),
    (EmbedResponse(vectors=(array("f", [1.0]),)), True),
    (EmbedResponse(vectors=(array("f", [1.0]), array("f"))), False),
    (EmbedResponse(vectors=(array("f", [1.0, math.nan]),)), False),
    (EmbedResponse(), False),
    (ScoreResponse(scores=(0.0,)), True),
    (ScoreResponse(), False),
    (ImageResponse(images=(Picture(url="https://x.test/for-an-hour"),)), False),
    (ImageResponse(images=(Picture(data=b"x"),)), True),
    (ObjectResponse(body=b"x"), False),
]


@pytest.mark.parametrize(("answer", "kept"), ANSWERS)
def test_which_answers_are_kept(answer: Response, kept: bool) -> None:
    """Whole ones that say something."""
    assert keepable(answer) is kept
