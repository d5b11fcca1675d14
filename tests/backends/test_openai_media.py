"""Pictures, speech and transcripts in the OpenAI dialect: bytes that are no JSON, forms, plain texts."""

from __future__ import annotations

import base64
import json
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import pytest
from msgspec.structs import replace

from asyncapi.errors import AsyncAPIError, ConfigError, DecodeError, ServerError
from asyncapi.types.requests import Extra, ImageRequest, SpeechRequest, TranscribeRequest, TranslateRequest
from asyncapi.types.responses import ImageResponse, Picture, Segment, SpeechResponse, TranscribeResponse
from asyncapi.types.usage import Usage
from asyncapi.types.wire import WireRequest, WireResponse

from .openai_golden import dialect, reply

IMAGE = ImageRequest(model="m", prompt="a cat")
SPEECH = SpeechRequest(model="m", text="Hello", voice="ash")
AUDIO = b"RIFF\r\n\x00\xff--"
TRANSCRIBE = TranscribeRequest(model="m", audio=AUDIO)


def answered(data: bytes, content_type: str) -> WireResponse:
    """A reply with these bytes, and the header in the case that aiohttp's test doubles use."""
    return WireResponse(status=200, headers={"Content-Type": content_type, "x-request-id": "req"}, body=data)


def form(made: WireRequest) -> dict[str, Any]:
    """The fields of a form: name to texts, a file's to its name, type and bytes."""
    assert made.headers is not None
    assert made.body is not None
    head = f"Content-Type: {made.headers['Content-Type']}\r\n\r\n".encode()
    fields: dict[str, Any] = {}
    for part in BytesParser(policy=HTTP).parsebytes(head + made.body).iter_parts():
        name, data = str(part.get_param("name", header="content-disposition")), part.get_payload(decode=True)
        assert isinstance(data, bytes)
        if (filename := part.get_filename()) is not None:
            fields[name] = (filename, part.get_content_type(), data)
        else:
            fields.setdefault(name, []).append(data.decode())
    return fields


# -- pictures -----------------------------------------------------------------------------------------------


def test_a_picture_is_asked_for_with_what_was_said() -> None:
    """The format has another name on the wire."""
    full = replace(IMAGE, n=2, size="1x1", quality="low", background="opaque", format="webp")
    made, least = dialect("openai").encode(full), dialect("openai").encode(IMAGE)

    assert made.path == "/images/generations"
    assert made.body is not None
    assert json.loads(made.body) == {
        "model": "m", "prompt": "a cat", "n": 2, "size": "1x1", "quality": "low", "background": "opaque",
        "output_format": "webp",
    }  # fmt: skip
    assert least.body is not None
    assert json.loads(least.body) == {"model": "m", "prompt": "a cat"}


def test_pictures_come_as_bytes_or_as_addresses() -> None:
    """With the type that the service says, or that was asked for."""
    data = [
        {"b64_json": base64.b64encode(b"\x89PNG").decode(), "revised_prompt": "a fat cat"},
        {"url": "http://x/y"},
    ]
    usage = {"input_tokens": 3, "output_tokens": 9, "total_tokens": 12, "input_tokens_details": {}}
    answer = dialect("openai").decode(IMAGE, reply({"data": data, "usage": usage, "output_format": "jpeg"}))
    asked = dialect("openai").decode(replace(IMAGE, format="svg"), reply({"data": data[1:]}))

    assert isinstance(answer, ImageResponse)
    assert answer.images == (
        Picture(data=b"\x89PNG", media_type="image/jpeg", revised_prompt="a fat cat"),
        Picture(url="http://x/y", media_type="image/jpeg"),
    )
    assert answer.usage == Usage(input_tokens=3, output_tokens=9, source="reported")
    assert isinstance(asked, ImageResponse)
    assert [image.media_type for image in asked.images] == ["image/svg+xml"]


@pytest.mark.parametrize(
    "data", [None, [], [{}], [{"b64_json": "?"}], [{"b64_json": "YQ"}], [{"b64_json": 5}], [{"url": 5}], [5]]
)
def test_what_is_no_picture_is_a_decode_error(data: Any) -> None:
    """Also where the base64 is cut."""
    with pytest.raises(DecodeError):
        dialect("openai").decode(IMAGE, reply({"data": data}))


# -- speech -------------------------------------------------------------------------------------------------


def test_speech_is_asked_for_with_what_the_service_takes() -> None:
    """Instructions are OpenAI's own."""
    full = replace(SPEECH, format="opus", speed=1.5, instructions="Slowly.")
    common = {"model": "m", "input": "Hello", "voice": "ash", "response_format": "opus", "speed": 1.5}
    openai, groq = dialect("openai").encode(full), dialect("groq").encode(full)

    assert openai.path == "/audio/speech"
    assert openai.body is not None
    assert json.loads(openai.body) == {**common, "instructions": "Slowly."}
    assert groq.path == "/openai/v1/audio/speech"
    assert groq.body is not None
    assert json.loads(groq.body) == common
    assert groq.warnings == ("groq takes no instructions: dropped",)
    assert dialect("opea").encode(SPEECH).path == "/audio/speech"


