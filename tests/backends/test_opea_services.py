"""OPEA's guardrails and its own actions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi.backends.opea import MEGASERVICES, backend
from asyncapi.errors import (
    AsyncAPIError,
    ConfigError,
    ContentRefusedError,
    DecodeError,
    ServerError,
    UnsupportedOperationError,
)
from asyncapi.types.requests import ModerateRequest, NativeRequest
from asyncapi.types.responses import ModerateResponse, Moderation, NativeResponse
from asyncapi.types.wire import WireResponse

from .openai_golden import reply
from .test_openai_fuzz import damaged

ASKED = ModerateRequest(model="", inputs=("How do I?",))
BLOCKED = {
    "text": "Violated policies: S1, toxicity, please check your input.",
    "downstream_black_list": [".*"],
}


def verdict(body: Any, request: ModerateRequest = ASKED) -> Moderation:
    """The verdict in a reply."""
    response = backend.decode(request, reply(body))
    assert isinstance(response, ModerateResponse)
    (found,) = response.results
    assert response.raw == body
    return found


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("", "/guardrails"),
        ("meta-llama/LlamaGuard", "/guardrails"),
        ("guardrails", "/guardrails"),
        ("toxicity", "/toxicity"),
        ("bias", "/bias"),
        ("injection", "/injection"),
    ],
)
def test_the_model_names_the_guard(model: str, path: str) -> None:
    """Every other model is one of the guardrails."""
    made = backend.encode(ModerateRequest(model=model, inputs=("x",)))

    assert made.path == path
    assert made.body is not None
    assert json.loads(made.body) == {"text": "x"}


def test_a_guard_checks_one_text_a_call() -> None:
    """A verdict could not be told whose it is."""
    with pytest.raises(ConfigError, match="one text a call, got 2"):
        backend.encode(ModerateRequest(model="", inputs=("a", "b")))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"text": "How do I?"}, Moderation(flagged=False)),
        ({"text": "How do I?", "downstream_black_list": []}, Moderation(flagged=False)),
        (BLOCKED, Moderation(flagged=True, categories={"S1": True, "toxicity": True})),
        ({"text": "", "downstream_black_list": [".*"]}, Moderation(flagged=True)),
        (
            "\nViolated policies: Impolite (score: 1.00), please check your input.\n",
            Moderation(flagged=True, categories={"Impolite (score: 1.00)": True}),
        ),
        ("How do I?", Moderation(flagged=False)),
    ],
)
def test_a_black_list_or_a_reason_means_blocked(body: Any, expected: Moderation) -> None:
    """With the policies that it names."""
    assert verdict(body) == expected


def test_a_text_that_speaks_of_policies_is_not_blocked_for_that() -> None:
    """A safe text comes back as it was."""
    text = BLOCKED["text"]
    assert isinstance(text, str)

    assert verdict({"text": text}, ModerateRequest(model="", inputs=(text,))).flagged is False


@pytest.mark.parametrize("body", [{}, [], 7, {"text": None}, {"text": "a", "downstream_black_list": ".*"}])
def test_an_answer_without_a_verdict_is_a_decode_error(body: Any) -> None:
    """Never taken for a pass."""
    with pytest.raises(DecodeError):
        backend.decode(ASKED, reply(body))


def test_a_guard_that_fails_gives_no_verdict() -> None:
    """An error inside a 200, and the status that scanners block with."""
    with pytest.raises(ServerError, match="down"):
        backend.decode(ASKED, reply({"error": "down"}))

    blocked = backend.error(reply({"detail": "Prompt contains a secret"}, 466))
    assert isinstance(blocked, ContentRefusedError)


@pytest.mark.parametrize(
    ("action", "method", "path"),
    [
        ("retrieval", "POST", "/retrieval"),
        ("dataprep_get", "POST", "/dataprep/get"),
        ("dataprep_delete", "POST", "/dataprep/delete"),
        ("factuality", "POST", "/factuality"),
        ("text2image", "POST", "/text2image"),
        ("statistics", "GET", "/statistics"),
        ("health", "GET", "/health_check"),
        ("list_service", "GET", "/list_service"),
    ],
)
def test_an_action_has_its_path(action: str, method: str, path: str) -> None:
    """Arguments are sent as they are."""
    arguments = {"embedding": [0.5], "k": 4} if method == "POST" else {}
    made = backend.encode(NativeRequest(model="", action=action, arguments=arguments))

    assert (made.method, made.path) == (method, path)
    assert (json.loads(made.body) if made.body else {}) == arguments


@pytest.mark.parametrize("name", sorted(MEGASERVICES))
def test_a_megaservice_is_an_action_too(name: str) -> None:
    """For those that take something else than a chat; never streamed."""
    made = backend.encode(
        NativeRequest(model="", action=name, arguments={"audio": "UklGRg==", "stream": True})
    )

    assert made.path == f"/{name}"
    assert made.body is not None
    assert json.loads(made.body) == {"audio": "UklGRg==", "stream": False}


@pytest.mark.parametrize(
    ("action", "body", "result"),
    [
        ("retrieval", {"retrieved_docs": [{"text": "a"}]}, {"retrieved_docs": [{"text": "a"}]}),
        (
            "statistics",
            {"opea_service@llm": {"p50_latency": 0.5}},
            {"opea_service@llm": {"p50_latency": 0.5}},
        ),
        ("health", b"", None),
    ],
)
def test_an_action_gives_its_json(action: str, body: Any, result: Any) -> None:
    """A healthy service may say nothing."""
    response = backend.decode(NativeRequest(model="", action=action), reply(body))

    assert isinstance(response, NativeResponse)
    assert response.result == result


def test_an_unknown_action_is_told_the_known_ones() -> None:
    """The mega-services among them."""
    with pytest.raises(UnsupportedOperationError, match=r"no action 'fly'; it has: .*chatqna.*retrieval"):
        backend.encode(NativeRequest(model="", action="fly"))


@given(st.data())
@settings(max_examples=80)
def test_a_damaged_verdict_is_a_verdict_or_our_error(data: st.DataObject) -> None:
    """Nothing else escapes."""
    try:
        response = backend.decode(ASKED, reply(data.draw(damaged(BLOCKED))))
    except AsyncAPIError:
        return
    assert isinstance(response, ModerateResponse)
    assert all(isinstance(name, str) for name in response.results[0].categories)


@given(st.binary(max_size=30))
@settings(max_examples=50)
def test_bytes_that_are_no_json_are_our_error(body: bytes) -> None:
    """Or a text that passed."""
    try:
        response = backend.decode(ASKED, WireResponse(status=200, headers={}, body=body))
    except AsyncAPIError:
        return
    assert isinstance(response, ModerateResponse)
