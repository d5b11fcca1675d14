"""Pictures and speech in the OpenAI dialect. Speech comes as bytes and goes as a form."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any, ClassVar

from asyncapi.backends._openai_codec import Body, Codec, media_type, number, read_tokens, typed
from asyncapi.backends._openai_reply import request_id
from asyncapi.errors import ConfigError, DecodeError
from asyncapi.types.requests import ImageRequest, Request, SpeechRequest, TranscribeRequest
from asyncapi.types.responses import ImageResponse, Picture, Segment, SpeechResponse, TranscribeResponse
from asyncapi.types.wire import WireResponse
from asyncapi.wire.errors import is_error
from asyncapi.wire.json import loads
from asyncapi.wire.masking import excerpt
from asyncapi.wire.multipart import Form

__all__ = ["Image", "Speech", "Transcribe", "Translate"]

_IMAGE = {
    "n": "n",
    "size": "size",
    "quality": "quality",
    "background": "background",
    "format": "output_format",
}
_SPEECH = {"format": "response_format", "speed": "speed", "instructions": "instructions"}
_SOUNDS = {"mp3": "audio/mpeg", "opus": "audio/ogg", "pcm": "audio/L16"}
#: Forms of a transcript that are no JSON.
_TEXTS = frozenset({"text", "srt", "vtt"})


class Image(Codec[ImageRequest]):
    """Pictures made from a prompt."""

    operation = "image"

    def write(self, request: ImageRequest, notes: list[str]) -> Body:
        """The body."""
        return {
            "model": request.model,
            "prompt": request.prompt,
            **_named(self, request, _IMAGE, notes),
        }

    def read(self, request: ImageRequest, reply: WireResponse) -> ImageResponse:
        """The pictures, as bytes or as an address."""
        data = self.object(reply)
        kind = typed(data.get("output_format") or request.format or "png", str)
        images = tuple([_picture(item, kind) for item in typed(data["data"], list)])
        if not images:
            raise ValueError("no pictures")
        return ImageResponse(
            model=request.model,
            images=images,
            usage=read_tokens(data.get("usage")),
            raw=data,
            provider_request_id=request_id(reply.headers),
        )


class Speech(Codec[SpeechRequest]):
    """Text spoken."""

    operation = "speech"

    def write(self, request: SpeechRequest, notes: list[str]) -> Body:
        """The body."""
        return {
            "model": request.model,
            "input": request.text,
            "voice": request.voice,
            **_named(self, request, _SPEECH, notes),
        }

    def read(self, request: SpeechRequest, reply: WireResponse) -> SpeechResponse:
        """The sound as it came. Its bytes are looked at only where the headers say that it is none."""
        kind = media_type(reply.headers)
        if kind in ("application/json", "text/html", "text/plain"):
            if kind == "application/json" and is_error(loads(reply.body, self.service)):
                raise self.failure(reply)
            raise ValueError(f"{kind} where sound was expected")
        if not reply.body:
            raise ValueError("no sound")
        asked = request.format or "mp3"
        if kind in ("", "application/octet-stream"):
            kind = _SOUNDS.get(asked, f"audio/{asked}")
        return SpeechResponse(
            model=request.model,
            audio=reply.body,
            media_type=kind,
            provider_request_id=request_id(reply.headers),
        )


class Transcribe(Codec[TranscribeRequest]):
    """Speech written down."""

    operation = "transcribe"
    fields: ClassVar[Mapping[str, str | None]] = {
        "language": "language",
        "prompt": "prompt",
        "format": "response_format",
        "temperature": "temperature",
    }
    timed: ClassVar[bool] = True

    def write(self, request: TranscribeRequest, notes: list[str]) -> Body:
        """The form.

        Raises:
            ConfigError: There is no sound.
        """
        form = Form()
        if request.audio:
            form.file("file", request.audio, request.filename, request.media_type)
        elif request.extra is None:  # it may name an address instead
            raise ConfigError(f"{request.operation}: audio is empty")
        form.field("model", request.model or None)
        values = _named(self, request, self.fields, notes)
        if request.timestamps:
            self._timestamps(request, form, values, notes)
        for name, value in values.items():
            form.field(name, value)
        return form

    def _timestamps(
        self, request: TranscribeRequest, form: Form, values: dict[str, Any], notes: list[str]
    ) -> None:
        wire = self.quirks.names.get("timestamps", "timestamp_granularities")
        if not wire or not self.timed:
            notes.append(f"{self.service} takes no timestamps: dropped")
            return
        values.setdefault("response_format", "verbose_json")  # only there are they
        form.field(wire, request.timestamps)

    def read(self, request: TranscribeRequest, reply: WireResponse) -> TranscribeResponse:
        """What was said, out of JSON or a plain text."""
        kind = media_type(reply.headers)
        if request.format in _TEXTS and kind != "application/json":
            return self._text(request, reply, kind)
        data = loads(reply.body, self.service)
        if is_error(data):
            raise self.failure(reply)
        if type(data) is str:
            data = {"text": data}
        return TranscribeResponse(
            model=request.model,
            text=typed(data["text"], str),
            language=typed(data.get("language") or "", str),
            duration=_duration(data),
            segments=tuple([_segment(item, "text") for item in data.get("segments") or ()]),
            words=tuple([_segment(item, "word") for item in data.get("words") or ()]),
            usage=read_tokens(data.get("usage")),
            raw=data,
            provider_request_id=request_id(reply.headers),
        )

    def _text(self, request: TranscribeRequest, reply: WireResponse, kind: str) -> TranscribeResponse:
        if kind == "text/html":
            raise DecodeError(
                f"{self.service} answered an HTML page: {excerpt(reply.body, 200)}", body=reply.body
            )
        text = reply.body.decode()
        return TranscribeResponse(
            model=request.model,
            text=text.removesuffix("\n") if request.format == "text" else text,
            raw=text,
            provider_request_id=request_id(reply.headers),
        )


class Translate(Transcribe):
    """Speech in any language written down in English."""

    operation = "translate"
    fields: ClassVar[Mapping[str, str | None]] = {**Transcribe.fields, "language": None}
    timed = False


def _named(
    codec: Codec[Any], request: Request, names: Mapping[str, str | None], notes: list[str]
) -> dict[str, Any]:
    """The parameters that are set, by the service's names; what it does not take is dropped with a note."""
    found: dict[str, Any] = {}
    for field, usual in names.items():
        if (value := getattr(request, field)) is None:
            continue
        if wire := codec.quirks.names.get(field, usual):
            found[wire] = value
        else:
            notes.append(f"{codec.service} takes no {field}: dropped")
    return found


def _picture(item: dict[str, Any], kind: str) -> Picture:
    data = binascii.a2b_base64(typed(item.get("b64_json") or "", str), strict_mode=True)
    url = typed(item.get("url") or "", str)
    if not data and not url:
        raise ValueError("a picture without data or address")
    return Picture(
        data=data,
        url=url,
        media_type="image/svg+xml" if kind == "svg" else f"image/{kind}",
        revised_prompt=typed(item.get("revised_prompt") or "", str),
    )


def _duration(data: dict[str, Any]) -> float | None:
    """Seconds of sound, also where only the bill has them."""
    seconds = data.get("duration")
    if seconds is None and type(usage := data.get("usage")) is dict:
        seconds = usage.get("seconds")
    if type(seconds) is str:
        seconds = float(seconds)
    return None if seconds is None else number(seconds)


def _segment(item: dict[str, Any], text: str) -> Segment:
    return Segment(text=typed(item[text], str), start=number(item["start"]), end=number(item["end"]))