@pytest.mark.parametrize("body", [b"\xff\xf3\x00", b'{"error": "said aloud"}', b"<html>"])
@pytest.mark.parametrize(
    ("content_type", "asked", "expected"),
    [
        ("audio/mpeg", None, "audio/mpeg"),
        ("Audio/WAV; rate=8000", None, "audio/wav"),
        ("", None, "audio/mpeg"),
        ("", "opus", "audio/ogg"),
        ("application/octet-stream", "flac", "audio/flac"),
    ],
)
def test_sound_is_not_looked_into(body: bytes, content_type: str, asked: str | None, expected: str) -> None:
    """Whatever its bytes are; its type is the reply's, or else what was asked for."""
    answer = dialect("openai").decode(replace(SPEECH, format=asked), answered(body, content_type))

    assert isinstance(answer, SpeechResponse)
    assert (answer.audio, answer.media_type, answer.provider_request_id) == (body, expected, "req")
    assert answer.raw is None


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"", "audio/mpeg", DecodeError),
        (b'{"a": 1}', "application/json; charset=utf-8", DecodeError),
        (b"{", "application/json", DecodeError),
        (b'{"error": {"message": "m", "type": "server_error"}}', "application/json", ServerError),
        (b"<html>", "text/html", DecodeError),
        (b"Internal Server Error", "text/plain", DecodeError),
    ],
)
def test_what_is_no_sound_is_an_error(body: bytes, content_type: str, expected: type[AsyncAPIError]) -> None:
    """The header says so."""
    with pytest.raises(expected):
        dialect("openai").decode(SPEECH, answered(body, content_type))


# -- transcripts --------------------------------------------------------------------------------------------


def test_sound_goes_as_a_form() -> None:
    """Every field by its name, lists with brackets."""
    full = replace(
        TRANSCRIBE, filename="é.mp3", media_type="audio/mpeg", language="en", prompt="p",
        format="verbose_json", temperature=0.0, timestamps=("word", "segment"),
    )  # fmt: skip
    made = dialect("openai").encode(full)

    assert (made.method, made.path) == ("POST", "/audio/transcriptions")
    assert form(made) == {
        "file": ("é.mp3", "audio/mpeg", AUDIO),
        "model": ["m"], "language": ["en"], "prompt": ["p"], "response_format": ["verbose_json"],
        "temperature": ["0.0"], "timestamp_granularities[]": ["word", "segment"],
    }  # fmt: skip
    assert form(dialect("groq").encode(TRANSCRIBE)) == {
        "file": ("audio.wav", "audio/wav", AUDIO),
        "model": ["m"],
    }
    assert dialect("groq").encode(TRANSCRIBE).path == "/openai/v1/audio/transcriptions"


def test_times_need_the_verbose_form() -> None:
    """Which is asked for with them, unless something else was."""
    timed = form(dialect("openai").encode(replace(TRANSCRIBE, timestamps=("word",))))

    assert timed["response_format"] == ["verbose_json"]


def test_translations_have_no_language_and_no_times() -> None:
    """They go where translations are."""
    request = TranslateRequest(model="m", audio=AUDIO, language="de", timestamps=("word",), prompt="p")
    made = dialect("openai").encode(request)

    assert made.path == "/audio/translations"
    assert form(made) == {"file": ("audio.wav", "audio/wav", AUDIO), "model": ["m"], "prompt": ["p"]}
    assert made.warnings == (
        "openai takes no language: dropped",
        "openai takes no timestamps: dropped",
    )


def test_what_a_service_does_not_take_is_dropped() -> None:
    """OPEA's service gives no times; without a model it takes its own."""
    made = dialect("opea").encode(replace(TRANSCRIBE, model="", timestamps=("word",)))

    assert made.path == "/audio/transcriptions"
    assert form(made) == {"file": ("audio.wav", "audio/wav", AUDIO)}
    assert made.warnings == ("opea takes no timestamps: dropped",)


def test_extras_are_fields_of_the_form() -> None:
    """Nested ones in brackets; Groq takes an address in place of the sound."""
    extra = Extra(
        body={"url": "http://x/a.wav", "include": ["logprobs"], "chunking_strategy": {"type": "server_vad"}},
        headers={"X": "y", "Authorization": "no"},
        query={"a": "b"},
    )
    made = dialect("groq").encode(replace(TRANSCRIBE, audio=b"", extra=extra))

    assert made.path == "/openai/v1/audio/transcriptions?a=b"
    assert form(made) == {
        "model": ["m"], "url": ["http://x/a.wav"], "include[]": ["logprobs"],
        "chunking_strategy[type]": ["server_vad"],
    }  # fmt: skip
    assert made.headers is not None
    assert made.headers["X"] == "y"
    assert made.warnings == ("extra.headers can't set the key: dropped Authorization",)


