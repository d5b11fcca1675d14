"""What the demo asks besides chats: one errand for each verb, with the check of its answer.

The services' answers are functions of their questions, so every check is exact.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from asyncapi.client import Client
from asyncapi.emulator import UNSAFE, count_tokens, question_digest
from asyncapi.emulator.media import sound
from asyncapi.emulator.vectors import ranked, vector
from asyncapi.types.responses import Response
from asyncapi.types.tensors import Tensor

__all__ = ["ERRANDS", "Errand", "Task", "fitting"]

#: The model behind the embedding server, which has only one, whatever it is called.
_OWN_MODELS = {"hf_tei": "BAAI/bge-m3"}


class Task(NamedTuple):
    """What an errand is given: whom to ask, about what, and the options of the call."""

    client: Client
    endpoint: str
    seed: int
    text: str
    others: tuple[str, ...]
    options: Mapping[str, Any]


Result = tuple[Response, bool]


class Errand(NamedTuple):
    """A verb: which operation it needs, how often it is sent, how many at once, and how it is done.

    ``share`` is the chance in a tenth of a second, for each endpoint.
    """

    operation: str
    share: float
    at_once: int
    do: Callable[[Task], Awaitable[Result]]


def fitting(question: str, answer: str) -> bool:
    """Whether a model's answer is the one to its question."""
    return question_digest(question) in answer


async def _embed(task: Task) -> Result:
    model = "demo-embedding"
    answer = await task.client.embed(f"{task.endpoint}:{model}", task.text, **task.options)
    [found] = answer.vectors
    wanted = vector(task.seed, _OWN_MODELS.get(task.endpoint, model), task.text, len(found))
    return answer, list(found) == list(wanted)


async def _rerank(task: Task) -> Result:
    answer = await task.client.rerank(
        f"{task.endpoint}:demo-reranker", query=task.text, documents=task.others, **task.options
    )
    wanted = [index for index, _ in ranked(task.text, task.others)]
    return answer, [result.index for result in answer.results] == wanted


async def _infer(task: Task) -> Result:
    """A model server doubles numbers; the generic one gives them back."""
    numbers = [float(len(text)) for text in task.others]
    doubled = task.endpoint == "ovms"
    model, place = ("double", "input0") if doubled else ("tensor-echo", "input")
    given = Tensor(datatype="FP64", shape=(len(numbers),), data=numbers)  # a list would need numpy
    answer = await task.client.infer(f"{task.endpoint}:{model}", {place: given}, **task.options)
    [found] = answer.outputs.values()
    return answer, _numbers(found) == [number * (1 + doubled) for number in numbers]


def _numbers(tensor: Tensor) -> list[float]:
    """A tensor's values, be they raw doubles or a list."""
    data = tensor.data
    return list(memoryview(data).cast("d")) if isinstance(data, bytes) else list(data)


async def _moderate(task: Task) -> Result:
    """One text in three must not pass."""
    bad = len(task.text) % 3 == 0
    text = f"{task.text} {UNSAFE}" if bad else task.text
    answer = await task.client.moderate(f"{task.endpoint}:demo-guard", text, **task.options)
    return answer, [verdict.flagged for verdict in answer.results] == [bad]


async def _speech(task: Task) -> Result:
    answer = await task.client.speech(
        f"{task.endpoint}:demo-voice", task.text, voice="alloy", format="wav", **task.options
    )
    return answer, answer.audio == sound(task.text, "wav")


async def _transcribe(task: Task) -> Result:
    audio = sound(task.text, "wav")
    answer = await task.client.transcribe(f"{task.endpoint}:demo-ears", audio, **task.options)
    return answer, fitting(blake2b(audio, digest_size=8).hexdigest(), answer.text)


async def _tokenize(task: Task) -> Result:
    answer = await task.client.tokenize(f"{task.endpoint}:demo-model", task.text, **task.options)
    [tokens] = answer.results
    return answer, len(tokens) == count_tokens(task.text)


async def _complete(task: Task) -> Result:
    answer = await task.client.complete(f"{task.endpoint}:demo-model", task.text, **task.options)
    return answer, fitting(task.text, answer.text)


ERRANDS = (
    Errand("embed", 0.25, 4, _embed),
    Errand("rerank", 0.15, 1, _rerank),
    Errand("infer", 0.3, 1, _infer),
    Errand("moderate", 0.15, 1, _moderate),
    Errand("speech", 0.08, 1, _speech),
    Errand("transcribe", 0.08, 1, _transcribe),
    Errand("tokenize", 0.1, 1, _tokenize),
    Errand("complete", 0.1, 1, _complete),
)
