"""Servers that we did not write, asked through the client.

They run where the scripts of this folder have said where the servers are (see ``lib.sh``):

    tests/witness/llama.sh tests/witness/ollama_proxy.sh python -m pytest tests/witness/test_servers.py
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeAlias

import pytest

from asyncapi import Client, Endpoint, InvalidRequestError, Retry
from asyncapi.abc import Backend
from asyncapi.backends.ovms import OVMS
from asyncapi.backends.vllm import VLLM
from asyncapi.types.messages import Message
from asyncapi.types.requests import ChatBatchRequest
from asyncapi.types.responses import ChatResponse, InferResponse

Ask: TypeAlias = Callable[[Client, str], Awaitable[None]]

SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}


class Row(NamedTuple):
    """One question to one server: who it is, where it is, what it speaks, what is asked."""

    by: str
    variable: str
    service: str
    operation: str
    ask: Ask
    model: str = "m"
    backend: Backend | None = None
    path: str = ""


ROWS: list[Row] = []


def asked(service: str, operation: str, *servers: tuple[str, str], **more: Any) -> Callable[[Ask], Ask]:
    """Ask this of these servers: names, and the variables that hold their addresses."""

    def keep(ask: Ask) -> Ask:
        for by, variable in servers:
            ROWS.append(Row(by, variable, service, operation, ask, **more))
        return ask

    return keep


LLAMA = ("llama.cpp", "WITNESS_LLAMA_URL")
EMBEDDING = ("llama.cpp", "WITNESS_LLAMA_EMBED_URL")
RANKING = ("llama.cpp", "WITNESS_LLAMA_RANK_URL")
PROXY = ("ollama-proxy-plus", "WITNESS_OLLAMA_URL")
TENSORS = (("MLServer", "WITNESS_MLSERVER_URL"), ("KServe", "WITNESS_KSERVE_URL"))
LLM, QNA = ("OPEA GenAIComps", "WITNESS_OPEA_LLM_URL"), ("OPEA GenAIComps", "WITNESS_OPEA_QNA_URL")
OPEA_EMBED = ("OPEA GenAIComps", "WITNESS_OPEA_EMBED_URL")
VLLM_CHAT, VLLM_EMBED = ("vLLM", "WITNESS_VLLM_URL"), ("vLLM", "WITNESS_VLLM_EMBED_URL")
VLLM_RANK = ("vLLM", "WITNESS_VLLM_RANK_URL")
TRANSFORMERS = ("transformers serve", "WITNESS_TRANSFORMERS_URL")
INFINITY = ("infinity", "WITNESS_INFINITY_URL")
THROUGH = {"model": "vllm/tiny-random"}
V1 = {"path": "/v1"}


@asked("openai", "chat", LLAMA, VLLM_CHAT, TRANSFORMERS, **V1)
@asked("vllm", "chat", LLAMA, VLLM_CHAT)
@asked("hf_tgi", "chat", LLAMA, VLLM_CHAT)
@asked("claude", "chat", LLAMA, VLLM_CHAT)
@asked("ollama", "chat", PROXY, **THROUGH)
@asked("opea", "chat", LLM)
@asked("opea", "chat", QNA, model="chatqna")
async def a_chat(client: Client, model: str) -> None:
    """Whole and streamed, with the same words: the temperature is none."""
    options: dict[str, Any] = {"max_tokens": 8} if model.startswith("claude") else _cold(8)
    whole = await client.chat(model, "hello world", **options)
    async with client.stream(model, "hello world", **options) as stream:
        pieces = [chunk.text async for chunk in stream]

    assert whole.text
    assert "".join(pieces) == stream.response.text
    if not model.startswith("claude"):
        assert stream.response.text.strip() == whole.text.strip()
    if not model.startswith("opea"):
        assert whole.usage.output_tokens
        assert stream.response.usage.output_tokens


@asked("openai", "chat", LLAMA, VLLM_CHAT, **V1)
@asked("vllm", "chat", LLAMA, VLLM_CHAT)
@asked("ollama", "chat", PROXY, **THROUGH)
async def an_answer_in_json(client: Client, model: str) -> None:
    """The schema goes to the model's grammar."""
    form = {"schema": SCHEMA, "name": "answer"}
    answer = await client.chat(model, "hello", response_format=form, **_cold(64))

    assert json.loads(answer.text)["ok"] in (True, False)


