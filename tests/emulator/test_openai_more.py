"""OpenAI's Responses, moderation, pictures, sounds and legacy completions, read by hand."""

import base64
import io
import json
import wave
from typing import Any

import pytest

from asyncapi.emulator import Emulator, answer_text, question_digest

from .wire import Got, Wire

RESPONSES = "/openai/v1/responses"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": True}


async def respond(wire: Wire, said: Any = "Hello", **fields: Any) -> Got:
    """Ask for a response."""
    return await wire.post(RESPONSES, {"model": "m", "input": said, **fields})


async def test_a_response_has_items_and_usage(wire: Wire) -> None:
    """Text under output_text; the counts add up."""
    got = await respond(wire)

    message = got.json["output"][0]
    usage = got.json["usage"]
    assert got.json["status"] == "completed"
    assert message["content"][0]["text"] == answer_text(0, "m", "Hello")
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


async def test_reasoning_is_an_item_of_its_own(wire: Wire) -> None:
    """Its summary when wanted, its sealed content when included."""
    reasoning = {"effort": "low", "summary": "auto"}
    shown = await respond(wire, reasoning=reasoning, include=["reasoning.encrypted_content"])
    hidden = await respond(wire, reasoning={"effort": "low"})

    assert shown.json["output"][0]["summary"][0]["text"].startswith("Hmm:")
    assert shown.json["output"][0]["encrypted_content"]
    assert hidden.json["output"][0]["summary"] == []
    assert hidden.json["usage"]["output_tokens_details"]["reasoning_tokens"] == 16


async def test_a_cap_makes_it_incomplete(wire: Wire) -> None:
    """With the reason, whole and streamed."""
    got = await respond(wire, max_output_tokens=2)
    streamed = await respond(wire, max_output_tokens=2, stream=True)

    assert got.json["status"] == "incomplete"
    assert got.json["incomplete_details"] == {"reason": "max_output_tokens"}
    assert streamed.names[-1] == "response.incomplete"


async def test_the_stream_has_named_and_numbered_events(wire: Wire) -> None:
    """In the order of the grammar, the deltas make the text, and there is no [DONE]."""
    got = await respond(wire, stream=True, reasoning={"effort": "low", "summary": "auto"})

    events = got.events
    assert got.names == [event["type"] for event in events]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert got.names[:2] == ["response.created", "response.in_progress"]
    assert got.names[-2:] == ["response.output_item.done", "response.completed"]
    text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    assert text == answer_text(0, "m", "Hello")
    assert "response.reasoning_summary_text.delta" in got.names
    assert events[0]["response"]["usage"] is None
    assert events[-1]["response"]["usage"]["output_tokens"] > 16


async def test_calls_are_answered_by_a_conversation_that_is_kept(wire: Wire) -> None:
    """The output goes back with the id of the response, or with all its items."""
    first = await respond(wire, "Use the tool", tools=[TOOL])
    call = first.json["output"][0]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "cold"}
    continued = await respond(wire, [output], tools=[TOOL], previous_response_id=first.json["id"])
    user = {"role": "user", "content": "Use the tool"}
    repeated = await respond(wire, [user, call, output], tools=[TOOL])
    open_call = await respond(wire, [user, call], tools=[TOOL])
    strange = await respond(wire, [user, output], tools=[TOOL])

    assert json.loads(call["arguments"]) == {"city": question_digest("Use the tool")}
    assert continued.json["output"][0]["type"] == repeated.json["output"][0]["type"] == "message"
    assert continued.json["previous_response_id"] == first.json["id"]
    assert (open_call.status, strange.status) == (400, 400)


async def test_calls_stream_their_arguments(wire: Wire) -> None:
    """Name and call id in the item, arguments in deltas; a choice forces one, none forbids all."""
    both = await respond(
        wire, "tools", tools=[TOOL, {**TOOL, "name": "other"}, {"type": "web_search"}], stream=True
    )
    forced = await respond(wire, tools=[TOOL], tool_choice={"type": "function", "name": "get_weather"})
    none = await respond(wire, "tool", tools=[TOOL], tool_choice="none")

    deltas = [event["delta"] for event in both.events if event["type"].endswith("arguments.delta")]
    done = [event for event in both.events if event["type"].endswith("arguments.done")]
    assert "".join(deltas) == "".join(event["arguments"] for event in done)
    assert len(done) == 2
    assert forced.json["output"][0]["name"] == "get_weather"
    assert none.json["output"][0]["type"] == "message"


async def test_answers_satisfy_their_schema(wire: Wire) -> None:
    """Flat, under text.format."""
    named = {"type": "json_schema", "name": "place", "schema": SCHEMA}
    by_schema = await respond(wire, text={"format": named})
    by_type = await respond(wire, text={"format": {"type": "json_object"}})

    values = [json.loads(got.json["output"][0]["content"][0]["text"]) for got in (by_schema, by_type)]
    assert [list(value) for value in values] == [["city"], ["answer"]]


