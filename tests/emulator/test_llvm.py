"""The bespoke model server, read by hand: infer, batches with item errors, upkeep, escaped names."""

from typing import Any

import pytest

from asyncapi.emulator import POISON, Emulator, answer_text, question_digest

from .wire import Wire


async def test_infer_says_outputs_and_usage(wire: Wire) -> None:
    """Texts are answered, all else is echoed, embedders give vectors."""
    text = await wire.post("/llvm/models/m/infer", {"input": "Hello", "parameters": {"max_tokens": 4}})
    other = await wire.post("/llvm/models/m/infer", {"input": {"a": [1]}})
    vector = await wire.post("/llvm/models/org%2Fembed-small/infer", {"input": "Hello"})

    assert text.json["outputs"] == {"text": answer_text(0, "m", "Hello")[:16], "finish_reason": "length"}
    assert text.json["metadata"]["usage"] == {"prompt_tokens": 2, "completion_tokens": 4}
    assert other.json["outputs"] == {"echo": {"a": [1]}}
    assert (vector.json["model_id"], len(vector.json["outputs"])) == ("org/embed-small", 64)


async def test_items_of_a_batch_fail_alone(wire: Wire) -> None:
    """Same order, same length, an error object in place of a result."""
    inputs = ["a", POISON, "b", "x" * 600_000]
    got = await wire.post("/llvm/models/m/batch_infer", {"inputs": inputs})

    results = got.json["results"]
    assert [result.get("text") for result in results[::2]] == [answer_text(0, "m", text) for text in "ab"]
    assert results[1] == {"error": {"message": "input cannot be processed", "type": "validation"}}
    assert results[3]["error"]["message"] == "input too long"


async def test_upkeep(wire: Wire) -> None:
    """Models, one of them, statistics, optimisation, reload without a body, status."""
    await wire.post("/llvm/models/m/batch_infer", {"inputs": ["a", "b"]})
    models = await wire.get("/llvm/models")
    one = await wire.get("/llvm/models/org%2Fmodel")
    statistics = await wire.get("/llvm/models/m/statistics")
    optimized = await wire.post("/llvm/models/m/optimize", {"optimization_type": "speed"})
    reloaded = await wire.post("/llvm/models/m/reload", raw=b"")
    status = await wire.get("/llvm/status")

    assert "bert-base" in models.json["models"]
    assert (one.json["model_id"], one.json["status"]) == ("org/model", "loaded")
    assert statistics.json["inferences"] == 2
    assert optimized.json["status"] == "optimized"
    assert (reloaded.status, reloaded.json["status"]) == (200, "loaded")
    assert status.json["inferences"] == 2


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("m/infer", {}, 422),
        ("m/infer", {"input": POISON}, 422),
        ("m/batch_infer", {"inputs": []}, 422),
        ("m/batch_infer", {"inputs": "a"}, 422),
        ("m/optimize", {"optimization_type": "magic"}, 422),
        ("missing/infer", {"input": "a"}, 404),
        ("org/model/infer", {"input": "a"}, 404),
        ("m/explode", {}, 404),
    ],
)
async def test_wrong_requests_are_refused(wire: Wire, path: str, body: Any, status: int) -> None:
    """A name with a bare slash is another path."""
    got = await wire.post(f"/llvm/models/{path}", body)

    assert got.status == status
    assert isinstance(got.json["error"], str)


async def test_records_know_model_and_inputs(emulator: Emulator, wire: Wire) -> None:
    """Whatever the route, and however the name is escaped."""
    await wire.post("/llvm/models/org%2Fm/infer", {"input": "a"})
    await wire.post("/llvm/models/m/batch_infer", {"inputs": ["a", 1]})
    await wire.get("/llvm/models/org%2Fm")

    assert [record.model for record in emulator.records] == ["org/m", "m", "org/m"]
    assert [record.question for record in emulator.records[:2]] == [
        question_digest("a"),
        question_digest("a\n1"),
    ]


async def test_an_unavailable_server_answers_in_plain_text(emulator: Emulator, wire: Wire) -> None:
    """Which a client must survive; all other refusals are JSON."""
    emulator.script(["503", "500"])
    plain = await wire.post("/llvm/models/m/infer", {"input": "a"})
    error = await wire.post("/llvm/models/m/infer", {"input": "a"})

    assert (plain.status, plain.headers["content-type"]) == (503, "text/plain; charset=utf-8")
    assert (error.status, list(error.json)) == (500, ["error"])
