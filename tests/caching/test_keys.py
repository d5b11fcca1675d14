"""The key of a request: everything that changes the answer is in it, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi import (
    ChatRequest,
    CompleteRequest,
    EmbedRequest,
    Extra,
    Image,
    InferRequest,
    Message,
    Request,
    RerankRequest,
    RespondRequest,
    ScoreRequest,
    Tensor,
    Text,
    Tool,
    ToolCall,
    TranscribeRequest,
    TranslateRequest,
)
from asyncapi.caching.keys import canonical, request_key, service_identity

SERVICE = service_identity("openai", "https://ai.test/v1")
HELLO = (Message("user", "hello"),)


def chat(**fields: Any) -> ChatRequest:
    """A chat that says hello, unless told otherwise."""
    return ChatRequest(**{"model": "openai:m", "messages": HELLO, **fields})


def key(request: Request, service: bytes = SERVICE, tenant: str = "") -> bytes:
    """Its key, which it must have."""
    found = request_key(request, service, tenant)
    assert found is not None
    return found


SCHEMA = {"type": "object", "properties": {"why": {"type": "string"}, "answer": {"type": "string"}}}
OTHER_WAY = {"type": "object", "properties": {"answer": {"type": "string"}, "why": {"type": "string"}}}

#: One value for each parameter that changes the answer.
CHANGES: dict[str, Any] = {
    "messages": (Message("user", "hullo"),),
    "max_tokens": 5,
    "temperature": 0.0,
    "top_p": 0.5,
    "top_k": 3,
    "stop": ("x",),
    "seed": 1,
    "n": 2,
    "frequency_penalty": 0.1,
    "presence_penalty": 0.1,
    "logprobs": True,
    "top_logprobs": 2,
    "tools": (Tool(name="f"),),
    "tool_choice": "none",
    "parallel_tool_calls": False,
    "response_format": "json",
    "reasoning_effort": "low",
    "reasoning_budget": 10,
    "service_tier": "flex",
    "unsupported": "ignore",
    "extra": Extra(body={"top_a": 0.1}),
}
SAME = {"stream": True, "user_id": "u-1", "metadata": {"trace": "1"}}


@pytest.mark.parametrize("name", CHANGES)
def test_every_parameter_of_a_chat_is_in_the_key(name: str) -> None:
    """Another value, another key."""
    assert key(chat(**{name: CHANGES[name]})) != key(chat())


@pytest.mark.parametrize("name", SAME)
def test_what_does_not_change_the_answer_is_not_in_the_key(name: str) -> None:
    """How the answer travels, and who asks."""
    assert key(chat(**{name: SAME[name]})) == key(chat())


def test_every_field_of_a_chat_is_decided_on() -> None:
    """A field that is added to the request must be added to one of the lists above."""
    assert {*CHANGES, *SAME, "model"} == set(ChatRequest.__struct_fields__)


DIFFERENT: dict[str, tuple[Request, Request]] = {
    "model": (chat(), chat(model="openai:m2")),
    "operation": (chat(), RespondRequest(model="openai:m", messages=HELLO)),
    "embed or rerank": (
        ScoreRequest(model="a:m", query="q", documents=("d",)),
        RerankRequest(model="a:m", query="q", documents=("d",)),
    ),
    "transcribed or translated": (
        TranscribeRequest(model="a:m", audio=b"x"),
        TranslateRequest(model="a:m", audio=b"x"),
    ),
    "role": (chat(), chat(messages=(Message("system", "hello"),))),
    "where texts are cut": (
        EmbedRequest(model="a:m", inputs=("ab", "c")),
        EmbedRequest(model="a:m", inputs=("a", "bc")),
    ),
    "order of texts": (
        EmbedRequest(model="a:m", inputs=("a", "b")),
        EmbedRequest(model="a:m", inputs=("b", "a")),
    ),
    "image or text": (
        chat(messages=(Message("user", (Text("u"),)),)),
        chat(messages=(Message("user", (Image(url="u"),)),)),
    ),
    "arguments of a tool call": (
        chat(messages=(Message("assistant", (ToolCall(id="1", name="f", arguments="{}"),)),)),
        chat(messages=(Message("assistant", (ToolCall(id="1", name="f", arguments="{ }"),)),)),
    ),
    "order in a schema": (
        chat(response_format={"schema": SCHEMA}),
        chat(response_format={"schema": OTHER_WAY}),
    ),
    "order in a schema passed through": (
        chat(extra=Extra(body={"guided_json": SCHEMA})),
        chat(extra=Extra(body={"guided_json": OTHER_WAY})),
    ),
    "header that asks for something": (chat(), chat(extra=Extra(headers={"x-beta": "1"}))),
    "query": (chat(), chat(extra=Extra(query={"version": "2"}))),
    "shape of a tensor": (
        InferRequest(model="a:m", inputs={"x": Tensor(datatype="FP32", shape=(1, 2), data=b"12345678")}),
        InferRequest(model="a:m", inputs={"x": Tensor(datatype="FP32", shape=(2, 1), data=b"12345678")}),
    ),
}


@pytest.mark.parametrize("pair", DIFFERENT.values(), ids=DIFFERENT)
def test_different_requests_have_different_keys(pair: tuple[Request, Request]) -> None:
    """Whatever may change the answer."""
    assert key(pair[0]) != key(pair[1])


EQUAL: dict[str, tuple[Request, Request]] = {
    "endpoint's name": (chat(), chat(model="main:m")),
    "0 or 0.0": (chat(temperature=0), chat(temperature=0.0)),
    "default written out": (chat(), chat(stop=(), extra=None, n=None)),
    "order of extra parameters": (
        chat(extra=Extra(body={"a": 1, "b": 2})),
        chat(extra=Extra(body={"b": 2, "a": 1})),
    ),
    "order of a schema's wrapping": (
        chat(response_format={"schema": SCHEMA, "name": "x"}),
        chat(response_format={"name": "x", "schema": SCHEMA}),
    ),
    "key in a header": (chat(extra=Extra()), chat(extra=Extra(headers={"Authorization": "Bearer a"}))),
    "id in a header": (
        chat(extra=Extra(headers={"X-Beta": "1", "X-Request-Id": "1"})),
        chat(extra=Extra(headers={"x-beta": "1", "x-request-id": "2"})),
    ),
    "order of tensors": (
        InferRequest(model="a:m", inputs={n: Tensor(datatype="BOOL", shape=(1,), data=b"1") for n in "xy"}),
        InferRequest(model="a:m", inputs={n: Tensor(datatype="BOOL", shape=(1,), data=b"1") for n in "yx"}),
    ),
}


@pytest.mark.parametrize("pair", EQUAL.values(), ids=EQUAL)
def test_the_same_request_written_otherwise_has_the_same_key(pair: tuple[Request, Request]) -> None:
    """What no service can tell apart."""
    assert key(pair[0]) == key(pair[1])


def test_services_and_tenants_have_keys_of_their_own() -> None:
    """Backend, address, headers that are no secret, and whose answers they are."""
    services = [
        service_identity("openai", "https://ai.test/v1"),
        service_identity("vllm", "https://ai.test/v1"),
        service_identity("openai", "https://other.test/v1"),
        service_identity("openai", "https://ai.test/v1", {"OpenAI-Organization": "org-1"}),
    ]

    keys = {key(chat(), service) for service in services} | {key(chat(), tenant=t) for t in ("a", "b")}

    assert len(keys) == 6


def test_a_key_that_is_exchanged_changes_nothing() -> None:
    """Headers that carry keys are left out, however they are written."""
    headers = [{"Authorization": "Bearer a", "X-Team": "1"}, {"authorization": "Bearer b", "x-team": "1"}]

    assert len({service_identity("openai", "https://ai.test/v1", h) for h in headers}) == 1


def test_what_has_no_wire_format_has_no_key() -> None:
    """A request that no cache can recognise is asked each time."""
    assert request_key(chat(extra=Extra(body={"x": object()})), SERVICE) is None
    assert request_key(chat(extra=Extra(body={"x": 1 << 70})), SERVICE) is None


def test_a_field_at_its_default_is_not_in_the_key() -> None:
    """So a parameter that a later release adds changes no key of today."""
    assert canonical(chat(temperature=0)) == {"messages": HELLO, "temperature": 0.0}


def test_a_key_is_the_same_in_another_process() -> None:
    """Pinned: stores outlive processes. A change here needs another VERSION."""
    code = (
        "from asyncapi import *; from asyncapi.caching.keys import *;"
        "r = ChatRequest(model='openai:m', messages=(Message('user', 'hello'),), temperature=0,"
        " tools=(Tool(name='f', parameters={'b': 1, 'a': 2}),), extra=Extra(body={'b': 1, 'a': 2}));"
        "print(request_key(r, service_identity('openai', 'https://ai.test/v1'), 't').hex())"
    )

    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("1", "2")
    }

    assert told == {"f663eb3dd51bfe575f0e01efd56d0297a4a13cf487d7e34b41a6b798ccb37fca"}


texts = st.text(max_size=20)
requests = st.one_of(
    st.builds(
        ChatRequest,
        model=st.just("a:m"),
        messages=st.lists(
            st.builds(Message, st.sampled_from(["user", "assistant"]), texts), min_size=1, max_size=3
        ).map(tuple),
        temperature=st.none() | st.floats(0, 2),
        stop=st.lists(texts, max_size=2).map(tuple),
        seed=st.none() | st.integers(0, 9),
    ),
    st.builds(
        CompleteRequest, model=st.just("a:m"), prompts=st.lists(texts, min_size=1, max_size=3).map(tuple)
    ),
    st.builds(EmbedRequest, model=st.just("a:m"), inputs=st.lists(texts, min_size=1, max_size=3).map(tuple)),
)


@settings(deadline=None)
@given(requests, requests)
def test_keys_are_equal_exactly_where_requests_are(a: Request, b: Request) -> None:
    """Over requests of all kinds."""
    same: Callable[[Request], Any] = lambda r: (type(r), msgspec.structs.asdict(r))  # noqa: E731

    assert (key(a) == key(b)) == (same(a) == same(b))