async def test_responses_are_kept_read_and_forgotten(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """But not when the caller says so, and not for ever."""
    monkeypatch.setattr("asyncapi.emulator.dialects.openai_responses.MOST_KEPT", 2)
    first = (await respond(wire)).json["id"]
    second = (await respond(wire)).json["id"]
    third = (await respond(wire)).json["id"]
    unkept = (await respond(wire, store=False)).json["id"]
    read = await wire.get(f"{RESPONSES}/{third}")
    items = await wire.get(f"{RESPONSES}/{third}/input_items")
    async with wire.session.delete(
        f"{wire.url}{RESPONSES}/{second}", headers={"authorization": "Bearer k"}
    ) as gone:
        deleted = gone.status
    lost = [(await wire.get(f"{RESPONSES}/{name}")).status for name in (first, second, unkept)]

    assert read.json["id"] == third
    assert len(items.json["data"]) == 1
    assert deleted == 200
    assert lost == [404, 404, 404]


async def test_input_tokens_are_counted(wire: Wire) -> None:
    """Without an answer."""
    got = await wire.post(
        f"{RESPONSES}/input_tokens", {"model": "m", "input": "four", "instructions": "Brief"}
    )

    assert got.json == {"object": "response.input_tokens", "input_tokens": 7}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"input": ""}, "'input'"),
        ({"model": ""}, "model"),
        ({"input": [{"role": "tool", "content": "x"}]}, "Invalid value: 'tool'"),
        ({"input": [{"type": "thought"}]}, "Invalid value: 'thought'"),
        ({"previous_response_id": "resp_x"}, "not found"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
    ],
)
async def test_wrong_responses_are_refused(wire: Wire, fields: dict[str, Any], words: str) -> None:
    """400 in the envelope."""
    got = await wire.post(RESPONSES, {"model": "m", "input": "x", **fields})

    assert got.status == 400
    assert words in got.json["error"]["message"]


async def test_a_response_can_fail_in_its_middle(emulator: Emulator, wire: Wire) -> None:
    """An event named error is the last."""
    emulator.script(["stream_error"])
    got = await respond(wire, stream=True)

    assert got.names[-1] == "error"
    assert got.events[-1]["code"] == "server_error"


async def test_completions_stream_their_usage(wire: Wire) -> None:
    """As chat does, when asked; a list of prompts is a batch."""
    body = {"model": "m", "prompt": ["a", "b"], "n": 2, "stream": True, "max_tokens": 5}
    plain = await wire.post("/openai/v1/completions", body)
    counted = await wire.post("/openai/v1/completions", {**body, "stream_options": {"include_usage": True}})

    assert {event["choices"][0]["index"] for event in plain.events[:-1]} == {0, 1, 2, 3}
    assert counted.events[-2]["choices"] == []
    assert counted.events[-2]["usage"]["completion_tokens"] == 20


async def test_moderation_judges_each_text(wire: Wire) -> None:
    """But a list of parts is one."""
    many = await wire.post("/openai/v1/moderations", {"input": ["fine", "<unsafe>"]})
    parts = [{"type": "text", "text": "<unsafe>"}, {"type": "image_url", "image_url": {"url": "https://x"}}]
    one = await wire.post("/openai/v1/moderations", {"input": parts, "model": "m"})
    single = await wire.post("/openai/v1/moderations", {"input": "fine"})
    wrong = await wire.post("/openai/v1/moderations", {"input": []})

    assert [result["flagged"] for result in many.json["results"]] == [False, True]
    assert many.json["results"][1]["categories"]["violence"] is True
    assert [result["flagged"] for result in one.json["results"]] == [True]
    assert len(single.json["results"]) == 1
    assert wrong.status == 400


async def test_pictures_are_png(wire: Wire) -> None:
    """n of them, all different, the same each time; a stream ends with the completed one."""
    path = "/openai/v1/images/generations"
    two = await wire.post(path, {"model": "gpt-image-1", "prompt": "a cat", "n": 2})
    again = await wire.post(path, {"prompt": "a cat"})
    stream = await wire.post(path, {"prompt": "a cat", "stream": True, "partial_images": 2})

    pictures = [base64.b64decode(item["b64_json"]) for item in two.json["data"]]
    assert all(picture.startswith(b"\x89PNG\r\n") and b"IEND" in picture for picture in pictures)
    assert pictures[0] != pictures[1]
    assert again.json["data"][0] == two.json["data"][0]
    assert two.json["usage"]["total_tokens"] == 2 + 2 * 272
    assert stream.names == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert stream.events[-1]["b64_json"] == again.json["data"][0]["b64_json"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [({}, "prompt"), ({"prompt": "<unsafe>"}, "safety"), ({"prompt": "x", "n": 11}, "'n'")],
)
async def test_wrong_pictures_are_refused(wire: Wire, fields: dict[str, Any], words: str) -> None:
    """400, with a code for what is unsafe."""
    got = await wire.post("/openai/v1/images/generations", fields)

    assert got.status == 400
    assert words in got.json["error"]["message"]


