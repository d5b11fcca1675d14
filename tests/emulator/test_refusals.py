"""Refusals in each dialect's own envelope: bad requests, keys, money, unknown models and paths."""

from typing import Any

import pytest

from asyncapi.emulator import Emulator

from .wire import CHAT, KEYS, Got, Wire

USER = {"role": "user", "content": "Hi"}
OPENAI_LIKE = ["openai", "groq", "vllm", "opea"]


def message_in(service: str, got: Got) -> str:
    """The message of an error, wherever the dialect keeps it."""
    body = got.json
    if service == "opea":
        detail = body["detail"]
        return str(detail if isinstance(detail, str) else detail[0]["msg"])
    error = body["error"]
    return str(error if isinstance(error, str) else error["message"])


@pytest.mark.parametrize("service", list(CHAT))
async def test_broken_json_is_refused(wire: Wire, service: str) -> None:
    """400 in the own envelope; OPEA says 422."""
    for raw in (b"{", b"[]"):
        got = await wire.post(CHAT[service], raw=raw)

        assert got.status == (422 if service == "opea" else 400)
        assert message_in(service, got)


@pytest.mark.parametrize("service", OPENAI_LIKE)
@pytest.mark.parametrize(
    "fields",
    [
        {"messages": None},
        {"messages": []},
        {"messages": [{"role": "nobody", "content": "Hi"}]},
        {"messages": [{"role": "user"}]},
        {"messages": ["Hi"]},
        {"max_tokens": 0},
        {"max_tokens": "many"},
        {"stop": ["a", "b", "c", "d", "e"]},
        {"response_format": {"type": "json_schema"}},
        {"tools": [{"type": "function"}]},
        {"messages": [{"role": "user", "content": "x" * 600_000}]},
    ],
)
async def test_bad_fields_are_refused(wire: Wire, service: str, fields: dict[str, Any]) -> None:
    """Nothing is repaired silently."""
    got = await wire.chat(service, **fields)

    assert got.status == (422 if service == "opea" else 400)
    assert message_in(service, got)


async def test_openai_names_the_parameter_and_the_code(wire: Wire) -> None:
    """The envelope has message, type, param and code."""
    missing = await wire.post(CHAT["openai"], {"model": "m"})
    nameless = await wire.post(CHAT["openai"], {"messages": [USER]})
    long = await wire.chat("openai", "x" * 600_000)

    assert missing.json["error"]["param"] == "messages"
    assert missing.json["error"]["code"] == "missing_required_parameter"
    assert nameless.json["error"]["type"] == "invalid_request_error"
    assert long.json["error"]["code"] == "context_length_exceeded"


async def test_reasoning_models_refuse_old_fields(wire: Wire) -> None:
    """max_tokens and temperature are for other models."""
    old = await wire.chat("openai", model="o3", max_tokens=5)
    warm = await wire.chat("openai", model="gpt-5", temperature=0.2)
    new = await wire.chat("openai", model="gpt-5", temperature=1, max_completion_tokens=5)

    assert old.json["error"]["code"] == "unsupported_parameter"
    assert warm.json["error"]["code"] == "unsupported_value"
    assert new.status == 200


@pytest.mark.parametrize(
    "fields", [{"logprobs": True}, {"messages": [{"role": "developer", "content": "Hi"}]}]
)
async def test_groq_refuses_what_it_lacks(wire: Wire, fields: dict[str, Any]) -> None:
    """Logprobs and the developer role are OpenAI's."""
    assert (await wire.chat("groq", **fields)).status == 400


async def test_vllm_puts_the_status_in_the_code(wire: Wire) -> None:
    """An integer code and a type by name; an empty list of tools is refused."""
    got = await wire.chat("vllm", tools=[])

    assert got.json["error"]["code"] == 400
    assert got.json["error"]["type"] == "BadRequestError"


@pytest.mark.parametrize("service", list(CHAT))
async def test_missing_models_are_not_found(wire: Wire, service: str) -> None:
    """A model whose name begins with "missing" does not exist."""
    got = await wire.chat(service, model="missing-1")

    assert got.status == 404
    assert "missing-1" in message_in(service, got)


@pytest.mark.parametrize("service", list(CHAT))
async def test_unknown_paths_are_not_found(wire: Wire, service: str) -> None:
    """In the own envelope as well, and so is a wrong method."""
    for got in (await wire.get(f"/{service}/nowhere"), await wire.get(CHAT[service])):
        assert got.status == 404
        assert message_in(service, got)