@asked("openai", "chat", LLAMA, VLLM_CHAT, **V1)
@asked("vllm", "chat", VLLM_CHAT, backend=VLLM(chat_batch=True))
async def many_chats(client: Client, model: str) -> None:
    """Many at a time are answered each for itself, as alone."""
    alone = await client.chat(model, "hello 3", **_cold(6))
    answers = await asyncio.gather(*(client.chat(model, f"hello {n}", **_cold(6)) for n in range(32)))

    assert answers[3].usage.input_tokens == alone.usage.input_tokens  # more of them cached
    assert all(answer.text for answer in answers)


@asked("openai", "complete", LLAMA, VLLM_CHAT, **V1)
@asked("vllm", "complete", LLAMA, VLLM_CHAT)
async def completions(client: Client, model: str) -> None:
    """A list of prompts in one request, and a stream."""
    answer = await client.complete(model, ["hello", "the sea"], **_cold(4))
    async with client.stream_complete(model, "hello", **_cold(4)) as stream:
        text = "".join([chunk.text async for chunk in stream])

    assert len(answer.texts) == 2
    assert all(answer.texts)
    assert text == answer.texts[0]


@asked("ollama", "complete", PROXY, **THROUGH)
async def a_completion(client: Client, model: str) -> None:
    """One prompt, whole and streamed."""
    answer = await client.complete(model, "hello", **_cold(4))
    async with client.stream_complete(model, "hello", **_cold(4)) as stream:
        text = "".join([chunk.text async for chunk in stream])

    assert text == answer.text != ""


@asked("openai", "respond", LLAMA, VLLM_CHAT, **V1)
async def a_response(client: Client, model: str) -> None:
    """OpenAI's newer API, whole and streamed."""
    answer = await client.respond(model, "hello", **_cold(6))
    async with client.stream_respond(model, "hello", **_cold(6)) as stream:
        text = "".join([chunk.text async for chunk in stream])

    assert text == answer.text != ""
    assert answer.usage.output_tokens


@asked("openai", "respond", TRANSFORMERS, **V1)
async def a_streamed_response(client: Client, model: str) -> None:
    """Streamed alone: this server streams to who does not ask for it, too."""
    async with client.stream_respond(model, "hello", **_cold(6)) as stream:
        text = "".join([chunk.text async for chunk in stream])

    assert text == stream.response.text != ""


@asked("openai", "embed", LLAMA, EMBEDDING, VLLM_EMBED, **V1)
@asked("openai", "embed", INFINITY, model="minilm", **V1)
@asked("vllm", "embed", EMBEDDING, VLLM_EMBED)
@asked("vllm", "embed", INFINITY, model="minilm")
@asked("hf_tei", "embed", EMBEDDING, VLLM_EMBED)
@asked("hf_tei", "embed", INFINITY, model="minilm")
@asked("ollama", "embed", PROXY, **THROUGH)
@asked("opea", "embed", OPEA_EMBED)
async def vectors(client: Client, model: str) -> None:
    """One a text, in order; the same text has the same vector."""
    found = (await client.embed(model, ["hello", "the sea", "hello"])).vectors

    assert len(found) == 3
    assert list(found[0]) == pytest.approx(list(found[2]), abs=1e-5)
    assert list(found[0]) != pytest.approx(list(found[1]), abs=1e-5)


