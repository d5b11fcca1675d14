"""The rest of Groq, vLLM, Ollama, TEI and OVMS, read by hand."""

import json
from typing import Any

import pytest

from asyncapi.emulator import POISON, Emulator, question_digest

from .wire import KEYS, Wire

USER = [{"role": "user", "content": "Hi"}]


async def test_groq_writes_down_files_and_addresses(emulator: Emulator, wire: Wire) -> None:
    """A file or a url; its own id instead of usage; texts stay texts."""
    path = "/groq/openai/v1/audio/transcriptions"
    by_file = await wire.form(path, file=("a.wav", b"x"), model="whisper-large-v3")
    by_url = await wire.form(path, url="https://example.com/a.mp3", model="whisper-large-v3")
    text = await wire.form(path, file=("a.wav", b"x"), model="m", response_format="text")
    english = await wire.form("/groq/openai/v1/audio/translations", file=("a.wav", b"x"), model="m")
    neither = await wire.form(path, model="whisper-large-v3")
    spoken = await wire.post("/groq/openai/v1/audio/speech", {"model": "m", "input": "Hi", "voice": "v"})

    assert "usage" not in by_file.json
    assert by_file.json["x_groq"]["id"].startswith("req_")
    assert question_digest("https://example.com/a.mp3") in by_url.json["text"]
    assert text.headers["content-type"].startswith("text/plain")
    assert english.json["text"]
    assert neither.status == 400
    assert spoken.headers["content-type"] == "audio/mpeg"


@pytest.mark.parametrize(
    "body",
    [
        {"queries": "sea", "documents": ["the sea", "a hill"]},
        {"queries": ["sea", "sea"], "items": ["the sea", "a hill"]},
        {"text_1": "sea", "text_2": ["the sea", {"text": "a hill"}]},
        {"data_1": ["sea"], "data_2": ["the sea", "a hill"]},
    ],
)
async def test_vllm_scores_by_many_names(wire: Wire, body: dict[str, Any]) -> None:
    """One against many or pair by pair, in order."""
    got = await wire.post("/vllm/score", body)

    scores = [item["score"] for item in got.json["data"]]
    assert len(scores) == 2
    assert scores[0] > scores[1]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/vllm/score", {}),
        ("/vllm/score", {"queries": ["a", "b"], "documents": ["c"]}),
        ("/vllm/v1/score", {"queries": POISON, "documents": ["c"]}),
        ("/vllm/classify", {"input": POISON}),
        ("/vllm/pooling", {"input": [POISON]}),
        ("/vllm/detokenize", {}),
    ],
)
async def test_vllm_refuses_what_it_cannot_pool(wire: Wire, path: str, body: dict[str, Any]) -> None:
    """400 in its envelope."""
    got = await wire.post(path, body)

    assert (got.status, got.json["error"]["code"]) == (400, 400)


async def test_vllm_classifies_pools_and_detokenizes(wire: Wire) -> None:
    """Labels with probabilities, raw vectors, texts of tokens."""
    labels = await wire.post("/vllm/classify", {"input": ["a positive word", "neutral"]})
    pooled = await wire.post("/vllm/pooling", {"input": "a", "dimensions": 8})
    text = await wire.post("/vllm/detokenize", {"tokens": [1, 2]})
    heard = await wire.form("/vllm/v1/audio/transcriptions", file=("a.wav", b"x"), model="m")

    assert [item["label"] for item in labels.json["data"]] == ["positive", "neutral"]
    assert sum(labels.json["data"][0]["probs"]) == pytest.approx(1)
    assert len(pooled.json["data"][0]["data"]) == 8
    assert text.json == {"prompt": "00010002"}
    assert heard.status == 200


async def test_vllm_tells_its_load(wire: Wire) -> None:
    """In a header where it is asked for, and at a place of its own."""
    path, body = "/vllm/v1/chat/completions", {"messages": USER}
    told = await wire.post(path, body, {**KEYS, "endpoint-load-metrics-format": "JSON"})
    text = await wire.post(path, body, {**KEYS, "endpoint-load-metrics-format": "TEXT"})
    stream = await wire.post(path, {**body, "stream": True}, {"endpoint-load-metrics-format": "JSON"})
    load = await wire.get("/vllm/load")
    version = await wire.get("/vllm/version")
    ping = await wire.get("/vllm/ping")

    form, _, value = told.headers["endpoint-load-metrics"].partition(" ")
    assert form == "JSON"
    assert "num_requests_waiting" in json.loads(value)["named_metrics"]
    assert text.headers["endpoint-load-metrics"].startswith("TEXT named_metrics.kv_cache_usage_perc=0.4")
    assert "endpoint-load-metrics" not in stream.headers
    assert isinstance(load.json["server_load"], int)
    assert version.json["version"]
    assert ping.status == 200


