"""What is asked: one frozen value per operation.

The scheduler reads only ``operation``, ``model`` and ``streams`` of a request; the rest is
between the caller and the backend that translates it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, ClassVar, Literal, TypedDict

import msgspec

from asyncapi.types.messages import Message, Tool, ToolLike
from asyncapi.types.tensors import Tensor

__all__ = [
    "ChatBatchRequest",
    "ChatParameters",
    "ChatRequest",
    "ClassifyRequest",
    "CompleteRequest",
    "CountTokensRequest",
    "EmbedRequest",
    "Extra",
    "ImageRequest",
    "InferBatchRequest",
    "InferRequest",
    "ModelsRequest",
    "ModerateRequest",
    "NativeRequest",
    "Priority",
    "Request",
    "RerankRequest",
    "RespondRequest",
    "ScoreRequest",
    "SparseEmbedRequest",
    "SpeechRequest",
    "TokenizeRequest",
    "TranscribeRequest",
    "TranslateRequest",
]


class Priority(IntEnum):
    """How urgent a call is. Under load the shares of service are 16 : 4 : 1."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


class Extra(msgspec.Struct, frozen=True, kw_only=True):
    """What a service takes beyond the normal form, merged in last; it may override all but the key."""

    body: Mapping[str, Any] = {}
    headers: Mapping[str, str] = {}
    query: Mapping[str, str] = {}


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The part that every operation shares."""

    operation: ClassVar[str] = ""
    model: str
    extra: Extra | None = None

    @property
    def streams(self) -> bool:
        """Whether the answer is read as a stream."""
        return False


class ChatRequest(Request, frozen=True, kw_only=True):
    """A conversation to continue. None leaves a parameter to the service's default.

    ``max_tokens`` counts visible and reasoning tokens. ``response_format`` is "text", "json", or
    ``{"schema": {...}, "name": ..., "strict": ...}``. ``tool_choice`` is "auto", "none",
    "required" or a tool's name. ``unsupported`` says what to do with a parameter that the
    service doesn't know: drop it and note it in ``Response.warnings``, drop it quietly, or refuse.
    """

    operation: ClassVar[str] = "chat"
    messages: tuple[Message, ...]
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    n: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None
    parallel_tool_calls: bool | None = None
    response_format: str | Mapping[str, Any] | None = None
    reasoning_effort: str | None = None
    reasoning_budget: int | None = None
    user_id: str | None = None
    metadata: Mapping[str, str] | None = None
    service_tier: str | None = None
    stream: bool = False
    unsupported: Literal["warn", "ignore", "error"] = "warn"

    @property
    def streams(self) -> bool:
        """Whether the answer is read as a stream."""
        return self.stream


class ChatBatchRequest(ChatRequest, frozen=True, kw_only=True):
    """Several conversations with the same parameters, one output each, in order; ``messages`` is empty."""

    operation: ClassVar[str] = "chat_batch"
    messages: tuple[Message, ...] = ()
    conversations: tuple[tuple[Message, ...], ...]


class EmbedRequest(Request, frozen=True, kw_only=True):
    """Texts to turn into vectors, one each, in order."""

    operation: ClassVar[str] = "embed"
    inputs: tuple[str, ...]
    dimensions: int | None = None
    user_id: str | None = None


class RerankRequest(Request, frozen=True, kw_only=True):
    """Documents to score against one query. ``top_n`` None returns them all."""

    operation: ClassVar[str] = "rerank"
    query: str
    documents: tuple[str, ...]
    top_n: int | None = None


class ModelsRequest(Request, frozen=True, kw_only=True):
    """The list of models that the service offers; ``model`` is empty."""

    operation: ClassVar[str] = "models"
    model: str = ""


class RespondRequest(ChatRequest, frozen=True, kw_only=True):
    """A turn through OpenAI's Responses API. ``previous_response_id`` continues a stored conversation."""

    operation: ClassVar[str] = "respond"
    previous_response_id: str | None = None
    store: bool | None = None
    include: tuple[str, ...] = ()


class CountTokensRequest(ChatRequest, frozen=True, kw_only=True):
    """How many input tokens a conversation has; nothing is generated."""

    operation: ClassVar[str] = "count_tokens"