async def speak(wire: Wire, **fields: Any) -> Got:
    """Have a text read."""
    return await wire.post(
        "/openai/v1/audio/speech", {"model": "m", "input": "Hello", "voice": "alloy", **fields}
    )


async def test_speech_is_sound(wire: Wire) -> None:
    """A wave file that opens, other forms with their first bytes, or events."""
    wav = await speak(wire, response_format="wav", input="x" * 400)
    starts = {
        form: (await speak(wire, response_format=form)).body[:4] for form in ("mp3", "flac", "opus", "mulaw")
    }
    pcm = await speak(wire, response_format="pcm")
    events = await speak(wire, response_format="pcm", stream_format="sse")

    with wave.open(io.BytesIO(wav.body)) as file:
        assert file.getnframes() / file.getframerate() == 2.0
    assert wav.headers["content-type"] == "audio/wav"
    assert (starts["mp3"][:2], starts["flac"], starts["opus"]) == (b"\xff\xfb", b"fLaC", b"OggS")
    audio = b"".join(base64.b64decode(event["audio"]) for event in events.events[:-1])
    assert audio == pcm.body
    assert events.events[-1]["usage"]["output_tokens"] == 2


@pytest.mark.parametrize(
    "fields",
    [{"input": ""}, {"input": "x" * 5000}, {"voice": None}, {"response_format": "midi"}, {"model": ""}],
)
async def test_wrong_speech_is_refused(wire: Wire, fields: dict[str, Any]) -> None:
    """400 in the envelope."""
    assert (await speak(wire, **fields)).status == 400


async def write_down(wire: Wire, path: str = "transcriptions", **fields: Any) -> Got:
    """Have a file written down."""
    fields.setdefault("file", ("a.wav", b"sound"))
    fields.setdefault("model", "whisper-1")
    return await wire.form(f"/openai/v1/audio/{path}", **fields)


async def test_transcripts_come_in_five_forms(emulator: Emulator, wire: Wire) -> None:
    """JSON, more JSON, and three texts; the record knows model and file."""
    short = await write_down(wire)
    verbose = await write_down(
        wire, response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    words = await write_down(wire, response_format="verbose_json", timestamp_granularities=["word"])
    texts = {form: (await write_down(wire, response_format=form)) for form in ("text", "srt", "vtt")}

    text = short.json["text"]
    assert short.json["usage"]["type"] == "duration"
    assert " ".join(segment["text"] for segment in verbose.json["segments"]) == text
    assert " ".join(word["word"] for word in words.json["words"]) == text
    assert "segments" not in words.json
    assert texts["text"].body.decode() == text + "\n"
    assert texts["text"].headers["content-type"].startswith("text/plain")
    assert texts["srt"].body.startswith(b"1\n00:00:00,000 --> 00:00:0")
    assert texts["vtt"].body.startswith(b"WEBVTT\n\n00:00:00.000 --> ")
    assert emulator.records[0].model == "whisper-1"
    assert f"[{emulator.records[0].question}]" in text


async def test_newer_models_stream_and_count_tokens(wire: Wire) -> None:
    """Deltas make the text; a translation is its like; a wave file tells its length."""
    spoken = await speak(wire, response_format="wav", input="x" * 400)
    file = ("a.wav", spoken.body)
    plain = await write_down(wire, file=file, model="gpt-4o-transcribe")
    stream = await write_down(wire, file=file, model="gpt-4o-transcribe", stream="true")
    english = await write_down(wire, "translations", file=file, response_format="verbose_json")

    deltas = "".join(event["delta"] for event in stream.events[:-1])
    assert deltas == stream.events[-1]["text"] == plain.json["text"]
    assert plain.json["usage"]["input_tokens"] == 20
    assert (english.json["task"], english.json["duration"]) == ("translate", 2.0)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"file": "no file"}, 400),
        ({"file": ("a.txt", b"x")}, 400),
        ({"file": ("a.wav", b"")}, 400),
        ({"response_format": "doc"}, 400),
        ({"model": "missing"}, 404),
    ],
)
async def test_wrong_files_are_refused(wire: Wire, fields: dict[str, Any], status: int) -> None:
    """Kinds, sizes, forms."""
    assert (await write_down(wire, **fields)).status == status


async def test_a_file_can_be_too_large(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused as such."""
    monkeypatch.setattr("asyncapi.emulator.dialects.openai_media.MOST_UPLOAD", 4)

    assert (await write_down(wire)).status == 413


async def test_only_background_responses_are_cancelled(wire: Wire) -> None:
    """One that is done stays as it is; a synchronous one can't be."""
    background = await wire.post(RESPONSES, {"model": "m", "input": "Hello", "background": True})
    plain = await wire.post(RESPONSES, {"model": "m", "input": "Hello"})
    done = await wire.post(f"{RESPONSES}/{background.json['id']}/cancel", {})
    refused = await wire.post(f"{RESPONSES}/{plain.json['id']}/cancel", {})
    lost = await wire.post(f"{RESPONSES}/{plain.json['id']}/nowhere", {})

    assert done.json == background.json
    assert (refused.status, lost.status) == (400, 404)
