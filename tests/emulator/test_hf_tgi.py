"""TGI, read by hand: generate, its stream, grammars, stops, the root, chat, tokens, refusals."""

import json
from typing import Any

import pytest

from asyncapi.emulator import POISON, Emulator, answer_text

from .wire import Got, Wire

MODEL = "HuggingFaceH4/zephyr-7b-beta"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CHAT = "/hf_tgi/v1/chat/completions"
USER = [{"role": "user", "content": "Hello"}]


def events(got: Got) -> list[Any]:
    """Data-only events without a space behind the colon; comments are skipped."""
    lines = got.body.decode().splitlines()
    return [json.loads(line[5:]) for line in lines if line.startswith("data:{")]


async def generate(wire: Wire, path: str = "/hf_tgi/generate", text: str = "Hello", **parameters: Any) -> Got:
    """Complete one prompt."""
    return await wire.post(path, {"inputs": text, "parameters": parameters})


async def test_generate_answers_with_headers_and_details(wire: Wire) -> None:
    """Details when wanted; prompt tokens only in a header; an end is a special token."""
    bare = await generate(wire)
    full = await generate(wire, details=True, decoder_input_details=True, return_full_text=True)

    text = answer_text(0, MODEL, "Hello")
    details = full.json["details"]
    assert bare.json == {"generated_text": text}
    assert full.json["generated_text"] == "Hello" + text
    assert details["finish_reason"] == "eos_token"
    assert details["tokens"][-1]["special"] is True
    assert details["generated_tokens"] == len(details["tokens"]) == int(full.headers["x-generated-tokens"])
    assert len(details["prefill"]) == int(full.headers["x-prompt-tokens"]) == 2


async def test_the_stream_ends_with_the_whole_text(wire: Wire) -> None:
    """One event a token, no [DONE]; special tokens do not count as text."""
    got = await generate(wire, "/hf_tgi/generate_stream")

    seen = events(got)
    text = "".join(event["token"]["text"] for event in seen if not event["token"]["special"])
    assert b"data: " not in got.body
    assert got.body.startswith(b":\n\n")
    assert text == seen[-1]["generated_text"] == answer_text(0, MODEL, "Hello")
    assert seen[-1]["details"]["input_length"] == 2
    assert all(event["details"] is None for event in seen[:-1])


async def test_stops_and_caps_say_so(wire: Wire) -> None:
    """A stop sequence stays in the text; a cap ends it without a special token."""
    word = answer_text(0, MODEL, "Hello")[12:16]
    stopped = await generate(wire, details=True, stop=[word])
    capped = await generate(wire, details=True, max_new_tokens=2)

    assert stopped.json["details"]["finish_reason"] == "stop_sequence"
    assert stopped.json["generated_text"].endswith(word)
    assert capped.json["details"]["finish_reason"] == "length"
    assert capped.json["details"]["generated_tokens"] == 2


@pytest.mark.parametrize(
    "grammar", [{"type": "json", "value": SCHEMA}, {"type": "json_schema", "value": {"schema": SCHEMA}}]
)
async def test_grammars_hold(wire: Wire, grammar: dict[str, Any]) -> None:
    """In generate and in chat."""
    by_generate = await generate(wire, grammar=grammar)
    by_chat = await wire.post(CHAT, {"messages": USER, "response_format": grammar})

    assert list(json.loads(by_generate.json["generated_text"])) == ["city"]
    assert list(json.loads(by_chat.json["choices"][0]["message"]["content"])) == ["city"]


async def test_a_regular_expression_is_let_through(wire: Wire) -> None:
    """It is read and not obeyed."""
    grammar = {"type": "regex", "value": "[a-z]+"}
    got = await wire.post(CHAT, {"messages": USER, "response_format": grammar})

    assert got.status == 200


async def test_the_root_does_both(wire: Wire) -> None:
    """An array, or a stream."""
    plain = await wire.post("/hf_tgi", {"inputs": "Hello"})
    slash = await wire.post("/hf_tgi/", {"inputs": "Hello"})
    streamed = await wire.post("/hf_tgi/", {"inputs": "Hello", "stream": True})

    assert plain.json == slash.json == [{"generated_text": answer_text(0, MODEL, "Hello")}]
    assert events(streamed)[-1]["generated_text"] == plain.json[0]["generated_text"]


