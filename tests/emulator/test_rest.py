"""Embeddings, rerank, classification, tokens and models, read by hand."""

import base64
import math
import struct

import pytest

from asyncapi.emulator import POISON

from .wire import Wire

EMBEDDINGS = {
    "openai": "/openai/v1/embeddings",
    "groq": "/groq/openai/v1/embeddings",
    "vllm": "/vllm/v1/embeddings",
    "opea": "/opea/v1/embeddings",
    "hf_tei": "/hf_tei/v1/embeddings",
}


@pytest.mark.parametrize("path", EMBEDDINGS.values(), ids=EMBEDDINGS)
async def test_vectors_are_unit_long_and_the_same_in_base64(wire: Wire, path: str) -> None:
    """64 numbers by default; base64 is little-endian float32 of the same numbers."""
    body = {"model": "m", "input": ["a", "b"]}
    floats = await wire.post(path, body)
    packed = await wire.post(path, {**body, "encoding_format": "base64"})

    rows = [item["embedding"] for item in floats.json["data"]]
    unpacked = [
        list(struct.unpack("<64f", base64.b64decode(item["embedding"]))) for item in packed.json["data"]
    ]
    assert rows == unpacked
    assert rows[0] != rows[1]
    assert math.hypot(*rows[0]) == pytest.approx(1, abs=1e-6)
    assert floats.json["usage"]["prompt_tokens"] == 2
    assert [item["index"] for item in floats.json["data"]] == [0, 1]


async def test_dimensions_are_obeyed_or_refused(wire: Wire) -> None:
    """OpenAI gives what is asked, Groq has no such field."""
    body = {"model": "m", "input": "a", "dimensions": 7}
    sized = await wire.post(EMBEDDINGS["openai"], body)
    refused = await wire.post(EMBEDDINGS["groq"], body)

    assert len(sized.json["data"][0]["embedding"]) == 7
    assert refused.status == 400


async def test_token_ids_are_inputs_too(wire: Wire) -> None:
    """A list of integers is one input, lists of integers are many; each id is a token."""
    one = await wire.post(EMBEDDINGS["openai"], {"model": "m", "input": [1, 2, 3]})
    two = await wire.post(EMBEDDINGS["openai"], {"model": "m", "input": [[1, 2], [3]]})

    assert (len(one.json["data"]), one.json["usage"]["prompt_tokens"]) == (1, 3)
    assert (len(two.json["data"]), two.json["usage"]["prompt_tokens"]) == (2, 3)


@pytest.mark.parametrize(
    "items",
    [[], [""], ["x"] * 2049, ["y" * 33_000], ["z" * 32_000] * 40, [POISON], [1.5], None],
    ids=["none", "empty", "many", "long", "sum", "poison", "number", "absent"],
)
async def test_openai_refuses_bad_inputs(wire: Wire, items: object) -> None:
    """Lists and items beyond the limits fail the whole request as invalid_request_error."""
    got = await wire.post(EMBEDDINGS["openai"], {"model": "m", "input": items})

    assert got.status == 400
    assert got.json["error"]["type"] == "invalid_request_error"


async def test_vllm_says_that_normalize_is_gone(wire: Wire) -> None:
    """A removed field is a 400, where unknown ones are ignored."""
    body = {"input": "a", "unknown_field": 1}
    assert (await wire.post(EMBEDDINGS["vllm"], body)).status == 200
    assert (await wire.post(EMBEDDINGS["vllm"], {**body, "normalize": True})).status == 400


async def test_ollama_embeds_lists_and_ignores_emptiness(wire: Wire) -> None:
    """One vector a text; an empty text or list gives no vectors and no error."""
    path = "/ollama/api/embed"
    got = await wire.post(path, {"model": "m", "input": ["a", "b"], "dimensions": 5})

    assert [len(row) for row in got.json["embeddings"]] == [5, 5]
    assert got.json["prompt_eval_count"] == 2
    empty: tuple[object, ...] = ("", [])
    for nothing in empty:
        assert (await wire.post(path, {"model": "m", "input": nothing})).json["embeddings"] == []


@pytest.mark.parametrize(
    "fields", [{"input": [1]}, {"input": POISON}, {"input": "x" * 600_000, "truncate": False}]
)
async def test_ollama_refuses_bad_inputs(wire: Wire, fields: dict[str, object]) -> None:
    """Types, poison and length are a 400 with a plain text."""
    got = await wire.post("/ollama/api/embed", {"model": "m", **fields})

    assert got.status == 400
    assert isinstance(got.json["error"], str)


