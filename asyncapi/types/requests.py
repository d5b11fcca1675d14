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

__all__ = [
    "ChatParameters",
    "ChatRequest",
    "EmbedRequest",
    "Extra",
    "ModelsRequest",
    "Priority",
    "Request",
    "RerankRequest",
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