def test_silence_is_refused() -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigError, match="transcribe: audio is empty"):
        dialect("openai").encode(replace(TRANSCRIBE, audio=b""))


def test_a_transcript_as_json() -> None:
    """With language, duration, segments and words where the service gives them."""
    body = {
        "text": "Hi there", "language": "english", "duration": 1.5,
        "segments": [{"id": 0, "start": 0, "end": 1.5, "text": "Hi there", "tokens": [1]}],
        "words": [{"word": "Hi", "start": 0.0, "end": 0.5}, {"word": "there", "start": 0.5, "end": 1.5}],
        "usage": {"type": "tokens", "input_tokens": 4, "output_tokens": 2},
    }  # fmt: skip
    answer = dialect("openai").decode(TRANSCRIBE, reply(body))

    assert isinstance(answer, TranscribeResponse)
    assert (answer.text, answer.language, answer.duration) == ("Hi there", "english", 1.5)
    assert answer.segments == (Segment(text="Hi there", start=0.0, end=1.5),)
    assert answer.words == (
        Segment(text="Hi", start=0.0, end=0.5),
        Segment(text="there", start=0.5, end=1.5),
    )
    assert answer.usage == Usage(input_tokens=4, output_tokens=2, source="reported")


@pytest.mark.parametrize(
    ("body", "duration"),
    [
        ({"text": "Hi", "usage": {"type": "duration", "seconds": 9}}, 9.0),
        ({"text": "Hi", "duration": "2.5"}, 2.5),
        ({"text": "Hi", "segments": None, "words": None}, None),
        ("Hi", None),
    ],
)
def test_a_short_transcript(body: Any, duration: float | None) -> None:
    """Seconds may stand in the bill only; FastAPI makes JSON of a bare text."""
    answer = dialect("opea").decode(TRANSCRIBE, reply(body))

    assert isinstance(answer, TranscribeResponse)
    assert (answer.text, answer.duration, answer.usage) == ("Hi", duration, Usage())


@pytest.mark.parametrize(
    ("wanted", "body", "text"),
    [
        ("text", "Grüß Gott\n", "Grüß Gott"),
        ("text", "", ""),
        ("srt", "1\n00:00:00,000 --> 00:00:01,000\nHi\n\n", "1\n00:00:00,000 --> 00:00:01,000\nHi\n\n"),
        ("vtt", "WEBVTT\n", "WEBVTT\n"),
    ],
)
def test_a_transcript_as_plain_text(wanted: str, body: str, text: str) -> None:
    """Which is not JSON, even where it looks like it."""
    answer = dialect("openai").decode(
        replace(TRANSCRIBE, format=wanted), answered(body.encode(), "text/plain; charset=utf-8")
    )

    assert isinstance(answer, TranscribeResponse)
    assert (answer.text, answer.raw, answer.provider_request_id) == (text, body, "req")


def test_json_is_read_also_where_text_was_asked_for() -> None:
    """Some servers know nothing else."""
    answer = dialect("openai").decode(
        replace(TRANSCRIBE, format="text"), answered(b'{"text": "Hi"}', "application/json")
    )

    assert isinstance(answer, TranscribeResponse)
    assert answer.text == "Hi"


@pytest.mark.parametrize(
    ("wanted", "body", "content_type", "expected"),
    [
        (None, b"Hi", "text/plain", DecodeError),
        (None, b"{}", "application/json", DecodeError),
        (None, b"[]", "application/json", DecodeError),
        (None, b'{"text": "a", "duration": "long"}', "application/json", DecodeError),
        (None, b'{"text": "a", "duration": []}', "application/json", DecodeError),
        (None, b'{"text": "a", "words": [{"word": "a"}]}', "application/json", DecodeError),
        (None, b'{"text": "a", "segments": [{"text": 1}]}', "application/json", DecodeError),
        ("text", b"\xff\xfe", "text/plain", DecodeError),
        ("text", b"<html>", "text/html", DecodeError),
        ("text", b'{"error": {"message": "m"}}', "application/json", ServerError),
        (None, b'{"error": {"message": "m"}}', "", ServerError),
    ],
)
def test_what_is_no_transcript_is_an_error(
    wanted: str | None, body: bytes, content_type: str, expected: type[AsyncAPIError]
) -> None:
    """In each form."""
    with pytest.raises(expected):
        dialect("openai").decode(replace(TRANSCRIBE, format=wanted), answered(body, content_type))
