"""Gemini, read by hand: versions, roles, parts, thoughts, signatures, blocks, waits, vectors, models."""

import json
from typing import Any

import pytest

from asyncapi.emulator import POISON, Emulator, answer_text, question_digest

from .wire import Got, Wire

KEY = {"x-goog-api-key": "AIza-test"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"functionDeclarations": [{"name": "get_weather", "parametersJsonSchema": SCHEMA}]}]
MODEL = "gemini-3.5-flash"


def contents(text: str = "Hello") -> list[dict[str, Any]]:
    """A conversation of one turn."""
    return [{"role": "user", "parts": [{"text": text}]}]


async def ask(
    wire: Wire, verb: str = "generateContent", model: str = MODEL, version: str = "v1", **body: Any
) -> Got:
    """Ask a model of Gemini; a fine conversation unless given."""
    if verb in ("generateContent", "streamGenerateContent", "streamGenerateContent?alt=sse"):
        body.setdefault("contents", contents())
    return await wire.post(f"/gemini/{version}/models/{model}:{verb}", body, KEY)


def texts(values: list[Any], thought: bool = False) -> str:
    """The text of all chunks, or their thoughts."""
    parts = [part for value in values for part in value["candidates"][0]["content"]["parts"]]
    return "".join(part["text"] for part in parts if "text" in part and part.get("thought", False) is thought)


@pytest.mark.parametrize("version", ["v1", "v1beta"])
async def test_both_versions_answer(wire: Wire, version: str) -> None:
    """One candidate, its finish, the counts."""
    got = await ask(wire, version=version)

    candidate = got.json["candidates"][0]
    usage = got.json["usageMetadata"]
    assert candidate["content"] == {"role": "model", "parts": [{"text": answer_text(0, MODEL, "Hello")}]}
    assert candidate["finishReason"] == "STOP"
    assert usage["totalTokenCount"] == usage["promptTokenCount"] + usage["candidatesTokenCount"]
    assert got.json["modelVersion"] == MODEL


