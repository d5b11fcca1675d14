"""What came back: one frozen value per operation, and the chunks of a stream."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from asyncapi.types.messages import Message, Part, Reasoning, Text, ToolCall
from asyncapi.types.tensors import Tensor
from asyncapi.types.usage import Usage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "ChatResponse",
    "Chunk",
    "ClassifyResponse",
    "CompleteResponse",
    "CountTokensResponse",
    "EmbedResponse",
    "FinishReason",
    "ImageResponse",
    "InferBatchResponse",
    "InferResponse",
    "Label",
    "Model",
    "ModelsResponse",
    "ModerateResponse",
    "Moderation",
    "NativeResponse",
    "Output",
    "Picture",
    "Ranked",
    "RerankResponse",
    "Response",
    "ScoreResponse",
    "Segment",
    "Served",
    "SparseEmbedResponse",
    "SpeechResponse",
    "Timings",
    "Token",
    "TokenizeResponse",
    "ToolCallDelta",
    "TranscribeResponse",
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


class Timings(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Where the time of a call went.

    Units: seconds. ``queue_s`` waiting for leases, all attempts together; ``service_s`` the last
    attempt, from lease to whole answer; ``first_token_s`` the last attempt until the first chunk
    of a stream; ``total_s`` from the call to its answer.
    """

    queue_s: float = 0.0
    service_s: float = 0.0
    first_token_s: float | None = None
    total_s: float = 0.0


class Served(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Who served a call, under which id and key, in how many attempts and how long.

    ``source``: "service"; "cache" for an answer that was kept, given by ``endpoint`` ``age_s`` seconds
    ago; "semantic" for one that was kept for a question that meant the same, ``similarity`` alike; "flight"
    for one that another call in flight got, too.
    """

    endpoint: str = ""
    backend: str = ""
    key: str = ""
    request_id: str = ""
    attempts: int = 0
    timings: Timings = Timings()
    source: Literal["service", "cache", "semantic", "flight"] = "service"
    age_s: float | None = None
    similarity: float | None = None


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

    @property
    def cached(self) -> bool:
        """Whether it was not asked for now but kept from before. ``usage`` is what it took then."""
        return self.served.source in ("cache", "semantic")


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


class ToolCallDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of a tool call: ``id`` and ``name`` come once, ``arguments`` in pieces, per ``index``."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class Chunk(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One event of a streamed answer; only the fields that it carries are set."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_call: ToolCallDelta | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    output: int = 0
    data: bytes = b""
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


class CountTokensResponse(Response, frozen=True, kw_only=True):
    """How many input tokens a conversation has, as ``usage.input_tokens`` too."""

    input_tokens: int = 0


class CompleteResponse(Response, frozen=True, kw_only=True):
    """Continuations, one per prompt, in order (``Output.index`` is the prompt's place)."""

    outputs: tuple[Output, ...] = ()

    @property
    def text(self) -> str:
        """The first continuation."""
        return self.outputs[0].text if self.outputs else ""

    @property
    def texts(self) -> tuple[str, ...]:
        """All continuations."""
        return tuple(output.text for output in self.outputs)


class SparseEmbedResponse(Response, frozen=True, kw_only=True):
    """Sparse vectors, one per text: (index, weight) pairs."""

    vectors: tuple[tuple[tuple[int, float], ...], ...] = ()


class Label(msgspec.Struct, frozen=True):
    """A class and its score."""

    label: str
    score: float


class ClassifyResponse(Response, frozen=True, kw_only=True):
    """Labels per input, best first."""

    results: tuple[tuple[Label, ...], ...] = ()


class ScoreResponse(Response, frozen=True, kw_only=True):
    """One score per document, in order."""

    scores: tuple[float, ...] = ()


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token: its id, and its text and place where the service gives them."""

    id: int
    text: str | None = None
    start: int | None = None
    stop: int | None = None
    special: bool = False


class TokenizeResponse(Response, frozen=True, kw_only=True):
    """Tokens per text."""

    results: tuple[tuple[Token, ...], ...] = ()


class Moderation(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one text."""

    flagged: bool
    categories: Mapping[str, bool] = {}
    scores: Mapping[str, float] = {}


class ModerateResponse(Response, frozen=True, kw_only=True):
    """One verdict per text, in order."""

    results: tuple[Moderation, ...] = ()


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A generated picture: its bytes, or where it can be fetched."""

    data: bytes = b""
    url: str = ""
    media_type: str = "image/png"
    revised_prompt: str = ""


class ImageResponse(Response, frozen=True, kw_only=True):
    """The pictures."""

    images: tuple[Picture, ...] = ()


class SpeechResponse(Response, frozen=True, kw_only=True):
    """Spoken text as bytes of ``media_type``."""

    audio: bytes = b""
    media_type: str = ""


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of speech, or one word. Units: seconds."""

    text: str
    start: float
    end: float


class TranscribeResponse(Response, frozen=True, kw_only=True):
    """Written speech. ``duration`` in seconds where the service gives it."""

    text: str = ""
    language: str = ""
    duration: float | None = None
    segments: tuple[Segment, ...] = ()
    words: tuple[Segment, ...] = ()


class InferResponse(Response, frozen=True, kw_only=True):
    """Named tensors."""

    outputs: Mapping[str, Tensor] = {}

    def numpy(self) -> dict[str, npt.NDArray[Any]]:
        """The tensors as numpy arrays."""
        return {name: tensor.numpy() for name, tensor in self.outputs.items()}


class InferBatchResponse(Response, frozen=True, kw_only=True):
    """One result for each inference, in order: its outputs, or the error with which it failed alone."""

    results: tuple[InferResponse | Exception, ...] = ()


class NativeResponse(Response, frozen=True, kw_only=True):
    """What a service's own operation gave: ``result`` is its JSON."""

    result: Any = None