async def test_unknown_services_are_not_found(wire: Wire) -> None:
    """Outside every mount there is a plain 404."""
    assert (await wire.get("/nobody/v1")).status == 404


@pytest.mark.parametrize("service", ["openai", "groq", "claude"])
async def test_a_key_is_required_where_tokens_are_sold(wire: Wire, service: str) -> None:
    """401 without one, in the own envelope."""
    headers = {"anthropic-version": KEYS["anthropic-version"], "authorization": "Basic abc"}
    got = await wire.post(CHAT[service], {"model": "m", "messages": [USER]}, headers)

    assert got.status == 401
    assert message_in(service, got)


@pytest.mark.parametrize("service", ["vllm", "opea", "ollama"])
async def test_local_servers_need_no_key(wire: Wire, service: str) -> None:
    """They answer anyone."""
    body = {"model": "m", "messages": [USER]}
    assert (await wire.post(CHAT[service], body, {})).status == 200


async def test_keys_can_be_optional() -> None:
    """require_key=False lets anyone in everywhere."""
    async with Emulator(require_key=False) as emulator:
        import aiohttp

        async with aiohttp.ClientSession() as session:
            got = await Wire(session, emulator.url).post(
                CHAT["openai"], {"model": "m", "messages": [USER]}, {}
            )

    assert got.status == 200


@pytest.mark.parametrize("service", list(CHAT))
async def test_revoked_keys_are_refused_until_restored(emulator: Emulator, wire: Wire, service: str) -> None:
    """401 from now on, and the reply again after restore."""
    emulator.revoke("sk-test")
    refused = await wire.chat(service)
    emulator.restore("sk-test")

    assert refused.status == 401
    assert (await wire.chat(service)).status == 200


async def test_claude_prefers_its_own_key_header(emulator: Emulator, wire: Wire) -> None:
    """x-api-key wins over a bearer token."""
    emulator.revoke("sk-good")
    body = {"model": "m", "messages": [USER], "max_tokens": 5}
    got = await wire.post(CHAT["claude"], body, {**KEYS, "x-api-key": "sk-good"})

    assert got.json["error"]["type"] == "authentication_error"
    assert got.json["request_id"] == got.headers["request-id"]


@pytest.mark.parametrize(
    ("service", "spend_limit", "status", "kind"),
    [
        ("openai", False, 429, "insufficient_quota"),
        ("openai", True, 429, "insufficient_quota"),
        ("groq", False, 429, "insufficient_quota"),
        ("claude", False, 402, "billing_error"),
        ("claude", True, 400, "invalid_request_error"),
    ],
)
async def test_exhausted_keys_have_no_money(
    emulator: Emulator, wire: Wire, service: str, spend_limit: bool, status: int, kind: str
) -> None:
    """Money is not a rate: no header says when to come back."""
    emulator.exhaust("sk-test", spend_limit=spend_limit)
    got = await wire.chat(service)

    assert (got.status, got.json["error"]["type"]) == (status, kind)
    assert "retry-after" not in got.headers
    assert (await wire.chat("ollama")).status == 200