async def test_thoughts_stand_beside_the_candidates_tokens(wire: Wire) -> None:
    """They are shown when wanted, and counted apart."""
    level = {"thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True}}
    shown = await ask(wire, generationConfig=level)
    hidden = await ask(wire, generationConfig={"thinkingConfig": {"thinkingBudget": -1}})

    usage = shown.json["usageMetadata"]
    assert shown.json["candidates"][0]["content"]["parts"][0]["thought"] is True
    assert usage["thoughtsTokenCount"] == 16
    total = usage["promptTokenCount"] + usage["candidatesTokenCount"] + 16
    assert usage["totalTokenCount"] == total
    assert len(hidden.json["candidates"][0]["content"]["parts"]) == 1
    assert hidden.json["usageMetadata"]["thoughtsTokenCount"] == 16


async def test_thoughts_can_eat_the_whole_cap(wire: Wire) -> None:
    """The content then has no parts at all."""
    config = {"maxOutputTokens": 4, "thinkingConfig": {"thinkingBudget": 32}}
    got = await ask(wire, generationConfig=config)
    streamed = await ask(wire, "streamGenerateContent?alt=sse", generationConfig=config)

    assert got.json["candidates"][0]["content"] == {"role": "model"}
    assert got.json["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert streamed.events[-1]["candidates"][0]["finishReason"] == "MAX_TOKENS"


async def test_a_stream_is_events_or_one_array(wire: Wire) -> None:
    """The same chunks both ways; usage grows; the last one finishes; no [DONE]."""
    config = {"thinkingConfig": {"includeThoughts": True}}
    events = await ask(wire, "streamGenerateContent?alt=sse", generationConfig=config)
    array = await ask(wire, "streamGenerateContent", generationConfig=config)

    assert events.headers["content-type"] == "text/event-stream"
    assert b"\r\n\r\n" in events.body
    assert texts(events.events) == texts(array.json) == answer_text(0, MODEL, "Hello")
    assert texts(events.events, thought=True).startswith("Hmm:")
    assert ["finishReason" in chunk["candidates"][0] for chunk in events.events].count(True) == 1
    totals = [chunk["usageMetadata"]["totalTokenCount"] for chunk in events.events]
    assert totals == sorted(totals)


async def test_several_candidates_take_their_places(wire: Wire) -> None:
    """Each has its index and its finish."""
    got = await ask(wire, generationConfig={"candidateCount": 2})
    streamed = await ask(wire, "streamGenerateContent?alt=sse", generationConfig={"candidateCount": 2})

    assert [candidate["index"] for candidate in got.json["candidates"]] == [0, 1]
    closing = [chunk["candidates"][0] for chunk in streamed.events[-2:]]
    assert [(candidate["index"], candidate["finishReason"]) for candidate in closing] == [
        (0, "STOP"),
        (1, "STOP"),
    ]


async def test_a_call_is_signed_and_its_answer_accepted(wire: Wire) -> None:
    """STOP is its finish; the part goes back unchanged, with an object as the response."""
    asked = contents("Use the tool")
    got = await ask(wire, contents=asked, tools=TOOLS)
    said = got.json["candidates"][0]["content"]
    call = said["parts"][0]["functionCall"]
    answer = {"functionResponse": {"name": call["name"], "response": {"output": "cold"}}}
    turns = [*asked, said, {"role": "user", "parts": [answer]}]
    second = await ask(wire, contents=turns, tools=TOOLS)

    assert got.json["candidates"][0]["finishReason"] == "STOP"
    assert call["args"] == {"city": question_digest("Use the tool")}
    assert said["parts"][0]["thoughtSignature"]
    assert "text" in second.json["candidates"][0]["content"]["parts"][0]


async def test_calls_can_be_forced_named_and_several(wire: Wire) -> None:
    """ANY with names, NONE, two at once; snake_case and upper-case types are read too."""
    other = {"name": "other", "parameters": {"type": "OBJECT", "properties": {"n": {"type": "INTEGER"}}}}
    tools = [{"function_declarations": [*TOOLS[0]["functionDeclarations"], other]}]
    forced = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["other"]}}
    named = await ask(wire, tools=tools, toolConfig=forced)
    none = await ask(
        wire,
        contents=contents("tool"),
        tools=tools,
        tool_config={"function_calling_config": {"mode": "NONE"}},
    )
    both = await ask(wire, "streamGenerateContent?alt=sse", contents=contents("tools"), tools=tools)

    assert named.json["candidates"][0]["content"]["parts"][0]["functionCall"]["args"] == {"n": 1}
    assert "text" in none.json["candidates"][0]["content"]["parts"][0]
    calls = [chunk["candidates"][0]["content"]["parts"][0]["functionCall"]["name"] for chunk in both.events]
    assert calls == ["get_weather", "other"]


@pytest.mark.parametrize("verb", ["generateContent", "streamGenerateContent?alt=sse"])
async def test_an_unsafe_prompt_is_blocked_with_200(wire: Wire, verb: str) -> None:
    """No candidate, but a reason."""
    got = await ask(wire, verb, contents=contents("<unsafe> please"))

    value = got.events[0] if "sse" in verb else got.json
    assert got.status == 200
    assert value["promptFeedback"]["blockReason"] == "SAFETY"
    assert "candidates" not in value


async def test_json_answers_satisfy_their_schema(wire: Wire) -> None:
    """By JSON Schema, by the upper-case one, and by the type alone."""
    upper = {"type": "OBJECT", "properties": {"tags": {"type": "ARRAY", "items": {"type": "STRING"}}}}
    by_schema = await ask(
        wire, generationConfig={"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}
    )
    by_upper = await ask(
        wire, generationConfig={"response_mime_type": "application/json", "response_schema": upper}
    )
    by_type = await ask(wire, generationConfig={"responseMimeType": "application/json"})

    values = [json.loads(texts([got.json])) for got in (by_schema, by_upper, by_type)]
    assert [list(value) for value in values] == [["city"], ["tags"], ["answer"]]


async def test_tokens_are_counted(wire: Wire) -> None:
    """Of contents, of a whole request, and of media."""
    media = [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "YWJj"}}, {"text": "What?"}]}]
    plain = await ask(wire, "countTokens", contents=contents("four"))
    whole = await ask(
        wire,
        "countTokens",
        generateContentRequest={
            "contents": contents("four"),
            "systemInstruction": {"parts": [{"text": "Brief"}]},
        },
    )
    image = await ask(wire, "countTokens", contents=media)

    assert [got.json["totalTokens"] for got in (plain, whole, image)] == [2, 5, 261]


