"""Every row that says what may travel together, over real sockets: each call gets what it would get alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from asyncapi import (
    Batch,
    Client,
    EmbedResponse,
    InferResponse,
    InvalidRequestError,
    Message,
    NotFoundError,
    RerankResponse,
)
from asyncapi.backends.llvm import LLVM
from asyncapi.backends.ovms import OVMS
from asyncapi.backends.vllm import VLLM
from asyncapi.emulator import POISON, Emulator, Timing

from .operations import endpoint_of, model_of

TEXTS = ["One", "Two words", "Drei", "quatre", "five, and a longer text"]
Verb = Callable[[Client, str, str], Awaitable[Any]]

VERBS: dict[str, Verb] = {
    "embed": lambda c, m, t: c.embed(m, t),
    "embed_sparse": lambda c, m, t: c.embed_sparse(m, t),
    "classify": lambda c, m, t: c.classify(m, t),
    "tokenize": lambda c, m, t: c.tokenize(m, t),
    "moderate": lambda c, m, t: c.moderate(m, t),
    "complete": lambda c, m, t: c.complete(m, t),
    "rerank": lambda c, m, t: c.rerank(m, query="Two", documents=[t, f"{t} more", "Two"], top_n=2),
    "score": lambda c, m, t: c.score(m, query="Two", documents=[t, f"{t} more"]),
    "chat": lambda c, m, t: c.chat(m, [Message("user", t)]),
    "infer": lambda c, m, t: c.infer(m, {"input0": [[float(len(t))] * 3, [float(ord(t[0]))] * 3]}),
}
#: How an answer is told from another's.
SEEN: dict[str, Callable[[Any], Any]] = {
    "embed": lambda a: [list(vector) for vector in a.vectors],
    "embed_sparse": lambda a: a.vectors,
    "complete": lambda a: a.texts,
    "chat": lambda a: a.text,
    "score": lambda a: a.scores,
    "infer": lambda a: {name: (tensor.shape, list(tensor.data)) for name, tensor in a.outputs.items()},
}
ROWS = [
    ("openai", "embed"),
    ("openai", "moderate"),
    ("openai", "complete"),
    ("groq", "embed"),
    ("vllm", "embed"),
    ("vllm", "complete"),
    ("vllm", "classify"),
    ("vllm", "score"),
    ("vllm", "rerank"),
    ("vllm", "chat"),
    ("ovms", "embed"),
    ("ovms", "rerank"),
    ("ovms", "infer"),
    ("hf_tei", "embed"),
    ("hf_tei", "embed_sparse"),
    ("hf_tei", "rerank"),
    ("hf_tei", "classify"),
    ("hf_tei", "tokenize"),
    ("gemini", "embed"),
    ("ollama", "embed"),
    ("llvm", "embed"),
    ("llvm", "infer"),
    ("opea", "embed"),
]
BACKENDS = (
    VLLM(chat_batch=True),
    OVMS(binary=False, batch_rows=64),
    LLVM(batch_infer=True),
)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """All services, instantly."""
    async with Emulator(timing=Timing.instant()) as running:
        yield running


def _client(emulator: Emulator, service: str, size: int) -> Client:
    return Client([endpoint_of(emulator, service, batch=Batch(size=size), limit=2)], backends=BACKENDS)


async def _sent(client: Client, service: str) -> int:
    return client.statistics().endpoints[service].requests


@pytest.mark.parametrize(("service", "operation"), ROWS)
async def test_calls_that_travel_together_get_what_they_would_get_alone(
    emulator: Emulator, service: str, operation: str
) -> None:
    """In order, whole, and in fewer requests than there are calls."""
    verb, model = VERBS[operation], model_of(service, operation)
    seen = SEEN.get(operation, lambda answer: answer.results)
    async with _client(emulator, service, 1) as client:
        alone = [await verb(client, model, text) for text in TEXTS]
    async with _client(emulator, service, 64) as client:
        together = await asyncio.gather(*(verb(client, model, text) for text in TEXTS))
        sent = await _sent(client, service)

    assert list(map(seen, together)) == list(map(seen, alone))
    assert sent < len(TEXTS)


@pytest.mark.parametrize(
    "service", ["openai", "groq", "vllm", "ovms", "hf_tei", "gemini", "ollama", "llvm", "opea"]
)
async def test_a_poisoned_text_fails_alone_in_every_service(emulator: Emulator, service: str) -> None:
    """The service refuses the whole batch, or the one item."""
    texts = [*TEXTS[:3], POISON, *TEXTS[3:]]
    async with _client(emulator, service, 64) as client:
        model = model_of(service, "embed")
        answers = await asyncio.gather(*(client.embed(model, text) for text in texts), return_exceptions=True)

    assert [isinstance(answer, EmbedResponse) for answer in answers] == [text != POISON for text in texts]
    assert isinstance(answers[3], InvalidRequestError)


async def test_an_inference_fails_alone_in_its_batch(emulator: Emulator) -> None:
    """The server names the item that it could not compute."""
    async with _client(emulator, "llvm", 8) as client:
        inputs = [{"input": ["a"]}, {"input": [POISON]}, {"input": ["b"]}]
        answers = await asyncio.gather(
            *(client.infer("llvm:tensor-echo", one) for one in inputs), return_exceptions=True
        )
        sent = await _sent(client, "llvm")

    assert [isinstance(answer, InferResponse) for answer in answers] == [True, False, True]
    assert sent == 1


async def test_a_long_list_of_documents_is_ranked_in_pieces(emulator: Emulator) -> None:
    """TEI takes 32 texts: a hundred are four requests, one ranking, and the best five of all."""
    documents = [f"document {n} " + "wanted " * (n % 7) for n in range(100)]
    async with _client(emulator, "hf_tei", 32) as client:
        model = model_of("hf_tei", "rerank")
        whole = await client.rerank(model, query="wanted", documents=documents)
        best = await client.rerank(model, query="wanted", documents=documents, top_n=5)

    assert isinstance(whole, RerankResponse)
    assert sorted(one.index for one in whole.results) == list(range(100))
    assert [one.score for one in whole.results] == sorted((one.score for one in whole.results), reverse=True)
    assert best.results == whole.results[:5]


async def test_a_server_that_takes_two_megabytes_gets_no_more(emulator: Emulator) -> None:
    """Long texts that are many bytes a character: no caller hears of the server's bound."""
    texts = ["\u4e16" * 20_000 + str(n) for n in range(48)]
    async with _client(emulator, "hf_tei", 32) as client:
        model = model_of("hf_tei", "embed")
        answers = await asyncio.gather(*(client.embed(model, text) for text in texts))
        again = await client.embed(model, texts)

    assert [list(a.vectors[0]) for a in answers] == [list(vector) for vector in again.vectors]
    assert emulator.counts().by_status.get(413, 0) == 0


