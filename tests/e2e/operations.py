"""One good call of everything that a backend offers, made through the client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias, cast

from asyncapi import Client, Endpoint
from asyncapi.abc import ServiceBackend
from asyncapi.backends import get_backend, known_backends
from asyncapi.config import Key
from asyncapi.emulator import Emulator
from asyncapi.errors import UnsupportedOperationError
from asyncapi.types.messages import Message
from asyncapi.types.requests import ChatBatchRequest, Extra, NativeRequest
from asyncapi.types.responses import ChatResponse

Verb: TypeAlias = Callable[[Client, str], Awaitable[Any]]

WAVE = b"RIFF\x24\x00\x00\x00WAVEfmt "
USER = "What is the weather?"
#: Keys as each service has them, all of them recognisable.
KEYS = {
    **{name: f"planted-{name}-0123456789abcdef" for name in known_backends()},
    "s3_kit": "AKPLANTED:emulator-secret",
}
_TENSOR: Mapping[str, Mapping[str, Any]] = {"ovms": {"input0": [1.0, 2.0]}, "llvm": {"input": [[1.0, 2.0]]}}
#: Models that are more than a name.
_MODELS = {
    ("llvm", "embed"): "org/embed-small",
    ("llvm", "infer"): "tensor-echo",
    ("ovms", "infer"): "double",
    ("s3_kit", "object"): "bucket",
}


async def _chat(client: Client, model: str) -> None:
    assert (await client.chat(model, USER, max_tokens=4000)).text


async def _stream(client: Client, model: str) -> None:
    async with client.stream(model, USER, max_tokens=4000) as stream:
        text = "".join([chunk.text async for chunk in stream])
    assert text


async def _respond(client: Client, model: str) -> None:
    assert (await client.respond(model, USER)).text


async def _stream_respond(client: Client, model: str) -> None:
    async with client.stream_respond(model, USER) as stream:
        text = "".join([chunk.text async for chunk in stream])
    assert text


async def _complete(client: Client, model: str) -> None:
    assert all((await client.complete(model, ["One", "Two"])).texts)


async def _stream_complete(client: Client, model: str) -> None:
    async with client.stream_complete(model, "One") as stream:
        text = "".join([chunk.text async for chunk in stream])
    assert text


async def _count(client: Client, model: str) -> None:
    assert (await client.count_tokens(model, USER)).input_tokens > 0


async def _embed(client: Client, model: str) -> None:
    assert len((await client.embed(model, ["One", "Two"])).vectors) == 2


async def _embed_sparse(client: Client, model: str) -> None:
    assert len((await client.embed_sparse(model, ["One", "Two"])).vectors) == 2


async def _rerank(client: Client, model: str) -> None:
    results = (await client.rerank(model, query="One", documents=["One", "Two"])).results
    assert {ranked.index for ranked in results} == {0, 1}


async def _score(client: Client, model: str) -> None:
    assert len((await client.score(model, query="One", documents=["One", "Two"])).scores) == 2


async def _classify(client: Client, model: str) -> None:
    assert len((await client.classify(model, ["One", "Two"])).results) == 2


async def _tokenize(client: Client, model: str) -> None:
    assert all((await client.tokenize(model, ["One", "Two"])).results)


async def _moderate(client: Client, model: str) -> None:
    verdicts = (await client.moderate(model, ["One", "Two"])).results
    assert [verdict.flagged for verdict in verdicts] == [False, False]


async def _image(client: Client, model: str) -> None:
    (picture,) = (await client.image(model, "A fjord")).images
    assert picture.data or picture.url


async def _speech(client: Client, model: str) -> None:
    assert (await client.speech(model, "Hello", voice="alloy")).audio


async def _transcribe(client: Client, model: str) -> None:
    assert (await client.transcribe(model, WAVE)).text


async def _translate(client: Client, model: str) -> None:
    assert (await client.translate(model, WAVE)).text


async def _infer(client: Client, model: str) -> None:
    assert (await client.infer(model, _TENSOR[model.partition(":")[0]])).outputs


async def _models(client: Client, model: str) -> None:
    assert (await client.models(model.partition(":")[0])).models


async def _chat_batch(client: Client, model: str) -> None:
    conversations = ((Message("user", "One"),), (Message("user", "Two"),))
    answer = await client.call(ChatBatchRequest(model=model, conversations=conversations))
    assert [bool(output.text) for output in cast(ChatResponse, answer).outputs] == [True, True]


async def _object(client: Client, model: str) -> None:
    store = client.objects(model)
    await store.put("a/b.txt", b"bytes", metadata={"who": "me"})
    await store.copy("a/b.txt", "c.txt")
    async with store.open("c.txt") as stream:
        data = b"".join([chunk.data async for chunk in stream])
    assert data == await store.get("a/b.txt") == b"bytes"
    assert (await store.head("c.txt")).size == 5
    assert [stored.key async for stored in store.list()] == ["a/b.txt", "c.txt"]
    assert await store.presign("c.txt")
    await store.put("big", bytes(6 * 2**20), part_size=5 * 2**20)
    await store.delete("big")
    assert not await store.delete_many(["a/b.txt", "c.txt"])


#: What a native action needs to be told, where it needs anything.
ARGUMENTS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("llvm", "infer"): {"input": "Hello"},
    ("llvm", "batch_infer"): {"inputs": ["One", "Two"]},
    ("llvm", "optimize"): {"optimization_type": "speed"},
    ("openai", "model"): {"id": "gpt-5"},
    ("opea", "animation"): {"audio": "UklGRg=="},
    ("opea", "dataprep_delete"): {"file_path": "all"},
    ("opea", "image2image"): {"prompt": "A fjord", "image": "iVBORw=="},
    ("opea", "image2video"): {"images_path": [{"image_path": "/a.png"}]},
    ("opea", "lvm"): {"prompt": "What is it?", "image": "iVBORw=="},
    ("opea", "text2image"): {"prompt": "A fjord"},
    ("opea", "factuality"): {"text": "Hello"},
    ("opea", "hallucination_detection"): {"text": "Hello"},
    ("opea", "pii"): {"text": "Hello"},
    ("opea", "retrieval"): {"text": "Hello", "embedding": [0.5]},
    ("ovms", "predict"): {"instances": [[1.0, 2.0]]},
    ("vllm", "detokenize"): {"tokens": [1, 2]},
    ("vllm", "pooling"): {"input": "Hello"},
}
_STORED = ("response", "response_input", "cancel_response")


async def call_native(client: Client, service: str, action: str) -> None:
    """One good call of a native action."""
    arguments = ARGUMENTS.get((service, action), {"messages": USER} if service == "opea" else {})
    if action in _STORED:
        background = action == "cancel_response"
        extra = Extra(body={"background": True}) if background else None
        arguments = {"id": (await client.respond(f"{service}:m", USER, store=True, extra=extra)).id}
    answer = await client.native(model_of(service, "infer"), action, arguments)
    assert not answer.warnings


#: Operation to the calls that show it at work.
CALLS: Mapping[str, tuple[Verb, ...]] = {
    "chat": (_chat, _stream),
    "chat_batch": (_chat_batch,),
    "classify": (_classify,),
    "complete": (_complete, _stream_complete),
    "count_tokens": (_count,),
    "embed": (_embed,),
    "embed_sparse": (_embed_sparse,),
    "image": (_image,),
    "infer": (_infer,),
    "models": (_models,),
    "moderate": (_moderate,),
    "object": (_object,),
    "rerank": (_rerank,),
    "respond": (_respond, _stream_respond),
    "score": (_score,),
    "speech": (_speech,),
    "tokenize": (_tokenize,),
    "transcribe": (_transcribe,),
    "translate": (_translate,),
}


def service_of(name: str) -> ServiceBackend:
    """A backend of ours, with what is known of its service."""
    return cast(ServiceBackend, get_backend(name))


def actions_of(name: str) -> list[str]:
    """The native actions of a backend, as it names them when it is asked for one that it has not."""
    try:
        service_of(name).encode(NativeRequest(model="m", action="?"))
    except UnsupportedOperationError as error:
        _, marker, names = str(error).partition("; it has: ")
        return names.split(", ") if marker else []
    raise AssertionError(f"{name} took an unknown action")


def offered() -> list[tuple[str, str]]:
    """Every service with each of its operations; a native action as ``native ACTION``."""
    found = []
    for name in known_backends():
        operations = sorted(service_of(name).service.operations - {"native"})
        actions = [f"native {action}" for action in actions_of(name)]
        found += [(name, operation) for operation in [*operations, *actions]]
    return found


def model_of(service: str, operation: str) -> str:
    """The model to ask, with the endpoint's name before it."""
    return f"{service}:{_MODELS.get((service, operation), 'm')}"


def endpoint_of(emulator: Emulator, service: str, **options: Any) -> Endpoint:
    """The endpoint of a service that the emulator plays."""
    return Endpoint(service, base_url=emulator.base_urls[service], keys=(Key(KEYS[service]),), **options)