async def test_ollama_shows_what_it_has(wire: Wire) -> None:
    """Version, tags and the details of a model."""
    assert (await wire.get("/ollama/api/version")).json["version"]
    assert (await wire.get("/ollama/api/tags")).json["models"][0]["name"] == "qwen3:8b"
    shown = await wire.post("/ollama/api/show", {"model": "nomic-embed-text"})
    assert shown.json["capabilities"] == ["embedding"]
    assert (await wire.post("/ollama/api/show", {"model": "qwen3:8b"})).json["model_info"]


async def test_tei_embeds_with_its_counts_in_headers(wire: Wire) -> None:
    """Lists of vectors; tokens only in a header."""
    got = await wire.post("/hf_tei/embed", {"inputs": ["abcd", "abcdefgh"], "dimensions": 3})
    single = await wire.post("/hf_tei/embed", {"inputs": [1, 2]})
    mixed = await wire.post("/hf_tei/embed", {"inputs": [[1, 2], [3]]})

    assert [len(row) for row in got.json] == [3, 3]
    assert got.headers["x-compute-tokens"] == "3"
    assert got.headers["x-compute-characters"] == "12"
    assert len(single.json) == 1
    assert len(mixed.json) == 2


async def test_tei_embeds_sparsely(wire: Wire) -> None:
    """One entry a word, sorted by index."""
    got = await wire.post("/hf_tei/embed_sparse", {"inputs": "a cat, a dog"})

    indexes = [entry["index"] for entry in got.json[0]]
    assert len(indexes) == 3
    assert indexes == sorted(indexes)


async def test_tei_reranks_best_first(wire: Wire) -> None:
    """Sorted by score, with the text when asked for."""
    body = {"query": "cold rain", "texts": ["warm sun", "cold rain", "rain"], "return_text": True}
    got = await wire.post("/hf_tei/rerank", body)
    bare = await wire.post("/hf_tei/rerank", {**body, "return_text": False})

    assert [item["index"] for item in got.json] == [1, 2, 0]
    assert got.json[0]["text"] == "cold rain"
    assert "text" not in bare.json[0]


async def test_tei_takes_a_flat_list_for_one_pair(wire: Wire) -> None:
    """predict: a string or a flat list is one text; lists of lists are a batch."""
    single = await wire.post("/hf_tei/predict", {"inputs": "positive"})
    pair = await wire.post("/hf_tei/predict", {"inputs": ["positive", "text"]})
    batch = await wire.post("/hf_tei/predict", {"inputs": [["positive"], ["negative"]]})

    assert single.json[0]["label"] == "positive"
    assert sum(item["score"] for item in pair.json) == pytest.approx(1)
    assert [row[0]["label"] for row in batch.json] == ["positive", "negative"]


async def test_tei_tokenises_with_offsets(wire: Wire) -> None:
    """The pieces join to the text."""
    got = await wire.post("/hf_tei/tokenize", {"inputs": "hello you"})

    assert "".join(token["text"] for token in got.json[0]) == "hello you"
    assert got.json[0][-1]["stop"] == 9


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        ("embed", {"inputs": ["x"] * 33}, 422, "Validation"),
        ("embed", {"inputs": [""]}, 422, "Validation"),
        ("embed", {"inputs": ["a", POISON]}, 422, "Validation"),
        ("embed", {"inputs": "x" * 3000, "truncate": False}, 422, "Validation"),
        ("embed", {"inputs": []}, 400, "Empty"),
        ("rerank", {"query": POISON, "texts": ["a"]}, 422, "Validation"),
        ("predict", {"inputs": []}, 400, "Empty"),
    ],
)
async def test_tei_refuses_in_pascal_case(
    wire: Wire, path: str, body: object, status: int, kind: str
) -> None:
    """The whole request fails with its type; too many items are a Validation, not a 413."""
    got = await wire.post("/hf_tei/" + path, body)

    assert got.status == status
    assert got.json["error_type"] == kind


async def test_tei_openai_route_has_its_own_envelope(wire: Wire) -> None:
    """Flat, not below error; JSON of the wrong form is plain text; a large body is a 413."""
    flat = await wire.post("/hf_tei/v1/embeddings", {"input": ["x"] * 33})
    plain = await wire.post("/hf_tei/rerank", {"query": "q"})
    formless = await wire.post("/hf_tei/embed", {})
    large = await wire.post("/hf_tei/embed", {"inputs": "x" * 2_000_001})

    assert flat.json == {
        "message": "batch size 33 > maximum allowed batch size 32",
        "code": 422,
        "type": "Validation",
    }
    assert plain.headers["content-type"].startswith("text/plain")
    assert (plain.status, formless.status, large.status) == (422, 422, 413)


