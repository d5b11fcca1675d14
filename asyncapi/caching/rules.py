"""Which questions may share an answer, and which answers are worth keeping."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from asyncapi.types.messages import Reasoning, Text
from asyncapi.types.requests import ChatRequest, CompleteRequest, InferRequest, Request, TranscribeRequest
from asyncapi.types.responses import (
    ChatResponse,
    ClassifyResponse,
    CompleteResponse,
    CountTokensResponse,
    EmbedResponse,
    ImageResponse,
    InferResponse,
    ModelsResponse,
    ModerateResponse,
    Output,
    RerankResponse,
    Response,
    ScoreResponse,
    SparseEmbedResponse,
    SpeechResponse,
    TokenizeResponse,
    TranscribeResponse,
)

__all__ = ["CACHEABLE", "CACHED", "deterministic", "keepable", "repeatable"]

#: Kept unless said otherwise: text in, text or numbers out.
CACHED = frozenset(
    {
        "chat",
        "respond",
        "complete",
        "embed",
        "embed_sparse",
        "rerank",
        "score",
        "classify",
        "tokenize",
        "moderate",
        "count_tokens",
        "infer",
        "transcribe",
        "translate",
    }
)
#: Kept where a time to live names them: pictures and sound are large, and lists of models change.
CACHEABLE = CACHED | {"image", "speech", "models"}

#: Of these there is one right answer.
_BY_NATURE = frozenset(
    {"embed", "embed_sparse", "rerank", "score", "classify", "tokenize", "moderate", "count_tokens", "infer"}
)
#: Sampled to its end, or handed over to the program's own functions.
_WHOLE = frozenset({"stop", "length", "tool_calls"})


def repeatable(request: Request) -> bool:
    """Whether asking once may stand for asking twice: no object store, no service's own action.

    Neither a turn of a model that remembers the turns before it (KServe's sequences).
    """
    if isinstance(request, InferRequest):
        return "sequence_id" not in request.parameters
    return request.operation in CACHEABLE


def deterministic(request: Request) -> bool:
    """Whether the same request has the same answer by its nature or its parameters.

    Temperature 0 or a seed make a chat, a completion or a transcript so, as far as any service can promise.
    """
    if not repeatable(request):
        return False
    if request.operation in _BY_NATURE:
        return True
    match request:
        case ChatRequest() | CompleteRequest():
            return request.temperature == 0 or request.seed is not None
        case TranscribeRequest():
            return request.temperature == 0
    return False


def keepable(response: Response) -> bool:
    """Whether an answer is whole, and says something. Refusals and empty answers are asked for again."""
    judge = _JUDGES.get(type(response))
    return judge is not None and judge(response)


def _said(output: Output) -> bool:
    if output.finish_reason not in _WHOLE or output.refusal:
        return False
    return any(
        bool(part.text) if isinstance(part, Text) else not isinstance(part, Reasoning)
        for part in output.parts
    )


def _sound(vectors: Any) -> bool:
    """Every text has a vector, and no number in it is damaged."""
    return bool(vectors) and all(len(v) and math.isfinite(sum(v)) for v in vectors)


_JUDGES: dict[type[Response], Callable[[Any], bool]] = {
    ChatResponse: lambda r: bool(r.outputs) and all(map(_said, r.outputs)),
    CompleteResponse: lambda r: bool(r.outputs) and all(map(_said, r.outputs)),
    EmbedResponse: lambda r: _sound(r.vectors),
    SparseEmbedResponse: lambda r: bool(r.vectors),
    RerankResponse: lambda r: bool(r.results),
    ScoreResponse: lambda r: bool(r.scores),
    ClassifyResponse: lambda r: bool(r.results) and all(r.results),
    TokenizeResponse: lambda r: bool(r.results),
    ModerateResponse: lambda r: bool(r.results),
    CountTokensResponse: lambda r: r.input_tokens > 0,
    InferResponse: lambda r: bool(r.outputs),
    ModelsResponse: lambda r: bool(r.models),
    ImageResponse: lambda r: bool(r.images) and all(image.data for image in r.images),
    SpeechResponse: lambda r: bool(r.audio),
    TranscribeResponse: lambda r: bool(r.text),
}
