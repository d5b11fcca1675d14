"""OPEA's gateways, guards, retrieval and audio, read by hand."""

import ast
from typing import Any

import pytest

from asyncapi.emulator import Emulator, answer_text, question_digest

from .wire import Got, Wire

MODEL = "meta-llama/Meta-Llama-3-8B-Instruct"
GATEWAYS = ["chatqna", "codegen", "codetrans", "docsum", "faqgen", "translation", "searchqna"]


def literals(got: Got) -> str:
    """The text of a stream of bytes literals."""
    lines = [line[6:] for line in got.body.decode().splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return b"".join(ast.literal_eval(line) for line in lines[:-1]).decode()


@pytest.mark.parametrize("service", GATEWAYS)
async def test_gateways_stream_bytes_literals_by_default(wire: Wire, service: str) -> None:
    """Asked by a text or by messages; JSON only when the stream is switched off, with zeros for usage."""
    stream = await wire.post(f"/opea/v1/{service}", {"messages": "Hello"})
    body = {"messages": [{"role": "user", "content": "Hello"}], "stream": False}
    whole = await wire.post(f"/opea/v1/{service}", body)

    assert literals(stream) == answer_text(0, MODEL, "Hello")
    assert whole.json["model"] == service
    assert whole.json["choices"][0]["message"]["content"] == literals(stream)
    assert set(whole.json["usage"].values()) == {0}


async def test_gateways_take_other_names_and_forms(emulator: Emulator, wire: Wire) -> None:
    """A form field is a text; the question is in the record."""
    boundary = b"--b\r\nContent-Disposition: form-data; name="
    raw = boundary + b'"messages"\r\n\r\nHello\r\n' + boundary + b'"stream"\r\n\r\nfalse\r\n--b--\r\n'
    form = await wire.post(
        "/opea/v1/docsum", raw=raw, headers={"content-type": "multipart/form-data; boundary=b"}
    )
    broken = await wire.post(
        "/opea/v1/docsum", raw=raw[:-9], headers={"content-type": "multipart/form-data; boundary=b"}
    )
    nameless = await wire.post("/opea/v1/docsum", raw=raw, headers={"content-type": "multipart/form-data"})
    empty = await wire.post("/opea/v1/docsum", {"type": "text"})

    assert form.json["choices"][0]["message"]["content"] == answer_text(0, MODEL, "Hello")
    assert emulator.records[0].question == question_digest("Hello")
    assert (broken.status, nameless.status, empty.status) == (422, 422, 422)


async def test_a_failing_gateway_is_an_empty_stream(emulator: Emulator, wire: Wire) -> None:
    """All that is said is [DONE]."""
    emulator.script(["stream_error"])
    got = await wire.post("/opea/v1/chatqna", {"messages": "Hello"})

    assert (got.status, got.body) == (200, b"data: [DONE]\n\n")


async def test_a_query_alone_is_a_stream(wire: Wire) -> None:
    """The schema of the text generation service has its own default."""
    stream = await wire.post("/opea/v1/chat/completions", {"query": "Hello", "model": "m"})
    whole = await wire.post("/opea/v1/chat/completions", {"query": "Hello", "model": "m", "stream": False})

    assert stream.events[-1] == "[DONE]"
    assert whole.json["choices"][0]["message"]["content"] == answer_text(0, "m", "Hello")


async def test_guards_block_in_two_ways(wire: Wire) -> None:
    """A black list with 200, or a status of its own; a gateway has the second kind."""
    fine = await wire.post("/opea/v1/guardrails", {"text": "Hello"})
    listed = await wire.post("/opea/v1/guardrails", {"text": "<unsafe>"})
    statuses = [
        (await wire.post(path, body)).status
        for path, body in [
            ("/opea/v1/guardrails", {"text": "<unsafe:466>"}),
            ("/opea/v1/injection", {"text": "<unsafe>"}),
            ("/opea/v1/chatqna", {"messages": "<unsafe:466>"}),
            ("/opea/v1/toxicity", {"text": "fine"}),
            ("/opea/v1/toxicity", {}),
        ]
    ]

    assert fine.json == {"text": "Hello", "downstream_black_list": []}
    assert listed.json["downstream_black_list"] == [".*"]
    assert listed.json["text"].startswith("Violated policies")
    assert statuses == [466, 466, 466, 200, 422]


async def test_retrieval_finds_k_documents(wire: Wire) -> None:
    """By a vector, or with a text that comes back."""
    plain = await wire.post("/opea/v1/retrieval", {"input": "sea", "embedding": [0.1], "k": 2})
    vector = await wire.post("/opea/v1/retrieval", {"embedding": [0.1]})
    text = await wire.post("/opea/v1/retrieval", {"text": "sea", "embedding": [0.1]})
    none = await wire.post("/opea/v1/retrieval", {})

    assert [list(doc) for doc in plain.json["retrieved_docs"]] == [["text", "metadata"]] * 2
    assert len(vector.json["retrieved_docs"]) == 4
    assert text.json["initial_query"] == "sea"
    assert none.status == 422


async def test_audio_goes_both_ways(wire: Wire) -> None:
    """Speech is bytes, and a file of them is understood."""
    spoken = await wire.post("/opea/v1/audio/speech", {"input": "Hello", "response_format": "wav"})
    raw = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    form: dict[str, Any] = {"headers": {"content-type": "multipart/form-data; boundary=b"}}
    heard = await wire.post("/opea/v1/audio/transcriptions", raw=raw + spoken.body + b"\r\n--b--\r\n", **form)
    refused = [
        (await wire.post(path, {})).status
        for path in ("/opea/v1/audio/transcriptions", "/opea/v1/audio/speech")
    ]
    form_unknown = await wire.post("/opea/v1/audio/speech", {"input": "a", "response_format": "midi"})

    assert spoken.headers["content-type"] == "audio/wav"
    assert spoken.body.startswith(b"RIFF")
    assert heard.json["text"].startswith("[")
    assert (refused, form_unknown.status) == ([422, 422], 422)


async def test_services_tell_of_themselves(wire: Wire) -> None:
    """Health, statistics, parts."""
    health = await wire.get("/opea/health")
    statistics = await wire.get("/opea/v1/statistics")
    parts = await wire.get("/opea/v1/list_service")

    assert (health.status, health.body) == (200, b"")
    assert statistics.json["opea_service@llm"]["p50_latency_first_token"] is None
    assert "opea_service@llm" in parts.json


@pytest.mark.parametrize(
    ("route", "body", "field"),
    [
        ("text2image", {"prompt": "A fjord"}, "images"),
        ("image2image", {"prompt": "A fjord", "image": "x", "num_images_per_prompt": 2}, "images"),
        ("image2video", {"images_path": [{"image_path": "a.png"}]}, "video_path"),
        ("lvm", {"prompt": "What is it?", "image": "x"}, "text"),
        ("animation", {"audio": "x"}, "wav2lip_result"),
        ("dataprep/delete", {"file_path": "all"}, "status"),
    ],
)
async def test_pictures_films_and_files(wire: Wire, route: str, body: Any, field: str) -> None:
    """Each says what it made, and refuses a body without what it needs."""
    good = await wire.post(f"/opea/v1/{route}", body)
    bad = await wire.post(f"/opea/v1/{route}", {"other": 1})

    assert good.json[field]
    assert bad.status == 422


async def test_pictures_are_counted(wire: Wire) -> None:
    """From one to ten."""
    got = await wire.post("/opea/v1/text2image", {"prompt": "A fjord", "num_images_per_prompt": 3})
    none = await wire.post("/opea/v1/text2image", {"prompt": "A fjord", "num_images_per_prompt": 0})

    assert len(set(got.json["images"])) == 3
    assert none.status == 422
