"""An answer comes back from its bytes as it was, and from other bytes not at all."""

from __future__ import annotations

from array import array

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncapi import (
    ChatResponse,
    Chunk,
    ClassifyResponse,
    CompleteResponse,
    CountTokensResponse,
    EmbedResponse,
    Image,
    ImageResponse,
    InferResponse,
    ModelsResponse,
    ModerateResponse,
    ObjectResponse,
    Reasoning,
    RerankResponse,
    Response,
    ScoreResponse,
    SparseEmbedResponse,
    SpeechResponse,
    Tensor,
    Text,
    TokenizeResponse,
    ToolCall,
    TranscribeResponse,
    Usage,
)
from asyncapi.caching.codec import KINDS, decode, encode
from asyncapi.types.messages import RawPart
from asyncapi.types.responses import (
    Label,
    Model,
    Moderation,
    Output,
    Picture,
    Ranked,
    Segment,
    Served,
    Token,
    ToolCallDelta,
)

USAGE = Usage(input_tokens=3, output_tokens=5, reasoning_tokens=2, source="reported")
ANSWERS: dict[str, Response] = {
    "chat": ChatResponse(
        id="c-1",
        model="m",
        usage=USAGE,
        raw={"id": "c-1", "choices": [{"index": 0, "logprobs": None, "x": [1, 2.5, True]}]},
        provider_request_id="p-1",
        warnings=("dropped top_k",),
        outputs=(
            Output(
                parts=(
                    Reasoning(text="hm", provider="claude", provider_data={"signature": "s"}),
                    Text("hello"),
                    Text("cached", cache="5m"),
                    ToolCall(id="t", name="f", arguments='{"a": 1}'),
                    Image(url="https://x.test/a.png"),
                    RawPart(provider="claude", data={"type": "x"}),
                ),
                finish_reason="tool_calls",
                raw_reason="tool_use",
                stop_sequence="END",
                logprobs=[{"token": "a"}],
            ),
            Output(index=1, parts=(Text("other"),), refusal="no"),
        ),
    ),
    "complete": CompleteResponse(model="m", outputs=(Output(parts=(Text("one"),)),)),
    "embed": EmbedResponse(usage=USAGE, vectors=(array("f", [0.1, -2.5]), array("f", [1.0, 0.0]))),
    "embed_sparse": SparseEmbedResponse(vectors=(((3, 0.5), (9, 0.25)), ())),
    "rerank": RerankResponse(results=(Ranked(1, 0.9, "text"), Ranked(0, 0.1))),
    "score": ScoreResponse(scores=(0.5, 1.0)),
    "classify": ClassifyResponse(results=((Label("good", 0.9), Label("bad", 0.1)),)),
    "tokenize": TokenizeResponse(results=((Token(id=1, text="a", start=0, stop=1, special=True),),)),
    "moderate": ModerateResponse(results=(Moderation(flagged=True, categories={"x": True}),)),
    "count_tokens": CountTokensResponse(input_tokens=12),
    "infer": InferResponse(
        outputs={
            "y": Tensor(datatype="FP32", shape=(1, 2), data=b"12345678"),
            "names": Tensor(datatype="BYTES", shape=(2,), data=[b"a", "b"]),
        }
    ),
    "image": ImageResponse(images=(Picture(data=b"\x89PNG", revised_prompt="a cat"),)),
    "speech": SpeechResponse(audio=b"ID3", media_type="audio/mpeg"),
    "transcribe": TranscribeResponse(
        text="hi", duration=1.5, words=(Segment(text="hi", start=0.0, end=1.0),)
    ),
    "models": ModelsResponse(models=(Model(id="m", context_length=10),)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_comes_back_as_it_was(kind: str) -> None:
    """Every kind, every field; who served it, without how long that took."""
    served = Served(endpoint="main", backend="openai", key="k", request_id="r", attempts=2)
    answer = msgspec.structs.replace(ANSWERS[kind], served=served)

    entry = encode(answer, created=100.0)
    assert entry is not None
    kept = decode(entry, now=160.0)

    assert kept.response == ANSWERS[kind]
    assert (kept.endpoint, kept.backend, kept.age_s) == ("main", "openai", 60.0)


def test_what_comes_back_belongs_to_its_reader() -> None:
    """Changing it changes nobody else's."""
    entry = encode(ANSWERS["embed"], created=0.0) or b""
    first, second = (decode(entry, 0.0).response for _ in range(2))
    assert isinstance(first, EmbedResponse)
    assert isinstance(second, EmbedResponse)

    first.vectors[0][0] = 7.0

    assert second == ANSWERS["embed"]


def test_the_chunks_of_a_stream_come_back() -> None:
    """In order, with everything but the service's own JSON; and only if they are wanted."""
    chunks = (
        Chunk(reasoning="hm"),
        Chunk(text="hel", raw={"delta": "hel"}),
        Chunk(text="lo"),
        Chunk(text="again", output=1),
        Chunk(tool_call=ToolCallDelta(0, "t", "f", "{}")),
        Chunk(finish_reason="stop"),
        Chunk(usage=USAGE, data=b"\x00"),
    )
    entry = encode(ANSWERS["chat"], chunks, created=0.0) or b""

    assert decode(entry, 0.0).chunks == ()
    assert decode(entry, 0.0, stream=True).chunks == tuple(
        msgspec.structs.replace(c, raw=None) for c in chunks
    )


def test_the_json_of_a_list_is_kept_only_if_wanted() -> None:
    """It may belong to a whole batch."""
    answer = msgspec.structs.replace(ANSWERS["rerank"], raw={"results": []})

    assert decode(encode(answer, created=0.0) or b"", 0.0).response.raw is None
    assert decode(encode(answer, created=0.0, whole=True) or b"", 0.0).response == answer


def test_a_json_that_can_not_be_kept_is_left_out() -> None:
    """A backend of one's own may put anything there."""
    answer = ChatResponse(raw=object(), outputs=(Output(parts=(Text("hi"),)),))

    entry = encode(answer, created=0.0) or b""

    assert decode(entry, 0.0).response == ChatResponse(outputs=(Output(parts=(Text("hi"),)),))


def test_an_object_is_no_answer_to_keep() -> None:
    """What is in a store changes."""
    assert encode(ObjectResponse(body=b"x"), created=0.0) is None


@settings(deadline=None)
@given(st.binary(max_size=60), st.sampled_from(list(ANSWERS)), st.integers(0, 200), st.integers(0, 255))
def test_damaged_bytes_are_a_value_error_and_nothing_else(
    noise: bytes, kind: str, place: int, byte: int
) -> None:
    """Noise, a cut, or one wrong byte, which may also go unseen."""
    entry = encode(ANSWERS[kind], (Chunk(text="a"),), created=0.0) or b""
    place %= len(entry)

    for damaged in (noise, entry[:place], entry[:place] + bytes([byte]) + entry[place + 1 :]):
        try:
            decode(damaged, 0.0, stream=True)
        except ValueError:
            continue
