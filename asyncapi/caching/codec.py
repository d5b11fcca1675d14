"""An answer to bytes and back.

::

    version 1 B · when it was made 8 B · length of the answer 4 B · answer · chunks

Both parts are MessagePack. A reader that wants no stream never decodes the chunks. Vectors and tensors
are kept as the bytes that they are. The service's own JSON (``raw``) is kept for answers of which there
is one a request; that of list operations belongs to whole batches, repeats what is in the answer and
may be ten times its size: it is left out, unless ``whole`` is asked for.

Nothing here runs code that the bytes name: a file that others can write to may at worst give wrong answers.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence
from typing import Any, Union, cast

import msgspec
from msgspec.structs import astuple, replace

from asyncapi.types.kept import Kept
from asyncapi.types.messages import Audio, File, Image, Part, RawPart, Reasoning, Text, ToolCall, ToolResult
from asyncapi.types.responses import (
    ChatResponse,
    Chunk,
    ClassifyResponse,
    CompleteResponse,
    CountTokensResponse,
    EmbedResponse,
    FinishReason,
    ImageResponse,
    InferResponse,
    ModelsResponse,
    ModerateResponse,
    Output,
    RerankResponse,
    Response,
    ScoreResponse,
    Served,
    SparseEmbedResponse,
    SpeechResponse,
    TokenizeResponse,
    ToolCallDelta,
    TranscribeResponse,
)
from asyncapi.types.usage import Usage

__all__ = ["KINDS", "decode", "encode"]

VERSION = 1
_HEAD = struct.Struct("<BdI")

#: The answers that can be kept, under the names by which they are.
KINDS: dict[str, type[Response]] = {
    "chat": ChatResponse,
    "complete": CompleteResponse,
    "embed": EmbedResponse,
    "embed_sparse": SparseEmbedResponse,
    "rerank": RerankResponse,
    "score": ScoreResponse,
    "classify": ClassifyResponse,
    "tokenize": TokenizeResponse,
    "moderate": ModerateResponse,
    "count_tokens": CountTokensResponse,
    "infer": InferResponse,
    "image": ImageResponse,
    "speech": SpeechResponse,
    "transcribe": TranscribeResponse,
    "models": ModelsResponse,
}
_NAMES = {kind: name for name, kind in KINDS.items()}
_ONE_EACH = frozenset({ChatResponse, CompleteResponse, ImageResponse, SpeechResponse, TranscribeResponse})

_PARTS: tuple[type[msgspec.Struct], ...] = (
    Text,
    Image,
    Audio,
    File,
    ToolCall,
    ToolResult,
    Reasoning,
    RawPart,
)


def _stored(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The form in which a part is kept: tagged with its name, as the parts themselves can't be told apart."""
    fields = [(field.name, field.type) for field in msgspec.structs.fields(kind)]
    return msgspec.defstruct(f"Stored{kind.__name__}", fields, tag=kind.__name__, array_like=True)


_STORED = {kind: _stored(kind) for kind in _PARTS}
_PLAIN = {stored: kind for kind, stored in _STORED.items()}
#: A plain text, which nearly every part is, is kept as nothing but itself.
_StoredPart: Any = Union[(str, *_STORED.values())]


class _Answer(msgspec.Struct, array_like=True):
    """What every answer begins with."""

    kind: str
    endpoint: str
    backend: str
    body: msgspec.Raw


class _Base(msgspec.Struct, array_like=True):
    id: str
    model: str
    usage: Usage
    raw: Any
    provider_request_id: str
    warnings: tuple[str, ...]


class _Outputs(_Base, array_like=True):
    """Chats and completions."""

    outputs: tuple[tuple[int, tuple[_StoredPart, ...], str, str, str, str | None, Any], ...]


class _Vectors(_Base, array_like=True):
    """Embeddings: the bytes of each vector, little-endian."""

    typecode: str
    vectors: tuple[bytes, ...]


class _Piece(msgspec.Struct, array_like=True):
    """A chunk of a stream that is more than text."""

    text: str
    reasoning: str
    refusal: str
    tool_call: ToolCallDelta | None
    finish_reason: FinishReason | None
    usage: Usage | None
    output: int
    data: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode_answer = msgspec.msgpack.Decoder(_Answer).decode
_decode_outputs = msgspec.msgpack.Decoder(_Outputs).decode
_decode_vectors = msgspec.msgpack.Decoder(_Vectors).decode
_decode_chunks = msgspec.msgpack.Decoder(tuple[str | _Piece, ...]).decode
_DECODERS = {
    name: msgspec.msgpack.Decoder(kind).decode
    for name, kind in KINDS.items()
    if name not in ("chat", "complete", "embed")
}


