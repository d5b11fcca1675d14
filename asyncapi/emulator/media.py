"""Small but valid media: pictures and sounds made from a text, and what is heard in a sound."""

import struct
import wave
import zlib
from dataclasses import dataclass
from hashlib import shake_128
from io import BytesIO

from asyncapi.emulator.answers import answer_text, count_tokens
from asyncapi.emulator.exchange import Json
from asyncapi.emulator.forms import Upload

RATE = 8000
_SAMPLES_PER_TOKEN = 160
_MOST_TOKENS = 200
_SIDE = 2
_FRAME = b"\xff\xfb\x10\xc4" + bytes(100)
"""A silent MPEG audio frame: 32 kbit/s, 44.1 kHz, mono."""

AUDIO_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/opus",
    "ogg": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "mulaw": "audio/basic",
    "pcm": "audio/pcm",
}
"""The content type of each sound format."""

_OPENINGS = {"opus": b"OggS\0", "ogg": b"OggS\0", "aac": b"\xff\xf1", "flac": b"fLaC"}


def png(text: str) -> bytes:
    """A picture of four pixels."""
    colours = shake_128(text.encode("utf-8", "replace")).digest(3 * _SIDE * _SIDE)
    rows = b"".join(b"\0" + colours[at : at + 3 * _SIDE] for at in range(0, len(colours), 3 * _SIDE))
    header = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0)
    blocks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_block(kind, data) for kind, data in blocks)


def _block(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def samples(text: str) -> bytes:
    """Sound as 16-bit mono: a fiftieth of a second for each token of the text, four seconds at most."""
    tokens = min(max(1, count_tokens(text)), _MOST_TOKENS)
    noise = shake_128(text.encode("utf-8", "replace")).digest(tokens * _SAMPLES_PER_TOKEN)
    return b"".join(struct.pack("<h", 64 * (byte - 128)) for byte in noise)


def sound(text: str, form: str) -> bytes:
    """A text read aloud; only wav, pcm, mulaw and mp3 can be played, the others look right at their start."""
    pcm = samples(text)
    if form == "wav":
        return _wav(pcm)
    if form == "mp3":
        return _FRAME * max(1, len(pcm) // 1000)
    if form == "mulaw":
        return pcm[1::2]
    return _OPENINGS.get(form, b"") + pcm


def _wav(pcm: bytes) -> bytes:
    target = BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm)
    return target.getvalue()


@dataclass(frozen=True, slots=True)
class Heard:
    """What is understood of a sound.

    Units: ``seconds`` as the file's header tells, or as its size lets guess.
    """

    text: str
    seconds: float

    @property
    def segments(self) -> list[tuple[float, float, str]]:
        """(start, end, text) of every eight words."""
        words = self.text.split(" ")
        groups = [" ".join(words[at : at + 8]) for at in range(0, len(words), 8)]
        each = self.seconds / len(groups)
        return [(index * each, (index + 1) * each, group) for index, group in enumerate(groups)]

    @property
    def words(self) -> list[Json]:
        """Every word with its time."""
        words = self.text.split(" ")
        each = self.seconds / len(words)
        return [
            {"word": word, "start": index * each, "end": (index + 1) * each}
            for index, word in enumerate(words)
        ]


def heard(seed: int, model: str, source: Upload | str) -> Heard:
    """The words of a sound: a pure function of its bytes, or of its address."""
    if isinstance(source, str):
        return Heard(answer_text(seed, model, source), 1.0)
    return Heard(answer_text(seed, model, source.digest), _seconds(source.data))


def _seconds(data: bytes) -> float:
    try:
        with wave.open(BytesIO(data)) as file:
            return float(max(0.01, file.getnframes() / file.getframerate()))
    except (wave.Error, EOFError, ZeroDivisionError):
        return max(0.01, len(data) / 16_000)


def subtitles(what: Heard, form: str) -> str:
    """The words with their times, as SubRip or as WebVTT."""
    mark = "," if form == "srt" else "."
    lines = [] if form == "srt" else ["WEBVTT\n"]
    for index, (start, end, text) in enumerate(what.segments, 1):
        number = f"{index}\n" if form == "srt" else ""
        lines.append(f"{number}{_clock(start, mark)} --> {_clock(end, mark)}\n{text}\n")
    return "\n".join(lines) + "\n"


def _clock(seconds: float, mark: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{mark}{rest % 1000:03d}"