@asked("hf_tei", "rerank", RANKING)
@asked("vllm", "rerank", RANKING, VLLM_RANK)
@asked("vllm", "rerank", INFINITY, model="rank")
async def ranks(client: Client, model: str) -> None:
    """Every document once, the best first."""
    results = (await client.rerank(model, query="hello", documents=["the sea", "hello", "red"])).results

    assert {ranked.index for ranked in results} == {0, 1, 2}
    assert [ranked.score for ranked in results] == sorted((r.score for r in results), reverse=True)


@asked("openai", "models", LLAMA, VLLM_CHAT, TRANSFORMERS, INFINITY, **V1)
@asked("vllm", "models", LLAMA, VLLM_CHAT, INFINITY)
@asked("ollama", "models", PROXY)
async def models(client: Client, model: str) -> None:
    """At least one, with a name."""
    listed = (await client.models(model.partition(":")[0])).models

    assert listed
    assert all(found.id for found in listed)


@asked("claude", "count_tokens", LLAMA, VLLM_CHAT)
async def a_count(client: Client, model: str) -> None:
    """More text, more tokens."""
    short = await client.count_tokens(model, "hello")
    long = await client.count_tokens(model, "hello world, the sea")

    assert 0 < short.input_tokens < long.input_tokens


@asked("openai", "chat", LLAMA, VLLM_CHAT, **V1)
@asked("vllm", "chat", VLLM_CHAT)
async def a_refusal(client: Client, model: str) -> None:
    """A parameter out of its range is the caller's fault."""
    with pytest.raises(InvalidRequestError):
        await client.chat(model, "hello", response_format={"schema": {"type": "nonsense"}, "name": "x"})


@asked("ollama", "native version", PROXY, **THROUGH)
@asked("vllm", "native version", VLLM_CHAT)
async def a_version(client: Client, model: str) -> None:
    """It has one."""
    assert (await client.native(model, "version")).result["version"]


@asked("ovms", "infer", *TENSORS, model="double", backend=OVMS(binary=False))
async def tensors(client: Client, model: str) -> None:
    """Doubled, as JSON."""
    answer = await client.infer(model, {"x": [[1.0, 2.0], [3.0, 4.0]]})

    assert isinstance(answer, InferResponse)
    assert answer.numpy()["output0"].tolist() == [[2.0, 4.0], [6.0, 8.0]]


@asked("ovms", "infer", TENSORS[1], model="double", backend=OVMS(binary=True))
async def tensors_in_bytes(client: Client, model: str) -> None:
    """Doubled, as bytes behind JSON."""
    numpy = pytest.importorskip("numpy")
    answer = await client.infer(model, {"x": numpy.array([[1, 2], [3, 4]], "float32")})

    assert isinstance(answer, InferResponse)
    assert answer.numpy()["output0"].tolist() == [[2.0, 4.0], [6.0, 8.0]]


@asked("ovms", "native metadata", *TENSORS, model="double")
async def metadata(client: Client, model: str) -> None:
    """The model says its name."""
    assert (await client.native(model, "metadata")).result["name"] == "double"


@asked("ovms", "native server_metadata", *TENSORS, model="double")
async def server_metadata(client: Client, model: str) -> None:
    """So does the server."""
    assert (await client.native(model, "server_metadata")).result["name"]


@asked("ovms", "native model_ready", *TENSORS, model="double")
async def model_ready(client: Client, model: str) -> None:
    """The model is ready."""
    assert (await client.native(model, "model_ready")).served.attempts == 1


@asked("ovms", "native ready", *TENSORS, model="double")
async def ready(client: Client, model: str) -> None:
    """The server is ready."""
    assert (await client.native(model, "ready")).served.attempts == 1


@asked("ovms", "native live", *TENSORS, model="double")
async def live(client: Client, model: str) -> None:
    """The server is alive."""
    assert (await client.native(model, "live")).served.attempts == 1


@asked("ovms", "native predict", TENSORS[1], model="double")
async def predicted(client: Client, model: str) -> None:
    """Rows, as TensorFlow Serving took them."""
    answer = await client.native(model, "predict", {"instances": [[1.0, 2.0]]})

    assert answer.result == {"predictions": [[2.0, 4.0]]}


