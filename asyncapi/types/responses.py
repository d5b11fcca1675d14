"""What came back: one frozen value per operation, and the chunks of a stream."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from asyncapi.types.messages import Message, Part, Reasoning, Text, ToolCall
from asyncapi.types.usage import Usage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "ChatResponse",
    "Chunk",
    "EmbedResponse",
    "FinishReason",
    "Model",
    "ModelsResponse",
    "Output",
    "Ranked",
    "RerankResponse",
    "Response",
    "Served",
    "Timings",
    "ToolCallDelta",
]

FinishReason: TypeAlias = Literal[
    "stop",
    "length",
    "tool_calls",
    "content_filter",
    "refusal",
    "pause",
    "context_overflow",
    "error",
    "cancelled",
    "other",
]


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time of a call went.

    Units: seconds. ``queue_s`` waiting for leases, all attempts together; ``service_s`` the last
    attempt, from lease to whole answer; ``first_token_s`` the last attempt until the first chunk
    of a stream; ``total_s`` from the call to its answer.
    """

    queue_s: float = 0.0
    service_s: float = 0.0
    first_token_s: float | None = None
    total_s: float = 0.0


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """Who served a call, under which id and key, in how many attempts and how long."""

    endpoint: str = ""
    backend: str = ""
    key: str = ""
    request_id: str = ""
    attempts: int = 0
    timings: Timings = Timings()


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """The part that every operation shares.

    ``raw`` is the service's own JSON, not copied; ``warnings`` says what was dropped or changed
    on the way to the service.
    """

    id: str = ""
    model: str = ""
    usage: Usage = Usage()
    raw: Any = None
    provider_request_id: str = ""
    warnings: tuple[str, ...] = ()
    served: Served = Served()

    @property
    def endpoint(self) -> str:
        """Name of the endpoint that served it."""
        return self.served.endpoint

    @property
    def request_id(self) -> str:
        """Our id of the call."""
        return self.served.request_id

    @property
    def attempts(self) -> int:
        """How many attempts it took."""
        return self.served.attempts

    @property
    def timings(self) -> Timings:
        """Where the time went."""
        return self.served.timings


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """One alternative of an answer (index 0 unless ``n`` was asked for)."""

    index: int = 0
    parts: tuple[Part, ...] = ()
    finish_reason: FinishReason = "stop"
    raw_reason: str = ""
    refusal: str = ""
    stop_sequence: str | None = None
    logprobs: Any = None

    @property
    def text(self) -> str:
        """The visible text."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))


class ChatResponse(Response, frozen=True, kw_only=True):
    """An answer to a conversation. The shortcuts read the first output."""

    outputs: tuple[Output, ...] = ()

    @property
    def text(self) -> str:
        """The visible text."""
        return self.outputs[0].text if self.outputs else ""

    @property
    def reasoning(self) -> str:
        """The reasoning text that the service showed."""
        parts = self.outputs[0].parts if self.outputs else ()
        return "".join(part.text for part in parts if isinstance(part, Reasoning))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The functions that the model asks for."""
        parts = self.outputs[0].parts if self.outputs else ()
        return tuple(part for part in parts if isinstance(part, ToolCall))

    @property
    def finish_reason(self) -> FinishReason:
        """Why it ended."""
        return self.outputs[0].finish_reason if self.outputs else "other"

    @property
    def message(self) -> Message:
        """The answer as a message to append to the conversation, reasoning and tool calls included."""
        return Message("assistant", self.outputs[0].parts if self.outputs else "")


class ToolCallDelta(msgspec.Struct, frozen=True):
    """A piece of a tool call: ``id`` and ``name`` come once, ``arguments`` in pieces, per ``index``."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a streamed answer; only the fields that it carries are set."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_call: ToolCallDelta | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    output: int = 0
    raw: Any = None


class EmbedResponse(Response, frozen=True, kw_only=True):
    """Vectors, one per input text, in order.

    Shapes: ``vectors`` is a tuple of n_texts arrays of ``dimension`` float32 each.
    """

    vectors: tuple[array[float], ...] = ()

    def numpy(self) -> npt.NDArray[np.float32]:
        """The vectors as one numpy array.

        Shapes: (n_texts, dimension), float32. Needs numpy to be installed.
        """
        import numpy

        return numpy.array(
            [numpy.frombuffer(v, dtype=numpy.float32) for v in self.vectors], dtype=numpy.float32
        )


class Ranked(msgspec.Struct, frozen=True):
    """One document's place: its index in the request, its score, and its text if asked for."""

    index: int
    score: float
    document: str | None = None


class RerankResponse(Response, frozen=True, kw_only=True):
    """Documents by falling score."""

    results: tuple[Ranked, ...] = ()


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model that a service offers."""

    id: str
    created: float | None = None
    owned_by: str = ""
    context_length: int | None = None
    max_output_tokens: int | None = None
    raw: Any = None


class ModelsResponse(Response, frozen=True, kw_only=True):
    """The models of a service."""

    models: tuple[Model, ...] = ()