async def test_vectors_come_one_or_many(wire: Wire) -> None:
    """In request order, of the length asked for, the same in both ways."""
    one = await ask(wire, "embedContent", "m", content={"parts": [{"text": "a"}]}, outputDimensionality=8)
    request = {"model": "models/m", "content": {"parts": [{"text": "a"}]}, "outputDimensionality": 8}
    other = {"model": "models/m", "content": {"parts": [{"text": "b"}, {"text": "c"}]}}
    many = await ask(wire, "batchEmbedContents", "m", requests=[request, other])

    vectors = [item["values"] for item in many.json["embeddings"]]
    assert vectors[0] == one.json["embedding"]["values"]
    assert [len(values) for values in vectors] == [8, 64]


async def test_models_are_listed_in_pages(wire: Wire) -> None:
    """With their prefix; one by name; unknown ones are not found."""
    first = await wire.get("/gemini/v1beta/models?pageSize=2", KEY)
    rest = await wire.get(f"/gemini/v1beta/models?pageToken={first.json['nextPageToken']}", KEY)
    one = await wire.get("/gemini/v1/models/gemini-3.5-pro", KEY)
    lost = await wire.get("/gemini/v1/models/missing", KEY)

    assert len(first.json["models"]) == 2
    assert "nextPageToken" not in rest.json
    assert one.json["name"] == "models/gemini-3.5-pro"
    assert (lost.status, lost.json["error"]["status"]) == (404, "NOT_FOUND")
    assert "API version v1" in lost.json["error"]["message"]


async def test_keys_are_checked_and_those_in_urls_counted(emulator: Emulator, wire: Wire) -> None:
    """No key 403, a revoked one 400 with a reason; a key in the URL works and is noted."""
    path = f"/gemini/v1/models/{MODEL}:generateContent"
    none = await wire.post(path, {"contents": contents()}, {})
    in_url = await wire.post(path + "?key=leaked", {"contents": contents()}, {})
    emulator.revoke("AIza-test")
    bad = await ask(wire)

    assert (none.status, none.json["error"]["status"]) == (403, "PERMISSION_DENIED")
    assert in_url.status == 200
    assert emulator.keys_in_url == 1
    assert emulator.stats()["keys_in_url"] == 1
    assert (bad.status, bad.json["error"]["details"][0]["reason"]) == (400, "API_KEY_INVALID")


async def test_waits_are_told_in_the_body(emulator: Emulator, wire: Wire) -> None:
    """RetryInfo and QuotaFailure; a day's quota says PerDay; nothing in headers; no wait, no RetryInfo."""
    emulator.script(["429_float", "429_seconds", "429_bare", "quota"])
    replies = [await ask(wire) for _ in range(4)]

    def details(got: Got) -> dict[str, Any]:
        return {detail["@type"].rpartition(".")[2]: detail for detail in got.json["error"]["details"]}

    assert [got.status for got in replies] == [429] * 4
    assert all("retry-after" not in got.headers for got in replies)
    waits = [details(got).get("RetryInfo", {}).get("retryDelay") for got in replies]
    assert waits == ["0.3s", "1s", None, "41.5s"]
    assert "Please retry in 0.3s." in replies[0].json["error"]["message"]
    quotas = [details(got)["QuotaFailure"]["violations"][0]["quotaId"] for got in replies]
    assert ["PerDay" in quota for quota in quotas] == [False, False, False, True]
    assert emulator.records[0].retry_after_until is not None


async def test_refusals_of_a_plain_stream_are_arrays(emulator: Emulator, wire: Wire) -> None:
    """And errors in its middle close the array."""
    emulator.script(["503", "stream_error", "stream_error"])
    refused = await ask(wire, "streamGenerateContent")
    broken = await ask(wire, "streamGenerateContent")
    events = await ask(wire, "streamGenerateContent?alt=sse")

    assert refused.json[0]["error"]["status"] == "UNAVAILABLE"
    assert broken.json[-1]["error"]["code"] == 503
    assert events.events[-1]["error"]["status"] == "UNAVAILABLE"
    assert all("finishReason" not in chunk.get("candidates", [{}])[0] for chunk in events.events)


async def test_spending_is_a_failed_precondition(emulator: Emulator, wire: Wire) -> None:
    """Billing is no rate."""
    emulator.exhaust("AIza-test", spend_limit=True)
    got = await ask(wire)

    assert (got.status, got.json["error"]["status"]) == (400, "FAILED_PRECONDITION")


