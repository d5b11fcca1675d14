"""OpenAI's pictures, sounds and moderation, which look-alikes share.

Source: OpenAI API reference, "Images", "Audio", "Moderations".
"""

import base64
from collections.abc import Iterator
from typing import Any

from asyncapi.emulator.answers import count_tokens, pieces
from asyncapi.emulator.dialects.openai_chat import checked_count, require_model
from asyncapi.emulator.exchange import (
    Ask,
    Frame,
    Json,
    Problem,
    Reply,
    Trouble,
    event_stream,
    invalid,
    json_reply,
    sse,
)
from asyncapi.emulator.forms import Upload
from asyncapi.emulator.media import AUDIO_TYPES, Heard, heard, png, sound, subtitles
from asyncapi.emulator.vectors import UNSAFE, overlap

MOST_UPLOAD = 25 * 2**20
_SUFFIXES = ("flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "wav", "webm")
_TEXTS = ("text", "srt", "vtt")
_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
_IMAGE_TOKENS = 272


def moderate(ask: Ask) -> Reply:
    """Judge texts: one result each, but one for a whole list of parts."""
    value = ask.body.get("input")
    model = ask.body.get("model") or "omni-moderation-latest"
    results = [_judged(text) for text in _moderated(value)]
    tokens = sum(count_tokens(text) for text in _moderated(value))
    return json_reply(
        {"id": f"modr-{ask.serial:024x}", "model": model, "results": results}, input_tokens=tokens
    )


def _moderated(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value:
        if all(isinstance(item, str) for item in value):
            return value
        if all(isinstance(item, dict) for item in value):
            return ["\n".join(str(item.get("text", "")) for item in value)]
    raise invalid("Invalid type for 'input': expected a string or an array.", "input", "invalid_type")


def _judged(text: str) -> Json:
    flagged = UNSAFE in text
    hit = {name: flagged and name == "violence" for name in _CATEGORIES}
    scores = {name: 0.97 if hit[name] else round(0.01 * overlap(name, text), 6) for name in _CATEGORIES}
    return {
        "flagged": flagged,
        "categories": hit,
        "category_scores": scores,
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }


def draw(ask: Ask) -> Reply:
    """Draw pictures of four pixels, whole or with a preview in a stream."""
    prompt = ask.body.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise invalid("Missing required parameter: 'prompt'.", "prompt", "missing_required_parameter")
    if UNSAFE in prompt:
        raise invalid("Your request was rejected by the safety system.", code="moderation_blocked")
    count = checked_count(ask.body.get("n") or 1, "n")
    if count > 10:
        raise invalid("Invalid 'n': integer above maximum value. Expected a value <= 10.", "n")
    usage = _picture_usage(prompt, count)
    pictures = [base64.b64encode(png(f"{ask.seed}\0{index}\0{prompt}")).decode() for index in range(count)]
    if ask.body.get("stream"):
        reply = _drawing(pictures[0], usage, ask)
    else:
        data = [{"b64_json": picture} for picture in pictures]
        size = ask.body.get("size") or "1024x1024"
        value = {"created": int(ask.now), "data": data, "size": size, "output_format": "png", "usage": usage}
        reply = json_reply(value)
    reply.input_tokens, reply.output_tokens = usage["input_tokens"], usage["output_tokens"]
    return reply


def _picture_usage(prompt: str, count: int) -> Json:
    given, made = count_tokens(prompt), _IMAGE_TOKENS * count
    details = {"text_tokens": given, "image_tokens": 0}
    return {
        "input_tokens": given,
        "output_tokens": made,
        "total_tokens": given + made,
        "input_tokens_details": details,
    }


def _drawing(picture: str, usage: Json, ask: Ask) -> Reply:
    about: Json = {
        "b64_json": picture,
        "created_at": int(ask.now),
        "size": "1024x1024",
        "quality": "low",
        "background": "opaque",
        "output_format": "png",
    }
    partial = ask.body.get("partial_images") or 0
    events = [
        {"type": "image_generation.partial_image", "partial_image_index": index, **about}
        for index in range(partial)
    ]
    events.append({"type": "image_generation.completed", **about, "usage": usage})
    frames = [(sse(event, str(event["type"])), _IMAGE_TOKENS) for event in events]
    return _named_stream(frames)


def _named_stream(frames: list[Frame]) -> Reply:
    reply = event_stream(frames, len(frames) - 1)
    error = {"type": "server_error", "code": None, "message": "The server had an error.", "param": None}
    reply.failure = [sse({"type": "error", "error": error}, "error")]
    return reply


def speak(ask: Ask) -> Reply:
    """Read a text aloud: bytes, or events that carry them."""
    require_model(ask.body)
    text, form = ask.body.get("input"), ask.body.get("response_format") or "mp3"
    if not isinstance(text, str) or not text:
        raise invalid("Missing required parameter: 'input'.", "input", "missing_required_parameter")
    if len(text) > 4096:
        raise invalid("Invalid 'input': string too long.", "input", "string_above_max_length")
    if not ask.body.get("voice"):
        raise invalid("Missing required parameter: 'voice'.", "voice", "missing_required_parameter")
    if form not in AUDIO_TYPES:
        raise invalid(f"Invalid value: '{form}'.", "response_format", "invalid_value")
    data, tokens = sound(text, form), count_tokens(text)
    if ask.body.get("stream_format") == "sse":
        reply = _spoken_events(data, tokens)
    else:
        reply = Reply(data, content_type=AUDIO_TYPES[form])
    reply.input_tokens, reply.output_tokens = tokens, tokens
    return reply


def _spoken_events(data: bytes, tokens: int) -> Reply:
    frames: list[Frame] = []
    for at in range(0, len(data), 4096):
        audio = base64.b64encode(data[at : at + 4096]).decode()
        event = {"type": "speech.audio.delta", "audio": audio}
        frames.append((sse(event), min(tokens, len(frames) + 1)))
    usage = {"input_tokens": tokens, "output_tokens": tokens, "total_tokens": 2 * tokens}
    frames.append((sse({"type": "speech.audio.done", "usage": usage}), tokens))
    return _named_stream(frames)


def transcribe(ask: Ask) -> Reply:
    """Write down what a file says, in one of five forms."""
    return _written(ask, "transcribe", _upload(ask.body))


def translate(ask: Ask) -> Reply:
    """The same in English, of which this server knows no other way to speak."""
    return _written(ask, "translate", _upload(ask.body))


def transcribe_any(ask: Ask) -> Reply:
    """Write down what a file says, or what is found at an address."""
    url = ask.body.get("url")
    if "file" not in ask.body and isinstance(url, str) and url:
        return _written(ask, "transcribe", url)
    return transcribe(ask)


def _upload(body: Json) -> Upload:
    file = body.get("file")
    if not isinstance(file, Upload):
        raise invalid("Missing required parameter: 'file'.", "file", "missing_required_parameter")
    suffix = file.filename.rpartition(".")[2].lower()
    if suffix not in _SUFFIXES:
        raise invalid(f"Invalid file format. Supported formats: {list(_SUFFIXES)}", "file")
    if not file.data:
        raise invalid("Audio file is too short.", "file", "audio_too_short")
    if len(file.data) > MOST_UPLOAD:
        raise Problem(Trouble.BODY_TOO_LARGE, "Maximum content size limit (26214400) exceeded")
    return file


def _written(ask: Ask, task: str, source: Upload | str) -> Reply:
    model = require_model(ask.body)
    what = heard(ask.seed, model, source)
    form = ask.body.get("response_format") or "json"
    spent = count_tokens(what.text)
    if form in _TEXTS:
        text = what.text + "\n" if form == "text" else subtitles(what, form)
        reply = Reply(text.encode(), content_type="text/plain; charset=utf-8")
    elif form == "verbose_json":
        reply = json_reply(_verbose(ask.body, task, what))
    elif form not in ("json", "diarized_json"):
        raise invalid(f"Invalid value: '{form}'.", "response_format", "invalid_value")
    elif ask.body.get("stream") in (True, "true", "True"):
        reply = _written_stream(what, _usage(model, what))
    else:
        reply = json_reply({"text": what.text, "usage": _usage(model, what)})
    reply.input_tokens, reply.output_tokens = round(what.seconds * 10), spent
    return reply


def _usage(model: str, what: Heard) -> Json:
    """Whisper is paid by duration, the newer models by token."""
    if "whisper" in model:
        return {"type": "duration", "seconds": max(1, round(what.seconds))}
    given, made = max(1, round(what.seconds * 10)), count_tokens(what.text)
    return {
        "type": "tokens",
        "input_tokens": given,
        "input_token_details": {"text_tokens": 0, "audio_tokens": given},
        "output_tokens": made,
        "total_tokens": given + made,
    }


def _verbose(body: Json, task: str, what: Heard) -> Json:
    value: Json = {"task": task, "language": "english", "duration": what.seconds, "text": what.text}
    wanted = body.get("timestamp_granularities[]") or body.get("timestamp_granularities") or ["segment"]
    if "segment" in wanted:
        value["segments"] = list(_segments(what))
    if "word" in wanted:
        value["words"] = what.words
    return {**value, "usage": {"type": "duration", "seconds": max(1, round(what.seconds))}}


def _segments(what: Heard) -> Iterator[Json]:
    for index, (start, end, text) in enumerate(what.segments):
        yield {
            "id": index,
            "seek": 0,
            "start": start,
            "end": end,
            "text": text,
            "tokens": list(range(count_tokens(text))),
            "temperature": 0.0,
            "avg_logprob": -0.25,
            "compression_ratio": 1.2,
            "no_speech_prob": 0.01,
        }


def _written_stream(what: Heard, usage: Json) -> Reply:
    frames = [
        (sse({"type": "transcript.text.delta", "delta": piece}), count)
        for count, piece in enumerate(pieces(what.text), 1)
    ]
    frames.append((sse({"type": "transcript.text.done", "text": what.text, "usage": usage}), len(frames)))
    return _named_stream(frames)