async def test_a_server_that_takes_less_than_its_row_says_is_learned(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gemini takes 100 texts, this one 16: nobody fails, and only the first batches are refused."""
    monkeypatch.setattr("asyncapi.emulator.dialects.gemini.MOST_ITEMS", 16)
    async with _client(emulator, "gemini", 100) as client:
        model, refused = model_of("gemini", "embed"), []
        for _ in range(3):
            answers = await asyncio.gather(*(client.embed(model, str(n)) for n in range(96)))
            assert len({tuple(answer.vectors[0]) for answer in answers}) == 96
            refused.append(emulator.counts().by_status.get(400, 0))

    assert refused[0] > 0
    assert refused[1] == refused[2] <= refused[0] + 1


async def test_a_server_that_takes_fewer_bytes_is_learned(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """413: the bytes of a request are halved until it goes through."""
    monkeypatch.setattr("asyncapi.emulator.dialects.hf_tei.HFTEI.body_limit", 20_000)
    async with _client(emulator, "hf_tei", 32) as client:
        model, refused = model_of("hf_tei", "embed"), []
        for _ in range(3):
            answers = await asyncio.gather(*(client.embed(model, f"{n} " * 900) for n in range(32)))
            assert len(answers) == 32
            refused.append(emulator.counts().by_status.get(413, 0))

    assert refused[0] > 0
    assert refused[1] == refused[2]


async def test_a_missing_model_is_not_taken_for_a_bad_item(emulator: Emulator) -> None:
    """Nothing is halved: every half would fail the same way."""
    async with _client(emulator, "openai", 32) as client:
        answers = await asyncio.gather(
            *(client.embed("openai:missing", text) for text in TEXTS), return_exceptions=True
        )
        sent = await _sent(client, "openai")

    assert {type(answer) for answer in answers} == {NotFoundError}
    assert sent == 1