async def test_ollama_pulls_in_lines(emulator: Emulator, wire: Wire) -> None:
    """Progress to success; an error ends it; one body without a stream."""
    emulator.script([None, "stream_error"])
    good = await wire.post("/ollama/api/pull", {"model": "m"})
    broken = await wire.post("/ollama/api/pull", {"name": "m"})
    plain = await wire.post("/ollama/api/pull", {"model": "m", "stream": False})
    lost = await wire.post("/ollama/api/pull", {"model": "missing"})

    assert good.lines[-1] == {"status": "success"}
    assert good.lines[-4]["completed"] == good.lines[-4]["total"]
    assert "error" in broken.lines[-1]
    assert plain.json == {"status": "success"}
    assert lost.status == 404


async def test_ollama_tells_what_runs(wire: Wire) -> None:
    """The root, the loaded models, the old embeddings."""
    root = await wire.get("/ollama")
    slash = await wire.get("/ollama/")
    lost = await wire.get("/ollama/api/nowhere")
    loaded = await wire.get("/ollama/api/ps")
    one = await wire.post("/ollama/api/embeddings", {"model": "m", "prompt": "a"})
    none = await wire.post("/ollama/api/embeddings", {"model": "m"})
    many = await wire.post("/ollama/api/embed", {"model": "m", "input": "a"})

    assert root.body == slash.body == b"Ollama is running"
    assert lost.status == 404
    assert loaded.json["models"][0]["size_vram"] > 0
    assert one.json["embedding"] == many.json["embeddings"][0]
    assert none.json == {"embedding": []}


async def test_tei_embeds_all_tokens_compares_and_decodes(wire: Wire) -> None:
    """A vector a token, a score a sentence, a text for ids; the root is the main call."""
    every = await wire.post("/hf_tei/embed_all", {"inputs": ["Hello", "Hi"]})
    body = {"inputs": {"source_sentence": "the sea", "sentences": ["the sea", "a hill"]}}
    alike = await wire.post("/hf_tei/similarity", body)
    one = await wire.post("/hf_tei/decode", {"ids": [1, 2]})
    two = await wire.post("/hf_tei/decode", {"ids": [[1], [2]]})
    root = await wire.post("/hf_tei", {"inputs": "a"})
    slash = await wire.post("/hf_tei/", {"inputs": "a"})
    ping = await wire.get("/hf_tei/ping")

    assert [len(rows) for rows in every.json] == [2, 1]
    assert alike.json[0] > alike.json[1]
    assert (one.json, two.json) == (["00010002"], ["0001", "0002"])
    assert root.json == slash.json == (await wire.post("/hf_tei/embed", {"inputs": "a"})).json
    assert ping.status == 200


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("similarity", {}, 422),
        ("similarity", {"inputs": {"source_sentence": "", "sentences": ["a"]}}, 422),
        ("decode", {}, 422),
        ("explode", {"inputs": "a"}, 404),
    ],
)
async def test_tei_refuses_what_it_cannot_read(wire: Wire, path: str, body: Any, status: int) -> None:
    """In its words."""
    assert (await wire.post(f"/hf_tei/{path}", body)).status == status


async def test_ovms_draws_speaks_and_listens(wire: Wire) -> None:
    """The generative routes of media."""
    picture = await wire.post("/ovms/v3/images/generations", {"model": "m", "prompt": "a cat"})
    spoken = await wire.post(
        "/ovms/v3/audio/speech", {"model": "m", "input": "Hi", "voice": "v", "response_format": "wav"}
    )
    heard = await wire.form("/ovms/v3/audio/transcriptions", file=("a.wav", spoken.body), model="m")

    assert picture.json["data"][0]["b64_json"]
    assert heard.json["text"]