def encode(
    response: Response, chunks: Sequence[Chunk] = (), *, created: float, whole: bool = False
) -> bytes | None:
    """The bytes of an answer, None for one of a kind that can't be kept.

    Args:
        response: The answer; who served it is kept, how long that took is not.
        chunks: As they came, for an answer that was streamed.
        created: Now (unix time, seconds).
        whole: Keep ``raw`` whatever it is.
    """
    kind = _NAMES.get(type(response))
    if kind is None:
        return None
    if not whole and type(response) not in _ONE_EACH:
        response = replace(response, raw=None)
    served = response.served
    try:
        body = _encode(_body(response))
    except (TypeError, ValueError, OverflowError, RecursionError):  # a foreign backend's raw can be anything
        response = replace(response, raw=None)
        body = _encode(_body(response))
    answer = _encode(_Answer(kind, served.endpoint, served.backend, msgspec.Raw(body)))
    pieces = _encode([_piece(chunk) for chunk in chunks]) if chunks else b""
    return _HEAD.pack(VERSION, created, len(answer)) + answer + pieces


def decode(entry: bytes, now: float, *, stream: bool = False) -> Kept:
    """The answer in these bytes.

    Args:
        entry: From ``encode``.
        now: Unix time (seconds).
        stream: Whether the chunks are wanted, too.

    Raises:
        ValueError: They are no answer, or one of another version.
    """
    try:
        version, created, length = _HEAD.unpack_from(entry)
    except struct.error as error:
        raise ValueError(f"a kept answer of {len(entry)} bytes") from error
    if version != VERSION or len(entry) < _HEAD.size + length:
        raise ValueError(f"a kept answer of version {version}, or cut short")
    view = memoryview(entry)
    answer = _decode_answer(view[_HEAD.size : _HEAD.size + length])  # its errors are ValueErrors
    pieces = view[_HEAD.size + length :]
    return Kept(
        response=_response(answer.kind, answer.body),
        chunks=tuple(map(_chunk, _decode_chunks(pieces))) if stream and pieces else (),
        endpoint=answer.endpoint,
        backend=answer.backend,
        age_s=max(0.0, now - created),
    )


def _body(response: Response) -> Any:
    if isinstance(response, ChatResponse | CompleteResponse):
        return _Outputs(*_base(response, tuple(map(_output, response.outputs))))
    if isinstance(response, EmbedResponse):
        typecode = response.vectors[0].typecode if response.vectors else "f"
        return _Vectors(*_base(response, typecode, tuple(map(_little, response.vectors))))
    return replace(response, served=Served())


def _response(kind: str, body: msgspec.Raw) -> Response:
    if kind in ("chat", "complete"):
        found = _decode_outputs(body)
        return KINDS[kind](  # written out: by a loop over the names it takes 1 us more
            id=found.id,
            model=found.model,
            usage=found.usage,
            raw=found.raw,
            provider_request_id=found.provider_request_id,
            warnings=found.warnings,
            outputs=tuple([_restored(*values) for values in found.outputs]),  # type: ignore[call-arg]
        )
    if kind == "embed":
        kept = _decode_vectors(body)
        base = dict(zip(_Base.__struct_fields__, astuple(kept), strict=False))
        return EmbedResponse(vectors=tuple(_array(kept.typecode, data) for data in kept.vectors), **base)
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise ValueError(f"a kept answer of the unknown kind {kind!r:.40}")
    return decoder(body)


def _base(response: Response, *rest: object) -> tuple[Any, ...]:
    r = response
    return r.id, r.model, r.usage, r.raw, r.provider_request_id, r.warnings, *rest


def _output(output: Output) -> tuple[Any, ...]:
    o = output
    parts = tuple(map(_part, o.parts))
    return o.index, parts, o.finish_reason, o.raw_reason, o.refusal, o.stop_sequence, o.logprobs


def _restored(
    index: int,
    parts: Sequence[Any],
    finish_reason: Any,
    raw_reason: str,
    refusal: str,
    stop_sequence: str | None,
    logprobs: Any,
) -> Output:
    return Output(
        index=index,
        parts=tuple([Text(part) if type(part) is str else _restored_part(part) for part in parts]),
        finish_reason=finish_reason,
        raw_reason=raw_reason,
        refusal=refusal,
        stop_sequence=stop_sequence,
        logprobs=logprobs,
    )


def _part(part: Part) -> Any:
    if type(part) is Text and part.cache is None:
        return part.text
    return _STORED[type(part)](*astuple(part))


def _restored_part(part: msgspec.Struct) -> Part:
    values = {name: getattr(part, name) for name in part.__struct_fields__}
    return cast(Part, _PLAIN[type(part)](**values))


def _little(vector: array[float]) -> bytes:
    if sys.byteorder == "big":
        vector = vector[:]
        vector.byteswap()
    return vector.tobytes()


def _array(typecode: str, data: bytes) -> array[float]:
    if typecode not in ("f", "d"):
        raise ValueError(f"kept vectors of the unknown type {typecode!r:.10}")
    vector: array[float] = array(typecode)
    vector.frombytes(data)
    if sys.byteorder == "big":
        vector.byteswap()
    return vector


def _piece(chunk: Chunk) -> str | _Piece:
    """A chunk without its ``raw``, which is many times its size."""
    values = astuple(chunk)[:-1]
    return chunk.text if values[1:] == _ONLY_TEXT else _Piece(*values)


_ONLY_TEXT = astuple(Chunk())[1:-1]


def _chunk(piece: str | _Piece) -> Chunk:
    if isinstance(piece, str):
        return Chunk(text=piece)
    return Chunk(**dict(zip(_Piece.__struct_fields__, astuple(piece), strict=True)))