@pytest.mark.parametrize(
    ("headers", "fields", "words"),
    [
        ({}, {}, "anthropic-version: header is required"),
        ({"anthropic-version": "2020-01-01"}, {}, "not a valid version"),
        ({}, {"max_tokens": None}, "max_tokens: Field required"),
        ({}, {"max_tokens": -1}, "max_tokens"),
        ({}, {"model": None}, "model: Field required"),
        ({}, {"messages": None}, "messages: Field required"),
        ({}, {"messages": []}, "at least one message"),
        ({}, {"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({}, {"messages": [{"role": "user", "content": ""}]}, "messages.0.content"),
        ({}, {"temperature": 1.0}, "temperature: Extra inputs are not permitted"),
        ({}, {"top_k": 1}, "top_k: Extra inputs"),
        ({}, {"thinking": {"type": "enabled", "budget_tokens": 5}}, "budget_tokens"),
        ({}, {"thinking": {"type": "enabled", "budget_tokens": 9000}}, "must be greater than"),
        ({}, {"thinking": {"type": "deep"}}, "thinking.type"),
        ({}, {"tools": [{}]}, "tools.0.name"),
        ({}, {"stop_sequences": "x"}, "stop_sequences"),
        ({}, {"tools": [{"name": "a"}]}, "input_schema"),
        ({}, {"output_config": {"format": {"type": "json_schema"}}}, "format.schema"),
    ],
)
async def test_claude_refuses_bad_requests(
    wire: Wire, headers: dict[str, str], fields: dict[str, Any], words: str
) -> None:
    """400 invalid_request_error with the field in front."""
    sent = {"x-api-key": "k", "anthropic-version": "2026-10-21", **headers}
    if "header is required" in words:
        del sent["anthropic-version"]
    body = {"model": "m", "messages": [USER], "max_tokens": 4096, **fields}
    got = await wire.post(CHAT["claude"], body, sent)

    assert (got.status, got.json["error"]["type"]) == (400, "invalid_request_error")
    assert words in got.json["error"]["message"]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": [{"type": "document", "source": {}}]},
        {"role": "user", "content": [{"type": "text", "text": "Hi", "citations": [{}]}]},
    ],
)
async def test_claude_versions_differ(wire: Wire, message: dict[str, Any]) -> None:
    """The old version takes what the new one refuses, sampling included."""
    body = {"model": "m", "messages": [USER, message], "max_tokens": 5}
    new = await wire.post(CHAT["claude"], body)
    old = await wire.post(
        CHAT["claude"], {**body, "temperature": 1}, {**KEYS, "anthropic-version": "2023-06-01"}
    )

    assert (new.status, old.status) == (400, 200)


async def test_claude_wants_tool_results_first_and_complete(wire: Wire) -> None:
    """Results answer the turn before, all of them, in front of any text."""
    use = {"type": "tool_use", "id": "toolu_1", "name": "a", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "cold"}
    stranger = {**result, "tool_use_id": "toolu_2"}
    text = {"type": "text", "text": "Well?"}
    asked = {"role": "assistant", "content": [use]}

    async def status(*messages: object) -> int:
        body = {"model": "m", "messages": [USER, *messages], "max_tokens": 5}
        return (await wire.post(CHAT["claude"], body)).status

    assert await status(asked) == 400
    assert await status(asked, USER) == 400
    assert await status(asked, {"role": "user", "content": [text, result]}) == 400
    assert await status(asked, {"role": "user", "content": [result, stranger]}) == 400
    assert await status(asked, {"role": "user", "content": [result, text]}) == 200


async def test_claude_knows_its_own_thinking(wire: Wire) -> None:
    """A thinking block must come back with the signature of its very text."""
    first = await wire.chat("claude", thinking={"type": "adaptive"})
    content = first.json["content"]
    body = {
        "model": "m",
        "max_tokens": 5,
        "messages": [USER, {"role": "assistant", "content": content}, USER],
    }
    good = await wire.post(CHAT["claude"], body)
    content[0]["thinking"] += "!"
    bad = await wire.post(CHAT["claude"], body)

    assert (good.status, bad.status) == (200, 400)
    assert "signature" in bad.json["error"]["message"]


async def test_ollama_needs_a_model(wire: Wire) -> None:
    """The error is a plain text."""
    got = await wire.post(CHAT["ollama"], {"messages": [USER]})

    assert (got.status, got.json) == (400, {"error": "model is required"})


async def test_unauthorised_is_bare_on_tei_and_a_word_on_vllm(emulator: Emulator, wire: Wire) -> None:
    """Clients must not expect an envelope."""
    emulator.revoke("sk-test")
    bare = await wire.post("/hf_tei/embed", {"inputs": "a"})
    word = await wire.chat("vllm")

    assert (bare.status, bare.body) == (401, b"")
    assert word.json == {"error": "Unauthorized"}


@pytest.mark.parametrize("service", list(CHAT))
@pytest.mark.parametrize(
    "fields",
    [
        {"messages": 5},
        {"messages": [5]},
        {"messages": [[]]},
        {"tools": 5},
        {"tools": [5]},
        {"options": 5, "response_format": 5, "thinking": 5},
        {"messages": [{"role": "assistant", "content": [{"type": "text", "text": 5}], "tool_calls": [5]}]},
    ],
)
async def test_unexpected_types_never_break_the_server(
    wire: Wire, service: str, fields: dict[str, Any]
) -> None:
    """Either they are ignored or they are refused; a 500 would be ours."""
    assert (await wire.chat(service, **fields)).status in (200, 400, 422)