async def test_chat_keeps_stop_sequence_and_loses_ids(wire: Wire) -> None:
    """Its own finish reason; calls with useless ids; streams as ever."""
    word = answer_text(0, "tgi", "Hello")[12:16]
    stopped = await wire.post(CHAT, {"messages": USER, "stop": [word]})
    tool = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
    body = {"messages": [{"role": "user", "content": "tool"}], "tools": [tool]}
    called = await wire.post(CHAT, body)
    streamed = await wire.post(CHAT, {**body, "stream": True, "stop": word})

    call = called.json["choices"][0]["message"]["tool_calls"][0]
    assert stopped.json["choices"][0]["finish_reason"] == "stop_sequence"
    assert call["id"] == "0"
    assert "city" in json.loads(call["function"]["arguments"])
    assert streamed.events[-1] == "[DONE]"


async def test_tokens_models_info_and_health(wire: Wire) -> None:
    """What the server tells of itself."""
    tokens = await wire.post("/hf_tgi/tokenize", {"inputs": "Hello"})
    chat = await wire.post("/hf_tgi/chat_tokenize", {"messages": USER})
    info = await wire.get("/hf_tgi/info")
    models = await wire.get("/hf_tgi/v1/models")
    health = await wire.get("/hf_tgi/health")

    assert tokens.json[1] == {"id": 2, "text": "o", "start": 4, "stop": 5}
    assert "".join(token["text"] for token in chat.json["tokenize_response"]) == chat.json["templated_text"]
    assert info.json["max_client_batch_size"] == 4
    assert models.json["data"][0]["id"] == MODEL
    assert (health.status, health.body) == (200, b"")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"temperature": 0}, "temperature"),
        ({"top_p": 1.0}, "top_p"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"best_of": 3}, "best_of"),
    ],
)
async def test_wrong_parameters_are_refused(wire: Wire, parameters: dict[str, Any], words: str) -> None:
    """422 validation."""
    got = await generate(wire, **parameters)

    assert (got.status, got.json["error_type"]) == (422, "validation")
    assert f"`{words}`" in got.json["error"]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/hf_tgi/generate", {"inputs": ["a", "b"]}, 422, "expected a string"),
        ("/hf_tgi/generate", {"inputs": ""}, 422, "cannot be empty"),
        ("/hf_tgi/generate", {"inputs": "x" * 20_000}, 422, "less than 4096"),
        ("/hf_tgi/generate", {"inputs": POISON}, 424, '"error_type":"generation"'),
        ("/hf_tgi/generate", {"inputs": "x", "parameters": {"grammar": {"type": "json"}}}, 422, "grammar"),
        ("/hf_tgi/generate_stream", {"inputs": "x", "parameters": {"best_of": 2}}, 422, "streaming"),
        (CHAT, {}, 422, "missing field"),
        (CHAT, {"messages": []}, 422, "template_error"),
        (
            CHAT,
            {"messages": USER, "tools": [{}], "response_format": {"type": "json", "value": {}}},
            422,
            "mutually exclusive",
        ),
        (
            CHAT,
            {"messages": USER, "response_format": {"type": "json_schema", "json_schema": {}}},
            422,
            "missing field `value`",
        ),
        ("/hf_tgi/embed", {"inputs": "x"}, 404, "no route"),
    ],
)
async def test_wrong_requests_are_refused(wire: Wire, path: str, body: Any, status: int, words: str) -> None:
    """As the router says it."""
    got = await wire.post(path, body)

    assert got.status == status
    assert words in got.body.decode()


async def test_a_truncated_prompt_fits(wire: Wire) -> None:
    """``truncate`` counts before the limit."""
    got = await generate(wire, text="x" * 20_000, truncate=100)

    assert got.headers["x-prompt-tokens"] == "100"


async def test_errors_inside_streams_have_two_forms(emulator: Emulator, wire: Wire) -> None:
    """The native one ends; the chat's says 422 and still [DONE]."""
    emulator.script(["stream_error", "stream_error"])
    native = await generate(wire, "/hf_tgi/generate_stream")
    chat = await wire.post(CHAT, {"messages": USER, "stream": True})

    assert events(native)[-1]["error_type"] == "generation"
    assert b'data:{"error":{"message":"Request failed","http_status_code":422}}' in chat.body
    assert chat.body.endswith(b"data: [DONE]\n\n")
