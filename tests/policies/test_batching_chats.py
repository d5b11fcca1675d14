"""Conversations in one request, and each caller's own answer out of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncapi.policies.batching import STRATEGIES, ChatBatching
from asyncapi.types.messages import Image, Message, Text, Tool, ToolResult
from asyncapi.types.requests import ChatBatchRequest, ChatRequest, Extra
from asyncapi.types.responses import ChatResponse, Output
from asyncapi.types.usage import Usage

from .batches import PROPERTY, check_usage, usages

batching = ChatBatching()


def chat(text: str = "Hi", **fields: Any) -> ChatRequest:
    """A conversation of one turn."""
    return ChatRequest(model="m", messages=(Message("user", text),), **fields)


@PROPERTY
@given(st.lists(st.text("ab", max_size=9), min_size=2, max_size=8), usages, st.randoms())
def test_merge_and_split_give_every_call_its_own(calls: list[str], usage: Usage, chance: Any) -> None:
    """In the order of the outputs' index, whatever order they came in."""
    requests = [chat(text, temperature=0.5, stop=("x",)) for text in calls]
    merged = batching.merge(requests)
    assert isinstance(merged, ChatBatchRequest)
    outputs = [Output(index=i, parts=(Text(c[0].text),)) for i, c in enumerate(merged.conversations)]
    chance.shuffle(outputs)
    whole = ChatResponse(id="r", outputs=tuple(outputs), usage=usage)
    answers = batching.split(whole, requests)

    assert (merged.operation, merged.messages, merged.temperature, merged.stop) == (
        "chat_batch",
        (),
        0.5,
        ("x",),
    )
    assert [(a.text, a.outputs[0].index) for a in answers if isinstance(a, ChatResponse)] == [
        (text, 0) for text in calls
    ]
    assert batching.answers(merged, whole) == sum(map(batching.items, requests))
    check_usage(usage, answers)


def test_a_single_chat_stays_a_chat() -> None:
    """Its request and its answer are not touched."""
    alone, answer = chat(n=2), ChatResponse(outputs=(Output(), Output(index=1)))

    assert batching.merge([alone]) is alone
    assert batching.split(answer, [alone])[0] is answer
    assert batching.items(alone) == batching.answers(alone, answer) == 2
    assert batching.pieces(alone, 1, 1) == [alone]
    assert isinstance(STRATEGIES["chat"], ChatBatching)


@pytest.mark.parametrize(
    "fields",
    [
        {"stream": True},
        {"n": 2},
        {"tools": (Tool(name="f"),)},
        {"extra": Extra()},
        {"response_format": {"schema": {1}}},
    ],
)
def test_a_chat_that_the_route_can_not_take_goes_alone(fields: dict[str, Any]) -> None:
    """Nor one whose parameters can't be compared."""
    assert batching.key(chat(**fields)) is None


def test_only_the_same_parameters_mix() -> None:
    """Whatever the conversations are."""
    one = chat(metadata={"a": "b"}, response_format={"schema": {"type": ["object"]}})

    assert batching.key(one) == batching.key(
        chat("Bye", metadata={"a": "b"}, response_format={"schema": {"type": ["object"]}})
    )
    assert len({batching.key(r) for r in (one, chat(), chat(seed=1), chat(temperature=1.0))}) == 4


def test_the_length_of_a_conversation_is_that_of_its_texts() -> None:
    """Images have none."""
    parts = (Text("ab"), Image(url="http://x"), ToolResult(tool_call_id="c", content="cde"))

    assert (
        batching.chars(ChatRequest(model="m", messages=(Message("user", "f"), Message("user", parts)))) == 6
    )


def test_joined_answers_are_numbered_through() -> None:
    """For completeness: no conversation is ever cut."""
    joined = batching.join(
        chat(), [ChatResponse(outputs=(Output(),), raw=1), ChatResponse(outputs=(Output(),), raw=2)]
    )

    assert isinstance(joined, ChatResponse)
    assert [output.index for output in joined.outputs] == [0, 1]
    assert joined.raw == [1, 2]