async def test_tei_tells_its_limits(wire: Wire) -> None:
    """info has the batch size that clients must keep to; health is empty."""
    assert (await wire.get("/hf_tei/info")).json["max_client_batch_size"] == 32
    assert (await wire.get("/hf_tei/health")).body == b""


@pytest.mark.parametrize("path", ["/vllm/v1/rerank", "/vllm/rerank", "/vllm/v2/rerank"])
async def test_vllm_reranks_the_best(wire: Wire, path: str) -> None:
    """Sorted, cut at top_n, with index and document."""
    documents = ["warm sun", {"text": "cold rain"}, [{"text": "rain"}]]
    got = await wire.post(path, {"query": "cold rain", "documents": documents, "top_n": 1})

    (best,) = got.json["results"]
    assert (best["index"], best["document"]) == (1, {"text": "cold rain"})


@pytest.mark.parametrize(
    "body", [{"query": "q"}, {"documents": ["a"]}, {"query": "q", "documents": ["a", POISON]}]
)
async def test_vllm_refuses_bad_reranks(wire: Wire, body: object) -> None:
    """A poisoned document fails the whole request."""
    got = await wire.post("/vllm/v1/rerank", body)

    assert (got.status, got.json["error"]["code"]) == (400, 400)


async def test_vllm_tokenises(wire: Wire) -> None:
    """A prompt or a conversation; strings when asked for."""
    prompt = await wire.post("/vllm/tokenize", {"prompt": "hello you", "return_token_strs": True})
    chat = await wire.post("/vllm/tokenize", {"messages": [{"role": "user", "content": "Hi"}]})
    neither = await wire.post("/vllm/tokenize", {})

    assert prompt.json["token_strs"] == ["hell", "o yo", "u"]
    assert chat.json["count"] == 5
    assert neither.status == 400


async def test_opea_reranks_one_without_index(wire: Wire) -> None:
    """top_n is 1 unless given, and documents come back as text and score."""
    docs = [{"text": "warm sun"}, {"text": "cold rain"}]
    one = await wire.post("/opea/v1/reranking", {"input": "cold rain", "retrieved_docs": docs})
    two = await wire.post("/opea/v1/reranking", {"input": "rain", "retrieved_docs": docs, "top_n": 2})
    none = await wire.post("/opea/v1/reranking", {"input": "rain", "retrieved_docs": []})
    wrong = await wire.post("/opea/v1/reranking", {"input": "rain"})
    blank = await wire.post("/opea/v1/reranking", {})

    assert [doc["text"] for doc in one.json["reranked_docs"]] == ["cold rain"]
    assert len(two.json["reranked_docs"]) == 2
    assert none.json["reranked_docs"] == []
    assert wrong.json["detail"][0]["loc"] == ["body", "retrieved_docs"]
    assert blank.status == 422


@pytest.mark.parametrize(
    ("path", "first"),
    [
        ("/openai/v1/models", "gpt-6-luna"),
        ("/groq/openai/v1/models", "openai/gpt-oss-120b"),
        ("/vllm/v1/models", "Qwen/Qwen3-8B"),
        ("/opea/v1/models", "meta-llama/Meta-Llama-3-8B-Instruct"),
        ("/claude/v1/models", "claude-sonnet-5-5"),
    ],
)
async def test_models_are_listed(wire: Wire, path: str, first: str) -> None:
    """Under data, by id."""
    assert (await wire.get(path)).json["data"][0]["id"] == first


async def test_one_model_is_found_by_a_name_with_slashes(wire: Wire) -> None:
    """What stands behind the route is the name; missing ones are a 404."""
    got = await wire.get("/groq/openai/v1/models/openai/gpt-oss-120b")
    claude = await wire.get("/claude/v1/models/claude-sonnet-5-5")
    absent = await wire.get("/claude/v1/models/missing")

    assert got.json["id"] == "openai/gpt-oss-120b"
    assert claude.json["max_tokens"] == 64_000
    assert absent.json["error"]["type"] == "not_found_error"


async def test_health_is_empty(wire: Wire) -> None:
    """vLLM answers nothing, OPEA its title."""
    assert (await wire.get("/vllm/health")).body == b""
    assert (await wire.get("/opea/v1/health_check")).status == 200
