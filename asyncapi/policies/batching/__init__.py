"""Which calls may travel together, and how an answer is shared out again.

A strategy knows one operation: what makes two requests compatible, how to merge and to split them.
It works on the normal form, so it serves every service that offers the operation.
"""

from __future__ import annotations

from collections.abc import Mapping

from asyncapi.policies.batching.chats import ChatBatching
from asyncapi.policies.batching.lists import ClassifyBatching, CompleteBatching, EmbedBatching, ListBatching
from asyncapi.policies.batching.objects import ObjectBatching
from asyncapi.policies.batching.rankings import RerankBatching
from asyncapi.policies.batching.shares import share
from asyncapi.policies.batching.sides import SideBySide
from asyncapi.policies.batching.sizes import Ceiling, Sizes, too_large
from asyncapi.policies.batching.strategy import Batching
from asyncapi.policies.batching.tensors import InferBatching
from asyncapi.policies.batching.waits import AdaptiveWait, Wait
from asyncapi.types.requests import ModerateRequest, ScoreRequest, SparseEmbedRequest, TokenizeRequest

__all__ = [
    "STRATEGIES",
    "AdaptiveWait",
    "Batching",
    "Ceiling",
    "ChatBatching",
    "ClassifyBatching",
    "CompleteBatching",
    "EmbedBatching",
    "InferBatching",
    "ListBatching",
    "ObjectBatching",
    "RerankBatching",
    "SideBySide",
    "Sizes",
    "Wait",
    "share",
    "too_large",
]

#: How each operation travels together, where a service's row says that it may; and ways of single services.
STRATEGIES: Mapping[str, Batching] = {
    "chat": ChatBatching(),
    "classify": ClassifyBatching(),
    "complete": CompleteBatching(),
    "embed": EmbedBatching(),
    "embed_sparse": ListBatching(SparseEmbedRequest, "inputs", "vectors"),
    "infer": InferBatching(),
    "moderate": ListBatching(ModerateRequest, "inputs", "results"),
    "object": ObjectBatching(),
    "rerank": RerankBatching(),
    "infer side by side": SideBySide(),
    "score": ListBatching(ScoreRequest, "documents", "scores"),
    "tokenize": ListBatching(TokenizeRequest, "inputs", "results"),
}