CALL = {"functionCall": {"name": "f", "args": {}}}
RESULT = {"functionResponse": {"name": "f", "response": {}}}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"contents": []}, "not specified"),
        ({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}, "valid role"),
        ({"contents": [{"role": "user", "parts": []}]}, "must not be empty"),
        ({"contents": [{"parts": [{"text": "x", "functionCall": {"name": "f"}}]}]}, "oneof field"),
        ({"contents": [{"parts": [{"inlineData": {"data": "YWJj"}}]}]}, "mimeType"),
        (
            {"contents": [{"parts": [{"inlineData": {"mimeType": "a/b", "data": "data:x"}}]}]},
            "Base64 decoding failed",
        ),
        (
            {"contents": [{"parts": [{"functionResponse": {"name": "f", "response": "cold"}}]}]},
            "protobuf.Struct",
        ),
        ({"contents": [*contents(), {"role": "user", "parts": [RESULT]}]}, "number of function response"),
        ({"contents": [{"role": "model", "parts": [CALL]}]}, "missing a thought_signature"),
        (
            {"contents": [{"role": "model", "parts": [{**CALL, "thoughtSignature": "eA=="}]}]},
            "Corrupted thought signature",
        ),
        ({"temperature": 1}, 'Unknown name "temperature"'),
        ({"generationConfig": {"max_tokens": 1}}, "at 'generation_config'"),
        ({"generationConfig": {"maxOutputTokens": 0}}, "max_output_tokens"),
        ({"generationConfig": {"stopSequences": ["a"] * 6}}, "stop_sequences"),
        ({"generationConfig": {"candidateCount": 9}}, "candidate_count"),
        ({"generationConfig": {"responseSchema": {"type": "OBJECT"}}}, "response_mime_type"),
        (
            {"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW", "thinkingBudget": 1}}},
            "only set only one",
        ),
        ({"toolConfig": {"functionCallingConfig": {"mode": "auto"}}}, "mode"),
        (
            {
                "tools": [
                    {"functionDeclarations": [{"name": "f", "parameters": {}, "parametersJsonSchema": {}}]}
                ]
            },
            "Only one of parameters",
        ),
        ({"tools": [{"functionDeclarations": [{}]}]}, "name: is required"),
    ],
)
async def test_wrong_requests_are_refused(wire: Wire, body: dict[str, Any], words: str) -> None:
    """INVALID_ARGUMENT, with the field at fault."""
    got = await ask(wire, **body)

    assert (got.status, got.json["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert words in got.json["error"]["message"]


async def test_older_models_need_no_signature(wire: Wire) -> None:
    """And a single content needs no list."""
    turns = [*contents(), {"role": "model", "parts": [CALL, CALL]}, {"parts": [RESULT, RESULT]}]
    old = await ask(wire, model="gemini-2.5-flash", contents=turns)
    single = await ask(wire, contents={"parts": [{"text": "Hi"}]})

    assert (old.status, single.status) == (200, 200)


@pytest.mark.parametrize(
    ("requests", "words"),
    [
        ([], "not specified"),
        ([{"model": "models/m", "content": {"parts": [{"text": "x"}]}}] * 101, "at most 100"),
        ([{"model": "m", "content": {"parts": [{"text": "x"}]}}], "model name format"),
        ([{"model": "models/m", "content": {}}], "content is empty"),
        ([{"model": "models/m", "content": {"parts": [{"text": POISON}]}}], "cannot be processed"),
    ],
)
async def test_wrong_embedding_batches_are_refused(wire: Wire, requests: list[Any], words: str) -> None:
    """The whole of them."""
    got = await ask(wire, "batchEmbedContents", "m", requests=requests)

    assert got.status == 400
    assert words in got.json["error"]["message"]


async def test_unknown_verbs_and_models_are_not_found(emulator: Emulator, wire: Wire) -> None:
    """404 both; the record knows the model and the question."""
    verb = await ask(wire, "predict")
    model = await ask(wire, model="missing")
    await ask(wire, "batchEmbedContents", "m", requests=[{"content": {"parts": [{"text": "a"}]}}])

    assert (verb.status, model.status) == (404, 404)
    assert emulator.records[1].model == "missing"
    assert emulator.records[1].question == question_digest("Hello")
    assert emulator.records[2].question == question_digest("a")