class CompleteRequest(Request, frozen=True, kw_only=True):
    """Text to continue, without chat roles. Several ``prompts`` are answered one each, in order."""

    operation: ClassVar[str] = "complete"
    prompts: tuple[str, ...]
    suffix: str | None = None
    system: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logprobs: int | None = None
    response_format: str | Mapping[str, Any] | None = None
    stream: bool = False
    unsupported: Literal["warn", "ignore", "error"] = "warn"

    @property
    def streams(self) -> bool:
        """Whether the answer is read as a stream."""
        return self.stream


class SparseEmbedRequest(Request, frozen=True, kw_only=True):
    """Texts to turn into sparse vectors (index, weight), one each, in order."""

    operation: ClassVar[str] = "embed_sparse"
    inputs: tuple[str, ...]


class ClassifyRequest(Request, frozen=True, kw_only=True):
    """Texts, or pairs of texts, to label, one each, in order."""

    operation: ClassVar[str] = "classify"
    inputs: tuple[str | tuple[str, str], ...]
    raw_scores: bool = False


class ScoreRequest(Request, frozen=True, kw_only=True):
    """How alike the query and each document are, in the documents' order."""

    operation: ClassVar[str] = "score"
    query: str
    documents: tuple[str, ...]


class TokenizeRequest(Request, frozen=True, kw_only=True):
    """Texts to cut into the model's tokens."""

    operation: ClassVar[str] = "tokenize"
    inputs: tuple[str, ...]
    add_special_tokens: bool = True


class ModerateRequest(Request, frozen=True, kw_only=True):
    """Texts to check against the service's content policy, one verdict each."""

    operation: ClassVar[str] = "moderate"
    inputs: tuple[str, ...]


class ImageRequest(Request, frozen=True, kw_only=True):
    """Pictures to make from a prompt. ``size`` is "WxH"; ``format`` png, webp or jpeg."""

    operation: ClassVar[str] = "image"
    prompt: str
    n: int | None = None
    size: str | None = None
    quality: str | None = None
    background: str | None = None
    format: str | None = None


class SpeechRequest(Request, frozen=True, kw_only=True):
    """Text to speak. ``format`` is mp3, opus, aac, flac, wav or pcm."""

    operation: ClassVar[str] = "speech"
    text: str
    voice: str
    format: str | None = None
    speed: float | None = None
    instructions: str | None = None


class TranscribeRequest(Request, frozen=True, kw_only=True):
    """Speech to write down. ``timestamps`` asks for "word" or "segment" times."""

    operation: ClassVar[str] = "transcribe"
    audio: bytes
    filename: str = "audio.wav"
    media_type: str = "audio/wav"
    language: str | None = None
    prompt: str | None = None
    format: str | None = None
    temperature: float | None = None
    timestamps: tuple[str, ...] = ()


class TranslateRequest(TranscribeRequest, frozen=True, kw_only=True):
    """Speech in any language to write down in English."""

    operation: ClassVar[str] = "translate"


class InferRequest(Request, frozen=True, kw_only=True):
    """Named tensors in, named tensors out. ``outputs`` empty asks for all of them."""

    operation: ClassVar[str] = "infer"
    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...] = ()
    version: str | None = None
    parameters: Mapping[str, Any] = {}


class InferBatchRequest(Request, frozen=True, kw_only=True):
    """Several inferences of one model side by side, each with its own named tensors, in one request."""

    operation: ClassVar[str] = "infer_batch"
    inputs: tuple[Mapping[str, Tensor], ...]
    outputs: tuple[str, ...] = ()
    version: str | None = None
    parameters: Mapping[str, Any] = {}


class NativeRequest(Request, frozen=True, kw_only=True):
    """An operation that only this service has, by its name; ``arguments`` are its own."""

    operation: ClassVar[str] = "native"
    action: str
    arguments: Mapping[str, Any] = {}


class ChatParameters(TypedDict, total=False):
    """The parameters of a chat, as ``ChatRequest`` has them; ``stop`` may be one string."""

    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    stop: str | Sequence[str]
    seed: int | None
    n: int | None
    frequency_penalty: float | None
    presence_penalty: float | None
    logprobs: bool | None
    top_logprobs: int | None
    tools: Sequence[ToolLike]
    tool_choice: str | None
    parallel_tool_calls: bool | None
    response_format: str | Mapping[str, Any] | None
    reasoning_effort: str | None
    reasoning_budget: int | None
    user_id: str | None
    metadata: Mapping[str, str] | None
    service_tier: str | None
    unsupported: Literal["warn", "ignore", "error"]
    extra: Extra | None