@asked("opea", "native health", LLM, QNA)
@asked("vllm", "native health", VLLM_CHAT)
async def health(client: Client, model: str) -> None:
    """The service is well."""
    assert (await client.native(model, "health")).served.attempts == 1


@asked("opea", "native statistics", LLM)
async def statistics(client: Client, model: str) -> None:
    """The service counts."""
    assert (await client.native(model, "statistics")).result


@asked("vllm", "chat_batch", VLLM_CHAT)
async def a_batch_of_chats(client: Client, model: str) -> None:
    """Conversations in one request, each answered."""
    conversations = tuple((Message("user", text),) for text in ("hello", "the sea"))
    answer = await client.call(ChatBatchRequest(model=model, conversations=conversations, **_cold(4)))

    assert isinstance(answer, ChatResponse)
    assert [bool(output.text) for output in answer.outputs] == [True, True]


@asked("vllm", "chat", VLLM_CHAT, backend=VLLM(chat_batch=True))
async def chats_that_travel_together(client: Client, model: str) -> None:
    """Callers who don't know of each other are answered by fewer requests."""
    answers = await asyncio.gather(*(client.chat(model, f"hello {n}", **_cold(4)) for n in range(16)))

    assert all(answer.text for answer in answers)
    assert client.statistics().endpoints["vllm"].requests < 16


@asked("vllm", "score", VLLM_RANK)
async def scores(client: Client, model: str) -> None:
    """One a document, the same for the same one."""
    found = (await client.score(model, query="hello", documents=["the sea", "red", "the sea"])).scores

    assert len(found) == 3
    assert found[0] == pytest.approx(found[2], abs=1e-5)
    assert found[0] != pytest.approx(found[1], abs=1e-5)


@asked("vllm", "classify", VLLM_RANK)
async def labels(client: Client, model: str) -> None:
    """For each text."""
    assert len((await client.classify(model, ["hello", "the sea"])).results) == 2


@asked("vllm", "tokenize", VLLM_CHAT)
async def tokens(client: Client, model: str) -> None:
    """Of each text its own; the same text has the same."""
    found = (await client.tokenize(model, ["hello", "the sea", "hello"])).results

    assert list(found[0]) == list(found[2]) != list(found[1])


@asked("vllm", "native detokenize", VLLM_CHAT)
async def text_of_tokens(client: Client, model: str) -> None:
    """Numbers become text."""
    assert (await client.native(model, "detokenize", {"tokens": [20, 21]})).result["prompt"]


@asked("vllm", "native pooling", VLLM_EMBED)
async def pooled(client: Client, model: str) -> None:
    """Numbers for a text."""
    assert (await client.native(model, "pooling", {"input": "hello"})).result["data"]


@asked("vllm", "native load", VLLM_CHAT)
async def the_load(client: Client, model: str) -> None:
    """The server counts what it works at."""
    assert (await client.native(model, "load")).result["server_load"] >= 0


def _cold(tokens: int) -> dict[str, Any]:
    return {"max_tokens": tokens, "temperature": 0.0}


@pytest.mark.slow
@pytest.mark.parametrize(
    "row",
    [
        pytest.param(
            row,
            id=f"{row.by}-{row.service}-{row.ask.__name__}-{n}",
            marks=pytest.mark.witness(service=row.service, operation=row.operation, by=row.by),
        )
        for n, row in enumerate(ROWS)
    ],
)
async def test_a_real_server_agrees(row: Row) -> None:
    """With what the backend makes of its dialect."""
    url = os.environ.get(row.variable)
    if not url:
        pytest.skip(f"needs {row.variable}: run it with a script of tests/witness")
    backends = [row.backend] if row.backend else []
    endpoint = Endpoint(row.service, base_url=url + row.path, keys=("k",), retry=Retry(attempts=2))
    async with Client([endpoint], backends=backends, environment={}, timeout=30.0) as client:
        await row.ask(client, f"{row.service}:{row.model}")
